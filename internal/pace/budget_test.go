package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	rules = Rules{PerMinute: 60, Lifetime: 2 * time.Minute, Precedence: time.Minute,
		RefusalPause: 20 * time.Second, SilencePause: 3 * time.Second, MaxPause: 5 * time.Minute}
)

// Resources borrow, use, give back and let lapse at random, and some use tokens
// straight away: no minute sees more submissions than the budget.
func TestBudgetHoldsInEveryMinute(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 1))
		rules := Rules{PerMinute: 1 + dice.IntN(60)}
		b, allowances := &Budget{}, map[string]*Allowance{"a": {}, "b": {}, "c": {}}
		var uses []time.Time
		now := noon
		for range 2000 {
			now = now.Add(time.Duration(dice.Int64N(int64(2 * time.Second))))
			name := string(rune('a' + dice.IntN(3)))
			a := allowances[name]
			switch dice.IntN(5) {
			case 0, 1:
				if a.Take(now) {
					uses = append(uses, now)
				}
			case 2:
				for n := min(b.Free(now, rules), 1+dice.IntN(5)); n > 0; n-- {
					b.spend(now, 1)
					uses = append(uses, now)
				}
			case 3:
				b.revoke(now, name, a.Left)
				n, until := min(b.Free(now, rules), dice.IntN(8)), now.Add(time.Duration(dice.Int64N(int64(2*time.Minute))))
				b.grant(now, Grant{To: name, Tokens: n, Until: until})
				*a = Allowance{n, until}
			}
			if len(b.Grants) > 70 {
				t.Fatalf("seed %d: %d grants are kept", seed, len(b.Grants))
			}
		}
		if len(uses) < 10*rules.PerMinute {
			t.Errorf("seed %d: %d submissions at %d a minute in half an hour: tokens are lost", seed, len(uses), rules.PerMinute)
		}
		noMinuteOver(t, seed, uses, rules.PerMinute)
	}
}

// The same by the rules that updates go by: allowances and rounds, with requests
// that wait here and there.
func TestRoundsAndAllowancesHoldInEveryMinute(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 2))
		rules := rules
		rules.PerMinute = 1 + dice.IntN(60)
		b, allowances := &Budget{}, map[string]*Allowance{"a": {}, "b": {}, "c": {}}
		var uses []time.Time
		now, refused := noon, 0
		for range 2000 {
			now = now.Add(time.Duration(dice.Int64N(int64(2 * time.Second))))
			name := string(rune('a' + dice.IntN(3)))
			switch dice.IntN(4) {
			case 0, 1:
				if allowances[name].Take(now) {
					uses = append(uses, now)
				}
			case 2:
				round := b.Round(now, rules, dice.IntN(4) == 0, "")
				for range dice.IntN(4) {
					if round.Take(string(rune('0' + dice.IntN(10)))) {
						uses = append(uses, now)
					} else {
						refused++
					}
				}
				round.End()
			case 3:
				b.Allow(now, rules, name, allowances[name], dice.IntN(4) > 0)
			}
			total := 0
			for _, a := range allowances {
				if now.Before(a.Until) {
					total += a.Left
				}
			}
			if total > (rules.PerMinute+1)/2 {
				t.Fatalf("seed %d: allowances of %d at %d a minute leave less than half to those that wait", seed, total, rules.PerMinute)
			}
		}
		if refused == 0 || len(uses) < 8*rules.PerMinute {
			t.Errorf("seed %d: %d submissions at %d a minute, %d refused: the test tests nothing", seed, len(uses), rules.PerMinute, refused)
		}
		noMinuteOver(t, seed, uses, rules.PerMinute)
	}
}

