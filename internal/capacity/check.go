package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"example.com/berth/internal/spelling"
)

// A Verdict is the answer of [Check]. It is a word because it is stored and published.
type Verdict string

const (
	Fits  Verdict = "FITS"
	Full  Verdict = "FULL"  // would fit if less were in use
	Never Verdict = "NEVER" // does not fit even when nothing is in use
)

// A Result says whether an ask fits, and for every shape it asks for, why.
type Result struct {
	Verdict  Verdict
	ScaleUp  bool      // fits within the autoscaling maximum, but not on the machines there now
	Findings []Finding // one per distinct shape, in order of first worker pool
}

// A Finding is the result for one shape: the worker pools that ask for it, the
// pools that have it, and what is short.
type Finding struct {
	Verdict     Verdict    `json:"verdict"`
	Shape       Shape      `json:"shape"`
	WorkerPools []int      `json:"workerPools"`       // indices in workerPoolSpecs
	Asked       Replicas   `json:"asked"`             // replicas of those worker pools together
	Pools       []string   `json:"pools,omitempty"`   // ids of the pools of this shape
	Limit       Replicas   `json:"limit"`             // what those pools can have
	Taken       Replicas   `json:"taken"`             // what is in use of it: holds and foreign use
	Short       Replicas   `json:"short,omitempty"`   // how many of the taken have to be freed first
	ScaleUp     bool       `json:"scaleUp,omitempty"` // the autoscaler has to add machines
	Nearest     []PoolDiff `json:"nearest,omitempty"` // when no pool has the shape: every pool, nearest first
	Edits       []Edit     `json:"edits,omitempty"`   // the smallest change that would fit an empty resource
}

// A PoolDiff says how a shape differs from a pool's.
type PoolDiff struct {
	Pool   string      `json:"pool"`
	Fields []FieldDiff `json:"fields"`
}

// An Edit is a change of one field of a job.
type Edit struct {
	Path string `json:"path"` // in a CustomJob, for example "jobSpec.workerPoolSpecs[0].machineSpec.machineType"; in an answer as the message writes it
	From string `json:"from"` // "" when the field is not set
	To   string `json:"to"`   // "" to leave it out
}

func (e Edit) String() string {
	if e.To == "" {
		return fmt.Sprintf("leave out %s", e.Path)
	}
	return fmt.Sprintf("set %s to %s", e.Path, e.To)
}

// Check decides whether the ask fits on the pools beside what is in use: every
// shape exact, all worker pools or none, several worker pools on one pool
// summed, and under every way in which the use may be split among equal pools.
// An empty ask fits. Check never modifies its arguments.
func Check(pools []Pool, use Use, ask Ask) Result {
	result := Result{Verdict: Fits}
	for _, n := range ask {
		s := n.Shape
		if !slices.ContainsFunc(result.Findings, func(f Finding) bool { return f.Shape == s }) {
			result.Findings = append(result.Findings, find(pools, use[s], ask, s))
		}
	}
	for _, f := range result.Findings {
		result.ScaleUp = result.ScaleUp || f.ScaleUp
		switch {
		case f.Verdict == Never:
			result.Verdict = Never
		case f.Verdict == Full && result.Verdict == Fits:
			result.Verdict = Full
		}
	}
	if result.Verdict == Never {
		suggest(pools, ask, result.Findings)
	}
	return result
}

func find(pools []Pool, used Replicas, ask Ask, shape Shape) Finding {
	f := Finding{Verdict: Fits, Shape: shape, Taken: used}
	var items, limits []Replicas
	for _, n := range ask {
		if n.Shape == shape {
			f.WorkerPools = append(f.WorkerPools, n.WorkerPool)
			f.Asked = f.Asked.Plus(n.Replicas)
			items = append(items, n.Replicas)
		}
	}
	var there Replicas
	for _, p := range pools {
		if p.Shape == shape {
			f.Pools = append(f.Pools, p.ID)
			f.Limit = f.Limit.Plus(p.Limit())
			there = there.Plus(p.Count)
			limits = append(limits, p.Limit())
		}
	}
	switch {
	case !placeable(limits, 0, items):
		f.Verdict = Never
		if len(limits) == 0 {
			f.Nearest = nearest(pools, shape)
		}
	case !placeable(limits, used, items):
		f.Verdict = Full
		f.Short = short(limits, used, items)
	default:
		f.ScaleUp = used.Plus(f.Asked) > there
	}
	return f
}

// fitsEmpty says whether what the ask has of a shape fits when nothing is in
// use. It is find's answer without the explanation, for trying many asks.
func fitsEmpty(pools []Pool, ask Ask, shape Shape) bool {
	var items, limits []Replicas
	for _, n := range ask {
		if n.Shape == shape {
			items = append(items, n.Replicas)
		}
	}
	for _, p := range pools {
		if p.Shape == shape {
			limits = append(limits, p.Limit())
		}
	}
	return placeable(limits, 0, items)
}

// short is the least number of replicas that have to be freed. It is at most
// used, because the items fit when nothing is in use.
func short(limits []Replicas, used Replicas, items []Replicas) Replicas {
	fits, not := Replicas(0), used // placeable is monotone in used
	for not-fits > 1 {
		if mid := fits + (not-fits)/2; placeable(limits, mid, items) {
			fits = mid
		} else {
			not = mid
		}
	}
	return used - fits
}

func nearest(pools []Pool, shape Shape) []PoolDiff {
	order := candidates(pools, shape)
	diffs := make([]PoolDiff, 0, len(order))
	for _, c := range order {
		diffs = append(diffs, c.diff)
	}
	return diffs
}

