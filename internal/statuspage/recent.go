package statuspage

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

const (
	// recentRead is how many records are read at once. Each can hold a
	// specification of 256 KiB, and a function has 512 MiB for 20 calls.
	recentRead = 20
	// recentScan bounds the records that are read for one page, because a
	// prefix may match few of many.
	recentScan = 400
)

// A recentFilter holds the parameters of /recent.
type recentFilter struct {
	resources []string // full names; "" alone for all
	statuses  []string
	since     time.Time
	prefix    string
	scope     Scope
}

func (d *handler) recentFilter(r *http.Request) (f recentFilter, err error) {
	q := r.URL.Query()
	if f.resources, err = d.resources(r); err != nil {
		return f, err
	}
	if f.resources == nil {
		f.resources = []string{""}
	}
	all := ledger.Statuses()
	for _, word := range commas(q["state"]) {
		if !slices.Contains(all, word) {
			return f, invalid("state", "Want some of "+strings.Join(all, ", ")+", separated by commas.")
		}
		f.statuses = append(f.statuses, word)
	}
	slices.Sort(f.statuses)
	f.statuses = slices.Compact(f.statuses)
	if s := q.Get("since"); s != "" {
		if f.since, err = time.Parse(time.RFC3339, s); err != nil {
			return f, invalid("since", "Want a time of RFC 3339, such as 2026-01-31T15:04:05Z.")
		}
	}
	f.prefix, f.scope = q.Get("prefix"), scopeOf(r)
	return f, nil
}

// recent lists requests and answers, the latest received first.
func (d *handler) recent(r *http.Request) (any, error) {
	from, limit, err := page(r)
	if err != nil {
		return nil, err
	}
	filter, err := d.recentFilter(r)
	if err != nil {
		return nil, err
	}
	list := Requests{Requests: []Summary{}}
	if list.AsOf, _, err = d.now(r.Context()); err != nil {
		return nil, err
	}
	after, shown := from.Order, from.Order // where the read continues, and where a full page ends
	tenant := ""
	for scanned := 0; scanned < recentScan; {
		most := min(recentRead, limit+1)
		recs, unreadable, err := d.readRecent(r.Context(), filter, after, most)
		if err != nil {
			return nil, err
		}
		list.Unreadable = appendUnread(list.Unreadable, filter.scope.readable(unreadable))
		for _, rec := range recs {
			if rec.Times.Received.Before(filter.since) {
				return list, nil
			}
			if filter.scope.shows(rec.Tenant) && strings.HasPrefix(rec.ID, filter.prefix) {
				if len(list.Requests) == limit {
					list.Next = cursor{Order: shown}.text()
					return list, nil
				}
				list.Requests = append(list.Requests, summary(rec))
				shown = rec.ListKey()
			}
			after, tenant = rec.ListKey(), rec.Tenant
		}
		if len(recs) < most {
			return list, nil
		}
		scanned += len(recs)
	}
	list.Next = cursor{Order: filter.scope.place(after, tenant)}.text()
	return list, nil
}

// readRecent returns the next records of all wanted resources, and separately
// the unreadable documents.
func (d *handler) readRecent(ctx context.Context, f recentFilter, after string, limit int) (all []*ledger.Record, unreadable []*ledger.UnreadableError, err error) {
	for _, name := range f.resources {
		recs, err := d.ledger.List(ctx, ledger.Filter{Resource: name, Statuses: f.statuses}, after, limit)
		skipped, err := ledger.Skipped(err)
		if err != nil {
			return nil, nil, fmt.Errorf("list recent requests: %w", err)
		}
		unreadable = append(unreadable, skipped...)
		all = append(all, recs...)
	}
	slices.SortFunc(all, func(a, b *ledger.Record) int { return strings.Compare(a.ListKey(), b.ListKey()) })
	return all[:min(limit, len(all))], unreadable, nil
}

// appendUnread appends new documents only, because the reads of one page
// overlap.
func appendUnread(all, more []*ledger.UnreadableError) []*ledger.UnreadableError {
	for _, u := range more {
		if !slices.ContainsFunc(all, func(known *ledger.UnreadableError) bool { return known.Ref == u.Ref }) {
			all = append(all, u)
		}
	}
	return all
}

// ofJob finds the request of one of the tenants by its present job: the full name of a
// job, with the project's id or number, or the job's number alone. Of a full name the
// region is compared, and not the project, which may be given by id or by number. A job
// of another tenant costs the same two reads as one that is unknown, and has the same
// answer.
func (d *handler) ofJob(ctx context.Context, tenants []string, job string) (rec *ledger.Record, res *ledger.Resource, now time.Time, err error) {
	number, region := job, ""
	if name, ok := vertex.ParseName(job); ok && name.IsJob() {
		number, region = name.ID(), name.Region()
	}
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return nil, nil, now, nil
	}
	keys, err := d.ledger.OfJob(ctx, number, maxOfJob)
	if err != nil {
		return nil, nil, now, fmt.Errorf("find the request of job %s: %w", number, err)
	}
	if len(keys) == 0 {
		keys = []message.Key{message.KeyOf("", kindJob, number)} // of no record
	}
	found := message.Key("")
	err = ledger.Read(ctx, d.ledger, ledger.Records(keys...), func(tx ledger.Tx) {
		found = ""
		for _, key := range keys {
			if tx.Unreadable(ledger.RecordRef(key)) != nil {
				continue // it cannot be told whose it is
			}
			rec := tx.Record(key)
			if found == "" && rec != nil && slices.Contains(tenants, rec.Tenant) && rec.State != lifecycle.None &&
				(region == "" || region == vertex.NameOf(rec.Reservation.Job).Region()) {
				found = key
			}
		}
	})
	if err != nil || found == "" {
		return nil, nil, now, err
	}
	return d.read(ctx, []message.Key{found})
}

// maxOfJob bounds the requests that are read for one job number. Only jobs of
// different regions can share one.
const maxOfJob = 10
