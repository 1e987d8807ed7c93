package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// behindHandlers is a world whose messages and ticks come in as Pub/Sub pushes them.
func behindHandlers(t *testing.T) *sim.World {
	t.Helper()
	w := sim.New(t)
	cfg, err := LoadConfig(t.Context(), envconfig.MapLookuper(map[string]string{
		"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_DEFAULT_RESOURCE": "pool",
	}))
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(c *controller.Controller) *App {
		a := assemble(cfg, slog.New(slog.DiscardHandler), c, w.Ledger)
		a.now = func() time.Time { return w.Now }
		return a
	}
	w.Deliver = func(d message.Delivery) error { return push(reopen(w.Controller).admit, d) }
	w.Tick = func() error {
		return push(reopen(w.Controller).reconcile, message.Delivery{ID: "tick", PublishTime: w.Now, Data: []byte("{}")})
	}
	return w
}

func push(handler http.HandlerFunc, d message.Delivery) error {
	d.Subscription = "projects/test-project/subscriptions/sub"
	rec := httptest.NewRecorder()
	handler(rec, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Push())))
	if rec.Code != http.StatusOK {
		return fmt.Errorf("the entry point answered %d: %s", rec.Code, rec.Body)
	}
	return nil
}

// fail makes the next n calls of an operation at Vertex AI go wrong.
func fail(w *sim.World, op string, n int, f vertex.Fault) {
	w.Vertex.Fault = func(called, _ string) vertex.Fault {
		if called == op && n > 0 {
			n--
			return f
		}
		return vertex.NoFault
	}
}

// decline makes Vertex AI refuse the next create.
func decline(w *sim.World, kind vertex.Kind) {
	n := 1
	w.Vertex.Admit = refuseJobs(func() error {
		if n--; n < 0 {
			return nil
		}
		return &vertex.Error{Op: "create", Kind: kind, Code: 9, Message: "refused by test"}
	})
}

// refuseJobs lets a function decide on creates.
func refuseJobs(err func() error) func(string, *aiplatformpb.CustomJob) error {
	return func(string, *aiplatformpb.CustomJob) error { return err() }
}

// crash makes the instance die before its next create: the attempt's time is
// over before it gets there.
func crash(w *sim.World) { fail(w, "create", 1, vertex.FailBefore) }

var (
	oneCPU = sim.Job{ID: "a", CPU: 1}
	allCPU = sim.Job{ID: "first", CPU: 4}
)

