package repair

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// rounds is how often a count of the lines starts again because they moved.
const rounds = 8

// Lines counts the lines of every resource anew from its waiting requests. A
// resource's Version is read before the requests are, and checked in the update:
// every move that changes a line changes it, so the count is complete. Nothing
// but the resource document is written.
func (k Kit) Queues(ctx context.Context) ([]Change, error) {
	left, bad, err := resources(ctx, k.Ledger)
	if err != nil {
		return nil, err
	}
	var all []Change
	for _, u := range bad {
		all = append(all, leftUnread(u, "queues"))
	}
	for round := range rounds {
		recs, unread, err := records(ctx, k.Ledger)
		if err != nil {
			return all, err
		}
		if round == 0 {
			for _, u := range unread {
				all = append(all, leftUnread(u, "queues"))
			}
		}
		var moved []*ledger.Resource
		for _, seen := range left {
			// A request that cannot be read may wait: the lines cannot be counted.
			if slices.ContainsFunc(unread, func(u *ledger.UnreadableError) bool { return u.Resource == "" || u.Resource == seen.Name }) {
				continue
			}
			want := queues(seen.Name, recs)
			var now *ledger.Resource
			changes, err := k.update(ctx, ledger.ReadSet{Resources: []string{seen.Name}}, func(tx ledger.Tx) []Change {
				if now = tx.Resource(seen.Name); now == nil || now.Version != seen.Version {
					return nil
				}
				return repairQueues(tx, now, want)
			})
			if err != nil {
				return all, fmt.Errorf("fix the queues of %s: %w", seen.Name, err)
			}
			// After a fix the version is another, but then it was ours.
			if len(changes) == 0 && now != nil && now.Version != seen.Version {
				moved = append(moved, now)
			}
			all = append(all, changes...)
		}
		if left = moved; len(left) == 0 {
			return all, nil
		}
	}
	for _, res := range left {
		all = append(all, Change{Document: "resources/" + res.Name, What: "queues", Left: "they move faster than they can be counted; try again"})
	}
	return all, nil
}

// lines are the lines of a resource as the records say, whole.
func queues(resource string, recs []*ledger.Record) map[string][]ledger.Head {
	want := map[string][]ledger.Head{}
	for _, r := range recs {
		if r.Resource != resource || r.State != lifecycle.Waiting {
			continue
		}
		for _, shape := range r.Queues() {
			want[shape] = append(want[shape], r.HeadIn(shape))
		}
	}
	for _, heads := range want {
		slices.SortFunc(heads, func(a, b ledger.Head) int { return ledger.CompareOrder(a.Order, b.Order) })
	}
	return want
}

// mendLines replaces the lines that are wrong. One with fewer heads than it could
// have is right: the controller reads the others when it needs them.
func repairQueues(tx ledger.Tx, res *ledger.Resource, want map[string][]ledger.Head) []Change {
	shapes := map[string]bool{}
	for s := range res.Queues {
		shapes[s] = true
	}
	for s := range want {
		shapes[s] = true
	}
	var changes []Change
	for _, shape := range slices.Sorted(maps.Keys(shapes)) {
		got, exact := res.Queues[shape], want[shape]
		right := got.Count == len(exact) && len(got.Heads) <= len(exact) && slices.EqualFunc(got.Heads, exact[:len(got.Heads)], ledger.Head.Same)
		if right {
			continue
		}
		to := ledger.Queue{Count: len(exact), Heads: exact[:min(len(exact), ledger.MaxHeads)]}
		changes = append(changes, Change{Document: "resources/" + res.Name, What: "line " + shape, From: queueText(got), To: queueText(to)})
		if res.Queues == nil {
			res.Queues = map[string]ledger.Queue{}
		}
		if res.Queues[shape] = to; len(exact) == 0 {
			delete(res.Queues, shape)
		}
	}
	if len(changes) > 0 {
		res.Version++ // whoever decides on the old lines has to begin again
		tx.PutResource(res)
	}
	return changes
}

func queueText(l ledger.Queue) string {
	if l.Count == 0 && len(l.Heads) == 0 {
		return "none"
	}
	s := fmt.Sprintf("%d waiting", l.Count)
	for i, h := range l.Heads {
		if i == 0 {
			s += ", first "
		} else {
			s += ", "
		}
		if i == 4 {
			return s + "..."
		}
		s += string(h.Key)
	}
	return s
}
