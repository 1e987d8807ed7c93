package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	firestore "cloud.google.com/go/firestore/apiv1"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
)

// database is the Firestore database that the functions use.
const database = "berth"

// A stored document as Firestore has it: what a [ledger.Document] was written as, read
// by other code than the one that wrote it.
type stored struct {
	path   string // collection/id
	doc    any
	update time.Time
}

// readStored reads a document of the ledger.
func readStored(d *firestorepb.Document, update *timestamppb.Timestamp) (stored, error) {
	_, short, ok := strings.Cut(d.GetName(), "/documents/")
	collection, _, ok2 := strings.Cut(short, "/")
	if !ok || !ok2 {
		return stored{}, fmt.Errorf("%q is not the name of a document", d.GetName())
	}
	s := stored{path: short, update: update.AsTime()}
	doc := ledger.New(ledger.Ref{Kind: ledger.Kind(collection)})
	if doc == nil {
		return s, fmt.Errorf("%s is in no collection of the ledger", short)
	}
	s.doc = doc
	text, there := d.GetFields()["doc"]
	if !there {
		return s, nil // a write that only verifies
	}
	if err := json.Unmarshal([]byte(text.GetStringValue()), s.doc); err != nil {
		return s, fmt.Errorf("read %s: %w", short, err)
	}
	return s, nil
}

// A store reads the ledger's documents straight from the emulator.
type store struct {
	client *firestore.Client
	parent string
}

func openStore(ctx context.Context, host, project string) (*store, error) {
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, fmt.Errorf("connect to Firestore at %s: %w", host, err)
	}
	client, err := firestore.NewClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return nil, fmt.Errorf("make Firestore client for %s: %w", host, err)
	}
	return &store{client, "projects/" + project + "/databases/" + database + "/documents"}, nil
}

func (s *store) close() error { return s.client.Close() }

// all returns every document of the ledger, by its path. Each collection is read
// as of one moment.
func (s *store) all(ctx context.Context) (map[string]stored, error) {
	docs := map[string]stored{}
	for _, collection := range ledger.Kinds() {
		stream, err := s.client.RunQuery(ctx, &firestorepb.RunQueryRequest{
			Parent: s.parent,
			QueryType: &firestorepb.RunQueryRequest_StructuredQuery{StructuredQuery: &firestorepb.StructuredQuery{
				From: []*firestorepb.StructuredQuery_CollectionSelector{{CollectionId: string(collection)}},
			}},
		})
		for err == nil {
			var r *firestorepb.RunQueryResponse
			if r, err = stream.Recv(); err != nil || r.GetDocument() == nil {
				continue
			}
			var d stored
			if d, err = readStored(r.GetDocument(), r.GetDocument().GetUpdateTime()); err == nil {
				docs[d.path] = d
			}
		}
		if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read all %s: %w", collection, err)
		}
	}
	return docs, nil
}
