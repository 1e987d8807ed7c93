package statuspage

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// seek returns the resource documents from a cursor on: those that the
// parameter resource= means, or all. It returns the unreadable documents
// separately. more says that more documents follow.
func (d *handler) seek(r *http.Request, from cursor) (docs []*ledger.Resource, bad []*ledger.UnreadableError, now time.Time, more bool, err error) {
	names, err := d.resources(r)
	if err != nil {
		return nil, nil, now, false, err
	}
	if names != nil {
		if docs, bad, now, err = d.readResources(r.Context(), names); err != nil {
			return nil, nil, now, false, err
		}
		if len(docs)+len(bad) == 0 {
			return nil, nil, now, false, unknownResource(r.URL.Query().Get("resource"))
		}
		return slices.DeleteFunc(docs, func(res *ledger.Resource) bool {
			return res.Name < from.Resource || from.Done && res.Name == from.Resource
		}), bad, now, false, nil
	}
	if now, _, err = d.now(r.Context()); err != nil { // read before the documents whose age it gives
		return nil, nil, now, false, err
	}
	if from.Resource != "" && !from.Done {
		if docs, bad, _, err = d.readResources(r.Context(), []string{from.Resource}); err != nil {
			return nil, nil, now, false, err
		}
	}
	rest, err := d.ledger.Resources(r.Context(), from.Resource, maxQueries)
	skipped, err := ledger.Skipped(err)
	if err != nil {
		return nil, nil, now, false, fmt.Errorf("list resources: %w", err)
	}
	return append(docs, rest...), append(bad, skipped...), now, len(rest) == maxQueries, nil
}

func (d *handler) queue(r *http.Request) (any, error) {
	from, limit, err := page(r)
	if err != nil {
		return nil, err
	}
	docs, bad, now, more, err := d.seek(r, from)
	if err != nil {
		return nil, err
	}
	scope := scopeOf(r)
	q := Queue{AsOf: now, Waiting: []Waiter{}, Unreadable: bad}
	scanned := 0
	for _, res := range docs {
		c := cursor{Resource: res.Name}
		if res.Name == from.Resource {
			c = from
		}
		if len(q.Waiting) == limit {
			q.Next = c.text()
			return q, nil
		}
		policy, err := d.policy(r.Context(), res)
		if err != nil {
			return nil, err
		}
		for more, tenant := true, ""; more; {
			most := scope.chunk(limit - len(q.Waiting))
			recs, err := d.ledger.InState(r.Context(), res.Name, lifecycle.Waiting, c.Order, most)
			skipped, err := ledger.Skipped(err)
			q.Unreadable = appendUnread(q.Unreadable, scope.readable(skipped))
			if err != nil {
				return nil, fmt.Errorf("list waiting requests of %s: %w", res.Name, err)
			}
			for _, rec := range recs {
				if len(q.Waiting) == limit {
					q.Next = c.text()
					return q, nil
				}
				q.add(policy, scope, &c, res, rec)
				tenant = rec.Tenant
			}
			more, scanned = len(recs) == most, scanned+len(recs)
			if more && scanned > maxScan {
				c.Order = scope.place(c.Order, tenant)
				q.Next = c.text()
				return q, nil
			}
		}
	}
	if more {
		q.Next = cursor{Resource: docs[len(docs)-1].Name, Done: true}.text()
	}
	return q, nil
}

// mostAdvised is how many requests of a page get advice, each of which takes some plans.
const mostAdvised = 50

// add appends the next waiting request and moves the cursor past it.
func (q *Queue) add(policy admission.Policy, scope Scope, c *cursor, res *ledger.Resource, rec *ledger.Record) {
	c.Order = rec.Order
	if _, held := res.Holds[rec.Key]; held {
		return // admitted between the query and the read of its resource
	}
	// A parked request is in no queue, so it has no position.
	position := 0
	if !rec.Parked {
		c.Position++
		position = c.Position
	}
	if c.Shapes == nil {
		c.Shapes = map[string]int{}
	}
	var shapes []string
	for _, s := range rec.Ask.Shapes() {
		shapes = append(shapes, s.String())
	}
	ahead := 0
	for set, n := range c.Shapes {
		if slices.ContainsFunc(strings.Split(set, "+"), func(s string) bool { return slices.Contains(shapes, s) }) {
			ahead += n
		}
	}
	if !rec.Parked { // no request is behind a parked one
		c.Shapes[strings.Join(shapes, "+")]++
	}
	if !scope.shows(rec.Tenant) {
		return // its position is before those that are shown
	}
	q.Waiting = append(q.Waiting, Waiter{
		Position: position, Parked: rec.Parked, ID: rec.ID, Kind: rec.Kind, Tenant: rec.Tenant, Resource: res.Name,
		DisplayName: rec.DisplayName, Priority: rec.Priority, Ask: rec.Ask,
		Since: rec.Times.Queued, Waited: since(rec.Times.Queued, q.AsOf), Until: rec.TimerAt,
		Live: live(q.AsOf, policy, res, rec, ahead, len(q.Waiting) < mostAdvised),
	})
}
