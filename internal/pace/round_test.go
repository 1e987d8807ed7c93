package pace

import (
	"testing"
	"time"
)

func TestYieldsTo(t *testing.T) {
	b := &Budget{FirstWaiting: "5", FirstWaitingAt: noon}
	for _, test := range []struct {
		order string
		after time.Duration
		want  bool
	}{{"6", 0, true}, {"4", 0, false}, {"5", 0, false}, {"6", time.Minute, true}, {"6", time.Minute + 1, false}} {
		if got := b.YieldsTo(noon.Add(test.after), test.order, time.Minute); got != test.want {
			t.Errorf("%s yields after %v: %v", test.order, test.after, got)
		}
	}
}

func TestFirst(t *testing.T) {
	waiting := func() []Waiting {
		return []Waiting{{"3", noon}, {"1", noon.Add(time.Second)}, {"2", time.Time{}}, {"4", noon}}
	}
	for _, test := range []struct {
		free  int
		tried bool
		going string
		next  string
	}{
		{0, false, "", "1"}, {2, false, "12", "3"}, {4, false, "1234", ""}, {9, false, "1234", ""},
		{1, true, "2", "1"}, {2, true, "23", "1"}, {3, true, "234", "1"},
	} {
		w := waiting()
		n, next := First(w, test.free, test.tried, func(w Waiting) Waiting { return w })
		going := ""
		for _, w := range w[:n] {
			going += w.Order
		}
		if going != test.going || next != test.next {
			t.Errorf("of %d free (one by one: %v) go %q before %q, want %q before %q", test.free, test.tried, going, next, test.going, test.next)
		}
	}
}

func TestRound(t *testing.T) {
	for _, test := range []struct {
		name   string
		first  string // noted before
		all    bool
		next   string
		orders string
		taken  string
		noted  string
		free   int // afterwards, of 3
	}{
		{"as many as are free", "", false, "", "12345", "123", "4", 0},
		{"the first waits outside of the round", "2", false, "", "135", "1", "2", 2},
		{"all that wait are here, so it has ended", "2", true, "", "135", "135", "", 0},
		{"another is known to wait", "", true, "7", "13", "13", "7", 1},
		{"it comes before the one that is noted", "5", false, "", "1234", "123", "4", 0},
		{"they do not come in order", "", false, "", "54321", "543", "1", 0},
		{"nothing is left over", "", false, "", "12", "12", "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rules
			r.PerMinute = 3
			b := &Budget{FirstWaiting: test.first, FirstWaitingAt: noon}
			round, taken := b.Round(noon, r, test.all, test.next), ""
			for _, o := range test.orders {
				if round.Take(string(o)) {
					taken += string(o)
				}
			}
			round.End()
			if free := b.Free(noon, r); taken != test.taken || b.FirstWaiting != test.noted || free != test.free {
				t.Errorf("%q take, %q is noted, %d are free; want %q, %q, %d", taken, b.FirstWaiting, free, test.taken, test.noted, test.free)
			}
		})
	}
}

func TestSetFirst(t *testing.T) {
	b := &Budget{FirstWaiting: "5", FirstWaitingAt: noon}
	if b.SetFirst(noon.Add(29*time.Second), rules, "5") {
		t.Error("what is noted and new is written again")
	}
	if at := noon.Add(30 * time.Second); !b.SetFirst(at, rules, "5") || !b.FirstWaitingAt.Equal(at) {
		t.Error("it loses its precedence while it waits")
	}
	if !b.SetFirst(noon, rules, "6") || b.FirstWaiting != "6" {
		t.Error("another is first now")
	}
}

func TestRetry(t *testing.T) {
	for _, test := range []struct {
		name      string
		budget    Budget
		allowance *Allowance
		want      Retry
		free      int // a minute of 60, without pauses
	}{
		{"in a pause", Budget{Backoff: Backoff{noon.Add(9 * time.Second), 2}}, &Allowance{1, noon.Add(time.Minute)}, Retry{At: noon.Add(9 * time.Second)}, 60},
		{"after a pause", Budget{Backoff: Backoff{noon.Add(-time.Second), 2}}, &Allowance{1, noon.Add(time.Minute)}, Retry{Excused: true}, 59},
		{"with an allowance", Budget{}, &Allowance{1, noon.Add(time.Minute)}, Retry{OfAllowance: true}, 60},
		{"with none left", Budget{}, &Allowance{0, noon.Add(time.Minute)}, Retry{}, 59},
		{"without a resource", Budget{}, nil, Retry{}, 59},
		{"with no token left", Budget{Grants: []Grant{{Tokens: 60, Until: noon}}}, nil, Retry{}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := test.budget
			if got := b.Retry(noon, rules, test.allowance); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			if test.want.Excused && (b.Refusals != 3 || !b.NotBefore.Equal(noon.Add(12*time.Second))) {
				t.Errorf("the others are paused until %v after %d refusals", b.NotBefore, b.Refusals)
			}
			b.Backoff = Backoff{}
			if free := b.Free(noon, rules); free != test.free {
				t.Errorf("%d are free then, want %d", free, test.free)
			}
			if over := b.Grants; len(over) > 0 && test.name == "with no token left" && over[0].Tokens != 61 {
				t.Errorf("it is not counted against those after it: %v", over)
			}
		})
	}
}
