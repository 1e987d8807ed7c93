package controller

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// reserved writes n requests that wait for submission slots, first come first.
func (b *bench) reserved(n int, change func(*ledger.Resource, []message.Key)) (keys []message.Key) {
	b.Helper()
	res, keys := b.records(lifecycle.Reserved, n)
	for _, key := range keys {
		rec := b.record(key)
		rec.Reservation.Job, rec.Attempt, rec.ActUntil = "", 0, time.Time{}
		put(b.T, b.mem, rec, nil)
		h := res.Holds[key]
		h.Pending = true
		res.Holds[key] = h
	}
	change(res, keys)
	put(b.T, b.mem, nil, res)
	return keys
}

// TestGrantSlots: as many reservations go as the budget has tokens, in order; the first
// that is left is noted; those that have lost their hold take no token, and those whose
// pool is lost wait again.
func TestGrantSlots(t *testing.T) {
	for _, test := range []struct {
		name    string
		perMin  int
		used    int
		pause   pace.Backoff
		all     bool
		change  func(*ledger.Resource, []message.Key)
		going   string // which of them go, by number
		waiting string // which wait again
		left    int
		first   int // which is noted as the first that waits; -1 for none
	}{
		{"enough", 60, 0, pace.Backoff{}, true, func(*ledger.Resource, []message.Key) {}, "0123", "", 0, -1},
		{"two tokens", 2, 0, pace.Backoff{}, true, func(*ledger.Resource, []message.Key) {}, "01", "", 2, 2},
		{"two tokens, of those that ask", 2, 0, pace.Backoff{}, false, func(*ledger.Resource, []message.Key) {}, "01", "", 2, 2},
		{"some are used", 4, 3, pace.Backoff{}, true, func(*ledger.Resource, []message.Key) {}, "0", "", 3, 1},
		{"none", 4, 4, pace.Backoff{}, true, func(*ledger.Resource, []message.Key) {}, "", "", 4, 0},
		{"none for those that ask", 4, 4, pace.Backoff{}, false, func(*ledger.Resource, []message.Key) {}, "", "", 4, -1},
		{"in a pause", 60, 0, pace.Backoff{NotBefore: noon.Add(time.Second), Refusals: 1}, true, func(*ledger.Resource, []message.Key) {}, "", "", 4, 0},
		{"after a pause", 60, 0, pace.Backoff{NotBefore: noon, Refusals: 1}, true, func(*ledger.Resource, []message.Key) {}, "0", "", 3, 1},
		{"the first has lost its hold", 2, 0, pace.Backoff{}, true, func(res *ledger.Resource, keys []message.Key) { delete(res.Holds, keys[0]) }, "12", "", 1, 3},
		{"the first is held for another run", 2, 0, pace.Backoff{}, true, func(res *ledger.Resource, keys []message.Key) {
			h := res.Holds[keys[0]]
			h.Run = "r0"
			res.Holds[keys[0]] = h
		}, "12", "", 2, 3},
		{"the resource is gone", 2, 0, pace.Backoff{}, true, func(res *ledger.Resource, _ []message.Key) { res.State = ledger.Absent }, "", "0123", 0, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.c.cfg.Submissions, b.c.pace.PerMinute = test.perMin, test.perMin
			keys := b.reserved(4, test.change)
			err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error {
				budget := budgetFor(tx, resourceOfTests)
				budget.Backoff = test.pause
				if test.used > 0 {
					budget.Grants = []pace.Grant{{Tokens: test.used, Until: noon}}
				}
				tx.Put(budget)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			g, err := b.c.grantSlots(t.Context(), regionOfTests, []string{resourceOfTests}, test.all)
			if err != nil {
				t.Fatal(err)
			}
			going, waiting, order := "", "", ""
			for i, key := range keys {
				switch rec := b.record(key); rec.State {
				case lifecycle.Submitting:
					going += string(rune('0' + i))
					if rec.Attempt != 1 || !rec.ActUntil.Equal(noon.Add(b.c.cfg.SubmitTimeout)) || !rec.LeasedAt.Equal(noon) {
						t.Errorf("%d is leased as attempt %d until %v", i, rec.Attempt, rec.ActUntil)
					}
				case lifecycle.Waiting:
					waiting += string(rune('0' + i))
					if rec.Why == nil || rec.Why.Code != reason.ResourceGone {
						t.Errorf("%d waits because of %+v", i, rec.Why)
					}
				}
				if i == test.first {
					order = b.record(key).Order
				}
			}
			if going != test.going || waiting != test.waiting || g.left != test.left || len(g.moved) != len(going)+len(waiting) {
				t.Errorf("%q go, %q wait again, %d are left, %d moved; want %q, %q, %d", going, waiting, g.left, len(g.moved), test.going, test.waiting, test.left)
			}
			if got := b.budget().FirstWaiting; got != order {
				t.Errorf("%q is noted as the first that waits, want that of %d", got, test.first)
			}
			if free := b.budget().Free(noon, b.c.pace); test.pause.Refusals == 0 && free != test.perMin-test.used-len(going)-b.resource().Allowance.Left {
				t.Errorf("%d tokens are left", free)
			}
			for i := 1; i < len(g.moved); i++ {
				if g.moved[i-1].Order >= g.moved[i].Order {
					t.Errorf("%s goes before %s", g.moved[i-1].ID, g.moved[i].ID)
				}
			}
			if b.c.slots.isPaused(regionOfTests) != (test.pause.Refusals > 0) {
				t.Errorf("paused: %v", b.c.slots.isPaused(regionOfTests))
			}
		})
	}
	b := newBench(t)
	b.reserved(1, func(*ledger.Resource, []message.Key) {})
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if _, err := b.c.grantSlots(t.Context(), regionOfTests, []string{resourceOfTests}, true); !errors.Is(err, ledger.ErrInjected) {
		t.Errorf("a read that fails: %v", err)
	}
	if err := b.c.dispatch(t.Context(), &progress{pending: map[string]bool{resourceOfTests: true}, tasks: newTasks(true)}); !errors.Is(err, ledger.ErrInjected) {
		t.Errorf("a read that fails, in a pass: %v", err)
	}
}

