package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// day is the time limit of the jobs here.
var day = map[string]any{"scheduling": map[string]any{"timeout": "86400s"}}

// run makes requests of a family, one after the other, whose jobs run for a time and
// then end as they do. Reconcile has learned of the last end when it returns.
func (w *World) run(family string, n int, ran time.Duration, end vertex.JobState) {
	w.Helper()
	for range n {
		w.messages++
		id := fmt.Sprintf("%s-%d", family, w.messages)
		w.Ask(Job{ID: id, Name: id, CPU: 1, Spec: day})
		w.Vertex.SetJob(w.JobOf(id), vertex.JobRunning)
		w.Now = w.Now.Add(ran)
		w.Vertex.SetJob(w.JobOf(id), end)
		w.After(0)
	}
}

// learned lets as much time pass as ended jobs wait until they are learned, and as an
// instance goes by the history that it has read.
func (w *World) learned() { w.Helper(); w.After(5 * time.Minute) }

func (w *World) history(tenant string) (h *ledger.History) {
	w.Ledger.Each(func(ref ledger.Ref, doc ledger.Document, _ int) {
		if ref == ledger.HistoryRef(tenant) {
			h = doc.(*ledger.History)
		}
	})
	return h
}

// ends is how many jobs of the tenant have been learned.
func (w *World) ends() int64 {
	if h := w.history(Tenant); h != nil {
		return h.Ends
	}
	return 0
}

// A job of a family that runs for minutes starts before one of a family that runs for
// hours, although it comes later and both may run for a day. With the setting off it
// does not. What an estimate never touches: until when the job may run.
func TestShortWorkGoesFirst(t *testing.T) {
	for _, learn := range []bool{true, false} {
		w := New(t)
		w.Config.Estimates = learn
		w.again()
		w.run("short", 8, 5*time.Minute, vertex.JobSucceeded)
		w.run("long", 8, 10*time.Hour, vertex.JobSucceeded)
		w.learned()
		w.Ask(Job{ID: "busy", CPU: 4})
		w.Ask(Job{ID: "reserved", CPU: 4, Priority: 1}) // what comes later moves no latest start
		w.Ask(Job{ID: "long", Name: "long-0", CPU: 4, Spec: day})
		w.Ask(Job{ID: "short", Name: "short-0", CPU: 4, Spec: day})
		for _, id := range []string{"busy", "reserved"} {
			w.Vertex.SetJob(w.JobOf(id), vertex.JobRunning)
			w.After(time.Minute)
			w.Vertex.SetJob(w.JobOf(id), vertex.JobSucceeded)
			w.After(time.Minute)
		}
		first, second := "short", "long"
		if !learn {
			first, second = second, first
			if h := w.history(Tenant); h != nil || len(w.Document().Ended) != 0 {
				t.Errorf("off, and yet there is a history of %d jobs", h.Ends)
			}
		}
		w.Expect(first, lifecycle.Submitted, "queued", "reserved", "submitted")
		if got := w.State(second); got != lifecycle.Waiting {
			t.Errorf("learn %v: the %s one is %s", learn, second, got)
		}
		short, long := w.Record("short").Estimate, w.Record("long").Estimate
		switch {
		case !learn && (short.Jobs != 0 || long.Jobs != 0 || short.Run != 0):
			t.Errorf("off, and yet %+v and %+v are expected", short, long)
		case learn && (short.Jobs != 8 || short.Run > time.Hour || long.Jobs != 8 || long.Run < 8*time.Hour || long.Run > 24*time.Hour):
			t.Errorf("%+v and %+v are expected, by 8 jobs each", short, long)
		}
		for key, h := range w.Document().Holds {
			if want := w.Now.Add(w.Config.StartTimeout + 24*time.Hour); !h.LatestEnd.Equal(want) {
				t.Errorf("learn %v: %s holds its replicas until %s at the latest, want %s by its time limit", learn, key, h.LatestEnd, want)
			}
		}
	}
}

