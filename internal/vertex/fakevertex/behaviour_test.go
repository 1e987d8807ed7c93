package fakevertex_test

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/vertex/fakevertex"
)

func TestFullPool(t *testing.T) {
	const text = "does not have enough free replicas"
	full := func(t *testing.T, change func(*fakevertex.Behaviour)) (*world, string) {
		w := newWorld(t, change)
		w.add(t, fixedPool("", 2))
		return w, w.mustCreate(t, one(2, "fake-run", "1h"))
	}
	for _, state := range []fakevertex.WaitState{fakevertex.WaitPending, fakevertex.WaitQueued} {
		t.Run("queue for ever "+string(state), func(t *testing.T) {
			w, first := full(t, func(b *fakevertex.Behaviour) { b.QueueState = state })
			second := w.mustCreate(t, one(2))
			w.clock.Advance(30 * time.Minute)
			want := pending
			if state == fakevertex.WaitQueued {
				want = queued
			}
			w.is(t, second, want)
			if n := w.used(t); n != 2 || w.Placed(second) != nil {
				t.Errorf("%d machines used; the waiting job is placed %v", n, w.Placed(second))
			}
			w.clock.Advance(30*time.Minute + 4*time.Second) // the first ends
			w.is(t, first, succeeded)
			w.is(t, second, pending)
			w.clock.Advance(1500 * time.Millisecond) // the preparation that was left
			w.is(t, second, running)
			w.clock.Advance(2 * time.Second)
			w.is(t, second, succeeded)
		})
	}
	t.Run("queue then fail", func(t *testing.T) {
		w, _ := full(t, func(b *fakevertex.Behaviour) {
			b.FullPool, b.QueueFailAfter = fakevertex.FullQueueThenFail, time.Minute
		})
		name := w.mustCreate(t, one(1))
		w.clock.Advance(59 * time.Second)
		w.is(t, name, pending)
		w.clock.Advance(time.Second)
		refused(t, status.ErrorProto(w.is(t, name, failed).Error), codes.ResourceExhausted, text)
	})
	t.Run("queue, room in time", func(t *testing.T) {
		w, first := full(t, func(b *fakevertex.Behaviour) {
			b.FullPool, b.QueueFailAfter = fakevertex.FullQueueThenFail, time.Minute
		})
		name := w.mustCreate(t, one(1, "fake-run", "10m"))
		if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: first}); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(2 * time.Minute)
		w.is(t, name, running)
	})
	for knob, code := range map[fakevertex.FullPool]codes.Code{
		fakevertex.FullFailedPrecondition: codes.FailedPrecondition,
		fakevertex.FullResourceExhausted:  codes.ResourceExhausted,
	} {
		t.Run(string(knob), func(t *testing.T) {
			w, first := full(t, func(b *fakevertex.Behaviour) { b.FullPool = knob })
			_, err := w.create(t, one(1))
			refused(t, err, code, text)
			if n := len(w.Jobs()); n != 1 {
				t.Errorf("%d jobs exist", n)
			}
			if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: first}); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(3 * time.Second)
			w.mustCreate(t, one(1))
		})
	}
	t.Run("accept then fail", func(t *testing.T) {
		w, _ := full(t, func(b *fakevertex.Behaviour) { b.FullPool = fakevertex.FullAcceptThenFail })
		name := w.mustCreate(t, one(1))
		w.is(t, name, pending)
		w.clock.Advance(time.Second)
		refused(t, status.ErrorProto(w.is(t, name, failed).Error), codes.ResourceExhausted, text)
	})
}

