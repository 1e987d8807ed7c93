package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// TestHint: what is made of the state that a job is found in, and what a hint asks for.
func TestHint(t *testing.T) {
	for _, test := range []struct {
		name   string
		from   lifecycle.State
		atAI   vertex.JobState // "" for a job that is gone
		change func(*ledger.Record, *ledger.Resource)
		fault  vertex.Fault
		to     lifecycle.State
		events string
		fails  bool
		cancel int
		runs   bool // a request that waits is started
	}{
		{"ended", lifecycle.Running, vertex.JobSucceeded, as, vertex.NoFault, lifecycle.Succeeded, "succeeded", false, 0, true},
		{"started", lifecycle.Submitted, vertex.JobRunning, as, vertex.NoFault, lifecycle.Running, "started", false, 0, false},
		{"as it was", lifecycle.Running, vertex.JobRunning, as, vertex.NoFault, lifecycle.Running, "", false, 0, false},
		{"gone", lifecycle.Running, "", as, vertex.NoFault, lifecycle.Running, "", false, 0, false},
		{"no answer", lifecycle.Running, vertex.JobSucceeded, as, vertex.FailBefore, lifecycle.Running, "", true, 0, false},
		{"of another run", lifecycle.Running, vertex.JobSucceeded, func(r *ledger.Record, res *ledger.Resource) {
			r.Run = "r9"
			res.Holds[r.Key] = ledger.Hold{Ask: r.Ask, Run: "r9"}
		}, vertex.NoFault, lifecycle.Running, "", false, 0, false},
		{"unnamed, and to be cancelled", lifecycle.Cancelling, vertex.JobRunning, func(r *ledger.Record, _ *ledger.Resource) { r.Reservation.Job, r.Open = "", true },
			vertex.NoFault, lifecycle.Cancelling, "", false, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			ours := func() string {
				job := b.create("a", "r1")
				if test.atAI == "" {
					b.ai.Delete(job)
				} else {
					b.ai.SetJob(job, test.atAI)
				}
				return job
			}()
			rec := b.one(test.from, ours, func(r *ledger.Record, res *ledger.Resource) {
				b.rename(r, res, "a")
				res.Pools = []capacity.Pool{poolOf(small, 1, 0, 0)}
				test.change(r, res)
			})
			waits := b.queue("w")
			b.ai.Fault = func(op, _ string) vertex.Fault {
				if op == "get" {
					return test.fault
				}
				return vertex.NoFault
			}
			if err := b.c.Hint(t.Context(), ours); (err != nil) != test.fails || test.fails && !strings.HasPrefix(err.Error(), "hint: get "+ours+": ") {
				t.Errorf("the error is %v", err)
			}
			if got := b.state(rec.Key); got != test.to {
				t.Errorf("it is %s, want %s", got, test.to)
			}
			var events []string
			for _, e := range b.out.events {
				if e.RequestID == "a" {
					events = append(events, e.Type.Word())
				}
			}
			if strings.Join(events, " ") != test.events || len(b.record(rec.Key).Unpublished()) != 0 {
				t.Errorf("events %v and %d unpublished, want %s", events, len(b.record(rec.Key).Unpublished()), test.events)
			}
			if calls := b.ai.Calls(); calls["cancel"] != test.cancel || calls["get"] != 1 {
				t.Errorf("calls %v, want one get and %d cancels", calls, test.cancel)
			}
			if s := b.state(waits); (s == lifecycle.Submitted) != test.runs {
				t.Errorf("the request that waits is %s", s)
			}
		})
	}
	b := newBench(t)
	b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running})
	foreign := b.ai.AddForeign(regionOfTests, "pool", capacity.Ask{{Shape: small, Replicas: 1}})
	before := b.mem.Stats()
	if err := b.c.Hint(t.Context(), foreign); err != nil || b.mem.Stats() != before {
		t.Errorf("a foreign job: %v, and the ledger is asked", err)
	}
	for range 100 {
		if err := b.c.Hint(t.Context(), foreign); err != nil {
			t.Error(err)
		}
	}
	if n := b.ai.Calls()["get"]; n != DefaultConfig().Polls/10 {
		t.Errorf("%d hints are followed at once, want a tenth of the calls of a minute", n)
	}
	later := noon.Add(600 * time.Millisecond) // a third of 300 calls a minute: one in 0.6 s
	b.c.env.Monotonic = func() time.Time { return later }
	for range 3 {
		_ = b.c.Hint(t.Context(), foreign)
	}
	if n := b.ai.Calls()["get"]; n != DefaultConfig().Polls/10+1 {
		t.Errorf("%d hints are followed in all", n)
	}
	if b.c.hinting.Load() != 0 {
		t.Errorf("%d hints are under way", b.c.hinting.Load())
	}
}

