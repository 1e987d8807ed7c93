package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// What is not known of Vertex AI is a setting of the deployment and a switch of
// its twin. Each test goes through both.

// again is the world with its configuration as it is now.
func (w *World) again() { w.Controller = w.Instance(w.Config) }

// A job that sets no disk type is decided by the deployment's setting, and what is
// submitted says so: Vertex AI's own default makes no difference.
func TestDiskTypeNotSet(t *testing.T) {
	types := []string{"pd-ssd", "pd-standard"}
	for _, setting := range types {
		for _, service := range types {
			for _, pool := range types {
				t.Run(fmt.Sprintf("setting %s, service %s, pool %s", setting, service, pool), func(t *testing.T) {
					w := New(t)
					w.Config.DiskType, w.Vertex.DiskType, w.Vertex.Strict = setting, service, true
					w.again()
					shape := capacity.Spec{MachineType: CPU.Spec().MachineType, DiskType: pool}.Normal()
					w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: shape, Count: 4})
					w.Ask(Job{ID: "explicit", CPU: 1, Disk: pool})
					w.Expect("explicit", lifecycle.Submitted, "reserved", "submitted")
					w.Ask(Job{ID: "a", CPU: 1})
					if setting == pool {
						w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
						if got := w.Vertex.Jobs()[1].Ask[0].Shape; got != shape {
							t.Errorf("the job runs on %s, want %s", got, shape)
						}
						return
					}
					w.Expect("a", lifecycle.Rejected, "rejected")
					why := w.Record("a").Why
					if why.Code != reason.SpecMismatch || !strings.Contains(why.Detail, "sets no diskSpec.bootDiskType, for which this deployment takes "+setting+".") ||
						why.Fix != "To fit: set job.jobSpec.workerPoolSpecs[0].diskSpec.bootDiskType to "+pool+"." {
						t.Errorf("it is refused because: %v", why)
					}
					f := w.Record("a").Fit[0]
					if f.Edits[0].From != "" || f.Edits[0].To != pool || f.Nearest[0].Fields[0].Asked != "" {
						t.Errorf("edits %v and differences %v, want them to say that no disk type is set", f.Edits, f.Nearest)
					}
					if n := w.Vertex.Calls()["create"]; n != 1 {
						t.Errorf("%d creates, want that of the other job alone", n)
					}
				})
			}
		}
	}
	t.Run("set by the job", func(t *testing.T) { // then nothing is said of a default
		w := New(t)
		w.Ask(Job{ID: "a", CPU: 1, Disk: "pd-standard"})
		if why := w.Record("a").Why; why.Code != reason.SpecMismatch || strings.Contains(why.Detail, "diskSpec") {
			t.Errorf("it is refused because: %v", why)
		}
		if e := w.Record("a").Fit[0].Edits[0]; e.From != "pd-standard" || e.To != "pd-ssd" {
			t.Errorf("edit %+v", e)
		}
	})
	t.Run("changed while it waits", func(t *testing.T) { // what was decided is what is submitted
		w := New(t)
		w.Vertex.Strict = true
		w.Ask(Job{ID: "w", CPU: 4})
		w.Ask(Job{ID: "a", CPU: 1})
		w.Config.DiskType, w.Vertex.DiskType = "pd-standard", "pd-standard"
		w.again()
		w.Vertex.SetJob(w.JobOf("w"), vertex.JobSucceeded)
		w.After(time.Minute)
		w.Expect("a", lifecycle.Submitted, "queued", "reserved", "submitted")
	})
}

