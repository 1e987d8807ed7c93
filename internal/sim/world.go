// Package sim runs the real controller over the memory twins of the ledger and
// of Vertex AI, in virtual time: nothing waits, and time moves only when
// the run moves it. A [World] is one such run; a [Job] is a request in a few words.
package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// The one persistent resource of a new [World], and the tenant of its messages.
const (
	Parent   = "projects/test-project/locations/us-central1"
	Resource = Parent + "/persistentResources/pool"
	Tenant   = "default"
	// Operators is the subscription of operators' messages.
	Operators = "projects/test-project/subscriptions/berth-operators"
)

// The shapes of its pools.
var (
	CPU = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	GPU = capacity.Spec{MachineType: "g2-standard-12", Accelerator: "NVIDIA_L4", AcceleratorCount: 1}.Normal()
)

// TB is the part of testing.TB that a World reports to.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// A World is a controller, its ledger, its Vertex AI and its outcome topic.
type World struct {
	TB
	Now        time.Time
	Ledger     *ledger.Mem
	Vertex     *vertex.Mem
	Out        *Outbox
	Config     controller.Config
	Controller *controller.Controller
	// Policy is the text of the policy in force from the beginning of a run on; "" for none.
	Policy string

	// Deliver hands over one message, Tick makes one reconcile. They go straight
	// to the controller unless a test puts entry points in between.
	Deliver func(message.Delivery) error
	Tick    func() error
	// Rows counts the rows of the state table that were taken.
	Rows map[lifecycle.Row]int

	mu             sync.Mutex // of Rows and runs: a pass submits several at once
	runs, messages int
}

// New returns a world with one persistent resource: four CPU machines, and two
// GPU machines that can become four. t gets the failures.
func New(t TB) *World {
	w := &World{TB: t, Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Out: &Outbox{}, Rows: map[lifecycle.Row]int{}}
	clock := func() time.Time { return w.Now }
	w.Ledger, w.Vertex = ledger.NewMem(clock), vertex.NewMem(clock)
	w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 4}, capacity.Pool{ID: "gpu", Shape: GPU, Count: 2, Max: 4})
	w.Config = controller.DefaultConfig()
	// One call at a time: hooks of tests and the clock then belong to one goroutine,
	// and a run is the same every time. Side by side is for the tests of that.
	w.Config.Submitters = 1
	w.Config.Project, w.Config.Regions, w.Config.DefaultResource = "test-project", []string{"us-central1"}, "pool"
	w.Controller = w.Instance(w.Config)
	w.Deliver = func(d message.Delivery) error {
		if d.Subscription == Operators {
			return w.Controller.Operate(context.Background(), d)
		}
		return w.Controller.Handle(context.Background(), Tenant, d)
	}
	w.Tick = func() error {
		_, err := w.Controller.Reconcile(context.Background(), "tick", time.Second)
		return err
	}
	return w
}

// Instance is another controller on the same ledger and Vertex AI.
func (w *World) Instance(cfg controller.Config) *controller.Controller {
	return w.instance(cfg, func() time.Time { return w.Now })
}

// Skewed is an instance whose own clock is ahead.
func (w *World) Skewed(ahead time.Duration) *controller.Controller {
	return w.instance(w.Config, func() time.Time { return w.Now.Add(ahead) })
}

// Paused is an instance that stops at a read of its clock if pause, which may move
// time, returns true.
func (w *World) Paused(pause func() bool) *controller.Controller {
	return w.instance(w.Config, func() time.Time {
		pause()
		return w.Now
	})
}

func (w *World) instance(cfg controller.Config, clock func() time.Time) *controller.Controller {
	return w.over(w.Ledger, cfg, clock)
}

func (w *World) over(l ledger.Ledger, cfg controller.Config, clock func() time.Time) *controller.Controller {
	return controller.New(cfg, l, w.Vertex, w.Out, slog.New(slog.NewTextHandler(logTo{w}, nil)), controller.Env{
		Monotonic: clock,
		Sleep: func(_ context.Context, d time.Duration) error {
			w.Now = w.Now.Add(d)
			return nil
		},
		Moved: func(r lifecycle.Row) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.Rows[r]++
		},
		NewRun: func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.runs++
			return fmt.Sprintf("run%d", w.runs)
		},
	})
}

// logTo writes a logger's lines to the world, and fails on those that report
// a bug.
type logTo struct{ w *World }

func (l logTo) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "this is a bug") {
		l.w.Errorf("%s", p)
	}
	l.w.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// SetPools makes the persistent resource anew at Vertex AI under its identity.
func (w *World) SetPools(state string, pools ...capacity.Pool) {
	w.Vertex.SetResource(Resource, vertex.Resource{State: state, CreateTime: time.Unix(1, 0), Pools: pools})
}

// Send delivers a message and returns its id. It must be accepted.
func (w *World) Send(data []byte) string {
	w.Helper()
	id, err := w.Try(data)
	if err != nil {
		w.Fatalf("message %s was not taken: %v", id, err)
	}
	return id
}

// Try delivers a message that may fail.
func (w *World) Try(data []byte) (string, error) {
	w.messages++
	w.Now = w.Now.Add(time.Millisecond)
	id := fmt.Sprintf("m%d", w.messages)
	return id, w.Deliver(message.Delivery{ID: id, PublishTime: w.Now, Data: data})
}

