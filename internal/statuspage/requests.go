package statuspage

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// states reads the parameter state=: states divided by commas, in the order of
// [lifecycle.States], or all live ones.
func states(r *http.Request) (wanted []lifecycle.State, err error) {
	named := commas(r.URL.Query()["state"])
	var words []string
	for _, s := range lifecycle.States {
		words = append(words, string(s))
		if len(named) == 0 && !s.Terminal() || slices.Contains(named, string(s)) {
			wanted = append(wanted, s)
		}
	}
	for _, word := range named {
		if !slices.Contains(words, word) {
			return nil, invalid("state", "Want some of "+strings.Join(words, ", ")+", separated by commas.")
		}
	}
	return wanted, nil
}

// commas returns the words of a parameter, in upper case. They are divided by commas, or
// the parameter is given several times.
func commas(values []string) []string {
	return strings.FieldsFunc(strings.ToUpper(strings.Join(values, ",")), func(c rune) bool { return c == ',' })
}

func (d *handler) requests(r *http.Request) (any, error) {
	from, limit, err := page(r)
	if err != nil {
		return nil, err
	}
	wanted, err := states(r)
	if err != nil {
		return nil, err
	}
	names, docs, bad, now, more, err := d.homes(r, from)
	if err != nil {
		return nil, err
	}
	scope := scopeOf(r)
	list := Requests{AsOf: now, Requests: []Summary{}, Unreadable: bad}
	queries, scanned := 0, 0
	for _, name := range names {
		for i, state := range wanted {
			if name == "" && state != lifecycle.Rejected && state != lifecycle.Cancelled {
				continue // only a rejected request has no resource
			}
			c := cursor{Resource: name, State: state}
			if name == from.Resource && from.State != "" {
				if i < slices.Index(wanted, from.State) {
					continue
				}
				if state == from.State {
					c = from
				}
			}
			if queries++; len(list.Requests) == limit || queries > maxQueries {
				list.Next = c.text()
				return list, nil
			}
			for more, tenant := true, ""; more; {
				most := scope.chunk(limit - len(list.Requests))
				recs, err := d.ledger.InState(r.Context(), name, state, c.Order, most)
				skipped, err := ledger.Skipped(err)
				list.Unreadable = appendUnread(list.Unreadable, scope.readable(skipped))
				if err != nil {
					return nil, fmt.Errorf("list requests of %q in %s: %w", name, state, err)
				}
				for _, rec := range recs {
					if len(list.Requests) == limit {
						list.Next = c.text()
						return list, nil
					}
					if tenant = rec.Tenant; scope.shows(tenant) {
						shown := summary(rec)
						shown.Hold = hold(docs[name], rec.Key)
						list.Requests = append(list.Requests, shown)
					}
					// A record without a decision has no order key.
					// "0" sorts before every key and after the
					// empty one, so no page begins with such
					// records again.
					if c.Order = rec.Order; c.Order == "" {
						c.Order = "0"
					}
				}
				more, scanned = len(recs) == most, scanned+len(recs)
				if more && scanned > maxScan {
					c.Order = scope.place(c.Order, tenant)
					list.Next = c.text()
					return list, nil
				}
			}
		}
	}
	if more {
		list.Next = cursor{Resource: names[len(names)-1], Done: true}.text()
	}
	return list, nil
}

// homes names the resources whose requests are listed from a cursor on, with the
// documents of those that have one; "" stands for requests that name no resource served
// here. A resource that the client names may be unknown: requests for it are rejected,
// and listed under its name.
func (d *handler) homes(r *http.Request, from cursor) (names []string, docs map[string]*ledger.Resource, bad []*ledger.UnreadableError, now time.Time, more bool, err error) {
	if names, err = d.resources(r); err != nil {
		return nil, nil, nil, now, false, err
	}
	var found []*ledger.Resource
	if names != nil {
		names = slices.DeleteFunc(names, func(name string) bool { return name < from.Resource })
		found, bad, now, err = d.readResources(r.Context(), names)
	} else {
		if from.Resource == "" {
			names = append(names, "")
		}
		found, bad, now, more, err = d.seek(r, from)
		for _, res := range found {
			names = append(names, res.Name)
		}
		// Requests of a resource whose own document is unreadable are listed.
		for _, u := range bad {
			if u.Kind == ledger.KindResource {
				names = append(names, u.Name)
			}
		}
		slices.Sort(names)
	}
	docs = map[string]*ledger.Resource{}
	for _, res := range found {
		docs[res.Name] = res
	}
	return names, docs, bad, now, more, err
}

func summary(rec *ledger.Record) Summary {
	s := Summary{
		ID: rec.ID, Kind: rec.Kind, Tenant: rec.Tenant, State: lifecycle.State(rec.Status()), Resource: rec.Resource,
		DisplayName: rec.DisplayName, Labels: rec.Labels, Priority: rec.Priority, PolicyVersion: rec.PolicyVersion, Ask: rec.Ask, Reason: rec.Why,
		Job: rec.Reservation.Job, JobState: rec.JobState, Times: rec.Times,
		Timeout: Duration(rec.Timeout),
	}
	if rec.State == lifecycle.Waiting {
		s.StartsBy = rec.StartsBy
	}
	if rec.Kind == message.KindAnswer && len(rec.Outbox) > 0 && rec.Outbox[0].Type.Operated() {
		s.Operation, s.Target = rec.Outbox[0].Outcome.Operator, rec.Outbox[0].Outcome.PersistentResource
	}
	return s
}

