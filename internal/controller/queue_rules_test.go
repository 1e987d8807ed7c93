package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// waitsOf queues n requests of one class and of some tenant, in order, from a place on.
func (b *bench) waitsOf(tenant string, from, n int) (keys []message.Key) {
	b.Helper()
	res := b.resource()
	for i := from; i < from+n; i++ {
		rec := recordIn(lifecycle.Waiting, "")
		b.rename(rec, nil, fmt.Sprintf("w%03d", i))
		rec.Run, rec.Attempt, rec.ActUntil, rec.Timeout, rec.Tenant = "", 0, time.Time{}, time.Hour, tenant
		rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
		res.Join(rec)
		put(b.T, b.mem, rec, nil)
		keys = append(keys, rec.Key)
	}
	put(b.T, b.mem, nil, res)
	return keys
}

// TestLongClassIsReadAsFarAsItStarts: of a class that is longer than what the document
// knows of it, those that can start are read and start in their order, and no more is read
// than one beyond. The document knows the first of those that are left.
func TestLongClassIsReadAsFarAsItStarts(t *testing.T) {
	for _, test := range []struct{ machines, waiting, started, queries int }{{30, 40, 30, 1}, {30, 20, 20, 1}, {5, 40, 5, 0}, {8, 40, 8, 1}, {150, 180, 150, 2}} {
		b := newBench(t)
		res, _ := b.records(lifecycle.Running, 0)
		res.Pools = []capacity.Pool{poolOf(small, capacity.Replicas(test.machines), 0, 0)}
		put(t, b.mem, nil, res)
		keys := b.waitsOf("default", 0, test.waiting)
		p, before := &progress{tasks: newTasks(true)}, b.mem.Stats()
		waiting, err := b.c.schedule(t.Context(), resourceOfTests, nil, p)
		if after := b.mem.Stats(); err != nil || waiting != test.waiting-test.started || p.Started != test.started || after.Queries-before.Queries < test.queries {
			t.Errorf("%+v: %d wait, %d started, %d queries, %v", test, waiting, p.Started, after.Queries-before.Queries, err)
		}
		for i, key := range keys {
			if started := b.state(key) == lifecycle.Reserved; started != (i < test.started) {
				t.Errorf("%+v: request %d is %s", test, i, b.state(key))
			}
		}
		for id, class := range b.resource().Queue {
			if class.Count != waiting || len(class.Heads) == 0 || class.Heads[0].ID != keys[test.started] {
				t.Errorf("%+v: of class %s %d wait, the first of %d is %s, want %s", test, id, class.Count, len(class.Heads), class.Heads[0].ID, keys[test.started])
			}
		}
	}
}

// TestBehindAPausedTenant: requests start that wait behind many of a tenant that is paused.
func TestBehindAPausedTenant(t *testing.T) {
	b := newBench(t)
	res, _ := b.records(lifecycle.Running, 0)
	res.Pools = []capacity.Pool{poolOf(small, 3, 0, 0)}
	put(t, b.mem, nil, res)
	b.operates("o1", `"action":"pause","tenant":"red"`)
	_, err := b.c.rulebook(t.Context())
	b.must(err)
	paused, others := b.waitsOf("red", 0, 30), b.waitsOf("default", 30, 5)
	p := &progress{tasks: newTasks(true)}
	if waiting, err := b.c.schedule(t.Context(), resourceOfTests, nil, p); err != nil || p.Started != 3 || waiting != 32 {
		t.Errorf("%d started, %d wait, %v", p.Started, waiting, err)
	}
	for i, key := range others {
		if started := b.state(key) != lifecycle.Waiting; started != (i < 3) {
			t.Errorf("request %d behind them is %s", i, b.state(key))
		}
	}
	for _, key := range paused {
		if b.state(key) != lifecycle.Waiting {
			t.Errorf("%s of the paused tenant is %s", key, b.state(key))
		}
	}
}