// How each end of a job counts.
func TestWhatEndsTeach(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(w *World, id, job string)
		ran    time.Duration // of the end that is noted; 0 for none
		least  bool
		limit  string
		cancel bool
		unseen bool // it ends before Berth has observed it running
	}{
		"succeeded":          {end: ended(vertex.JobSucceeded), ran: time.Hour},
		"partial":            {end: ended(vertex.JobPartiallySucceeded), ran: time.Hour},
		"failed":             {end: ended(vertex.JobFailed), ran: time.Hour},
		"cancelled there":    {end: ended(vertex.JobCancelled), ran: time.Hour, least: true},
		"expired":            {end: ended(vertex.JobExpired), ran: time.Hour, least: true},
		"timed out":          {end: ended(vertex.JobCancelled), limit: "3600s", ran: time.Hour},
		"cancelled here":     {end: ended(vertex.JobCancelled), cancel: true, ran: time.Hour, least: true},
		"failed by a cancel": {end: ended(vertex.JobFailed), cancel: true, ran: time.Hour, least: true},
		"cancelled too late": {end: ended(vertex.JobSucceeded), cancel: true, ran: time.Hour},
		"deleted":            {end: func(w *World, _, job string) { w.Vertex.Delete(job) }},
		"succeeded unseen":   {end: ended(vertex.JobSucceeded), unseen: true, ran: time.Hour},
		"failed unseen":      {end: ended(vertex.JobFailed), unseen: true, ran: time.Hour},
		"cancelled unseen":   {end: ended(vertex.JobCancelled), unseen: true},
		"timed out unseen":   {end: ended(vertex.JobCancelled), unseen: true, limit: "3600s", ran: time.Hour},
	} {
		w := New(t)
		spec := day
		if c.limit != "" {
			spec = map[string]any{"scheduling": map[string]any{"timeout": c.limit}}
		}
		w.Ask(Job{ID: "a", Name: "train-7", CPU: 2, Spec: spec})
		job := w.JobOf("a")
		w.Vertex.SetJob(job, vertex.JobRunning)
		if c.unseen {
			w.Now = w.Now.Add(time.Minute)
		} else {
			w.After(time.Minute)
		}
		if c.cancel {
			w.Cancel("a")
			w.Now = w.Now.Add(-time.Millisecond) // that the message took
		}
		w.Now = w.Now.Add(59 * time.Minute)
		c.end(w, "a", job)
		w.After(time.Minute)
		if !w.State("a").Terminal() {
			t.Fatalf("%s: the request is %s", name, w.State("a"))
		}
		noted := w.Document().Ended
		if c.ran == 0 {
			if len(noted) != 0 {
				t.Errorf("%s: %+v is noted, and yet it is not known how long it ran", name, noted)
			}
			continue
		}
		if len(noted) != 1 {
			t.Errorf("%s: %d ends are noted", name, len(noted))
			continue
		}
		rec, e := w.Record("a"), noted[0]
		if e.Ran != c.ran || e.Least != c.least || e.Tenant != Tenant || e.Limit != rec.Timeout || e.Replicas != 2 || e.Family != rec.Family || e.Family == "" {
			t.Errorf("%s: %+v is noted, want %s, at least %v", name, e, c.ran, c.least)
		}
	}
}

func ended(s vertex.JobState) func(w *World, id, job string) {
	return func(w *World, _, job string) { w.Vertex.SetJob(job, s) }
}

// A job that went back into the queue, because it was not running in time, teaches
// nothing: it has not ended.
func TestRequeuedJobTeachesNothing(t *testing.T) {
	w := New(t)
	w.Config.Estimates = true
	w.Ask(Job{ID: "a", CPU: 1, Spec: day})
	w.After(w.Config.StartTimeout + time.Minute)
	w.After(time.Minute)
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
	w.After(time.Minute)
	if got := w.Document().Ended; len(got) != 0 {
		t.Errorf("%+v is noted of a job that never ran; the request is %s", got, w.State("a"))
	}
}

