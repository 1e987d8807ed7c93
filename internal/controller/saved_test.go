package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A bench is a controller over the memory twins at noon, and its log.
type bench struct {
	*testing.T
	c   *Controller
	mem *ledger.Mem
	ai  *vertex.Mem
	log bytes.Buffer
	out outcomesTo
}

// outcomesTo keeps published events, or fails.
type outcomesTo struct {
	events []message.Outcome
	err    error
	refuse func(message.Outcome) bool // an event that nothing can be published with
}

func (o *outcomesTo) Publish(_ context.Context, events ...message.Outcome) error {
	if o.refuse != nil && slices.ContainsFunc(events, o.refuse) {
		return errors.New("one of them is refused")
	}
	if o.err == nil {
		o.events = append(o.events, events...)
	}
	return o.err
}

func newBench(t *testing.T) *bench { return benchOf(t, DefaultConfig()) }

// benchOf is a bench with other settings.
func benchOf(t *testing.T, cfg Config) *bench {
	b := &bench{T: t, mem: ledger.NewMem(func() time.Time { return noon }), ai: vertex.NewMem(func() time.Time { return noon })}
	env := RealEnv()
	env.Monotonic = func() time.Time { return noon }
	b.c = New(cfg, b.mem, b.ai, &b.out, slog.New(slog.NewJSONHandler(&b.log, nil)), env)
	return b
}

// records writes n records in a state, with jobs, holds and consecutive orders.
func (b *bench) records(s lifecycle.State, n int) (res *ledger.Resource, keys []message.Key) {
	b.Helper()
	res = &ledger.Resource{Name: resourceOfTests, State: vertex.Running, CreateTime: noon.Add(-time.Hour), ObservedAt: noon,
		Pools: []capacity.Pool{poolOf(small, 100, 0, 0)}, Holds: map[message.Key]ledger.Hold{}}
	for i := range n {
		rec := recordIn(s, fmt.Sprintf("%s/customJobs/%d", regionOfTests, i+1))
		rec.ID = fmt.Sprintf("r%04d", i)
		rec.Key = message.KeyOf("default", message.KindRequest, rec.ID)
		rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
		put(b.T, b.mem, rec, nil)
		res.Holds[rec.Key] = ledger.Hold{Ask: rec.Ask, Run: rec.Run, Tenant: rec.Tenant}
		keys = append(keys, rec.Key)
	}
	put(b.T, b.mem, nil, res)
	return res, keys
}

func (b *bench) resource() (res *ledger.Resource) {
	b.Helper()
	if err := ledger.Read(b.Context(), b.mem, ledger.Resources(resourceOfTests), func(tx ledger.Tx) { res = tx.Resource(resourceOfTests) }); err != nil {
		b.Fatal(err)
	}
	return res
}

func (b *bench) state(key message.Key) (s lifecycle.State) {
	b.Helper()
	if err := ledger.Read(b.Context(), b.mem, ledger.Records(key), func(tx ledger.Tx) { s = tx.Record(key).State }); err != nil {
		b.Fatal(err)
	}
	return s
}

// TestOlderObservation never replaces a newer one; one of the same moment may.
func TestOlderObservation(t *testing.T) {
	for age, older := range map[time.Duration]bool{-time.Microsecond: true, 0: false, time.Microsecond: false} {
		b := newBench(t)
		b.records(lifecycle.Running, 1)
		said := vertex.Resource{State: "UPDATING", CreateTime: noon.Add(-time.Hour)}
		s, err := b.c.saveObservation(t.Context(), resourceOfTests, observation{res: said, at: noon.Add(age)})
		if err != nil || s.older != older {
			t.Errorf("%v from the one that is known: older %v, %v", age, s.older, err)
		}
		want, at := "UPDATING", noon.Add(age)
		if older {
			want, at = vertex.Running, noon
		}
		if res := b.resource(); res.State != want || !res.ObservedAt.Equal(at) || s.res.State != want {
			t.Errorf("%v from the one that is known: the ledger has %s of %v", age, res.State, res.ObservedAt)
		}
	}
}

