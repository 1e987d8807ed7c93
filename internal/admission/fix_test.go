package admission

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

var zoo = normal(
	capacity.Spec{MachineType: "n1-standard-4"}, capacity.Spec{MachineType: "n1-standard-8"}, capacity.Spec{MachineType: "e2-standard-4", DiskType: "pd-standard", DiskSizeGB: 200},
	capacity.Spec{MachineType: "n1-standard-8", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 1}, capacity.Spec{MachineType: "g2-standard-12", Accelerator: "NVIDIA_L4", AcceleratorCount: 1},
	capacity.Spec{MachineType: "a2-highgpu-1g", Accelerator: "NVIDIA_TESLA_A100", AcceleratorCount: 1}, capacity.Spec{MachineType: "a2-highgpu-1g"}, capacity.Spec{MachineType: "a2-ultragpu-1g", Accelerator: "NVIDIA_A100_80GB", AcceleratorCount: 1},
	capacity.Spec{MachineType: "a3-highgpu-8g", Accelerator: "NVIDIA_H100_80GB", AcceleratorCount: 8}, capacity.Spec{MachineType: "a3-highgpu-8g"}, capacity.Spec{MachineType: "a3-megagpu-8g", Accelerator: "NVIDIA_H100_MEGA_80GB", AcceleratorCount: 8},
	capacity.Spec{MachineType: "ct5lp-hightpu-4t", TPUTopology: "2x2"}, capacity.Spec{MachineType: "a3-highgpu-8g", Accelerator: "NVIDIA_H100_80GB", AcceleratorCount: 8, DiskSizeGB: 500},
)

func normal(specs ...capacity.Spec) (shapes []capacity.Shape) {
	for _, s := range specs {
		shapes = append(shapes, s.Normal())
	}
	return shapes
}

// accelerated reports whether a shape of the zoo was meant to have a GPU or a
// TPU.
func accelerated(shape capacity.Shape) bool {
	s := shape.Spec()
	return s.Accelerator != "" || s.TPUTopology != "" || strings.HasPrefix(s.MachineType, "a2-") || strings.HasPrefix(s.MachineType, "a3-")
}

// TestRefusalsSayHowToFit draws refusals. Each has a fix; its edits make the
// request fit; and no fix moves a job from an accelerator to a machine without
// one while a machine with one exists.
func TestRefusalsSayHowToFit(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	refusals, edited, hopeless := 0, 0, 0
	for range 4000 {
		s := Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true, CustomAccount: random.IntN(12) == 0, Use: capacity.Use{}}
		anyAccelerator, anyCPU := false, false
		for i := range random.IntN(5) {
			p := capacity.Pool{ID: "p" + strconv.Itoa(i), Shape: zoo[random.IntN(len(zoo))], Count: capacity.Replicas(random.IntN(4))}
			s.Pools = append(s.Pools, p)
			anyAccelerator = anyAccelerator || accelerated(p.Shape) && p.Count > 0
			anyCPU = anyCPU || !accelerated(p.Shape) && p.Count > 0
		}
		a := Ask{OnFull: []message.OnFull{message.Queue, message.Reject}[random.IntN(2)]}
		for i := range 1 + random.IntN(3) {
			a.Demand = append(a.Demand, capacity.Need{WorkerPool: i, Shape: zoo[random.IntN(len(zoo))], Replicas: 1 + capacity.Replicas(random.IntN(4))})
		}
		for _, n := range a.Demand[:random.IntN(2)] {
			s.Use[n.Shape] = 1
		}
		d := Decide(s, a, policy)
		if d.Verdict != Refuse {
			continue
		}
		refusals++
		if d.Reason.Fix == "" || strings.Contains(d.Reason.Fix, "%!") {
			t.Fatalf("%+v of %+v: no fix: %+v", a, s, d.Reason)
		}
		if d.Reason.Code != reason.SpecMismatch && d.Reason.Code != reason.TooManyReplicas {
			continue
		}
		after := a
		after.Demand = slices.Clone(a.Demand)
		edits := applyEdits(t, after.Demand, d.Fit)
		if edits == 0 {
			hopeless++
			if !strings.Contains(d.Reason.Fix, "No small edit") {
				t.Fatalf("%+v of %+v: %+v", a, s, d.Reason)
			}
			continue
		}
		edited++
		if got := capacity.Check(s.Pools, nil, after.Demand); got.Verdict != capacity.Fits {
			t.Fatalf("%+v of %+v: after %s it is %s", a, s, d.Reason.Fix, got.Verdict)
		}
		for i, n := range after.Demand {
			if was := a.Demand[i].Shape; accelerated(was) && !accelerated(n.Shape) && anyAccelerator {
				t.Fatalf("%+v of %+v: %s leaves no accelerator", a, s, d.Reason.Fix)
			} else if !accelerated(was) && accelerated(n.Shape) && anyCPU {
				t.Fatalf("%+v of %+v: %s takes an accelerator for a job without", a, s, d.Reason.Fix)
			}
		}
	}
	if refusals < 1000 || edited < 400 || hopeless < 20 {
		t.Errorf("%d refusals, %d with edits, %d without: too few to tell", refusals, edited, hopeless)
	}
}

