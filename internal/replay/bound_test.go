package replay

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
)

// boundOf is the latest start of a job by the bound on waiting: T + L (1 + 4 A/N) with N
// replicas, limits of at most L, T the job's key plus the patience, and A the replicas
// of those ahead of it at T, of one reservation, and of itself.
func boundOf(j int, list []Job, start []time.Duration, replicas int64, patience time.Duration, s Settings) time.Duration {
	order := func(k int) admission.Head {
		return waitingOf(k, &list[k], newPool(Pool{}).shape, s, admission.Place{}).Head
	}
	own := order(j)
	at := own.Key.Add(patience).Sub(epoch)
	ahead, reserved, limit := list[j].Replicas, int64(0), time.Duration(0)
	for k := range list {
		limit = max(limit, list[k].Limit)
		if k == j || list[k].Submit > at || start[k] <= at {
			continue
		}
		if byOrder(order(k), own) < 0 {
			ahead += list[k].Replicas
		} else {
			reserved = max(reserved, list[k].Replicas)
		}
	}
	ahead += reserved
	return at + limit + time.Duration(4*float64(ahead)/float64(replicas)*float64(limit))
}

// Streams of small jobs, which fit when a gang does not, do not starve it: every job
// starts within the bound, and has at the latest when it is first promised.
func TestWaitIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const replicas = 8
		p := policy
		p.Patience = rapid.SampledFrom([]time.Duration{0, time.Hour, 6 * time.Hour}).Draw(t, "patience")
		s := Settings{Policy: p, Gang: 2, Expected: Declared}
		var list []Job
		at := int64(0)
		gap := rapid.Int64Range(0, 40).Draw(t, "mean gap")
		for i := range rapid.IntRange(1, 150).Draw(t, "jobs") {
			at += rapid.Int64Range(0, gap).Draw(t, "gap")
			size := int64(1)
			if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
				size = rapid.Int64Range(2, replicas).Draw(t, "replicas")
			}
			j := jobs([3]int64{at, size, rapid.SampledFrom([]int64{1, 30, 60, 61, 239}).Draw(t, "run")})[0]
			j.Line = i
			list = append(list, j)
		}
		r := Run(list, []Pool{{Replicas: replicas}}, s)
		for j := range list {
			if bound := boundOf(j, list, r.Start, replicas, p.Patience, s); r.Start[j] > bound {
				t.Fatalf("job %d of %d replicas, submitted at %s, starts at %s, after the bound %s", j, list[j].Replicas, list[j].Submit, r.Start[j], bound)
			}
		}
		if r.Kept != r.Promises {
			t.Fatalf("%d of %d promises are kept", r.Kept, r.Promises)
		}
	})
}
