package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"
)

// traces is a folder with one trace in two windows and two layouts.
func traces(t *testing.T) fstest.MapFS {
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	_, _ = fmt.Fprint(z, "job_id,submit_s,gpus,nodes,duration_s,tenant\n")
	for i := range 60 {
		_, _ = fmt.Fprintf(z, "j%d,%d,%d,%d,%d,u%d\n", i, 100*i, 1+i%9, 1+i%9/4, 600+i*977%40000, i%3)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"a.csv.gz": {Data: text.Bytes()}, "configs.json": {Data: []byte(`{"a": {"file": "a.csv.gz", "gpus_per_machine": 4,
		"layouts": {"shared": {"pools": [{"name": "all", "machines": 3}], "route": {"by": "all"}},
			"pools": {"pools": [{"name": "few", "machines": 2}, {"name": "many", "machines": 3}], "route": {"by": "gpus", "rules": [{"max_gpus": 3, "pool": "few"}, {"max_gpus": null, "pool": "many"}]}}},
		"windows": {"full": {}, "part": {"from_s": 1000, "to_s": 3000, "cap_s": 7200, "own_layouts": true,
			"layouts": {"tenants": {"pools": [{"name": "x", "machines": 3}, {"name": "y", "machines": 4}], "route": {"by": "tenant", "map": {"u1": "x"}, "default": "y"}}}}}}}`)}}
}

func TestWindows(t *testing.T) {
	windows, err := Windows(traces(t))
	if err != nil || len(windows) != 3 || windows[0].Name != "a/full/pools" || windows[1].Name != "a/full/shared" || windows[2].Name != "a/part/tenants" {
		t.Fatalf("%v, %v", windows, err)
	}
	if w := windows[0]; !slices.Equal(w.Pools, []Pool{{Name: "few", Replicas: 8}, {Name: "many", Replicas: 12}}) || w.Gang() != 5 || w.Jobs[2].Pool != "few" || w.Jobs[3].Pool != "many" || w.Jobs[8].Pool != "many" || len(w.Jobs) != 60 {
		t.Errorf("%s: %+v", w.Name, w.Pools)
	}
	w := windows[2]
	if len(w.Jobs) != 20 || w.Jobs[0].ID != "j10" || w.Jobs[0].Submit != 0 || w.Jobs[19].Submit != 1900*time.Second || w.Jobs[0].Pool != "x" || w.Jobs[1].Pool != "y" {
		t.Errorf("%s: %d jobs, the first %+v", w.Name, len(w.Jobs), w.Jobs[0])
	}
	for _, j := range w.Jobs {
		if j.Run > 2*time.Hour || j.Run == 2*time.Hour && j.Limit != 4*time.Hour {
			t.Errorf("%s runs for %s of %s, want at most two hours", j.ID, j.Run, j.Limit)
		}
	}
}

func TestWindowsErrors(t *testing.T) {
	for from, to := range map[string]string{
		`"gpus_per_machine": 4`: `"gpus_per_machine": 0`, `"file": "a.csv.gz"`: `"file": "b.csv.gz"`, `"by": "all"`: `"by": "name"`,
		`"default": "y"`: `"default": "z"`, `"machines": 3}], "route": {"by": "all"}`: `"machines": 2}], "route": {"by": "all"}`,
		`"from_s": 1000`: `"from_s": 100000`, `{"a"`: `{a`,
	} {
		dir := traces(t)
		text := string(dir["configs.json"].Data)
		if !strings.Contains(text, from) {
			t.Fatalf("no %s", from)
		}
		dir["configs.json"].Data = []byte(strings.Replace(text, from, to, 1))
		if _, err := Windows(dir); err == nil {
			t.Errorf("%s instead of %s: no error", to, from)
		} else if strings.HasPrefix(to, `"machines": 2`) && !strings.Contains(err.Error(), "a/full/shared: line 10: the job never fits its pool all") {
			t.Errorf("%s instead of %s: %v", to, from, err)
		}
	}
	if _, err := Windows(fstest.MapFS{}); err == nil {
		t.Error("an empty folder: no error")
	}
	if _, err := Windows(fstest.MapFS{"configs.json": {Data: []byte("{}")}}); err == nil {
		t.Error("no window: no error")
	}
}

