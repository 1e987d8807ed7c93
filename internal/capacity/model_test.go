package capacity

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The model is the obvious slow judge of fit, for small sizes. A job never
// names a pool, so Vertex AI has already decided how the machines in use
// are split among equal pools: the model tries every split, machine by machine,
// and every way to put the worker pools into what is left. The split may cut a
// job in two, which real use cannot; Check allows that too.

// modelFits says whether the items fit under every split of used.
func modelFits(limits []Replicas, used Replicas, items []Replicas) bool {
	free := slices.Clone(limits)
	var every func(pool int, left Replicas) bool
	every = func(pool int, left Replicas) bool {
		if pool == len(limits) {
			return modelPacks(free, items)
		}
		for u := Replicas(0); u <= min(left, limits[pool]); u++ {
			free[pool] = limits[pool] - u
			if !every(pool+1, left-u) {
				return false
			}
		}
		return true
	}
	return every(0, used)
}

func modelPacks(free, items []Replicas) bool {
	if len(items) == 0 {
		return true
	}
	for i := range free {
		if free[i] >= items[0] {
			rest := slices.Clone(free)
			rest[i] -= items[0]
			if modelPacks(rest, items[1:]) {
				return true
			}
		}
	}
	return false
}

// A world is a small persistent resource, its use and an ask.
type world struct {
	Pools []Pool
	Use   Use
	Ask   Ask
}

var (
	small  = Spec{MachineType: "n1-standard-4"}.Normal()
	large  = Spec{MachineType: "n1-standard-8"}.Normal()
	gpu    = Spec{MachineType: "n1-standard-8", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 1}.Normal()
	shapes = []Shape{small, large, gpu}
)

func drawWorld(t *rapid.T, maxPools int) world {
	w := world{Use: Use{}}
	shape := rapid.SampledFrom([]Shape{small, small, large, gpu})
	count := rapid.Int64Range(0, 5)
	for i := range rapid.IntRange(0, maxPools).Draw(t, "pools") {
		p := Pool{ID: "pool-" + strconv.Itoa(i), Shape: shape.Draw(t, "pool shape"), Count: Replicas(count.Draw(t, "count"))}
		if rapid.Bool().Draw(t, "autoscaled") {
			p.Max = Replicas(count.Draw(t, "max"))
		}
		w.Pools = append(w.Pools, p)
	}
	for _, s := range shapes {
		if u := Replicas(rapid.Int64Range(0, 9).Draw(t, "use")); u > 0 {
			w.Use[s] = u
		}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "worker pools") {
		w.Ask = append(w.Ask, Need{WorkerPool: i, Shape: shape.Draw(t, "asked shape"), Replicas: Replicas(rapid.Int64Range(1, 5).Draw(t, "replicas"))})
	}
	return w
}

// of narrows the world to one shape.
func (w world) of(s Shape) (limits, items []Replicas) {
	for _, p := range w.Pools {
		if p.Shape == s {
			limits = append(limits, p.Limit())
		}
	}
	for _, n := range w.Ask {
		if n.Shape == s {
			items = append(items, n.Replicas)
		}
	}
	return limits, items
}

// exact says whether Check promises the model's answer and not only a safe one.
func exact(limits, items []Replicas) bool { return len(items) <= 1 || len(limits) <= exactPools }

func TestCheckAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, exactPools)
		result := Check(w.Pools, w.Use, w.Ask)
		want := Fits
		for _, s := range w.Ask.Shapes() {
			limits, items := w.of(s)
			switch {
			case !modelFits(limits, 0, items):
				want = Never
			case !modelFits(limits, w.Use[s], items) && want != Never:
				want = Full
			}
		}
		if result.Verdict != want {
			t.Fatalf("Check says %s, the model %s", result.Verdict, want)
		}
	})
}

// TestPlaceableAgreesWithModel is about what is hard: several worker pools, of
// which each has its own size, on a few pools of one shape.
func TestPlaceableAgreesWithModel(t *testing.T) {
	some := func(least, most int, upTo int64) *rapid.Generator[[]Replicas] {
		one := rapid.Map(rapid.Int64Range(1, upTo), func(n int64) Replicas { return Replicas(n) })
		return rapid.SliceOfN(one, least, most)
	}
	limits, items := some(2, exactPools, 6), some(2, 4, 3)
	rapid.Check(t, func(t *rapid.T) {
		l, i := limits.Draw(t, "limits"), items.Draw(t, "items")
		for used := Replicas(0); used <= 12; used++ {
			if got, want := placeable(l, used, i), modelFits(l, used, i); got != want {
				t.Fatalf("%d in use: %v, the model says %v", used, got, want)
			}
		}
	})
}