func TestRefusals(t *testing.T) {
	words := map[fakevertex.Refusal]codes.Code{
		fakevertex.RefuseInvalidArgument:    codes.InvalidArgument,
		fakevertex.RefuseFailedPrecondition: codes.FailedPrecondition,
		fakevertex.RefuseNotFound:           codes.NotFound,
		fakevertex.RefuseByFailing:          codes.OK,
		"":                                  codes.Unknown, // stands for the usual one
	}
	tooMany := one(3)
	otherDisk := one(1)
	otherDisk.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: "pd-standard"}
	absent := one(1)
	absent.JobSpec.PersistentResourceId = "nowhere"
	for _, c := range []struct {
		name    string
		job     *aiplatformpb.CustomJob
		prepare func(*world) error
		knob    func(*fakevertex.Behaviour) *fakevertex.Refusal
		usual   codes.Code
		text    string
	}{
		{"too many replicas", tooMany, nil,
			func(b *fakevertex.Behaviour) *fakevertex.Refusal { return &b.Mismatch }, codes.InvalidArgument, "do not match"},
		{"another disk", otherDisk, nil,
			func(b *fakevertex.Behaviour) *fakevertex.Refusal { return &b.Mismatch }, codes.InvalidArgument, "do not match"},
		{"stopping", one(1), func(w *world) error {
			return w.SetResourceState(resourceName, aiplatformpb.PersistentResource_STOPPING)
		}, func(b *fakevertex.Behaviour) *fakevertex.Refusal { return &b.ResourceNotRunning }, codes.FailedPrecondition, "STOPPING"},
		{"absent", absent, nil,
			func(b *fakevertex.Behaviour) *fakevertex.Refusal { return &b.ResourceAbsent }, codes.NotFound, "does not exist"},
	} {
		for word, code := range words {
			t.Run(c.name+" "+string(word), func(t *testing.T) {
				w := newWorld(t, func(b *fakevertex.Behaviour) { *c.knob(b) = word })
				w.add(t, fixedPool("", 2))
				if c.prepare != nil {
					if err := c.prepare(w); err != nil {
						t.Fatal(err)
					}
				}
				out, err := w.create(t, c.job)
				if code != codes.OK {
					if word == "" {
						code = c.usual
					}
					refused(t, err, code, c.text)
					if n := len(w.Jobs()); n != 0 {
						t.Errorf("refused, but %d jobs exist", n)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				w.clock.Advance(time.Second)
				refused(t, status.ErrorProto(w.is(t, out.Name, failed).Error), c.usual, c.text)
			})
		}
	}
}

func TestConsistencyWithTheResource(t *testing.T) {
	const network, key = "projects/1/global/networks/n", "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
	w := newWorld(t, nil)
	if _, err := w.AddResource(&aiplatformpb.PersistentResource{
		Name:           resourceName,
		ResourcePools:  []*aiplatformpb.ResourcePool{fixedPool("", 9)},
		Network:        network,
		EncryptionSpec: &aiplatformpb.EncryptionSpec{KmsKeyName: key},
		ResourceRuntimeSpec: &aiplatformpb.ResourceRuntimeSpec{
			ServiceAccountSpec: &aiplatformpb.ServiceAccountSpec{EnableCustomServiceAccount: true}},
	}); err != nil {
		t.Fatal(err)
	}
	good := one(1)
	good.JobSpec.Network = network
	good.JobSpec.ServiceAccount = "trainer@p.iam.gserviceaccount.com"
	good.EncryptionSpec = &aiplatformpb.EncryptionSpec{KmsKeyName: key}
	w.mustCreate(t, good)
	for text, spoil := range map[string]func(*aiplatformpb.CustomJob){
		"network":         func(j *aiplatformpb.CustomJob) { j.JobSpec.Network = "" },
		"key":             func(j *aiplatformpb.CustomJob) { j.EncryptionSpec = nil },
		"service account": func(j *aiplatformpb.CustomJob) { j.JobSpec.ServiceAccount = "" },
		"Reservation affinity is not supported yet for persistent clusters": func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].MachineSpec.ReservationAffinity = &aiplatformpb.ReservationAffinity{
				ReservationAffinityType: aiplatformpb.ReservationAffinity_ANY_RESERVATION}
		},
	} {
		bad := proto.CloneOf(good)
		spoil(bad)
		_, err := w.create(t, bad)
		refused(t, err, codes.InvalidArgument, text)
	}
}

