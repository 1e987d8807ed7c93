package pace

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMost(t *testing.T) {
	for _, test := range []struct {
		perMinute int
		share     float64
		want      int
	}{{60, .1, 6}, {60, .11, 7}, {60, 1, 60}, {60, 1e-6, 1}, {1, .5, 1}, {10, .3, 3}, {10, .31, 4}, {600, .7, 420}, {60, 0, math.MaxInt}} {
		if got := (Rules{PerMinute: test.perMinute}).Most(test.share); got != test.want {
			t.Errorf("%v of %d a minute: %d, want %d", test.share, test.perMinute, got, test.want)
		}
	}
}

// No minute sees more submissions of a tenant than its share, whatever the moments; what is
// older gives its place back.
func TestShareOfAMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{PerMinute: rapid.IntRange(1, 20).Draw(t, "a minute")}
		share := rapid.Float64Range(.01, 1).Draw(t, "share")
		now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		b := &Budget{}
		var took []time.Time
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
			in := 0
			for _, at := range took {
				if at.After(now.Add(-window)) {
					in++
				}
			}
			left := b.Left(now, r, "a", share)
			if in+left > r.Most(share) {
				t.Fatalf("%d submissions in the last minute and %d left, of %d", in, left, r.Most(share))
			}
			if in == 0 && len(took) > 0 && now.Sub(took[len(took)-1]) > window+time.Second && left != r.Most(share) {
				t.Fatalf("%d left after a minute without one, want %d", left, r.Most(share))
			}
			if b.Left(now, r, "b", share) != r.Most(share) || b.Left(now, r, "a", 0) != math.MaxInt {
				t.Fatal("another tenant, or one without a share, is bounded by it")
			}
			if left > 0 {
				b.Count(now, "a")
				took = append(took, now)
			}
		}
		if len(b.Tenants) > int(window/time.Second)+2 {
			t.Fatalf("%d entries", len(b.Tenants))
		}
	})
}

// Those beyond a share are left out, in order, and delay no other.
func TestWithin(t *testing.T) {
	list := strings.Fields("b3 a1 a2 c9 b1 a3 b2")
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(a[1], b[1]) })
	slices.Reverse(list)
	got := Within(list, func(a, b string) int { return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0])) }, func(s string) string { return s[:1] },
		func(tenant string) int { return map[string]int{"a": 1, "b": 2, "c": math.MaxInt}[tenant] })
	if want := "a1 b1 b2 c9"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}