// A job names a service account, and the resource was made without
// enableCustomServiceAccount; or the resource is a Ray cluster. Both by setting,
// by what Vertex AI does, and by how it refuses.
func TestAccountAndRay(t *testing.T) {
	cases := map[string]struct {
		job     Job
		res     vertex.Resource
		code    reason.Code
		allow   func(w *World)
		refuses func(w *World)
	}{
		"account": {Job{ID: "a", CPU: 1, Spec: map[string]any{"serviceAccount": "sa@p.iam.gserviceaccount.com"}}, vertex.Resource{},
			reason.AccountMismatch, func(w *World) { w.Config.Policy.AllowAccounts = true }, func(w *World) { w.Vertex.RefuseAccounts = true }},
		"Ray": {Job{ID: "a", CPU: 1}, vertex.Resource{Ray: true},
			reason.RayCluster, func(w *World) { w.Config.Policy.AllowRay = true }, func(w *World) { w.Vertex.RefuseRay = true }},
	}
	for name, c := range cases {
		world := func(t *testing.T) *World {
			w := New(t)
			w.Vertex.Strict = true
			c.res.State, c.res.CreateTime = vertex.Running, time.Unix(1, 0)
			c.res.Pools = []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}
			w.Vertex.SetResource(Resource, c.res)
			return w
		}
		for _, refuses := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s refused, service refuses %v", name, refuses), func(t *testing.T) {
				w := world(t)
				if refuses {
					c.refuses(w)
				}
				w.Ask(c.job)
				w.Expect("a", lifecycle.Rejected, "rejected")
				if why := w.Record("a").Why; why.Code != c.code || why.Path == "" || why.Fix == "" {
					t.Errorf("it is refused because: %v", why)
				}
				if n := w.Vertex.Calls()["create"]; n != 0 {
					t.Errorf("%d creates", n)
				}
			})
		}
		t.Run(name+" allowed and taken", func(t *testing.T) {
			w := world(t)
			c.allow(w)
			w.again()
			w.Ask(c.job)
			w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
		})
		t.Run(name+" allowed and refused at once", func(t *testing.T) {
			w := world(t)
			c.allow(w)
			c.refuses(w)
			w.again()
			w.Ask(c.job)
			w.Expect("a", lifecycle.Failed, "reserved", "failed")
			if o := w.Out.Last("a"); o.Reason.Code != reason.VertexDeclined || o.JobError.Code != int32(codes.InvalidArgument) {
				t.Errorf("it failed with %v and %v", o.Reason, o.JobError)
			}
		})
		t.Run(name+" allowed and refused as if it passed", func(t *testing.T) {
			w := world(t)
			c.allow(w)
			c.refuses(w)
			w.Config.DeclineTimeout = 2 * time.Hour
			w.Vertex.Refusal = &vertex.Error{Kind: vertex.Transient, Code: int32(codes.FailedPrecondition)}
			w.again()
			w.Ask(c.job)
			if took := w.until("a", lifecycle.Failed, 3*time.Hour); took < 2*time.Hour {
				t.Errorf("it failed after %s", took)
			}
		})
	}
	t.Run("made anew as Ray while a request waits", func(t *testing.T) {
		w := New(t)
		w.Ask(Job{ID: "w", CPU: 4})
		w.Ask(Job{ID: "a", CPU: 1})
		w.Vertex.SetJob(w.JobOf("w"), vertex.JobCancelled)
		w.Vertex.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: w.Now, Ray: true, Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}})
		w.After(time.Minute)
		if took := w.until("a", lifecycle.Rejected, 25*time.Hour); took < 24*time.Hour-10*time.Minute {
			t.Errorf("refused after %s of contradiction; the policy says 24h", took)
		}
		if why := w.Record("a").Why; why.Code != reason.RayCluster {
			t.Errorf("it is refused because: %v", why)
		}
	})
}

// until lets minutes pass until a request is in a state, and says how long it took.
func (w *World) until(id string, s lifecycle.State, most time.Duration) time.Duration {
	w.Helper()
	began := w.Now
	for w.State(id) != s {
		if w.Now.Sub(began) > most {
			w.Fatalf("%s is %s after %s, want %s: %v", id, w.State(id), most, s, w.Record(id).Why)
		}
		w.After(time.Minute)
	}
	return w.Now.Sub(began)
}