// A row has what each column has of EASY, by the comparisons that it is made of.
func TestTableRow(t *testing.T) {
	windows, err := Windows(traces(t))
	if err != nil {
		t.Fatal(err)
	}
	w := &windows[1]
	noise := Noise{Seeds: 2, Jitter: time.Minute}
	var count atomic.Int64 // runs go side by side
	row, err := TableRowOf(w, noise, func(n int) bool { count.Add(int64(n)); return true })
	if err != nil || count.Load() != int64(TableRuns(w, noise)) {
		t.Fatalf("%d jobs are counted, want %d", count.Load(), TableRuns(w, noise))
	}
	exact, _ := Compare(w.Jobs, []Policy{Plan, EasyExact}, noise, Options{Pools: w.Pools, Plan: TablePlan, Gang: 5})
	noise.Loose = 2
	loose, _ := Compare(w.Jobs, []Policy{PlanLearned, EasyExact}, noise, Options{Pools: w.Pools, Plan: TablePlan, Gang: 5})
	if row.Columns[0].Ratios != exact.Policies[0].OfEasy || row.Columns[2].Ratios != loose.Policies[0].OfEasy || row.Easy.Mean != exact.Policies[1].Mean {
		t.Errorf("row %+v\nwant %+v and %+v", row, exact.Policies[0].OfEasy, loose.Policies[0].OfEasy)
	}
	over := exact.Policies[0].Runs[0].Max - exact.Policies[1].Runs[0].Max
	over = max(over, exact.Policies[0].Runs[1].Max-exact.Policies[1].Runs[1].Max)
	if row.Columns[0].Over != over || row.Columns[0].Kept != row.Columns[0].Promises || row.Columns[0].Promises == 0 || row.Gangs != 32 {
		t.Errorf("%+v, %d gangs; want %s over EASY's longest wait", row.Columns[0], row.Gangs, over)
	}
	if row.Shortest >= 1 || row.HalfWay != (row.Columns[1].Mean <= (1+row.Shortest)/2) {
		t.Errorf("shortest %v, half-way %t with %v", row.Shortest, row.HalfWay, row.Columns[1].Mean)
	}
	if _, err := TableRowOf(w, noise, func(int) bool { return false }); !errors.Is(err, ErrStopped) {
		t.Errorf("a row that is stopped: error %v", err)
	}
}

// The longest wait over EASY's is the largest of the runs, which may be less than none.
func TestCellOver(t *testing.T) {
	score := func(longest ...time.Duration) *Compared {
		c := &Compared{}
		for _, d := range longest {
			c.Runs = append(c.Runs, Score{Group: Group{Max: seconds(d)}})
		}
		return c
	}
	if c := cell(score(5, 9, 3), score(10, 12, 9)); c.Over != -3 {
		t.Errorf("%d over, want -3", c.Over)
	}
	one, easy := &Compared{}, &Compared{}
	one.Max, easy.Max = 5, 9
	if c := cell(one, easy); c.Over != -4 {
		t.Errorf("%d over in one run, want -4", c.Over)
	}
}