// applyEdits makes the edits and counts them.
func applyEdits(t *testing.T, needs capacity.Ask, fit []capacity.Finding) (n int) {
	t.Helper()
	specs := make([]capacity.Spec, len(needs))
	for i := range needs {
		specs[i] = needs[i].Shape.Spec()
	}
	for _, f := range fit {
		for _, e := range f.Edits {
			n++
			index, field, _ := strings.Cut(strings.TrimPrefix(e.Path, "jobSpec.workerPoolSpecs["), "].")
			i, err := strconv.Atoi(index)
			if err != nil {
				t.Fatalf("edit of %q", e.Path)
			}
			number, _ := strconv.ParseInt(e.To, 10, 64)
			s := &specs[i]
			switch field {
			case "replicaCount":
				needs[i].Replicas = capacity.Replicas(number)
			case "machineSpec.machineType":
				s.MachineType = e.To
			case "machineSpec.acceleratorType":
				s.Accelerator = e.To
			case "machineSpec.acceleratorCount":
				s.AcceleratorCount = int32(number)
			case "machineSpec.tpuTopology":
				s.TPUTopology = e.To
			case "diskSpec.bootDiskType":
				s.DiskType = e.To
			case "diskSpec.bootDiskSizeGb":
				s.DiskSizeGB = int32(number)
			default:
				t.Fatalf("edit of %q", e.Path)
			}
		}
	}
	for i, s := range specs {
		needs[i].Shape = s.Normal()
	}
	return n
}

// TestSmallestEdit: single cases that a user would find wrong.
func TestSmallestEdit(t *testing.T) {
	cpu := capacity.Pool{ID: "cpu", Shape: capacity.Spec{MachineType: "n1-standard-4"}.Normal(), Count: 8}
	a100 := capacity.Pool{ID: "a100", Shape: zoo[5], Count: 2}
	l4 := capacity.Pool{ID: "l4", Shape: zoo[4], Count: 2}
	for _, c := range []struct {
		name  string
		asked capacity.Shape
		pools []capacity.Pool
		fix   string
	}{
		{"an a2 without accelerator fields", capacity.Spec{MachineType: "a2-highgpu-1g"}.Normal(), []capacity.Pool{cpu, a100},
			"To fit: set jobSpec.workerPoolSpecs[0].machineSpec.acceleratorType to NVIDIA_TESLA_A100; set jobSpec.workerPoolSpecs[0].machineSpec.acceleratorCount to 1."},
		{"H100s", zoo[8], []capacity.Pool{cpu, a100},
			"To fit: set jobSpec.workerPoolSpecs[0].machineSpec.machineType to a2-highgpu-1g; set jobSpec.workerPoolSpecs[0].machineSpec.acceleratorType to NVIDIA_TESLA_A100; set jobSpec.workerPoolSpecs[0].machineSpec.acceleratorCount to 1."},
		{"H100s where nothing but CPUs is", zoo[8], []capacity.Pool{cpu},
			"To fit: set jobSpec.workerPoolSpecs[0].machineSpec.machineType to n1-standard-4; leave out jobSpec.workerPoolSpecs[0].machineSpec.acceleratorType; leave out jobSpec.workerPoolSpecs[0].machineSpec.acceleratorCount."},
		{"a misspelled machine type", capacity.Spec{MachineType: "n1-standard4"}.Normal(), []capacity.Pool{{ID: "e", Shape: capacity.Spec{MachineType: "e2-highmem-2"}.Normal(), Count: 3}, cpu},
			"To fit: set jobSpec.workerPoolSpecs[0].machineSpec.machineType to n1-standard-4."},
		{"a misspelled disk type", capacity.Spec{MachineType: "n1-standard-4", DiskType: "pd_standard"}.Normal(), []capacity.Pool{cpu, {ID: "hdd", Shape: capacity.Spec{MachineType: "n1-standard-4", DiskType: "pd-standard"}.Normal(), Count: 1}},
			"To fit: set jobSpec.workerPoolSpecs[0].diskSpec.bootDiskType to pd-standard."},
		{"no machine at all", cpu.Shape, nil,
			"No small edit makes the job fit. The persistent resource has no pool. Send a job for these machines, or name another persistent resource."},
		{"a CPU job beside accelerators", capacity.Spec{MachineType: "n1-standard-32"}.Normal(), []capacity.Pool{l4, cpu},
			"To fit: set jobSpec.workerPoolSpecs[0].machineSpec.machineType to n1-standard-4."},
	} {
		s := Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true, Pools: c.pools}
		d := Decide(s, Ask{Head: Head{Demand: capacity.Ask{{Shape: c.asked, Replicas: 1}}}}, policy)
		if d.Verdict != Refuse || d.Reason.Fix != c.fix {
			t.Errorf("%s: %s %+v", c.name, d.Verdict, d.Reason)
		}
	}
	two := Decide(Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true, Pools: []capacity.Pool{{ID: "a", Shape: cpu.Shape, Count: 1}}},
		Ask{Head: Head{Demand: capacity.Ask{{Shape: cpu.Shape, Replicas: 1}, {WorkerPool: 1, Shape: zoo[8], Replicas: 1}}}}, policy)
	if two.Verdict != Refuse || !strings.Contains(two.Reason.Fix, "No small edit makes the job fit. The persistent resource has 1 x n1-standard-4/pd-ssd:100.") {
		t.Errorf("two worker pools and one machine: %+v", two.Reason)
	}
}

