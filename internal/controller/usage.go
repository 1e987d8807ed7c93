package controller

import (
	"context"

	"example.com/berth/internal/ledger"
)

// moveUsage moves the sums of a resource into the document of its usage, if the update
// reads it. Every observation adds to the resource document, which it writes anyway. The
// one that finds sums of a quarter of an hour writes the other document too, in the same commit.
// The sums of one that cannot be read are lost: to keep them would make the resource
// document grow.
func (c *Controller) moveUsage(ctx context.Context, tx ledger.Tx, res *ledger.Resource, read bool) {
	if !read || !res.Usage.Due(res.ObservedAt) {
		return
	}
	sums := res.Usage.Take()
	if bad := tx.Unreadable(ledger.UsageRef(res.Name)); bad != nil {
		c.reportUnreadable(ctx, nil, bad)
		return
	}
	u := ledger.Get[*ledger.Usage](tx, ledger.UsageRef(res.Name))
	if u == nil {
		u = &ledger.Usage{Resource: res.Name}
	}
	u.Add(sums, res.ObservedAt)
	tx.Put(u)
}
