package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// Queue implements [Ledger].
func (m *Mem) Queue(ctx context.Context, resource, queue, after string, limit int) ([]admission.Head, error) {
	records, _, err := m.query(ctx, "queue", limit, func(r *Record) bool {
		return r.Resource == resource && slices.Contains(r.Indexed(), queue) && r.Order > after
	}, byOrder, false)
	var heads []admission.Head
	for _, r := range records {
		heads = append(heads, r.Head())
	}
	return heads, err
}

// Due implements [Ledger].
func (m *Mem) Due(ctx context.Context, states []lifecycle.State, now time.Time, after Timed, limit int) ([]Timed, error) {
	return m.timed(ctx, "due", after, limit, func(r *Record) (time.Time, bool) {
		return r.TimerAt, slices.Contains(states, r.State) && !r.TimerAt.IsZero() && !r.TimerAt.After(now)
	})
}

// Unpublished implements [Ledger].
func (m *Mem) Unpublished(ctx context.Context, after Timed, limit int) ([]Timed, error) {
	return m.timed(ctx, "unpublished", after, limit, func(r *Record) (time.Time, bool) {
		if unpublished := r.Unpublished(); len(unpublished) > 0 {
			return unpublished[0].Time, true
		}
		return time.Time{}, false
	})
}

// timed is a query for records that go by the time that when returns; its second
// value says whether the record is among them.
func (m *Mem) timed(ctx context.Context, name string, after Timed, limit int, when func(*Record) (time.Time, bool)) ([]Timed, error) {
	place := func(r *Record) Timed {
		at, _ := when(r)
		return Timed{at, r.Key}
	}
	records, _, err := m.query(ctx, name, limit, func(r *Record) bool {
		_, is := when(r)
		return is && (after == (Timed{}) || place(r).Compare(after) > 0)
	}, func(a, b *Record) int { return place(a).Compare(place(b)) }, false)
	var places []Timed
	for _, r := range records {
		places = append(places, place(r))
	}
	return places, err
}

// InState implements [Ledger].
func (m *Mem) InState(ctx context.Context, resource string, state lifecycle.State, after string, limit int) ([]*Record, error) {
	records, skipped, err := m.query(ctx, "state", limit, func(r *Record) bool {
		return r.Resource == resource && r.State == state && state != lifecycle.None && (after == "" || r.Order > after)
	}, byOrder, true)
	for i, r := range records {
		records[i] = r.Clone()
	}
	return records, cmp.Or(err, SkippedOf(skipped))
}

// Resources implements [Ledger].
func (m *Mem) Resources(ctx context.Context, after string, limit int) ([]*Resource, error) {
	docs, err := m.scan(ctx, "resources", KindResource, after, limit)
	return Of[*Resource](docs), err
}

// query returns the first records, by order and then by key, not copied. With
// whole, those that cannot be read are left out and returned apart; a query for
// what the indexes hold shows them like any others.
func (m *Mem) query(ctx context.Context, name string, limit int, want func(*Record) bool, order func(a, b *Record) int, whole bool) ([]*Record, []*UnreadableError, error) {
	if err := m.startQuery(ctx, name); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all, found []*Record
	for _, s := range m.slots {
		if r, ok := s.doc.(*Record); ok && want(r) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Record) int { return cmp.Or(order(a, b), cmp.Compare(a.Key, b.Key)) })
	var skipped []*UnreadableError
	for _, r := range all {
		if len(found) >= limit {
			break
		}
		if bad := m.slots[r.Ref()].bad; whole && bad != nil {
			skipped = append(skipped, bad)
			continue
		}
		found = append(found, r)
	}
	return found, skipped, nil
}

// List implements [Ledger].
func (m *Mem) List(ctx context.Context, f Filter, after string, limit int) ([]*Record, error) {
	records, skipped, err := m.query(ctx, "recent", limit, func(r *Record) bool {
		return r.ListKey() > after &&
			(f.Resource == "" || r.Resource == f.Resource && r.State != lifecycle.None) &&
			(len(f.Statuses) == 0 || slices.Contains(f.Statuses, r.Status()))
	}, func(a, b *Record) int { return strings.Compare(a.ListKey(), b.ListKey()) }, true)
	for i, r := range records {
		records[i] = r.Clone()
	}
	return records, cmp.Or(err, SkippedOf(skipped))
}

// OfJob implements [Ledger].
func (m *Mem) OfJob(ctx context.Context, number string, limit int) ([]message.Key, error) {
	records, _, err := m.query(ctx, "job", limit, func(r *Record) bool {
		return number != "" && JobNumber(r.Reservation.Job) == number
	}, func(*Record, *Record) int { return 0 }, false)
	var keys []message.Key
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys, err
}

// Scan returns documents of a kind in an order of their names, those after the given
// one ("" for the first). It is not part of the port: code that serves a request reads
// the documents of that request; only an operator's tools read everything.
func (m *Mem) Scan(ctx context.Context, kind Kind, after string, limit int) ([]Document, error) {
	return m.scan(ctx, "scan", kind, after, limit)
}

func (m *Mem) scan(ctx context.Context, query string, kind Kind, after string, limit int) (found []Document, err error) {
	if err := m.startQuery(ctx, query); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var skipped []*UnreadableError
	for _, ref := range m.sorted() {
		switch s := m.slots[ref]; {
		case ref.Kind != kind || ref.Name <= after || len(found) >= limit:
		case s.bad != nil:
			skipped = append(skipped, s.bad)
		default:
			found = append(found, clone(s.doc))
		}
	}
	return found, SkippedOf(skipped)
}

func (m *Mem) startQuery(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("ledger: query %s: %w", name, err)
	}
	if m.fault(OpQuery) == FailRead {
		return fmt.Errorf("ledger: query %s: %w", name, ErrInjected)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Queries++
	return nil
}

func byOrder(a, b *Record) int { return cmp.Compare(a.Order, b.Order) }
