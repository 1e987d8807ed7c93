package sim

import (
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	history "example.com/berth/internal/usage"
	"example.com/berth/internal/vertex"
)

// usage is what is known of the pool since the world began.
func (w *World) usage() history.Summary {
	w.Helper()
	h, name := history.History{}, w.Document().Name
	w.Ledger.Each(func(ref ledger.Ref, doc ledger.Document, _ int) {
		if u, is := doc.(*ledger.Usage); is && ref == ledger.UsageRef(name) {
			h = u.History
		}
	})
	return h.Since(time.Unix(0, 0), w.Now, w.Document().Usage.Track)
}

// of are the sums of one machine spec.
func of(s history.Summary, machine string) (sums history.Sums) {
	for _, total := range s.Shapes {
		if total.Shape.Spec().MachineType == machine {
			sums = total.Sums
		}
	}
	return sums
}

// Passes sum up what becomes of the machines, in commits that they make anyway: the
// document of the sums is written four times an hour, and no commit writes it alone.
func TestUsageOfAnHour(t *testing.T) {
	w := newListening(t)
	w.Ask(Job{ID: "first", CPU: 3})
	w.Vertex.SetJob(w.JobOf("first"), vertex.JobRunning)
	w.After(time.Minute)
	w.Ask(Job{ID: "second", CPU: 2}) // one of four is idle while it waits
	for range 30 {
		w.After(time.Minute)
	}
	w.Vertex.SetJob(w.JobOf("first"), vertex.JobSucceeded)
	for range 30 {
		w.After(time.Minute)
	}
	s := w.usage()
	sums := of(s, "n1-standard-4")
	minutes := func(n int64) int64 { return n / 60 }
	if got := minutes(int64(s.Observed / time.Second)); got != 61 {
		t.Errorf("%d minutes are known, want 61", got)
	}
	// The pass that finds the end of the first job gives its replicas away after it has
	// observed them: that minute is still the job's.
	want := history.Sums{Machines: 4 * 61, Ours: 3*32 + 2*29, Idle: 32 + 2*29, IdleWaiting: 31, Waiting: 31}
	if got := (history.Sums{Machines: minutes(sums.Machines), Ours: minutes(sums.Ours), Idle: minutes(sums.Idle), IdleWaiting: minutes(sums.IdleWaiting), Waiting: minutes(sums.Waiting)}); got != want || sums.MaxWaiting != 1 {
		t.Errorf("in minutes %+v, want %+v; at most %d wait", got, want, sums.MaxWaiting)
	}
	if n := w.writes(ledger.UsageRef(w.Document().Name)); n != 4 {
		t.Errorf("the sums are written %d times in an hour, want 4", n)
	}
}

// usageUnder runs some minutes with a fault at the commit of that number, and
// reports whether there is such a commit.
func usageUnder(t *testing.T, at int, fault ledger.Fault) bool {
	t.Helper()
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 4})
	began := w.Now.Truncate(time.Second)
	for range 13 {
		w.After(time.Minute)
	}
	commits := 0
	w.Ledger.Fault = func(op string) ledger.Fault {
		if op != ledger.OpCommit {
			return ledger.None
		}
		if commits++; commits == at {
			return fault
		}
		return ledger.None
	}
	for range 7 {
		w.Now = w.Now.Add(time.Minute)
		_ = w.Tick()
		// Another instance makes a pass of its own, of the same moment.
		_, _ = w.Instance(w.Config).Reconcile(t.Context(), "other", time.Second)
	}
	w.Ledger.Fault = nil
	w.After(time.Minute)
	s := w.usage()
	passed := w.Document().ObservedAt.Truncate(time.Second).Sub(began)
	if sums := of(s, "n1-standard-4"); s.Observed != passed || sums.Machines != 4*int64(passed/time.Second) {
		t.Errorf("fault %d at commit %d: %s of %s are known, with %d machine-seconds", fault, at, s.Observed, passed, sums.Machines)
	}
	return commits >= at
}

