package capacity

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func machine(text string) Shape {
	s, err := ParseShape(text)
	if err != nil {
		panic(err)
	}
	return s
}

// TestFindings states the whole explanation of an answer, field by field.
func TestFindings(t *testing.T) {
	pools := []Pool{{ID: "a", Shape: small, Count: 2, Max: 6}, {ID: "b", Shape: gpu, Count: 4}, {ID: "c", Shape: gpu, Count: 3}}
	for _, test := range []struct {
		name string
		use  Use
		ask  Ask
		want Result
	}{
		{"nothing asked", nil, nil, Result{Verdict: Fits}},
		{"the machines that are there are enough, to the last", Use{small: 1}, Ask{{0, small, 1}}, Result{Verdict: Fits, Findings: []Finding{
			{Verdict: Fits, Shape: small, WorkerPools: []int{0}, Asked: 1, Pools: []string{"a"}, Limit: 6, Taken: 1}}}},
		{"one more needs the autoscaler", Use{small: 2}, Ask{{0, small, 1}}, Result{Verdict: Fits, ScaleUp: true, Findings: []Finding{
			{Verdict: Fits, Shape: small, WorkerPools: []int{0}, Asked: 1, Pools: []string{"a"}, Limit: 6, Taken: 2, ScaleUp: true}}}},
		{"worker pools of one shape are one finding", nil, Ask{{0, gpu, 1}, {1, small, 3}, {3, gpu, 2}}, Result{Verdict: Fits, ScaleUp: true, Findings: []Finding{
			{Verdict: Fits, Shape: gpu, WorkerPools: []int{0, 3}, Asked: 3, Pools: []string{"b", "c"}, Limit: 7},
			{Verdict: Fits, Shape: small, WorkerPools: []int{1}, Asked: 3, Pools: []string{"a"}, Limit: 6, ScaleUp: true}}}},
		{"one finding that needs the autoscaler is enough, wherever it stands", Use{small: 2}, Ask{{0, small, 1}, {1, gpu, 1}}, Result{Verdict: Fits, ScaleUp: true, Findings: []Finding{
			{Verdict: Fits, Shape: small, WorkerPools: []int{0}, Asked: 1, Pools: []string{"a"}, Limit: 6, Taken: 2, ScaleUp: true},
			{Verdict: Fits, Shape: gpu, WorkerPools: []int{1}, Asked: 1, Pools: []string{"b", "c"}, Limit: 7}}}},
		{"the last of the findings decides no more than the worst", Use{gpu: 7}, Ask{{0, gpu, 1}, {1, small, 1}}, Result{Verdict: Full, Findings: []Finding{
			{Verdict: Full, Shape: gpu, WorkerPools: []int{0}, Asked: 1, Pools: []string{"b", "c"}, Limit: 7, Taken: 7, Short: 1},
			{Verdict: Fits, Shape: small, WorkerPools: []int{1}, Asked: 1, Pools: []string{"a"}, Limit: 6}}}},
		{"never is worse than full, whichever comes first", Use{small: 6}, Ask{{0, gpu, 25}, {1, small, 2}}, Result{Verdict: Never, Findings: []Finding{
			{Verdict: Never, Shape: gpu, WorkerPools: []int{0}, Asked: 25, Pools: []string{"b", "c"}, Limit: 7,
				Edits: []Edit{{"jobSpec.workerPoolSpecs[0].replicaCount", "25", "4"}}},
			{Verdict: Full, Shape: small, WorkerPools: []int{1}, Asked: 2, Pools: []string{"a"}, Limit: 6, Taken: 6, Short: 2}}}},
		{"a shape that no pool has", nil, Ask{{2, large, 1}}, Result{Verdict: Never, Findings: []Finding{{
			Verdict: Never, Shape: large, WorkerPools: []int{2}, Asked: 1,
			Nearest: []PoolDiff{
				{"a", []FieldDiff{{"machineSpec.machineType", "n1-standard-8", "n1-standard-4"}}},
				{"b", []FieldDiff{{"machineSpec.acceleratorType", "", "NVIDIA_TESLA_T4"}, {"machineSpec.acceleratorCount", "", "1"}}},
				{"c", []FieldDiff{{"machineSpec.acceleratorType", "", "NVIDIA_TESLA_T4"}, {"machineSpec.acceleratorCount", "", "1"}}},
			},
			Edits: []Edit{{"jobSpec.workerPoolSpecs[2].machineSpec.machineType", "n1-standard-8", "n1-standard-4"}}}}}},
	} {
		if got := Check(pools, test.use, test.ask); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n%+v, want\n%+v", test.name, got, test.want)
		}
	}
}