// create makes a job of ours at Vertex AI and returns its name.
func (b *bench) create(id, run string) string {
	b.Helper()
	rec := recordIn(lifecycle.Submitting, "")
	b.rename(rec, nil, id)
	rec.Run, rec.Spec = run, `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
	job, err := b.c.jobOf(rec)
	if err != nil {
		b.Fatal(err)
	}
	made, err := b.ai.Create(b.Context(), regionOfTests, job)
	if err != nil {
		b.Fatal(err)
	}
	return made.Name
}

// rename gives a record the key of another id, in the resource too.
func (b *bench) rename(r *ledger.Record, res *ledger.Resource, id string) {
	key := message.KeyOf("default", message.KindRequest, id)
	if res != nil {
		res.Holds[key] = res.Holds[r.Key]
		delete(res.Holds, r.Key)
	}
	r.ID, r.Key = id, key
}

// queue writes a request that waits for one machine.
func (b *bench) queue(id string) message.Key {
	b.Helper()
	rec := recordIn(lifecycle.Waiting, "")
	b.rename(rec, nil, id)
	rec.Run, rec.Attempt, rec.ActUntil, rec.MaxWait, rec.Timeout = "", 0, time.Time{}, time.Hour, time.Hour
	rec.Spec = `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
	rec.Order = ledger.OrderKey(0, noon, rec.Key)
	res := b.resource()
	res.Join(rec)
	put(b.T, b.mem, rec, nil)
	put(b.T, b.mem, nil, res)
	return rec.Key
}

// TestAlarms: an outage is logged once, after three failures in a row, and its end after
// ten good reconciles; it is logged again only an hour after its last failure.
func TestAlarms(t *testing.T) {
	b := newBench(t)
	now := noon
	b.c.env.Monotonic = func() time.Time { return now }
	region := "region " + regionOfTests
	said := func() (said string) {
		for line := range strings.Lines(b.log.String()) {
			switch {
			case strings.Contains(line, `"outage"`):
				said += "began "
			case strings.Contains(line, `"outage_over"`):
				said += "over "
			}
		}
		b.log.Reset()
		return strings.TrimSpace(said)
	}
	reconcile := func(n int, failing ...string) string {
		for range n {
			now = now.Add(time.Minute)
			errs := map[string]error{}
			for _, name := range failing {
				errs[name] = errors.New("it fails")
			}
			b.c.countOutage(t.Context(), errs)
		}
		return said()
	}
	for i, step := range []struct {
		n    int
		part string
		want string
	}{
		{2, region, ""}, {1, region, "began"}, {20, region, ""}, {9, "", ""}, {1, "", "over"}, {3, "", ""},
		{5, region, ""},                            // within the hour: not again
		{9, "", ""}, {1, "", "over"}, {60, "", ""}, // after an hour it is forgotten
		{2, region, ""}, {1, region, "began"},
		{10, "", "over"}, {51, "", ""},
		{2, region, ""}, {10, "", ""}, {2, region, ""}, {1, region, "began"}, // ten good ones in between: counted anew
	} {
		var failing []string
		if step.part != "" {
			failing = []string{step.part}
		}
		if got := reconcile(step.n, failing...); got != step.want {
			t.Errorf("step %d, %d of %q: %q is logged, want %q", i, step.n, step.part, got, step.want)
		}
	}
	reconcile(2, "events", "timers waiting in "+regionOfTests, "timers", region)
	b.log.Reset()
	b.c.countOutage(t.Context(), map[string]error{"events of k": errors.New("no topic"), "resource " + resourceOfTests: errors.New("no list"), "timers": errors.New("no query")})
	if log := b.log.String(); !strings.Contains(log, `"parts":"events, ledger"`) || !strings.Contains(log, `"error":"no topic"`) {
		t.Errorf("three parts: %s", log)
	}
	for part, want := range map[string]string{
		"events": "events", "events of x": "events", "timers": "ledger", "resources": "ledger", "ledger": "ledger",
		region: regionOfTests, "timers waiting in " + regionOfTests: regionOfTests, "resource " + resourceOfTests: regionOfTests,
	} {
		if got := subject(part); got != want {
			t.Errorf("an error of %q is about %q, want %q", part, got, want)
		}
	}
}

