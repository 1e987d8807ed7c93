package chaos

import (
	"fmt"
	"slices"
	"strings"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// Rules of a chaos run, beside those of package invariant.
const (
	Lost         invariant.Rule = "lost"          // every message has its request or its answer
	Surprise     invariant.Rule = "surprise"      // a request ends in a state that it can end in
	NotPublished invariant.Rule = "not-published" // the outcome topic has every event, each as it was written
	TwoJobs      invariant.Rule = "two-jobs"      // one job per request, and orphan jobs only where a create came late
	WrongJob     invariant.Rule = "wrong-job"     // the job that a request names ended as the request did
	Leaked       invariant.Rule = "leaked"        // nothing is held, waits or runs at the end
	Overwritten  invariant.Rule = "overwritten"   // foreign jobs are left alone
	DeadLetter   invariant.Rule = "dead-letter"   // no message was given up
	Unfinished   invariant.Rule = "unfinished"    // in time, everything is ended and stays unchanged
	Rewritten    invariant.Rule = "rewritten"     // what is written once stays
	Unseen       invariant.Rule = "unseen"        // the witness saw every commit
	LoggedBug    invariant.Rule = "logged-bug"    // no process logs a bug of its own
)

// Evidence is what can be read from outside once everything is at rest.
type evidence struct {
	picture invariant.Picture // documents and jobs as they are
	policy  admission.Policy

	sent   []sent
	first  map[*order]string // message id of the first message of an order
	events []received        // of the outcome topic, as they came
	dead   []received        // of the dead-letter topic
	late   map[string]int    // creates that were too late to be found, by request key
	// foreign jobs are the jobs that others started, by name.
	foreign map[string]bool
}

// judge returns everything that is wrong.
func judge(e evidence) []invariant.Violation {
	j := &verdict{evidence: e, records: map[message.Key]*ledger.Record{}, jobs: map[message.Key][]vertex.Job{}}
	for _, r := range e.picture.Records {
		j.records[r.Key] = r
	}
	published := map[string]bool{}
	for _, h := range e.events {
		published[h.attributes["ce-id"]] = true
	}
	j.picture.Published = published
	j.found = append(invariant.Check(j.picture), invariant.Settled(j.picture, e.policy)...)
	j.rest()
	j.messages()
	j.outcomes()
	j.work()
	for _, d := range e.dead {
		j.say(DeadLetter, "", "every message can be accepted", "%.120q is in the dead-letter topic", d.data)
	}
	return j.found
}

type verdict struct {
	evidence
	records map[message.Key]*ledger.Record
	jobs    map[message.Key][]vertex.Job // ours, by request
	found   []invariant.Violation
}

func (j *verdict) say(rule invariant.Rule, key message.Key, this, that string, args ...any) {
	v := invariant.Violation{Rule: rule, Request: key, This: this, That: fmt.Sprintf(that, args...)}
	if r := j.records[key]; r != nil {
		v.Resource = r.Resource
	}
	j.found = append(j.found, v)
}

// rest checks that nothing is under way.
func (j *verdict) rest() {
	for _, r := range j.picture.Records {
		if r.Kind != message.KindAnswer && !r.Tombstone() && !r.State.Terminal() {
			j.say(Unfinished, r.Key, "everything is at rest", "it is %s", r.State)
		}
	}
	for _, res := range j.picture.Resources {
		for key := range res.Holds {
			j.say(Leaked, key, "everything is at rest", "it holds replicas of %s", res.Name)
		}
		for id, class := range res.Queue {
			j.say(Leaked, "", "nothing waits", "%d wait in class %s of %s", class.Count, id, res.Name)
		}
		for _, o := range res.Reserved {
			j.say(Leaked, o.ID, "nothing waits", "it has a reservation on %s", res.Name)
		}
		if len(res.Foreign) > 0 || len(res.Unexplained) > 0 {
			j.say(Leaked, "", "no foreign job is live", "%s has foreign use %v and %v", res.Name, res.Foreign, res.Unexplained)
		}
	}
}

// messages checks that each message has what it was for, and nothing else.
func (j *verdict) messages() {
	winners := map[message.Key]string{} // message that made the request, by key
	for key, r := range j.records {
		if r.Kind != message.KindAnswer && !r.Tombstone() {
			winners[key] = r.MessageID
		}
	}
	other := map[string]bool{} // messages that ask for another job under a taken id
	wanted := map[message.Key]bool{}
	for _, s := range j.sent {
		other[s.id] = s.purpose == forOther
		if s.order != nil {
			wanted[s.about(j.first)] = true
		}
	}
	for _, s := range j.sent {
		answer := j.records[message.KeyOf(tenant, message.KindAnswer, s.id)]
		wanted[message.KeyOf(tenant, message.KindAnswer, s.id)] = true
		code := reason.Code("")
		if answer != nil && answer.Why != nil {
			code = answer.Why.Code
		}
		what := fmt.Sprintf("message %s (%s)", s.id, s.purpose)
		switch s.purpose {
		case forNothing, forQuote:
			if answer == nil {
				j.say(Lost, "", what+" was published", "it has no answer")
			}
			continue
		}
		key := s.about(j.first)
		r := j.records[key]
		if r == nil || r.Tombstone() {
			j.say(Lost, key, what+" was published", "its request is not known")
			continue
		}
		switch {
		case s.purpose == forCancel:
			if answer == nil && r.State != lifecycle.Cancelled && !slices.Contains(r.Cancels, s.id) && !wrote(r, message.Cancelling) {
				j.say(Lost, key, what+" was published", "nothing came of it: the request is %s", r.State)
			}
			switch {
			case answer == nil, code == reason.AlreadyEnded:
			case code != reason.NothingMatched:
				j.say(Surprise, key, what+" was answered", "the answer is %s", code)
			case r.State != lifecycle.Cancelled:
				j.say(Lost, key, what+" was answered: what comes is cancelled", "the request is %s", r.State)
			}
		case other[s.id] != other[winners[key]]:
			if code != reason.IDReused {
				j.say(Lost, key, what+" has other content than the one that made the request", "it was not refused as %s", reason.IDReused)
			}
		case answer != nil && wrote(answer, message.Duplicate):
			if o := answer.Outbox[0].Outcome; o.State != string(r.State) {
				j.say(Surprise, key, what+" is answered as a repeat of what ended as "+o.State, "the request is %s", r.State)
			}
		case answer != nil:
			j.say(Surprise, key, what+" makes the request, or is a copy of the message that did", "it was answered with %s", code)
		}
	}
	for key, r := range j.records {
		if !wanted[key] && !r.Tombstone() {
			j.say(Surprise, key, "the ledger has it", "no published message made it: message %s", r.MessageID)
		}
	}
	j.ends(other)
}

// ends checks that requests ended as they can.
func (j *verdict) ends(other map[string]bool) {
	seen := map[message.Key]bool{}
	for _, s := range j.sent {
		if s.order == nil {
			continue
		}
		key := s.about(j.first)
		r := j.records[key]
		if r == nil || seen[key] || !r.State.Terminal() {
			continue
		}
		seen[key] = true
		if s.order.Ends[r.State] || other[r.MessageID] && r.State == lifecycle.Succeeded || excused(r) {
			continue
		}
		j.say(Surprise, key, fmt.Sprintf("%s (%s) can end as %v", s.order.Name, s.order.Kind, s.order.Ends),
			"it is %s: %v", r.State, r.Why)
	}
}

// excused says whether a request ended otherwise because of what was done to
// it: whether there is a job could not be found out in time, or Vertex AI did
// not start the job in time.
func excused(r *ledger.Record) bool {
	return r.State == lifecycle.Failed && r.Why != nil && r.Why.Code == reason.SubmissionUnclear ||
		r.State == lifecycle.Cancelled && r.Why != nil && r.Why.Code == reason.StartOverdue
}

// wrote reports whether a record has an event of a type.
func wrote(r *ledger.Record, t message.Type) bool {
	return slices.ContainsFunc(r.Outbox, func(l ledger.OutboxEvent) bool { return l.Type == t })
}

// outcomes checks the outcome topic as a consumer would: drop repeated ids, sort
// by sequence, expect no gap and one end.
func (j *verdict) outcomes() {
	had := map[string]received{}
	bySubject := map[message.Key][]message.Outcome{}
	for _, h := range j.events {
		id := h.attributes["ce-id"]
		if first, again := had[id]; again {
			if first.data != h.data {
				j.say(NotPublished, "", "event "+id+" was published", "it was published again with other data")
			}
			continue
		}
		had[id] = h
		o, err := message.DecodeOutcome(h.attributes, []byte(h.data))
		if err != nil {
			j.say(NotPublished, "", "the outcome topic has event "+id, "it cannot be read: %v", err)
			continue
		}
		key := message.Key(id[:max(0, strings.LastIndexByte(id, '-'))])
		bySubject[key] = append(bySubject[key], o)
	}
	for key := range bySubject {
		if j.records[key] == nil {
			j.say(NotPublished, key, "the outcome topic has an event of it", "the ledger does not know it")
		}
	}
	for key, r := range j.records {
		events := bySubject[key]
		if r.Tombstone() && len(events) == 0 {
			continue
		}
		slices.SortFunc(events, func(a, b message.Outcome) int { return int(a.Sequence - b.Sequence) })
		ends := 0
		for i, o := range events {
			if o.Sequence != int64(i+1) {
				j.say(NotPublished, key, fmt.Sprintf("event %d of a request has number %d", i+1, i+1), "it has number %d", o.Sequence)
				break
			}
			if o.Type.Terminal() {
				ends++
			}
		}
		if ends != 1 || !events[len(events)-1].Type.Terminal() {
			j.say(NotPublished, key, "a request ends once, with its last event", "the topic has %d events, %d of them ends", len(events), ends)
		}
		if int64(len(events)) != r.Sequence {
			j.say(NotPublished, key, fmt.Sprintf("%d events were written", r.Sequence), "the outcome topic has %d", len(events))
		}
		for _, l := range r.Outbox {
			data, _, err := r.Event(l).PubSub(source)
			if h, ok := had[l.ID]; !ok || err != nil || h.data != string(data) {
				j.say(NotPublished, key, "event "+l.ID+" was written", "the outcome topic has it differently, or not at all")
			}
		}
	}
}
