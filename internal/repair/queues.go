package repair

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// rounds is how often a count of the queues starts again because they changed.
const rounds = 8

// Queues recounts the queues of every resource from its waiting requests. It
// reads a resource's Version before the requests and checks it in the update.
// Every move that changes a queue changes the Version, so the count is
// complete. It writes only the resource document.
func (k Kit) Queues(ctx context.Context) ([]Change, error) {
	left, bad, err := scan[*ledger.Resource](ctx, k.Ledger, ledger.KindResource)
	if err != nil {
		return nil, err
	}
	var all []Change
	for _, u := range bad {
		all = append(all, leftUnread(u, "queues"))
	}
	for round := range rounds {
		recs, unread, err := scan[*ledger.Record](ctx, k.Ledger, ledger.KindRecord)
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
			// An unreadable request may wait, so the queues cannot be counted.
			if slices.ContainsFunc(unread, func(u *ledger.UnreadableError) bool { return u.Resource == "" || u.Resource == seen.Name }) {
				continue
			}
			want := queues(seen.Name, recs)
			var now *ledger.Resource
			changes, err := k.update(ctx, ledger.Resources(seen.Name), func(tx ledger.Tx) []Change {
				if now = tx.Resource(seen.Name); now == nil || now.Version != seen.Version {
					return nil
				}
				return repairQueues(tx, now, want)
			})
			if err != nil {
				return all, fmt.Errorf("fix the queues of %s: %w", seen.Name, err)
			}
			// After a fix the version differs because of the fix.
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
		all = append(all, Change{Document: "resources/" + res.Name, What: "queues", Left: "they change faster than they can be counted; try again"})
	}
	return all, nil
}

// queues are the complete queues of a resource by its records.
func queues(resource string, recs []*ledger.Record) map[admission.ClassID][]admission.Head {
	want := map[admission.ClassID][]admission.Head{}
	for _, r := range recs {
		if r.Resource == resource && r.State == lifecycle.Waiting && r.Class != "" {
			want[r.Class] = append(want[r.Class], r.Head())
		}
	}
	for _, heads := range want {
		slices.SortFunc(heads, func(a, b admission.Head) int { return ledger.CompareOrder(a.Order, b.Order) })
	}
	return want
}

// repairQueues replaces the wrong classes, and drops reservations of requests that
// do not wait. A class with fewer heads than it could have is right: the controller
// reads the others when it needs them.
func repairQueues(tx ledger.Tx, res *ledger.Resource, want map[admission.ClassID][]admission.Head) []Change {
	classes := slices.Collect(maps.Keys(res.Queue))
	classes = slices.AppendSeq(classes, maps.Keys(want))
	slices.Sort(classes)
	var changes []Change
	for _, id := range slices.Compact(classes) {
		got, exact := res.Queue[id], want[id]
		right := got.Count == len(exact) && len(got.Heads) <= len(exact) && slices.EqualFunc(got.Heads, exact[:len(got.Heads)], admission.Head.Same)
		if right {
			continue
		}
		to := admission.Class{Count: len(exact), Heads: exact[:min(len(exact), admission.MaxHeads)]}
		changes = append(changes, Change{Document: "resources/" + res.Name, What: "class " + string(id), From: queueText(got), To: queueText(to)})
		if res.Queue == nil {
			res.Queue = admission.Queue{}
		}
		if res.Queue[id] = to; len(exact) == 0 {
			delete(res.Queue, id)
		}
	}
	waits := func(o admission.Reservation) bool {
		for _, heads := range want {
			if slices.ContainsFunc(heads, o.Head.Same) {
				return true
			}
		}
		return false
	}
	var kept []admission.Reservation
	for _, o := range res.Reserved {
		if waits(o) {
			kept = append(kept, o)
			continue
		}
		changes = append(changes, Change{Document: "resources/" + res.Name, Request: o.ID, What: "reservation", From: string(o.ID), To: "none"})
	}
	if res.Reserved = kept; len(changes) > 0 {
		res.Version++ // a decision on the old queue must start again
		tx.Put(res)
	}
	return changes
}

func queueText(c admission.Class) string {
	if c.Count == 0 && len(c.Heads) == 0 {
		return "none"
	}
	s := fmt.Sprintf("%d waiting", c.Count)
	for i, h := range c.Heads {
		if i == 0 {
			s += ", first "
		} else {
			s += ", "
		}
		if i == 4 {
			return s + "..."
		}
		s += string(h.ID)
	}
	return s
}
