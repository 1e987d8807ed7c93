package ledger

import (
	"slices"
	"time"
)

// A Budget is the document of one project and region: how many jobs may be
// submitted there in a minute, and who may. Vertex AI allows 60 by default,
// across everybody in the project.
//
// One submission takes one token. Tokens are lent to a resource a few at a time
// ([Resource.Tokens]), so an admission takes one in the commit that it makes
// anyway, and this document is written once in many admissions. What is lent and
// not used is given back when more is lent.
//
// A token counts against the minute after the last moment at which it can have
// been used. So whatever the moments were, no minute sees more submissions than
// the budget.
type Budget struct {
	Name   string  `json:"name"` // projects/P/locations/L
	Grants []Grant `json:"grants,omitempty"`
	// NotBefore stops all submissions for a while after Vertex AI said that there
	// were too many, or that we may make none.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Refusals  int       `json:"refusals,omitempty"` // pauses in a row; 0 once a job was accepted
	// DeniedAt is when Vertex AI last said that we may not submit, or went on not
	// answering.
	DeniedAt time.Time `json:"deniedAt,omitzero"`
	// ResumedAt is when Vertex AI last accepted a job after a pause.
	ResumedAt time.Time `json:"resumedAt,omitzero"`
	// Foremost is the order key of the first request that was left without a
	// token, and ForemostAt when that was seen: nobody behind it takes one while
	// this is new.
	FirstWaiting   string    `json:"firstWaiting,omitempty"`
	FirstWaitingAt time.Time `json:"firstWaitingAt,omitzero"`
}

// A Grant is tokens that still count.
type Grant struct {
	To     string    `json:"to,omitempty"` // resource that may use them; "" when they are used
	Tokens int       `json:"allowance"`
	Until  time.Time `json:"until"` // by when they are used
}

// budgetWindow is what the budget is for.
const budgetWindow = time.Minute

// Free is how many tokens there are now. After a pause there is one at a time,
// until Vertex AI accepts a job: an outage of hours must not cost a minute's
// submissions at the end of each pause.
func (b *Budget) Free(now time.Time, perMinute int) int {
	if now.Before(b.NotBefore) {
		return 0
	}
	for _, g := range b.Grants {
		if g.counts(now) {
			perMinute -= g.Tokens
		}
	}
	if b.Refusals > 0 {
		perMinute = min(1, perMinute)
	}
	return max(0, perMinute)
}

func (g Grant) counts(now time.Time) bool { return g.Until.After(now.Add(-budgetWindow)) }

// FreeAt is when there may be another token.
func (b *Budget) FreeAt(now time.Time) time.Time {
	at := now.Add(budgetWindow)
	for _, g := range b.Grants {
		if end := g.Until.Add(budgetWindow); g.counts(now) && end.Before(at) {
			at = end
		}
	}
	if at.Before(b.NotBefore) {
		return b.NotBefore
	}
	return at
}

// Spend counts tokens as used now.
func (b *Budget) Spend(now time.Time, n int) { b.grant(now, Grant{Tokens: n, Until: now}) }

// Lend gives tokens to a resource, to be used until a moment.
func (b *Budget) GrantTo(now time.Time, to string, n int, until time.Time) {
	b.grant(now, Grant{To: to, Tokens: n, Until: until})
}

// grant adds a grant and forgets those that no longer count. Whole seconds are
// told apart, rounded up, so that the list stays short.
func (b *Budget) grant(now time.Time, g Grant) {
	b.Grants = slices.DeleteFunc(b.Grants, func(g Grant) bool { return !g.counts(now) })
	if g.Tokens <= 0 {
		return
	}
	if whole := g.Until.Truncate(time.Second); whole.Before(g.Until) {
		g.Until = whole.Add(time.Second)
	}
	for i := range b.Grants {
		if o := &b.Grants[i]; o.To == g.To && o.Until.Equal(g.Until) {
			o.Tokens += g.Tokens
			return
		}
	}
	b.Grants = append(b.Grants, g)
}

// Return takes back what was lent to a resource, of which some is left. The rest
// has been used by now.
func (b *Budget) Revoke(now time.Time, from string, left int) {
	used, last := -left, time.Time{}
	b.Grants = slices.DeleteFunc(b.Grants, func(g Grant) bool {
		if g.To != from || !g.counts(now) {
			return false
		}
		used += g.Tokens
		if g.Until.After(last) {
			last = g.Until
		}
		return true
	})
	if last.After(now) {
		last = now
	}
	b.grant(now, Grant{Tokens: used, Until: last})
}

// OnLoan is how many tokens are lent, those that have been used since included.
func (b *Budget) Granted(now time.Time) (n int) {
	for _, g := range b.Grants {
		if g.open(now) {
			n += g.Tokens
		}
	}
	return n
}

// Lent returns the resources that may have tokens left.
func (b *Budget) Grantees(now time.Time) (to []string) {
	for _, g := range b.Grants {
		if g.open(now) && !slices.Contains(to, g.To) {
			to = append(to, g.To)
		}
	}
	return to
}

func (g Grant) open(now time.Time) bool { return g.To != "" && g.Until.After(now) }

// Behind reports whether a request has to leave tokens to another, which was
// seen without one within a time.
func (b *Budget) YieldsTo(now time.Time, order string, within time.Duration) bool {
	return b.FirstWaiting != "" && b.FirstWaiting < order && now.Sub(b.FirstWaitingAt) <= within
}

// Pause stops all submissions, after a refusal that is no fault of the job. The
// pauses double from first to most, as long as each comes soon after the last;
// refusals of what was under way when a pause began are part of the same story.
func (b *Budget) Pause(now time.Time, first, most time.Duration) {
	if now.Before(b.NotBefore) {
		return
	}
	if now.Sub(b.NotBefore) > 2*most+time.Minute { // what is tried again after a lost answer comes that late
		b.Refusals = 0
	}
	b.NotBefore = now.Add(min(first<<min(b.Refusals, 16), most))
	b.Refusals++
}

// Deny notes that Vertex AI said that we may not submit, or goes on not answering. It reports whether that
// is news: not if it said so within the last hour, whatever came between.
func (b *Budget) Deny(now time.Time) (news bool) {
	news = now.Sub(b.DeniedAt) > time.Hour
	b.DeniedAt = now
	return news
}

// Resume ends the pauses, after Vertex AI has accepted a job.
func (b *Budget) Resume(now time.Time) { b.NotBefore, b.Refusals, b.ResumedAt = time.Time{}, 0, now }

// Tokens are submissions that a resource may make without asking.
type Allowance struct {
	Left  int       `json:"left,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Take takes a token, if there is one.
func (r *Resource) Take(now time.Time) bool {
	if r.Allowance.Left == 0 || !now.Before(r.Allowance.Until) {
		return false
	}
	r.Allowance.Left--
	return true
}
