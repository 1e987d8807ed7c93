package pace

import (
	"cmp"
	"slices"
	"time"
)

// YieldsTo reports whether a request must leave the tokens to an earlier one, which was
// recorded as waiting no longer ago than within.
func (b *Budget) YieldsTo(now time.Time, order string, within time.Duration) bool {
	return b.FirstWaiting != "" && b.FirstWaiting < order && now.Sub(b.FirstWaitingAt) <= within
}

// A Waiting is an admitted request that waits for a submission slot.
type Waiting struct {
	Order    string    // its order key
	DeniedAt time.Time // when Vertex AI last refused Berth itself while this request was tried
}

// First sorts waiting requests and returns how many of them go now, at most free,
// and the order key of the first of the others, "" for none. After a pause one is
// tried at a time: the one that was tried longest ago, in case a request is itself
// the cause of the refusals.
func First[T any](waiting []T, free int, tried bool, of func(T) Waiting) (going int, next string) {
	slices.SortFunc(waiting, func(x, y T) int {
		a, b := of(x), of(y)
		if tried {
			return cmp.Or(a.DeniedAt.Compare(b.DeniedAt), cmp.Compare(a.Order, b.Order))
		}
		return cmp.Compare(a.Order, b.Order)
	})
	going = min(free, len(waiting))
	for _, w := range waiting[going:] {
		if o := of(w).Order; next == "" || o < next {
			next = o
		}
	}
	return going, next
}

// A Round gives the free tokens to requests within one update of the ledger.
type Round struct {
	budget *Budget
	now    time.Time
	rules  Rules
	all    bool
	spent  int
	first  string // of those that wait on
}

// Round begins a round. all says that it has to do with every request that waits in
// the region, so no other one has precedence. next is the order key of the first
// request that is known to wait and is not in the round, "" for none.
func (b *Budget) Round(now time.Time, r Rules, all bool, next string) *Round {
	return &Round{budget: b, now: now, rules: r, all: all, first: next}
}

// Take takes a token for a request, or records that the request waits on.
func (r *Round) Take(order string) bool {
	if r.budget.Free(r.now, r.rules) == r.spent || !r.all && r.budget.YieldsTo(r.now, order, r.rules.Precedence) {
		if r.first == "" || order < r.first {
			r.first = order
		}
		return false
	}
	r.spent++
	return true
}

// End counts the tokens that were taken, and records in the budget which request
// waits first, unless one that has precedence is noted.
func (r *Round) End() {
	b := r.budget
	b.spend(r.now, r.spent)
	if r.all || r.first != "" && !b.YieldsTo(r.now, r.first, r.rules.Precedence) {
		b.FirstWaiting, b.FirstWaitingAt = r.first, r.now
	}
}

// SetFirst records which request waits first while there are no tokens at all, and
// reports whether that changes the budget.
func (b *Budget) SetFirst(now time.Time, r Rules, first string) (changed bool) {
	if b.FirstWaiting == first && now.Sub(b.FirstWaitingAt) < r.Precedence/2 {
		return false
	}
	b.FirstWaiting, b.FirstWaitingAt = first, now
	return true
}

// A Retry is whether a request may try its create again, and at whose cost.
type Retry struct {
	At          time.Time // the end of a pause, if it may not try yet; else zero
	Excused     bool      // it is tried alone after a pause, so the attempt is not counted
	OfAllowance bool      // it took a token of the allowance; else the budget has changed
}

// Retry takes the token for another attempt of a request whose last attempt has run
// out of time. It goes first, whether a token is left or not, because it had its
// slot; those after it find one less. After a pause it pauses the others, so that
// one is tried at a time, and less and less often. a may be nil.
func (b *Budget) Retry(now time.Time, r Rules, a *Allowance) Retry {
	switch {
	case b.Paused(now):
		return Retry{At: b.NotBefore}
	case b.Refusals > 0:
		b.pause(now, r.SilencePause, r.MaxPause)
		b.spend(now, 1)
		return Retry{Excused: true}
	case a != nil && a.Take(now):
		return Retry{OfAllowance: true}
	}
	b.spend(now, 1)
	return Retry{}
}
