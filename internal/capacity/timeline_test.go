package capacity

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A timeline is what counting at every moment says, for any pools, use and ends.
func TestTimelineAgainstCounting(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		shape := func(label string) Shape {
			return Spec{MachineType: fmt.Sprintf("m%d", rapid.IntRange(0, 2).Draw(t, label))}.Normal()
		}
		var pools []Pool
		for i := range rapid.IntRange(0, 4).Draw(t, "pools") {
			p := Pool{ID: fmt.Sprint(i), Shape: shape("of pool"), Count: Replicas(rapid.IntRange(0, 5).Draw(t, "count"))}
			if rapid.Bool().Draw(t, "scales") {
				p.Max = p.Count + Replicas(rapid.IntRange(0, 3).Draw(t, "more"))
			}
			pools = append(pools, p)
		}
		ask := func(label string) (a Ask) {
			for i := range rapid.IntRange(1, 3).Draw(t, label) {
				a = append(a, Need{WorkerPool: i, Shape: shape("of need"), Replicas: Replicas(rapid.IntRange(1, 5).Draw(t, "replicas"))})
			}
			return a
		}
		fixed := Use{}
		for range rapid.IntRange(0, 2).Draw(t, "fixed") {
			fixed.Add(ask("fixed needs"))
		}
		var ends []End
		for range rapid.IntRange(0, 6).Draw(t, "ends") {
			ends = append(ends, End{At: noon.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "hours")) * time.Hour), Ask: ask("end needs")})
		}
		useAt := func(at time.Time) Use {
			use := Use{}
			for s, n := range fixed {
				use[s] = n
			}
			for _, e := range ends {
				if e.At.After(at) {
					use.Add(e.Ask)
				}
			}
			return use
		}
		timeline := NewTimeline(pools, fixed, ends)
		wanted, other := ask("asked"), ask("other")
		var first time.Time
		for hour := range 6 {
			at := noon.Add(time.Duration(hour) * time.Hour)
			fits := Check(pools, useAt(at), wanted).Verdict == Fits
			if fits && first.IsZero() {
				first = at
			}
			room := timeline.At(at)
			if got := room.Fits(wanted); got != fits {
				t.Fatalf("at %s it fits: %v, want %v", at, got, fits)
			}
			with := useAt(at)
			with.Add(other)
			beside := true
			for _, f := range Check(pools, with, wanted).Findings {
				for _, n := range other {
					beside = beside && (n.Shape != f.Shape || f.Verdict == Fits)
				}
			}
			if got := room.FitsBeside(wanted, other); got != beside {
				t.Fatalf("at %s it fits beside the other: %v, want %v", at, got, beside)
			}
			room.Take(other)
			if got := room.Fits(wanted); got != (Check(pools, with, wanted).Verdict == Fits) {
				t.Fatalf("at %s, with the other in use, it fits: %v", at, got)
			}
		}
		at, ok := timeline.Earliest(noon, wanted)
		if ok != !first.IsZero() || ok && !at.Equal(first) {
			t.Fatalf("the earliest moment is %s, %v; want %s", at, ok, first)
		}
	})
}
