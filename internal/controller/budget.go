package controller

import (
	"context"
	"sync"
	"time"

	"example.com/berth/internal/batch"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

func budgetFor(tx ledger.Tx, resource string) *ledger.Budget {
	parent := vertex.NameOf(resource).Parent()
	if b := tx.Budget(parent); b != nil {
		return b
	}
	return &ledger.Budget{Name: parent}
}

// allow renews or revokes the allowance of a resource. The caller puts both
// documents if it reports a change.
func (c *Controller) allow(now time.Time, b *ledger.Budget, res *ledger.Resource) (changed bool) {
	return b.Allow(now, c.pace, res.Name, &res.Allowance, res.State == vertex.Running && res.Pending() == 0)
}

// putPaused puts a budget in which a pause has begun, and the resource without its
// allowance. It returns the resources whose allowances have still to be revoked.
func (c *Controller) putPaused(tx ledger.Tx, b *ledger.Budget, res *ledger.Resource) (granted []string) {
	c.allow(tx.Now(), b, res)
	tx.Put(b)
	tx.Put(res)
	return b.Grantees(tx.Now())
}

// resumed ends the pause of a region in which Vertex AI has accepted a job. An
// instance that has seen no pause there reads nothing.
func (c *Controller) resumed(ctx context.Context, parent string) {
	if !c.slots.isPaused(parent) {
		return
	}
	ended := false
	err := c.ledger.Update(ctx, ledger.Budgets(parent), func(tx ledger.Tx) error {
		b := tx.Budget(parent)
		if ended = b != nil && b.Accepted(tx.Now()); ended {
			tx.Put(b)
		}
		return nil
	})
	if err != nil {
		c.log.WarnContext(ctx, "submissions stay slow for one more pause", "event", "resume_failed", "region", parent, "error", err)
		return
	}
	c.slots.pause(parent, false)
	if ended {
		c.log.InfoContext(ctx, "Vertex AI accepts jobs again", "event", "submissions_resumed", "region", parent)
	}
}

// revoke revokes the allowances of resources in a pause. After a crash before it, at
// most what they had left is submitted during the pause.
func (c *Controller) revoke(ctx context.Context, resources []string) {
	for _, name := range resources {
		err := c.grouped.Update(ctx, ledger.Resources(name).And(ledger.Budgets(vertex.NameOf(name).Parent())), func(tx ledger.Tx) error {
			res, b := tx.Resource(name), budgetFor(tx, name)
			if res != nil && b.Paused(tx.Now()) && c.allow(tx.Now(), b, res) {
				tx.Put(b)
				tx.Put(res)
			}
			return nil
		})
		if err != nil {
			c.log.WarnContext(ctx, "cannot revoke an allowance; it is used during the pause at most", "event", "revoke_failed", "resource", name, "error", err)
		}
	}
}

// slots is what one instance knows of the submission slots.
type slots struct {
	mu     sync.Mutex
	none   map[string]time.Time // by region: no token comes free before, on the monotonic clock
	paused map[string]bool      // by region: submissions were refused, and none has been accepted since
	queues map[string]*batch.Queue[*slotRequest]
}

// A slotRequest is a reservation of this instance that asks for a submission slot.
type slotRequest struct {
	rec   *ledger.Record // as it is after; Submitting if it got one
	began time.Time      // when the update that leased it began
	err   error
}

func newSlots() *slots {
	return &slots{none: map[string]time.Time{}, paused: map[string]bool{}, queues: map[string]*batch.Queue[*slotRequest]{}}
}

func (t *slots) queue(parent string) *batch.Queue[*slotRequest] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues[parent] == nil {
		t.queues[parent] = batch.NewQueue[*slotRequest](batch.Limits{Items: 1000, Bytes: 1000, Waiting: 4000, WaitingBytes: 4000})
	}
	return t.queues[parent]
}

func (t *slots) pause(parent string, is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused[parent] = is; !is {
		delete(t.none, parent)
	}
}

func (t *slots) isPaused(parent string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paused[parent]
}

func (t *slots) noneUntil(parent string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.none[parent] = at
}

func (t *slots) noneLeft(parent string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.none[parent])
}