func (d *handler) request(r *http.Request) (any, error) {
	id, kind := r.PathValue("id"), message.Kind(r.URL.Query().Get("kind"))
	kinds := []message.Kind{message.KindRequest, message.KindMessage, message.KindAnswer}
	if kind != "" {
		if !slices.Contains(kinds, kind) && kind != kindJob {
			return nil, invalid("kind", "Want request, message, answer or job.")
		}
		kinds = []message.Kind{kind}
	}
	var rec *ledger.Record
	var res *ledger.Resource
	var now time.Time
	var err error
	tenants := scopeOf(r).tenants()
	for _, tenant := range tenants { // of two with this id it is the first one's
		if kind != kindJob && err == nil && rec == nil {
			rec, res, now, err = d.find(r.Context(), tenant, id, kinds)
		}
	}
	if err == nil && rec == nil && (kind == "" || kind == kindJob) {
		rec, res, now, err = d.ofJob(r.Context(), tenants, id)
	}
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, &Error{http.StatusNotFound, NotFound,
			fmt.Sprintf("Nothing is known under the id %q of tenant %q.", excerpt(id), excerpt(strings.Join(tenants, ", "))),
			"The message may not have been delivered yet. A request without an id has the id of its message."}
	}
	return d.entry(r.Context(), rec, res, now)
}

// kindJob is the kind of an id that is the name or number of a request's job.
const kindJob message.Kind = "job"

// find searches for a request under each kind of id, and reads the preferred
// one (see [ledger.Preferred]) with its resource.
func (d *handler) find(ctx context.Context, tenant, id string, kinds []message.Kind) (rec *ledger.Record, res *ledger.Resource, now time.Time, err error) {
	var keys []message.Key
	for _, kind := range kinds {
		keys = append(keys, message.KeyOf(tenant, kind, id))
	}
	return d.read(ctx, keys)
}

// read returns the preferred record of those that exist, with its resource.
func (d *handler) read(ctx context.Context, keys []message.Key) (rec *ledger.Record, res *ledger.Resource, now time.Time, err error) {
	resource := ""
	read := func() error {
		names := ledger.Records(keys...)
		if resource != "" {
			names = names.And(ledger.Resources(resource))
		}
		return ledger.Read(ctx, d.ledger, names, func(tx ledger.Tx) {
			res, now = nil, tx.Now()
			var known []*ledger.Record
			unreadable := message.Key("")
			for _, key := range keys {
				if tx.Unreadable(ledger.RecordRef(key)) != nil {
					unreadable = key
				} else {
					known = append(known, tx.Record(key))
				}
			}
			if rec = ledger.Preferred(known...); rec == nil && unreadable != "" {
				tx.Record(unreadable) // this ends the read with the document's error
			}
			if resource != "" && tx.Unreadable(ledger.ResourceRef(resource)) == nil {
				res = tx.Resource(resource)
			}
		})
	}
	if err = read(); err == nil && rec != nil && rec.Resource != "" {
		keys, resource = []message.Key{rec.Key}, rec.Resource
		err = read()
	}
	if err != nil {
		err = fmt.Errorf("read request: %w", err)
	}
	return rec, res, now, err
}

// entry returns the full entry of a record.
func (d *handler) entry(ctx context.Context, rec *ledger.Record, res *ledger.Resource, now time.Time) (Request, error) {
	q := Request{
		AsOf: now, ID: rec.ID, Kind: rec.Kind, Tenant: rec.Tenant, Key: rec.Key, MessageID: rec.MessageID,
		State: rec.State, Terminal: rec.State.Terminal() || rec.Kind == message.KindAnswer,
		Resource: rec.Resource, DisplayName: rec.DisplayName, Labels: rec.Labels,
		Priority: rec.Priority, PolicyVersion: rec.PolicyVersion, OnFull: rec.OnFull, MaxWait: Duration(rec.MaxWait), Timeout: Duration(rec.Timeout), Ask: rec.Ask,
		Expected: expected(rec.Estimate), Concurrency: rec.Concurrency,
		Run: rec.Run, Attempt: rec.Attempt, Job: rec.Reservation.Job, JobState: rec.JobState, JobError: rec.JobError,
		Times: rec.Times, TimerAt: rec.TimerAt, Warnings: rec.Warnings, Events: []Event{},
	}
	if rec.Tombstone() {
		q.CancelledUntil = rec.ExpireAt
	}
	if rec.State == lifecycle.Submitting || rec.State == lifecycle.Cancelling && rec.Reservation.Job == "" {
		q.ActUntil = rec.ActUntil
	}
	q.Hold = hold(res, rec.Key)
	var err error
	if q.Live, err = d.reasons(ctx, rec, res, now); err != nil {
		return q, err
	}
	for _, l := range rec.Outbox {
		q.Events = append(q.Events, Event{l.ID, l.Type, l.Time, l.Outcome.Sequence, l.Published, rec.Event(l)})
	}
	return q, nil
}

// hold shows what a request holds, nil for nothing.
func hold(res *ledger.Resource, key message.Key) *Hold {
	if res == nil {
		return nil
	}
	h, held := res.Holds[key]
	if !held {
		return nil
	}
	return &Hold{h.Ask, h.LatestEnd, h.Overstays}
}

// expected shows an estimate, nil for one that no job has taught.
func expected(e estimate.Estimate) *Expected {
	if e.Jobs == 0 {
		return nil
	}
	return &Expected{Duration(e.Run), e.Jobs}
}
