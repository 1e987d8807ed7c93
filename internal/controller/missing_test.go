package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// TestShareOfMissingNames: how many calls of Vertex AI may be made for names that are
// not known, and how fast they come back.
func TestShareOfMissingNames(t *testing.T) {
	for polls, burst := range map[int]int{10: 6, 90: 6, 300: 20, 600: 40} {
		u := newMissingNames(polls)
		n := 0
		for ; n < 1000; n++ {
			if _, ok := u.mayCall("n", 1, noon); !ok {
				break
			}
		}
		if n != burst {
			t.Errorf("of %d polls %d calls are made at once, want %d", polls, n, burst)
		}
	}
	// A third of 300 a minute is shared by ten instances: ten a minute, one in six seconds.
	u := newMissingNames(300)
	if _, ok := u.mayCall("n", 20, noon); !ok {
		t.Fatal("the first twenty are refused")
	}
	if _, ok := u.mayCall("n", 1, noon.Add(5900*time.Millisecond)); ok {
		t.Error("another is let through before six seconds are over")
	}
	if _, ok := u.mayCall("n", 1, noon.Add(6*time.Second)); !ok {
		t.Error("none is let through after six seconds")
	}
	if _, ok := u.mayCall("n", 21, noon.Add(time.Hour)); ok {
		t.Error("more calls than the share ever has are let through")
	}
	giveBack, ok := u.mayCall("n", 20, noon.Add(time.Hour))
	if !ok {
		t.Fatal("a share that is full again is refused")
	}
	if _, ok := u.mayCall("n", 1, noon.Add(time.Hour)); ok {
		t.Error("the share is larger than it is")
	}
	giveBack()
	if _, ok := u.mayCall("n", 20, noon.Add(time.Hour)); !ok {
		t.Error("what is given back is lost")
	}
}

// TestRepeatedName: a name that was not there a moment ago is asked for again only
// while more than half of the share is left.
func TestRepeatedName(t *testing.T) {
	for _, test := range []struct {
		used  int
		after time.Duration // since the name was not there
		want  bool
	}{{0, time.Second, true}, {10, time.Second, true}, {11, time.Second, false}, {11, absentFor - 1, false}, {11, absentFor, true}} {
		u := newMissingNames(300)
		u.absent.Add("n", noon.Add(-test.after))
		if test.used > 0 {
			if _, ok := u.mayCall("other", test.used, noon); !ok {
				t.Fatal("no share")
			}
		}
		if _, ok := u.mayCall("n", 1, noon); ok != test.want {
			t.Errorf("%d used, not there %v ago: %v, want %v", test.used, test.after, ok, test.want)
		}
		if _, ok := u.mayCall("new", 1, noon); !ok {
			t.Errorf("%d used: a name that was not asked for is refused", test.used)
		}
	}
}

// TestFailedObservation is remembered for a moment: of the resource, and for all of a
// region when its jobs could not be listed.
func TestFailedObservation(t *testing.T) {
	u := newMissingNames(300)
	one, region := errors.New("one"), errors.New("region")
	const elsewhere = "projects/p/locations/europe-west4/persistentResources/pool"
	u.failed.Add(resourceOfTests, failedCall{noon, one})
	u.failed.Add("projects/p/locations/europe-west4", failedCall{noon, region})
	for _, test := range []struct {
		name  string
		after time.Duration
		want  error
	}{{resourceOfTests, failedFor - 1, one}, {resourceOfTests, failedFor, nil}, {resourceOfTests + "2", 0, nil}, {elsewhere, failedFor - 1, region}, {elsewhere, failedFor, nil}} {
		if got := u.hasFailed(test.name, noon.Add(test.after)); got != test.want {
			t.Errorf("%s after %v: %v, want %v", test.name, test.after, got, test.want)
		}
	}
}

// TestRestOfRegions: each region rests as long as its own calls take of its share, and
// the next pass begins when the first has rested.
func TestRestOfRegions(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Poll, cfg.Polls = 3*time.Second, 60
	c := &Controller{cfg: cfg, env: Env{Monotonic: func() time.Time { return noon }}}
	for name, test := range map[string]struct {
		calls map[string]int
		next  map[string]time.Duration
		rest  time.Duration
	}{
		"no calls":            {nil, map[string]time.Duration{}, 3 * time.Second},
		"few":                 {map[string]int{"a": 1}, map[string]time.Duration{"a": 3 * time.Second}, 3 * time.Second},
		"many":                {map[string]int{"a": 20}, map[string]time.Duration{"a": 20 * time.Second}, 20 * time.Second},
		"one busy, one quiet": {map[string]int{"a": 20, "b": 4}, map[string]time.Duration{"a": 20 * time.Second, "b": 4 * time.Second}, 4 * time.Second},
	} {
		next := map[string]time.Time{}
		if rest := c.rest(test.calls, next); rest != test.rest || len(next) != len(test.next) {
			t.Errorf("%s: %v, want %v", name, rest, test.rest)
		}
		for parent, d := range test.next {
			if !next[parent].Equal(noon.Add(d)) {
				t.Errorf("%s: %s has rested at %v, want after %v", name, parent, next[parent], d)
			}
		}
	}
}

