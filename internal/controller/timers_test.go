package controller

import (
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// Every state in which a request waits for something that may never be announced has
// a timer, and no other state has one.
func TestStatesWithTimers(t *testing.T) {
	for _, s := range lifecycle.States {
		want := !s.Terminal() && s != lifecycle.None && s != lifecycle.Running
		if _, has := timers[s]; has != want {
			t.Errorf("%q has a timer: %v", s, has)
		}
	}
}

func TestTimers(t *testing.T) {
	cfg := DefaultConfig()
	// No value is the default, so that a setting that is not read shows.
	cfg.StartTimeout, cfg.Tick, cfg.RetryAfter, cfg.SubmitTimeout = 90*time.Minute, 2*time.Minute, 45*time.Second, 70*time.Second
	cfg.MaxAttempts, cfg.Policy.RefuseAfter = 6, 13*time.Hour
	at := func(s lifecycle.State, change func(*ledger.Record)) *ledger.Record {
		rec := &ledger.Record{Key: "k", MaxWait: 2 * time.Hour}
		rec.State, rec.Run, rec.Attempt, rec.ActUntil = s, "r", 1, noon
		rec.LeasedAt = noon.Add(-time.Minute)
		rec.Times.Received, rec.Times.Submitted = noon.Add(-time.Hour), noon.Add(-time.Hour)
		change(rec)
		return rec
	}
	same := func(*ledger.Record) {}
	for _, test := range []struct {
		name  string
		rec   *ledger.Record
		after time.Duration // from noon to the next time
		moves []lifecycle.Event
		place bool
		retry bool
	}{
		{"waits", at(lifecycle.Waiting, same), time.Hour, nil, true, false},
		{"has waited long enough", at(lifecycle.Waiting, func(r *ledger.Record) { r.MaxWait = time.Hour }), 0, []lifecycle.Event{lifecycle.TimedOut}, false, false},
		{"is parked", at(lifecycle.Waiting, func(r *ledger.Record) { r.Parked = true }), time.Hour, nil, true, false},
		{"is contradicted", at(lifecycle.Waiting, func(r *ledger.Record) {
			r.Parked, r.ContradictedSince = true, noon.Add(time.Minute-cfg.Policy.RefuseAfter)
		}), time.Minute, nil, true, false},
		{"is tried again", at(lifecycle.Waiting, func(r *ledger.Record) { r.Parked, r.RetryAt = true, noon.Add(time.Second) }), time.Second, nil, true, false},
		{"holds and has waited long enough", at(lifecycle.Reserved, func(r *ledger.Record) { r.MaxWait = time.Hour }), 0, []lifecycle.Event{lifecycle.Withdrawn, lifecycle.TimedOut}, false, false},
		{"holds replicas of a resource that is gone", at(lifecycle.Reserved, func(r *ledger.Record) { r.MaxWait = 3 * time.Hour }), 90 * time.Minute, []lifecycle.Event{lifecycle.Withdrawn}, false, false},
		{"holds and its wait ends before it is looked at again", at(lifecycle.Reserved, func(r *ledger.Record) { r.MaxWait = 2*time.Hour + 29*time.Minute }), 89 * time.Minute, []lifecycle.Event{lifecycle.Withdrawn}, false, false},
		{"is parked and is tried again after its wait", at(lifecycle.Waiting, func(r *ledger.Record) { r.Parked, r.RetryAt = true, noon.Add(2*time.Hour) }), time.Hour, nil, true, false},
		{"is parked and was tried again", at(lifecycle.Waiting, func(r *ledger.Record) { r.Parked, r.RetryAt = true, noon }), time.Hour, nil, true, false},
		{"is contradicted for longer than its wait", at(lifecycle.Waiting, func(r *ledger.Record) { r.Parked, r.ContradictedSince = true, noon }), time.Hour, nil, true, false},
		{"is tried again before it is refused", at(lifecycle.Waiting, func(r *ledger.Record) {
			r.Parked, r.ContradictedSince, r.RetryAt = true, noon.Add(time.Minute-cfg.Policy.RefuseAfter), noon.Add(time.Second)
		}), time.Second, nil, true, false},
		{"submits", at(lifecycle.Submitting, same), cfg.RetryAfter, []lifecycle.Event{lifecycle.Reclaimed}, false, true},
		{"has no attempt left", at(lifecycle.Submitting, func(r *ledger.Record) { r.Attempt = cfg.MaxAttempts }), cfg.RetryAfter, []lifecycle.Event{lifecycle.Reclaimed}, false, false},
		{"was excused", at(lifecycle.Submitting, func(r *ledger.Record) { r.Attempt, r.Excused = cfg.MaxAttempts, 1 }), cfg.RetryAfter, []lifecycle.Event{lifecycle.Reclaimed}, false, true},
		{"submits since yesterday", at(lifecycle.Submitting, func(r *ledger.Record) { r.LeasedAt = noon.Add(-maxSubmitting) }), cfg.RetryAfter, []lifecycle.Event{lifecycle.Reclaimed}, false, false},
		{"only observes", at(lifecycle.Submitting, func(r *ledger.Record) { r.ObserveOnly = true }), cfg.RetryAfter, []lifecycle.Event{lifecycle.Reclaimed}, false, false},
		{"does not start", at(lifecycle.Submitted, func(r *ledger.Record) { r.Times.Submitted = noon.Add(-cfg.StartTimeout) }), 0, []lifecycle.Event{lifecycle.Overdue}, false, false},
		{"may start yet", at(lifecycle.Submitted, func(r *ledger.Record) { r.Times.Submitted = noon.Add(time.Second - cfg.StartTimeout) }), time.Second, nil, false, false},
		{"is being cancelled", at(lifecycle.Cancelling, func(r *ledger.Record) { r.Job = "j" }), cfg.Tick, nil, false, false},
		{"is being cancelled and searched for", at(lifecycle.Cancelling, same), 0, []lifecycle.Event{lifecycle.Reclaimed}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			timer := timers[test.rec.State]
			if got := timer.when(cfg, test.rec, noon).Sub(noon); got != test.after {
				t.Errorf("it is due in %v, want %v", got, test.after)
			}
			d := timer.what(cfg, test.rec, noon, &ledger.Resource{State: ledger.Absent, ObservedAt: noon})
			var moves []lifecycle.Event
			for _, m := range d.moves {
				moves = append(moves, m.move.Event())
			}
			if len(moves) != len(test.moves) || d.place != test.place || d.retry != test.retry {
				t.Fatalf("it makes %v, place %v, retry %v; want %v, %v, %v", moves, d.place, d.retry, test.moves, test.place, test.retry)
			}
			for i := range moves {
				if moves[i] != test.moves[i] {
					t.Errorf("it makes %v, want %v", moves, test.moves)
				}
			}
		})
	}
}

