package sim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// jobWith creates a job for machines of the pool under forged labels.
func jobWith(w *World, n int, run, request string) vertex.Job {
	w.Helper()
	job, err := message.ParseJob([]byte(`{"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"containerSpec":{"imageUri":"i"}}]}}`))
	if err != nil {
		w.Fatalf("%v", err)
	}
	job.JobSpec.WorkerPoolSpecs[0].ReplicaCount = int64(n)
	job.JobSpec.PersistentResourceId = "pool"
	job.Labels = map[string]string{vertex.LabelRun: run, vertex.LabelRequest: request}
	created, err := w.Vertex.Create(context.Background(), Parent, job)
	if err != nil {
		w.Fatalf("%v", err)
	}
	return created
}

// A user who may create jobs can forge Berth's labels. A job with such a label
// counts as foreign, is never cancelled, and stops nothing: not a pass, not the
// search for a request, not a hint, not an explanation.
func TestHostileLabels(t *testing.T) {
	key := string(message.KeyOf(Tenant, message.KindRequest, "unknown"))
	for name, labels := range map[string][2]string{
		"reserved name": {"run1", "__x__"}, "folder": {"run1", "."}, "parent folder": {"run1", ".."}, "slash": {"run1", "a/b"},
		"mark of a slash": {"run1", "a~b"}, "no request": {"run1", ""}, "no run": {"", key}, "long": {"run1", strings.Repeat("a", 2000)},
		"long run": {strings.Repeat("a", 2000), key}, "capitals": {"run1", strings.ToUpper(key)}, "no hex": {"run1", strings.Repeat("z", 32)},
		"short": {"run1", key[1:]}, "longer": {"run1", key + "0"}, "not UTF-8": {"run1", "\xff"}, "newline": {"run1", key + "\n"},
		"hostile run": {"../x", key}, "unknown": {"run1", key},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			w.Ask(one)
			hostile := jobWith(w, 2, labels[0], labels[1])
			w.After(time.Minute)
			if f := w.Document().Foreign; len(f) != 1 || f[0].Job != hostile.Name {
				t.Errorf("foreign jobs are %v, want %s", f, hostile.Name)
			}
			if n := w.Document().Use()[CPU]; n != 3 {
				t.Errorf("%d machines count as used, want 3", n)
			}
			if err := w.Controller.Hint(context.Background(), hostile.Name); err != nil {
				t.Errorf("a hint of it: %v", err)
			}
			w.Now = w.Now.Add(time.Hour) // the search for a job of a request
			w.Ask(Job{ID: "b", CPU: 2})
			w.Expect("b", lifecycle.Waiting, "queued")
			if why := w.Record("b").Why; why.Code != reason.Full {
				t.Errorf("it waits for %v, want FULL", why)
			}
			w.Now = w.Now.Add(time.Hour) // and one for an explanation
			q, err := w.Controller.Quote(context.Background(), Tenant, message.Delivery{ID: "q", Data: Job{CPU: 1}.Body()})
			if err != nil || q.Verdict == "" {
				t.Errorf("an explanation is %+v, error %v", q, err)
			}
			if j, _ := w.Vertex.Get(context.Background(), hostile.Name); j.State != vertex.JobPending {
				t.Errorf("the job is %s", j.State)
			}
			w.Vertex.SetJob(hostile.Name, vertex.JobSucceeded)
			w.After(time.Minute)
			w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
		})
	}
}

// A user copies the label of a run, but not of its request, or to another
// resource. The search for the job of an unclear attempt must not take such a
// job.
func TestCopiedRunLabel(t *testing.T) {
	w := New(t)
	copied := ""
	w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		if copied == "" {
			copied = "creating"
			other := message.KeyOf(Tenant, message.KindRequest, "other")
			copied = jobWith(w, 1, job.GetLabels()[vertex.LabelRun], string(other)).Name
			return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
		}
		return nil
	}
	w.Ask(one)
	w.After(2 * time.Minute)
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	if name := w.JobOf("a"); name == copied {
		t.Error("the request took a foreign job for its own")
	}
	if j, _ := w.Vertex.Get(context.Background(), copied); j.State != vertex.JobPending {
		t.Errorf("a foreign job is %s", j.State)
	}
}