// TestLeaseOfReconcile: one instance makes the passes: the holder goes on, another
// waits for the end of the lease, and what is given back is free at once.
func TestLeaseOfReconcile(t *testing.T) {
	now := noon
	mem := ledger.NewMem(func() time.Time { return now })
	c := New(DefaultConfig(), mem, vertex.NewMem(time.Now), noOutcomes{}, slog.New(slog.DiscardHandler), RealEnv())
	for i, step := range []struct {
		at     time.Duration
		holder string
		drop   bool
		ours   bool
	}{
		{0, "a", false, true}, {time.Second, "b", false, false}, {2 * time.Second, "a", false, true}, // until 62 s
		{62*time.Second - time.Microsecond, "b", false, false}, {62 * time.Second, "b", false, true}, // until 122 s
		{63 * time.Second, "a", true, false}, {64 * time.Second, "a", false, false}, // not its own to give back
		{65 * time.Second, "b", true, false}, {65 * time.Second, "a", false, true},
	} {
		now = noon.Add(step.at)
		if step.drop {
			if err := c.dropLease(t.Context(), step.holder); err != nil {
				t.Fatal(err)
			}
			continue
		}
		at, ours, err := c.takeLease(t.Context(), step.holder, time.Minute, &progress{})
		if err != nil || ours != step.ours || !at.Equal(now) {
			t.Errorf("step %d: %s has it: %v at %v, %v; want %v", i, step.holder, ours, at, err, step.ours)
		}
	}
}

// TestListIsMadeAgain: the list of a region's jobs serves a pass for half as long as an
// observation is good for, and a failure as long.
func TestListIsMadeAgain(t *testing.T) {
	ai := vertex.NewMem(time.Now)
	c := New(DefaultConfig(), ledger.NewMem(time.Now), ai, noOutcomes{}, slog.New(slog.DiscardHandler), RealEnv())
	now, lists, p := noon, map[string]listing{}, &progress{tasks: newTasks(true)}
	clock := func() time.Time { return now }
	half := c.cfg.Policy.MaxAge / 2
	for i, step := range []struct {
		at    time.Duration
		fails bool
		err   bool
		asked time.Duration // when the list in use was asked for
		calls int
	}{{0, false, false, 0, 1}, {half, true, false, 0, 1}, {half + 1, true, true, half + 1, 2}, {half + 2, false, true, half + 1, 2}, {2*half + 2, false, false, 2*half + 2, 3}} {
		now = noon.Add(step.at)
		ai.Fault = func(string, string) vertex.Fault {
			if step.fails {
				return vertex.FailBefore
			}
			return vertex.NoFault
		}
		l, err := c.list(t.Context(), regionOfTests, clock, lists, p)
		if (err != nil) != step.err || (l.err != nil) != step.err || l.at.Sub(noon) != step.asked || ai.Calls()["live"] != step.calls || p.calls[regionOfTests] != step.calls {
			t.Errorf("step %d: error %v, asked for after %v, %d calls, %v counted; want %+v", i, err, l.at.Sub(noon), ai.Calls()["live"], p.calls, step)
		}
	}
}

// TestRebuiltFromItsRequests: a resource's document is made again from all its requests
// that have not ended, over more than a page of each state, and not over one that is there.
func TestRebuiltFromItsRequests(t *testing.T) {
	mem := ledger.NewMem(func() time.Time { return noon })
	c := New(DefaultConfig(), mem, vertex.NewMem(time.Now), noOutcomes{}, slog.New(slog.DiscardHandler), RealEnv())
	if rebuilt, err := c.rebuild(t.Context(), resourceOfTests); rebuilt || err != nil {
		t.Errorf("a resource without requests is rebuilt: %v, %v", rebuilt, err)
	}
	held := map[message.Key]bool{}
	add := func(s lifecycle.State, i int) {
		rec := recordIn(s, "")
		rec.ID = fmt.Sprintf("%s-%d", s, i)
		rec.Key = message.KeyOf("default", message.KindRequest, rec.ID)
		rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
		rec.Times.Reserved, rec.Timeout = noon, time.Hour
		put(t, mem, rec, nil)
		if s.Holds() {
			held[rec.Key] = true
		}
	}
	for i := range 2*perUpdate + 1 {
		add(lifecycle.Running, i)
	}
	for _, s := range lifecycle.States {
		add(s, 5000)
	}
	if rebuilt, err := c.rebuild(t.Context(), resourceOfTests); !rebuilt || err != nil {
		t.Fatalf("it is not rebuilt: %v", err)
	}
	var res *ledger.Resource
	read := func() {
		t.Helper()
		err := ledger.Read(context.Background(), mem, ledger.Resources(resourceOfTests), func(tx ledger.Tx) { res = tx.Resource(resourceOfTests) })
		if err != nil {
			t.Fatal(err)
		}
	}
	read()
	for key, h := range res.Holds {
		if !held[key] {
			t.Errorf("there is a hold of %s", key)
		}
		if want := noon.Add(c.cfg.StartTimeout + time.Hour); !h.LatestEnd.Equal(want) || h.Run != "r1" || h.Ask.Replicas() != 1 {
			t.Errorf("the hold of %s is %+v, want its end at %v", key, h, want)
		}
	}
	if len(res.Holds) != len(held) {
		t.Errorf("%d holds, want %d", len(res.Holds), len(held))
	}
	res.State = "ERROR"
	put(t, mem, nil, res)
	if rebuilt, err := c.rebuild(t.Context(), resourceOfTests); rebuilt || err != nil {
		t.Errorf("a document that is there is written anew: %v, %v", rebuilt, err)
	}
	if read(); res.State != "ERROR" {
		t.Errorf("it is %s now", res.State)
	}
}