// TestMovesOfARun: a run that is over is remembered, the last eight of them; a request that
// goes back keeps nothing of its job.
func TestMovesOfARun(t *testing.T) {
	b := newBench(t)
	b.c.env.NewRun = func() string { return "rx" }
	rec := b.one(lifecycle.Reserved, "", as)
	var want []string
	for i := range 12 {
		run := fmt.Sprint("run", i)
		want = append(want, run)
		rec = b.record(rec.Key)
		rec.PastRuns, rec.Run, rec.State = slices.Clone(want[max(0, i-8):i]), run, lifecycle.Reserved
		rec.Again, rec.JobState, rec.JobError = true, "PENDING", &message.JobError{Code: 1}
		rec.Times.JobStarted, rec.Times.JobEnded, rec.StartBy = noon, noon, noon.Add(time.Hour)
		res := b.resource()
		res.Holds = map[message.Key]ledger.Hold{rec.Key: {Ask: rec.Ask, Run: run, Pending: true}}
		put(t, b.mem, rec, res)
		b.update(rec, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) {
			if e := b.c.move(t.Context(), tx, res, rec, lifecycle.Withdraw(), nil); e != lifecycle.Moved {
				t.Fatalf("it is not withdrawn: %v", e)
			}
		})
		after := b.record(rec.Key)
		if got := after.PastRuns; !slices.Equal(got, want[max(0, i-7):]) {
			t.Errorf("after %d runs these are remembered: %v", i+1, got)
		}
		if after.JobState != "" || after.JobError != nil || !after.Times.JobStarted.IsZero() || !after.Times.JobEnded.IsZero() || !after.StartBy.IsZero() {
			t.Errorf("it waits with what was its job's: %+v", after)
		}
		if !after.Times.Queued.Equal(noon) || after.Class == "" || b.resource().Queue.Waiting() != 1 {
			t.Errorf("it waits from %v in class %q", after.Times.Queued, after.Class)
		}
		res = b.resource()
		res.Queue = nil
		put(t, b.mem, nil, res)
	}
}