// A job that passed a reservation gives way when it is not running in time, however
// far its submission is; one that had its whole start timeout ends as any other.
func TestStartBy(t *testing.T) {
	cfg, noon := DefaultConfig(), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	shape := capacity.Spec{MachineType: "m"}.Normal()
	res := &ledger.Resource{State: "RUNNING", CreateTime: noon, ObservedAt: noon, Pools: []capacity.Pool{{ID: "p", Shape: shape, Count: 1}}}
	at := func(s lifecycle.State, startBy time.Duration) *ledger.Record {
		rec := &ledger.Record{Key: "k", MaxWait: 30 * time.Hour, StartBy: noon.Add(startBy), Ask: capacity.Ask{{Shape: shape, Replicas: 1}}}
		rec.State, rec.Run, rec.Attempt, rec.ActUntil, rec.LeasedAt = s, "r", 1, noon.Add(time.Minute), noon
		rec.Times.Received, rec.Times.Submitted = noon, noon.Add(time.Minute-cfg.StartTimeout)
		return rec
	}
	for _, test := range []struct {
		state lifecycle.State
		by    time.Duration
		after time.Duration // from noon to its timer
		moves lifecycle.Event
	}{
		{lifecycle.Reserved, 0, 0, lifecycle.Withdrawn},
		{lifecycle.Reserved, time.Second, time.Second, ""},
		{lifecycle.Reserved, 30 * time.Hour, cfg.StartTimeout, ""},
		{lifecycle.Submitting, 0, 0, lifecycle.Requeued},
		{lifecycle.Submitting, time.Second, time.Second, lifecycle.Reclaimed},
		{lifecycle.Submitting, time.Hour, time.Minute + cfg.RetryAfter, lifecycle.Reclaimed},
		{lifecycle.Submitted, 0, 0, lifecycle.Requeued},
		{lifecycle.Submitted, time.Second, time.Second, ""},
		{lifecycle.Submitted, time.Hour, time.Minute, ""},
	} {
		rec := at(test.state, test.by)
		timer := timers[rec.State]
		if got := timer.when(cfg, rec, noon).Sub(noon); got != test.after {
			t.Errorf("%s, to run in %s: it is due in %s, want %s", test.state, test.by, got, test.after)
		}
		got := lifecycle.Event("")
		if d := timer.what(cfg, rec, noon, res); len(d.moves) > 0 {
			got = d.moves[0].move.Event()
		}
		if got != test.moves {
			t.Errorf("%s, to run in %s: it makes %q, want %q", test.state, test.by, got, test.moves)
		}
	}
	often := at(lifecycle.Submitted, 0)
	often.Requeues = maxRequeues
	if d := timers[lifecycle.Submitted].what(cfg, often, noon, res); len(d.moves) != 1 || d.moves[0].move.Event() != lifecycle.Overdue {
		t.Errorf("after %d times it makes %+v", maxRequeues, d.moves)
	}
}