// TestBehindAPausedTenantOfTheSameClass: the same in a class that several tenants share, of
// which the document knows the requests of the paused tenant alone.
func TestBehindAPausedTenantOfTheSameClass(t *testing.T) {
	b := newBench(t)
	res, _ := b.records(lifecycle.Running, 0)
	res.Pools = []capacity.Pool{poolOf(small, 3, 0, 0)}
	put(t, b.mem, nil, res)
	b.operates("o1", `"action":"pause","tenant":"red"`)
	_, err := b.c.rulebook(t.Context())
	b.must(err)
	keys := append(b.waitsOf("red", 0, 30), b.waitsOf("default", 30, 5)...)
	shared := admission.ClassOf("", capacity.Ask{{Shape: small, Replicas: 1}}, time.Hour)
	res = b.resource()
	class := admission.Class{Count: len(keys)}
	for i, key := range keys {
		rec := b.record(key)
		if rec.Class = shared; i < admission.MaxHeads {
			class.Heads = append(class.Heads, rec.Head())
		}
		put(t, b.mem, rec, nil)
	}
	res.Queue = admission.Queue{shared: class}
	put(t, b.mem, nil, res)
	p := &progress{tasks: newTasks(true)}
	if _, err := b.c.schedule(t.Context(), resourceOfTests, nil, p); err != nil || p.Started != 3 {
		t.Errorf("%d started, %v", p.Started, err)
	}
	for i, key := range keys {
		if started := b.state(key) != lifecycle.Waiting; started != (i >= 30 && i < 33) {
			t.Errorf("request %d is %s", i, b.state(key))
		}
	}
}

// TestClassThatIsCountedLongerThanItIs is reported and taken out, so that nobody waits for
// requests that are not there.
func TestClassThatIsCountedLongerThanItIs(t *testing.T) {
	b := newBench(t)
	res, _ := b.records(lifecycle.Running, 0)
	put(t, b.mem, nil, res)
	b.waitsOf("default", 0, 1)
	res = b.resource()
	res.Queue[admission.ClassOf("red", capacity.Ask{{Shape: small, Replicas: 1}}, time.Hour)] = admission.Class{Count: 3}
	put(t, b.mem, nil, res)
	waiting, err := b.c.schedule(t.Context(), resourceOfTests, nil, &progress{tasks: newTasks(true)})
	after := b.resource()
	if err != nil || waiting != 0 || len(after.Queue) != 0 || !strings.Contains(b.log.String(), `"empty_queue"`) {
		t.Errorf("%d wait, %+v, %v; %s", waiting, after.Queue, err, &b.log)
	}
}

// TestPlanThatChangesNothingIsNotWritten: an update that starts nobody and reserves nothing
// else leaves the documents as they are, so it takes no commit from others.
func TestPlanThatChangesNothingIsNotWritten(t *testing.T) {
	b := newBench(t)
	res, _ := b.records(lifecycle.Running, 0)
	res.Pools = []capacity.Pool{poolOf(small, 1, 0, 0)}
	res.Holds = map[message.Key]ledger.Hold{"x": {Ask: capacity.Ask{{Shape: small, Replicas: 1}}, Run: "rx", LatestEnd: noon.Add(time.Hour)}}
	put(t, b.mem, nil, res)
	keys := b.waitsOf("default", 0, 3)
	if _, err := b.c.schedule(t.Context(), resourceOfTests, nil, &progress{tasks: newTasks(true)}); err != nil || len(b.resource().Reserved) == 0 {
		t.Fatalf("nothing is reserved: %v", err)
	}
	before := b.mem.Stats().DocsWritten
	for range 3 {
		done, err := b.c.decideWaiting(t.Context(), b.resource(), candidateSet{keys: keys}, &progress{})
		if err != nil || len(done.moved)+len(done.unread) != 0 || done.res == nil {
			t.Errorf("%+v, %v", done, err)
		}
	}
	if n := b.mem.Stats().DocsWritten - before; n != 0 {
		t.Errorf("%d documents are written", n)
	}
}

