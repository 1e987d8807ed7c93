package controller

import (
	"context"
	"fmt"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// scope is what an update of one record reads beside it.
type scope int

const (
	recordOnly scope = iota
	withResource
	withBudget // and the resource
)

// update changes one record and, where needed, its resource; known is the record
// as it was last read. change returns whether it changed anything; record and
// resource are then put. A record that does not exist is not an error: change is
// not called.
//
// An update of a record only may first run on it as this instance last wrote it,
// so change must then not give a right until a moment.
func (c *Controller) update(ctx context.Context, known *ledger.Record, also scope, change func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool) (after *ledger.Record, err error) {
	key := known.Key
	reads := ledger.Records(key)
	hints := ledger.Hints{Recent: also == recordOnly, Tenant: known.Tenant, Bytes: known.Weight(), With: known.Resource}
	withResource := also != recordOnly && known.Resource != ""
	if withResource {
		reads = reads.And(ledger.Resources(known.Resource))
	}
	if also == withBudget {
		reads = reads.And(ledger.Budgets(vertex.NameOf(known.Resource).Parent()))
	}
	for again := true; ; again = false {
		lost := false
		err = c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
			lost = false
			var res *ledger.Resource
			var version int64
			if withResource {
				if res = tx.Resource(known.Resource); res != nil {
					version = res.Version
				}
			}
			if after = tx.Record(key); after == nil {
				return nil
			}
			if lost = res == nil && withResource && !after.State.Terminal(); lost {
				return nil // what it gives back or joins is not there
			}
			if change(tx, res, after) {
				tx.Put(after)
				// Most moves that keep the replicas leave the resource alone: many updates
				// write that document.
				if res != nil && res.Version != version {
					tx.Put(res)
				}
			}
			return nil
		}, hints)
		switch {
		case err != nil || !lost:
			return after, err
		case !again:
			return nil, fmt.Errorf("the document of %s is missing", known.Resource)
		}
		if _, err := c.rebuild(ctx, known.Resource); err != nil {
			return nil, err
		}
	}
}