// Again delivers a message once more.
func (w *World) Again(id string, data []byte) {
	w.Helper()
	if err := w.Deliver(message.Delivery{ID: id, PublishTime: w.Now, Data: data}); err != nil {
		w.Fatalf("message %s was not taken: %v", id, err)
	}
}

// Ask sends a request.
func (w *World) Ask(j Job) string { w.Helper(); return w.Send(j.Body()) }

// Cancel sends a cancel.
func (w *World) Cancel(id string) {
	w.Helper()
	w.Send([]byte(`{"cancel":{"requestId":"` + id + `"}}`))
}

// Operate sends an operator's message, as of [Operation], and returns the answer.
func (w *World) Operate(action message.Action, fields ...string) message.Outcome {
	w.Helper()
	w.messages++
	w.Now = w.Now.Add(time.Millisecond)
	id := fmt.Sprintf("m%d", w.messages)
	if err := w.Deliver(message.Delivery{ID: id, Subscription: Operators, PublishTime: w.Now, Data: Operation(action, fields...)}); err != nil {
		w.Fatalf("the operator's message %s was not taken: %v", id, err)
	}
	return w.Out.Last(id)
}

// Operation is an operator's message, about the persistent resource unless it is about a
// request or a tenant, with more fields as JSON: "name": value.
func Operation(action message.Action, fields ...string) []byte {
	all := []string{`"action":"` + string(action) + `","who":"ann","reason":"new drivers"`}
	if ofTenant := func(f string) bool { return strings.HasPrefix(f, `"tenant"`) }; !(message.Operation{Action: action}).OnRequest() && !slices.ContainsFunc(fields, ofTenant) {
		all = append(all, `"persistentResource":"pool"`)
	}
	return []byte(`{"operator":{` + strings.Join(append(all, fields...), ",") + `}}`)
}

// After lets time pass and reconciles.
func (w *World) After(d time.Duration) {
	w.Helper()
	w.Now = w.Now.Add(d)
	if err := w.Tick(); err != nil {
		w.Fatalf("reconcile: %v", err)
	}
}

// record finds the record of a request as it is stored: it is shared, and must not
// be changed. A test asks for records after every minute of a virtual day, and
// copies of all of them would be most of what it costs.
func (w *World) record(id string) *ledger.Record {
	var found *ledger.Record
	w.Ledger.Each(func(_ ledger.Ref, doc ledger.Document, _ int) {
		if r, ok := doc.(*ledger.Record); ok && found == nil && r.ID == id && r.Kind != message.KindAnswer && !r.Tombstone() {
			found = r
		}
	})
	return found
}

// Record returns a copy of the record of a request, an empty one if there is none.
func (w *World) Record(id string) *ledger.Record {
	if r := w.record(id); r != nil {
		return r.Clone()
	}
	return &ledger.Record{}
}

// State returns the state of a request.
func (w *World) State(id string) lifecycle.State {
	if r := w.record(id); r != nil {
		return r.State
	}
	return lifecycle.None
}

// stored returns all records and resources in order of their keys and names, as
// they are stored: they are shared, and must not be changed.
func stored(m *ledger.Mem) (records []*ledger.Record, resources []*ledger.Resource) {
	m.Each(func(_ ledger.Ref, doc ledger.Document, _ int) {
		switch d := doc.(type) {
		case *ledger.Record:
			records = append(records, d)
		case *ledger.Resource:
			resources = append(resources, d)
		}
	})
	return records, resources
}

// Document returns a copy of the document of the persistent resource.
func (w *World) Document() *ledger.Resource {
	w.Helper()
	_, resources := stored(w.Ledger)
	for _, r := range resources {
		if r.Name == Resource {
			return r.Clone()
		}
	}
	w.Fatalf("no document of %s", Resource)
	return nil
}

// JobOf returns the name of a request's job.
func (w *World) JobOf(id string) string {
	w.Helper()
	name := w.Record(id).Reservation.Job
	if name == "" {
		w.Fatalf("request %s has no job; it is %s", id, w.State(id))
	}
	return name
}

// Expect checks a request's state and its events so far, and that holds and
// states agree everywhere.
func (w *World) Expect(id string, state lifecycle.State, words ...string) {
	w.Helper()
	if got := w.State(id); got != state {
		w.Errorf("%s is %q, want %q (reason: %v)", id, got, state, w.Record(id).Why)
	}
	if got := strings.Join(w.Out.Words(id), " "); got != strings.Join(words, " ") {
		w.Errorf("%s had events [%s], want %v", id, got, words)
	}
	w.CheckHolds()
}

// CheckHolds holds the holds against the states.
func (w *World) CheckHolds() {
	w.Helper()
	holding := map[message.Key]bool{}
	records, resources := stored(w.Ledger)
	for _, r := range records {
		if r.State.Holds() {
			holding[r.Key] = true
		}
	}
	for _, res := range resources {
		for key := range res.Holds {
			if !holding[key] {
				w.Errorf("%s has a hold of %s, which does not hold", res.Name, key)
			}
			delete(holding, key)
		}
	}
	for key := range holding {
		w.Errorf("request %s holds without a hold", key)
	}
}