// TestDispatchCountsWhoIsLeft: requests of every region that got no slot are counted.
func TestDispatchCountsWhoIsLeft(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Submissions, b.c.pace.PerMinute = 1, 1
	b.reserved(3, func(*ledger.Resource, []message.Key) {})
	b.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	p := &progress{pending: map[string]bool{resourceOfTests: true}, tasks: newTasks(true)}
	if err := b.c.dispatch(t.Context(), p); err != nil || p.Pending != 2 {
		t.Errorf("%d are left, %v; want 2", p.Pending, err)
	}
}

// TestGrantSlotsWithinShares: a tenant with a share of the submissions gets no more slots
// than that, in order, and those that it cannot have go to others. What another instance
// has given meanwhile counts, and so do further attempts.
func TestGrantSlotsWithinShares(t *testing.T) {
	share := func(b *bench, part string) {
		p, problems := policy.Parse([]byte("defaults: {serviceAccounts: any}\ntenants: {default: {submissions: " + part + "}}"))
		if p == nil {
			t.Fatal(problems)
		}
		b.c.policies.set(&rulebook{at: noon, policy: p, quotas: &sync.Map{}})
	}
	for name, test := range map[string]struct {
		perMin int
		part   string
		others []int // that are of another tenant
		spent  int   // by the tenant, of late
		going  string
	}{
		"all of it":            {6, "1", nil, 0, "012345"},
		"half of it":           {6, "0.5", nil, 0, "012"},
		"others have the rest": {6, "0.3", []int{3, 5}, 0, "0135"},
		"others are first":     {6, "0.3", []int{0, 1, 2}, 0, "01234"},
		"it is spent":          {6, "0.3", []int{4}, 2, "4"},
		"as many as are left":  {3, "1", []int{4}, 0, "012"},
		"a part is spent":      {6, "0.5", nil, 2, "0"},
	} {
		b := newBench(t)
		b.c.pace.PerMinute = test.perMin
		share(b, test.part)
		keys := b.reserved(6, func(*ledger.Resource, []message.Key) {})
		for _, i := range test.others {
			rec := b.record(keys[i])
			rec.Tenant = "other"
			put(t, b.mem, rec, nil)
		}
		budget := &ledger.Budget{Name: regionOfTests}
		for range test.spent {
			budget.Count(noon, "default")
		}
		if err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error { tx.Put(budget); return nil }); err != nil {
			t.Fatal(err)
		}
		g, err := b.c.grantSlots(t.Context(), regionOfTests, []string{resourceOfTests}, true)
		going := ""
		for i, key := range keys {
			if b.record(key).State == lifecycle.Submitting {
				going += strconv.Itoa(i)
			}
		}
		if err != nil || going != test.going || g.left != len(keys)-len(going) {
			t.Errorf("%s: %s go and %d are left, want %s; %v", name, going, g.left, test.going, err)
		}
	}

	// Two instances have read the same budget.
	b := newBench(t)
	share(b, "0.01")
	keys := b.reserved(2, func(*ledger.Resource, []message.Key) {})
	for _, want := range []int{1, 0} {
		moved, err := b.c.leaseSlots(t.Context(), resourceOfTests, []*ledger.Record{b.record(keys[0]), b.record(keys[1])}, "", true, true)
		if err != nil || len(moved) != want {
			t.Errorf("%d get a slot of the one that there is, want %d; %v", len(moved), want, err)
		}
	}
	// An admission of the tenant takes nothing of the allowance, and another attempt counts.
	res := b.resource()
	res.Allowance = pace.Allowance{Left: 5, Until: noon.Add(time.Minute)}
	rec := b.record(keys[0])
	err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests).And(ledger.Resources(resourceOfTests)), func(tx ledger.Tx) error {
		if !b.c.takeForRetry(tx, res, rec) {
			t.Error("it may not try again")
		}
		return nil
	})
	var budget *ledger.Budget
	if err == nil {
		err = ledger.Read(t.Context(), b.mem, ledger.Budgets(regionOfTests), func(tx ledger.Tx) { budget = tx.Budget(regionOfTests) })
	}
	if err != nil || res.Allowance.Left != 5 || len(budget.Tenants) != 1 || budget.Tenants[0].Tokens != 2 {
		t.Errorf("%+v, %+v, %v", res.Allowance, budget, err)
	}
}