// transient makes Vertex AI refuse a request's creates, with a kind and a code,
// while a condition holds.
func transient(w *World, kind vertex.Kind, code codes.Code, while func() bool) {
	onCreate(w, func() error {
		if !while() {
			return nil
		}
		return &vertex.Error{Op: "create", Kind: kind, Code: int32(code), Message: "the words of Vertex AI"}
	})
}

func always() bool { return true }

// An answer that may mean "not now" and never passes ends the request after the
// deployment's time, a day unless it says otherwise, at the cost of a submission a
// minute.
func TestRefusedWithoutEnd(t *testing.T) {
	for name, answer := range map[string]struct {
		kind   vertex.Kind
		code   codes.Code
		within time.Duration // in place of the day, of which every minute makes the request's record longer
	}{
		"FAILED_PRECONDITION":    {vertex.Transient, codes.FailedPrecondition, 8 * time.Hour},
		"NOT_FOUND":              {vertex.Transient, codes.NotFound, 3 * time.Hour},
		"NOT_FOUND, by its kind": {vertex.NotFound, codes.NotFound, 5 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			if day := w.Config.DeclineTimeout; day != 24*time.Hour {
				t.Errorf("the default is %s, want a day", day)
			}
			timeout := answer.within
			w.Config.DeclineTimeout = timeout
			w.again()
			transient(w, answer.kind, answer.code, always)
			w.Ask(one)
			if took := w.until("a", lifecycle.Failed, timeout+timeout/24); took < timeout {
				t.Errorf("it failed after %s, want %s; machines may be used for as long by what cannot be seen", took, timeout)
			}
			o := w.Out.Last("a")
			if o.Reason.Code != reason.VertexDeclined || !strings.Contains(o.Reason.Detail, fmt.Sprintf("in %.0fh", timeout.Hours())) || o.JobError.Message != "the words of Vertex AI" || o.JobError.Code != int32(answer.code) {
				t.Errorf("it failed with %v and %+v", o.Reason, o.JobError)
			}
			if n := w.Vertex.Calls()["create"]; n > int(timeout.Minutes())*25/24 {
				t.Errorf("%d creates in %s", n, timeout)
			}
			for i, o := range w.Out.Of("a") {
				if o.Sequence != int64(i+1) {
					t.Fatalf("event %d has number %d", i+1, o.Sequence)
				}
			}
			w.CheckHolds()
			w.Vertex.Admit = nil
			w.Ask(Job{ID: "next", CPU: 4})
			w.until("next", lifecycle.Submitted, 6*time.Minute)
		})
	}
}

// refusing makes Vertex AI refuse one request while it accepts all others, and counts
// how often it was asked.
func refusing(w *World, id string, while func() bool) *int {
	n := 0
	key := string(message.KeyOf(Tenant, message.KindRequest, id))
	w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		if job.GetLabels()[vertex.LabelRequest] != key {
			return nil
		}
		if n++; !while() {
			return nil
		}
		return &vertex.Error{Op: "create", Kind: vertex.Transient, Code: int32(codes.FailedPrecondition)}
	}
	return &n
}

// other runs another job to its end on the same machines. It starts within two passes,
// however wide the refused request is that was there before it.
func (w *World) other(id string) {
	w.Helper()
	w.Ask(Job{ID: id, CPU: 1})
	w.until(id, lifecycle.Submitted, 2*time.Minute)
	w.Vertex.SetJob(w.JobOf(id), vertex.JobSucceeded)
	w.After(time.Minute)
}