// What an unset disk type becomes on either side, and what a resource refuses
// beside a mismatch, are knobs.
func TestUnknownDefaults(t *testing.T) {
	for _, types := range [][2]string{{"", ""}, {"pd-standard", ""}, {"", "pd-standard"}, {"pd-standard", "pd-standard"}} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.JobDisk, b.PoolDisk = types[0], types[1] })
		disk := func(s string) string { return cmp.Or(s, "pd-ssd") }
		if got := w.add(t, fixedPool("", 9)).ResourcePools[0].DiskSpec; got.BootDiskType != disk(types[1]) || got.BootDiskSizeGb != 100 {
			t.Errorf("%q: the pool has %v", types, got)
		}
		_, err := w.create(t, one(1))
		if types[0] == types[1] && err != nil {
			t.Errorf("%q: %v", types, err)
		} else if types[0] != types[1] {
			refused(t, err, codes.InvalidArgument, "do not match")
		}
		explicit := one(1)
		explicit.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: disk(types[1])}
		w.mustCreate(t, explicit)
	}
}

func TestAccountsAndRay(t *testing.T) {
	account := one(1)
	account.JobSpec.ServiceAccount = "trainer@p.iam.gserviceaccount.com"
	for name, c := range map[string]struct {
		spec *aiplatformpb.ResourceRuntimeSpec
		job  *aiplatformpb.CustomJob
		knob func(*fakevertex.Behaviour)
		text string
	}{
		"account": {nil, account, func(b *fakevertex.Behaviour) { b.RefuseAccounts = true }, "custom service accounts"},
		"Ray":     {&aiplatformpb.ResourceRuntimeSpec{RaySpec: &aiplatformpb.RaySpec{}}, one(1), func(b *fakevertex.Behaviour) { b.RefuseRay = true }, "Ray cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if _, err := w.AddResource(&aiplatformpb.PersistentResource{Name: resourceName, ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("", 9)}, ResourceRuntimeSpec: c.spec}); err != nil {
				t.Fatal(err)
			}
			w.mustCreate(t, c.job)
			w.SetBehaviour(c.knob)
			_, err := w.create(t, c.job)
			refused(t, err, codes.InvalidArgument, c.text)
			w.SetBehaviour(func(b *fakevertex.Behaviour) { b.Mismatch = fakevertex.RefuseFailedPrecondition })
			_, err = w.create(t, c.job)
			refused(t, err, codes.FailedPrecondition, c.text)
		})
	}
}

func TestListLag(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.ListLag = 10 * time.Second })
	name := w.mustCreate(t, onDemand())
	count := func() (n int) {
		it := w.jobs.ListCustomJobs(t.Context(), &aiplatformpb.ListCustomJobsRequest{Parent: parent})
		for {
			if _, err := it.Next(); err == iterator.Done {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	w.clock.Advance(9 * time.Second)
	if n := count(); n != 0 {
		t.Errorf("%d listed at once", n)
	}
	w.get(t, name) // is there all the same
	w.clock.Advance(time.Second)
	if n := count(); n != 1 {
		t.Errorf("%d listed after the lag", n)
	}
}

func TestCreateAnswer(t *testing.T) {
	for answer, code := range map[fakevertex.CreateAnswer]codes.Code{
		fakevertex.CreateAnswered:         codes.OK,
		"":                                codes.OK,
		fakevertex.CreateUnavailable:      codes.Unavailable,
		fakevertex.CreateDeadlineExceeded: codes.DeadlineExceeded,
		fakevertex.CreateDropped:          codes.Unavailable,
	} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.CreateAnswer = answer })
		_, err := w.create(t, onDemand())
		if status.Code(err) != code {
			t.Errorf("%q: %v, want %v", answer, err, code)
		}
		if n, calls := len(w.Jobs()), w.Calls()["CreateCustomJob"]; n != 1 || calls != 1 {
			t.Errorf("%q: %d jobs after %d calls", answer, n, calls)
		}
		_, err = w.create(t, &aiplatformpb.CustomJob{})
		refused(t, err, codes.InvalidArgument, "display_name") // a create that was not done has its true error
	}
}

