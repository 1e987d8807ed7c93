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
}

// problem is why a request waits while what is named is paused.
func (p *Pause) problem(what string) *reason.Problem {
	return &reason.Problem{Code: reason.Paused,
		Detail: fmt.Sprintf("%s has been paused since %s, by %s: %s. Nothing starts there until an operator resumes it.",
			what, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason)}
}

// Problem is why a request waits on a persistent resource that is paused.
func (p *Pause) Problem() *reason.Problem { return p.problem("The persistent resource") }