// TestClasses: a job keeps its class of machine, which an accelerator, a topology,
// a partition or the family of the machine tells.
func TestClasses(t *testing.T) {
	for text, want := range map[string]class{
		"n1-standard-4/:0": cpuClass, "e2-standard-4/:0": cpuClass, "c2-standard-8/:0": cpuClass, "n1-standard-4/NVIDIA_L4:0/:0": cpuClass,
		"n1-standard-4/NVIDIA_TESLA_T4:1/:0": gpuClass, "n1-standard-4/gpu=1g.10gb/:0": gpuClass,
		"a2-highgpu-1g/:0": gpuClass, "a3-highgpu-8g/:0": gpuClass, "a4-highgpu-8g/:0": gpuClass, "a4x-highgpu-4g/:0": gpuClass,
		"g2-standard-12/:0": gpuClass, "g4-standard-48/:0": gpuClass,
		"n1-standard-4/TPU_V2:8/:0": tpuClass, "n1-standard-4/tpu=2x2x1/:0": tpuClass, "n1-standard-4/TPU_V3:8/tpu=2x2/:0": tpuClass,
		"cloud-tpu/:0": tpuClass, "ct5lp-hightpu-4t/:0": tpuClass, "tpu7x-standard-4t/:0": tpuClass,
	} {
		if got := classOf(machine(text)); got != want {
			t.Errorf("%s is of class %d, want %d", text, got, want)
		}
	}
}

// TestNearestFirst states the order of pools for a shape that none has: the class
// of machine, then the number of fields, then the machine before the disk, then
// how alike the names are, then the order of the pools.
func TestNearestFirst(t *testing.T) {
	for _, test := range []struct {
		asked string
		pools string // in the order of the resource
		want  string // nearest first
	}{
		{"g2-standard-12/NVIDIA_L4:1/:0", "n1-standard-4/:0 g2-standard-12/NVIDIA_L4:2/:200", "g2-standard-12/NVIDIA_L4:2/:200 n1-standard-4/:0"},
		{"ct5lp-hightpu-4t/:0", "n1-standard-4/:0 a2-highgpu-1g/NVIDIA_TESLA_A100:1/:200", "a2-highgpu-1g/NVIDIA_TESLA_A100:1/:200 n1-standard-4/:0"},
		{"a2-highgpu-1g/:0", "n1-standard-4/:0 cloud-tpu/TPU_V3:8/:200 a2-highgpu-1g/NVIDIA_TESLA_A100:1/:200",
			"a2-highgpu-1g/NVIDIA_TESLA_A100:1/:200 cloud-tpu/TPU_V3:8/:200 n1-standard-4/:0"},
		{"n1-standard-4/:0", "n1-standard-4/NVIDIA_TESLA_T4:1/:0 n2-standard-4/pd-standard:200", "n2-standard-4/pd-standard:200 n1-standard-4/NVIDIA_TESLA_T4:1/:0"},
		{"n1-standard-4/pd-ssd:100", "n1-standard-4/pd-standard:200 n1-standard-8/pd-ssd:100", "n1-standard-8/pd-ssd:100 n1-standard-4/pd-standard:200"},
		{"a2-highgpu-1g/:0", "cloud-tpu/:0 a2-highgpu-1g/NVIDIA_TESLA_A100:1/:200", "a2-highgpu-1g/NVIDIA_TESLA_A100:1/:200 cloud-tpu/:0"},
		{"n1-standard-4/pd-ssd:100", "n2-standard-4/pd-standard:100 n1-standard-4/pd-standard:200", "n1-standard-4/pd-standard:200 n2-standard-4/pd-standard:100"},
		{"n1-standard-4/NVIDIA_TESLA_T4:1/:0", "n1-standard-4/NVIDIA_L4:2/:0 n2-standard-4/NVIDIA_TESLA_T4:1/:200 n2-standard-4/NVIDIA_L4:1/:0",
			"n2-standard-4/NVIDIA_TESLA_T4:1/:200 n2-standard-4/NVIDIA_L4:1/:0 n1-standard-4/NVIDIA_L4:2/:0"},
		{"n1-standard-4/pd-ssd:100", "n1-standard-8/pd-ssd:100 n1-standard-4/pd-ssd:200", "n1-standard-4/pd-ssd:200 n1-standard-8/pd-ssd:100"},
		{"n1-standard-4/:0", "c2-highmem-16/:0 n1-standard-8/:0", "n1-standard-8/:0 c2-highmem-16/:0"},
		{"n1-standard-4/:0", "m3-ultramem-32/:0 m2-ultramem-32/:0", "m3-ultramem-32/:0 m2-ultramem-32/:0"},
		// Both names of a pair add to the likeness.
		{"g2-standard-12/NVIDIA_L4:1/:0", "g2-standard-24/NVIDIA_TESLA_T4:1/:0 g2-standard-24/NVIDIA_L40S:1/:0 a2-highgpu-1g/NVIDIA_TESLA_T4:1/:0",
			"g2-standard-24/NVIDIA_L40S:1/:0 g2-standard-24/NVIDIA_TESLA_T4:1/:0 a2-highgpu-1g/NVIDIA_TESLA_T4:1/:0"},
	} {
		var pools []Pool
		for _, p := range strings.Fields(test.pools) {
			pools = append(pools, Pool{ID: p, Shape: machine(p), Count: 1})
		}
		var got []string
		for _, d := range nearest(pools, machine(test.asked)) {
			got = append(got, d.Pool)
			if want := Diff(machine(test.asked), machine(d.Pool)); !slices.Equal(d.Fields, want) {
				t.Errorf("%s beside %s differs in %v, want %v", test.asked, d.Pool, d.Fields, want)
			}
		}
		if test.want != strings.Join(got, " ") {
			t.Errorf("%s on %s:\n%s, want\n%s", test.asked, test.pools, strings.Join(got, " "), test.want)
		}
	}
}

