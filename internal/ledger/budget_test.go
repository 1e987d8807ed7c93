package ledger

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Resources borrow, use, return and let lapse at random, and some use tokens
// straight away: no minute sees more submissions than the budget.
func TestBudgetHoldsInEveryMinute(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 1))
		perMinute := 1 + dice.IntN(60)
		b := &Budget{Name: "l"}
		resources := map[string]*Resource{"a": {}, "b": {}, "c": {}}
		var uses []time.Time
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		for range 2000 {
			now = now.Add(time.Duration(dice.Int64N(int64(2 * time.Second))))
			name := string(rune('a' + dice.IntN(3)))
			r := resources[name]
			switch dice.IntN(5) {
			case 0, 1:
				if r.Take(now) {
					uses = append(uses, now)
				}
			case 2:
				for n := min(b.Free(now, perMinute), 1+dice.IntN(5)); n > 0; n-- {
					b.Spend(now, 1)
					uses = append(uses, now)
				}
			case 3:
				b.Revoke(now, name, r.Allowance.Left)
				n, until := min(b.Free(now, perMinute), dice.IntN(8)), now.Add(time.Duration(dice.Int64N(int64(2*time.Minute))))
				b.GrantTo(now, name, n, until)
				r.Allowance = Allowance{n, until}
			}
			if len(b.Grants) > 70 {
				t.Fatalf("seed %d: %d grants are kept", seed, len(b.Grants))
			}
		}
		if len(uses) < 10*perMinute {
			t.Errorf("seed %d: %d submissions at %d a minute in half an hour: tokens are lost", seed, len(uses), perMinute)
		}
		first := 0
		for i, at := range uses {
			for !uses[first].After(at.Add(-time.Minute)) {
				first++
			}
			if n := i - first + 1; n > perMinute {
				t.Fatalf("seed %d: %d submissions in the minute before %v, budget %d", seed, n, at, perMinute)
			}
		}
	}
}

// What is used at once is free again after a minute, and what is returned unused
// at once.
func TestBudgetComesBack(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b := &Budget{}
	b.Spend(now, 10)
	b.GrantTo(now, "a", 20, now.Add(2*time.Minute))
	if n := b.Free(now, 60); n != 30 {
		t.Errorf("%d free of 60 with 10 used and 20 lent", n)
	}
	b.Revoke(now.Add(time.Second), "a", 15)
	if n := b.Free(now.Add(time.Second), 60); n != 45 {
		t.Errorf("%d free after 15 of 20 came back", n)
	}
	if at := b.FreeAt(now.Add(time.Second)); !at.Equal(now.Add(time.Minute)) {
		t.Errorf("the next is free at %v", at)
	}
	if n := b.Free(now.Add(62*time.Second), 60); n != 60 {
		t.Errorf("%d free after a minute", n)
	}
	b.GrantTo(now, "a", 20, now.Add(2*time.Minute))
	if n := b.Free(now.Add(150*time.Second), 60); n != 40 {
		t.Errorf("%d free half a minute after what was lent had lapsed: it may have been used at its last moment", n)
	}
}

func TestBudgetPause(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b := &Budget{}
	pause := func(after time.Duration) time.Duration {
		now = now.Add(after)
		b.Pause(now, 20*time.Second, 5*time.Minute)
		return b.NotBefore.Sub(now)
	}
	for i, step := range []struct{ after, want time.Duration }{
		{0, 20 * time.Second},
		{time.Second, 19 * time.Second}, // the same story
		{30 * time.Second, 40 * time.Second},
		{time.Minute, 80 * time.Second},
		{2 * time.Minute, 160 * time.Second},
		{3 * time.Minute, 5 * time.Minute},
		{6 * time.Minute, 5 * time.Minute},
		{time.Hour, 20 * time.Second}, // a new one
	} {
		if got := pause(step.after); got != step.want {
			t.Errorf("refusal %d pauses for %v, want %v", i, got, step.want)
		}
		if n := b.Free(now, 60); n != 0 {
			t.Errorf("refusal %d: %d free during the pause", i, n)
		}
		if at := b.FreeAt(now); at.Before(b.NotBefore) {
			t.Errorf("refusal %d: free at %v, before the pause ends", i, at)
		}
	}
}

func TestBudgetBehind(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b := &Budget{FirstWaiting: "5", FirstWaitingAt: now}
	for _, test := range []struct {
		order string
		after time.Duration
		want  bool
	}{{"6", 0, true}, {"4", 0, false}, {"5", 0, false}, {"6", time.Minute, true}, {"6", 2 * time.Minute, false}} {
		if got := b.YieldsTo(now.Add(test.after), test.order, time.Minute); got != test.want {
			t.Errorf("%s after %v is behind: %v", test.order, test.after, got)
		}
	}
}
