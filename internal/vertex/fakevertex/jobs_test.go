package fakevertex_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/vertex/fakevertex"
)

// refused fails the test unless err has that code and holds that text.
func refused(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if grpcstatus.Code(err) != code || !strings.Contains(grpcstatus.Convert(err).Message(), text) {
		t.Fatalf("got %v, want %v with %q", err, code, text)
	}
}

func TestLifeOfAJob(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 2))
	got, err := w.create(t, one(1, "team", "vision"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^` + numbered + `/customJobs/[1-9][0-9]{18}$`).MatchString(got.Name) {
		t.Errorf("name is %s", got.Name)
	}
	want := one(1, "team", "vision")
	want.Name, want.State = got.Name, pending
	want.CreateTime, want.UpdateTime = timestamppb.New(start), timestamppb.New(start)
	want.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: "pd-ssd", BootDiskSizeGb: 100}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("created (-want +got):\n%s", d)
	}

	// What is seen at each time since creation; times of change come from the
	// events, not from the looks.
	var began, changed time.Duration
	for _, step := range []struct {
		at, changed time.Duration
		state       aiplatformpb.JobState
		started     bool
	}{
		{100 * time.Millisecond, 0, pending, false},
		{200 * time.Millisecond, 150 * time.Millisecond, pending, true},
		{time.Second, 300 * time.Millisecond, queued, true},
		{3 * time.Second, 2500 * time.Millisecond, pending, true},
		{5 * time.Second, 4 * time.Second, running, true},
		{7 * time.Second, 6 * time.Second, succeeded, true},
	} {
		w.clock.Advance(step.at - w.clock.Now().Sub(start))
		j := w.is(t, got.Name, step.state)
		changed = j.UpdateTime.AsTime().Sub(start)
		if changed != step.changed || (j.StartTime != nil) != step.started {
			t.Errorf("at %v: changed at %v, started %v; want %v, %v", step.at, changed, j.StartTime != nil, step.changed, step.started)
		}
		if step.started {
			began = j.StartTime.AsTime().Sub(start)
		}
		if terminal := step.state == succeeded; (j.EndTime != nil) != terminal || j.Error != nil {
			t.Errorf("at %v: end %v, error %v", step.at, j.EndTime, j.Error)
		}
	}
	if began != 150*time.Millisecond {
		t.Errorf("started at %v", began)
	}
}

func TestReadsChangeNothing(t *testing.T) {
	asked, skipped := newWorld(t, nil), newWorld(t, nil)
	for _, w := range []*world{asked, skipped} {
		w.add(t, fixedPool("", 1))
		for range 3 {
			w.mustCreate(t, one(1))
		}
		for range 200 {
			w.clock.Advance(100 * time.Millisecond)
			if w == asked {
				w.Jobs()
			}
		}
	}
	if d := cmp.Diff(asked.Jobs(), skipped.Jobs(), protocmp.Transform()); d != "" {
		t.Errorf("jobs (-asked +skipped):\n%s", d)
	}
	if last := skipped.Jobs()[2]; last.State != succeeded {
		t.Errorf("last job is %v", last.State)
	}
}

func TestMicroseconds(t *testing.T) {
	w := newWorld(t, nil)
	w.clock.Advance(1234567 * time.Nanosecond)
	j := w.get(t, w.mustCreate(t, onDemand()))
	if n := j.CreateTime.AsTime().Nanosecond(); n != 1234000 {
		t.Errorf("created at nanosecond %d", n)
	}
}

// onDemand is a job on machines of its own.
func onDemand(labels ...string) *aiplatformpb.CustomJob {
	j := one(1, labels...)
	j.JobSpec.PersistentResourceId = ""
	return j
}

func TestFakeLabels(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		run, end string
		want     time.Duration // from RUNNING
		state    aiplatformpb.JobState
		code     codes.Code
	}{
		{"300ms", "succeeded", 300 * time.Millisecond, succeeded, codes.OK},
		{"2m", "failed", 2 * time.Minute, failed, codes.InvalidArgument},
		{"1h30m", "expired", 90 * time.Minute, aiplatformpb.JobState_JOB_STATE_EXPIRED, codes.OK},
		{"5s", "partially-succeeded", 5 * time.Second, aiplatformpb.JobState_JOB_STATE_PARTIALLY_SUCCEEDED, codes.OK},
	} {
		name := w.mustCreate(t, onDemand("fake-run", c.run, "fake-end", c.end))
		created := w.clock.Now()
		w.clock.Advance(4*time.Second + c.want - time.Microsecond)
		w.is(t, name, running)
		w.clock.Advance(time.Microsecond)
		j := w.is(t, name, c.state)
		if codes.Code(j.GetError().GetCode()) != c.code || !j.EndTime.AsTime().Equal(created.Add(4*time.Second+c.want)) {
			t.Errorf("%s: error %v, end %v", c.end, j.Error, j.EndTime.AsTime())
		}
	}
	_, err := w.create(t, onDemand("fake-run", "soon"))
	refused(t, err, codes.InvalidArgument, "fake-run")
	_, err = w.create(t, onDemand("fake-end", "well"))
	refused(t, err, codes.InvalidArgument, "fake-end")
}

func TestTimeout(t *testing.T) {
	for _, fails := range []bool{false, true} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.TimeoutFails = fails })
		in := onDemand("fake-run", "1h")
		in.JobSpec.Scheduling = &aiplatformpb.Scheduling{Timeout: durationpb.New(10 * time.Second)}
		name := w.mustCreate(t, in)
		w.clock.Advance(13 * time.Second)
		w.is(t, name, running)
		w.clock.Advance(time.Second)
		if fails {
			if j := w.is(t, name, failed); j.Error.GetCode() != int32(codes.DeadlineExceeded) {
				t.Errorf("error is %v", j.Error)
			}
		} else if j := w.is(t, name, cancelled); j.Error.GetCode() != 1 {
			t.Errorf("error is %v", j.Error)
		}
	}
}

func TestDefaultTimeoutIsSevenDays(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.RunFor = -1 })
	name := w.mustCreate(t, onDemand())
	w.clock.Advance(7 * 24 * time.Hour)
	w.is(t, name, running)
	w.clock.Advance(4 * time.Second)
	w.is(t, name, cancelled)
}

func TestCancel(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 1))
	name := w.mustCreate(t, one(1, "fake-run", "1h"))
	w.clock.Advance(5 * time.Second)
	w.is(t, name, running)
	cancel := func() error {
		return w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name})
	}
	if err := cancel(); err != nil {
		t.Fatal(err)
	}
	w.is(t, name, cancelling)
	w.clock.Advance(time.Second)
	if err := cancel(); err != nil { // changes nothing
		t.Fatal(err)
	}
	if at := w.is(t, name, cancelling).UpdateTime.AsTime(); !at.Equal(start.Add(5 * time.Second)) {
		t.Errorf("a second cancel changed the job at %v", at)
	}
	if n := w.used(t); n != 1 {
		t.Errorf("%d machines used while cancelling", n)
	}
	w.clock.Advance(1500 * time.Millisecond)
	j := w.is(t, name, cancelled)
	if d := cmp.Diff(&status.Status{Code: 1, Message: "CANCELED"}, j.Error, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if !j.EndTime.AsTime().Equal(j.UpdateTime.AsTime()) || !j.EndTime.AsTime().Equal(start.Add(7500*time.Millisecond)) {
		t.Errorf("ended at %v, changed at %v", j.EndTime.AsTime(), j.UpdateTime.AsTime())
	}
	if n := w.used(t); n != 0 {
		t.Errorf("%d machines used after the end", n)
	}
	if err := cancel(); err != nil {
		t.Errorf("cancel of an ended job: %v", err)
	}
	if d := cmp.Diff(j, w.get(t, name), protocmp.Transform()); d != "" {
		t.Errorf("cancel of an ended job changed it:\n%s", d)
	}
}

func TestCancelBeforeRunningNeverRuns(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.CancelAfter = time.Minute })
	name := w.mustCreate(t, onDemand())
	if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(30 * time.Second)
	w.is(t, name, cancelling)
	w.clock.Advance(30 * time.Second)
	w.is(t, name, cancelled)
}

func TestCancelLosesAgainstTheEnd(t *testing.T) {
	w := newWorld(t, nil)
	name := w.mustCreate(t, onDemand())
	w.clock.Advance(5 * time.Second)
	if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Second) // its end, before the cancel takes hold
	w.is(t, name, succeeded)
	w.clock.Advance(time.Minute)
	w.is(t, name, succeeded)
}

func TestCancelIsIgnored(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.CancelIsIgnored = true })
	name := w.mustCreate(t, onDemand("fake-run", "1h"))
	w.clock.Advance(5 * time.Second)
	if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	w.is(t, name, cancelling)
	w.clock.Advance(2500 * time.Millisecond)
	w.is(t, name, succeeded)
}

func TestDelete(t *testing.T) {
	w := newWorld(t, nil)
	name := w.mustCreate(t, onDemand())
	req := &aiplatformpb.DeleteCustomJobRequest{Name: name}
	_, err := w.jobs.DeleteCustomJob(t.Context(), req)
	refused(t, err, codes.FailedPrecondition, "JOB_STATE_PENDING")
	w.clock.Advance(time.Minute)
	op, err := w.jobs.DeleteCustomJob(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !op.Done() || !regexp.MustCompile(`^`+numbered+`/operations/[0-9]+$`).MatchString(op.Name()) {
		t.Errorf("operation %s, done %v", op.Name(), op.Done())
	}
	if err := w.jobs.DeleteCustomJobOperation(op.Name()).Wait(t.Context()); err != nil { // asks the server
		t.Errorf("wait: %v", err)
	}
	if m, err := op.Metadata(); err != nil || !m.GetGenericMetadata().GetCreateTime().AsTime().Equal(start.Add(time.Minute)) {
		t.Errorf("metadata %v, %v", m, err)
	}
	_, err = w.jobs.GetCustomJob(t.Context(), &aiplatformpb.GetCustomJobRequest{Name: name})
	refused(t, err, codes.NotFound, "The CustomJob does not exist.")
	err = w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name})
	refused(t, err, codes.NotFound, "The CustomJob does not exist.")
	_, err = w.jobs.DeleteCustomJob(t.Context(), req)
	refused(t, err, codes.NotFound, "The CustomJob does not exist.")
}

func TestNames(t *testing.T) {
	w := newWorld(t, nil)
	name := w.mustCreate(t, onDemand())
	byID := strings.Replace(name, "123456789012", "my-project", 1)
	if got := w.get(t, byID).Name; got != name {
		t.Errorf("asked for %s, got %s", byID, got)
	}
	other, err := w.jobs.CreateCustomJob(t.Context(), &aiplatformpb.CreateCustomJobRequest{Parent: numbered, CustomJob: onDemand()})
	if err != nil || !strings.HasPrefix(other.Name, numbered) || other.Name == name {
		t.Errorf("created %v, %v", other.GetName(), err)
	}
	unknown, err := w.jobs.CreateCustomJob(t.Context(), &aiplatformpb.CreateCustomJobRequest{
		Parent: "projects/never-named/locations/us-central1", CustomJob: onDemand()})
	if err != nil || !regexp.MustCompile(`^projects/[0-9]{12}/`).MatchString(unknown.Name) {
		t.Errorf("created %v, %v", unknown.GetName(), err)
	}
	for _, bad := range []string{"", "x", parent + "/customJobs/abc", parent + "/customJobs/", parent, parent + "/customJobs/1/2"} {
		_, err := w.jobs.GetCustomJob(t.Context(), &aiplatformpb.GetCustomJobRequest{Name: bad})
		if s := grpcstatus.Convert(err); s.Code() != codes.InvalidArgument ||
			s.Message() != "List of found errors:\t1.Field: name; Message: Invalid CustomJob resource name.\t" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err = w.jobs.CreateCustomJob(t.Context(), &aiplatformpb.CreateCustomJobRequest{Parent: "projects/p", CustomJob: onDemand()})
	refused(t, err, codes.InvalidArgument, "Field: parent")
}

func TestOtherJobsAreUnimplemented(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.jobs.CreateHyperparameterTuningJob(t.Context(), &aiplatformpb.CreateHyperparameterTuningJobRequest{Parent: parent})
	refused(t, err, codes.Unimplemented, "")
	if w.Calls()["CreateHyperparameterTuningJob"] != 1 {
		t.Errorf("calls: %v", w.Calls())
	}
}
