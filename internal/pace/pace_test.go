package pace

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

func TestAllow(t *testing.T) {
	full := Allowance{10, noon.Add(2 * time.Minute)}
	ten := func() []Grant { return []Grant{{To: "a", Tokens: 10, Until: noon.Add(2 * time.Minute)}} }
	for _, test := range []struct {
		name    string
		budget  Budget
		has     Allowance
		after   time.Duration
		busy    bool
		want    Allowance
		changed bool
		free    int // afterwards
	}{
		{"a first one", Budget{}, Allowance{}, 0, false, full, true, 50},
		{"none for a busy resource", Budget{}, Allowance{}, 0, true, Allowance{}, false, 60},
		{"half left is enough", Budget{Grants: ten()}, Allowance{5, full.Until}, 59 * time.Second, false, Allowance{5, full.Until}, false, 50},
		{"less than half is renewed", Budget{Grants: ten()}, Allowance{4, full.Until}, 0, false, full, true, 44},
		{"half the time is over", Budget{Grants: ten()}, full, time.Minute, false, Allowance{10, noon.Add(3 * time.Minute)}, true, 50},
		{"revoked when requests wait", Budget{Grants: ten()}, Allowance{7, full.Until}, 0, true, Allowance{}, true, 57},
		{"revoked in a pause", Budget{Grants: ten(), Backoff: Backoff{noon.Add(time.Second), 1}}, full, 0, false, Allowance{}, true, 0},
		{"revoked until a job was accepted", Budget{Grants: ten(), Backoff: Backoff{noon.Add(-time.Second), 1}}, full, 0, false, Allowance{}, true, 1},
		{"revoked while another request is first", Budget{Grants: ten(), FirstWaiting: "5", FirstWaitingAt: noon}, full, 0, false, Allowance{}, true, 60},
		{"renewed when that is long ago", Budget{Grants: ten(), FirstWaiting: "5", FirstWaitingAt: noon.Add(-61 * time.Second)}, full, 0, false, full, false, 50},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, a, now := test.budget, test.has, noon.Add(test.after)
			if changed := b.Allow(now, rules, "a", &a, !test.busy); changed != test.changed || a != test.want {
				t.Errorf("it has %+v, changed %v; want %+v", a, changed, test.want)
			}
			if n := b.Free(now, rules); n != test.free {
				t.Errorf("%d are free then, want %d", n, test.free)
			}
		})
	}
}

// However many resources ask, half of a minute's submissions stays for requests
// that wait.
func TestHalfIsNotGranted(t *testing.T) {
	for perMinute := 1; perMinute <= 120; perMinute++ {
		b, r := &Budget{}, rules
		r.PerMinute = perMinute
		for i := range 20 {
			b.Allow(noon, r, fmt.Sprint("resource ", i), &Allowance{}, true)
		}
		if free := b.Free(noon, r); free < perMinute/2 || free < perMinute-perMinute/2 && perMinute > 1 {
			t.Errorf("at %d a minute %d are left", perMinute, free)
		}
	}
}

func TestTakeOfAnAllowance(t *testing.T) {
	a := Allowance{2, noon}
	if a.Take(noon) || a.Left != 2 {
		t.Error("it was used at its end")
	}
	before := noon.Add(-time.Nanosecond)
	for i, want := range []bool{true, true, false} {
		if got := a.Take(before); got != want {
			t.Errorf("use %d of two: %t, want %t", i+1, got, want)
		}
	}
	if a.Left != 0 {
		t.Errorf("%d are left of two", a.Left)
	}
}

// A pause within memory of the last one doubles, also while that lasts; others
// begin anew.
func TestBackoff(t *testing.T) {
	b, now := Backoff{}, noon
	for i, step := range []struct{ after, want time.Duration }{
		{0, 15 * time.Second}, {time.Second, 30 * time.Second}, {30 * time.Second, time.Minute},
		{2 * time.Minute, time.Minute}, {2*time.Minute + 1, 15 * time.Second},
	} {
		now = now.Add(step.after)
		b.Refuse(now, 15*time.Second, time.Minute, time.Minute)
		if got := b.NotBefore.Sub(now); got != step.want {
			t.Errorf("refusal %d pauses for %v, want %v", i, got, step.want)
		}
		if !b.Paused(b.NotBefore.Add(-1)) || b.Paused(b.NotBefore) {
			t.Errorf("refusal %d: the pause does not end at its end", i)
		}
	}
}

func TestDoubleDoesNotOverflow(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	for range 10000 {
		first := time.Duration(1 + dice.Int64()>>dice.IntN(63))
		most := time.Duration(1 + dice.Int64()>>dice.IntN(63))
		if first <= 0 {
			first = math.MaxInt64
		}
		if most <= 0 {
			most = math.MaxInt64
		}
		times := dice.IntN(80)
		exact := new(big.Int).Lsh(big.NewInt(int64(first)), uint(times))
		want := most
		if exact.Cmp(big.NewInt(int64(most))) < 0 {
			want = time.Duration(exact.Int64())
		}
		if got := Double(first, most, times); got != want {
			t.Fatalf("%d doubled %d times, at most %d, is %d, want %d", first, times, most, got, want)
		}
	}
}
