package controller

import (
	"context"
	"fmt"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// maxHinting is how many hints an instance follows at one time: less than the
// requests that deploy.sh lets it have, so that a tick always finds room.
const maxHinting = 4

// Hint says that a job may have changed: Berth gets the job, and if it has ended
// schedules its replicas. It never starts a pass, and an instance follows no more
// hints than a third of its share of Vertex AI's calls allows, and few at one time:
// the others are dropped, since the tick learns the same.
func (c *Controller) Hint(ctx context.Context, job string) error {
	if !c.hints.AllowN(c.env.Monotonic(), 1) {
		return nil
	}
	// A hint that hangs holds one of the function's request slots, and ticks need
	// these.
	if c.hinting.Add(1) > maxHinting {
		c.hinting.Add(-1)
		return nil
	}
	defer c.hinting.Add(-1)
	j, err := c.vertex.Get(ctx, job)
	switch {
	case err != nil && vertex.KindOf(err) == vertex.NotFound:
		return nil // the tick asks for those that a reservation names
	case err != nil:
		return fmt.Errorf("hint: get %s: %w", job, err)
	case j.Request == "" || j.Run == "":
		return nil
	}
	rec, err := c.read(ctx, j.Request)
	if err != nil || rec == nil || rec.Resource == "" || vertex.NameOf(job).Parent() != vertex.NameOf(rec.Resource).Parent() || !ofRun(rec, j) {
		return err
	}
	ctx = withRecord(ctx, rec)
	moved := false
	after, err := c.update(ctx, rec, withResource, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		moved = ofRun(rec, j) && c.apply(ctx, tx, res, rec, j)
		return moved
	})
	if err != nil || !moved {
		return err
	}
	c.gaveBack(after)
	c.sendCancel(ctx, after)
	c.publishOrLeave(ctx, after)
	if after.State.Terminal() {
		err = c.scheduleNow(ctx, rec.Resource)
	}
	return err
}
