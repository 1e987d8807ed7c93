package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
)

// sampleSize is how many of a resource's requests one sample judges.
const sampleSize = 10

// sample checks a few of the requests that hold replicas of a resource against the
// promises, others each time, by one read. It logs a promise that is broken; berth
// doctor says the rest.
func (c *Controller) sample(ctx context.Context, res *ledger.Resource, slot int) error {
	if c.cfg.SampleEvery == 0 || slot%c.cfg.SampleEvery != 0 || len(res.Holds) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(res.Holds))
	from := slot / c.cfg.SampleEvery * sampleSize % len(keys)
	keys = keys[from:min(from+sampleSize, len(keys))]
	var p invariant.Picture
	err := ledger.Read(ctx, c.ledger, ledger.Resources(res.Name).And(ledger.Records(keys...)), func(tx ledger.Tx) {
		p = invariant.Picture{Now: tx.Now()}
		if r := tx.Resource(res.Name); r != nil {
			p.Resources = []*ledger.Resource{r}
		}
		for _, key := range keys {
			if tx.Unreadable(ledger.RecordRef(key)) != nil {
				continue // what it says is not known
			}
			if r := tx.Record(key); r != nil {
				p.Records = append(p.Records, r)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("sample %d requests of %s: %w", len(keys), res.Name, err)
	}
	for _, v := range invariant.Check(p) {
		c.log.ErrorContext(ctx, "a promise is broken: this is a bug, please report it; berth doctor says more",
			"event", "violation", "rule", string(v.Rule), "request_key", string(v.Request), "resource", v.Resource,
			"this", v.This, "that", v.That)
	}
	return nil
}