func TestRetiredAccelerator(t *testing.T) {
	w := newWorld(t, nil)
	old := onDemand()
	m := old.JobSpec.WorkerPoolSpecs[0].MachineSpec
	m.AcceleratorType, m.AcceleratorCount = aiplatformpb.AcceleratorType_NVIDIA_TESLA_K80, 1
	_, err := w.create(t, old)
	refused(t, err, codes.InvalidArgument, `Accelerator "NVIDIA_TESLA_K80" is not supported for machine type "n1-standard-4".`)
	w.SetBehaviour(func(b *fakevertex.Behaviour) { b.AllowK80 = true })
	w.mustCreate(t, old)
}

func TestRates(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.SubmitPerMinute, b.OtherPerMinute = 2, 3 })
	name := w.mustCreate(t, onDemand())
	w.mustCreate(t, onDemand())
	_, err := w.create(t, onDemand())
	refused(t, err, codes.ResourceExhausted, "Quota exceeded for quota metric")
	if n := len(w.Jobs()); n != 2 {
		t.Errorf("%d jobs", n)
	}
	get := func() error {
		_, err := w.jobs.GetCustomJob(t.Context(), &aiplatformpb.GetCustomJobRequest{Name: name})
		return err
	}
	for i := range 3 {
		if err := get(); err != nil {
			t.Errorf("get %d: %v", i, err)
		}
	}
	refused(t, get(), codes.ResourceExhausted, "Resource management")
	elsewhere := &aiplatformpb.CreateCustomJobRequest{Parent: "projects/my-project/locations/europe-west4", CustomJob: onDemand()}
	if _, err := w.jobs.CreateCustomJob(t.Context(), elsewhere); err != nil {
		t.Errorf("another location: %v", err)
	}
	w.clock.Advance(59 * time.Second)
	refused(t, get(), codes.ResourceExhausted, "Quota exceeded")
	w.clock.Advance(time.Second)
	if err := get(); err != nil {
		t.Errorf("after a minute: %v", err)
	}
	w.SetBehaviour(func(b *fakevertex.Behaviour) { b.SubmitPerMinute, b.OtherPerMinute = 0, 0 })
	for range 70 {
		w.mustCreate(t, onDemand())
	}
}

func TestMachineQuota(t *testing.T) {
	const metric = "custom_model_training_nvidia_l4_gpus"
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.MachineQuota = metric })
	w.add(t, fixedPool("", 1))
	want := "The following quota metrics exceed quota limits: aiplatform.googleapis.com/" + metric
	_, err := w.create(t, onDemand())
	refused(t, err, codes.ResourceExhausted, want)
	w.mustCreate(t, one(1))
	w.SetBehaviour(func(b *fakevertex.Behaviour) { b.MachineQuotaOnResources = true })
	_, err = w.create(t, one(1))
	refused(t, err, codes.ResourceExhausted, want)
}

func TestDelaysAreKnobs(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) {
		b.StartTimeAfter, b.QueuedAfter, b.PendingAfter, b.RunningAfter = time.Second, 2*time.Second, 3*time.Second, 9*time.Second
		b.RunFor, b.CancelAfter = time.Minute, 20*time.Second
	})
	name := w.mustCreate(t, onDemand())
	seen := ""
	for range 12 {
		w.clock.Advance(time.Second)
		j := w.get(t, name)
		seen += fmt.Sprintf("%c", j.State.String()[len("JOB_STATE_")])
		if j.StartTime == nil {
			t.Error("no start time")
		}
	}
	if seen != "PQPPPPPPRRRR" {
		t.Errorf("states by the second: %s", seen)
	}
	if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(19 * time.Second)
	w.is(t, name, cancelling)
	w.clock.Advance(time.Second)
	w.is(t, name, cancelled)
}

func TestZeroBehaviour(t *testing.T) {
	w := openWorld(t, fakevertex.Options{Clock: fakevertex.NewManualClock(start), Behaviour: &fakevertex.Behaviour{}})
	w.add(t, fixedPool("", 1))
	name := w.mustCreate(t, one(1))
	w.is(t, name, succeeded)
	if d := fakevertex.DefaultBehaviour(); w.Behaviour() == d || d.SubmitPerMinute != 60 || d.OtherPerMinute != 600 {
		t.Errorf("defaults: %+v", d)
	}
}
