package bench

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// warmUp makes a fresh emulator work until its code is compiled: a Java program
// is ten times slower in its first seconds. What it writes is in a project and a
// collection of its own.
func warmUp(ctx context.Context, host string) error {
	const clients, changes, queries = 8, 3000, 300
	s, err := openStore(ctx, host, "berth-bench-warm")
	if err != nil {
		return err
	}
	if _, err = repeated(ctx, clients, changes, s.change); err == nil {
		_, err = repeated(ctx, clients, queries, s.query)
	}
	if err != nil {
		err = fmt.Errorf("warm up the Firestore emulator: %w", err)
	}
	return errors.Join(err, s.close())
}

// query reads ten documents in order of a field.
func (s *store) query(ctx context.Context, _ int) error {
	stream, err := s.client.RunQuery(ctx, &firestorepb.RunQueryRequest{
		Parent: s.database + "/documents",
		QueryType: &firestorepb.RunQueryRequest_StructuredQuery{StructuredQuery: &firestorepb.StructuredQuery{
			From:    []*firestorepb.StructuredQuery_CollectionSelector{{CollectionId: collection}},
			OrderBy: []*firestorepb.StructuredQuery_Order{{Field: &firestorepb.StructuredQuery_FieldReference{FieldPath: "at"}}},
			Limit:   wrapperspb.Int32(10),
		}},
	})
	for err == nil {
		_, err = stream.Recv()
	}
	return untilEOF(err)
}
