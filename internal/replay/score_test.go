package replay

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

func seconds(d time.Duration) Seconds { return Seconds(d) }

// Four jobs of one minute on four replicas, scored by hand.
func TestScore(t *testing.T) {
	list := jobs([3]int64{0, 1, 1}, [3]int64{0, 2, 1}, [3]int64{0, 1, 1}, [3]int64{10, 4, 20})
	list[1].Tenant, list[3].Tenant = "x", "y"
	r := Result{Start: []time.Duration{0, time.Minute, 2 * time.Minute, 40 * time.Minute}, Promises: 3, Kept: 2, Requeued: 1}
	s := ScoreOf(Plan, list, []Pool{{Name: "", Replicas: 3}, {Name: "", Replicas: 1}}, r, 2)
	// Waits are 0, 1, 2 and 30 minutes. Only the last slowdown is more than 1: 50/20.
	if s.Jobs != 4 || s.Mean != seconds(33*time.Minute/4) || s.P50 != seconds(time.Minute) || s.P95 != seconds(30*time.Minute) || s.Max != seconds(30*time.Minute) || s.Slowdown != 5.5/4 {
		t.Errorf("all: %+v", s.Group)
	}
	if s.Gangs.Jobs != 2 || s.Gangs.Mean != seconds(31*time.Minute/2) || s.Gangs.Max != seconds(30*time.Minute) {
		t.Errorf("gangs: %+v", s.Gangs)
	}
	names := func(list []Group) (names []string) {
		for _, g := range list {
			names = append(names, g.Name)
		}
		return names
	}
	if got := names(s.Sizes); !slices.Equal(got, []string{"3 to 4", "2", "1"}) || s.Sizes[2].Jobs != 2 || s.Sizes[2].Mean != seconds(time.Minute) {
		t.Errorf("sizes: %+v", s.Sizes)
	}
	if got := names(s.Tenants); !slices.Equal(got, []string{"y", "", "x"}) || s.Tenants[1].Mean != seconds(time.Minute) {
		t.Errorf("tenants, the one with the most replica-hours first: %+v", s.Tenants)
	}
	// Until the last submission, 4 of 40 replica-minutes are used.
	if s.Utilisation != .1 || s.IdleReplicaHours < .599 || s.IdleReplicaHours > .601 {
		t.Errorf("utilisation %v, %v idle replica-hours, want .1 and .6", s.Utilisation, s.IdleReplicaHours)
	}
	if s.Promises != 3 || s.Kept != 2 || s.Requeued != 1 {
		t.Errorf("%d, %d, %d", s.Promises, s.Kept, s.Requeued)
	}
	if once := ScoreOf(Plan, list[:2], []Pool{{Name: "", Replicas: 3}}, Result{Start: []time.Duration{0, time.Minute}}, 2); once.Utilisation != .5 {
		t.Errorf("utilisation %v when all are submitted at once, want that until the last end, .5", once.Utilisation)
	}
	if none := ScoreOf(Plan, nil, nil, Result{}, 2); none.Jobs != 0 || none.Utilisation != 0 {
		t.Errorf("no jobs: %+v", none)
	}
}

// Waits of a thousand years in all do not wrap around, nor do the means of such runs.
func TestLongWaits(t *testing.T) {
	const long = 10 * year * time.Second
	var list []Job
	var start []time.Duration
	for range 100 {
		list, start = append(list, jobs([3]int64{0, 1, 1})...), append(start, long)
	}
	s := ScoreOf(Plan, list, []Pool{{Name: "", Replicas: 1}}, Result{Start: start}, 1)
	if s.Mean != seconds(long) || s.Gangs.Mean != seconds(long) {
		t.Errorf("the mean of waits of %s is %s", seconds(long), s.Mean)
	}
	many := make([]Score, 100)
	for i := range many {
		many[i] = s
	}
	if a := Average(many); math.Abs(float64(a.Mean-s.Mean)) > float64(time.Second) || a.Max < seconds(long)-seconds(time.Second) || len(a.Sizes) != 1 || a.Sizes[0].Mean < seconds(long)-seconds(time.Second) {
		t.Errorf("the mean of 100 runs is %s, the longest wait %s", a.Mean, a.Max)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0: {"0", "0s"}, 1500 * time.Microsecond: {"0.002", "0s"}, 119 * time.Second: {"119", "119s"}, 2 * time.Minute: {"120", "2m"},
		119 * time.Minute: {"7140", "119m"}, 150 * time.Minute: {"9000", "2.5h"}, 60 * time.Hour: {"216000", "2.5d"},
	} {
		text, err := json.Marshal(Seconds(d))
		if err != nil || string(text) != want[0] || Seconds(d).String() != want[1] {
			t.Errorf("%s is %s and %s, %v, want %v", d, text, Seconds(d), err, want)
		}
	}
}

