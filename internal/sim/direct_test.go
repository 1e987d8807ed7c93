package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

func request(id string) string { return `"requestId":"` + id + `"` }

// An operator has a request wait again: in each state that holds replicas, with its
// place kept and the operator as cause. Its next job has the whole start timeout.
func TestOperatorRequeues(t *testing.T) {
	for state, prepare := range map[lifecycle.State]func(*World){
		lifecycle.Submitted: func(*World) {},
		lifecycle.Running: func(w *World) {
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
			w.After(time.Minute)
		},
	} {
		w := New(t)
		w.Ask(Job{ID: "a", CPU: 4})
		order := w.Record("a").Order
		prepare(w)
		w.Now = w.Now.Add(50 * time.Minute)
		if w.State("a") != state {
			t.Fatalf("it is %s, want %s", w.State("a"), state)
		}
		answer := w.Operate(message.Requeue, request("a"))
		if answer.Type != message.Requeued || answer.Tenant != message.Operators || answer.Operator.RequestID != "a" || answer.Operator.Tenant != Tenant || answer.PersistentResource != Resource {
			t.Errorf("%s: it is answered %+v", state, answer)
		}
		last := w.Out.Last("a")
		if last.Type != message.Requeuing || last.Reason.Code != reason.RequeueRequested || last.Reason.Detail != "ann had it wait again as an operator: new drivers" {
			t.Errorf("%s: its event is %+v, %v", state, last, last.Reason)
		}
		if w.State("a") != lifecycle.Cancelling || w.Vertex.Calls()["cancel"] != 1 {
			t.Errorf("%s: it is %s, after %d cancels", state, w.State("a"), w.Vertex.Calls()["cancel"])
		}
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		w.After(time.Second)
		r := w.Record("a")
		if r.State != lifecycle.Submitted || r.Order != order || r.SentBack != 1 || r.Requeues != 0 || !slices.Equal(w.Out.Words("a")[len(w.Out.Words("a"))-3:], []string{"queued", "reserved", "submitted"}) {
			t.Errorf("%s: then it is %s at %s, sent back %d times, with %v", state, r.State, r.Order, r.SentBack, w.Out.Words("a"))
		}
		ticks(w, 59)
		if w.State("a") != lifecycle.Submitted {
			t.Errorf("%s: within the start timeout of its second job it is %s: %v", state, w.State("a"), w.Record("a").Why)
		}
	}
}

// One that waits for a submission slot gives its replicas back at once. One that waits,
// is being cancelled or has ended is refused, and so is one too many.
func TestOperatorRequeueStates(t *testing.T) {
	w := New(t)
	w.Config.Submissions = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "a", CPU: 2})
	w.Ask(Job{ID: "reserved", CPU: 1})
	w.Operate(message.Pause)
	if answer := w.Operate(message.Requeue, request("reserved")); answer.Type != message.Requeued {
		t.Errorf("RESERVED: %+v", answer)
	}
	w.Expect("reserved", lifecycle.Waiting, "reserved", "queued")
	refused := func(id string, action message.Action, code reason.Code, fields ...string) {
		t.Helper()
		if answer := w.Operate(action, append(fields, request(id))...); answer.Type != message.Refused || answer.Reason.Code != code || answer.Tenant != message.Operators || answer.Reason.Fix == "" {
			t.Errorf("%s of %s: %+v, %v", action, id, answer, answer.Reason)
		}
	}
	refused("reserved", message.Requeue, reason.WrongState)
	w.Operate(message.Requeue, request("a"))
	refused("a", message.Requeue, reason.WrongState)
	refused("a", message.Prioritise, reason.WrongState, `"front":true`)
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "requeuing", "succeeded")
	refused("a", message.Requeue, reason.AlreadyEnded)
	refused("a", message.CancelRequest, reason.AlreadyEnded)
	refused("none", message.Requeue, reason.NothingMatched)
	refused("reserved", message.Requeue, reason.NothingMatched, `"tenant":"other"`)
	w.Cancel("later")
	refused("later", message.CancelRequest, reason.NothingMatched)

	w = New(t)
	w.Ask(Job{ID: "a", CPU: 4})
	for n := range 21 {
		answer := w.Operate(message.Requeue, request("a"))
		if taken := answer.Type == message.Requeued; taken != (n < 20) {
			t.Fatalf("requeue %d is answered %s, %v", n+1, answer.Type, answer.Reason)
		}
		if n < 20 {
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
			w.After(time.Second)
		}
	}
	w.Expect("a", lifecycle.Submitted, w.Out.Words("a")...)
}

