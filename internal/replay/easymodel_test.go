package replay

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelEasy is [Easy] in its slowest form: at every end and submission it computes what
// is free at each later moment from the list of started jobs.
func modelEasy(list []Job, m Machines, known RunTime, shortFirst bool) []time.Duration {
	type placed struct {
		at time.Duration
		on []share
	}
	started := map[int]placed{}
	var moments []time.Duration
	for i := range list {
		moments = append(moments, list[i].Submit)
	}
	// free is what each machine has free at a moment, as far as is known now.
	free := func(at, now time.Duration) []int64 {
		list2 := make([]int64, m.Count)
		for i := range list2 {
			list2[i] = m.Each
		}
		for j, p := range started {
			if p.at+list[j].Run > now && (at == now || p.at+known(&list[j]) > at) {
				for _, s := range p.on {
					list2[s.machine] -= s.replicas
				}
			}
		}
		return list2
	}
	expected := func(now time.Duration) (ends []time.Duration) {
		for j, p := range started {
			if p.at+list[j].Run > now {
				ends = append(ends, p.at+known(&list[j]))
			}
		}
		slices.Sort(ends)
		return slices.Compact(ends)
	}
	head, reserved := -1, placed{}
	for len(moments) > 0 {
		now := slices.Min(moments)
		moments = slices.DeleteFunc(moments, func(t time.Duration) bool { return t <= now })
		for j, p := range started {
			if p.at+list[j].Run == now && known(&list[j]) != list[j].Run {
				head = -1
			}
		}
		for begins := true; begins; {
			begins = false
			var queue []int
			for j := range list {
				if _, ok := started[j]; !ok && list[j].Submit <= now {
					queue = append(queue, j)
				}
			}
			start := func(j int, on []share) {
				started[j] = placed{now, on}
				moments = append(moments, now+list[j].Run)
				begins = true
			}
			if len(queue) == 0 {
				break
			}
			if on := choose(free(now, now), m.parts(&list[queue[0]])); on != nil {
				start(queue[0], on)
				head = -1
				continue
			}
			if head != queue[0] {
				head = queue[0]
				for _, end := range expected(now) {
					if reserved = (placed{end, choose(free(end, now), m.parts(&list[head]))}); reserved.on != nil {
						break
					}
				}
			}
			rest := queue[1:]
			if shortFirst {
				slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(list[a].Run, list[b].Run) })
			}
			for _, j := range rest {
				low := free(now, now)
				if until := now + known(&list[j]); until > reserved.at {
					for _, at := range append(expected(now), reserved.at) {
						if at >= until {
							continue
						}
						then := free(at, now)
						if at >= reserved.at {
							for _, s := range reserved.on {
								then[s.machine] -= s.replicas
							}
						}
						for i := range low {
							low[i] = min(low[i], then[i])
						}
					}
				}
				if on := choose(low, m.parts(&list[j])); on != nil {
					start(j, on)
					break
				}
			}
		}
	}
	starts := make([]time.Duration, len(list))
	for j, p := range started {
		starts[j] = p.at
	}
	return starts
}

func TestEasyIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom([]Machines{Flat(8), {2, 4}, {3, 4}}).Draw(t, "machines")
		known := rapid.SampledFrom([]string{"exact", "declared"}).Draw(t, "known")
		shortFirst := rapid.Bool().Draw(t, "short first")
		var list []Job
		at := int64(0)
		for range rapid.IntRange(1, 25).Draw(t, "jobs") {
			at += rapid.Int64Range(0, 30).Draw(t, "gap")
			list = append(list, jobs([3]int64{at, rapid.Int64Range(1, m.Count*m.Each).Draw(t, "replicas"), rapid.Int64Range(1, 300).Draw(t, "run")})...)
		}
		of := Exact
		if known == "declared" {
			of = Declared
		}
		if got, want := started(Easy(list, m, of, shortFirst)), modelEasy(list, m, of, shortFirst); !slices.Equal(got, want) {
			t.Fatalf("%v: starts %v\nwant %v", list, got, want)
		}
	})
}