// Every second counts once, whatever fails or dies at any commit, and with two instances.
func TestUsageCountsOnce(t *testing.T) {
	for _, fault := range []ledger.Fault{ledger.FailCommit, ledger.LoseAnswer, ledger.LoseAnswerAndCheck, ledger.Stale} {
		at := 1
		for ; usageUnder(t, at, fault); at++ {
		}
		if at < 8 {
			t.Errorf("only %d commits were tried", at)
		}
	}
}

// Of the time in which no pass observed the resource nothing is known.
func TestUsageOfAGap(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	w.After(time.Minute)
	w.After(time.Hour)
	w.After(time.Minute)
	if s := w.usage(); s.Observed.Round(time.Minute) != 2*time.Minute {
		t.Errorf("%s are known, want two minutes", s.Observed)
	}
}

// With the slowest tick that a deployment may have, all that passes is known.
func TestUsageWithTheSlowestTick(t *testing.T) {
	w := New(t)
	w.Config.Tick = 10 * time.Minute // the upper bound of BERTH_TICK
	w.Config.Policy.MaxAge = 2 * w.Config.Tick
	w.again()
	w.Ask(Job{ID: "a", CPU: 1})
	began := w.Document().ObservedAt
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	for range 12 {
		w.After(w.Config.Tick)
	}
	if s, passed := w.usage(), w.Document().ObservedAt.Sub(began); s.Observed != passed.Truncate(time.Second) || passed < 2*time.Hour {
		t.Errorf("%s of %s are known", s.Observed, passed)
	}
}

// An idle pass makes as many commits whether it moves the sums or not, and reads their
// document only to move them.
func TestUsageCostsNoCommit(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	for range 3 {
		w.After(time.Minute)
	}
	commits, reads := 0, 0
	w.Ledger.Fault = func(op string) ledger.Fault {
		if op == ledger.OpCommit {
			commits++
		}
		return ledger.None
	}
	w.Ledger.Saw = func(ref ledger.Ref, _ ledger.Document, _ int) {
		if ref.Kind == ledger.KindUsage {
			reads++
		}
	}
	first := 0
	for i := range 60 {
		commits = 0
		if w.After(time.Minute); i == 0 {
			first = commits
		}
		if commits != first {
			t.Errorf("pass %d makes %d commits, the first makes %d", i, commits, first)
		}
	}
	if reads != 4 {
		t.Errorf("in an hour the document is read %d times, want 4", reads)
	}
}

// Sums that this release cannot read are told and never written over. Everything else goes
// on, and what is sampled meanwhile does not pile up.
func TestUnreadableUsage(t *testing.T) {
	w := newListening(t)
	w.Ask(Job{ID: "a", CPU: 4})
	for range 20 {
		w.After(time.Minute)
	}
	ref := ledger.UsageRef(w.Document().Name)
	w.spoil(ref)
	before := w.writes(ref)
	w.Ask(Job{ID: "b", CPU: 4})
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	for range 60 {
		w.After(time.Minute)
		if n := w.Document().Usage.Rows(); n > 14 {
			t.Fatalf("%d buckets wait", n)
		}
	}
	if state := w.State("b"); state != lifecycle.Submitted {
		t.Errorf("the next request is %s", state)
	}
	if w.writes(ref) != before || w.logged[ref.String()] == 0 || w.logged[ref.String()] > 6 {
		t.Errorf("it was written %d times and told %d times", w.writes(ref)-before, w.logged[ref.String()])
	}
	w.Ledger.Heal(ref)
	known := w.usage().Observed
	for range 30 {
		w.After(time.Minute)
	}
	if more := w.usage().Observed - known; more < 30*time.Minute || w.writes(ref) < before+1 {
		t.Errorf("once it can be read %s more are known", more)
	}
	w.CheckHolds()
}
