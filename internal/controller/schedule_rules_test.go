package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// TestDispatchWithAnUnreadableBudget: nothing is submitted in that region, which is told
// and is no failure of the pass; other regions go on.
func TestDispatchWithAnUnreadableBudget(t *testing.T) {
	b := newBench(t)
	keys := b.reserved(2, func(*ledger.Resource, []message.Key) {})
	const far = "projects/p/locations/europe-west4"
	other := recordIn(lifecycle.Reserved, "")
	b.rename(other, nil, "far")
	other.Resource, other.Attempt, other.ActUntil = far+"/persistentResources/pool", 0, time.Time{}
	other.Order = ledger.OrderKey(0, noon, other.Key)
	put(t, b.mem, other, &ledger.Resource{Name: other.Resource, State: vertex.Running, CreateTime: noon, ObservedAt: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)},
		Holds: map[message.Key]ledger.Hold{other.Key: {Ask: other.Ask, Run: other.Run, Pending: true}}})
	err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error { tx.Put(&ledger.Budget{Name: regionOfTests}); return nil })
	if err != nil {
		t.Fatal(err)
	}
	b.mem.Spoil(ledger.BudgetRef(regionOfTests), "it has layout 9")
	p := &progress{pending: map[string]bool{resourceOfTests: true, other.Resource: true}, tasks: newTasks(true)}
	if err := b.c.dispatch(t.Context(), p); err != nil || p.Unreadable != 1 || !strings.Contains(b.log.String(), `"unreadable_document"`) {
		t.Errorf("%v, %d unreadable, %s", err, p.Unreadable, &b.log)
	}
	if b.state(keys[0]) != lifecycle.Reserved || b.state(other.Key) == lifecycle.Reserved {
		t.Errorf("it is %s, and in the other region %s", b.state(keys[0]), b.state(other.Key))
	}
}

