package sim

import (
	"strings"
	"testing"
)

// quick are the bounds of an ordinary test run; cmd/sim goes deeper.
var quick = Bounds{Delays: 1, Faults: 1}

func TestExplore(t *testing.T) {
	var all Counts
	for _, s := range Scenarios() {
		t.Run(strings.ReplaceAll(s.Name, " ", "_"), func(t *testing.T) {
			counts, finding, err := Explore(t.Context(), s, quick)
			if err != nil {
				t.Fatal(err)
			}
			all.Add(counts)
			if finding != nil {
				finding = Shrink(s, finding)
				for _, v := range finding.Violations {
					t.Errorf("%v", v)
				}
				t.Logf("schedule %v\n%s", finding.Schedule, strings.Join(finding.Trace, "\n"))
			}
			t.Logf("%+v", counts)
		})
	}
	t.Logf("within %+v: %d schedules, %d states, %d steps", quick, all.Schedules, all.States, all.Steps)
}