// A request that Vertex AI refuses while it accepts others is tried less and less
// often, at the cost of some dozens of creates in a day and none of the others' time,
// until it fails.
func TestRefusedWhileOthersAreAccepted(t *testing.T) {
	w := New(t)
	tried := refusing(w, "a", always)
	w.Ask(Job{ID: "a", CPU: 4})
	for i := 0; w.State("a") != lifecycle.Failed; i++ {
		if i > 100 {
			t.Fatalf("after %v it is %s", w.Now.Sub(w.Record("a").Times.Received), w.State("a"))
		}
		w.other(fmt.Sprint("o", i))
		for range 18 {
			w.After(time.Minute)
		}
		if words := w.Out.Words(fmt.Sprint("o", i)); i > 0 && strings.Join(words, " ") != "reserved submitted succeeded" {
			t.Errorf("o%d had events %v", i, words)
		}
		if r := w.Record("a"); i == 9 && (!r.Parked || r.Why.Code != reason.VertexDeclined || !strings.Contains(r.Why.Detail, "times and accepted others")) {
			t.Errorf("after three hours it is parked %v because %v", r.Parked, r.Why)
		}
	}
	if took := w.Now.Sub(w.Record("a").Times.Received); took < 24*time.Hour || took > 26*time.Hour {
		t.Errorf("it failed after %s, want a day", took)
	}
	if *tried < 24 || *tried > 60 {
		t.Errorf("%d creates in a day", *tried)
	}
	if why := w.Record("a").Why; why.Code != reason.VertexDeclined || !strings.Contains(why.Detail, "in 24h") {
		t.Errorf("it failed because: %v", why)
	}
	w.CheckHolds()
}

// A refused request that comes first in order and needs all machines does not take them
// again before one that waits behind it has been tried. Of the same priority the other
// has the reservation by then; one of a lower priority would lose it again and again.
func TestRefusedWhileOthersWait(t *testing.T) {
	for _, priority := range []int{0, 1} {
		w := New(t)
		w.Ask(Job{ID: "runs", CPU: 4})
		refusing(w, "a", always)
		w.Ask(Job{ID: "a", CPU: 4, Priority: priority})
		w.Ask(Job{ID: "next", CPU: 4})
		w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
		for range 5 {
			w.After(time.Minute)
		}
		w.Expect("next", lifecycle.Submitted, "queued", "reserved", "submitted")
		if got := w.State("a"); got != lifecycle.Waiting {
			t.Errorf("the refused request of priority %d is %s", priority, got)
		}
		w.CheckHolds()
	}
}

// What is parked since Vertex AI refuses it is tried again when the pools change, and
// when its pause is over; it can be cancelled, and is in its place in the queue meanwhile if
// its machines are taken.
func TestRefusedAndParked(t *testing.T) {
	parked := func(t *testing.T) (*World, *int, *bool) {
		w, refuse := New(t), true
		tried := refusing(w, "a", func() bool { return refuse })
		w.Ask(Job{ID: "a", CPU: 4})
		for i := range 12 {
			w.other(fmt.Sprint("o", i))
			for range 8 {
				w.After(time.Minute)
			}
		}
		if r := w.Record("a"); !r.Parked || r.RetryAt.Sub(w.Now) < 10*time.Minute {
			t.Fatalf("it is %s, parked %v until %v", r.State, r.Parked, r.RetryAt)
		}
		return w, tried, &refuse
	}
	t.Run("the pools change", func(t *testing.T) {
		w, tried, refuse := parked(t)
		*refuse = false
		before := *tried
		w.After(time.Minute)
		if *tried != before {
			t.Error("it was tried before its time")
		}
		w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 5})
		w.After(time.Minute)
		if got := w.State("a"); got != lifecycle.Submitted {
			t.Errorf("it is %s", got)
		}
	})
	t.Run("its time comes, and the quota is used up", func(t *testing.T) {
		w, _, refuse := parked(t)
		*refuse = false
		end := w.Record("a").RetryAt
		w.apply("defaults: {serviceAccounts: any, maxRunning: 1}")
		w.Ask(Job{ID: "holds", GPU: 1})
		for w.Now.Before(end.Add(2 * time.Minute)) {
			w.Controller = w.Instance(w.Config) // has not read the policy
			w.After(time.Minute)
			if r := w.Record("a"); r.State != lifecycle.Waiting {
				t.Fatalf("it is %s, beside the one that may run", r.State)
			}
		}
	})
	t.Run("its time comes", func(t *testing.T) {
		w, _, refuse := parked(t)
		*refuse = false
		end := w.Record("a").RetryAt
		w.until("a", lifecycle.Submitted, end.Sub(w.Now)+time.Minute)
		if r := w.Record("a"); r.Parked || !r.RetryAt.IsZero() || r.Declined.Times != 0 {
			t.Errorf("submitted, it is still parked %v until %v after %+v", r.Parked, r.RetryAt, r.Declined)
		}
		w.CheckHolds()
	})
	t.Run("its time comes and its machines are taken", func(t *testing.T) {
		w, _, refuse := parked(t)
		*refuse = false
		w.Ask(Job{ID: "wide", CPU: 4})
		for w.Now.Before(w.Record("a").RetryAt) {
			w.After(time.Minute)
		}
		w.After(time.Minute)
		w.Ask(Job{ID: "later", CPU: 4})
		w.Vertex.SetJob(w.JobOf("wide"), vertex.JobSucceeded)
		w.After(time.Minute)
		if a, later := w.State("a"), w.State("later"); a != lifecycle.Submitted || later != lifecycle.Waiting {
			t.Errorf("it is %s, and one that came later is %s", a, later)
		}
	})
	t.Run("a cancel", func(t *testing.T) {
		w, _, _ := parked(t)
		w.Cancel("a")
		if got := w.State("a"); got != lifecycle.Cancelled {
			t.Errorf("it is %s", got)
		}
		w.CheckHolds()
	})
}

