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
	q := query{from: Requests, order: nameField}
	if after != "" {
		q.start = []*firestorepb.Value{reference(documentName(l.database, ledger.RecordRef(after)))}
	}
	return whole[*ledger.Record](ctx, l, q, limit)
}
