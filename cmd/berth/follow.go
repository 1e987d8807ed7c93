package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
)

const (
	// maxFailures is how many polls in a row may fail before a follower
	// gives up.
	maxFailures = 10
	// reusePolls is how many polls search for a refusal of this message
	// before the follower follows another message's request of the same id.
	reusePolls = 5
)

// A follower watches a submission until its end.
type follower struct {
	*globals
	status *statusClient
	every  time.Duration
	sent   submission

	shown    int64 // sequence of the last event printed
	others   int   // polls at which the request was another message's
	failures int   // in a row
}

// run prints events until there are no more, and ends as the request did.
func (f *follower) run() error {
	ticks := time.NewTicker(f.every)
	defer ticks.Stop()
	for {
		done, err := f.poll()
		switch {
		case f.ctx.Err() != nil:
			return f.stopped()
		case done:
			return err
		case err != nil && (!transient(err) || f.failures == maxFailures):
			return fmt.Errorf("%w. The job is left alone; show it with: berth show %s", err, f.sent.ID)
		case err != nil:
			if f.failures++; f.failures == 1 {
				say(f.err, "Asking again: %v", err)
			}
		default:
			f.failures = 0
		}
		select {
		case <-ticks.C:
		case <-f.ctx.Done():
			return f.stopped()
		}
	}
}

// stopped prints how to continue after Ctrl-C.
func (f *follower) stopped() error {
	if f.sent.Kind == message.KindRequest {
		say(f.err, "No longer watching; the job is left alone. Show it with: berth show %s. Cancel it with: berth cancel %s", f.sent.ID, f.sent.ID)
	}
	return &quit{code: exitInterrupted}
}

// poll asks once. With done, err is the result of the submission.
func (f *follower) poll() (done bool, err error) {
	// The answer to the message comes first: it says that the request of
	// this id, if there is one, is not the published one.
	answer, err := f.ask(message.KindAnswer, f.sent.MessageID)
	if err != nil {
		return false, err
	}
	// A repeat of a request that has ended is followed as that request.
	repeat := answer != nil && len(answer.Events) == 1 && answer.Events[0].Type == message.Duplicate
	if answer != nil && !repeat {
		return f.show(answer)
	}
	if f.sent.Kind != message.KindRequest {
		return false, nil
	}
	req, err := f.ask(message.KindRequest, f.sent.ID)
	if req == nil || err != nil || !req.CancelledUntil.IsZero() {
		return false, err
	}
	if req.MessageID != f.sent.MessageID && f.others <= reusePolls {
		if f.others++; f.others <= reusePolls && !repeat {
			return false, nil
		}
		f.others = reusePolls + 1
		say(f.err, "An earlier message, %s, made this request; this one is a duplicate and changed nothing.", req.MessageID)
	}
	return f.show(req)
}

// ask returns what is stored under an id, nil for nothing.
func (f *follower) ask(kind message.Kind, id string) (*statuspage.Request, error) {
	var r statuspage.Request
	_, err := f.status.get(f.ctx, &r, f.inTenant(url.Values{"kind": {string(kind)}}), "requests", id)
	switch {
	case notFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &r, nil
}

// show prints the events that are new.
func (f *follower) show(r *statuspage.Request) (done bool, err error) {
	for _, e := range r.Events {
		if e.Sequence <= f.shown {
			continue
		}
		f.shown = e.Sequence
		if f.JSON {
			if err := printJSON(f.out, e); err != nil {
				return true, err
			}
			continue
		}
		say(f.out, "%s  %-10s  %s", e.Time.Local().Format("15:04:05 MST"), word(e.Type), detail(e))
		if e.Type == message.Refused || e.Type == message.Rejected || e.Type == message.Quoted {
			reasons(f.out, e.Outcome)
		}
	}
	if !r.Terminal {
		return false, nil
	}
	return true, ended(r)
}

// detail is the text of an event after its type.
func detail(e statuspage.Event) string {
	o := e.Outcome
	s := problem(o.Reason)
	switch {
	case o.JobError != nil:
		s += " " + o.JobError.Message
	case o.Operator != nil && e.Type.Operated():
		s = operated(o.Operator, o.PersistentResource)
	case s == "" && e.Type == message.Quoted:
		s = o.Verdict
	case s == "" && (e.Type == message.Reserved || e.Type == message.Queued):
		s = short(o.PersistentResource)
		if o.ScaleUp {
			s += ", after the autoscaler has added machines"
		}
	case s == "":
		s = o.Job
	}
	return s
}

// done reports whether what is shown is the answer to an operator whose message was done.
func done(r *statuspage.Request) bool {
	return r.Kind == message.KindAnswer && len(r.Events) > 0 && r.Events[0].Type.Operated()
}

// ended returns the tool's error for a request that has ended, nil if it
// succeeded.
func ended(r *statuspage.Request) error {
	switch {
	case r.State == lifecycle.Succeeded:
		return nil
	case r.State == lifecycle.Rejected:
		return &quit{code: exitRefused}
	case r.State.Terminal():
		return &quit{code: exitEndedBadly}
	case len(r.Events) == 1 && r.Events[0].Type == message.Quoted:
		return verdict(r.Events[0].Outcome.Verdict)
	case done(r):
		return nil
	case len(r.Events) == 1:
		return &quit{code: exitRefused}
	}
	return errors.New("the answer to the message holds no event")
}
