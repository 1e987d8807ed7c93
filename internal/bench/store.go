package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	firestore "cloud.google.com/go/firestore/apiv1"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A store talks to Firestore as Berth's ledger does, but past it.
type store struct {
	client   *firestore.Client
	database string // projects/P/databases/D
}

// collection is where a store keeps its documents.
const collection = "floor"

func openStore(ctx context.Context, host, project string) (*store, error) {
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to Firestore at %s: %w", host, err)
	}
	client, err := firestore.NewClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make Firestore client for %s: %w", host, err), conn.Close())
	}
	return &store{client, "projects/" + project + "/databases/" + database}, nil
}

func (s *store) close() error { return s.client.Close() }

// document is a client's own, of the size of a request's record.
func (s *store) document(client int) *firestorepb.Document {
	return &firestorepb.Document{
		Name: fmt.Sprintf("%s/documents/%s/%d", s.database, collection, client),
		Fields: map[string]*firestorepb.Value{
			"doc": {ValueType: &firestorepb.Value_StringValue{StringValue: strings.Repeat("x", 2000)}},
			"at":  {ValueType: &firestorepb.Value_StringValue{StringValue: strconv.FormatInt(time.Now().UnixNano(), 10)}},
		},
	}
}

// write commits a document over any present one.
func (s *store) write(ctx context.Context, client int) error {
	return s.commit(ctx, &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: s.document(client)}})
}

// change reads a document, and commits it under the condition that it has not
// changed.
func (s *store) change(ctx context.Context, client int) error {
	doc := s.document(client)
	stream, err := s.client.BatchGetDocuments(ctx, &firestorepb.BatchGetDocumentsRequest{Database: s.database, Documents: []string{doc.GetName()}})
	condition := &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: false}}
	for err == nil {
		var r *firestorepb.BatchGetDocumentsResponse
		r, err = stream.Recv()
		if at := r.GetFound().GetUpdateTime(); at != nil {
			condition.ConditionType = &firestorepb.Precondition_UpdateTime{UpdateTime: at}
		}
	}
	if err := untilEOF(err); err != nil {
		return err
	}
	return s.commit(ctx, &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: doc}, CurrentDocument: condition})
}

func (s *store) commit(ctx context.Context, w *firestorepb.Write) error {
	_, err := s.client.Commit(ctx, &firestorepb.CommitRequest{Database: s.database, Writes: []*firestorepb.Write{w}})
	return err
}

// untilEOF is the error that a stream of answers ended with, nil for its end.
func untilEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
