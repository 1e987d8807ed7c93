package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

const queryDeadline = 10 * time.Second

// Queue implements [ledger.Ledger].
func (l *Ledger) Queue(ctx context.Context, resource, queue, after string, limit int) ([]admission.Head, error) {
	var heads []admission.Head
	err := l.query(ctx, queueQuery(resource, queue, after), limit, func(d *firestorepb.Document) error {
		f := d.GetFields()
		h := admission.Head{}
		if err := json.Unmarshal([]byte(f["head"].GetStringValue()), &h); err != nil {
			// The plan leaves it out once its record is found unreadable too.
			h = admission.Head{}
		}
		h.ID, h.Order = keyOf(d), f["order"].GetStringValue()
		heads = append(heads, h)
		return nil
	})
	return heads, err
}

func queueQuery(resource, queue, after string) query {
	q := query{from: Requests, order: "order", fields: []string{"order", "head"}, filters: []*firestorepb.StructuredQuery_Filter{
		where("resource", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(resource)),
		where("queues", firestorepb.StructuredQuery_FieldFilter_ARRAY_CONTAINS, stringValue(queue)),
	}}
	return q.past("order", after)
}

// Due implements [ledger.Ledger].
func (l *Ledger) Due(ctx context.Context, states []lifecycle.State, now time.Time, after ledger.Timed, limit int) ([]ledger.Timed, error) {
	return l.timed(ctx, dueQuery(states, now), after, limit)
}

func dueQuery(states []lifecycle.State, now time.Time) query {
	words := &firestorepb.ArrayValue{}
	for _, s := range states {
		words.Values = append(words.Values, stringValue(string(s)))
	}
	return query{from: Requests, order: "timerAt", fields: []string{"timerAt"}, filters: []*firestorepb.StructuredQuery_Filter{
		where("state", firestorepb.StructuredQuery_FieldFilter_IN, &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: words}}),
		where("timerAt", firestorepb.StructuredQuery_FieldFilter_LESS_THAN_OR_EQUAL, timeValue(now)),
	}}
}

// Unpublished implements [ledger.Ledger].
func (l *Ledger) Unpublished(ctx context.Context, after ledger.Timed, limit int) ([]ledger.Timed, error) {
	return l.timed(ctx, unpublishedQuery(), after, limit)
}

func unpublishedQuery() query {
	return query{from: Requests, order: "outbox", fields: []string{"outbox"}}
}

// timed makes a query in order of a time.
func (l *Ledger) timed(ctx context.Context, q query, after ledger.Timed, limit int) ([]ledger.Timed, error) {
	if after != (ledger.Timed{}) {
		q.start = []*firestorepb.Value{timeValue(after.Time), reference(documentName(l.database, ledger.RecordRef(after.Key)))}
	}
	var places []ledger.Timed
	err := l.query(ctx, q, limit, func(d *firestorepb.Document) error {
		places = append(places, ledger.Timed{Time: d.GetFields()[q.order].GetTimestampValue().AsTime(), Key: keyOf(d)})
		return nil
	})
	return places, err
}

// InState implements [ledger.Ledger].
func (l *Ledger) InState(ctx context.Context, resource string, state lifecycle.State, after string, limit int) ([]*ledger.Record, error) {
	return whole[*ledger.Record](ctx, l, stateQuery(resource, state, after), limit)
}

// whole makes a query for documents of one type. It leaves out those that cannot be
// read and goes on for others, so that they do not end a caller's paging.
func whole[T ledger.Document](ctx context.Context, l *Ledger, q query, limit int) ([]T, error) {
	var found []T
	var skipped []*ledger.UnreadableError
	for more := true; more && len(found) < limit; {
		var last *firestorepb.Document
		asked, got := limit-len(found), 0
		err := l.query(ctx, q, asked, func(d *firestorepb.Document) error {
			last, got = d, got+1
			if doc, bad := unpack(ledger.Kind(q.from), d); bad != nil {
				skipped = append(skipped, bad)
			} else {
				found = append(found, doc.(T))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if more = got == asked; more {
			q.start = q.placeOf(last)
		}
	}
	return found, ledger.SkippedOf(skipped)
}

func stateQuery(resource string, state lifecycle.State, after string) query {
	q := query{from: Requests, order: "order", filters: []*firestorepb.StructuredQuery_Filter{
		where("resource", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(resource)),
		where("state", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(string(state))),
	}}
	return q.past("order", after)
}

// List implements [ledger.Ledger].
func (l *Ledger) List(ctx context.Context, f ledger.Filter, after string, limit int) ([]*ledger.Record, error) {
	return whole[*ledger.Record](ctx, l, listQuery(f, after), limit)
}

func listQuery(f ledger.Filter, after string) query {
	q := query{from: Requests, order: "recent"}
	if f.Resource != "" {
		q.filters = append(q.filters, where("resource", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(f.Resource)))
	}
	switch len(f.Statuses) {
	case 0:
	case 1:
		q.filters = append(q.filters, where("status", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(f.Statuses[0])))
	default:
		any := &firestorepb.ArrayValue{}
		for _, s := range f.Statuses {
			any.Values = append(any.Values, stringValue(s))
		}
		q.filters = append(q.filters, where("status", firestorepb.StructuredQuery_FieldFilter_IN,
			&firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: any}}))
	}
	return q.past("recent", after)
}

// OfJob implements [ledger.Ledger].
func (l *Ledger) OfJob(ctx context.Context, number string, limit int) ([]message.Key, error) {
	var keys []message.Key
	err := l.query(ctx, jobQuery(number), limit, func(d *firestorepb.Document) error {
		keys = append(keys, keyOf(d))
		return nil
	})
	return keys, err
}

func jobQuery(number string) query {
	return query{from: Requests, order: nameField, fields: []string{nameField}, filters: []*firestorepb.StructuredQuery_Filter{
		where("job", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(number)),
	}}
}

// Resources implements [ledger.Ledger].
func (l *Ledger) Resources(ctx context.Context, after string, limit int) ([]*ledger.Resource, error) {
	return whole[*ledger.Resource](ctx, l, resourcesQuery(after), limit)
}

func resourcesQuery(after string) query {
	return query{from: Resources, order: "name"}.past("name", after)
}

// A query asks for documents of one collection that pass all filters, in
// ascending order of one field, and by name where that is equal.
type query struct {
	from    string
	filters []*firestorepb.StructuredQuery_Filter
	order   string
	fields  []string             // what to return, nil for whole documents
	start   []*firestorepb.Value // values of the order and name after which to begin, nil for the first
}

// placeOf returns the start of the query that goes on after a document.
func (q query) placeOf(d *firestorepb.Document) []*firestorepb.Value {
	if q.order == nameField {
		return []*firestorepb.Value{reference(d.GetName())}
	}
	return []*firestorepb.Value{d.GetFields()[q.order], reference(d.GetName())}
}

// nameField stands for a document's name in queries.
const nameField = "__name__"

func reference(name string) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_ReferenceValue{ReferenceValue: name}}
}