// TestThatWereLeftOutTakePartAgain: an observation lets those take part in plans again whose
// records can be read now, a bounded number at a time.
func TestThatWereLeftOutTakePartAgain(t *testing.T) {
	b := newBench(t)
	b.old(0)
	keys := b.waitsOf("default", 0, 30)
	res := b.resource()
	for i, key := range keys {
		if res.Skip(key); i%10 == 0 {
			b.mem.Spoil(ledger.RecordRef(key), "it has layout 9")
		}
	}
	put(t, b.mem, nil, res)
	said := vertex.Resource{State: res.State, CreateTime: res.CreateTime, Pools: res.Pools}
	for i := range 4 {
		if _, err := b.c.saveObservation(t.Context(), resourceOfTests, observation{res: said, at: noon.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.resource().Skipped); i == 0 && (n < len(keys)-perUpdate || n == len(keys)) {
			t.Errorf("after one observation %d of %d are left out", n, len(keys))
		}
	}
	for i, key := range keys {
		if out := b.resource().Skipped[key]; out != (i%10 == 0) {
			t.Errorf("request %d is left out: %v", i, out)
		}
	}
}

// TestDeclinedBesideAnUnclearAttempt: an attempt that was refused says nothing of the one
// before it, whose job may yet appear, so the request goes on being submitted. It is not
// parked, or nothing would submit it after that.
func TestDeclinedBesideAnUnclearAttempt(t *testing.T) {
	for alone := range 3 {
		b := newBench(t)
		rec := b.one(lifecycle.Submitting, "", func(r *ledger.Record, res *ledger.Resource) {
			res.SteadySince, r.UnclearUntil, r.ActUntil = noon.Add(-48*time.Hour), noon.Add(-time.Minute), noon.Add(time.Minute)
			r.Declined = ledger.Declined{Times: 2, Last: noon.Add(-time.Minute), Alone: alone}
		})
		b.queue("behind")
		if _, err := b.c.declined(t.Context(), rec, lifecycle.Transient, &vertex.Error{Op: "create", Code: 9, Kind: vertex.Transient}); err != nil {
			t.Fatal(err)
		}
		after := b.record(rec.Key)
		if after.State != lifecycle.Submitting || after.Parked || !after.RetryAt.IsZero() || b.resource().HasParked || !b.resource().Holding(after) {
			t.Errorf("alone %d times: it is %s, parked %v until %v", alone, after.State, after.Parked, after.RetryAt)
		}
	}
}

// TestWhenANameWasAskedFor: that a name is not there counts from before the question, because
// it may be made while the answer is on its way; a failure counts from the answer.
func TestWhenANameWasAskedFor(t *testing.T) {
	b := newBench(t)
	now := noon
	b.c.env.Monotonic = func() time.Time { return now }
	fault := vertex.NoFault
	b.ai.Fault = func(string, string) vertex.Fault {
		now = now.Add(4 * time.Second)
		return fault
	}
	if there, err := b.c.exists(t.Context(), resourceOfTests); there || err != nil {
		t.Fatal(there, err)
	}
	if !b.c.missing.isAbsent(resourceOfTests, noon.Add(absentFor-1)) || b.c.missing.isAbsent(resourceOfTests, noon.Add(absentFor)) {
		t.Error("it is not absent from the question on")
	}
	fault = vertex.FailBefore
	if there, err := b.c.exists(t.Context(), resourceOfTests); there || err == nil {
		t.Fatal(there, err)
	}
	if b.c.missing.hasFailed(resourceOfTests, now.Add(failedFor-1)) == nil || b.c.missing.hasFailed(resourceOfTests, now.Add(failedFor)) != nil {
		t.Error("it has not failed from the answer on")
	}
	if !now.Equal(noon.Add(8 * time.Second)) {
		t.Errorf("%v of calls", now.Sub(noon))
	}
}

// TestTooLargeToStore: a request is refused for its size only if the ledger has refused it
// and it is about as large as a document can be; any other error is delivered again.
func TestTooLargeToStore(t *testing.T) {
	of := func(n int) *ledger.Record { return &ledger.Record{Spec: strings.Repeat("x", n)} }
	for _, test := range []struct {
		err  error
		rec  *ledger.Record
		want bool
	}{
		{fmt.Errorf("update: %w", ledger.ErrRefused), of(ledger.MaxDocument), true}, {ledger.ErrRefused, of(ledger.MaxDocument - 20<<10), false}, {ledger.ErrRefused, of(ledger.MaxDocument - 10<<10), true},
		{ledger.ErrRefused, nil, false}, {ledger.ErrBusy, of(ledger.MaxDocument), false}, {nil, of(ledger.MaxDocument), false},
	} {
		if got := tooLarge(test.err, test.rec); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
	for kind, claimed := range map[message.Kind]string{message.KindRequest: "a", message.KindMessage: ""} {
		b := newBench(t)
		draft := recordIn(lifecycle.None, "")
		draft.Kind = kind
		b.must(b.c.answerTooLarge(t.Context(), message.Delivery{ID: "m1", PublishTime: noon}, draft))
		if o := b.out.events[0]; len(b.out.events) != 1 || o.Type != message.Refused || o.ClaimedRequestID != claimed || o.Reason.Code != reason.TooLarge || o.Reason.Path != "job" || len(o.Problems) != 1 ||
			!strings.Contains(o.Reason.Detail, fmt.Sprint(ledger.MaxDocument)) || o.MessageID != "m1" || o.Tenant != "default" {
			t.Errorf("%s: the answer is %+v", kind, o)
		}
	}
}

// TestTimerOfAStateWithoutOne: a timer that a restored record brings along is taken away,
// so that it is not due for ever.
func TestTimerOfAStateWithoutOne(t *testing.T) {
	for _, s := range []lifecycle.State{lifecycle.Running, lifecycle.Succeeded} {
		b := newBench(t)
		if rec := b.timed(s, func(r *ledger.Record, _ *ledger.Resource) { r.Reservation.Job = regionOfTests + "/customJobs/1" }); rec.State != s || !rec.TimerAt.IsZero() {
			t.Errorf("it is %s, due at %v", rec.State, rec.TimerAt)
		}
	}
}

// TestClassOfTimersThatCannotBeListed: with more due than one pass runs, a query of one class
// that fails is an error of the pass, and the timers of the other class run.
func TestClassOfTimersThatCannotBeListed(t *testing.T) {
	for fails, class := range []string{"[SUBMITTING CANCELLING RESERVED SUBMITTED]", "[WAITING]"} {
		b := newBench(t)
		b.records(lifecycle.Running, 0)
		for i, key := range b.waitsOf("default", 0, duePerPass+1) {
			rec := b.record(key)
			rec.MaxWait, rec.TimerAt = 0, noon.Add(-time.Hour)
			if i == 0 { // one that holds
				rec.Reservation = lifecycle.Reservation{State: lifecycle.Cancelling, Run: "r1", Job: regionOfTests + "/customJobs/1"}
			}
			put(t, b.mem, rec, nil)
		}
		queries := 0
		b.mem.Fault = func(op string) ledger.Fault {
			if op != ledger.OpQuery {
				return ledger.None
			}
			if queries++; queries == fails+2 { // the first is of all classes
				return ledger.FailRead
			}
			return ledger.None
		}
		p := &progress{tasks: newTasks(true)}
		err := b.c.runTimers(t.Context(), noon, p)
		if !errors.Is(err, ledger.ErrInjected) || !strings.HasPrefix(err.Error(), "list due records in "+class+": ") || p.Timers != []int{duePerPass, 1}[fails] {
			t.Errorf("%s fails: %v, %d timers have run", class, err, p.Timers)
		}
	}
}