// TestDispatchGoesOnAfterAPause: in a pause one is tried; if Vertex AI accepts it, the
// others follow at once.
func TestDispatchGoesOnAfterAPause(t *testing.T) {
	for _, accepts := range []bool{true, false} {
		b := newBench(t)
		keys := b.reserved(4, func(res *ledger.Resource, keys []message.Key) {})
		for _, key := range keys {
			rec := b.record(key)
			rec.Spec = `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
			put(t, b.mem, rec, nil)
		}
		err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error {
			budget := &ledger.Budget{Name: regionOfTests}
			budget.Refusals, budget.NotBefore = 2, noon
			tx.Put(budget)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !accepts {
			b.ai.Fault = func(op, _ string) vertex.Fault {
				if op == "create" {
					return vertex.FailRate
				}
				return vertex.NoFault
			}
		}
		p := &progress{pending: map[string]bool{resourceOfTests: true}, tasks: newTasks(true)}
		if err := b.c.dispatch(t.Context(), p); err != nil {
			t.Error(err)
		}
		if want := map[bool]int{true: 4, false: 1}[accepts]; b.ai.Calls()["create"] != want || p.Pending != map[bool]int{true: 0, false: 3}[accepts] {
			t.Errorf("Vertex AI accepts %v: %d creates, %d pending", accepts, b.ai.Calls()["create"], p.Pending)
		}
	}
}

// TestSlotsForThoseThatAsk: requests that ask together share one lease; others that it
// moves are submitted as well, and an error is that of each.
func TestSlotsForThoseThatAsk(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Submissions, b.c.pace.PerMinute = 2, 2
	keys := b.reserved(3, func(*ledger.Resource, []message.Key) {})
	for _, key := range keys {
		rec := b.record(key)
		rec.Spec = `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
		put(t, b.mem, rec, nil)
	}
	if err := b.c.requestSlot(t.Context(), b.record(keys[2])); err != nil { // the last asks: those before it go first
		t.Fatal(err)
	}
	states := ""
	for _, key := range keys {
		states += string(b.state(key)) + " "
	}
	if states != "SUBMITTED SUBMITTED RESERVED " || b.ai.Calls()["create"] != 2 {
		t.Errorf("%s after %v", states, b.ai.Calls())
	}
	b.c.slots.pause(regionOfTests, false)
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if err := b.c.requestSlot(t.Context(), b.recordOf(keys[2])); !errors.Is(err, ledger.ErrInjected) {
		t.Errorf("without the ledger: %v", err)
	}
	b.c.proceed(t.Context(), b.recordOf(keys[2]), noon)
	if !strings.Contains(b.log.String(), `"slot_failed"`) {
		t.Errorf("it is not logged: %s", &b.log)
	}
}

// recordOf is record while the ledger fails.
func (b *bench) recordOf(key message.Key) *ledger.Record {
	fault := b.mem.Fault
	b.mem.Fault = nil
	defer func() { b.mem.Fault = fault }()
	return b.record(key)
}

// TestQueueThatDisagrees: a head without a waiting request is struck and reported, one
// whose record cannot be read is left out, and the others start.
func TestQueueThatDisagrees(t *testing.T) {
	b := newBench(t)
	b.records(lifecycle.Running, 0)
	good, gone, bad := b.queue("good"), b.queue("gone"), b.queue("bad")
	rec := b.record(gone)
	rec.State, rec.Class = lifecycle.Cancelled, ""
	put(t, b.mem, rec, nil)
	b.mem.Spoil(ledger.RecordRef(bad), "it has layout 9")
	p := &progress{tasks: newTasks(true)}
	waiting, err := b.c.schedule(t.Context(), resourceOfTests, nil, p)
	res := b.resource()
	if err != nil || waiting != 0 || p.Started != 1 || p.Unreadable != 1 || b.state(good) != lifecycle.Reserved {
		t.Errorf("%d wait, %d started, %d unreadable, %v; the good one is %s", waiting, p.Started, p.Unreadable, err, b.state(good))
	}
	if !res.Skipped[bad] || len(res.Skipped) != 1 || res.Queue.Waiting() != 1 || !strings.Contains(b.log.String(), `"queue_broken"`) || !strings.Contains(b.log.String(), `"request_key":"`+string(gone)+`"`) {
		t.Errorf("skipped %v, %d in the queue; %s", res.Skipped, res.Queue.Waiting(), &b.log)
	}
}

// overtaken is a ledger in which another instance writes a resource before each update of
// it, so many times.
type overtaken struct {
	*ledger.Mem
	times int
}

func (o *overtaken) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	if names := reads.Names(ledger.KindResource); len(names) == 1 && len(reads) > 1 && o.times > 0 {
		o.times--
		err := o.Mem.Update(ctx, ledger.Resources(names...), func(tx ledger.Tx) error {
			res := tx.Resource(names[0])
			res.Version++
			tx.Put(res)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return o.Mem.Update(ctx, reads, closure, hints...)
}

// TestPlanThatIsOvertaken: if others change the queue meanwhile, the plan is made again, on
// what is there then.
func TestPlanThatIsOvertaken(t *testing.T) {
	b := newBench(t)
	b.records(lifecycle.Running, 0)
	var keys []message.Key
	for i := range 3 {
		keys = append(keys, b.queue(fmt.Sprint("w", i)))
	}
	l := &overtaken{Mem: b.mem, times: 4}
	b.c.ledger = l
	p := &progress{tasks: newTasks(true)}
	if waiting, err := b.c.schedule(t.Context(), resourceOfTests, nil, p); err != nil || waiting != 0 || p.Started != 3 || l.times != 0 || !p.pending[resourceOfTests] {
		t.Errorf("%d wait, %d started, %v, pending %v", waiting, p.Started, err, p.pending)
	}
	for _, key := range keys {
		if b.state(key) != lifecycle.Reserved {
			t.Errorf("%s is %s", key, b.state(key))
		}
	}
}

// TestScheduleNow starts what has come free and submits it, and returns what failed of both.
func TestScheduleNow(t *testing.T) {
	b := newBench(t)
	b.records(lifecycle.Running, 0)
	key := b.queue("w")
	if err := b.c.scheduleNow(t.Context(), resourceOfTests); err != nil || b.state(key) != lifecycle.Submitted {
		t.Errorf("it is %s, %v", b.state(key), err)
	}
	before := b.mem.Stats()
	if err := b.c.scheduleNow(t.Context(), resourceOfTests); err != nil || b.mem.Stats().Commits != before.Commits || b.mem.Stats().Reads != before.Reads+1 {
		t.Errorf("with nothing to start: %v, %+v", err, b.mem.Stats())
	}
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if err := b.c.scheduleNow(t.Context(), resourceOfTests); !errors.Is(err, ledger.ErrInjected) || !strings.HasPrefix(err.Error(), "read the queue of "+resourceOfTests+": ") {
		t.Errorf("without the ledger: %v", err)
	}
}

// TestEveryFailureOfItsPartsIsReturned: each read, query and commit of the parts of a pass
// that decide parked requests, notify, announce and schedule ends the part with its error
// when it fails, and what was not done is done by the next.
func TestEveryFailureOfItsPartsIsReturned(t *testing.T) {
	parked := func(b *bench) {
		b.records(lifecycle.Running, 0)
		res := b.resource()
		for i := range 3 {
			rec := recordIn(lifecycle.Waiting, "")
			b.rename(rec, nil, fmt.Sprint("p", i))
			rec.Run, rec.Timeout, rec.Parked, rec.Attempt, rec.ActUntil = "", time.Hour, true, 0, time.Time{}
			rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
			put(b.T, b.mem, rec, nil)
		}
		res.HasParked, res.Recheck = true, map[string]string{ledger.Parked: ""}
		put(b.T, b.mem, nil, res)
	}
	waits := func(change func(*ledger.Resource)) func(*bench) {
		return func(b *bench) {
			b.records(lifecycle.Running, 0)
			for i := range 3 {
				b.queue(fmt.Sprint("w", i))
			}
			res := b.resource()
			change(res)
			put(b.T, b.mem, nil, res)
		}
	}
	p := func() *progress { return &progress{tasks: newTasks(true)} }
	for name, part := range map[string]struct {
		set  func(*bench)
		run  func(*bench) error
		done func(*bench) bool
	}{
		"parked requests": {parked, func(b *bench) error { _, err := b.c.recheck(b.Context(), b.resourceOf(), p()); return err }, func(b *bench) bool { return len(b.resourceOf().Recheck) == 0 }},
		"a notice": {waits(func(res *ledger.Resource) { res.State, res.Notice = ledger.Absent, &ledger.Notice{} }), func(b *bench) error { return b.c.notify(b.Context(), b.resourceOf(), p()) },
			func(b *bench) bool { return b.resourceOf().Notice == nil }},
		"the queue": {waits(func(*ledger.Resource) {}), func(b *bench) error { _, err := b.c.schedule(b.Context(), resourceOfTests, nil, p()); return err },
			func(b *bench) bool { return len(b.resourceOf().Queue) == 0 }},
		"the due": {waits(func(*ledger.Resource) {}), func(b *bench) error { return b.c.runTimers(b.Context(), noon.Add(48*time.Hour), p()) }, func(*bench) bool { return true }},
		"an announcement": {waits(func(res *ledger.Resource) {
			res.State, res.Reannounce = "ERROR", map[message.Key]bool{message.KeyOf("default", message.KindRequest, "w0"): true}
		}), func(b *bench) error { return b.c.announce(b.Context(), b.resourceOf(), noon, nil) }, func(b *bench) bool { return len(b.resourceOf().Reannounce) == 0 }},
	} {
		for k := 1; ; k++ {
			b := newBench(t)
			part.set(b)
			n, failed := 0, false
			b.mem.Fault = func(op string) ledger.Fault {
				if n++; n != k {
					return ledger.None
				}
				failed = true
				return map[string]ledger.Fault{ledger.OpRead: ledger.FailRead, ledger.OpQuery: ledger.FailRead, ledger.OpCommit: ledger.FailCommit}[op]
			}
			err := part.run(b)
			b.mem.Fault = nil
			if !failed {
				if k < 2 || err != nil || !part.done(b) {
					t.Errorf("%s: %d operations, %v", name, k-1, err)
				}
				break
			}
			published := strings.Contains(b.log.String(), `"publish_failed"`) // what is not published now is published late
			if !errors.Is(err, ledger.ErrInjected) && !published {
				t.Errorf("%s: operation %d fails, and it returns %v", name, k, err)
			}
			if err := part.run(b); err != nil || !part.done(b) {
				t.Errorf("%s: after operation %d has failed it does not go on: %v", name, k, err)
			}
		}
	}
}

// resourceOf is resource while the ledger fails.
func (b *bench) resourceOf() *ledger.Resource {
	fault := b.mem.Fault
	b.mem.Fault = nil
	defer func() { b.mem.Fault = fault }()
	return b.resource()
}
