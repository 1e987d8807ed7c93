package pace

import (
	"slices"
	"time"
)

// A Budget says how many jobs may be submitted in one project and region, and who
// may. Vertex AI allows 60 a minute by default, across all users of the project.
//
// One submission takes one token. What a resource was granted and did not use is
// given back when its allowance is renewed.
//
// A token counts against the minute after the last moment at which it can have
// been used. So whatever the moments were, no minute sees more submissions than
// the budget.
type Budget struct {
	Grants []Grant `json:"grants,omitempty"`
	// Tenants are the submissions of tenants that may use a share of them; To is the
	// tenant. They are counted in Grants too.
	Tenants []Grant `json:"tenants,omitempty"`
	// Backoff stops all submissions for a while after Vertex AI said that there were
	// too many, or that Berth may make none, or did not answer.
	Backoff
	// DeniedAt is when Vertex AI last said that Berth may not submit, or went on not
	// answering.
	DeniedAt time.Time `json:"deniedAt,omitzero"`
	// ResumedAt is when Vertex AI last accepted a job after a pause.
	ResumedAt time.Time `json:"resumedAt,omitzero"`
	// FirstWaiting is the order key of the first request that was left without a
	// token, and FirstWaitingAt when that was recorded: requests behind it take none
	// while this is new.
	FirstWaiting   string    `json:"firstWaiting,omitempty"`
	FirstWaitingAt time.Time `json:"firstWaitingAt,omitzero"`
}

// A Grant is tokens that still count.
type Grant struct {
	To     string    `json:"to,omitempty"` // resource that may use them; "" when they are used
	Tokens int       `json:"allowance"`
	Until  time.Time `json:"until"` // by when they are used
}

// window is what the budget is for.
const window = time.Minute

// Free is how many tokens there are now. After a pause there is one at a time,
// until Vertex AI accepts a job: an outage of hours must not cost a minute's
// submissions at the end of each pause.
func (b *Budget) Free(now time.Time, r Rules) int {
	if b.Paused(now) {
		return 0
	}
	perMinute := r.PerMinute
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

func (g Grant) counts(now time.Time) bool { return g.Until.After(now.Add(-window)) }

// FreeAt is when there may be another token.
func (b *Budget) FreeAt(now time.Time) time.Time {
	at := now.Add(window)
	for _, g := range b.Grants {
		if end := g.Until.Add(window); g.counts(now) && end.Before(at) {
			at = end
		}
	}
	if at.Before(b.NotBefore) {
		return b.NotBefore
	}
	return at
}

// spend counts tokens as used now.
func (b *Budget) spend(now time.Time, n int) { b.grant(now, Grant{Tokens: n, Until: now}) }

// grant adds a grant and drops those that no longer count. Moments are rounded up
// to whole seconds, so that the list stays short.
func (b *Budget) grant(now time.Time, g Grant) { b.Grants = with(b.Grants, now, g) }

func with(list []Grant, now time.Time, g Grant) []Grant {
	list = slices.DeleteFunc(list, func(g Grant) bool { return !g.counts(now) })
	if g.Tokens <= 0 {
		return list
	}
	if whole := g.Until.Truncate(time.Second); whole.Before(g.Until) {
		g.Until = whole.Add(time.Second)
	}
	for i := range list {
		if o := &list[i]; o.To == g.To && o.Until.Equal(g.Until) {
			o.Tokens += g.Tokens
			return list
		}
	}
	return append(list, g)
}

// revoke takes back what a resource was granted, of which some is left. The rest
// has been used by now.
func (b *Budget) revoke(now time.Time, from string, left int) {
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

// granted is how many tokens resources have in allowances, those used since
// included.
func (b *Budget) granted(now time.Time) (n int) {
	for _, g := range b.Grants {
		if g.open(now) {
			n += g.Tokens
		}
	}
	return n
}

// Grantees returns the resources that may have an allowance left.
func (b *Budget) Grantees(now time.Time) (to []string) {
	for _, g := range b.Grants {
		if g.open(now) && !slices.Contains(to, g.To) {
			to = append(to, g.To)
		}
	}
	return to
}

func (g Grant) open(now time.Time) bool { return g.To != "" && g.Until.After(now) }

// Refused begins a pause of all submissions, after a refusal that is no fault of
// the job: for the rate, or because Berth may submit nothing (denied). Refusals
// within a pause are of what was under way when it began, and do not lengthen it.
// It reports whether a denial is news: not if there was one within the last hour.
func (b *Budget) Refused(now time.Time, r Rules, denied bool) (news bool) {
	b.pause(now, r.RefusalPause, r.MaxPause)
	return denied && b.deny(now)
}

// Unanswered begins a pause after a create without an answer: while Vertex AI does
// not answer, each attempt leaves replicas held until it is settled that no job came
// of it. After three pauses in a row it counts as a denial, and news is as in
// [Budget.Refused].
func (b *Budget) Unanswered(now time.Time, r Rules) (changed, news bool) {
	if b.Paused(now) && b.Refusals < alarmAfter {
		return false, false
	}
	b.pause(now, r.SilencePause, r.MaxPause)
	return true, b.Refusals >= alarmAfter && b.deny(now)
}

func (b *Budget) pause(now time.Time, first, most time.Duration) {
	if !b.Paused(now) {
		b.Refuse(now, first, most, 2*most+time.Minute) // what is tried again after a lost answer comes that late
	}
}

func (b *Budget) deny(now time.Time) (news bool) {
	news = now.Sub(b.DeniedAt) > time.Hour
	b.DeniedAt = now
	return news
}

// Accepted ends the pauses, after Vertex AI has accepted a job. It reports whether
// there were any.
func (b *Budget) Accepted(now time.Time) (changed bool) {
	if b.Refusals == 0 {
		return false
	}
	b.Backoff, b.ResumedAt = Backoff{}, now
	return true
}
