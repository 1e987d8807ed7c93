package gcp

import (
	"context"

	"cloud.google.com/go/firestore/apiv1/firestorepb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Scan returns records in order of their keys, those after the given one (""
// for the first). It is for operators' tools, which are the only ones that read
// everything; the order of document names needs no index.
func (l *Ledger) Scan(ctx context.Context, after message.Key, limit int) ([]*ledger.Record, error) {
	q := query{from: Requests, order: "__name__"}
	if after != "" {
		q.filters = append(q.filters, where("__name__", firestorepb.StructuredQuery_FieldFilter_GREATER_THAN,
			&firestorepb.Value{ValueType: &firestorepb.Value_ReferenceValue{ReferenceValue: id{Requests, string(after)}.path(l.database)}}))
	}
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
