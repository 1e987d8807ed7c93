package admission

import (
	"fmt"
	"time"

	"example.com/berth/internal/reason"
)

// A Pause is an operator's order that nothing starts. What runs goes on, and so do the
// longest waits of requests.
type Pause struct {
	Since  time.Time `json:"since"`  // of the first of several pauses without a resume between
	Who    string    `json:"who"`    // a claim of the last
	Reason string    `json:"reason"` // of the last
	// Drain says that somebody waits for the last job to end. Requests that wait for a
	// submission slot give their replicas back.
	Drain bool `json:"drain,omitempty"`
	// Message is the operator's message that asked for the drain. The event that says
	// that nothing runs any more is about it.
	Message string `json:"message,omitempty"`
	// EmptyAt is when that was observed; zero before.
	EmptyAt time.Time `json:"emptyAt,omitzero"`
}

// Draining reports whether somebody waits for the last job to end; also of nil.
func (p *Pause) Draining() bool { return p != nil && p.Drain && p.EmptyAt.IsZero() }

// problem is why a request waits while what is named is paused.
func (p *Pause) problem(what string) *reason.Problem {
	return &reason.Problem{Code: reason.Paused,
		Detail: fmt.Sprintf("%s has been paused since %s, by %s: %s. Nothing starts there until an operator resumes it.",
			what, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason)}
}

// Problem is why a request waits on a persistent resource that is paused.
func (p *Pause) Problem() *reason.Problem { return p.problem("The persistent resource") }