// TestCheckIsSafe is about more equal pools than Check searches: a yes still
// holds under every split, and empty pools are still judged exactly.
func TestCheckIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, exactPools+2)
		for _, f := range Check(w.Pools, w.Use, w.Ask).Findings {
			limits, items := w.of(f.Shape)
			if f.Verdict == Fits && !modelFits(limits, w.Use[f.Shape], items) {
				t.Fatalf("%s: Check says yes, some split leaves no room", f.Shape)
			}
			if (f.Verdict == Never) == modelFits(limits, 0, items) {
				t.Fatalf("%s: Check says %s of empty pools", f.Shape, f.Verdict)
			}
		}
	})
}

// TestShortIsExact frees as many machines as a finding says, and one fewer.
func TestShortIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, exactPools+1)
		for _, f := range Check(w.Pools, w.Use, w.Ask).Findings {
			if f.Verdict != Full {
				if f.Short != 0 {
					t.Fatalf("%s: %s and %d short", f.Shape, f.Verdict, f.Short)
				}
				continue
			}
			verdictOf := func(short Replicas) Verdict {
				less := Use{f.Shape: w.Use[f.Shape] - short}
				for _, g := range Check(w.Pools, less, w.Ask).Findings {
					if g.Shape == f.Shape {
						return g.Verdict
					}
				}
				return Never
			}
			if f.Short < 1 || verdictOf(f.Short) != Fits || verdictOf(f.Short-1) != Full {
				t.Fatalf("%s: short %d: freeing it is %s, one fewer %s", f.Shape, f.Short, verdictOf(f.Short), verdictOf(f.Short-1))
			}
			if limits, items := w.of(f.Shape); exact(limits, items) && modelFits(limits, w.Use[f.Shape]-f.Short+1, items) {
				t.Fatalf("%s: short %d, the model needs fewer", f.Shape, f.Short)
			}
		}
	})
}

// TestEditsFit does to the ask what the edits say, and asks again.
func TestEditsFit(t *testing.T) {
	edited := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, exactPools)
		result := Check(w.Pools, w.Use, w.Ask)
		ask := slices.Clone(w.Ask)
		edits, never := 0, 0
		for _, f := range result.Findings {
			if f.Verdict == Never {
				never++
			} else if len(f.Edits) > 0 {
				t.Fatalf("%s is %s and has edits", f.Shape, f.Verdict)
			}
			apply(t, ask, f.Edits)
			edits += len(f.Edits)
		}
		if edits > 0 {
			edited++
			if got := Check(w.Pools, nil, ask); got.Verdict != Fits {
				t.Fatalf("after the edits: %s", got.Verdict)
			}
		}
		room := slices.ContainsFunc(w.Pools, func(p Pool) bool { return p.Limit() > 0 })
		if never > 0 && edits == 0 && room && len(w.Ask) == 1 {
			t.Fatal("a single worker pool that could be edited to fit has no edit")
		}
	})
	if edited == 0 {
		t.Error("no world had an edit")
	}
}

// apply makes the edits of one finding, which are of what the server stores.
func apply(t failer, ask Ask, edits []Edit) {
	specs := make([]Spec, len(ask))
	for i := range ask {
		specs[i] = ask[i].Shape.Spec()
	}
	for _, e := range edits {
		index, field, ok := strings.Cut(strings.TrimPrefix(e.Path, "jobSpec.workerPoolSpecs["), "].")
		i, err := strconv.Atoi(index)
		if !ok || err != nil {
			t.Fatalf("path %q", e.Path)
		}
		number := func() int64 {
			if e.To == "" {
				return 0
			}
			v, err := strconv.ParseInt(e.To, 10, 64)
			if err != nil {
				t.Fatalf("edit %s: %v", e, err)
			}
			return v
		}
		switch s := &specs[i]; field {
		case "machineSpec.machineType":
			s.MachineType = e.To
		case "machineSpec.acceleratorType":
			s.Accelerator = e.To
		case "machineSpec.acceleratorCount":
			s.AcceleratorCount = int32(number())
		case "diskSpec.bootDiskType":
			s.DiskType = e.To
		case "diskSpec.bootDiskSizeGb":
			s.DiskSizeGB = int32(number())
		case "replicaCount":
			ask[i].Replicas = Replicas(number())
		default:
			t.Fatalf("path %q", e.Path)
		}
	}
	for i, s := range specs {
		ask[i].Shape = s.Normal()
	}
}

// TestCheckLeavesArgumentsAlone: planners share snapshots.
func TestCheckLeavesArgumentsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, exactPools+1)
		pools, ask := slices.Clone(w.Pools), slices.Clone(w.Ask)
		use := Use{}
		for s, u := range w.Use {
			use[s] = u
		}
		first := Check(w.Pools, w.Use, w.Ask)
		if !slices.Equal(pools, w.Pools) || !slices.Equal(ask, w.Ask) || len(use) != len(w.Use) {
			t.Fatal("an argument changed")
		}
		for s, u := range use {
			if w.Use[s] != u {
				t.Fatal("the use changed")
			}
		}
		if again := Check(w.Pools, w.Use, w.Ask); again.Verdict != first.Verdict || again.ScaleUp != first.ScaleUp {
			t.Fatal("asked twice, two answers")
		}
	})
}
