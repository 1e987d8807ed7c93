package sim

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

func init() { maps.Copy(stories, moreStories) }

func lasts(d string) map[string]any {
	return map[string]any{"scheduling": map[string]any{"timeout": d}}
}

// moreStories are walks through plans, run times, outages and faults by hand.
var moreStories = map[string]func(*story){
	"latest-starts": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 3, Spec: lasts("7200s")})
		s.ask(Job{ID: "wide", CPU: 4, Spec: lasts("3600s")})
		s.ask(Job{ID: "behind", CPU: 1, Spec: lasts("36000s")})
		s.ask(Job{ID: "passes", CPU: 1, Spec: lasts("3600s")})
		s.ticks(2, time.Minute)
		s.ask(Job{ID: "beforeall", CPU: 3, Priority: 9, Spec: lasts("3600s")})
		s.ticks(3, time.Minute)
		s.runs("passes", vertex.JobSucceeded)
		s.runs("runs", vertex.JobRunning)
		s.ticks(2, time.Minute)
		s.tick(130 * time.Minute)
		s.ticks(2, 2*time.Minute)
		s.runs("runs", vertex.JobSucceeded)
		s.ticks(3, time.Minute)
	},
	"requeued-while-it-runs": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 3, Spec: lasts("7200s")})
		s.runs("runs", vertex.JobRunning)
		s.tick(time.Minute)
		s.operate(message.Requeue, `"requestId":"runs"`)
		s.runs("runs", vertex.JobCancelled)
		s.ticks(2, time.Minute)
	},
	"gives-way": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 3, Spec: lasts("7200s")})
		s.ask(Job{ID: "wide", CPU: 4})
		s.ask(Job{ID: "passes", CPU: 1, Spec: lasts("9000s")})
		s.runs("runs", vertex.JobRunning)
		s.runs("passes", vertex.JobPending)
		s.ticks(6, 5*time.Minute)
		s.runs("passes", vertex.JobCancelled)
		s.ticks(2, time.Minute)
		s.runs("runs", vertex.JobSucceeded)
		s.tick(time.Minute)
	},
	"run-times-are-learned": func(s *story) {
		for i, ran := range []time.Duration{10 * time.Minute, 12 * time.Minute, 20 * time.Minute} {
			id := fmt.Sprint("old", i)
			s.ask(Job{ID: id, Name: "train", CPU: 1, Spec: lasts("36000s")})
			s.runs(id, vertex.JobRunning)
			s.tick(time.Minute)
			s.tick(ran)
			s.runs(id, map[int]vertex.JobState{0: vertex.JobSucceeded, 1: vertex.JobFailed, 2: vertex.JobSucceeded}[i])
			s.tick(time.Minute)
		}
		s.ask(Job{ID: "full", Name: "other", CPU: 4, Spec: lasts("3600s")})
		s.ask(Job{ID: "long", Name: "other", CPU: 1, Spec: lasts("18000s")})
		s.ask(Job{ID: "new", Name: "train", CPU: 1, Spec: lasts("36000s")})
		s.ask(Job{ID: "dry", Name: "train", CPU: 1, DryRun: true})
		s.step("the history cannot be read")
		s.Ledger.Spoil(ledger.HistoryRef(Tenant), "it has layout 9")
		s.Now = s.Now.Add(10 * time.Minute)
		s.ask(Job{ID: "late", Name: "train", CPU: 1, Spec: lasts("36000s")})
		s.runs("full", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.Ledger.Heal(ledger.HistoryRef(Tenant))
		s.runs("new", vertex.JobRunning)
		s.tick(time.Minute)
		s.cancel("new")
		s.runs("new", vertex.JobCancelled)
		s.ticks(2, time.Minute)
	},
	"an-outage": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 4})
		s.fail("vertex live", vertex.FailBefore, nil)
		s.fail("ledger query", ledger.FailRead, func(string) bool { return s.calls%3 == 0 })
		s.fail("publish", vertex.FailBefore, nil)
		s.runs("a", vertex.JobSucceeded)
		s.ticks(4, time.Minute)
		s.ask(Job{ID: "c", GPU: 1})
		s.works("vertex live")
		s.works("ledger query")
		s.ticks(2, time.Minute)
		s.works("publish")
		s.ticks(11, time.Minute)
	},
	"reserved-and-lost": func(s *story) {
		s.Config.Submissions = 1
		s.Controller = s.Instance(s.Config)
		s.ask(Job{ID: "first", CPU: 1})
		s.ask(Job{ID: "pool", CPU: 2, MaxWait: "1200s"})
		s.ask(Job{ID: "gpu", GPU: 2, MaxWait: "1200s"})
		s.ask(Job{ID: "cancelled", CPU: 1})
		s.cancel("cancelled")
		s.step("the cpu pool goes")
		s.SetPools(vertex.Running, capacity.Pool{ID: "gpu", Shape: GPU, Count: 2})
		s.ticks(3, 30*time.Second)
		s.step("creates are refused for the rate")
		s.declines(vertex.RateLimited, codes.ResourceExhausted, func() bool { return true })
		s.ticks(4, 8*time.Minute)
	},
	"creates-unanswered-for-long": func(s *story) {
		s.fail("vertex create", vertex.FailBefore, nil)
		s.ask(Job{ID: "a", CPU: 1})
		s.ticks(10, 5*time.Minute)
		s.works("vertex create")
		s.ticks(4, 5*time.Minute)
	},
	"repair-by-hand": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		s.runs("a", vertex.JobRunning)
		s.runs("b", vertex.JobRunning)
		s.tick(time.Minute)
		key := message.KeyOf(Tenant, message.KindRequest, "a")
		s.step("a hold for another run")
		s.edit(func(r *ledger.Resource) {
			h := r.Holds[key]
			h.Run = "r9"
			r.Holds[key] = h
			r.Recompute()
		})
		s.ticks(2, time.Minute)
		s.step("the record of b is deleted")
		s.Ledger.Spoil(ledger.RecordRef(message.KeyOf(Tenant, message.KindRequest, "b")), "it is lost")
		s.runs("a", vertex.JobSucceeded)
		s.ticks(9, time.Minute)
	},
	"names-that-are-not-there": func(s *story) {
		for i := range 8 {
			s.ask(Job{ID: fmt.Sprint("n", i), CPU: 1, Resource: "made-up"})
		}
		s.ask(Job{ID: "dry", CPU: 1, Resource: "made-up", DryRun: true})
		s.ask(Job{ID: "other", CPU: 1, Resource: "other"})
		s.step("it is made")
		s.Vertex.SetResource(Parent+"/persistentResources/made-up", vertex.Resource{State: vertex.Running, CreateTime: s.Now, Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 1}}})
		s.Now = s.Now.Add(11 * time.Second)
		s.ask(Job{ID: "taken", CPU: 1, Resource: "made-up"})
		s.fail("vertex resource", vertex.FailBefore, nil)
		s.ask(Job{ID: "unclear", CPU: 1, Resource: "unclear"})
		s.ask(Job{ID: "dry2", CPU: 1, Resource: "unclear", DryRun: true})
	},
	"cancels-by-message": func(s *story) {
		s.send("a request without an id", strings.Replace(string(Job{CPU: 1}.Body()), "{", `{"priority":1,`, 1))
		s.send("its cancel", `{"cancel":{"messageId":"m1","reason":"no need of it"}}`)
		s.step("its cancel again")
		s.deliverAs("m2", []byte(`{"cancel":{"messageId":"m1","reason":"no need of it"}}`))
		s.send("by a request id", `{"cancel":{"requestId":"m1"}}`)
		s.send("of a message to come", `{"cancel":{"messageId":"m5"}}`)
		s.send("it comes", string(Job{CPU: 1}.Body()))
		s.Vertex.SetJob(s.Vertex.Jobs()[0].Name, vertex.JobCancelled)
		s.tick(time.Minute)
		s.send("of what has ended", `{"cancel":{"messageId":"m1"}}`)
	},
	"a-handler-that-crashes": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.once("publish", vertex.FailAfter)
		s.ask(Job{ID: "a", CPU: 1})
		s.once("vertex create", vertex.FailAfter)
		s.ask(Job{ID: "g", GPU: 1})
		s.once("ledger commit", ledger.LoseAnswerAndCheck)
		s.ask(Job{ID: "h", GPU: 1})
		s.step("an instance whose clock is ahead makes the next pass")
		_, _ = s.Skewed(10*time.Second).Reconcile(context.Background(), "tick", time.Second)
		s.ticks(4, 40*time.Second)
	},
	"polls-while-requests-wait": func(s *story) {
		s.Config.Polls = 12
		s.Controller = s.Instance(s.Config)
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "waits", CPU: 1})
		s.step("a tick of 20 s")
		r, err := s.Controller.Reconcile(context.Background(), "tick", 20*time.Second)
		s.line("pass %s%s", nonZero(r), errorOf(err))
		s.runs("runs", vertex.JobSucceeded)
		s.step("a tick of 50 s")
		r, err = s.Controller.Reconcile(context.Background(), "tick", 50*time.Second)
		s.line("pass %s%s", nonZero(r), errorOf(err))
	},
	"denied-beside-others": func(s *story) {
		n := 0
		s.declines(vertex.Denied, codes.PermissionDenied, func() bool { n++; return n%2 == 1 })
		for _, id := range []string{"a", "b", "c"} {
			s.ask(Job{ID: id, CPU: 1})
		}
		s.ticks(12, 45*time.Second)
	},
	"parked-and-decided-again": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		for i := range 3 {
			s.ask(Job{ID: fmt.Sprint("wide", i), CPU: 3, MaxWait: "90000s"})
		}
		s.ask(Job{ID: "gpu", GPU: 4})
		s.ask(Job{ID: "gpu2", GPU: 3})
		s.pools(vertex.Running, 2, 2)
		s.ticks(2, time.Minute)
		s.cancel("wide1")
		s.pools(vertex.Running, 2, 3)
		s.ticks(2, time.Minute)
		s.step("the resource is deleted")
		s.Vertex.SetResource(Resource, vertex.Resource{})
		s.runs("runs", vertex.JobCancelled)
		if job := s.Record("gpu2").Reservation.Job; job != "" {
			s.Vertex.SetJob(job, vertex.JobCancelled)
		}
		s.ticks(12, time.Minute)
		s.pools(vertex.Running, 4, 4)
		s.ticks(3, 3*time.Minute)
		if s.State("wide0") == lifecycle.Waiting {
			s.tick(26 * time.Hour)
		}
	},
	// What is recorded is done although the call for it fails: passes make it again, and
	// the log says of which request it is.
	"operators-while-cancels-fail": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		s.ask(Job{ID: "waits", CPU: 4})
		s.fail("vertex cancel", vertex.FailBefore, nil)
		s.operate(message.CancelRequest, `"requestId":"a"`)
		s.operate(message.Requeue, `"requestId":"b"`)
		s.tick(time.Minute)
		s.works("vertex cancel")
		s.tick(time.Minute)
		s.runs("a", vertex.JobCancelled)
		s.runs("b", vertex.JobCancelled)
		s.ticks(2, time.Minute)
	},
	// The jobs of others end although one record cannot be read, and nothing of that one is
	// freed before it can.
	"an-unreadable-record-among-others": func(s *story) {
		for _, id := range []string{"a", "b", "c"} {
			s.ask(Job{ID: id, CPU: 1})
			s.runs(id, vertex.JobRunning)
		}
		s.step("the record of b cannot be read, and all jobs end")
		doc := ledger.Ref{Kind: ledger.KindRecord, Name: string(message.KeyOf(Tenant, message.KindRequest, "b"))}
		s.Ledger.Spoil(doc, "it has layout 9")
		for _, j := range s.Vertex.Jobs() {
			s.Vertex.SetJob(j.Name, vertex.JobSucceeded)
		}
		s.ticks(2, time.Minute)
		s.step("it can be read again")
		s.Ledger.Heal(doc)
		s.ticks(2, time.Minute)
	},
	// More requests wait than one update notifies; the next goes on behind the last of them.
	"a-condition-of-many": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		for i := range 23 {
			s.ask(Job{ID: fmt.Sprintf("w%02d", i), CPU: 1})
		}
		s.pools("REBOOTING", 4, 2)
		s.ticks(2, time.Minute)
		s.pools(vertex.Running, 4, 2)
		s.tick(time.Minute)
	}, // A tenant that borrows gives a share back, caps and bounds hold, and tenants are paused.
	"shares-and-pauses-of-tenants": func(s *story) {
		s.pools(vertex.Running, 4, 2)
		s.apply(quotasOfTwo)
		for i := range 5 {
			s.askOf("guest", within(fmt.Sprint("g", i), 1, "3600s"))
		}
		s.askOf("busy", within("b0", 1, "3600s"))
		s.askOf("busy", within("b1", 1, "3600s"))
		s.askOf("owner", within("o0", 1, "36000s"))
		s.askOf("guest", within("wide", 4, "3600s"))
		s.step("all jobs run, and one ends")
		s.runAll()
		s.Vertex.SetJob(s.Vertex.Jobs()[0].Name, vertex.JobSucceeded)
		s.ticks(2, time.Minute)
		s.operate(message.Pause, `"tenant":"guest"`)
		s.askOf("guest", within("late", 1, "600s"))
		for _, j := range s.Vertex.Jobs() {
			s.Vertex.SetJob(j.Name, vertex.JobSucceeded)
		}
		s.ticks(2, time.Minute)
		s.operate(message.Resume, `"tenant":"guest"`)
		s.ticks(2, time.Minute)
	},
}

// askOf publishes a request of some tenant.
func (s *story) askOf(tenant string, j Job) {
	s.Helper()
	s.keys[string(message.KeyOf(tenant, message.KindRequest, j.ID))] = "<" + tenant + " " + j.ID + ">"
	s.step("request %s of %s: cpu %d", j.ID, tenant, j.CPU)
	s.askAs(tenant, j)
}