// What explains a refusal, or says itself what it is about, ends no request.
func TestRefusedForACause(t *testing.T) {
	const timeout = 2 * time.Hour // in place of the default day
	world := func(t *testing.T) *World {
		w := New(t)
		w.Config.DeclineTimeout = timeout
		w.again()
		return w
	}
	t.Run("full of what cannot be seen", func(t *testing.T) {
		for _, code := range []codes.Code{codes.FailedPrecondition, codes.ResourceExhausted} {
			w := world(t)
			transient(w, vertex.Transient, code, func() bool { return w.Now.Before(w.Record("a").Times.Received.Add(timeout - 20*time.Minute)) })
			w.Ask(one)
			w.until("a", lifecycle.Submitted, timeout)
			if r := w.Record("a").Declined; r.Times != 0 {
				t.Errorf("%s: %+v is held against it although it was accepted", code, r)
			}
		}
	})
	t.Run("a shortage", func(t *testing.T) { // or no answer at all
		for _, code := range []codes.Code{codes.ResourceExhausted, codes.OK} {
			w := world(t)
			transient(w, vertex.Transient, code, always)
			w.Ask(Job{ID: "a", CPU: 1, MaxWait: "10800s"})
			if took := w.until("a", lifecycle.Expired, 4*time.Hour); took < 3*time.Hour {
				t.Errorf("code %s: it ended after %s, want the longest wait", code, took)
			}
		}
	})
	for name, interrupt := range map[string]func(w *World){
		"the resource reboots": func(w *World) {
			w.SetPools("REBOOTING", capacity.Pool{ID: "cpu", Shape: CPU, Count: 4})
			w.After(time.Minute)
			w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 4})
		},
		"the resource is deleted and made anew": func(w *World) {
			w.Vertex.SetResource(Resource, vertex.Resource{})
			w.After(time.Minute)
			w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 4})
		},
		"the resource is recreated between two observations": func(w *World) {
			w.Vertex.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: w.Now, Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}})
		},
		"its pools change": func(w *World) { w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 5}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			transient(w, vertex.Transient, codes.FailedPrecondition, always)
			w.Ask(one)
			for began := w.Now; w.Now.Sub(began) < timeout-10*time.Minute; {
				w.After(time.Minute)
			}
			interrupt(w)
			for began := w.Now; w.Now.Sub(began) < timeout-10*time.Minute; {
				w.After(time.Minute)
			}
			if s := w.State("a"); s == lifecycle.Failed {
				t.Fatalf("it failed: %v", w.Record("a").Why)
			}
			w.until("a", lifecycle.Failed, 20*time.Minute)
		})
	}
	t.Run("autoscaling explains nothing", func(t *testing.T) {
		w := world(t)
		transient(w, vertex.Transient, codes.FailedPrecondition, always)
		w.Ask(Job{ID: "a", GPU: 1})
		for i := range 130 {
			w.SetPools(vertex.Running, capacity.Pool{ID: "gpu", Shape: GPU, Count: capacity.Replicas(2 + i%2), Max: 4})
			w.After(time.Minute)
		}
		if s := w.State("a"); s != lifecycle.Failed {
			t.Errorf("it is %s", s)
		}
	})
	t.Run("it was not tried", func(t *testing.T) { // its pool was full of what can be seen
		w := world(t)
		refuse := true
		transient(w, vertex.Transient, codes.FailedPrecondition, func() bool { return refuse })
		w.Ask(one)
		other := w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 4}})
		for began := w.Now; w.Now.Sub(began) < 2*timeout; {
			w.After(time.Minute)
		}
		w.Vertex.SetJob(other, vertex.JobSucceeded)
		for began := w.Now; w.Now.Sub(began) < time.Hour; {
			w.After(time.Minute)
		}
		if s := w.State("a"); s == lifecycle.Failed {
			t.Fatalf("it failed: %v", w.Record("a").Why)
		}
		refuse = false
		w.until("a", lifecycle.Submitted, 6*time.Minute)
	})
	t.Run("a cancel", func(t *testing.T) { // is what ends it
		w := world(t)
		transient(w, vertex.Transient, codes.FailedPrecondition, func() bool {
			if w.Record("a").Declined.Times > 2 && w.State("a") == lifecycle.Submitting {
				w.Cancel("a")
			}
			return true
		})
		w.Ask(one)
		w.until("a", lifecycle.Cancelled, time.Hour)
		if why := w.Record("a").Why; why.Code != reason.CancelRequested {
			t.Errorf("it ended because: %v", why)
		}
	})
}

