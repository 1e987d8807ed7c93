package replay

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"time"
)

// published is a score of reference.json.
type published struct {
	Wait *struct {
		N    int     `json:"n"`
		Mean float64 `json:"mean"` // seconds, as the others
		P95  float64 `json:"p95"`
		Max  float64 `json:"max"`
	} `json:"wait"`
}

// publishedPolicies are the names of policies in reference.json. All of them fill
// machines, but for the flat one.
var publishedPolicies = []struct {
	name   string
	policy Policy
	flat   bool
}{
	{"fifo", StrictFifo, false}, {"easy", EasyExact, false}, {"easy_wall", EasyLimits, false}, {"easy_sjf", EasyShortest, false},
	{"easy_flat", EasyExact, true}, {"firstfit", FirstFits, false}, {"sjf", ShortestExact, false},
}

// A Difference is a score of a reference that is not the published one.
type Difference struct {
	Window string `json:"window"`
	Policy string `json:"policy"`
	Detail string `json:"detail"`
}

// CheckPublished compares the references with the scores of reference.json, which
// other code computed: jobs, mean, p95 and longest wait. It simulates several windows at
// a time, each in a goroutine that calls progress.
func CheckPublished(dir fs.FS, windows []Window, progress func(int) bool) (compared int, differences []Difference, err error) {
	text, err := fs.ReadFile(dir, "reference.json")
	if err != nil {
		return 0, nil, fmt.Errorf("read the published scores: %w", err)
	}
	var scores map[string]struct {
		Policies map[string]published `json:"policies"`
	}
	if err := json.Unmarshal(text, &scores); err != nil {
		return 0, nil, fmt.Errorf("reference.json: %w", err)
	}
	type one struct{ window, policy int }
	var list []one
	for i := range windows {
		for k, p := range publishedPolicies {
			if scores[windows[i].Name].Policies[p.name].Wait != nil {
				list = append(list, one{i, k})
			}
		}
	}
	found := make([]string, len(list))
	each(len(list), func(n int) {
		w, p := &windows[list[n].window], publishedPolicies[list[n].policy]
		o := Options{Pools: w.Pools, Gang: w.Gang(), Each: w.Each}
		if p.flat {
			o.Each = 0
		}
		if !progress(0) {
			return
		}
		r := Simulate(p.policy, w.Jobs, o)
		if progress(len(w.Jobs)); r.Err != nil {
			found[n] = r.Err.Error()
			return
		}
		s := ScoreOf(p.policy, w.Jobs, w.Pools, r, w.Gang())
		found[n] = scores[w.Name].Policies[p.name].differs(&s)
	})
	for n, detail := range found {
		if detail != "" {
			differences = append(differences, Difference{windows[list[n].window].Name, publishedPolicies[list[n].policy].name, detail})
		}
	}
	return len(list), differences, nil
}

// differs describes the first figure that is not the published one; "" if all are.
// Figures are compared to the second, because those of the workload are whole seconds.
func (p published) differs(s *Score) string {
	for _, f := range []struct {
		what      string
		got, want float64
	}{{"jobs", float64(s.Jobs), float64(p.Wait.N)}, {"mean wait", time.Duration(s.Mean).Seconds(), p.Wait.Mean},
		{"p95 wait", time.Duration(s.P95).Seconds(), p.Wait.P95}, {"longest wait", time.Duration(s.Max).Seconds(), p.Wait.Max}} {
		if math.Abs(f.got-f.want) > .5 {
			return fmt.Sprintf("%s: %.0f, published %.0f", f.what, f.got, f.want)
		}
	}
	return ""
}