// TestSmallestEdits states the edits of asks that never fit, in words.
func TestSmallestEdits(t *testing.T) {
	cpu4, cpu8, l4, a100 := "n1-standard-4/:0", "n1-standard-8/:0", "g2-standard-12/NVIDIA_L4:1/:0", "a2-highgpu-1g/NVIDIA_TESLA_A100:1/:0"
	for _, test := range []struct {
		name  string
		pools string // SHAPE*MACHINES
		ask   string // SHAPE*REPLICAS
		want  string
	}{
		{"a disk", "n1-standard-4/:200*2", cpu4 + "*2", "set 0.diskSpec.bootDiskSizeGb to 200"},
		{"a field is left out where the pool has none", cpu4 + "*2", "n1-standard-4/NVIDIA_TESLA_T4:1/:0*1", "leave out 0.machineSpec.acceleratorType, leave out 0.machineSpec.acceleratorCount"},
		{"fewer replicas", cpu4 + "*2", cpu4 + "*3", "set 0.replicaCount to 2"},
		{"more than nine replicas, in decimals", cpu4 + "*25", cpu4 + "*60", "set 0.replicaCount to 25"},
		{"another machine rather than fewer replicas of the nearest", cpu4 + "*1 n1-standard-4/pd-standard:200*4", cpu8 + "*3",
			"set 0.machineSpec.machineType to n1-standard-4, set 0.replicaCount to 1"},
		{"all replicas on the second pool rather than fewer on the first", cpu4 + "*1 n1-standard-16/:0*4 n1-standard-32/:0*4", cpu8 + "*3", "set 0.machineSpec.machineType to n1-standard-16"},
		{"fewest edits win, the first of equals", cpu4 + "*4 n1-standard-16/:0*4", cpu8 + "*3", "set 0.machineSpec.machineType to n1-standard-4"},
		{"a pool without a machine is no target", cpu4 + "*0 n1-standard-16/:200*4", cpu8 + "*3",
			"set 0.machineSpec.machineType to n1-standard-16, set 0.diskSpec.bootDiskSizeGb to 200"},
		{"no move from an accelerator while a pool has one, though it is full", l4 + "*1 " + cpu4 + "*4", l4 + "*1 " + a100 + "*1", ""},
		{"nor to one while a pool has none", cpu4 + "*1 " + l4 + "*4", cpu4 + "*1 " + cpu8 + "*1", ""},
		{"a move where there is no other class", cpu4 + "*4", l4 + "*2",
			"set 0.machineSpec.machineType to n1-standard-4, leave out 0.machineSpec.acceleratorType, leave out 0.machineSpec.acceleratorCount"},
		{"a class whose pools have no machine is no class", l4 + "*0 " + cpu4 + "*4", a100 + "*1",
			"set 0.machineSpec.machineType to n1-standard-4, leave out 0.machineSpec.acceleratorType, leave out 0.machineSpec.acceleratorCount"},
		{"from one accelerator to another kind, if its own has no room", a100 + "*1 ct5lp-hightpu-4t/:0*4", a100 + "*1 " + l4 + "*1",
			"set 1.machineSpec.machineType to ct5lp-hightpu-4t, leave out 1.machineSpec.acceleratorType, leave out 1.machineSpec.acceleratorCount"},
		{"what fits keeps its place, and edits go around it", cpu4 + "*3", cpu8 + "*2 " + cpu4 + "*2",
			"set 0.machineSpec.machineType to n1-standard-4, set 0.replicaCount to 1"},
		{"two that are edited share what is left", cpu4 + "*3", cpu8 + "*2 " + cpu8 + "*2",
			"set 0.machineSpec.machineType to n1-standard-4, set 1.machineSpec.machineType to n1-standard-4, set 1.replicaCount to 1"},
		{"a kind of accelerator that has room, though another has a nearer pool", "a2-highgpu-1g/NVIDIA_TESLA_A100:1/pd-standard:300*4 g2-standard-12/TPU_V3:1/:0*4", l4 + "*1",
			"set 0.machineSpec.machineType to a2-highgpu-1g, set 0.machineSpec.acceleratorType to NVIDIA_TESLA_A100, set 0.diskSpec.bootDiskType to pd-standard, set 0.diskSpec.bootDiskSizeGb to 300"},
		{"none at all if the last finds no place", cpu4 + "*2", cpu8 + "*2 n1-standard-16/:0*1", ""},
	} {
		var pools []Pool
		for i, p := range strings.Fields(test.pools) {
			text, n, _ := strings.Cut(p, "*")
			pools = append(pools, Pool{ID: fmt.Sprint(i), Shape: machine(text), Count: replicas(t, n)})
		}
		var ask Ask
		for i, a := range strings.Fields(test.ask) {
			text, n, _ := strings.Cut(a, "*")
			ask = append(ask, Need{i, machine(text), replicas(t, n)})
		}
		var edits []string
		r := Check(pools, nil, ask)
		for _, f := range r.Findings {
			for _, e := range f.Edits {
				edits = append(edits, strings.NewReplacer("jobSpec.workerPoolSpecs[", "", "].", ".").Replace(e.String()))
			}
		}
		if got := strings.Join(edits, ", "); r.Verdict != Never || got != test.want {
			t.Errorf("%s: %s, %s; want %s", test.name, r.Verdict, got, test.want)
		}
	}
}