// faulted runs a world in which three jobs end and are learned, with a fault at the
// commit of that number after the first end, and reports whether there is such a commit.
func faulted(t *testing.T, at int, fault ledger.Fault, between bool) bool {
	t.Helper()
	w := New(t)
	for _, id := range []string{"a", "b", "c"} {
		w.Ask(Job{ID: id, CPU: 1, Spec: day})
		w.Vertex.SetJob(w.JobOf(id), vertex.JobRunning)
	}
	w.After(time.Minute)
	commits, other := 0, w.Instance(w.Config)
	pass := func(c interface {
		Hint(context.Context, string) error
	}) { // what fails is tried again by a later pass
		_ = c.Hint(context.Background(), w.Record("a").Reservation.Job)
		_ = w.Tick()
	}
	w.Ledger.Fault = func(op string) ledger.Fault {
		if op != ledger.OpCommit {
			return ledger.None
		}
		if commits++; commits == at {
			return fault
		}
		return ledger.None
	}
	if between {
		n := 0
		w.Ledger.Between = func() {
			if n++; n == at {
				pass(other)
				_, _ = other.Reconcile(context.Background(), "other", time.Second)
			}
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		w.Vertex.SetJob(w.JobOf(id), vertex.JobSucceeded)
		pass(w.Controller)
		w.Now = w.Now.Add(time.Minute)
	}
	for range 12 {
		w.Now = w.Now.Add(time.Minute)
		_ = w.Tick()
	}
	w.Ledger.Fault, w.Ledger.Between = nil, nil
	for range 6 {
		w.After(time.Minute)
	}
	if n, rest := w.ends(), len(w.Document().Ended); n != 3 || rest != 0 {
		t.Errorf("fault %d at commit %d, other instance %v: %d jobs are learned and %d are left, want 3 and 0", fault, at, between, n, rest)
	}
	for key, m := range w.history(Tenant).Levels {
		if m.Jobs != 3 {
			t.Errorf("fault %d at commit %d: level %s has learned %d jobs", fault, at, key, m.Jobs)
		}
	}
	return commits >= at
}

// Each job that ends is learned once: whatever fails or dies at any commit from its end
// on, and if another instance makes the same moves in between.
func TestEndIsLearnedOnce(t *testing.T) {
	for _, fault := range []ledger.Fault{ledger.FailCommit, ledger.LoseAnswer, ledger.LoseAnswerAndCheck, ledger.Stale} {
		at := 1
		for ; faulted(t, at, fault, false); at++ {
		}
		if at < 10 {
			t.Errorf("only %d commits were tried", at)
		}
	}
	for at := 1; at < 30; at++ {
		faulted(t, at, ledger.None, true)
	}
}

// Ends are learned together: as many as there are at once, at the latest five minutes
// after the first. Until then no request reads a history, and no commit writes one.
func TestEndsAreLearnedTogether(t *testing.T) {
	w := New(t)
	reads := 0
	w.Ledger.Saw = func(ref ledger.Ref, _ ledger.Document, _ int) {
		if ref.Kind == ledger.KindHistory {
			reads++
		}
	}
	w.run("a", 3, time.Minute, vertex.JobSucceeded) // they end within two minutes
	if reads != 0 || w.ends() != 0 || len(w.Document().Ended) != 3 {
		t.Errorf("after two minutes a history was read %d times, %d jobs are learned and %d noted", reads, w.ends(), len(w.Document().Ended))
	}
	w.After(2*time.Minute + 59*time.Second)
	if w.ends() != 0 {
		t.Errorf("%d jobs are learned less than five minutes after the first end", w.ends())
	}
	w.After(time.Minute)
	if reads != 1 || w.ends() != 3 || len(w.Document().Ended) != 0 {
		t.Errorf("after five minutes a history was read %d times, %d jobs are learned and %d noted", reads, w.ends(), len(w.Document().Ended))
	}
	w.run("a", 64, 3*time.Second, vertex.JobSucceeded)
	if w.ends() == 3+64 {
		t.Error("the last end is learned by the pass that finds it; want by the next, in a commit that is made anyway")
	}
	w.After(time.Second)
	if w.ends() != 3+64 {
		t.Errorf("%d jobs are learned, want those 64 at once", w.ends())
	}
}

// An instance reads the history of a tenant at most every five minutes, and only where
// one can be: no request of a tenant of which nothing was learned reads one.
func TestHistoryIsReadRarely(t *testing.T) {
	w := New(t)
	reads := map[string]int{}
	w.Ledger.Saw = func(ref ledger.Ref, _ ledger.Document, _ int) {
		if ref.Kind == ledger.KindHistory {
			reads[ref.Name]++
		}
	}
	ask := func(n int) {
		for range n {
			w.messages++
			w.Ask(Job{ID: fmt.Sprint("r", w.messages), CPU: 4})
		}
	}
	ask(5)
	if len(reads) != 0 {
		t.Errorf("%v histories are read before any job has ended", reads)
	}
	w.Vertex.SetJob(w.JobOf("r1"), vertex.JobRunning)
	w.After(time.Minute)
	w.Vertex.SetJob(w.JobOf("r1"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.learned()
	clear(reads)
	ask(5)
	w.Now = w.Now.Add(5*time.Minute - time.Second)
	ask(5)
	if reads[Tenant] != 1 {
		t.Errorf("10 requests in five minutes read the history %d times", reads[Tenant])
	}
	w.Now = w.Now.Add(time.Second)
	ask(5)
	if reads[Tenant] != 2 {
		t.Errorf("after five minutes the history was read %d times, want twice", reads[Tenant])
	}
	w.again()
	ask(5)
	if reads[Tenant] != 3 {
		t.Errorf("with another instance the history was read %d times, want three times", reads[Tenant])
	}
}

// A history that cannot be read in time, or at all, costs its requests nothing but the
// order: they are decided by their limits, or by what was read before.
func TestHistoryThatFails(t *testing.T) {
	for name, known := range map[string]bool{"never read": false, "read before": true} {
		w := New(t)
		w.run("short", 8, 5*time.Minute, vertex.JobSucceeded)
		w.learned()
		if known {
			w.Ask(Job{ID: "before", Name: "short-1", CPU: 1, Spec: day})
			w.Now = w.Now.Add(5 * time.Minute)
			w.After(0)
		} else {
			w.again()
		}
		failed := 0
		mem := w.Ledger
		l := &slowHistories{Mem: mem, failed: &failed}
		w.Controller = w.over(l, w.Config, func() time.Time { return w.Now })
		if known { // it is this instance that has read it
			l.off = true
			w.Ask(Job{ID: "first", Name: "short-1", CPU: 1, Spec: day})
			l.off = false
			w.Now = w.Now.Add(5 * time.Minute)
			w.After(0)
		}
		for i := range 3 {
			id := fmt.Sprint("r", i)
			w.Ask(Job{ID: id, Name: "short-1", CPU: 1, Spec: day})
			if rec := w.Record(id); rec.Order == "" || (rec.Estimate.Jobs == 8) != known {
				t.Errorf("%s: %s is %s and expected to run %+v", name, id, rec.State, rec.Estimate)
			}
		}
		if failed != 1 {
			t.Errorf("%s: %d reads failed, want one for all three", name, failed)
		}
	}
}

// slowHistories is a ledger in which reads of histories fail.
type slowHistories struct {
	*ledger.Mem
	off    bool
	failed *int
}

func (s *slowHistories) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	if len(reads) == 1 && reads[0].Kind == ledger.KindHistory && !s.off {
		*s.failed++
		return errors.New("it takes too long")
	}
	return s.Mem.Update(ctx, reads, closure, hints...)
}

// A history that this release cannot read is told, and never written over. Its tenant's
// requests are decided by their limits. What ends meanwhile is lost to it, and nothing
// piles up.
func TestUnreadableHistory(t *testing.T) {
	w := newListening(t)
	w.run("short", 8, 5*time.Minute, vertex.JobSucceeded)
	w.learned()
	ref := ledger.HistoryRef(Tenant)
	w.spoil(ref)
	w.again()
	before := w.writes(ref)
	w.Ask(Job{ID: "a", Name: "short-1", CPU: 1, Spec: day})
	if rec := w.Record("a"); rec.State != lifecycle.Submitted || rec.Estimate.Jobs != 0 {
		t.Errorf("it is %s and expected to run %+v, want by its limit", rec.State, rec.Estimate)
	}
	w.run("short", 3, 5*time.Minute, vertex.JobSucceeded)
	w.learned()
	w.learned()
	if n := len(w.Document().Ended); n != 0 || w.writes(ref) != before {
		t.Errorf("%d ends are left, and the history was written %d times more", n, w.writes(ref)-before)
	}
	if w.logged[ref.String()] == 0 || w.logged[ref.String()] > 3 {
		t.Errorf("it was told %d times", w.logged[ref.String()])
	}
	w.Ledger.Heal(ref)
	w.again()
	w.run("short", 2, 5*time.Minute, vertex.JobSucceeded)
	w.learned()
	if w.ends() != 10 {
		t.Errorf("%d jobs are learned once it can be read, want 8 and 2", w.ends())
	}
	w.CheckHolds()
}

// A tenant that teaches nonsense moves its own requests by no more than the 48 hours of a
// key, and no request of another tenant at all. Jobs that it cancels gain it nothing.
func TestLiarMovesItsOwnRequestsOnly(t *testing.T) {
	week := map[string]any{"scheduling": map[string]any{"timeout": "604800s"}}
	w := New(t)
	tenant := "liar"
	w.Deliver = func(d message.Delivery) error { return w.Controller.Handle(context.Background(), tenant, d) }
	order := func(of string) time.Time {
		tenant = of
		w.messages++
		id := fmt.Sprint(of, w.messages)
		w.Ask(Job{ID: id, CPU: 1, Spec: week})
		return w.Record(id).Head().Key
	}
	teach := func(end vertex.JobState) {
		tenant = "liar"
		for range 40 {
			w.messages++
			id := fmt.Sprint("lie-", w.messages)
			w.Ask(Job{ID: id, CPU: 1, Spec: week})
			w.Vertex.SetJob(w.JobOf(id), vertex.JobRunning)
			w.After(time.Second) // it is observed running
			w.Vertex.SetJob(w.JobOf(id), end)
			w.After(0)
		}
		w.learned()
	}
	teach(vertex.JobCancelled)
	if gain := order("honest").Sub(order("liar")); gain > time.Second || gain < -time.Second {
		t.Errorf("by jobs that it cancelled the liar gains %s", gain)
	}
	teach(vertex.JobSucceeded)
	honest, liar := order("honest"), order("liar")
	if gain := honest.Sub(liar); gain < 47*time.Hour || gain > 48*time.Hour {
		t.Errorf("the liar gains %s, want nearly 48 h", gain)
	}
	if delay := honest.Sub(w.Now); delay < 48*time.Hour-time.Second || delay > 48*time.Hour {
		t.Errorf("the key of another tenant comes %s later, want 48 h by its limit", delay)
	}
}

// Neither document has the name or the image of a job in clear.
func TestHistoryHasNoNames(t *testing.T) {
	w := New(t)
	w.run("secret", 2, time.Minute, vertex.JobSucceeded)
	check := func(doc ledger.Document) {
		text, err := ledger.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if s := string(text); strings.Contains(s, "secret") || strings.Contains(s, "image") || !strings.Contains(s, w.Record("secret-1").Family) {
			t.Errorf("%s", s)
		}
	}
	res := w.Document()
	for _, e := range res.Ended {
		check(&ledger.Resource{Ended: []ledger.Ended{e}})
	}
	w.learned()
	check(w.history(Tenant))
}

// A place in the order has no more digits than a stored moment, whatever the time limit:
// the queue and the record would else disagree.
func TestOddLimitHasOnePlace(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "busy", CPU: 4})
	w.Ask(Job{ID: "odd", CPU: 4, Spec: map[string]any{"scheduling": map[string]any{"timeout": "600.000000001s"}}})
	w.Expect("odd", lifecycle.Waiting, "queued")
	records, resources := stored(w.Ledger)
	for _, v := range invariant.Check(invariant.Picture{Now: w.Now, Records: records, Resources: resources, Complete: true}) {
		t.Errorf("%s", v)
	}
}

