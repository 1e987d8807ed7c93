package lifecycle

import "slices"

// A subject is what an event speaks of. An event about another run or job than
// the reservation's changes nothing.
type subject int

const (
	theRequest subject = iota
	theRun
	theJob
)

// A guard says when an event changes nothing, and which case of the table it is.
type guard struct {
	about subject
	// done lists the states in which the effect of the event already holds, or no
	// longer matters.
	done []State
	// void reports whether the event is too early, or too late to matter.
	void func(Reservation, Move) bool
	// variant returns the case of the event: [Row.Case].
	variant func(Reservation, Move) string
}

// States that hold replicas, and those of them that an attempt has reached.
var (
	holding = slices.DeleteFunc(slices.Clone(States), func(s State) bool { return !s.Holds() })
	leased  = slices.DeleteFunc(slices.Clone(holding), func(s State) bool { return s == Reserved })
)

// guards has an entry for every event.
var guards = map[Event]guard{
	Admitted:      {done: holding},
	Deferred:      {done: []State{Waiting}},
	ReasonChanged: {done: append([]State{None}, holding...)},
	Refused:       {},
	TimedOut:      {done: holding},
	CancelAsked:   {void: func(r Reservation, _ Move) bool { return r.State == Cancelling && !r.Again }, variant: againCase},
	Leased:        {about: theRun, done: leased},
	Withdrawn:     {done: append([]State{Waiting}, leased...)},
	Reclaimed:     {about: theRun, void: reclaimVoid},
	Accepted:      {about: theRun, done: []State{Reserved}, void: acceptVoid},
	Declined:      {about: theRun, void: declineVoid, variant: declineCase},
	GivenUp:       {about: theRun, void: giveUpVoid, variant: giveUpCase},
	Overdue:       {done: []State{Running, Cancelling}},
	Requeued:      {done: []State{Cancelling}},
	Started:       {about: theJob, done: []State{Running, Cancelling}},
	Ended:         {about: theJob, variant: endCase},
	Gone:          {about: theJob, variant: againCase},
}

// passes reports whether a move may change a reservation, and as which case.
func (g guard) passes(r Reservation, m Move) (which string, ok bool) {
	switch {
	case g.about == theRun && r.State != None && m.run != r.Run:
		return "", false // the run is over
	case g.about == theJob && (m.job == "" || r.State != None && m.job != r.Job):
		return "", false // an orphan job, or one that no longer matters
	case slices.Contains(g.done, r.State), g.void != nil && g.void(r, m):
		return "", false
	case g.variant == nil:
		return "", true
	}
	return g.variant(r, m), true
}

// reclaimVoid: the job is recorded, or the lease has not expired. A second
// attempt beside a live one could create a second job.
func reclaimVoid(r Reservation, m Move) bool { return r.Job != "" || m.now.Before(r.ActUntil) }

// acceptVoid: a run has one job. A second one is an orphan job.
func acceptVoid(r Reservation, _ Move) bool { return r.Job != "" }

// declineVoid: only the latest attempt, while its outcome is open, proves
// anything. The answer of an earlier one says nothing about the attempts after it.
func declineVoid(r Reservation, m Move) bool {
	return r.Job != "" || m.attempt != r.Attempt || !r.Open
}

func declineCase(r Reservation, m Move) string {
	if !r.UnclearUntil.IsZero() {
		return CaseUnclear
	}
	if r.State == Submitting {
		return string(m.decline)
	}
	return againCase(r, m)
}

// againCase tells a run after which the request waits again from one that ends it.
func againCase(r Reservation, _ Move) string {
	if r.Again {
		return CaseAgain
	}
	return ""
}

// endCase is the state that the job's end means. A job that was cancelled so that its
// request waits again may still have ended by itself.
func endCase(r Reservation, m Move) string {
	if r.Again && m.end == Cancelled {
		return CaseAgain
	}
	return string(m.end)
}

// giveUpVoid: a job that an unclear attempt created may not be in the lists yet.
func giveUpVoid(r Reservation, m Move) bool {
	end, unclear := r.Unclear()
	return r.Job != "" || m.attempt != r.Attempt || !unclear || m.now.Before(end.Add(m.unclearTimeout))
}

func giveUpCase(r Reservation, m Move) string {
	if r.State == Submitting && (m.last || r.Refused) {
		return CaseLast
	}
	return againCase(r, m)
}
