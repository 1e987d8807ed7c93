package controller

import (
	"errors"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
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