// An observation writes the histories of some tenants at most, so that its commit stays
// small; the others follow. The jobs of a tenant whose name no document can have teach
// nothing, and stop no observation.
func TestManyTenantsLearn(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(30))
	tenant := ""
	w.Deliver = func(d message.Delivery) error { return w.Controller.Handle(context.Background(), tenant, d) }
	var ids []string
	for i := range 21 {
		tenant = fmt.Sprintf("t%02d", i)
		if i == 20 {
			tenant = "no~document"
		}
		ids = append(ids, fmt.Sprint("r", i))
		w.Ask(Job{ID: ids[i], CPU: 1, Spec: day})
		w.Vertex.SetJob(w.JobOf(ids[i]), vertex.JobRunning)
	}
	w.After(time.Minute)
	for _, id := range ids {
		w.Vertex.SetJob(w.JobOf(id), vertex.JobSucceeded)
	}
	w.After(time.Minute)
	if n := len(w.Document().Ended); n != 20 {
		t.Errorf("%d ends are noted, want those of 20 tenants", n)
	}
	learned := func() (n int) {
		w.Ledger.Each(func(ref ledger.Ref, _ ledger.Document, _ int) {
			if ref.Kind == ledger.KindHistory {
				n++
			}
		})
		return n
	}
	w.learned()
	if n := learned(); n != 16 {
		t.Errorf("one observation writes %d histories, want 16", n)
	}
	w.After(time.Minute)
	if n := learned(); n != 20 || len(w.Document().Ended) != 0 {
		t.Errorf("%d tenants have learned, and %d ends are left", n, len(w.Document().Ended))
	}
}