// Bands of two windows, one without gangs, computed by hand.
func TestBands(t *testing.T) {
	cell := func(mean, gang, longest float64, over time.Duration) Cell {
		return Cell{Ratios: Ratios{mean, longest, gang}, Over: seconds(over)}
	}
	rows := []TableRow{
		{Window: "w/one", Gangs: 3, Columns: [3]Cell{cell(.5, .6, 1, time.Hour), cell(.4, 1.2, 1, 0), cell(.5, .8, 1, 0)}, HalfWay: true},
		{Window: "w/two", Columns: [3]Cell{cell(.72, 1, 1.44, -time.Hour), cell(1.05, 1, 1, 49*time.Hour), cell(.5, 1, 4, 0)}, Shortest: .5},
	}
	var got []string
	for _, b := range Bands(rows, false) {
		line := b.Name
		for _, j := range b.Judged {
			if j == nil {
				line += "; -"
			} else {
				line += "; " + j.String()
			}
		}
		got = append(got, line)
	}
	want := []string{
		"mean wait; 0.60 <= 0.60 pass; 0.65 <= 0.55 miss; 0.50 <= 0.60 pass",
		"mean wait, worst window; 0.72 <= 1.00 pass; 1.05 <= 1.00 miss; -",
		"longest gang wait; 0.60 <= 0.75 pass; 1.20 <= 0.75 miss; 0.80 <= 0.90 pass",
		"windows with one of 1.15 or less; 100 % >= 85 % pass; 0 % >= 85 % miss; -",
		"longest wait; 1.20 <= 1.25 pass; 1.00 <= 1.25 pass; 2.00 <= 1.25 miss",
		"longest wait over EASY's; 1 h <= 48 h pass; 49 h <= 48 h miss; 0 h <= 48 h pass",
		"windows half-way to shortest; -; 50 % >= 75 % miss; -",
	}
	if !slices.Equal(got, want) {
		t.Errorf("bands\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	fresh := Bands(rows, true)
	if fresh[0].Judged[1].Bound != .75 || !fresh[0].Judged[1].Pass || fresh[1].Judged[0].Bound != 1.1 || fresh[1].Judged[2] != nil || fresh[0].Judged[0].Bound != .8 {
		t.Errorf("bands of fresh traces: %+v", fresh[0].Judged[1])
	}
	lost := []string{
		"w/one, learned: the longest gang wait is 1.20 of EASY's",
		"w/two, limits: the longest wait is 1.44 of EASY's, at most -3600s longer",
		"w/two, learned: the mean wait is 1.05 of EASY's",
		"w/two, learned, loose limits: the longest wait is 4.00 of EASY's, at most 0s longer",
		"w/two, learned: the mean wait is 1.05 of EASY's, and shortest first has 0.50",
	}
	if list := Losses(rows); !slices.Equal(list, lost) {
		t.Errorf("losses %q\nwant %q", list, lost)
	}
	if none := Bands(rows[1:], false); none[2].Judged[0] != nil || none[3].Judged[0] != nil {
		t.Error("windows without gangs are judged by them")
	}
}

func TestCheckPublished(t *testing.T) {
	dir := traces(t)
	windows, err := Windows(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &windows[0]
	policies := map[string]any{}
	for _, p := range publishedPolicies {
		o := Options{Pools: w.Pools, Each: map[bool]int64{false: 4}[p.flat]}
		s := ScoreOf(p.policy, w.Jobs, w.Pools, Simulate(p.policy, w.Jobs, o), 5)
		sec := func(s Seconds) float64 { return time.Duration(s).Seconds() }
		policies[p.name] = map[string]any{"wait": map[string]any{"n": s.Jobs, "mean": sec(s.Mean), "p95": sec(s.P95), "max": sec(s.Max)}}
	}
	publish := func() {
		text, _ := json.Marshal(map[string]any{w.Name: map[string]any{"policies": policies}})
		dir["reference.json"] = &fstest.MapFile{Data: text}
	}
	publish()
	if n, list, err := CheckPublished(dir, windows, func(int) bool { return true }); n != 7 || len(list) != 0 || err != nil {
		t.Errorf("%d scores, %v, %v", n, list, err)
	}
	policies["sjf"].(map[string]any)["wait"].(map[string]any)["p95"] = 1
	publish()
	if n, list, err := CheckPublished(dir, windows, func(int) bool { return true }); n != 7 || len(list) != 1 || list[0].Window != w.Name || list[0].Policy != "sjf" || !strings.HasPrefix(list[0].Detail, "p95 wait: ") || err != nil {
		t.Errorf("%d scores, %v, %v", n, list, err)
	}
	var calls atomic.Int64 // the scores are computed side by side
	if _, list, err := CheckPublished(dir, windows, func(int) bool { calls.Add(1); return false }); calls.Load() != 7 || len(list) != 0 || err != nil {
		t.Errorf("stopped: %d calls, %v, %v", calls.Load(), list, err)
	}
	delete(dir, "reference.json")
	if _, _, err := CheckPublished(dir, windows, func(int) bool { return true }); err == nil {
		t.Error("no file: no error")
	}
}