// TestPathsOfReasons: reasons for jobs in other forms have the paths of that
// form.
func TestPathsOfReasons(t *testing.T) {
	s := Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true, CustomAccount: true, EncryptionKey: "k", Network: "projects/1/global/networks/n",
		Pools: []capacity.Pool{{ID: "a", Shape: zoo[0], Count: 4}}}
	list := message.Paths{Form: message.FormList, Pools: []string{"[0].", "[1]."}, Snake: true}
	spec := message.Paths{Form: message.FormSpec, Job: "job.", Spec: "job.", Pools: []string{"job.worker_pool_specs."}, Snake: true}
	job := message.Paths{Job: "job.", Spec: "job.jobSpec.", Pools: []string{"job.jobSpec.workerPoolSpecs[0]."}}
	for _, c := range []struct {
		paths      message.Paths
		change     func(*Snapshot, *Ask)
		path, says string
	}{
		{list, func(s *Snapshot, a *Ask) { a.Demand[0].Replicas = 9 }, "[0]", "To fit: set [0].replica_count to 4."},
		{list, func(s *Snapshot, a *Ask) { a.Demand[0].Shape = capacity.Spec{MachineType: "x"}.Normal() }, "[0]", "To fit: set [0].machine_spec.machine_type to n1-standard-4."},
		{spec, func(s *Snapshot, a *Ask) { a.Demand[0].Replicas = 9 }, "job.worker_pool_specs", "To fit: set job.worker_pool_specs.replica_count to 4."},
		{job, func(s *Snapshot, a *Ask) { a.Demand[0].Replicas = 9 }, "job.jobSpec.workerPoolSpecs[0]", "To fit: set job.jobSpec.workerPoolSpecs[0].replicaCount to 4."},
		{list, func(s *Snapshot, a *Ask) { a.Network = "" }, "network", `Send a CustomJobSpec: {"workerPoolSpecs": [...], "network": "projects/1/global/networks/n"}.`},
		{spec, func(s *Snapshot, a *Ask) { a.Network = "" }, "job.network", `Set job.network to "projects/1/global/networks/n".`},
		{spec, func(s *Snapshot, a *Ask) { a.EncryptionKey = "" }, "job.encryption_spec.kms_key_name", `Send a CustomJob: {"jobSpec": {...}, "encryptionSpec": {"kmsKeyName": "k"}}.`},
		{job, func(s *Snapshot, a *Ask) { a.EncryptionKey = "other" }, "job.encryptionSpec.kmsKeyName", `Set job.encryptionSpec.kmsKeyName to "k".`},
		{spec, func(s *Snapshot, a *Ask) { a.ServiceAccount = "" }, "job.service_account", "Set job.service_account to"},
		{job, func(s *Snapshot, a *Ask) { s.CustomAccount = false }, "job.jobSpec.serviceAccount", "Leave out job.jobSpec.serviceAccount, or"},
		{list, func(s *Snapshot, a *Ask) { s.State, s.Known = "ABSENT", false }, "attributes.berth-persistent-resource", "Check the name"},
		{job, func(s *Snapshot, a *Ask) { s.State, s.Known = "ABSENT", false }, "persistentResource", "Check the name"},
	} {
		s, a := s, Ask{Head: Head{Demand: capacity.Ask{{Shape: zoo[0], Replicas: 1}}}, Network: s.Network, EncryptionKey: s.EncryptionKey, ServiceAccount: "a@p", Paths: c.paths}
		c.change(&s, &a)
		d := Decide(s, a, policy)
		if d.Verdict != Refuse || d.Reason.Path != c.path || !strings.Contains(d.Reason.Fix, c.says) {
			t.Errorf("%s %+v, want %s at %s", d.Verdict, d.Reason, c.says, c.path)
		}
		for _, f := range d.Fit {
			for _, e := range f.Edits {
				if !strings.Contains(d.Reason.Fix, e.Path) {
					t.Errorf("the edit is of %s, the reason says %s", e.Path, d.Reason.Fix)
				}
			}
			for _, n := range f.Nearest {
				for _, field := range n.Fields {
					if c.paths.Snake != strings.Contains(field.Field, "_") {
						t.Errorf("%s in a message of other spelling", field.Field)
					}
				}
			}
		}
	}
}

