package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// answerFlags say how long the verbs of operators wait for the answer.
type answerFlags struct {
	Wait *time.Duration `placeholder:"DURATION" help:"Wait this long for the answer; by default 10s where the Status function is known, 0s for not at all. Ends with 3 if it is refused, and with 4 if the time is up."`
}

// answerWithin is how long an answer is waited for by default: longer than an instance
// takes to start.
const answerWithin = 10 * time.Second

// answerEvery is how often it is asked for.
const answerEvery = 250 * time.Millisecond

// showAnswer is the command that shows the answer to an operator's message.
func showAnswer(id string) string { return "berth show --tenant=" + message.Operators + " " + id }

// An operation is what the verbs of operators print with --json.
type operation struct {
	MessageID string `json:"messageId"` // its answer is an event of the tenant "operators" about this message
	// State is DONE or REFUSED; empty as long as there is no answer.
	State     string             `json:"state,omitempty"`
	Operation *message.Operation `json:"operation,omitempty"` // what was done
	Reason    *reason.Problem    `json:"reason,omitempty"`    // why it was refused
}

// within is how long to wait for the answer.
func (f *answerFlags) within(g *globals) time.Duration {
	switch {
	case f.Wait != nil:
		return *f.Wait
	case g.StatusURL == "":
		return 0
	}
	return answerWithin
}

// answer waits for the answer to a message that was published, prints it and ends with
// [exitRefused] if it is a refusal.
func (f *answerFlags) answer(g *globals, what, id string) error {
	if !g.JSON {
		say(g.out, "%s was published as message %s.", what, id)
	}
	op := operation{MessageID: id}
	r, err := f.await(g, id)
	if r != nil && err == nil {
		op.State = "REFUSED"
		if e := r.Events[0]; done(r) {
			op.State, op.Operation = "DONE", e.Outcome.Operator
		} else if op.Reason = e.Outcome.Reason; op.Reason != nil {
			err = &quit{exitRefused, fmt.Errorf("refused: %s %s", problem(op.Reason), op.Reason.Fix)}
		} else {
			err = &quit{code: exitRefused}
		}
	}
	switch {
	case g.JSON:
		return errors.Join(printJSON(g.out, op), err)
	case op.State == "DONE":
		say(g.out, "Done: %s", operated(op.Operation, r.Events[0].Outcome.PersistentResource))
	}
	say(g.out, "Show the answer with: %s", showAnswer(id))
	return err
}

// await asks for the answer until it is there. nil without an error is for an answer that
// is not asked for, or not shown to this caller.
func (f *answerFlags) await(g *globals, id string) (*statuspage.Request, error) {
	within := f.within(g)
	if within == 0 {
		return nil, nil
	}
	d, err := g.open()
	if err != nil {
		return nil, fmt.Errorf("%w. The message was published as %s; with --wait=0s the Status function is not needed", err, id)
	}
	ctx, cancel := context.WithTimeout(g.ctx, within)
	defer cancel()
	ticks := time.NewTicker(answerEvery)
	defer ticks.Stop()
	for {
		var r statuspage.Request
		_, err := d.get(ctx, &r, url.Values{"tenant": {message.Operators}, "kind": {string(message.KindAnswer)}}, "requests", id)
		switch {
		case err == nil && len(r.Events) > 0:
			return &r, nil
		case g.ctx.Err() != nil:
			return nil, &quit{code: exitInterrupted}
		case err == nil, notFound(err), transient(err):
			// The message is on its way, or the Status function is.
		case f.Wait == nil:
			say(g.err, "Whether it was done is not shown to you: %v", err)
			return nil, nil
		default:
			return nil, &quit{exitWaits, fmt.Errorf("whether it was done is not shown to you: %w", err)}
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			if g.ctx.Err() != nil {
				return nil, &quit{code: exitInterrupted}
			}
			return nil, &quit{exitWaits, fmt.Errorf("no answer within %s; whether it was done is not known yet", within)}
		}
	}
}