func replicas(t *testing.T, n string) Replicas {
	var r Replicas
	if _, err := fmt.Sscan(n, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLimits: an autoscaled pool may have its maximum, or the machines that it has
// above it.
func TestLimits(t *testing.T) {
	for _, test := range []struct{ count, most, want Replicas }{{3, 0, 3}, {3, 5, 5}, {5, 3, 5}, {0, 1, 1}, {0, 0, 0}} {
		if got := (Pool{Count: test.count, Max: test.most}).Limit(); got != test.want {
			t.Errorf("%d machines, at most %d: limit %d, want %d", test.count, test.most, got, test.want)
		}
	}
}

// TestAddCountsEveryWorkerPool: neighbours of one shape are one entry, and a sum
// saturates.
func TestAddCountsEveryWorkerPool(t *testing.T) {
	use := Use{small: 1}
	use.Add(Ask{{0, small, 2}, {1, small, 3}, {2, gpu, 4}, {3, small, 5}})
	use.Add(nil)
	if want := (Use{small: 11, gpu: 4}); !reflect.DeepEqual(use, want) {
		t.Errorf("%v, want %v", use, want)
	}
	use.Add(Ask{{0, gpu, math.MaxInt64}})
	if use[gpu] != math.MaxInt64 {
		t.Errorf("a sum that is too large is %d", use[gpu])
	}
	ask := Ask{{0, large, 2}, {1, gpu, 3}, {2, large, 4}}
	if got := ask.Replicas(); got != 9 {
		t.Errorf("%d replicas, want 9", got)
	}
	if got, want := ask.Shapes(), []Shape{gpu, large}; !slices.Equal(got, want) {
		t.Errorf("shapes %v, want %v", got, want)
	}
}

// TestOverdrawnByHowMuch: use up to the limit of all pools of a shape is none.
func TestOverdrawnByHowMuch(t *testing.T) {
	pools := []Pool{{Shape: small, Count: 2}, {Shape: gpu, Count: 1}, {Shape: small, Count: 1, Max: 3}}
	got := Overdrawn(pools, Use{small: 8, gpu: 1, large: 4})
	if want := (Use{small: 3}); !reflect.DeepEqual(got, want) {
		t.Errorf("overdrawn %v, want %v", got, want)
	}
}

// TestShapesHaveAnOrder: the text decides, in the direction of cmp.Compare.
func TestShapesHaveAnOrder(t *testing.T) {
	if small.Compare(large) != cmp.Compare(small.String(), large.String()) || large.Compare(small) != 1 || small.Compare(small) != 0 {
		t.Error("shapes are not ordered by their text")
	}
	for _, text := range []string{"n1-standard-4", "m/d", "m/T4/d:1"} {
		_, err := ParseShape(text)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q is not a shape", text)) {
			t.Errorf("%q: error %v does not say what is no shape", text, err)
		}
		before := small
		if err := before.UnmarshalText([]byte(text)); err == nil || before != small {
			t.Errorf("%q is unmarshalled as %s, error %v", text, before, err)
		}
	}
	if _, err := ParseShape("n1-standard-4"); err == nil || !strings.Contains(err.Error(), "want machine/disk:size") {
		t.Errorf("a machine without a disk: %v", err)
	}
	if s, err := ParseShape("m/pd-ssd:2147483647"); err != nil || s.Spec().DiskSizeGB != math.MaxInt32 {
		t.Errorf("the largest disk: %v, %v", s, err)
	}
}

// TestEarliestKeepsTheZone: the moment is in the zone of the caller's clock.
func TestEarliestKeepsTheZone(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("there", 3600))
	line := NewTimeline([]Pool{{Shape: small, Count: 1}}, nil, []End{{At: now.Add(time.Hour).UTC(), Ask: Ask{{0, small, 1}}}})
	if at, ok := line.Earliest(now, Ask{{0, small, 1}}); !ok || at != now.Add(time.Hour) {
		t.Errorf("%v, %v; want %v", at, ok, now.Add(time.Hour))
	}
	if at, ok := line.Earliest(now, Ask{{0, large, 1}}); ok || !at.IsZero() {
		t.Errorf("a shape without a pool fits at %v, %v", at, ok)
	}
}