// An operator ends a request of any tenant, in any state, and a request that had only
// its message's id.
func TestOperatorCancels(t *testing.T) {
	w := New(t)
	other := func(id, data string) {
		t.Helper()
		if err := w.Controller.Handle(t.Context(), "other", message.Delivery{ID: id, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	w.Ask(Job{ID: "a", CPU: 1})
	other("m-a", string(Job{ID: "a", CPU: 3}.Body()))
	other("m-b", string(Job{CPU: 3}.Body()))
	answer := w.Operate(message.CancelRequest, `"tenant":"other"`, request("a"))
	if answer.Type != message.OperatorCancelling || answer.Operator.Tenant != "other" {
		t.Errorf("it is answered %+v", answer)
	}
	if w.Operate(message.CancelRequest, `"tenant":"other"`, `"messageId":"m-b"`).Type != message.OperatorCancelling {
		t.Error("one without an id is not cancelled")
	}
	if again := w.Operate(message.CancelRequest, `"tenant":"other"`, request("a")); again.Type != message.Refused || again.Reason.Code != reason.WrongState {
		t.Errorf("again: %+v", again)
	}
	w.Expect("a", lifecycle.Submitted, w.Out.Words("a")...) // the first tenant's
	states := map[string]lifecycle.State{}
	records, _ := stored(w.Ledger)
	for _, r := range records {
		if r.Tenant == "other" {
			states[r.ID] = r.State
			if r.Why.Code != reason.CancelRequested || r.Why.Detail != "ann cancelled it as an operator: new drivers" {
				t.Errorf("%s ends because of %v", r.ID, r.Why)
			}
		}
	}
	if want := map[string]lifecycle.State{"a": lifecycle.Cancelling, "m-b": lifecycle.Cancelled}; fmt.Sprint(states) != fmt.Sprint(want) {
		t.Errorf("the other tenant's are %v, want %v", states, want)
	}
}

// An operator gives waiting requests other places: the order changes at once, the event
// names the former priority, and prioritising back undoes it.
func TestOperatorPrioritises(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	for _, id := range []string{"a", "b", "c"} {
		w.Ask(Job{ID: id, CPU: 4})
	}
	inOrder := func(want ...string) {
		t.Helper()
		ids := []string{"a", "b", "c"}
		slices.SortFunc(ids, func(x, y string) int {
			return map[bool]int{true: -1, false: 1}[w.Record(x).Order < w.Record(y).Order]
		})
		if !slices.Equal(ids, want) {
			t.Errorf("the order is %v, want %v", ids, want)
		}
		w.CheckHolds()
	}
	before := w.Record("b").Order
	inOrder("a", "b", "c")
	answer := w.Operate(message.Prioritise, request("b"), `"priority":5`)
	if o := answer.Operator; answer.Type != message.Prioritised || *o.Priority != 5 || *o.FormerPriority != 0 || o.Front {
		t.Errorf("it is answered %+v", answer)
	}
	inOrder("b", "a", "c")
	if answer = w.Operate(message.Prioritise, request("c"), `"front":true`); *answer.Operator.Priority != 0 || *answer.Operator.FormerPriority != 0 || !answer.Operator.Front {
		t.Errorf("it is answered %+v", answer.Operator)
	}
	inOrder("b", "c", "a")
	w.Operate(message.Prioritise, request("a"), `"front":true`)
	inOrder("b", "a", "c") // the last comes first
	w.Operate(message.Prioritise, request("b"), `"priority":0`)
	inOrder("a", "c", "b")
	if r := w.Record("b"); r.Order != before || r.Priority != 0 {
		t.Errorf("undone, b is at %s, it was at %s", r.Order, before)
	}
	w.Operate(message.Prioritise, request("b"), `"priority":0`, `"front":true`)
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	w.After(time.Second)
	if w.State("b") != lifecycle.Submitted || w.State("a") != lifecycle.Waiting {
		t.Errorf("b is %s, a %s", w.State("b"), w.State("a"))
	}
}

// A request that fits starts at once when it is put first.
func TestOperatorPrioritisesWhatFits(t *testing.T) {
	w := New(t)
	w.Config.Policy.Plan.NoBackfill = true
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "runs", CPU: 2})
	w.Ask(Job{ID: "wide", CPU: 4})
	w.Ask(Job{ID: "narrow", CPU: 1})
	w.Expect("narrow", lifecycle.Waiting, "queued")
	w.Operate(message.Prioritise, request("narrow"), `"priority":1`)
	w.Expect("narrow", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// Each call of an operation on a request fails once, having done nothing or all of it.
// The message comes again, and in the end all is as if nothing had failed.
func TestOperationsOnRequestsSurviveEveryFault(t *testing.T) {
	type result struct {
		state    lifecycle.State
		priority int
		jobs     int
		answer   string
	}
	for action, want := range map[message.Action]result{
		message.CancelRequest: {lifecycle.Cancelled, 0, 1, "cancelling"},
		message.Requeue:       {lifecycle.Submitted, 0, 2, "requeued"},
		message.Prioritise:    {lifecycle.Waiting, 3, 0, "prioritised"},
	} {
		for strike := 1; ; strike++ {
			struck := false
			for _, after := range []bool{false, true} {
				s := newStory(t)
				if action == message.Prioritise {
					s.ask(Job{ID: "runs", CPU: 4})
				}
				s.ask(Job{ID: "a", CPU: 2})
				fields := []string{request("a")}
				if action == message.Prioritise {
					fields = append(fields, `"priority":3`)
				}
				s.calls, s.strike, s.after = 0, strike, after
				s.operate(action, fields...)
				struck = struck || s.calls >= strike
				s.strike = 0
				id := fmt.Sprintf("m%d", s.messages)
				s.ticks(2, time.Minute)
				for _, job := range s.Vertex.Jobs() {
					if job.State == vertex.JobCancelling {
						s.Vertex.SetJob(job.Name, vertex.JobCancelled)
					}
				}
				s.ticks(2, time.Minute)
				r := s.Record("a")
				jobs := 0
				for _, job := range s.Vertex.Jobs() {
					if job.Request == r.Key {
						jobs++
					}
				}
				if got := (result{r.State, r.Priority, jobs, fmt.Sprint(s.Out.Words(id))}); got != (result{want.state, want.priority, want.jobs, "[" + want.answer + "]"}) {
					t.Errorf("%s, call %d, done %v: %+v, want %+v", action, strike, after, got, want)
				}
				s.CheckHolds()
			}
			if !struck {
				break
			}
		}
	}
}