func noMinuteOver(t *testing.T, seed uint64, uses []time.Time, perMinute int) {
	t.Helper()
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

// What is used at once is free again after a minute, and what is given back unused
// at once.
func TestBudgetComesBack(t *testing.T) {
	b := &Budget{}
	b.spend(noon, 10)
	b.grant(noon, Grant{To: "a", Tokens: 20, Until: noon.Add(2 * time.Minute)})
	if n := b.Free(noon, rules); n != 30 {
		t.Errorf("%d free of 60 with 10 used and 20 granted", n)
	}
	b.revoke(noon.Add(time.Second), "a", 15)
	if n := b.Free(noon.Add(time.Second), rules); n != 45 {
		t.Errorf("%d free after 15 of 20 came back", n)
	}
	if at := b.FreeAt(noon.Add(time.Second)); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("the next is free at %v", at)
	}
	if n := b.Free(noon.Add(62*time.Second), rules); n != 60 {
		t.Errorf("%d free after a minute", n)
	}
	b.grant(noon, Grant{To: "a", Tokens: 20, Until: noon.Add(2 * time.Minute)})
	if n := b.Free(noon.Add(150*time.Second), rules); n != 40 {
		t.Errorf("%d free half a minute after an allowance had lapsed: it may have been used at its last moment", n)
	}
}

func TestPausesOfARegion(t *testing.T) {
	b, now := &Budget{}, noon
	for i, step := range []struct{ after, want time.Duration }{
		{0, 20 * time.Second},
		{time.Second, 19 * time.Second}, // under way when the pause began
		{30 * time.Second, 40 * time.Second},
		{time.Minute, 80 * time.Second},
		{2 * time.Minute, 160 * time.Second},
		{3 * time.Minute, 5 * time.Minute},
		{6 * time.Minute, 5 * time.Minute},
		{time.Hour, 20 * time.Second}, // the count begins anew
	} {
		now = now.Add(step.after)
		if b.Refused(now, rules, false) {
			t.Errorf("refusal %d for the rate counts as a denial", i)
		}
		if got := b.NotBefore.Sub(now); got != step.want {
			t.Errorf("refusal %d pauses for %v, want %v", i, got, step.want)
		}
		if n := b.Free(now, rules); n != 0 {
			t.Errorf("refusal %d: %d free during the pause", i, n)
		}
		if at := b.FreeAt(now); at.Before(b.NotBefore) {
			t.Errorf("refusal %d: free at %v, before the pause ends", i, at)
		}
	}
	after := b.NotBefore
	if n := b.Free(after, rules); n != 1 {
		t.Errorf("%d free after the pause, want one to try", n)
	}
	if !b.Accepted(after) || b.Accepted(after) {
		t.Error("the first job that is accepted ends the pauses, and only that")
	}
	if n := b.Free(after, rules); n != 60 || !b.ResumedAt.Equal(after) {
		t.Errorf("%d free once a job was accepted, resumed at %v", n, b.ResumedAt)
	}
}

func TestDenialIsNewsOnceAnHour(t *testing.T) {
	b := &Budget{}
	for i, step := range []struct {
		at   time.Duration
		want bool
	}{{0, true}, {time.Minute, false}, {61 * time.Minute, false}, {122 * time.Minute, true}} {
		if got := b.Refused(noon.Add(step.at), rules, true); got != step.want {
			t.Errorf("denial %d is news: %v", i, got)
		}
	}
}

// Silence pauses from the third time in a row on with an alarm.
func TestUnanswered(t *testing.T) {
	b, now := &Budget{}, noon
	for i, step := range []struct {
		after         time.Duration
		changed, news bool
		pause         time.Duration
	}{
		{0, true, false, 3 * time.Second},
		{time.Second, false, false, 2 * time.Second}, // under way when the pause began
		{3 * time.Second, true, false, 6 * time.Second},
		{6 * time.Second, true, true, 12 * time.Second},
		{time.Second, true, false, 11 * time.Second},
		{12 * time.Second, true, false, 24 * time.Second},
	} {
		now = now.Add(step.after)
		if changed, news := b.Unanswered(now, rules); changed != step.changed || news != step.news {
			t.Errorf("silence %d: changed %v, news %v", i, changed, news)
		}
		if got := b.NotBefore.Sub(now); got != step.pause {
			t.Errorf("silence %d pauses for %v, want %v", i, got, step.pause)
		}
	}
}
