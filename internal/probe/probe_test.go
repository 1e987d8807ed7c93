package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/gcp"
	"example.com/berth/internal/probe"
	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

const (
	parent   = "projects/secret-project/locations/us-central1"
	resource = parent + "/persistentResources/secret-pool"
	account  = "secret@secret-project.iam.gserviceaccount.com"
)

// A world is a fake Vertex AI with one resource, and a clock that sleeping moves.
type world struct {
	*fakevertex.Server
	*fakevertex.ManualClock
	gcp.Raw
	sleeps func() error // asked at every sleep, if not nil
}

func (w *world) Now() time.Time { return w.ManualClock.Now() }

func (w *world) Sleep(ctx context.Context, d time.Duration) error {
	if w.sleeps != nil {
		if err := w.sleeps(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.Advance(d)
	return nil
}

func newWorld(t *testing.T, change func(*fakevertex.Behaviour), edit func(*aiplatformpb.PersistentResource)) *world {
	t.Helper()
	b := fakevertex.DefaultBehaviour()
	b.RunFor = 20 * time.Second
	if change != nil {
		change(&b)
	}
	w := &world{ManualClock: fakevertex.NewManualClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	w.Server = fakevertex.New(fakevertex.Options{Clock: w.ManualClock, Behaviour: &b, Seed: 1})
	long := &fakevertex.Span{From: 10 * time.Minute, To: 10 * time.Minute}
	if err := w.SetJobRules([]fakevertex.JobRule{{Name: "berth-probe-tiny"}, {Name: "berth-probe-*", RunFor: long}}); err != nil {
		t.Fatal(err)
	}
	r := &aiplatformpb.PersistentResource{Name: resource, ResourcePools: []*aiplatformpb.ResourcePool{
		{MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: proto.Int64(2),
			DiskSpec: &aiplatformpb.DiskSpec{BootDiskType: "pd-ssd", BootDiskSizeGb: 100}}}}
	if edit != nil {
		edit(r)
	}
	if _, err := w.AddResource(r); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.Serve(l) }()
	client, err := gcp.NewVertex(gcp.VertexOptions{Insecure: true, Endpoint: func(string) string { return l.Addr().String() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		w.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	w.Raw = client.Raw()
	return w
}

func (w *world) plan(t *testing.T) *probe.Plan {
	t.Helper()
	r, err := w.Resource(t.Context(), resource)
	if err != nil {
		t.Fatal(err)
	}
	p, err := probe.NewPlan(r, probe.Options{ID: "p1", Parent: parent, Image: "secret.io/image", Account: account, Wait: 4 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// live is how many jobs have not ended.
func (w *world) live() int {
	n := 0
	for state, k := range w.States() {
		if state != "SUCCEEDED" && state != "FAILED" && state != "CANCELLED" {
			n += k
		}
	}
	return n
}

// probed runs a whole probe.
func (w *world) probed(t *testing.T) *probe.Record {
	t.Helper()
	p := w.plan(t)
	seen, left, err := probe.Run(t.Context(), w, w, p, t.Logf)
	if err != nil && !strings.Contains(err.Error(), "a job that fits did not run") || len(left) > 0 || w.live() > 0 {
		t.Errorf("stopped by %v, left %v; %d jobs are live", err, left, w.live())
	}
	return probe.NewRecord(p, seen, left, err, w.Now(), "v1")
}

// answer is the answer to a question.
func answer(r *probe.Record, question string) string {
	for _, f := range r.Findings {
		if f.Question == question {
			return f.Answer
		}
	}
	return ""
}

func setting(r *probe.Record, name string) string {
	for _, s := range r.Settings {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

// Every value of every switch about which the service is silent is found out.
func TestFindsEachSwitch(t *testing.T) {
	type knobs = fakevertex.Behaviour
	var usual *probe.Record
	for _, c := range []struct {
		name     string
		change   func(*knobs)
		edit     func(*aiplatformpb.PersistentResource)
		question string
		answer   string
		knob     string // and its value in the record
		value    any
		settings string // NAME=VALUE ...
	}{
		{"defaults", nil, nil, "starts", "4s", "runningAfter", "4s", "BERTH_DISK_TYPE=pd-ssd BERTH_SERVICE_ACCOUNTS=allow BERTH_RETRY_AFTER=30s BERTH_BACKOFF=15s"},
		{"full queue-for-ever", func(b *knobs) { b.FullPool = fakevertex.FullQueueForEver }, nil, "fullPool", "queue-for-ever", "fullPool", "queue-for-ever", ""},
		{"full queue-then-fail", func(b *knobs) { b.FullPool, b.QueueFailAfter = fakevertex.FullQueueThenFail, 3*time.Minute }, nil, "fullPool", "queue-then-fail", "queueFailAfter", "3m1s", ""},
		{"full failed-precondition", func(b *knobs) { b.FullPool = fakevertex.FullFailedPrecondition }, nil, "fullPool", "failed-precondition", "fullPool", "failed-precondition", "BERTH_DECLINE_TIMEOUT=24h0m0s"},
		{"full resource-exhausted", func(b *knobs) { b.FullPool = fakevertex.FullResourceExhausted }, nil, "fullPool", "resource-exhausted", "fullPool", "resource-exhausted", ""},
		{"full accept-then-fail", func(b *knobs) { b.FullPool = fakevertex.FullAcceptThenFail }, nil, "fullPool", "accept-then-fail", "fullPool", "accept-then-fail", ""},
		{"waits pending", nil, nil, "waitState", "PENDING", "queueState", "pending", ""},
		{"waits queued", func(b *knobs) { b.QueueState = fakevertex.WaitQueued }, nil, "waitState", "QUEUED", "queueState", "queued", ""},
		{"mismatch invalid-argument", nil, nil, "mismatch", "invalid-argument", "mismatch", "invalid-argument", ""},
		{"mismatch failed-precondition", func(b *knobs) { b.Mismatch = fakevertex.RefuseFailedPrecondition }, nil, "mismatch", "failed-precondition", "mismatch", "failed-precondition", ""},
		{"mismatch not-found", func(b *knobs) { b.Mismatch = fakevertex.RefuseNotFound }, nil, "tooManyReplicas", "not-found", "mismatch", "not-found", ""},
		{"mismatch accept-then-fail", func(b *knobs) { b.Mismatch = fakevertex.RefuseByFailing }, nil, "mismatch", "accept-then-fail", "mismatch", "accept-then-fail", ""},
		{"absent not-found", nil, nil, "resourceAbsent", "not-found", "resourceAbsent", "not-found", ""},
		{"absent invalid-argument", func(b *knobs) { b.ResourceAbsent = fakevertex.RefuseInvalidArgument }, nil, "resourceAbsent", "invalid-argument", "resourceAbsent", "invalid-argument", ""},
		{"absent failed-precondition", func(b *knobs) { b.ResourceAbsent = fakevertex.RefuseFailedPrecondition }, nil, "resourceAbsent", "failed-precondition", "resourceAbsent", "failed-precondition", ""},
		{"absent accept-then-fail", func(b *knobs) { b.ResourceAbsent = fakevertex.RefuseByFailing }, nil, "resourceAbsent", "accept-then-fail", "resourceAbsent", "accept-then-fail", ""},
		{"job disk pd-standard", func(b *knobs) { b.JobDisk = "pd-standard" }, nil, "defaultDisk", "not pd-ssd 100", "jobDisk", "pd-standard", "BERTH_DISK_TYPE=pd-standard"},
		{"job disk shown", func(b *knobs) { b.JobDisk = "pd-standard" }, func(r *aiplatformpb.PersistentResource) {
			r.ResourcePools[0].DiskSpec.BootDiskType = "pd-standard"
		}, "defaultDisk", "pd-standard 100", "jobDisk", "pd-standard", "BERTH_DISK_TYPE=pd-standard"},
		{"job disk of a refused job", nil, func(r *aiplatformpb.PersistentResource) { r.ResourcePools[0].DiskSpec.BootDiskSizeGb = 200 },
			"defaultDisk", "not pd-ssd 200", "", nil, ""},
		{"disk size compared", nil, nil, "diskSize", "compared", "ignoreDiskSize", false, ""},
		{"disk size ignored", func(b *knobs) { b.IgnoreDiskSize = true }, nil, "diskSize", "not compared", "ignoreDiskSize", true, ""},
		{"accounts refused", func(b *knobs) { b.RefuseAccounts = true }, nil, "serviceAccount", "invalid-argument", "refuseAccounts", true, "BERTH_SERVICE_ACCOUNTS=refuse"},
		{"accounts allowed", nil, nil, "serviceAccount", "runs", "refuseAccounts", false, "BERTH_SERVICE_ACCOUNTS=allow"},
		{"Ray refused", func(b *knobs) { b.RefuseRay = true }, ray, "rayCluster", "invalid-argument", "refuseRay", true, "BERTH_RAY_CLUSTERS=refuse"},
		{"Ray allowed", nil, ray, "rayCluster", "runs", "refuseRay", false, "BERTH_RAY_CLUSTERS=allow"},
		{"many chiefs allowed", nil, nil, "firstWorkerPool", "allowed", "rejectManyChiefs", false, ""},
		{"many chiefs refused", func(b *knobs) { b.RejectManyChiefs = true }, nil, "firstWorkerPool", "refused", "rejectManyChiefs", true, ""},
		{"shared pool allowed", nil, nil, "sharedPool", "allowed", "rejectSharedPool", false, ""},
		{"shared pool refused", func(b *knobs) { b.RejectSharedPool = true }, nil, "sharedPool", "refused", "rejectSharedPool", true, ""},
		{"list lag", func(b *knobs) { b.ListLag = 40 * time.Second }, nil, "listLag", "40s", "listLag", "40s", "BERTH_RETRY_AFTER=1m20s"},
		{"long list lag", func(b *knobs) { b.ListLag = 2 * time.Minute }, nil, "listLag", "2m1s", "listLag", "2m1s", "BERTH_RETRY_AFTER=4m2s BERTH_UNCLEAR_TIMEOUT=20m0s"},
		{"used count lag", func(b *knobs) { b.UsedCountLag = 30 * time.Second }, nil, "usedCountLag", "30s", "usedCountLag", "30s", ""},
		{"full pool with a late count", func(b *knobs) { b.UsedCountLag, b.FullPool = 30*time.Second, fakevertex.FullFailedPrecondition },
			nil, "fullPool", "failed-precondition", "usedCountLag", "30s", ""},
		{"accounts enforced", nil, func(r *aiplatformpb.PersistentResource) {
			r.ResourceRuntimeSpec = &aiplatformpb.ResourceRuntimeSpec{ServiceAccountSpec: &aiplatformpb.ServiceAccountSpec{EnableCustomServiceAccount: true}}
		}, "serviceAccount", "not probed", "fullPool", "queue-for-ever", ""},
		{"no used count lag", nil, nil, "usedCountLag", "0s", "usedCountLag", "0s", ""},
		{"release lag", func(b *knobs) { b.ReleaseLag = 50 * time.Second }, nil, "reuse", "50s", "", nil, "BERTH_BACKOFF=50s"},
		{"release lag of a pool that refuses", func(b *knobs) {
			b.ReleaseLag, b.FullPool = 50*time.Second, fakevertex.FullFailedPrecondition
		}, nil, "reuse", "56s", "", nil, ""},
		{"long release lag", func(b *knobs) { b.ReleaseLag = 4 * time.Minute }, nil, "reuse", "4m2s", "", nil, "BERTH_BACKOFF=4m2s"},
		{"endless release lag makes nothing certain", func(b *knobs) {
			b.ReleaseLag, b.FullPool, b.IgnoreDiskSize = time.Hour, fakevertex.FullFailedPrecondition, true
		}, nil, "diskSize", "unclear", "ignoreDiskSize", nil, ""},
		{"disk size ignored with slow starts", func(b *knobs) { b.RunningAfter, b.IgnoreDiskSize = 8*time.Minute, true }, nil, "diskSize", "not compared", "ignoreDiskSize", true, ""},
		{"full pool with slow starts", func(b *knobs) { b.RunningAfter, b.FullPool = 5*time.Minute, fakevertex.FullResourceExhausted }, nil, "fullPool", "resource-exhausted", "fullPool", "resource-exhausted", ""},
		{"starts that are too slow", func(b *knobs) { b.RunningAfter = time.Hour }, nil, "starts", "no", "", nil, ""},
		{"mismatch that fails late", func(b *knobs) { b.Mismatch, b.AcceptFailAfter = fakevertex.RefuseByFailing, 3*time.Minute }, nil, "mismatch", "accept-then-fail", "mismatch", "accept-then-fail", ""},
		{"cancels that take long", func(b *knobs) { b.CancelAfter = 100 * time.Second }, nil, "cancel", "CANCELLED", "cancelIsIgnored", false, ""},
		{"few calls a minute", func(b *knobs) { b.SubmitPerMinute, b.OtherPerMinute = 1, 30 }, nil, "mismatch", "invalid-argument", "mismatch", "invalid-argument", ""},
		{"filters with few calls a minute", func(b *knobs) { b.SubmitPerMinute, b.OtherPerMinute = 1, 6 }, nil, "filters", "all found the job", "", nil, ""},
		{"a list's order", nil, nil, "listOrder", "newest first", "", nil, ""},
		{"a cancel after the end", nil, nil, "cancelAfterEnd", "OK", "", nil, ""},
		{"spot", nil, nil, "spot", "runs", "", nil, ""},
		{"flex start", nil, nil, "flexStart", "runs", "", nil, ""},
		{"no built-in accelerator", nil, nil, "builtInAccelerator", "not probed", "", nil, ""},
		{"a built-in accelerator", nil, func(r *aiplatformpb.PersistentResource) {
			r.ResourcePools[0].MachineSpec = &aiplatformpb.MachineSpec{MachineType: "g2-standard-12", AcceleratorType: aiplatformpb.AcceleratorType_NVIDIA_L4, AcceleratorCount: 1}
		}, "builtInAccelerator", "must be named", "", nil, ""},
		{"the first of equal pools", func(b *knobs) { b.FirstPool = true }, equalPools, "equalPools", "number 1 of 2", "firstPool", true, ""},
		{"the tightest of equal pools", nil, equalPools, "equalPools", "number 2 of 2", "firstPool", false, ""},
		{"equal pools are full together", nil, equalPools, "fullPool", "queue-for-ever", "fullPool", "queue-for-ever", ""},
		{"more replicas than any equal pool", nil, equalPools, "tooManyReplicas", "invalid-argument", "", nil, ""},
		{"a pool of the other disk", nil, otherDisks, "mismatch", "invalid-argument", "mismatch", "invalid-argument", ""},
		{"a pool of the larger disk", nil, otherDisks, "diskSize", "compared", "ignoreDiskSize", false, ""},
		{"timeout cancels", nil, nil, "timeout", "CANCELLED", "timeoutFails", false, ""},
		{"timeout fails", func(b *knobs) { b.TimeoutFails = true }, nil, "timeout", "FAILED", "timeoutFails", true, ""},
		{"cancel cancels", nil, nil, "cancel", "CANCELLED", "cancelIsIgnored", false, ""},
		{"cancel is ignored", func(b *knobs) { b.CancelIsIgnored = true }, nil, "cancel", "SUCCEEDED", "cancelIsIgnored", true, ""},
		{"no lost answers", nil, nil, "lostAnswers", "none", "", nil, ""},
		{"answers unavailable", func(b *knobs) { b.CreateAnswer = fakevertex.CreateUnavailable }, nil, "lostAnswers", "11", "", nil, ""},
		{"answers late", func(b *knobs) { b.CreateAnswer = fakevertex.CreateDeadlineExceeded }, nil, "lostAnswers", "11", "", nil, ""},
		{"answers dropped", func(b *knobs) { b.CreateAnswer = fakevertex.CreateDropped }, nil, "lostAnswers", "11", "", nil, ""},
		{"filters", nil, nil, "filters", "all found the job", "", nil, ""},
		{"not running failed-precondition", nil, rebooting, "resourceNotReady", "failed-precondition", "resourceNotRunning", "failed-precondition", ""},
		{"not running invalid-argument", func(b *knobs) { b.ResourceNotRunning = fakevertex.RefuseInvalidArgument }, rebooting, "resourceNotReady", "invalid-argument", "resourceNotRunning", "invalid-argument", ""},
		{"not running not-found", func(b *knobs) { b.ResourceNotRunning = fakevertex.RefuseNotFound }, rebooting, "resourceNotReady", "not-found", "resourceNotRunning", "not-found", ""},
		{"not running accept-then-fail", func(b *knobs) { b.ResourceNotRunning = fakevertex.RefuseByFailing }, rebooting, "resourceNotReady", "accept-then-fail", "resourceNotRunning", "accept-then-fail", ""},
		{"machine quota", func(b *knobs) { b.MachineQuota, b.MachineQuotaOnResources = "custom_model_training_cpus", true }, nil, "starts", "no", "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := usual // several questions are answered by one probe
			if r == nil || c.change != nil || c.edit != nil {
				r = newWorld(t, c.change, c.edit).probed(t)
			}
			if c.change == nil && c.edit == nil {
				usual = r
			}
			if got := answer(r, c.question); got != c.answer {
				t.Errorf("%s: %q, want %q", c.question, got, c.answer)
			}
			if got := r.Switches[c.knob]; c.knob != "" && got != c.value {
				t.Errorf("switch %s is %v, want %v", c.knob, got, c.value)
			}
			for _, pair := range strings.Fields(c.settings) {
				name, value, _ := strings.Cut(pair, "=")
				if got := setting(r, name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			if t.Failed() {
				t.Log("\n" + r.Text())
			}
			// The switches are a scenario of the fake; the file holds no name.
			file, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(file), "secret") || strings.Contains(r.Text(), "secret") {
				t.Errorf("the record names what is secret:\n%s", file)
			}
			if _, err := scenario.Read("record", fmt.Appendf(nil, `{"behaviour": %s}`, mustJSON(t, r.Switches)), scenario.Location{}); err != nil {
				t.Errorf("behaviour %v: %v", r.Switches, err)
			}
		})
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// equalPools is a second pool like the first, which is larger.
func equalPools(r *aiplatformpb.PersistentResource) {
	r.ResourcePools = append(r.ResourcePools, proto.CloneOf(r.ResourcePools[0]))
	r.ResourcePools[0].ReplicaCount = proto.Int64(3)
	r.ResourcePools[1].ReplicaCount = proto.Int64(1)
}

// otherDisks are two more pools, which differ from the first in their disks only.
func otherDisks(r *aiplatformpb.PersistentResource) {
	for range 2 {
		r.ResourcePools = append(r.ResourcePools, proto.CloneOf(r.ResourcePools[0]))
	}
	r.ResourcePools[1].DiskSpec.BootDiskType = "pd-standard"
	r.ResourcePools[2].DiskSpec.BootDiskSizeGb++
}

func ray(r *aiplatformpb.PersistentResource) {
	r.ResourceRuntimeSpec = &aiplatformpb.ResourceRuntimeSpec{RaySpec: &aiplatformpb.RaySpec{}}
}

func rebooting(r *aiplatformpb.PersistentResource) {
	r.State = aiplatformpb.PersistentResource_REBOOTING
}

// Whatever fails, and whenever the prober is interrupted, no job of it is left.
func TestLeavesNothingBehind(t *testing.T) {
	for _, method := range []string{"CreateCustomJob", "GetCustomJob", "ListCustomJobs", "CancelCustomJob", "GetPersistentResource"} {
		for _, after := range []bool{false, true} {
			for _, code := range []codes.Code{codes.Unavailable, codes.PermissionDenied} {
				w := newWorld(t, nil, nil)
				if after && code != codes.Unavailable {
					continue // a refusal is not carried out
				}
				p := w.plan(t)
				if err := w.SetFaultRules([]fakevertex.FaultRule{{Method: method, Rate: 0.3, Count: 20, After: after, Code: code}}); err != nil {
					t.Fatal(err)
				}
				_, left, err := probe.Run(t.Context(), w, w, p, func(string, ...any) {})
				if len(left) > 0 || w.live() > 0 {
					t.Errorf("%s %v after=%v: left %v, %d live, error %v", method, code, after, left, w.live(), err)
				}
			}
		}
	}
	for _, n := range []int{1, 5, 40, 80} {
		w := newWorld(t, nil, nil)
		ctx, stop := context.WithCancel(t.Context())
		w.sleeps = func() error {
			if n--; n == 0 {
				stop()
			}
			return nil
		}
		seen, left, err := probe.Run(ctx, w, w, w.plan(t), func(string, ...any) {})
		if err == nil || len(left) > 0 || w.live() > 0 {
			t.Errorf("interrupted: error %v, %d observations, left %v, %d live", err, len(seen), left, w.live())
		}
		stop()
	}
	// A create that is cut off is carried out: only a list shows its job, and late.
	for _, cut := range []int{0, 1, 4} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.ListLag = 20 * time.Second }, nil)
		ctx, stop := context.WithCancel(t.Context())
		p, n := w.plan(t), 0
		w.SetFault(func(method string, _ any) fakevertex.Fault {
			if method == "CreateCustomJob" {
				if n++; n == cut+1 {
					stop()
					return fakevertex.HangAfter()
				}
			}
			return fakevertex.Fault{}
		})
		_, left, err := probe.Run(ctx, w, w, p, func(string, ...any) {})
		if !errors.Is(err, context.Canceled) || len(left) > 0 || w.live() > 0 || len(w.Jobs()) != cut+1 {
			t.Errorf("cut off: error %v, left %v, %d of %d live", err, left, w.live(), len(w.Jobs()))
		}
	}
	// Where nothing can be cancelled the names are told.
	w := newWorld(t, nil, nil)
	p := w.plan(t)
	if err := w.SetFaultRules([]fakevertex.FaultRule{{Method: "CancelCustomJob", Code: codes.PermissionDenied}}); err != nil {
		t.Fatal(err)
	}
	_, left, err := probe.Run(t.Context(), w, w, p, func(string, ...any) {})
	if err == nil || len(left) != w.live() || len(left) == 0 {
		t.Errorf("left %v with %d live, error %v", left, w.live(), err)
	}
}

// What an interrupted probe was about to see is unclear, not an answer.
func TestInterruptedStepsAreUnclear(t *testing.T) {
	for step, question := range map[string]string{"full": "fullPool", "tiny": "starts", "default-disk": "firstWorkerPool"} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.RunningAfter = 5 * time.Minute }, nil)
		ctx, stop := context.WithCancel(t.Context())
		p, last := w.plan(t), ""
		w.sleeps = func() error {
			if last == step {
				stop()
			}
			return nil
		}
		seen, left, err := probe.Run(ctx, w, w, p, func(format string, args ...any) {
			if format == "%s: %s" {
				last = args[0].(string)
			}
		})
		stop()
		r := probe.NewRecord(p, seen, left, err, w.Now(), "v1")
		if got := answer(r, question); !errors.Is(err, context.Canceled) || got != "unclear" && got != "not probed" || len(left) > 0 {
			t.Errorf("interrupted at %s: %s is %q, error %v, left %v", step, question, got, err, left)
		}
		for _, knob := range []string{"fullPool", "queueState", "rejectManyChiefs"} {
			if v, is := r.Switches[knob]; is && step != "default-disk" {
				t.Errorf("interrupted at %s: %s is %v", step, knob, v)
			}
		}
	}
}

// A resource that changes while it is probed stops the probe: its answers would be those of another.
func TestResourceChanges(t *testing.T) {
	for want, change := range map[string]func(*world) error{
		"the resource was RUNNING and is REBOOTING now": func(w *world) error {
			return w.SetResourceState(resource, aiplatformpb.PersistentResource_REBOOTING)
		},
		"the resource is gone": func(w *world) error { return w.RemoveResource(resource) },
		"the resource was made anew": func(w *world) error {
			_, err := w.RecreateResource(&aiplatformpb.PersistentResource{Name: resource, ResourcePools: w.Resources()[0].ResourcePools})
			return err
		},
	} {
		w := newWorld(t, nil, nil)
		p, done := w.plan(t), false
		_, left, err := probe.Run(t.Context(), w, w, p, func(_ string, args ...any) {
			if len(args) > 0 && args[0] == "mismatch" && !done {
				done = true
				if err := change(w); err != nil {
					t.Error(err)
				}
			}
		})
		if err == nil || !strings.Contains(err.Error(), want) || len(left) > 0 || w.live() > 0 {
			t.Errorf("%v, want %s; left %v, %d live", err, want, left, w.live())
		}
	}
}

// A create without an answer is told of, if no list can show whether its job exists.
func TestUnseenJobIsToldOf(t *testing.T) {
	w := newWorld(t, nil, nil)
	p := w.plan(t)
	if err := w.SetFaultRules([]fakevertex.FaultRule{
		{Method: "ListCustomJobs", Code: codes.PermissionDenied}, {Method: "CreateCustomJob", Skip: 1, Count: 1, After: true},
	}); err != nil {
		t.Fatal(err)
	}
	_, left, err := probe.Run(t.Context(), w, w, p, func(string, ...any) {})
	if err == nil || !strings.Contains(err.Error(), "look for jobs with the label berth-probe=p1") || len(left) != 0 {
		t.Errorf("error %v, left %v", err, left)
	}
}

// Jobs that fill the pool outlast all that is watched meanwhile, whatever --probe-wait is.
func TestFillersOutlastTheWait(t *testing.T) {
	w := newWorld(t, nil, nil)
	r, err := w.Resource(t.Context(), resource)
	if err != nil {
		t.Fatal(err)
	}
	p, err := probe.NewPlan(r, probe.Options{ID: "p1", Parent: parent, Image: "i", Wait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if s.Name != "fill" {
			continue
		}
		task := s.Job.JobSpec.WorkerPoolSpecs[0].GetContainerSpec().Command
		sleeps, err := time.ParseDuration(task[1] + "s")
		if limit := s.Job.JobSpec.Scheduling.Timeout.AsDuration(); err != nil || sleeps < 80*time.Minute || limit <= sleeps {
			t.Errorf("command %v, limit %s", task, limit)
		}
	}
}

// Other jobs on the pool make an answer unclear, never wrong.
func TestOthersUseThePool(t *testing.T) {
	for _, full := range []fakevertex.FullPool{fakevertex.FullQueueForEver, fakevertex.FullFailedPrecondition, fakevertex.FullAcceptThenFail} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.FullPool = full }, nil)
		p := w.plan(t)
		if _, err := w.StartForeignJob(resource, "n1-standard-4", 1, -1); err != nil {
			t.Fatal(err)
		}
		seen, left, err := probe.Run(t.Context(), w, w, p, func(string, ...any) {})
		if err != nil || len(left) > 0 || w.live() != 1 {
			t.Errorf("error %v, left %v, %d live", err, left, w.live())
		}
		r := probe.NewRecord(p, seen, left, err, w.Now(), "v1")
		for question, want := range map[string]string{"fullPool": "unclear", "firstWorkerPool": "unclear", "sharedPool": "unclear", "defaultDisk": "pd-ssd 100", "mismatch": "invalid-argument"} {
			if got := answer(r, question); got != want {
				t.Errorf("%s: %s is %q, want %q\n%s", full, question, got, want, r.Text())
			}
		}
	}
}

// What the service says is kept without names, and a missing right is no answer.
func TestNamesAreCutOut(t *testing.T) {
	w := newWorld(t, nil, nil)
	w.SetFault(func(_ string, req any) fakevertex.Fault {
		if r, is := req.(*aiplatformpb.CreateCustomJobRequest); is && r.GetCustomJob().GetDisplayName() == "berth-probe-account" {
			return fakevertex.FailBefore(codes.InvalidArgument, "You do not have permission to act as service_account: "+account+
				" (or it may not exist) for secret.io/image in projects/987654321098/locations/us-central1 of secret-project, "+
				"persistentResources/secret-pool, \"secret-pool\", job 1234567890123456789; secret-pool secret-pool is in gs://secret-project-bucket.")
		}
		return fakevertex.Fault{}
	})
	r := w.probed(t)
	const want = `INVALID_ARGUMENT: You do not have permission to act as service_account: ADDRESS (or it may not exist) for IMAGE in ` +
		`projects/PROJECT/locations/us-central1 of PROJECT, persistentResources/RESOURCE, "RESOURCE", job NUMBER; RESOURCE RESOURCE is in gs://PROJECT-bucket.`
	for _, f := range r.Findings {
		if f.Question == "serviceAccount" && (f.Answer != "unclear" || f.Detail != want) {
			t.Errorf("%s: %s, want\n%s", f.Answer, f.Detail, want)
		}
	}
	if setting(r, "BERTH_SERVICE_ACCOUNTS") != "" || strings.Contains(string(mustJSON(t, r)), "secret") {
		t.Errorf("record %s", mustJSON(t, r))
	}
}

func TestPlan(t *testing.T) {
	w := newWorld(t, nil, nil)
	p := w.plan(t)
	text := p.Announce()
	for _, want := range []string{"creates 15 jobs", "n1-standard-4: n1-standard-4, pd-ssd 100 GB, replicas 2, in use 0", "one more job of one replica on the full pool",
		"cost nothing beyond that", "keeps every free replica of the pool busy (2)", "berth-probe=p1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(w.Jobs()) != 0 {
		t.Error("a plan creates jobs")
	}
	pools := func(list ...*aiplatformpb.ResourcePool) *aiplatformpb.PersistentResource {
		return &aiplatformpb.PersistentResource{Name: resource, State: aiplatformpb.PersistentResource_RUNNING, ResourcePools: list}
	}
	pool := func(id string, replicas, used int64, scales bool) *aiplatformpb.ResourcePool {
		out := &aiplatformpb.ResourcePool{Id: id, ReplicaCount: &replicas, UsedReplicaCount: used, MachineSpec: &aiplatformpb.MachineSpec{MachineType: "m"}}
		if scales {
			out.MachineSpec.MachineType = "other"
			out.AutoscalingSpec = &aiplatformpb.ResourcePool_AutoscalingSpec{MaxReplicaCount: proto.Int64(9)}
		}
		return out
	}
	for _, c := range []struct {
		r          *aiplatformpb.PersistentResource
		pool, want string // the chosen one, or an error
		leftOut    string // questions
	}{
		{pools(pool("a", 2, 2, false), pool("b", 3, 0, true), pool("c", 2, 1, false)), "", "c", "resourceNotReady serviceAccount firstWorkerPool sharedPool builtInAccelerator"},
		{pools(pool("a", 2, 2, false), pool("b", 3, 0, true)), "b", "b", "resourceNotReady equalPools fullPool reuse serviceAccount builtInAccelerator"},
		{pools(pool("a", 20, 2, false)), "", "a", "resourceNotReady equalPools fullPool reuse serviceAccount builtInAccelerator"},
		{pools(pool("a", 2, 2, false)), "", "no replica of the pool is free; name another pool, or wait", ""},
		{func() *aiplatformpb.PersistentResource {
			r := pools(pool("a", 2, 0, false))
			r.ResourceRuntimeSpec = &aiplatformpb.ResourceRuntimeSpec{ServiceAccountSpec: &aiplatformpb.ServiceAccountSpec{EnableCustomServiceAccount: true}}
			return r
		}(), "", "the resource takes only jobs that name a service account; name one with --probe-account", ""},
		{pools(pool("a", 2, 2, false)), "x", `the persistent resource has no pool "x"`, ""},
	} {
		p, err := probe.NewPlan(c.r, probe.Options{ID: "p1", Parent: parent, Pool: c.pool})
		if err != nil {
			if err.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			continue
		}
		var out []string
		for _, f := range p.LeftOut {
			out = append(out, f.Question)
		}
		if p.Pool.Id != c.want || strings.Join(out, " ") != "autoscaling pageSize logLabel reboot rates "+c.leftOut {
			t.Errorf("pool %s, left out %v; want %s, %s", p.Pool.Id, out, c.want, c.leftOut)
		}
	}
}
