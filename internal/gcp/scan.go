package gcp

import (
	"context"

	"cloud.google.com/go/firestore/apiv1/firestorepb"

	"example.com/berth/internal/ledger"
)

// Scan returns documents of a kind in the order of their stored names, those after the
// given one ("" for the first). It is for operators' tools, which are the only ones that
// read everything; this order needs no index.
func (l *Ledger) Scan(ctx context.Context, kind ledger.Kind, after string, limit int) ([]ledger.Document, error) {
	q := query{from: string(kind), order: nameField}
	if after != "" {
		q.start = []*firestorepb.Value{reference(documentName(l.database, ledger.Ref{Kind: kind, Name: after}))}
	}
	return whole[ledger.Document](ctx, l, q, limit)
}
