package sim

import (
	"strings"
	"testing"

	"example.com/berth/internal/lifecycle"
)

// quick are the bounds of an ordinary test run: every delay alone and every
// fault alone. cmd/sim goes deeper.
var quick = []Bounds{{Delays: 1}, {Faults: 1}}

func TestExplore(t *testing.T) {
	var all Counts
	for _, s := range Scenarios() {
		t.Run(strings.ReplaceAll(s.Name, " ", "_"), func(t *testing.T) {
			for _, b := range quick {
				counts, finding, err := Explore(t.Context(), s, b)
				if err != nil {
					t.Fatal(err)
				}
				all.Add(counts)
				report(t, s, finding)
			}
		})
	}
	t.Logf("within %+v: %d schedules, %d states, %d steps, faults %v", quick, all.Schedules, all.States, all.Steps, all.Faults)
	if all.Schedules < 1000 {
		t.Errorf("only %d schedules were run", all.Schedules)
	}
}

// report fails the test with the shortest schedule that shows the finding.
func report(t *testing.T, s Scenario, f *Finding) {
	t.Helper()
	if f == nil {
		return
	}
	f = Shrink(s, f)
	for _, v := range f.Violations {
		t.Errorf("%v", v)
	}
	t.Logf("schedule %v\n%s", f.Schedule, strings.Join(f.Trace[max(0, len(f.Trace)-60):], "\n"))
}

// TestStorm makes random runs from a fixed seed; cmd/sim makes them from any.
func TestStorm(t *testing.T) {
	var all Counts
	// There a request goes back that was submitted, a create is refused for the rate, and a
	// job is gone whose request goes back.
	seeds := []uint64{178, 183, 286, 459}
	for seed := range uint64(140) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		s := RandomScenario(seed, 40)
		counts, finding := Random(s, seed, DefaultRates)
		all.Add(counts)
		if finding != nil {
			t.Errorf("seed %d", seed)
			report(t, s, finding)
			break
		}
	}
	t.Logf("%d runs, %d steps, faults %v", all.Schedules, all.Steps, all.Faults)
	// Requests that passed others go back, from each state and by each end of their run.
	for _, row := range lifecycle.Table {
		again := row.Case == lifecycle.CaseAgain && row.Event != lifecycle.Declined && row.Event != lifecycle.CancelAsked
		operators := row.From == lifecycle.Running && row.Event == lifecycle.Requeued // so rare that it has a test of its own
		if (again || row.Event == lifecycle.Requeued) && !operators && all.Rows[row] == 0 {
			t.Errorf("no run took %q %s %s", row.From, row.Event, row.Case)
		}
	}
	for _, a := range []Action{Delay, Crash, DoNothing, DoAndFail, DoAndRecheck, RateLimit} {
		if all.Faults[a] == 0 {
			t.Errorf("no run had a %q", a)
		}
	}
}