// A disk type that is written out is the same content as none where the deployment
// takes that type for none. Else the id is taken by other content, also after the
// first request was rejected.
func TestDiskTypeWrittenOutUnderOneID(t *testing.T) {
	for setting, reused := range map[string]bool{"": false, "pd-ssd": false, "pd-standard": true} {
		t.Run("setting "+setting, func(t *testing.T) {
			w := New(t)
			w.Config.DiskType = setting
			w.again()
			w.Ask(Job{ID: "a", CPU: 1})
			state := w.Record("a").State
			// A repeat of a request that has ended is answered with its end.
			others := func() (n int) {
				for _, e := range w.Out.All() {
					if e.Type != message.Duplicate {
						n++
					}
				}
				return n
			}
			before := others()
			w.Config.DiskType = "hyperdisk-balanced" // the same message comes again under another setting
			w.again()
			w.Ask(Job{ID: "a", CPU: 1})
			if n := others() - before; n != 0 {
				t.Errorf("the same job is answered with %d events", n)
			}
			w.Config.DiskType = setting
			w.again()
			id := w.Ask(Job{ID: "a", CPU: 1, Disk: "pd-ssd"})
			if w.Record("a").State != state {
				t.Errorf("the request is %s, was %s", w.Record("a").State, state)
			}
			if !reused {
				if n := others() - before; n != 0 {
					t.Errorf("the same job with its disk written out is answered with %d events", n)
				}
				return
			}
			if o := w.Out.Last(id); o.Type != message.Refused || o.Reason.Code != reason.IDReused || !strings.Contains(o.Reason.Fix, "under a new id") {
				t.Errorf("another disk under the same id is answered with %+v", o)
			}
		})
	}
}