// Jobs with forged labels that never end, more than the records that one
// observation reads, do not hide other jobs: not a second job of a live run,
// and not one of a request that has ended. An observation reads a bounded
// number of records.
func TestForgedLabelsHideNoOrphan(t *testing.T) {
	// Keys before that of the request: a pass that always reads the first ones never reads it.
	var before []string
	for i := 0; len(before) < 60; i++ {
		if id := fmt.Sprint("unknown", i); message.KeyOf(Tenant, message.KindRequest, id) < message.KeyOf(Tenant, message.KindRequest, "ended") {
			before = append(before, id)
		}
	}
	for name, request := range map[string]func(i int) string{
		"of many requests": func(i int) string { return before[i] },
		"of one request":   func(int) string { return "unknown" },
	} {
		for _, of := range []string{"a", "ended"} {
			t.Run(name+", a job of "+of, func(t *testing.T) {
				w := New(t)
				w.Ask(Job{ID: "ended", CPU: 1})
				w.Vertex.SetJob(w.JobOf("ended"), vertex.JobSucceeded)
				w.After(time.Minute)
				w.Ask(one)
				w.After(time.Minute) // the job of a is known by its name
				for i := range 60 {
					jobWith(w, 1, "run1", string(message.KeyOf(Tenant, message.KindRequest, request(i))))
				}
				w.Now = w.Now.Add(time.Second) // older ones are listed first
				second := jobWith(w, 1, w.Record(of).Run, string(w.Record(of).Key))
				passes, state := 0, func() vertex.JobState {
					j, err := w.Vertex.Get(context.Background(), second.Name)
					if err != nil {
						t.Fatal(err)
					}
					return j.State
				}
				for ; passes < 20 && state() != vertex.JobCancelling; passes++ {
					before := w.Ledger.Stats().DocsRead
					w.After(time.Minute)
					if n := w.Ledger.Stats().DocsRead - before; n > 60 {
						t.Errorf("a pass read %d documents", n)
					}
				}
				if most := map[string]int{"a": 1, "ended": 10}[of]; passes > most {
					t.Errorf("the second job is %s after %d passes, want a cancel within %d", state(), passes, most)
				}
				if j, _ := w.Vertex.Get(context.Background(), w.JobOf("a")); j.State != vertex.JobPending {
					t.Errorf("the named job is %s", j.State)
				}
				if n := w.Vertex.Calls()["cancel"]; n != 1 {
					t.Errorf("%d jobs were cancelled, want 1", n)
				}
			})
		}
	}
}

// A job with the labels of a run that is not on the request's persistent
// resource, or not in its region, is not taken for the run's job after a hint.
func TestHintOfACopiedJob(t *testing.T) {
	for name, elsewhere := range map[string]struct{ parent, resource string }{
		"no persistent resource": {Parent, ""},
		"another one":            {Parent, "other"},
		"another region":         {strings.Replace(Parent, "us-central1", "europe-west4", 1), "pool"},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			copied := ""
			w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
				if copied != "" {
					return nil
				}
				copied = "creating"
				job = proto.CloneOf(job)
				job.JobSpec.PersistentResourceId = elsewhere.resource
				created, err := w.Vertex.Create(context.Background(), elsewhere.parent, job)
				if err != nil {
					t.Fatal(err)
				}
				copied = created.Name
				return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
			}
			w.Ask(one)
			if err := w.Controller.Hint(context.Background(), copied); err != nil {
				t.Fatal(err)
			}
			w.Expect("a", lifecycle.Submitting, "reserved")
			w.After(2 * time.Minute)
			w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
			if w.JobOf("a") == copied {
				t.Error("the request took a foreign job for its own")
			}
			if n := w.Vertex.Calls()["cancel"]; n != 0 {
				t.Errorf("%d jobs were cancelled", n)
			}
		})
	}
}

// A job with the labels of a run on another persistent resource, which passes
// serve too, is a foreign job there: it is not taken for the run's job, and not
// cancelled.
func TestCopiedToAnotherResource(t *testing.T) {
	const other = Parent + "/persistentResources/other"
	for _, unclear := range []bool{true, false} {
		w := New(t)
		w.Vertex.SetResource(other, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(4)}})
		w.Ask(Job{ID: "there", CPU: 1, Resource: "other"})
		w.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error {
			if unclear {
				return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
			}
			return nil
		}
		w.Ask(one)
		job, err := message.ParseJob([]byte(w.Record("a").Spec))
		if err != nil {
			t.Fatal(err)
		}
		job.JobSpec.PersistentResourceId = "other"
		job.Labels = map[string]string{vertex.LabelRun: w.Record("a").Run, vertex.LabelRequest: string(w.Record("a").Key), vertex.LabelDeployment: "default"}
		w.Vertex.Admit = nil
		copied, err := w.Vertex.Create(context.Background(), Parent, job)
		if err != nil {
			t.Fatal(err)
		}
		w.After(30 * time.Second)
		if want := map[bool]lifecycle.State{true: lifecycle.Submitting, false: lifecycle.Submitted}[unclear]; w.State("a") != want {
			t.Errorf("a is %s, want %s", w.State("a"), want)
		}
		for range 3 {
			w.After(time.Minute)
		}
		w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
		if w.JobOf("a") == copied.Name {
			t.Error("the request took a foreign job for its own")
		}
		if j, _ := w.Vertex.Get(context.Background(), copied.Name); j.State != vertex.JobPending {
			t.Errorf("a foreign job is %s", j.State)
		}
		for _, res := range w.Ledger.Dump().Resources() {
			if want := map[string]int{Resource: 0, other: 1}[res.Name]; res.ForeignJobs != want {
				t.Errorf("%s counts %d foreign jobs, want %d", res.Name, res.ForeignJobs, want)
			}
		}
	}
}
