package controller

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

func (b *bench) record(key message.Key) (rec *ledger.Record) {
	b.Helper()
	if err := ledger.Read(b.Context(), b.mem, ledger.Records(key), func(tx ledger.Tx) { rec = tx.Record(key) }); err != nil {
		b.Fatal(err)
	}
	return rec
}

func (b *bench) budget() (budget *ledger.Budget) {
	b.Helper()
	if err := ledger.Read(b.Context(), b.mem, ledger.Budgets(regionOfTests), func(tx ledger.Tx) { budget = tx.Budget(regionOfTests) }); err != nil {
		b.Fatal(err)
	}
	return budget
}

// one writes a record of the tests and its resource, with its hold.
func (b *bench) one(s lifecycle.State, job string, change func(*ledger.Record, *ledger.Resource)) *ledger.Record {
	b.Helper()
	res, keys := b.records(s, 1)
	rec := b.record(keys[0])
	rec.Reservation.Job, rec.Open = job, s == lifecycle.Submitting || s == lifecycle.Cancelling && job == ""
	rec.TimerAt, rec.Times.Submitted, rec.LeasedAt = noon, noon.Add(-b.c.cfg.StartTimeout), noon
	res.Holds[rec.Key] = ledger.Hold{Ask: rec.Ask, Run: rec.Run, Tenant: rec.Tenant, Pending: s == lifecycle.Reserved}
	change(rec, res)
	put(b.T, b.mem, rec, nil)
	put(b.T, b.mem, nil, res)
	return b.record(rec.Key)
}

func as(*ledger.Record, *ledger.Resource) {}

// TestDeclined: what a refusal of each kind does to the request, to its resource and to
// the budget of its region.
func TestDeclined(t *testing.T) {
	const job13 = "it broke"
	for _, test := range []struct {
		name   string
		from   lifecycle.State
		kind   lifecycle.DeclineKind
		change func(*ledger.Record, *ledger.Resource)
		to     lifecycle.State
		why    reason.Code
		says   bool          // Vertex AI's error is stored
		region time.Duration // pause of the region
		pause  time.Duration // pause of the resource
		event  string
	}{
		{"for the rate", lifecycle.Submitting, lifecycle.Rate, as, lifecycle.Reserved, reason.RateLimited, false, 20 * time.Second, 0, ""},
		{"Berth itself", lifecycle.Submitting, lifecycle.Denied, as, lifecycle.Reserved, reason.SubmissionsDenied, false, 20 * time.Second, 0, "submissions_denied"},
		{"for now", lifecycle.Submitting, lifecycle.Transient, as, lifecycle.Waiting, reason.VertexDeclined, true, 0, 15 * time.Second, ""},
		{"the job", lifecycle.Submitting, lifecycle.Permanent, as, lifecycle.Failed, reason.VertexDeclined, true, 0, 0, ""},
		{"the job while it is cancelled", lifecycle.Cancelling, lifecycle.Permanent, as, lifecycle.Cancelled, reason.CancelRequested, true, 0, 0, ""},
		{"for now while it is cancelled", lifecycle.Cancelling, lifecycle.Transient, as, lifecycle.Cancelled, reason.CancelRequested, true, 0, 0, ""},
		{"for now, for too long", lifecycle.Submitting, lifecycle.Transient, func(r *ledger.Record, res *ledger.Resource) {
			res.SteadySince = noon.Add(-48 * time.Hour)
			r.Declined = ledger.Declined{Times: 9, Last: noon.Add(-time.Second), For: 24 * time.Hour}
		}, lifecycle.Failed, reason.VertexDeclined, true, 0, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			rec := b.one(test.from, "", func(r *ledger.Record, res *ledger.Resource) {
				r.Why = &reason.Problem{Code: reason.CancelRequested, Detail: "d"}
				test.change(r, res)
			})
			after, err := b.c.declined(t.Context(), rec, test.kind, &vertex.Error{Op: "create", Code: 9, Message: job13})
			if err != nil || after == nil {
				t.Fatalf("%v, %v", after, err)
			}
			stored := b.record(rec.Key)
			if stored.State != test.to || stored.Why == nil || stored.Why.Code != test.why {
				t.Errorf("it is %s because of %+v; want %s because of %s", stored.State, stored.Why, test.to, test.why)
			}
			if says := stored.JobError != nil; says != test.says || says && (stored.JobError.Code != 9 || stored.JobError.Message != job13) {
				t.Errorf("the error is %+v", stored.JobError)
			}
			if test.kind == lifecycle.Denied && !stored.DeniedAt.Equal(noon) {
				t.Errorf("it was denied at %v", stored.DeniedAt)
			}
			if got := b.pauseOfRegion(); got != test.region || b.c.slots.isPaused(regionOfTests) != (test.region > 0) {
				t.Errorf("the region pauses for %v, want %v", got, test.region)
			}
			res := b.resource()
			if got := max(0, res.NotBefore.Sub(noon)); got != test.pause {
				t.Errorf("the resource pauses for %v, want %v", got, test.pause)
			}
			if _, held := res.Holds[rec.Key]; held != test.to.Holds() {
				t.Errorf("it holds replicas: %v", held)
			}
			if strings.Contains(b.log.String(), `"submissions_denied"`) != (test.event != "") || !strings.Contains(b.log.String(), `"kind":"`+string(test.kind)+`"`) {
				t.Errorf("the log says %s", &b.log)
			}
		})
	}
}

