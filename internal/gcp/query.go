package gcp

import (
	"context"
	"errors"
	"io"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

const queryDeadline = 10 * time.Second

// Line implements [ledger.Ledger].
func (l *Ledger) Line(ctx context.Context, resource, shape, after string, limit int) ([]ledger.Head, error) {
	var heads []ledger.Head
	err := l.query(ctx, lineQuery(resource, shape, after), limit, func(d *firestorepb.Document) error {
		f := d.GetFields()
		h := ledger.Head{Order: f["order"].GetStringValue(), Key: keyOf(d), Size: int(f["size"].GetIntegerValue())}
		lines, needs := f["lines"].GetArrayValue().GetValues(), f["needs"].GetArrayValue().GetValues()
		for i, l := range lines {
			if l.GetStringValue() == shape && i < len(needs) {
				h.Need = capacity.Replicas(needs[i].GetIntegerValue())
			}
		}
		heads = append(heads, h)
		return nil
	})
	return heads, err
}

func lineQuery(resource, shape, after string) query {
	q := query{from: Requests, order: "order", fields: []string{"order", "lines", "needs", "size"}, filters: []*firestorepb.StructuredQuery_Filter{
		where("resource", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(resource)),
		where("lines", firestorepb.StructuredQuery_FieldFilter_ARRAY_CONTAINS, stringValue(shape)),
	}}
	return q.past("order", after)
}

// Due implements [ledger.Ledger].
func (l *Ledger) Due(ctx context.Context, now time.Time, limit int) ([]message.Key, error) {
	return l.keys(ctx, dueQuery(now), limit)
}

func dueQuery(now time.Time) query {
	return query{from: Requests, order: "wakeAt", fields: []string{"__name__"}, filters: []*firestorepb.StructuredQuery_Filter{
		where("wakeAt", firestorepb.StructuredQuery_FieldFilter_LESS_THAN_OR_EQUAL, timeValue(now)),
	}}
}

// Unsent implements [ledger.Ledger].
func (l *Ledger) Unsent(ctx context.Context, limit int) ([]message.Key, error) {
	return l.keys(ctx, unsentQuery(), limit)
}

func unsentQuery() query {
	return query{from: Requests, order: "outbox", fields: []string{"__name__"}}
}

// InState implements [ledger.Ledger].
func (l *Ledger) InState(ctx context.Context, resource string, state lifecycle.State, after string, limit int) ([]*ledger.Record, error) {
	return l.records(ctx, stateQuery(resource, state, after), limit)
}

func (l *Ledger) records(ctx context.Context, q query, limit int) ([]*ledger.Record, error) {
	var records []*ledger.Record
	err := l.query(ctx, q, limit, func(d *firestorepb.Document) error {
		doc, err := unpack(Requests, d)
		if err == nil {
			records = append(records, doc.(*ledger.Record))
		}
		return err
	})
	return records, err
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
	return l.records(ctx, listQuery(f, after), limit)
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
	return l.keys(ctx, jobQuery(number), limit)
}

func jobQuery(number string) query {
	return query{from: Requests, order: "__name__", fields: []string{"__name__"}, filters: []*firestorepb.StructuredQuery_Filter{
		where("job", firestorepb.StructuredQuery_FieldFilter_EQUAL, stringValue(number)),
	}}
}

// Resources implements [ledger.Ledger].
func (l *Ledger) Resources(ctx context.Context, after string, limit int) ([]*ledger.Resource, error) {
	var resources []*ledger.Resource
	err := l.query(ctx, resourcesQuery(after), limit, func(d *firestorepb.Document) error {
		doc, err := unpack(Resources, d)
		if err == nil {
			resources = append(resources, doc.(*ledger.Resource))
		}
		return err
	})
	return resources, err
}

func resourcesQuery(after string) query {
	return query{from: Resources, order: "name"}.past("name", after)
}

// A query asks for documents of one collection that pass all filters, in
// ascending order of one field.
type query struct {
	from    string
	filters []*firestorepb.StructuredQuery_Filter
	order   string
	fields  []string // what to return, nil for whole documents
}

// past keeps what comes after a value of a field, everything if it is "".
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

func (l *Ledger) keys(ctx context.Context, q query, limit int) ([]message.Key, error) {
	var keys []message.Key
	err := l.query(ctx, q, limit, func(d *firestorepb.Document) error {
		keys = append(keys, keyOf(d))
		return nil
	})
	return keys, err
}

// query hands out the first documents found, at most limit; none for a limit of
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