// TestObservedJobs: a job counts under its hold only with the labels of both the
// request and the run; the youngest of ours is remembered.
func TestObservedJobs(t *testing.T) {
	b := newBench(t)
	res, keys := b.records(lifecycle.Running, 2)
	one := capacity.Ask{{Shape: small, Replicas: 1}}
	name := func(i int) string { return fmt.Sprintf("%s/customJobs/%d", regionOfTests, i) }
	live := []vertex.Job{
		{Name: name(1), Request: keys[0], Run: "r1", Ask: one, CreateTime: noon.Add(-time.Minute), State: vertex.JobRunning},
		{Name: name(2), Request: keys[1], Run: "r1", Ask: one, CreateTime: noon.Add(-time.Second), State: vertex.JobPending},
		{Name: name(3), Request: keys[0], Ask: one, CreateTime: noon}, {Name: name(4), Run: "r1", Ask: one, CreateTime: noon}, {Name: name(5), Ask: one, CreateTime: noon},
	}
	s, err := b.c.saveObservation(t.Context(), resourceOfTests, observation{at: noon.Add(time.Second), live: live,
		res: vertex.Resource{State: vertex.Running, CreateTime: res.CreateTime, Pools: res.Pools}})
	if err != nil || len(s.ours) != 2 || s.ours[keys[0]].Name != name(1) || len(s.orphans)+len(s.unnamed)+len(s.unheld) != 0 {
		t.Errorf("ours %v, orphan jobs %v, %v", s.ours, s.orphans, err)
	}
	after := b.resource()
	var foreign []string
	for _, f := range after.Foreign {
		foreign = append(foreign, f.Job[len(f.Job)-1:])
	}
	if strings.Join(foreign, "") != "345" || !after.AcceptedAt.Equal(noon.Add(-time.Second)) || after.Holds[keys[0]].Job != name(1) || after.Holds[keys[1]].Job != name(2) {
		t.Errorf("foreign %v, youngest job of %v, holds %+v", foreign, after.AcceptedAt, after.Holds)
	}
}

// TestMissingJobsAreAskedFor: each job that is not listed is asked for once, up to a
// third of the region's calls; the others are left to the next pass.
func TestMissingJobsAreAskedFor(t *testing.T) {
	const n = 110
	for _, test := range []struct {
		polls, called int
		asked         int
		more          bool
	}{{300, 0, 100, true}, {330, 0, 110, false}, {300, 99, 1, true}, {300, 100, 0, true}} {
		b := newBench(t)
		b.c.cfg.Polls = test.polls
		res, keys := b.records(lifecycle.Running, n)
		gets := 0
		b.ai.Fault = func(op, _ string) vertex.Fault {
			if op == "get" {
				gets++
			}
			return vertex.FailBefore
		}
		p := &progress{tasks: newTasks(true)}
		p.called(regionOfTests, test.called)
		err := b.c.getMissing(t.Context(), classified{res: res}, keys, p)
		if gets != test.asked || p.more != test.more || p.calls[regionOfTests] != test.called+test.asked {
			t.Errorf("%d calls a minute, %d made: %d asked for, more %v, %d counted; want %+v", test.polls, test.called, gets, p.more, p.calls[regionOfTests], test)
		}
		if (err != nil) != (test.asked > 0) {
			t.Errorf("the calls fail, and the error is %v", err)
		}
		if b.state(keys[0]) != lifecycle.Running {
			t.Errorf("a job that could not be asked for has ended its request")
		}
	}
}

// TestReadsThatFail: what could not be read is an error of the pass, and nothing is
// concluded from it.
func TestReadsThatFail(t *testing.T) {
	b := newBench(t)
	res, keys := b.records(lifecycle.Running, 2)
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	p := &progress{tasks: newTasks(true)}
	job := vertex.Job{Name: regionOfTests + "/customJobs/9", Request: keys[0], Run: "r0"}
	for name, err := range map[string]error{
		"missing": b.c.getMissing(t.Context(), classified{res: res}, keys, p),
		"orphans": b.c.cancelOrphans(t.Context(), []vertex.Job{job}, p),
		"apply":   b.c.applyAll(t.Context(), classified{res: res}, keys, map[message.Key]vertex.Job{}, p),
		"leaked":  b.c.freeLeakedHold(t.Context(), resourceOfTests, keys[0]),
		"lease":   b.c.dropLease(t.Context(), "me"),
		"late":    b.c.publishLate(t.Context(), noon, p),
	} {
		if err == nil || !errors.Is(err, ledger.ErrInjected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.ai.Calls()["cancel"] + b.ai.Calls()["get"]; n != 0 || p.Learned+p.Orphans != 0 {
		t.Errorf("%d calls of Vertex AI were made, %+v", n, p.Report)
	}
	b.mem.Fault = nil
	if b.state(keys[0]) != lifecycle.Running {
		t.Error("a request has moved")
	}
}

// TestLeakedHold: a hold goes when its request does not hold, and stays when it holds
// for another run, which is logged.
func TestLeakedHold(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ledger.Record)
		stays  bool
		event  string
	}{
		"its request has ended": {func(r *ledger.Record) { r.State = lifecycle.Failed }, false, "leaked_hold"},
		"its request waits":     {func(r *ledger.Record) { r.State = lifecycle.Waiting }, false, "leaked_hold"},
		"it is right":           {func(*ledger.Record) {}, true, ""},
		"of another run":        {func(r *ledger.Record) { r.Run = "r2" }, true, "hold_mismatch"},
		"on another resource":   {func(r *ledger.Record) { r.Resource = regionOfTests + "/persistentResources/other" }, true, "hold_mismatch"},
	} {
		b := newBench(t)
		_, keys := b.records(lifecycle.Running, 1)
		rec := recordIn(lifecycle.Running, "j")
		rec.ID, rec.Key = "r0000", keys[0]
		test.change(rec)
		put(t, b.mem, rec, nil)
		if err := b.c.freeLeakedHold(t.Context(), resourceOfTests, keys[0]); err != nil {
			t.Fatal(err)
		}
		if _, held := b.resource().Holds[keys[0]]; held != test.stays {
			t.Errorf("%s: it stays: %v, want %v", name, held, test.stays)
		}
		for _, event := range []string{"leaked_hold", "hold_mismatch"} {
			if strings.Contains(b.log.String(), `"event":"`+event+`"`) != (event == test.event) {
				t.Errorf("%s: the log says %s, want %q", name, &b.log, test.event)
			}
		}
	}
}