// TestDiffNamesEveryField: two machines that differ in all fields, in order.
func TestDiffNamesEveryField(t *testing.T) {
	a := Spec{"m", "T", 1, "2x2", "1g", "pd-ssd", 100}.Normal()
	b := Spec{"n", "U", 2, "4x4", "2g", "pd-standard", 200}.Normal()
	want := []FieldDiff{
		{"machineSpec.machineType", "m", "n"}, {"machineSpec.acceleratorType", "T", "U"}, {"machineSpec.acceleratorCount", "1", "2"},
		{"machineSpec.tpuTopology", "2x2", "4x4"}, {"machineSpec.gpuPartitionSize", "1g", "2g"},
		{"diskSpec.bootDiskType", "pd-ssd", "pd-standard"}, {"diskSpec.bootDiskSizeGb", "100", "200"},
	}
	if got := Diff(a, b); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestRoomAtTheVeryMoment: replicas are free from the moment of their end on, and
// not a nanosecond before.
func TestRoomAtTheVeryMoment(t *testing.T) {
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ask := Ask{{0, small, 1}}
	line := NewTimeline([]Pool{{Shape: small, Count: 1}}, nil, []End{{end, ask}})
	for offset, want := range map[time.Duration]bool{-1: false, 0: true, 1: true} {
		room := line.At(end.Add(offset))
		if got := room.Fits(ask); got != want {
			t.Errorf("%d ns after the end it fits: %v, want %v", offset, got, want)
		}
	}
}

// TestManyPoolsAreCheap: the search over all splits is bounded. On a dozen pools it
// would not end.
func TestManyPoolsAreCheap(t *testing.T) {
	var pools []Pool
	for range 12 {
		pools = append(pools, Pool{Shape: small, Count: 5})
	}
	ask := Ask{{0, small, 1}, {1, small, 2}, {2, small, 4}, {3, small, 5}}
	if r := Check(pools, Use{small: 1}, ask); r.Verdict != Full || r.Findings[0].Short != 1 {
		t.Errorf("%s, short of %d; want FULL and 1", r.Verdict, r.Findings[0].Short)
	}
	if r := Check(pools, nil, ask); r.Verdict != Fits {
		t.Errorf("with nothing in use: %s", r.Verdict)
	}
}

// TestEmptyPoolsTakeAll: with nothing in use, two worker pools fill two pools.
func TestEmptyPoolsTakeAll(t *testing.T) {
	pools, ask := []Pool{{Shape: small, Count: 2}, {Shape: small, Count: 2}}, Ask{{0, small, 2}, {1, small, 2}}
	if room := NewRoom(pools, nil); !room.Fits(ask) {
		t.Error("it does not fit on pools of the same size")
	}
	if room := NewRoom(pools, Use{small: 1}); room.Fits(ask) {
		t.Error("it fits beside a replica in use")
	}
}