func TestAverage(t *testing.T) {
	score := func(mean time.Duration, n int) Score {
		g := Group{Name: "g", Jobs: 2, Mean: seconds(mean), P50: seconds(mean), P95: seconds(mean), Max: seconds(mean), Slowdown: float64(n)}
		return Score{Group: g, Gangs: g, Sizes: []Group{g}, Tenants: []Group{g}, Utilisation: float64(n), IdleReplicaHours: float64(n), Promises: n, Kept: n, Requeued: n}
	}
	list := []Score{score(time.Minute, 1), score(3*time.Minute, 3)}
	got := Average(list)
	want := score(2*time.Minute, 2)
	want.Promises, want.Kept, want.Requeued = 4, 4, 4
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("average %s\nwant %s", a, b)
	}
	if list[0].Mean != seconds(time.Minute) || list[0].Sizes[0].Mean != seconds(time.Minute) {
		t.Error("the first score is changed")
	}
}

// Four runs under each policy: ratios to EASY with exact run times, and the same
// figures whatever the number of processors.
func TestCompare(t *testing.T) {
	var list []Job
	for i := range int64(40) {
		list = append(list, jobs([3]int64{i, 1 + i%4, 30 + 7*i%90})...)
	}
	if !slices.Equal(Policies, []Policy{Plan, PlanLearned, EasyExact, EasyLimits, StrictFifo, FirstFits, ShortestExact}) {
		t.Errorf("policies %v", Policies)
	}
	o := Options{Pools: []Pool{{Name: "", Replicas: 4}}, Plan: policy, Gang: 4}
	c, err := Compare(list, Policies, Noise{Seeds: 4, Jitter: 10 * time.Minute, Loose: 2}, o)
	if err != nil || len(c.Policies) != len(Policies) || len(c.Results) != len(Policies) || len(c.Jobs) != len(list) {
		t.Fatalf("compared %d policies", len(c.Policies))
	}
	again, _ := Compare(list, Policies, Noise{Seeds: 4, Jitter: 10 * time.Minute, Loose: 2}, o)
	for i, p := range c.Policies {
		if p.Policy != Policies[i] || len(p.Runs) != 4 || p.Runs[0].Mean == p.Runs[1].Mean || p.OfEasy != again.Policies[i].OfEasy {
			t.Errorf("%s: %d runs, %+v and again %+v", p.Policy, len(p.Runs), p.OfEasy, again.Policies[i].OfEasy)
		}
		if unit := p.OfEasy == (Ratios{1, 1, 1}); unit != (p.Policy == EasyExact) {
			t.Errorf("%s: %+v of EASY", p.Policy, p.OfEasy)
		}
	}
	if s := c.Policies[len(Policies)-1]; s.Policy != ShortestExact || s.OfEasy.Mean > .9 {
		t.Errorf("shortest first has %v of EASY's mean wait", s.OfEasy.Mean)
	}
	o.Progress = func(int) bool { return false }
	if _, err := Compare(list, Policies, Noise{}, o); !errors.Is(err, ErrStopped) {
		t.Errorf("a comparison that is stopped: error %v", err)
	}
}

func TestRatio(t *testing.T) {
	score := func(mean, longest, gang time.Duration) *Score {
		return &Score{Group: Group{Mean: seconds(mean), Max: seconds(longest)}, Gangs: Group{Max: seconds(gang)}}
	}
	if got := Ratio(score(time.Minute, 0, time.Hour), score(2*time.Minute, time.Second/2, 4*time.Hour)); got != (Ratios{.5, 1, .25}) {
		t.Errorf("ratios %+v", got)
	}
	if got := Geometric([]Ratios{{.5, 1, 4}, {2, 1, 1}}); got.Mean < .999 || got.Mean > 1.001 || got.GangMax < 1.999 || got.GangMax > 2.001 {
		t.Errorf("geometric means %+v", got)
	}
}

func TestSeries(t *testing.T) {
	list := jobs([3]int64{0, 2, 30}, [3]int64{5, 4, 10})
	start := []time.Duration{0, 30 * time.Minute}
	s := SeriesOf(list, []Pool{{Name: "", Replicas: 4}}, start, Span(list, start), 4)
	if s.Interval != 10*time.Minute || !slices.Equal(s.Used, []float64{.5, .5, .5, 1}) || !slices.Equal(s.Queued, []float64{.5, 1, 1, 0}) || s.Waits[0] != 25./120 || s.Waits[1] != -1 {
		t.Errorf("series %+v", s)
	}
	// Intervals are whole seconds at least, and cover the span.
	if s := SeriesOf(list, []Pool{{Name: "", Replicas: 4}}, start, 40*time.Minute+1, 4); s.Interval != 10*time.Minute+1 {
		t.Errorf("an interval of %s", s.Interval)
	}
	if s := SeriesOf(nil, nil, nil, 0, 4); s.Interval != time.Second {
		t.Errorf("an interval of %s of no time", s.Interval)
	}
}