func (b *bench) pauseOfRegion() time.Duration {
	if budget := b.budget(); budget != nil {
		return max(0, budget.NotBefore.Sub(noon))
	}
	return 0
}

// TestDeniedWhileOthersAreAccepted: the third time the denial is about the job.
func TestDeniedWhileOthersAreAccepted(t *testing.T) {
	for outdone, want := range map[int]lifecycle.State{1: lifecycle.Reserved, 2: lifecycle.Failed} {
		b := newBench(t)
		rec := b.one(lifecycle.Submitting, "", func(r *ledger.Record, _ *ledger.Resource) { r.DeniedAt, r.Outdone = noon.Add(-time.Minute), outdone })
		err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error {
			budget := budgetFor(tx, resourceOfTests)
			budget.ResumedAt = noon.Add(-time.Second)
			tx.Put(budget)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.c.declined(t.Context(), rec, lifecycle.Denied, &vertex.Error{Code: 7}); err != nil {
			t.Fatal(err)
		}
		if got := b.record(rec.Key); got.State != want || got.Outdone != outdone+1 || (got.JobError != nil) != (want == lifecycle.Failed) {
			t.Errorf("outdone %d times before: %s, %d times now, error %+v", outdone, got.State, got.Outdone, got.JobError)
		}
		if paused := b.pauseOfRegion() > 0; paused != (want == lifecycle.Reserved) {
			t.Errorf("outdone %d times before: the region pauses: %v", outdone, paused)
		}
	}
}

// TestRunTimer: what the timer of one record does, and when it is set anew.
func TestRunTimer(t *testing.T) {
	unheld := func(_ *ledger.Record, res *ledger.Resource) { res.Holds = nil }
	otherRun := func(r *ledger.Record, res *ledger.Resource) {
		res.Holds[r.Key] = ledger.Hold{Ask: r.Ask, Run: "r0"}
	}
	tick := DefaultConfig().Tick
	for _, test := range []struct {
		name    string
		from    lifecycle.State
		atAI    vertex.JobState // of the job at Vertex AI; "" for none
		fails   bool            // Vertex AI does not answer
		change  func(*ledger.Record, *ledger.Resource)
		to      lifecycle.State
		timer   time.Duration // from noon; -1 for any
		cancels int
		event   string
	}{
		{"not due", lifecycle.Submitted, vertex.JobPending, false, func(r *ledger.Record, _ *ledger.Resource) { r.TimerAt = noon.Add(time.Microsecond) }, lifecycle.Submitted, time.Microsecond, 0, ""},
		{"has not started", lifecycle.Submitted, vertex.JobPending, false, as, lifecycle.Cancelling, -1, 1, ""},
		{"has started meanwhile", lifecycle.Submitted, vertex.JobRunning, false, as, lifecycle.Running, -1, 0, ""},
		{"has ended meanwhile", lifecycle.Submitted, vertex.JobSucceeded, false, as, lifecycle.Succeeded, -1, 0, ""},
		{"cannot be observed", lifecycle.Submitted, vertex.JobRunning, true, as, lifecycle.Submitted, tick, 0, ""},
		{"is being cancelled", lifecycle.Cancelling, vertex.JobRunning, false, as, lifecycle.Cancelling, tick, 1, ""},
		{"has lost its hold", lifecycle.Reserved, "", false, unheld, lifecycle.Reserved, tick, 0, "hold_missing"},
		{"has another run's hold", lifecycle.Reserved, "", false, otherRun, lifecycle.Reserved, tick, 0, "hold_missing"},
		{"has lost its hold while submitting", lifecycle.Submitting, "", false, unheld, lifecycle.Submitting, tick, 0, "hold_missing"},
		{"has lost its hold and its job", lifecycle.Submitted, vertex.JobPending, false, unheld, lifecycle.Cancelling, -1, 1, ""},
		{"has waited too long", lifecycle.Waiting, "", false, func(r *ledger.Record, res *ledger.Resource) {
			r.Times.Received, res.Holds = noon.Add(-r.MaxWait), nil
		}, lifecycle.Expired, -1, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			job := ""
			if test.atAI != "" {
				job = b.ai.AddForeign(regionOfTests, "pool", capacity.Ask{{Shape: small, Replicas: 1}})
				b.ai.SetJob(job, test.atAI)
			}
			rec := b.one(test.from, job, test.change)
			if test.fails {
				b.ai.Fault = func(op, _ string) vertex.Fault {
					if op == "get" {
						return vertex.FailBefore
					}
					return vertex.NoFault
				}
			}
			if err := b.c.runTimer(t.Context(), rec.Key, &progress{tasks: newTasks(true)}); err != nil {
				t.Fatal(err)
			}
			after := b.record(rec.Key)
			if after.State != test.to || test.timer >= 0 && after.TimerAt.Sub(noon) != test.timer {
				t.Errorf("it is %s and due in %v; want %s, %v", after.State, after.TimerAt.Sub(noon), test.to, test.timer)
			}
			if got := b.ai.Calls()["cancel"]; got != test.cancels || b.ai.Calls()["create"] != 0 {
				t.Errorf("%d cancels and %d creates, want %d and none", got, b.ai.Calls()["create"], test.cancels)
			}
			if strings.Contains(b.log.String(), `"hold_missing"`) != (test.event != "") {
				t.Errorf("the log says %s", &b.log)
			}
		})
	}
	b := newBench(t)
	rec := recordIn(lifecycle.Reserved, "")
	rec.TimerAt = noon
	put(t, b.mem, rec, nil)
	if err := b.c.runTimer(t.Context(), rec.Key, &progress{tasks: newTasks(true)}); err != nil {
		t.Errorf("without the document of its resource: %v", err)
	}
	if res := b.resource(); res == nil || res.Holds[rec.Key].Run != rec.Run {
		t.Errorf("the document of its resource is not rebuilt: %+v", res)
	}
	if err := b.c.runTimer(t.Context(), "none", &progress{tasks: newTasks(true)}); err != nil {
		t.Errorf("a record that is gone: %v", err)
	}
}

