package sim

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// large is a request of nearly the largest size, which takes about 700 KiB in the
// ledger: a quote that is escaped once in the message is escaped twice there.
func large(id string, cpu, priority int) []byte {
	body := Job{ID: id, CPU: cpu, Priority: priority, Spec: map[string]any{"baseOutputDirectory": map[string]any{"outputUriPrefix": "gs://b/FILL"}}}.Body()
	return []byte(strings.Replace(string(body), "FILL", strings.Repeat(`\"`, (message.MaxData-len(body))/2-10), 1))
}

// dozens of the largest jobs are more than a commit can hold: 14 of them can be in
// one. More show nothing else, and cost a second each under the race detector.
const dozens = 24

// Dozens of the largest jobs go through every kind of update, each within the
// limits of the ledger: admitted, parked, decided in the queue, learned of and
// published.
func TestLargestJobsThroughEverything(t *testing.T) {
	const n = dozens
	w := New(silent{t})
	w.Config.Submissions = 1000
	w.Controller = w.Instance(w.Config)
	w.SetPools(vertex.Running, cpus(n))
	var first, second []string
	for i := range n {
		first = append(first, fmt.Sprintf("a%02d", i))
		w.Send(large(first[i], 1, 0))
	}
	if size := ledger.Size(w.Record("a00")); size < 500<<10 {
		t.Fatalf("a record has %d bytes, which proves nothing", size)
	}
	for i := range n {
		second = append(second, fmt.Sprintf("b%02d", i))
		w.Send(large(second[i], 1, 0))
	}
	w.SetPools("STOPPING", cpus(n))
	w.After(time.Second)
	for i := range n {
		w.Send(large(fmt.Sprintf("c%02d", i), n+1, -1)) // parked
	}
	w.SetPools(vertex.Running, cpus(2*n))
	for range 3 {
		w.After(30 * time.Second)
	}
	for _, id := range append(first, second...) {
		if got := w.State(id); got != lifecycle.Submitted {
			t.Fatalf("%s is %s: %v", id, got, w.Record(id).Why)
		}
	}
	for i := range n {
		if r := w.Record(fmt.Sprintf("c%02d", i)); r.Parked {
			t.Fatalf("%s is still parked", r.ID)
		}
	}
	for _, id := range append(first, second...) {
		w.Vertex.SetJob(w.JobOf(id), vertex.JobSucceeded)
	}
	for range 3 {
		w.After(30 * time.Second)
	}
	for _, id := range append(first, second...) {
		w.Expect(id, lifecycle.Succeeded, w.Out.Words(id)...)
		if last := w.Out.Last(id); last.Type != message.Succeeded {
			t.Fatalf("the last event of %s is %s", id, last.Type)
		}
	}
}

// Dozens of the largest waiting jobs each get one event that their resource is
// gone, within the limits of the ledger.
func TestLargestJobsGetEventsOfTheirResource(t *testing.T) {
	const n = dozens
	w := New(silent{t})
	w.Ask(Job{ID: "runs", CPU: 4})
	for i := range n {
		w.Send(large(fmt.Sprintf("w%02d", i), 1, 0))
	}
	w.Vertex.SetResource(Resource, vertex.Resource{})
	w.After(time.Minute)
	for i := range n {
		id := fmt.Sprintf("w%02d", i)
		w.Expect(id, lifecycle.Waiting, "queued", "queued")
		if why := w.Record(id).Why; why.Code != reason.ResourceGone {
			t.Fatalf("%s waits for %v", id, why)
		}
	}
	if left := w.Document().Notice; left != nil {
		t.Errorf("all events are published, and %+v is left", left)
	}
}

// Thousands of foreign jobs on a resource do not stop it: their machines are taken,
// and free again when they have ended.
func TestThousandsOfForeignJobs(t *testing.T) {
	const foreign = 6000
	w := New(silent{t})
	w.SetPools(vertex.Running, cpus(foreign+1))
	w.Ask(Job{ID: "before", CPU: 1})
	var jobs []string
	for range foreign {
		jobs = append(jobs, w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 1}}))
	}
	w.After(time.Minute)
	d := w.Document()
	if size := ledger.Size(d); size > ledger.MaxDocument/4 || d.ForeignJobs != foreign || d.Use()[CPU] != foreign+1 {
		t.Errorf("document of %d bytes, %d foreign jobs, %d replicas in use", size, d.ForeignJobs, d.Use()[CPU])
	}
	w.Ask(Job{ID: "waits", CPU: 1})
	w.Expect("waits", lifecycle.Waiting, "queued")
	w.Vertex.SetJob(jobs[foreign-1], vertex.JobSucceeded) // one that is not listed by name
	w.After(time.Minute)
	w.Expect("waits", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// A request that the ledger cannot hold is answered, not delivered again and again.
func TestTooLargeForTheLedgerIsRefused(t *testing.T) {
	w := New(silent{t})
	machine := strings.Repeat("m", 200<<10)
	body := strings.Replace(string(Job{ID: "huge", CPU: 1}.Body()), CPU.Spec().MachineType, machine, 1)
	w.Ask(Job{ID: "fine", CPU: 1})
	id, err := w.Try([]byte(body))
	if err != nil {
		t.Fatalf("delivered again: %v", err)
	}
	refused := 0
	for _, e := range w.Out.All() {
		if e.MessageID == id && e.Reason != nil && (e.Type == message.Refused || e.Type == message.Rejected) {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d answers, want one refusal", refused)
	}
	w.Ask(Job{ID: "after", CPU: 1})
	w.Expect("after", lifecycle.Submitted, "reserved", "submitted")
}

// Hints that hang leave room for ticks: of many at one time a few are followed.
func TestHintsLeaveRoom(t *testing.T) {
	w := New(silent{t})
	w.Ask(Job{ID: "a", CPU: 1})
	job := w.JobOf("a")
	release := make(chan struct{})
	var hanging, most atomic.Int64
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "get" {
			most.Store(max(most.Load(), hanging.Add(1)))
			<-release
			hanging.Add(-1)
		}
		return vertex.NoFault
	}
	const hints = 12
	done := make(chan error, hints)
	for range hints {
		go func() { done <- w.Controller.Hint(t.Context(), job) }()
	}
	for range hints - 4 { // these are dropped at once
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(release)
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n > 4 {
		t.Errorf("%d hints hung at one time", n)
	}
	w.Vertex.SetJob(job, vertex.JobSucceeded)
	if err := w.Controller.Hint(t.Context(), job); err != nil {
		t.Error(err)
	}
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
}
