package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// listening is a world that counts the log events about unreadable documents.
type listening struct {
	*World
	logged map[string]int // by document
}

func newListening(t *testing.T) *listening {
	w := &listening{logged: map[string]int{}}
	w.World = New(counting{t, w.logged})
	return w
}

// counting passes a log on, and counts in it.
type counting struct {
	TB
	logged map[string]int
}

func (h counting) Logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if strings.Contains(line, "event=unreadable_document") {
		_, rest, _ := strings.Cut(line, "document=")
		document, _, _ := strings.Cut(rest, " ")
		h.logged[document]++
	}
	h.TB.Logf("%s", line)
}

func (w *listening) spoil(d ledger.Ref) {
	w.Helper()
	w.Ledger.Spoil(d, "damaged")
}

// writes counts the commits that wrote a document.
func (w *listening) writes(of ledger.Ref) (n int) {
	w.Ledger.Each(func(ref ledger.Ref, _ ledger.Document, writes int) {
		if ref == of {
			n = writes
		}
	})
	return n
}

// A hold whose record cannot be read stays, its job goes on, and what else is on
// the resource goes on as well: jobs end, those that wait start.
func TestUnreadableRecordKeepsItsHold(t *testing.T) {
	for _, state := range []vertex.JobState{vertex.JobRunning, vertex.JobSucceeded} {
		w := newListening(t)
		w.Ask(Job{ID: "bad", CPU: 1})
		w.Ask(Job{ID: "good", CPU: 3})
		w.Ask(Job{ID: "next", CPU: 3})
		w.Expect("next", lifecycle.Waiting, "queued")
		bad := w.Record("bad")
		w.spoil(ledger.RecordRef(bad.Key))
		before := w.writes(bad.Ref())
		w.Vertex.SetJob(bad.Reservation.Job, state)
		w.Vertex.SetJob(w.JobOf("good"), vertex.JobSucceeded)
		for range 3 {
			w.After(time.Minute)
		}
		w.Expect("good", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
		w.Expect("next", lifecycle.Submitted, "queued", "reserved", "submitted")
		if _, held := w.Document().Holds[bad.Key]; !held {
			t.Errorf("%s: the hold was freed", state)
		}
		for _, j := range w.Vertex.Jobs() {
			if j.Name == bad.Reservation.Job && j.State != state {
				t.Errorf("its job, which was %s, is %s", state, j.State)
			}
		}
		if n := w.writes(bad.Ref()); n != before {
			t.Errorf("the record was written %d times more", n-before)
		}
		if n := w.logged["requests/"+string(bad.Key)]; state == vertex.JobSucceeded && n != 1 {
			t.Errorf("it was logged %d times, want once", n) // a listed job needs no read of its request
		}
		w.Ledger.Heal(ledger.RecordRef(bad.Key))
		w.Vertex.SetJob(bad.Reservation.Job, vertex.JobSucceeded)
		for range 2 {
			w.After(10 * time.Minute)
		}
		if got := w.State("bad"); got != lifecycle.Succeeded {
			t.Errorf("once it can be read again it is %s", got)
		}
		w.CheckHolds()
	}
}

// A live job under the label of a request that cannot be read is no orphan job, named
// by the hold or not.
func TestUnreadableRecordIsNoOrphan(t *testing.T) {
	w := newListening(t)
	w.Ask(Job{ID: "bad", CPU: 1})
	bad := w.Record("bad")
	second, err := w.Vertex.Create(context.Background(), Parent, likeItsJob(t, bad))
	if err != nil {
		t.Fatal(err)
	}
	w.spoil(ledger.RecordRef(bad.Key))
	w.After(time.Minute)
	if n := w.Vertex.Calls()["cancel"]; n != 0 {
		t.Errorf("%d jobs were cancelled", n)
	}
	// Both take machines: the hold's one, and one that counts as foreign.
	if use := w.Document().Use()[CPU]; use != 2 {
		t.Errorf("%d replicas are in use, want 2 (second job %s)", use, second.Name)
	}
}

// likeItsJob is a job such as a late create of a record's run would make.
func likeItsJob(t *testing.T, r *ledger.Record) *aiplatformpb.CustomJob {
	job, err := message.ParseJob([]byte(r.Spec))
	if err != nil {
		t.Fatal(err)
	}
	job.JobSpec.PersistentResourceId = "pool"
	job.Labels = map[string]string{vertex.LabelRun: r.Run, vertex.LabelRequest: string(r.Key), vertex.LabelDeployment: "default"}
	return job
}

// An unreadable waiting request stays in the queue and delays no other request;
// it has its place again once it can be read.
func TestUnreadableWaiterIsPassed(t *testing.T) {
	w := newListening(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	for i := range 3 {
		w.Ask(Job{ID: fmt.Sprintf("bad%d", i), CPU: 4})
	}
	w.Ask(Job{ID: "next", CPU: 2})
	for i := range 3 {
		w.spoil(ledger.RecordRef(w.Record(fmt.Sprintf("bad%d", i)).Key))
	}
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("next", lifecycle.Submitted, "queued", "reserved", "submitted")
	// A request that comes now does not wait for them either, and a pass has nothing
	// to wait for.
	w.Ask(Job{ID: "later", CPU: 2})
	w.Expect("later", lifecycle.Submitted, "reserved", "submitted")
	began := w.Now
	w.After(0)
	if w.Now != began {
		t.Errorf("the pass went on for %v", w.Now.Sub(began))
	}
	if n := w.Document().Queue.Waiting(); n != 3 {
		t.Errorf("the line counts %d, want the 3 that cannot be read", n)
	}
	for i := range 3 {
		w.Ledger.Heal(ledger.RecordRef(w.Record(fmt.Sprintf("bad%d", i)).Key))
	}
	w.Vertex.SetJob(w.JobOf("next"), vertex.JobSucceeded)
	w.Vertex.SetJob(w.JobOf("later"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("bad0", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Expect("bad1", lifecycle.Waiting, "queued")
	if skipped := w.Document().Skipped; len(skipped) != 0 {
		t.Errorf("%v are still skipped", skipped)
	}
}

// The waiting requests get the event that their resource is gone, even if any
// of them is unreadable, and pages continue behind that one.
func TestUnreadableWaiterSilencesNoOther(t *testing.T) {
	const n = 45
	w := newListening(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	for i := range n {
		w.Ask(Job{ID: fmt.Sprintf("w%02d", i), CPU: 1})
	}
	bad := map[int]bool{0: true, 19: true, 20: true, 21: true, n - 1: true}
	for i := range bad {
		w.spoil(ledger.RecordRef(w.Record(fmt.Sprintf("w%02d", i)).Key))
	}
	w.Vertex.SetResource(Resource, vertex.Resource{})
	w.After(time.Minute)
	w.After(time.Minute)
	for i := range n {
		id := fmt.Sprintf("w%02d", i)
		if bad[i] {
			w.Expect(id, lifecycle.Waiting, "queued")
			continue
		}
		w.Expect(id, lifecycle.Waiting, "queued", "queued")
	}
	if left := w.Document().Notice; left != nil {
		t.Errorf("all events are published, and %+v is left", left)
	}
	if len(w.logged) != len(bad) {
		t.Errorf("the log reports %v, want the %d that cannot be read", w.logged, len(bad))
	}
}

// A resource with an unreadable document is left alone: its requests are
// delivered again, and the other resources are served.
func TestUnreadableResource(t *testing.T) {
	w := newListening(t)
	const other = Parent + "/persistentResources/other"
	w.Vertex.SetResource(other, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(1)}})
	w.Ask(Job{ID: "a", CPU: 1})
	w.Ask(Job{ID: "b", CPU: 1, Resource: "other"})
	w.Ask(Job{ID: "c", CPU: 1, Resource: "other"})
	doc := ledger.ResourceRef(Resource)
	w.spoil(doc)
	before := w.writes(ledger.ResourceRef(Resource))
	for range 2 {
		_, err := w.Try(Job{ID: "d", CPU: 1}.Body())
		if bad := (*ledger.UnreadableError)(nil); !errors.As(err, &bad) || bad.Ref != doc {
			t.Fatalf("a request for it: %v", err)
		}
	}
	if w.State("d") != lifecycle.None {
		t.Errorf("the request is %s", w.State("d"))
	}
	w.Vertex.SetJob(w.JobOf("b"), vertex.JobSucceeded)
	report, err := w.Controller.Reconcile(context.Background(), "tick", time.Second)
	if err != nil || report.Unreadable != 1 {
		t.Errorf("pass: %+v, %v", report, err)
	}
	if got := w.State("c"); got != lifecycle.Submitted {
		t.Errorf("on the other resource c is %s", got)
	}
	if n := w.writes(ledger.ResourceRef(Resource)); n != before {
		t.Errorf("the document was written %d times more", n-before)
	}
	if n := w.logged[doc.String()]; n != 1 {
		t.Errorf("it was logged %d times, want once", n)
	}
}

// An unreadable lease stops no pass, and an unreadable budget stops only the
// submissions of its region.
func TestUnreadableLeaseAndBudget(t *testing.T) {
	w := newListening(t)
	w.Config.Submissions = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "a", CPU: 1})
	w.After(time.Minute)
	lease := ledger.LeaseRef(controller.ReconcileLease)
	budget := ledger.BudgetRef(Parent)
	w.spoil(lease)
	w.spoil(budget)
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	report, err := w.Controller.Reconcile(context.Background(), "tick", time.Second)
	if err != nil || report.Skipped || report.Passes == 0 {
		t.Fatalf("pass without a lease that can be read: %+v, %v", report, err)
	}
	w.Expect("a", lifecycle.Running, "reserved", "submitted", "started")
	for i := range 4 { // more than any token that is left
		w.Ask(Job{ID: fmt.Sprint("b", i), GPU: 1})
	}
	w.After(time.Minute)
	pending := 0
	for i := range 4 {
		if w.State(fmt.Sprint("b", i)) == lifecycle.Reserved {
			pending++
		}
	}
	if pending == 0 {
		t.Error("without a budget that can be read everything was submitted")
	}
	if w.logged[lease.String()] != 1 || w.logged[budget.String()] != 1 {
		t.Errorf("the log reports %v, want lease and budget once each", w.logged)
	}
	w.Ledger.Heal(lease)
	w.Ledger.Heal(budget)
	for range 10 {
		w.After(time.Minute)
	}
	for i := range 4 {
		if got := w.State(fmt.Sprint("b", i)); got != lifecycle.Submitted {
			t.Errorf("b%d is %s once the budget can be read again", i, got)
		}
	}
}

// Unreadable records stay among the due ones: any number of them does not keep
// the others from running, and they are not read again in every pass.
func TestUnreadableRecordsDoNotBlockTimers(t *testing.T) {
	w := newListening(t)
	w.Vertex.Fault = func(string, string) vertex.Fault { return vertex.NoFault }
	w.SetPools(vertex.Running, cpus(1000))
	w.Config.Submissions = 10_000
	w.Controller = w.Instance(w.Config)
	const n = 450
	for i := range n {
		w.Ask(Job{ID: fmt.Sprintf("bad%03d", i), CPU: 1})
	}
	w.Ask(Job{ID: "good", CPU: 1})
	w.Expect("good", lifecycle.Submitted, "reserved", "submitted")
	for i := range n {
		w.spoil(ledger.RecordRef(w.Record(fmt.Sprintf("bad%03d", i)).Key))
	}
	w.Now = w.Now.Add(w.Config.StartTimeout)
	passes := 0
	for ; passes < 4 && w.State("good") == lifecycle.Submitted; passes++ {
		w.After(0)
	}
	if got := w.State("good"); got != lifecycle.Cancelling {
		t.Errorf("after %d passes good, which is overdue, is %s", passes, got)
	}
	before := w.Ledger.Stats()
	w.After(time.Second)
	if read := w.Ledger.Stats().DocsRead - before.DocsRead; read > 50 {
		t.Errorf("the next pass read %d documents again", read)
	}
}
