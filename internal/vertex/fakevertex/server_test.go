package fakevertex_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/vertex/fakevertex"
)

func TestFaults(t *testing.T) {
	w := newWorld(t, nil)
	create := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		_, err := w.jobs.CreateCustomJob(ctx, &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: onDemand()})
		return err
	}
	jobs := 0
	for _, c := range []struct {
		name  string
		fault fakevertex.Fault
		code  codes.Code
		done  bool
	}{
		{"fail before", fakevertex.FailBefore(codes.Internal, "x"), codes.Internal, false},
		{"fail after", fakevertex.FailAfter(codes.Unavailable, "x"), codes.Unavailable, true},
		{"drop before", fakevertex.DropBefore(), codes.Unavailable, false},
		{"drop after", fakevertex.DropAfter(), codes.Unavailable, true},
		{"hang before", fakevertex.HangBefore(), codes.DeadlineExceeded, false},
		{"hang after", fakevertex.HangAfter(), codes.DeadlineExceeded, true},
		{"none", fakevertex.Fault{}, codes.OK, true},
	} {
		timeout := time.Minute
		if c.code == codes.DeadlineExceeded {
			timeout = 200 * time.Millisecond // a real one: it is the client's
		}
		w.FaultOnce("CreateCustomJob", c.fault)
		if err := create(timeout); status.Code(err) != c.code {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
		}
		if c.done {
			jobs++
		}
		if n := len(w.Jobs()); n != jobs {
			t.Errorf("%s: %d jobs, want %d", c.name, n, jobs)
		}
	}

	// One-shot faults queue up, and come before the hook.
	var asked []string
	w.SetFault(func(method string, req any) fakevertex.Fault {
		asked = append(asked, method+" "+req.(*aiplatformpb.CreateCustomJobRequest).Parent)
		w.Calls() // the server may be used from the hook
		return fakevertex.FailBefore(codes.Aborted, "hook")
	})
	w.FaultOnce("CreateCustomJob", fakevertex.FailBefore(codes.Internal, "first"))
	w.FaultOnce("CreateCustomJob", fakevertex.FailBefore(codes.Internal, "second"))
	for _, want := range []string{"first", "second", "hook"} {
		if err := create(time.Minute); status.Convert(err).Message() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if d := cmp.Diff([]string{"CreateCustomJob " + parent}, asked); d != "" {
		t.Error(d)
	}
	w.SetFault(nil)
	if err := create(time.Minute); err != nil {
		t.Error(err)
	}
	if n := w.Calls()["CreateCustomJob"]; n != 11 {
		t.Errorf("%d calls, want 11: every call counts once, and none is retried", n)
	}
}

func TestStopEndsHangingCalls(t *testing.T) {
	w := newWorld(t, nil)
	began := make(chan struct{})
	w.SetFault(func(string, any) fakevertex.Fault { close(began); return fakevertex.HangAfter() })
	ended := make(chan error, 1)
	go func() {
		_, err := w.jobs.CreateCustomJob(t.Context(), &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: onDemand()})
		ended <- err
	}()
	<-began
	w.Stop()
	refused(t, <-ended, codes.Unavailable, "")
}

func TestRealClock(t *testing.T) {
	b := fakevertex.Behaviour{RunFor: -1}
	w := openWorld(t, fakevertex.Options{Behaviour: &b})
	before := time.Now().Truncate(time.Microsecond)
	j, err := w.create(t, onDemand())
	if err != nil {
		t.Fatal(err)
	}
	if at := j.CreateTime.AsTime(); at.Before(before) || at.After(time.Now()) {
		t.Errorf("created at %v", at)
	}
	if got := w.get(t, j.Name); got.State != running {
		t.Errorf("state %v, want RUNNING without any delay", got.State)
	}
}

func TestManualClock(t *testing.T) {
	c := fakevertex.NewManualClock(start)
	var seen []time.Duration
	note := func() { seen = append(seen, c.Now().Sub(start)) }
	c.AfterFunc(3*time.Second, note)
	stop := c.AfterFunc(2*time.Second, note)
	c.AfterFunc(time.Second, func() { note(); c.AfterFunc(time.Second/2, note) })
	if !stop() || stop() {
		t.Error("stopping twice did not tell once")
	}
	c.Advance(-time.Hour)
	c.Advance(2 * time.Second)
	c.Advance(10 * time.Second)
	if d := cmp.Diff([]time.Duration{time.Second, 1500 * time.Millisecond, 3 * time.Second}, seen); d != "" {
		t.Error(d)
	}
	if c.Now() != start.Add(12*time.Second) || c.Waiters() != 0 {
		t.Errorf("stands at %v with %d waiters", c.Now(), c.Waiters())
	}
}

// TestManyClients runs many clients at once beside changes from the program; after all
// of it no pool may be over its size.
func TestManyClients(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.SubmitPerMinute, b.OtherPerMinute = 0, 0 })
	w.add(t, fixedPool("", 3))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				j, err := w.create(t, one(int64(1+(i+n)%3), "fake-run", "1s"))
				if err != nil {
					t.Errorf("create: %v", err)
					return
				}
				w.clock.Advance(time.Second)
				if n%3 == 0 {
					_ = w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: j.Name})
				}
				r, err := w.resources.GetPersistentResource(t.Context(), &aiplatformpb.GetPersistentResourceRequest{Name: resourceName})
				if err != nil || r.ResourcePools[0].UsedReplicaCount > 3 {
					t.Errorf("resource: %v, %v", r, err)
				}
				w.SetBehaviour(func(b *fakevertex.Behaviour) { b.FirstPool = !b.FirstPool })
			}
		})
	}
	wg.Wait()
	w.clock.Advance(time.Hour)
	for _, j := range w.Jobs() {
		if j.State != succeeded && j.State != cancelled {
			t.Errorf("%s is %v after an hour", j.Name, j.State)
		}
	}
	if n := len(w.Jobs()); n != 80 || w.used(t) != 0 {
		t.Errorf("%d jobs, %d machines used", n, w.used(t))
	}
}