// TestTable reaches every row of the state table through the entry points. The stories
// are named by row; a row without a story fails.
func TestTable(t *testing.T) {
	submitted := func(w *sim.World) { w.Ask(oneCPU) }
	running := func(w *sim.World) {
		submitted(w)
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
		w.After(time.Minute)
	}
	cancelling := func(w *sim.World) {
		submitted(w)
		w.Cancel("a")
	}
	waiting := func(w *sim.World) {
		w.Ask(allCPU)
		w.Ask(oneCPU)
	}
	reserved := func(w *sim.World) { // a rate refusal leaves it reserved
		fail(w, "create", 1, vertex.FailRate)
		w.Ask(oneCPU)
	}
	submitting := func(w *sim.World) { // the answer is lost, nothing was done
		crash(w)
		w.Ask(oneCPU)
	}
	lookingToCancel := func(w *sim.World) {
		submitting(w)
		w.Cancel("a")
	}
	ends := func(s vertex.JobState) func(*sim.World) {
		return func(w *sim.World) {
			w.Vertex.SetJob(w.JobOf("a"), s)
			w.After(time.Minute)
		}
	}
	gone := func(w *sim.World) {
		w.Vertex.Delete(w.JobOf("a"))
		w.After(time.Minute)
	}
	pass := func(d time.Duration) func(*sim.World) { return func(w *sim.World) { w.After(d) } }
	do := func(steps ...func(*sim.World)) func(*sim.World) {
		return func(w *sim.World) {
			for _, s := range steps {
				s(w)
			}
		}
	}
	cancel := func(w *sim.World) { w.Cancel("a") }
	noCPU := func(w *sim.World) { w.SetPools(vertex.Running, capacity.Pool{ID: "gpu", Shape: sim.GPU, Count: 2}) }
	// unclearThen: the first attempt is unclear, the second is refused.
	unclearThen := func(w *sim.World) {
		submitting(w)
		decline(w, vertex.Permanent)
		w.After(2 * time.Minute)
	}
	const day = 24 * time.Hour
	// passes: the first has the machines reserved from three hours on, when a job has had
	// an hour to start and two to run. The request passes it, so by its time limit its
	// job has to be running within minutes.
	limited := func(id string, cpus int, limit time.Duration) sim.Job {
		return sim.Job{ID: id, CPU: cpus, Spec: map[string]any{"scheduling": map[string]any{"timeout": fmt.Sprintf("%ds", int(limit.Seconds()))}}}
	}
	passes := func(minutes int) func(*sim.World) {
		return func(w *sim.World) {
			w.Ask(limited("runs", 3, 2*time.Hour))
			w.Ask(allCPU)
			w.Ask(limited("a", 1, 3*time.Hour-5*time.Minute-time.Duration(minutes)*time.Minute))
		}
	}
	requeuing := do(passes(25), pass(26*time.Minute))
	// It passes, and none of its creates is answered.
	requeuingUnclear := func(w *sim.World) {
		w.Ask(limited("runs", 3, 2*time.Hour))
		w.Ask(allCPU)
		fail(w, "create", 100, vertex.FailBefore)
		w.Ask(limited("a", 1, 2*time.Hour+43*time.Minute))
		for range 13 {
			w.After(time.Minute)
		}
	}

	stories := map[string]struct {
		play   func(*sim.World)
		state  lifecycle.State
		events []string
	}{
		"/ADMITTED":     {do(submitted), lifecycle.Submitted, []string{"reserved", "submitted"}},
		"/DEFERRED":     {do(waiting), lifecycle.Waiting, []string{"queued"}},
		"/REFUSED":      {func(w *sim.World) { w.Ask(sim.Job{ID: "a", CPU: 5}) }, lifecycle.Rejected, []string{"rejected"}},
		"/CANCEL_ASKED": {do(cancel, submitted), lifecycle.Cancelled, []string{"cancelled"}},

		"WAITING/ADMITTED": {do(waiting, func(w *sim.World) {
			w.Vertex.SetJob(w.JobOf("first"), vertex.JobSucceeded)
			w.After(time.Minute)
		}), lifecycle.Submitted, []string{"queued", "reserved", "submitted"}},
		"WAITING/REASON_CHANGED": {do(waiting, noCPU, pass(time.Minute)), lifecycle.Waiting, []string{"queued", "queued"}},
		"WAITING/REFUSED": {do(waiting, noCPU, pass(time.Minute), pass(23*time.Hour), func(w *sim.World) {
			if w.State("a") != lifecycle.Waiting {
				w.Errorf("refused after 23 hours of contradiction; BERTH_REFUSE_AFTER is 24")
			}
		}, pass(time.Hour), pass(6*time.Minute)), lifecycle.Rejected, []string{"queued", "queued", "rejected"}},
		"WAITING/TIMED_OUT":    {do(waiting, pass(7*day+time.Hour)), lifecycle.Expired, []string{"queued", "expired"}},
		"WAITING/CANCEL_ASKED": {do(waiting, cancel), lifecycle.Cancelled, []string{"queued", "cancelled"}},

		"RESERVED/LEASED":       {do(reserved, pass(time.Minute)), lifecycle.Submitted, []string{"reserved", "submitted"}},
		"RESERVED/CANCEL_ASKED": {do(reserved, cancel), lifecycle.Cancelled, []string{"reserved", "cancelled"}},
		"RESERVED/WITHDRAWN": {do(reserved, func(w *sim.World) { w.SetPools("STOPPING") }, pass(time.Minute)),
			lifecycle.Waiting, []string{"reserved", "queued"}},

		"SUBMITTING/ACCEPTED":  {do(submitted), lifecycle.Submitted, []string{"reserved", "submitted"}},
		"SUBMITTING/RECLAIMED": {do(submitting, pass(2*time.Minute)), lifecycle.Submitted, []string{"reserved", "submitted"}},
		"SUBMITTING/DECLINED/RATE": {do(reserved, func(w *sim.World) {
			if w.State("a") != lifecycle.Reserved {
				w.Errorf("after a rate refusal it is %s", w.State("a"))
			}
		}, pass(time.Minute)), lifecycle.Submitted, []string{"reserved", "submitted"}},
		"SUBMITTING/DECLINED/DENIED": {func(w *sim.World) {
			decline(w, vertex.Denied)
			w.Ask(oneCPU)
			if w.State("a") != lifecycle.Reserved {
				w.Errorf("after a denial it is %s", w.State("a"))
			}
			w.After(time.Minute)
		}, lifecycle.Submitted, []string{"reserved", "submitted"}},
		"SUBMITTING/DECLINED/TRANSIENT": {func(w *sim.World) {
			decline(w, vertex.Transient)
			w.Ask(oneCPU)
		}, lifecycle.Waiting, []string{"reserved", "queued"}},
		"SUBMITTING/DECLINED/PERMANENT": {func(w *sim.World) {
			decline(w, vertex.Permanent)
			w.Ask(oneCPU)
		}, lifecycle.Failed, []string{"reserved", "failed"}},
		"SUBMITTING/DECLINED/UNCLEAR": {do(unclearThen), lifecycle.Submitting, []string{"reserved"}},
		"SUBMITTING/GIVEN_UP": {func(w *sim.World) {
			// Its creates are not answered while others' are: it is no outage, and its
			// attempts are used up.
			w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
				if job.Labels[vertex.LabelRequest] == string(w.Record("a").Key) {
					return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
				}
				return nil
			}
			w.Ask(oneCPU)
			for _, other := range []string{"b1", "b2", "b3"} {
				w.Ask(sim.Job{ID: other, CPU: 1})
				w.After(40 * time.Second) // the pause after the lost answer is over
				w.After(80 * time.Second) // its own next attempt
			}
			w.SetPools("REBOOTING") // or it would be admitted again at once
			for range 15 {
				w.After(2 * time.Minute)
			}
		}, lifecycle.Waiting, []string{"reserved", "queued"}},
		"SUBMITTING/GIVEN_UP/LAST": {do(unclearThen, pass(20*time.Minute), pass(20*time.Minute)), lifecycle.Failed, []string{"reserved", "failed"}},
		"SUBMITTING/CANCEL_ASKED":  {do(lookingToCancel), lifecycle.Cancelling, []string{"reserved", "cancelling"}},

		"SUBMITTING/REQUEUED":           {do(requeuingUnclear), lifecycle.Cancelling, []string{"reserved", "requeuing"}},
		"SUBMITTED/REQUEUED":            {do(requeuing), lifecycle.Cancelling, []string{"reserved", "submitted", "requeuing"}},
		"CANCELLING/CANCEL_ASKED/AGAIN": {do(requeuing, cancel), lifecycle.Cancelling, []string{"reserved", "submitted", "requeuing", "cancelling"}},
		"CANCELLING/ENDED/AGAIN":        {do(requeuing, ends(vertex.JobCancelled)), lifecycle.Waiting, []string{"reserved", "submitted", "requeuing", "queued"}},
		"CANCELLING/GONE/AGAIN":         {do(requeuing, gone), lifecycle.Waiting, []string{"reserved", "submitted", "requeuing", "queued"}},
		"CANCELLING/GIVEN_UP/AGAIN":     {do(requeuingUnclear, pass(20*time.Minute), pass(20*time.Minute)), lifecycle.Waiting, []string{"reserved", "requeuing", "queued"}},
		"CANCELLING/DECLINED/AGAIN": {func(w *sim.World) {
			w.Config.Policy.Plan.StartIn = 30 * time.Second
			w.Controller = w.Instance(w.Config)
			w.Ask(limited("runs", 3, 2*time.Hour))
			w.Ask(allCPU)
			w.Vertex.Admit = refuseJobs(func() error { // the create is under way for too long, and then refused
				w.Now = w.Now.Add(41 * time.Second)
				if _, err := w.Controller.Reconcile(t.Context(), "another", 0); err != nil { // one pass
					w.Errorf("reconcile: %v", err)
				}
				return &vertex.Error{Op: "create", Kind: vertex.Permanent, Code: 3}
			})
			w.Ask(limited("a", 1, 2*time.Hour+54*time.Minute+20*time.Second))
		}, lifecycle.Waiting, []string{"reserved", "requeuing", "queued"}},

		"SUBMITTED/CANCEL_ASKED": {do(cancelling), lifecycle.Cancelling, []string{"reserved", "submitted", "cancelling"}},
		"SUBMITTED/OVERDUE":      {do(submitted, pass(61*time.Minute)), lifecycle.Cancelling, []string{"reserved", "submitted", "cancelling"}},
		"SUBMITTED/STARTED":      {do(running), lifecycle.Running, []string{"reserved", "submitted", "started"}},
		"SUBMITTED/GONE":         {do(submitted, gone), lifecycle.Failed, []string{"reserved", "submitted", "failed"}},

		"RUNNING/CANCEL_ASKED": {do(running, cancel), lifecycle.Cancelling, []string{"reserved", "submitted", "started", "cancelling"}},
		"RUNNING/GONE":         {do(running, gone), lifecycle.Failed, []string{"reserved", "submitted", "started", "failed"}},

		"CANCELLING/ACCEPTED": {func(w *sim.World) {
			fail(w, "create", 1, vertex.FailAfter)
			w.Ask(oneCPU)
			w.Cancel("a")
			w.After(2 * time.Minute)
			if w.Vertex.Jobs()[0].State != vertex.JobCancelling {
				w.Errorf("the job was found and not cancelled")
			}
		}, lifecycle.Cancelling, []string{"reserved", "cancelling"}},
		"CANCELLING/RECLAIMED": {do(lookingToCancel, pass(2*time.Minute), func(w *sim.World) {
			if n := w.Record("a").Attempt; n != 2 || len(w.Vertex.Jobs()) != 0 {
				w.Errorf("attempt %d and %d jobs, want the second attempt to look and create nothing", n, len(w.Vertex.Jobs()))
			}
		}), lifecycle.Cancelling, []string{"reserved", "cancelling"}},
		"CANCELLING/DECLINED": {func(w *sim.World) {
			// The cancel arrives while the create is under way, which is then refused.
			w.Vertex.Admit = refuseJobs(func() error {
				w.Cancel("a")
				return &vertex.Error{Op: "create", Kind: vertex.Permanent, Code: 3}
			})
			w.Ask(oneCPU)
		}, lifecycle.Cancelled, []string{"reserved", "cancelling", "cancelled"}},
		"CANCELLING/DECLINED/UNCLEAR": {func(w *sim.World) {
			submitting(w)
			w.Vertex.Admit = refuseJobs(func() error {
				w.Cancel("a")
				return &vertex.Error{Op: "create", Kind: vertex.Permanent, Code: 3}
			})
			w.After(2 * time.Minute)
		}, lifecycle.Cancelling, []string{"reserved", "cancelling"}},
		"CANCELLING/GIVEN_UP": {do(lookingToCancel, pass(20*time.Minute), pass(20*time.Minute)), lifecycle.Cancelled, []string{"reserved", "cancelling", "cancelled"}},
		"RUNNING/REQUEUED": {do(running, func(w *sim.World) {
			if err := w.Controller.Operate(t.Context(), message.Delivery{ID: "op", Data: sim.Operation(message.Requeue, `"requestId":"a"`)}); err != nil {
				t.Errorf("the operator's message was not taken: %v", err)
			}
		}), lifecycle.Cancelling, []string{"reserved", "submitted", "started", "requeuing"}},
		"CANCELLING/GONE": {do(cancelling, gone), lifecycle.Cancelled, []string{"reserved", "submitted", "cancelling", "cancelled"}},
	}
	for state, word := range map[vertex.JobState]lifecycle.State{
		vertex.JobSucceeded: lifecycle.Succeeded, vertex.JobFailed: lifecycle.Failed,
		vertex.JobCancelled: lifecycle.Cancelled, vertex.JobExpired: lifecycle.Expired,
	} {
		for from, before := range map[lifecycle.State]struct {
			play   func(*sim.World)
			events []string
		}{
			lifecycle.Submitted:  {submitted, []string{"reserved", "submitted"}},
			lifecycle.Running:    {running, []string{"reserved", "submitted", "started"}},
			lifecycle.Cancelling: {cancelling, []string{"reserved", "submitted", "cancelling"}},
		} {
			row, _ := lifecycle.Find(from, lifecycle.Ended, string(word))
			s := stories[""]
			s.play, s.state, s.events = do(before.play, ends(state)), word, append(slices.Clone(before.events), row.Outcome)
			stories[rowName(row)] = s
		}
	}
	for _, row := range lifecycle.Table {
		story, ok := stories[rowName(row)]
		if !ok {
			t.Errorf("no story reaches row %s", rowName(row))
			continue
		}
		t.Run(rowName(row), func(t *testing.T) {
			w := behindHandlers(t)
			w.Config.Submitters = 1 // one call at a time: stories send messages, and so move the clock, between two
			w.Controller = w.Instance(w.Config)
			story.play(w)
			w.Expect("a", story.state, story.events...)
			if w.Rows[row] == 0 {
				t.Errorf("the story did not take its row; it took %v", w.Rows)
			}
		})
	}
}

func rowName(r lifecycle.Row) string {
	name := string(r.From) + "/" + string(r.Event)
	if r.Case != "" {
		name += "/" + r.Case
	}
	return name
}