// TestTokenOfARetry: another attempt takes a token of the allowance, else of the budget;
// in a pause its timer is the end of the pause, and after one it is excused.
func TestTokenOfARetry(t *testing.T) {
	for name, test := range map[string]struct {
		pause   pace.Backoff
		left    int
		ok      bool
		timer   time.Duration
		excused int
		uses    int // left of the allowance after it
		spent   bool
	}{
		"of the allowance": {pace.Backoff{}, 2, true, 0, 0, 1, false},
		"of the budget":    {pace.Backoff{}, 0, true, 0, 0, 0, true},
		"in a pause":       {pace.Backoff{NotBefore: noon.Add(7 * time.Second), Refusals: 1}, 2, false, 7 * time.Second, 0, 2, false},
		"after a pause":    {pace.Backoff{NotBefore: noon, Refusals: 1}, 2, true, 0, 1, 2, true},
	} {
		b := newBench(t)
		rec := b.one(lifecycle.Submitting, "", func(_ *ledger.Record, res *ledger.Resource) {
			res.Allowance = pace.Allowance{Left: test.left, Until: noon.Add(time.Minute)}
		})
		reads := ledger.Records(rec.Key).And(ledger.Resources(resourceOfTests), ledger.Budgets(regionOfTests))
		ok := false
		err := b.mem.Update(t.Context(), reads, func(tx ledger.Tx) error {
			budget := budgetFor(tx, resourceOfTests)
			budget.Backoff = test.pause
			tx.Put(budget)
			own := tx.Record(rec.Key)
			ok = b.c.takeForRetry(tx, tx.Resource(resourceOfTests), own)
			tx.Put(own)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		after := b.record(rec.Key)
		if ok != test.ok || after.Excused != test.excused || after.TimerAt.Sub(noon) != test.timer {
			t.Errorf("%s: %v, excused %d times, due in %v; want %+v", name, ok, after.Excused, after.TimerAt.Sub(noon), test)
		}
		if got := b.resource().Allowance.Left; got != test.uses {
			t.Errorf("%s: %d of the allowance left, want %d", name, got, test.uses)
		}
		if spent := len(b.budget().Grants) > 0; spent != test.spent || b.c.slots.isPaused(regionOfTests) != (test.excused > 0) {
			t.Errorf("%s: the budget is used: %v, paused %v", name, spent, b.c.slots.isPaused(regionOfTests))
		}
	}
}

// TestRefreshOnce: how many calls of Vertex AI the observation for a request costs, and
// what is known after it.
func TestRefreshOnce(t *testing.T) {
	maxAge := DefaultConfig().Policy.MaxAge
	for name, test := range map[string]struct {
		known  bool
		age    time.Duration
		there  bool
		fault  string // the call that fails
		gets   int    // of the resource
		lists  int
		gone   bool // Vertex AI knows no such resource and never did
		fails  bool
		stored string // state in the ledger after it
	}{
		"fresh":                    {true, maxAge, true, "", 0, 0, false, false, "OLD"},
		"stale":                    {true, maxAge + time.Microsecond, true, "", 1, 1, false, false, vertex.Running},
		"stale, and gone":          {true, maxAge + time.Microsecond, false, "", 1, 1, false, false, ledger.Absent},
		"stale, and no list":       {true, time.Hour, true, "live", 0, 1, false, true, "OLD"},
		"stale, and no answer":     {true, time.Hour, true, "resource", 1, 1, false, true, "OLD"},
		"not known":                {false, 0, true, "", 2, 1, false, false, vertex.Running},
		"not known, and not there": {false, 0, false, "", 1, 0, true, false, ""},
		"not known, and no answer": {false, 0, true, "resource", 1, 0, false, true, ""},
	} {
		b := newBench(t)
		if test.known {
			put(t, b.mem, nil, &ledger.Resource{Name: resourceOfTests, State: "OLD", ObservedAt: noon.Add(-test.age)})
		}
		if test.there {
			b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: noon})
		}
		b.ai.Fault = func(op, _ string) vertex.Fault {
			if op == test.fault {
				return vertex.FailBefore
			}
			return vertex.NoFault
		}
		l, err := b.c.refreshOnce(t.Context(), resourceOfTests)
		if calls := b.ai.Calls(); calls["resource"] != test.gets || calls["live"] != test.lists || l.unknown != test.gone || (err != nil) != test.fails {
			t.Errorf("%s: %d gets, %d lists, unknown %v, %v; want %+v", name, calls["resource"], calls["live"], l.unknown, err, test)
		}
		stored := ""
		if res := b.resource(); res != nil {
			stored = res.State
		}
		if stored != test.stored || !l.began.Equal(noon) {
			t.Errorf("%s: the ledger has it as %q, want %q", name, stored, test.stored)
		}
		if test.fails { // and is not asked for again at once
			before := b.ai.Calls()
			if _, err := b.c.refreshOnce(t.Context(), resourceOfTests); err == nil || b.ai.Calls()["resource"] != before["resource"] || b.ai.Calls()["live"] != before["live"] {
				t.Errorf("%s: it is asked for again, %v", name, err)
			}
		}
	}
}