// TestEveryContradictionIsReported: one answer has every fix, in the words of the
// message, and the fixed job fits.
func TestEveryContradictionIsReported(t *testing.T) {
	s := Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true, Network: "projects/1/global/networks/n", Use: capacity.Use{},
		Pools: []capacity.Pool{{ID: "p", Shape: capacity.Spec{MachineType: "n1-standard-4", DiskType: "pd-standard"}.Normal(), Count: 1}}}
	a := Ask{EncryptionKey: "k", ServiceAccount: "a", OnFull: message.Queue, Head: Head{Demand: capacity.Ask{{Shape: capacity.Spec{MachineType: "n1-standard-8"}.Normal(), Replicas: 2}}},
		UnsetDisks: []int{0}, Paths: message.Paths{Job: "job.", Spec: "job.job_spec.", Pools: []string{"job.job_spec.worker_pool_specs[0]."}, Snake: true}}
	const network, key, account = `Set job.job_spec.network to "projects/1/global/networks/n".`, "Leave out job.encryption_spec.kms_key_name; the persistent resource has none.",
		"Leave out job.job_spec.service_account, or make the persistent resource with enableCustomServiceAccount, or let the deployment allow it (BERTH_SERVICE_ACCOUNTS=allow)."
	const pool = "job.job_spec.worker_pool_specs[0]."
	const fit = "To fit: set " + pool + "machine_spec.machine_type to n1-standard-4; set " + pool + "disk_spec.boot_disk_type to pd-standard; set " + pool + "replica_count to 1."
	for _, c := range []struct {
		fix  string
		code reason.Code
		edit func()
	}{
		{network + " " + key + " " + account + " " + fit, reason.NetworkMismatch, func() { a.Network = s.Network }},
		{key + " " + account + " " + fit, reason.KeyMismatch, func() { a.EncryptionKey = "" }},
		{account + " " + fit, reason.AccountMismatch, func() { a.ServiceAccount = "" }},
		{fit, reason.SpecMismatch, func() { a.Demand[0].Shape, a.Demand[0].Replicas = s.Pools[0].Shape, 1 }},
	} {
		d := Decide(s, a, policy)
		if d.Verdict != Refuse || d.Reason.Code != c.code || d.Reason.Fix != c.fix {
			t.Errorf("%s: the reason is %+v, want %s", d.Verdict, d.Reason, c.fix)
		}
		c.edit()
	}
	if d := Decide(s, a, policy); d.Verdict != Admit {
		t.Errorf("the fixed job is decided %s because of %v", d.Verdict, d.Reason)
	}
}

// TestUnsetDiskIsReportedWhereItMatters: the deployment's disk type is named if the
// nearest pool has another, in the words of the message.
func TestUnsetDiskIsReportedWhereItMatters(t *testing.T) {
	for disk, want := range map[string]string{"pd-ssd": "", "pd-standard": " The job sets no disk_spec.boot_disk_type, for which this deployment takes pd-ssd."} {
		s := Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true, Use: capacity.Use{},
			Pools: []capacity.Pool{{ID: "p", Shape: capacity.Spec{MachineType: "n1-standard-4", DiskType: disk}.Normal(), Count: 1}}}
		shape := capacity.Spec{MachineType: "n1-standart-4"}.Normal()
		d := Decide(s, Ask{OnFull: message.Queue, Head: Head{Demand: capacity.Ask{{Shape: shape, Replicas: 1}}}, UnsetDisks: []int{0},
			Paths: message.Paths{Pools: []string{"[0]."}, Snake: true}}, policy)
		if got := "No pool has the machine and disk spec n1-standart-4/pd-ssd:100." + want; d.Reason.Detail != got {
			t.Errorf("%s: the reason is %q, want %q", disk, d.Reason.Detail, got)
		}
	}
}
