package bench

import (
	"context"
	"errors"
	"io"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/emulator"
	"example.com/berth/internal/localstack/proxy"
)

// A scripted Firestore finds one document of two, nothing by any query, and has
// every commit fail.
type scripted struct {
	firestorepb.UnimplementedFirestoreServer
}

func (scripted) BatchGetDocuments(_ *firestorepb.BatchGetDocumentsRequest, s firestorepb.Firestore_BatchGetDocumentsServer) error {
	return errors.Join(
		s.Send(&firestorepb.BatchGetDocumentsResponse{Result: &firestorepb.BatchGetDocumentsResponse_Found{Found: &firestorepb.Document{Name: "a"}}}),
		s.Send(&firestorepb.BatchGetDocumentsResponse{Result: &firestorepb.BatchGetDocumentsResponse_Missing{Missing: "b"}}))
}

func (scripted) RunQuery(_ *firestorepb.RunQueryRequest, s firestorepb.Firestore_RunQueryServer) error {
	return s.Send(&firestorepb.RunQueryResponse{})
}

func (scripted) Commit(context.Context, *firestorepb.CommitRequest) (*firestorepb.CommitResponse, error) {
	return nil, status.Error(codes.Aborted, "too late")
}

func TestCountsOfWhatPasses(t *testing.T) {
	lis, err := emulator.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	firestorepb.RegisterFirestoreServer(server, scripted{})
	go func() { _ = server.Serve(lis) }() // ends by Stop
	t.Cleanup(server.Stop)
	counter := newCounter()
	p, err := proxy.Start(lis.Addr().String(), proxy.Options{After: counter.firestore})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(p.Host(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := firestorepb.NewFirestoreClient(conn)

	gets, err := client.BatchGetDocuments(t.Context(), &firestorepb.BatchGetDocumentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for {
		r, err := gets.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r.GetFound().GetName()+r.GetMissing())
	}
	if len(names) != 2 || names[0] != "a" || names[1] != "b" {
		t.Errorf("through the proxy come %q", names)
	}
	query, err := client.RunQuery(t.Context(), &firestorepb.RunQueryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = query.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("a query ends with %v", err)
	}
	if _, err := client.Commit(t.Context(), &firestorepb.CommitRequest{}); status.Code(err) != codes.Aborted {
		t.Errorf("a commit ends with %v", err)
	}
	// One document found, one missing, and the query that found nothing.
	if c := counter.now(); c.Read != 3 || c.Stale != 1 || c.Failed != 0 || c.Firestore["BatchGetDocuments"] != 1 {
		t.Errorf("counted %+v", c)
	}
}
