// Package pace decides how fast jobs are submitted to Vertex AI.
//
// Vertex AI takes so many submissions a minute per project and region. A [Budget]
// counts them over all instances. A resource has an [Allowance] of a few
// submissions, so that a request is usually admitted and submitted in one commit
// that does not write the budget. Once it is used, admitted requests wait, and a
// [Round] gives the submission slots that are free to the first of them by priority
// and age.
//
// When Vertex AI refuses or does not answer, a [Backoff] pauses what was refused:
// submissions in a region, or admissions to one persistent resource.
//
// All functions are pure: the caller reads and writes the documents, and gives the
// time, which is the ledger's.
package pace

import "time"

// Rules are what a deployment decides of its pace.
type Rules struct {
	PerMinute    int           // submissions a minute in one region, by all instances; at least 1
	Lifetime     time.Duration // of an allowance
	Precedence   time.Duration // for how long requests behind the first waiting one leave slots to it
	RefusalPause time.Duration // first pause after Vertex AI refused for the rate, or refused Berth itself
	SilencePause time.Duration // first pause after a create without an answer
	MaxPause     time.Duration // longest pause
}

// alarmAfter is how many pauses in a row are worth an alarm.
const alarmAfter = 3

// AllowanceSize is how many submissions a resource is granted at a time.
func (r Rules) AllowanceSize() int { return max(1, r.PerMinute/6) }

// An Allowance is submissions that a resource may make without asking the [Budget].
type Allowance struct {
	Left  int       `json:"left,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Take takes one submission, if one is left and the allowance has not run out.
func (a *Allowance) Take(now time.Time) bool {
	if a.Left == 0 || !now.Before(a.Until) {
		return false
	}
	a.Left--
	return true
}

// Allow renews or revokes the allowance of a resource and reports whether budget
// and allowance have changed. quiet says that the resource is RUNNING and has no
// request that waits for a slot. The allowance is revoked if the resource is not
// quiet, in a pause, and while the first waiting request of the region has
// precedence: then every slot goes to the first.
func (b *Budget) Allow(now time.Time, r Rules, resource string, a *Allowance, quiet bool) (changed bool) {
	quiet = quiet && !b.Paused(now) && b.Refusals == 0 && !b.YieldsTo(now, lastOrder, r.Precedence)
	fresh := a.Left*2 >= r.AllowanceSize() && a.Until.Sub(now) > r.Lifetime/2
	if quiet && fresh || !quiet && *a == (Allowance{}) {
		return false
	}
	b.revoke(now, resource, a.Left)
	*a = Allowance{}
	// Half of all submissions is never granted: with many resources, those without
	// an allowance would wait for what others do not use.
	room := (r.PerMinute/2 - b.granted(now) + 1) / 2
	if n := min(r.AllowanceSize(), b.Free(now, r), room); quiet && n > 0 {
		*a = Allowance{Left: n, Until: now.Add(r.Lifetime)}
		b.grant(now, Grant{To: resource, Tokens: n, Until: a.Until})
	}
	return true
}

// lastOrder is behind the order key of every request.
const lastOrder = "~"
