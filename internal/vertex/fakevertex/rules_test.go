package fakevertex_test

import (
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/vertex/fakevertex"
)

// named is a job of one replica with a display name.
func named(name string, labels ...string) *aiplatformpb.CustomJob {
	j := one(1, labels...)
	j.DisplayName = name
	return j
}

// ran is how long a job was RUNNING.
func ran(j *aiplatformpb.CustomJob, after time.Duration) time.Duration {
	return j.EndTime.AsTime().Sub(j.CreateTime.AsTime()) - after
}

func TestJobRules(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.SubmitPerMinute, b.OtherPerMinute = 0, 0 })
	w.add(t, fixedPool("", 1000))
	minute := time.Minute
	if err := w.SetJobRules([]fakevertex.JobRule{
		{Name: "bad-*", RunFor: &fakevertex.Span{From: minute, To: minute}, Ends: map[string]float64{"failed": 1}, Failure: "Out of memory."},
		{Name: "drawn-*", RunFor: &fakevertex.Span{From: minute, To: 2 * minute}, Ends: map[string]float64{"succeeded": 3, "failed": 1}},
		{Name: "slow", StartDelay: &fakevertex.Span{From: 7 * minute, To: 7 * minute}},
		{Name: "endless", RunFor: &fakevertex.Span{From: -1}},
	}); err != nil {
		t.Fatal(err)
	}
	bad, own := w.mustCreate(t, named("bad-1")), w.mustCreate(t, named("bad-2", "fake-end", "succeeded"))
	slow, endless, other := w.mustCreate(t, named("slow")), w.mustCreate(t, named("endless")), w.mustCreate(t, named("other"))
	w.clock.Advance(6 * minute)
	w.is(t, slow, pending)
	w.is(t, endless, running)
	w.is(t, own, succeeded)
	if j := w.is(t, bad, failed); j.Error.GetMessage() != "Out of memory." || ran(j, 4*time.Second) != minute {
		t.Errorf("bad-1 ended with %v after %v", j.Error, ran(j, 4*time.Second))
	}
	if j := w.is(t, other, succeeded); ran(j, 4*time.Second) != 2*time.Second {
		t.Errorf("other ran for %v", ran(j, 4*time.Second))
	}
	w.clock.Advance(minute)
	w.is(t, slow, running)

	draw := func(seed int64, before ...string) (lots [40]time.Duration, failures int) {
		w := openWorld(t, fakevertex.Options{Clock: fakevertex.NewManualClock(start), Seed: seed, Behaviour: &fakevertex.Behaviour{}})
		w.add(t, fixedPool("", 1000))
		if err := w.SetJobRules([]fakevertex.JobRule{{Name: "drawn", RunFor: &fakevertex.Span{From: minute, To: 2 * minute},
			Ends: map[string]float64{"succeeded": 3, "failed": 1}}}); err != nil {
			t.Fatal(err)
		}
		for _, name := range before {
			w.mustCreate(t, named(name))
		}
		for range lots {
			w.mustCreate(t, named("drawn"))
		}
		w.clock.Advance(3 * minute)
		for i, j := range w.Jobs()[len(before):] {
			lots[i] = ran(j, 0)
			if j.State == failed {
				failures++
			}
			if lots[i] < minute || lots[i] >= 2*minute {
				t.Errorf("ran for %v", lots[i])
			}
		}
		return lots, failures
	}
	first, failures := draw(1)
	if failures < 4 || failures > 18 {
		t.Errorf("%d of 40 failed, want about 10", failures)
	}
	if again, _ := draw(1, "another", "jobs"); again != first {
		t.Error("other jobs change what is drawn")
	}
	if another, _ := draw(2); another == first {
		t.Error("the seed changes nothing")
	}
	for _, bad := range []fakevertex.JobRule{
		{Ends: map[string]float64{"cancelled": 1}}, {Ends: map[string]float64{"failed": 0}}, {Ends: map[string]float64{"failed": -1, "succeeded": 2}},
		{RunFor: &fakevertex.Span{From: 2, To: 1}}, {StartDelay: &fakevertex.Span{From: -1}},
	} {
		if err := w.SetJobRules([]fakevertex.JobRule{bad}); err == nil || len(w.JobRules()) != 4 {
			t.Errorf("took %+v", bad)
		}
	}
}

func TestFaultRules(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.SubmitPerMinute, b.OtherPerMinute = 0, 0 })
	w.add(t, fixedPool("", 1000))
	set := func(rules ...fakevertex.FaultRule) {
		t.Helper()
		if err := w.SetFaultRules(rules); err != nil {
			t.Fatal(err)
		}
	}
	answers := func(n int) (out []codes.Code) {
		for range n {
			_, err := w.create(t, one(1))
			out = append(out, status.Code(err))
		}
		return out
	}
	equal := func(got []codes.Code, want ...codes.Code) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("answers %v, want %v", got, want)
				return
			}
		}
	}
	ok, unavailable := codes.OK, codes.Unavailable
	set(fakevertex.FaultRule{Method: "CreateCustomJob", Skip: 1, Count: 2}, fakevertex.FaultRule{Method: "GetCustomJob"})
	equal(answers(5), ok, unavailable, unavailable, ok, ok)
	if _, broken := w.FaultRules(); broken[0] != 2 || broken[1] != 0 {
		t.Errorf("broken: %v", broken)
	}
	before := len(w.Jobs())
	set(fakevertex.FaultRule{Method: "CreateCustomJob", After: true, Code: codes.Internal, Count: 1}, fakevertex.FaultRule{Count: 1, Code: codes.Aborted})
	equal(answers(2), codes.Internal, codes.Aborted)
	if n := len(w.Jobs()) - before; n != 1 {
		t.Errorf("%d jobs were created, want the one whose answer was lost", n)
	}
	set(fakevertex.FaultRule{Method: "CreateCustomJob", Rate: 0.25})
	n := 0
	for _, c := range answers(100) {
		if c == unavailable {
			n++
		}
	}
	if n < 10 || n > 45 {
		t.Errorf("%d of 100 calls failed, want about 25", n)
	}
	for _, bad := range []fakevertex.FaultRule{{Act: "explode"}, {Rate: 1.5}, {Count: -1}, {Skip: -1}, {Code: 99}, {Method: "CreateJob"}} {
		if err := w.SetFaultRules([]fakevertex.FaultRule{bad}); err == nil {
			t.Errorf("took %+v", bad)
		}
	}
}