// A candidate is a pool that a job may be changed to match.
type candidate struct {
	pool *Pool
	diff PoolDiff
	far  int     // 0 for machines of the same class, 2 from an accelerator to none or back
	like float64 // how much the differing names have in common
}

// candidates orders the pools by how near they are to a shape. A job keeps its
// class of machine: one that asks for accelerators is not nearer to a pool
// without them because fewer fields have to be changed. Of two pools that differ
// in as many fields, the one with the right machine is nearer, since another disk
// changes less about a job; then the one of which the names are more alike.
func candidates(pools []Pool, shape Shape) []candidate {
	all := make([]candidate, 0, len(pools))
	want := classOf(shape)
	for i := range pools {
		c := candidate{pool: &pools[i], diff: PoolDiff{Pool: pools[i].ID, Fields: Diff(shape, pools[i].Shape)}}
		switch has := classOf(pools[i].Shape); {
		case has == want:
		case has == cpuClass || want == cpuClass:
			c.far = 2
		default:
			c.far = 1
		}
		for _, f := range c.diff.Fields {
			if f.Asked != "" && f.Pool != "" {
				c.like += spelling.Likeness(f.Asked, f.Pool)
			}
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(a.far-b.far, len(a.diff.Fields)-len(b.diff.Fields), machineFields(a.diff)-machineFields(b.diff), cmp.Compare(b.like, a.like))
	})
	return all
}

// A class is a kind of machine that a job is written for.
type class int

const (
	cpuClass class = iota // no accelerator
	gpuClass
	tpuClass
)

// bundled are the machine families that come with accelerators, by the start of
// the machine type; a job may leave the accelerator fields out. (Machine types of
// Compute Engine: accelerator-optimized families; ct... are TPU machines.)
var bundled = []struct {
	prefix string
	class  class
}{{"a2-", gpuClass}, {"a3-", gpuClass}, {"a4-", gpuClass}, {"a4x-", gpuClass}, {"g2-", gpuClass}, {"g4-", gpuClass}, {"cloud-tpu", tpuClass}, {"ct", tpuClass}, {"tpu", tpuClass}}

func classOf(shape Shape) class {
	s := shape.spec
	switch {
	case strings.HasPrefix(s.Accelerator, "TPU_") || s.TPUTopology != "":
		return tpuClass
	case s.Accelerator != "" || s.GPUPartition != "":
		return gpuClass
	}
	for _, b := range bundled {
		if strings.HasPrefix(s.MachineType, b.prefix) {
			return b.class
		}
	}
	return cpuClass
}

func machineFields(d PoolDiff) (n int) {
	for _, f := range d.Fields {
		if strings.HasPrefix(f.Field, "machineSpec.") {
			n++
		}
	}
	return n
}

// suggest fills in the edits of the findings that never fit. It goes through
// the worker pools in order. One that must change takes the shape of the pool that
// needs the fewest edits and has room for it beside the worker pools placed before. If
// no pool has room, it gets as many replicas as the nearest pool with the most room has
// left. What all edits together ask for fits the empty pools.
func suggest(pools []Pool, ask Ask, findings []Finding) {
	placed := Ask{}
	bad := func(s Shape) *Finding {
		for i := range findings {
			if findings[i].Shape == s && findings[i].Verdict == Never {
				return &findings[i]
			}
		}
		return nil
	}
	fits := func(n Need) bool {
		next := append(placed[:len(placed):len(placed)], n)
		return !slices.ContainsFunc(next, func(m Need) bool { return !fitsEmpty(pools, next, m.Shape) })
	}
	for _, n := range ask { // what stays as it is comes first, so that edits make room around it
		if bad(n.Shape) == nil {
			placed = append(placed, n)
		}
	}
	for _, n := range ask {
		f := bad(n.Shape)
		if f == nil {
			continue
		}
		edited, ok := edit(candidates(pools, n.Shape), n, fits)
		if !ok {
			for i := range findings { // even one replica has no place beside the others
				findings[i].Edits = nil
			}
			return
		}
		placed = append(placed, edited)
		path := "jobSpec.workerPoolSpecs[" + strconv.Itoa(n.WorkerPool) + "]."
		for _, d := range Diff(n.Shape, edited.Shape) {
			f.Edits = append(f.Edits, Edit{path + d.Field, d.Asked, d.Pool})
		}
		if edited.Replicas != n.Replicas {
			f.Edits = append(f.Edits, Edit{path + "replicaCount",
				strconv.FormatInt(int64(n.Replicas), 10), strconv.FormatInt(int64(edited.Replicas), 10)})
		}
	}
}

// edit returns the need with the fewest fields changed that fits, on the nearest
// class of machine that there is. A job is not moved from an accelerator to a
// machine without one while a pool has accelerators, nor the other way round
// while a pool has none, even if there is no room for it.
func edit(order []candidate, n Need, fits func(Need) bool) (Need, bool) {
	best, cost, far := n, -1, -1
	for _, c := range order {
		if far >= 0 && c.far != far && (c.far == 2 || cost >= 0) {
			break
		}
		if c.pool.Limit() == 0 {
			continue // it has no machine, and is not to get one
		}
		far = c.far
		try := Need{n.WorkerPool, c.pool.Shape, n.Replicas}
		fields := len(c.diff.Fields)
		if !fits(try) {
			most := sort.Search(int(min(n.Replicas, c.pool.Limit())), func(r int) bool {
				return !fits(Need{n.WorkerPool, try.Shape, Replicas(r + 1)})
			})
			if most == 0 {
				continue
			}
			try.Replicas = Replicas(most)
			fields++
		}
		if cost < 0 || fields < cost {
			best, cost = try, fields
		}
	}
	return best, cost >= 0
}