// update runs a closure on a record and its resource, and puts both.
func (b *bench) update(rec *ledger.Record, do func(ledger.Tx, *ledger.Resource, *ledger.Record)) {
	b.Helper()
	reads := ledger.Records(rec.Key).And(ledger.Resources(resourceOfTests), ledger.Budgets(regionOfTests))
	err := b.mem.Update(b.Context(), reads, func(tx ledger.Tx) error {
		res, rec := tx.Resource(resourceOfTests), tx.Record(rec.Key)
		do(tx, res, rec)
		tx.Put(res)
		tx.Put(rec)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// TestStamps: each state has its moment, and a second one of SUBMITTED keeps the first.
func TestStamps(t *testing.T) {
	at := noon.Add(time.Hour)
	for _, s := range lifecycle.States {
		rec := &ledger.Record{}
		rec.State = s
		stamp(rec, at)
		got := map[lifecycle.State]time.Time{lifecycle.Waiting: rec.Times.Queued, lifecycle.Reserved: rec.Times.Reserved, lifecycle.Submitted: rec.Times.Submitted, lifecycle.Running: rec.Times.Started}
		for state, moment := range got {
			if moment.Equal(at) != (state == s) {
				t.Errorf("in %s the moment of %s is %v", s, state, moment)
			}
		}
		if rec.Times.Ended.Equal(at) != s.Terminal() {
			t.Errorf("in %s it ended at %v", s, rec.Times.Ended)
		}
	}
	rec := &ledger.Record{}
	rec.State, rec.Times.Submitted = lifecycle.Submitted, noon
	if stamp(rec, at); !rec.Times.Submitted.Equal(noon) {
		t.Errorf("submitted at %v, want the first time", rec.Times.Submitted)
	}
}

// TestClip bounds the text of an error, at a whole character.
func TestClip(t *testing.T) {
	for text, want := range map[string]string{
		"short": "short", strings.Repeat("x", maxError): strings.Repeat("x", maxError),
		strings.Repeat("x", maxError+1): strings.Repeat("x", maxError) + "...", strings.Repeat("x", maxError-1) + "é": strings.Repeat("x", maxError-1) + "...",
	} {
		if got := clip(text); got != want {
			t.Errorf("%d bytes become %d: ...%q", len(text), len(got), got[max(0, len(got)-5):])
		}
	}
}

// TestBesideALeftHold: a request whose earlier run still holds replicas waits for them,
// whatever is free.
func TestBesideALeftHold(t *testing.T) {
	b := newBench(t)
	b.records(lifecycle.Running, 1)
	key := b.queue("w")
	res := b.resource()
	res.Holds[key] = ledger.Hold{Ask: capacity.Ask{{Shape: small, Replicas: 1}}, Run: "r0"}
	put(t, b.mem, nil, res)
	p := &progress{tasks: newTasks(true)}
	if _, err := b.c.schedule(t.Context(), resourceOfTests, nil, p); err != nil {
		t.Fatal(err)
	}
	rec := b.record(key)
	if rec.State != lifecycle.Waiting || rec.Why.Code != reason.Full || rec.Why.Detail != "Replicas are still held for an earlier run of this request; it starts when they are given back." ||
		p.Started != 0 || b.ai.Calls()["create"] != 0 || b.resource().Holds[key].Run != "r0" {
		t.Errorf("it is %s because of %+v, %d started, hold %+v", rec.State, rec.Why, p.Started, b.resource().Holds[key])
	}
	b.update(rec, func(_ ledger.Tx, res *ledger.Resource, _ *ledger.Record) { res.Release(key) })
	if _, err := b.c.schedule(t.Context(), resourceOfTests, nil, p); err != nil || b.state(key) != lifecycle.Reserved || p.Started != 1 || b.resource().Holds[key].Run == "r0" {
		t.Errorf("once they are given back it is %s, %d started, %v", b.state(key), p.Started, err)
	}
}

// TestNoSlotIsAskedForTwice: an instance that knows when the next token comes free reads
// nothing before, and never waits for longer than a tick.
func TestNoSlotIsAskedForTwice(t *testing.T) {
	for name, test := range map[string]struct {
		used  time.Duration // when the last token was used
		pause time.Duration
		until time.Duration
	}{
		"used a while ago": {-40 * time.Second, 0, 20 * time.Second},
		"used just now":    {0, 0, time.Minute},
		"in a long pause":  {-40 * time.Second, time.Hour, time.Minute},
		"in a short one":   {-50 * time.Second, 5 * time.Second, 10 * time.Second},
	} {
		b := newBench(t)
		now := noon
		b.c.env.Monotonic = func() time.Time { return now }
		b.c.cfg.Submissions, b.c.pace.PerMinute = 1, 1
		keys := b.reserved(1, func(*ledger.Resource, []message.Key) {})
		err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error {
			budget := budgetFor(tx, resourceOfTests)
			budget.Grants = []pace.Grant{{Tokens: 1, Until: noon.Add(test.used)}}
			if test.pause > 0 {
				budget.Backoff = pace.Backoff{NotBefore: noon.Add(test.pause), Refusals: 1}
			}
			tx.Put(budget)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.c.rulebook(t.Context()); err != nil { // read as the request came in
			t.Fatal(err)
		}
		rec, before := b.record(keys[0]), b.mem.Stats()
		if err := b.c.requestSlot(t.Context(), rec); err != nil || b.mem.Stats().Reads != before.Reads+1 || b.mem.Stats().Commits != before.Commits {
			t.Errorf("%s: %v, reads %d", name, err, b.mem.Stats().Reads-before.Reads)
		}
		now = noon.Add(test.until - time.Nanosecond)
		before = b.mem.Stats()
		if err := b.c.requestSlot(t.Context(), rec); err != nil || b.mem.Stats() != before {
			t.Errorf("%s: asked again before %v", name, test.until)
		}
		now = noon.Add(test.until)
		if err := b.c.requestSlot(t.Context(), rec); err != nil || b.mem.Stats() == before {
			t.Errorf("%s: not asked again at %v", name, test.until)
		}
		b.c.slots.pause(regionOfTests, false) // Vertex AI has accepted a job: whatever was known is over
		if b.c.slots.noneLeft(regionOfTests, noon) {
			t.Errorf("%s: after a pause", name)
		}
	}
}

// TestLeasesWriteWhatChanged: a lease writes the resource only if its holds or its
// allowance change, and gives an allowance only to a resource that is alone.
func TestLeasesWriteWhatChanged(t *testing.T) {
	for _, test := range []struct {
		name string
		take int  // reservations of three
		more bool // and an allowance if tokens are left
		docs int  // written
		left int  // of the allowance
	}{
		{"none", 0, false, 1, 0},
		{"none, with an allowance that is not due", 0, true, 1, 0},
		{"one", 1, true, 3, 0},
		{"all, of several resources", 3, false, 5, 0},
		{"all, of one resource", 3, true, 5, 10},
	} {
		b := newBench(t)
		keys := b.reserved(3, func(*ledger.Resource, []message.Key) {})
		var recs []*ledger.Record
		for _, key := range keys[:test.take] {
			recs = append(recs, b.record(key))
		}
		before := b.mem.Stats()
		moved, err := b.c.leaseSlots(t.Context(), resourceOfTests, recs, "", true, test.more)
		after := b.mem.Stats()
		if err != nil || len(moved) != test.take || after.DocsWritten-before.DocsWritten != test.docs || after.Commits != before.Commits+1 {
			t.Errorf("%s: %d moved, %d documents in %d commits, %v; want %d and %d in one", test.name, len(moved), after.DocsWritten-before.DocsWritten, after.Commits-before.Commits, err, test.take, test.docs)
		}
		if got := b.resource(); got.Allowance.Left != test.left || got.Pending() != 3-test.take {
			t.Errorf("%s: allowance %d, %d pending", test.name, got.Allowance.Left, got.Pending())
		}
	}
}

// TestOneReservationIsDispatched: a pass gives the only reservation of a region its slot.
func TestOneReservationIsDispatched(t *testing.T) {
	b := newBench(t)
	keys := b.reserved(1, func(*ledger.Resource, []message.Key) {})
	b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: noon.Add(-time.Hour), Pools: []capacity.Pool{poolOf(small, 100, 0, 0)}})
	p := &progress{tasks: newTasks(true)}
	err := b.c.passRegion(t.Context(), regionOfTests, []*ledger.Resource{b.resource()}, map[string]bool{resourceOfTests: true}, func() time.Time { return noon }, p)
	if rec := b.record(keys[0]); err != nil || rec.State == lifecycle.Reserved || p.Pending != 0 {
		t.Errorf("it is %s, %d pending, %v", rec.State, p.Pending, err)
	}
}

// TestRefusedWithoutAPause: only a request that is parked marks its resource as one with
// parked requests, which costs every later observation a query.
func TestRefusedWithoutAPause(t *testing.T) {
	for name, test := range map[string]struct {
		alone  int
		parked bool
	}{"while none is accepted": {0, false}, "while others are accepted": {1, true}} {
		b := newBench(t)
		rec := b.one(lifecycle.Submitting, "", func(r *ledger.Record, res *ledger.Resource) {
			res.SteadySince = noon.Add(-48 * time.Hour)
			r.Declined = ledger.Declined{Times: 2, Last: noon.Add(-time.Minute), Alone: test.alone}
		})
		if _, err := b.c.declined(t.Context(), rec, lifecycle.Transient, &vertex.Error{Op: "create", Code: 9, Kind: vertex.Transient}); err != nil {
			t.Fatal(err)
		}
		after, res := b.record(rec.Key), b.resource()
		if after.State != lifecycle.Waiting || after.Parked != test.parked || res.HasParked != test.parked || after.RetryAt.IsZero() == test.parked {
			t.Errorf("%s: parked %v until %v, the resource says %v", name, after.Parked, after.RetryAt, res.HasParked)
		}
		if paused := res.NotBefore.After(noon); paused == test.parked {
			t.Errorf("%s: the resource pauses: %v", name, paused)
		}
	}
}

// A readLog notes what updates read, and which may begin on what was written last.
type readLog struct {
	*ledger.Mem
	lines []string
}

func (l *readLog) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	kinds := map[ledger.Kind]int{}
	for _, ref := range reads {
		kinds[ref.Kind]++
	}
	line := ""
	for _, k := range ledger.Kinds() {
		if kinds[k] > 0 {
			line += fmt.Sprintf("%s %d ", k, kinds[k])
		}
	}
	if ledger.HintsOf(hints).Recent {
		line += "recent"
	}
	l.lines = append(l.lines, strings.TrimSpace(line))
	return l.Mem.Update(ctx, reads, closure, hints...)
}

// TestWhatUpdatesRead: an update that reads a document conflicts with every other write of
// it, so each reads only what it needs; the moves of a submission begin on what the
// instance has written just before.
func TestWhatUpdatesRead(t *testing.T) {
	b := newBench(t)
	l := &readLog{Mem: b.mem}
	b.c.ledger, b.c.grouped = l, ledger.NewGroup(l)
	b.records(lifecycle.Running, 0)
	b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: noon.Add(-time.Hour), Pools: []capacity.Pool{poolOf(small, 100, 0, 0)}})
	b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1"}, "pool"
	said := func() string {
		defer func() { l.lines = nil }()
		return strings.Join(l.lines, "; ")
	}
	body := func(id string) []byte {
		return []byte(`{"requestId":"` + id + `","job":{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1","containerSpec":{"imageUri":"i"}}]}}}`)
	}
	handle := func(id string, data []byte) {
		t.Helper()
		if err := b.c.Handle(t.Context(), "default", message.Delivery{ID: id, PublishTime: noon, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what, want string) {
		t.Helper()
		if got := said(); got != want {
			t.Errorf("%s reads\n%s\nwant\n%s", what, got, want)
		}
	}
	handle("m1", body("a"))
	expect("the first request of a tick, without an allowance", "policies 1 pauses 1; resources 1 requests 1; requests 1 recent; resources 1 budgets 1; resources 1 requests 1 budgets 1; requests 1 recent; requests 1 recent")
	handle("m2", body("b"))
	expect("a request with an allowance", "resources 1 requests 1; requests 1 recent; requests 1 recent")
	handle("m2", body("b"))
	expect("a duplicate", "resources 1 requests 1")
	handle("m3", []byte(`{"cancel":{"requestId":"b"}}`))
	expect("a cancel", "requests 3; requests 1 recent")
	handle("m4", []byte(`{"cancel":{"requestId":"none"}}`))
	expect("a cancel of nothing", "requests 3; requests 1 recent")
	handle("m5", []byte(`{`))
	expect("a message that is none", "requests 1; requests 1 recent")
	rec := b.record(message.KeyOf("default", message.KindRequest, "a"))
	b.ai.SetJob(rec.Reservation.Job, vertex.JobSucceeded)
	if err := b.c.Hint(t.Context(), rec.Reservation.Job); err != nil {
		t.Fatal(err)
	}
	expect("the end of a job", "requests 1; resources 1 requests 1; requests 1 recent; resources 1")
	b.c.unanswered(t.Context(), rec)
	expect("a create without an answer", "resources 1 budgets 1")
	b.c.resumed(t.Context(), regionOfTests)
	expect("the first create that is accepted after it", "budgets 1")
	b.c.resumed(t.Context(), regionOfTests)
	expect("the next", "")
}