// TestEventsAreMarked: published events are marked, those that are not published are
// not, and a mark that fails is an error although the topic has the events.
func TestEventsAreMarked(t *testing.T) {
	write := func(b *bench) []*ledger.Record {
		var recs []*ledger.Record
		for i := range 3 {
			rec := recordIn(lifecycle.Waiting, "")
			rec.ID = fmt.Sprint("e", i)
			rec.Key = message.KeyOf("default", message.KindRequest, rec.ID)
			if i != 1 {
				rec.Append(message.Outcome{Type: message.Queued}, noon.Add(-time.Minute))
			}
			put(b.T, b.mem, rec, nil)
			recs = append(recs, rec)
		}
		return recs
	}
	unpublished := func(b *bench) (n int) {
		for _, rec := range b.mem.Records() {
			n += len(rec.Unpublished())
		}
		return n
	}
	b := newBench(t)
	if err := b.c.publish(t.Context(), write(b)...); err != nil || len(b.out.events) != 2 || unpublished(b) != 0 {
		t.Errorf("%v, %d published, %d left", err, len(b.out.events), unpublished(b))
	}
	b = newBench(t)
	b.out.err = errors.New("the topic is gone")
	if err := b.c.publish(t.Context(), write(b)...); !errors.Is(err, b.out.err) || unpublished(b) != 2 {
		t.Errorf("%v, %d left", err, unpublished(b))
	}
	b = newBench(t)
	recs := write(b)
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if err := b.c.publish(t.Context(), recs...); !errors.Is(err, ledger.ErrInjected) || len(b.out.events) != 2 {
		t.Errorf("the mark fails: %v, %d published", err, len(b.out.events))
	}
	b.mem.Fault = nil
	if unpublished(b) != 2 {
		t.Errorf("%d are left, want both", unpublished(b))
	}
	before := b.mem.Stats()
	if err := b.c.publish(t.Context(), recs[1]); err != nil || len(b.out.events) != 2 || b.mem.Stats().Commits != before.Commits {
		t.Errorf("a request without events: %v, %d published", err, len(b.out.events))
	}
}

// TestRebuildNeedsWhatMayHold: a document is not rebuilt while a request that may yet
// create a job cannot be read; one that waits or runs is left out.
func TestRebuildNeedsWhatMayHold(t *testing.T) {
	for _, s := range lifecycle.States {
		if s.Terminal() {
			continue
		}
		b := newBench(t)
		_, keys := b.records(s, 2)
		b.mem.Spoil(ledger.RecordRef(keys[1]), "a newer layout")
		got, err := b.c.active(t.Context(), resourceOfTests)
		fails := slices.Contains([]lifecycle.State{lifecycle.Reserved, lifecycle.Submitting, lifecycle.Cancelling}, s)
		if (err != nil) != fails || !fails && len(got) != 1 {
			t.Errorf("%s: %d records, %v", s, len(got), err)
		}
	}
}

// TestUnheldJobsAreLogged once per observation, by the first of their requests.
func TestUnheldJobsAreLogged(t *testing.T) {
	b := newBench(t)
	if b.c.reportUnheld(t.Context(), nil); b.log.Len() > 0 {
		t.Errorf("nothing is wrong, and the log says %s", &b.log)
	}
	b.c.reportUnheld(t.Context(), map[message.Key]vertex.Job{"k2": {Name: "j2"}, "k1": {Name: "j1"}})
	for _, part := range []string{`"event":"hold_missing"`, `"jobs":2`, `"request_key":"k1"`, `"job":"j1"`, `"level":"ERROR"`} {
		if !strings.Contains(b.log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, &b.log)
		}
	}
}