// past adds a filter for documents after a value of a field, none if it is "".
func (q query) past(field, after string) query {
	if after != "" {
		q.filters = append(q.filters, where(field, firestorepb.StructuredQuery_FieldFilter_GREATER_THAN, stringValue(after)))
	}
	return q
}

func where(field string, op firestorepb.StructuredQuery_FieldFilter_Operator, v *firestorepb.Value) *firestorepb.StructuredQuery_Filter {
	return &firestorepb.StructuredQuery_Filter{FilterType: &firestorepb.StructuredQuery_Filter_FieldFilter{
		FieldFilter: &firestorepb.StructuredQuery_FieldFilter{Field: fieldOf(field), Op: op, Value: v},
	}}
}

func fieldOf(path string) *firestorepb.StructuredQuery_FieldReference {
	return &firestorepb.StructuredQuery_FieldReference{FieldPath: path}
}

func (q query) structured(limit int) *firestorepb.StructuredQuery {
	s := &firestorepb.StructuredQuery{
		From:    []*firestorepb.StructuredQuery_CollectionSelector{{CollectionId: q.from}},
		OrderBy: []*firestorepb.StructuredQuery_Order{{Field: fieldOf(q.order), Direction: firestorepb.StructuredQuery_ASCENDING}},
		Limit:   wrapperspb.Int32(int32(limit)),
	}
	if q.start != nil {
		if q.order != nameField {
			s.OrderBy = append(s.OrderBy, &firestorepb.StructuredQuery_Order{Field: fieldOf(nameField), Direction: firestorepb.StructuredQuery_ASCENDING})
		}
		s.StartAt = &firestorepb.Cursor{Values: q.start}
	}
	if q.fields != nil {
		s.Select = &firestorepb.StructuredQuery_Projection{}
		for _, f := range q.fields {
			s.Select.Fields = append(s.Select.Fields, fieldOf(f))
		}
	}
	switch len(q.filters) {
	case 0:
	case 1:
		s.Where = q.filters[0]
	default:
		s.Where = &firestorepb.StructuredQuery_Filter{FilterType: &firestorepb.StructuredQuery_Filter_CompositeFilter{
			CompositeFilter: &firestorepb.StructuredQuery_CompositeFilter{Op: firestorepb.StructuredQuery_CompositeFilter_AND, Filters: q.filters},
		}}
	}
	return s
}

// query calls each with the first documents found, at most limit; none for a limit of
// zero or less.
func (l *Ledger) query(ctx context.Context, q query, limit int, each func(*firestorepb.Document) error) error {
	about := "query " + q.from + " by " + q.order
	if err := ctx.Err(); err != nil {
		return failed(ctx, about, err)
	}
	if limit <= 0 {
		return nil
	}
	var found []*firestorepb.Document
	err := repeat(ctx, readTries, queryDeadline, func(ctx context.Context) error {
		found = nil
		stream, err := l.client.RunQuery(l.headers(ctx), &firestorepb.RunQueryRequest{
			Parent:    l.database + "/documents",
			QueryType: &firestorepb.RunQueryRequest_StructuredQuery{StructuredQuery: q.structured(limit)},
		})
		if err != nil {
			return err
		}
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if d := r.GetDocument(); d != nil {
				found = append(found, d)
			}
		}
	})
	if err != nil {
		return failed(ctx, about, err)
	}
	for _, d := range found {
		if err := each(d); err != nil {
			return err
		}
	}
	return nil
}
