package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A wire stands for the network and the server behind it: it notes each call, and
// answers by itself.
type wire struct {
	calls  []call
	answer func(n int, method string, req proto.Message) ([]proto.Message, error) // n from 1
}

// A call is what went out, and how long it may take.
type call struct {
	method string
	req    proto.Message
	within time.Duration // rounded to seconds
	header string        // google-cloud-resource-prefix
}

func (w *wire) note(ctx context.Context, method string, req any) ([]proto.Message, error) {
	c := call{method: path.Base(method), req: proto.Clone(req.(proto.Message))}
	if end, bounded := ctx.Deadline(); bounded {
		c.within = time.Until(end).Round(time.Second)
	}
	if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get("google-cloud-resource-prefix")) > 0 {
		c.header = strings.Join(md.Get("google-cloud-resource-prefix"), " ")
	}
	w.calls = append(w.calls, c)
	if w.answer == nil {
		return nil, nil
	}
	return w.answer(len(w.calls), c.method, c.req)
}

func (w *wire) unary(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	answers, err := w.note(ctx, method, req)
	if len(answers) > 0 {
		proto.Merge(reply.(proto.Message), answers[0])
	}
	return err
}

func (w *wire) stream(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, method string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &wireStream{ctx: ctx, wire: w, method: method}, nil
}

// A wireStream is one call with several answers.
type wireStream struct {
	ctx     context.Context //nolint:containedctx // of the call that it is
	wire    *wire
	method  string
	answers []proto.Message
	err     error
}

func (s *wireStream) SendMsg(req any) error {
	s.answers, s.err = s.wire.note(s.ctx, s.method, req)
	return nil
}

func (s *wireStream) RecvMsg(reply any) error {
	if len(s.answers) == 0 {
		if s.err != nil {
			return s.err
		}
		return io.EOF
	}
	proto.Merge(reply.(proto.Message), s.answers[0])
	s.answers = s.answers[1:]
	return nil
}

func (s *wireStream) CloseSend() error             { return nil }
func (s *wireStream) Context() context.Context     { return s.ctx }
func (s *wireStream) Header() (metadata.MD, error) { return metadata.MD{}, nil }
func (s *wireStream) Trailer() metadata.MD         { return nil }

func (w *wire) options() []option.ClientOption {
	return append(local("127.0.0.1:1"), option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(w.unary)), option.WithGRPCDialOption(grpc.WithChainStreamInterceptor(w.stream)))
}

const databaseOfTests = "projects/p/databases/d"

func (w *wire) ledger(t *testing.T) *Ledger {
	t.Helper()
	l, err := OpenLedger(t.Context(), LedgerOptions{Project: "p", Database: "d", AllowEmulator: true, ClientOptions: w.options()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// sent compares a request with its JSON.
func sent(t *testing.T, what string, got proto.Message, want string) {
	t.Helper()
	parsed := got.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal([]byte(want), parsed); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, parsed) {
		text, _ := protojson.Marshal(got)
		t.Errorf("%s sends\n%s\nwant\n%s", what, text, want)
	}
}

func at(s int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: s} }

// stored is a record as the server has it.
func stored(t *testing.T, rec *ledger.Record, token string, update *timestamppb.Timestamp) *firestorepb.Document {
	t.Helper()
	fields, err := pack(ledger.Normal(rec), token)
	if err != nil {
		t.Fatal(err)
	}
	return &firestorepb.Document{Name: documentName(databaseOfTests, rec.Ref()), Fields: fields, UpdateTime: update}
}

func found(d *firestorepb.Document, read *timestamppb.Timestamp) proto.Message {
	return &firestorepb.BatchGetDocumentsResponse{Result: &firestorepb.BatchGetDocumentsResponse_Found{Found: d}, ReadTime: read}
}

func missing(ref ledger.Ref, read *timestamppb.Timestamp) proto.Message {
	return &firestorepb.BatchGetDocumentsResponse{Result: &firestorepb.BatchGetDocumentsResponse_Missing{Missing: documentName(databaseOfTests, ref)}, ReadTime: read}
}

// TestUpdateOnTheWire: an update is one read of all named documents, of whole ones and as
// of the latest moment that is answered, and one commit with a condition for each: that it
// is as it was read.
func TestUpdateOnTheWire(t *testing.T) {
	t.Parallel()
	w := &wire{}
	l := w.ledger(t)
	old := &ledger.Record{Key: "old", Sequence: 1}
	w.answer = func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
		if method == "Commit" {
			return []proto.Message{&firestorepb.CommitResponse{}}, nil
		}
		return []proto.Message{
			missing(ledger.RecordRef("new"), at(100)), found(stored(t, old, "t", at(40)), at(102)),
			missing(ledger.RecordRef("absent"), at(101)), found(stored(t, &ledger.Record{Key: "kept"}, "t", at(50)), nil),
		}, nil
	}
	var now time.Time
	err := l.Update(t.Context(), ledger.Records("new", "old", "absent", "kept"), func(tx ledger.Tx) error {
		now = tx.Now()
		if tx.Record("new") != nil || tx.Record("absent") != nil || tx.Record("old").Sequence != 1 || tx.Record("kept") == nil {
			t.Errorf("read as %v %v %v %v", tx.Record("new"), tx.Record("absent"), tx.Record("old"), tx.Record("kept"))
		}
		tx.Put(&ledger.Record{Key: "new", Sequence: 7})
		rec := tx.Record("old")
		rec.Sequence = 2
		tx.Put(rec)
		return nil
	})
	if err != nil || len(w.calls) != 2 || !now.Equal(time.Unix(102, 0)) {
		t.Fatalf("%v after %d calls, at %v", err, len(w.calls), now)
	}
	read, commit := w.calls[0], w.calls[1]
	if read.method != "BatchGetDocuments" || read.within != 5*time.Second || read.header != databaseOfTests || commit.method != "Commit" || commit.within != 10*time.Second || commit.header != databaseOfTests {
		t.Errorf("calls %s within %v for %q, %s within %v for %q", read.method, read.within, read.header, commit.method, commit.within, commit.header)
	}
	sent(t, "the read", read.req, `{"database":"projects/p/databases/d","documents":["projects/p/databases/d/documents/requests/new","projects/p/databases/d/documents/requests/old","projects/p/databases/d/documents/requests/absent","projects/p/databases/d/documents/requests/kept"]}`)
	req := commit.req.(*firestorepb.CommitRequest)
	if req.GetDatabase() != databaseOfTests || len(req.GetWrites()) != 4 {
		t.Fatalf("the commit is %v", req)
	}
	tokens := map[string]bool{}
	for _, write := range req.GetWrites() {
		name := path.Base(write.GetUpdate().GetName() + write.GetDelete())
		fields := write.GetUpdate().GetFields()
		if token := fields["token"].GetStringValue(); fields != nil {
			tokens[token] = true
		}
		want := map[string]string{
			"new":    `{"currentDocument":{"exists":false}}`,
			"old":    `{"currentDocument":{"updateTime":"1970-01-01T00:00:40Z"}}`,
			"absent": `{"delete":"projects/p/databases/d/documents/requests/absent","currentDocument":{"exists":false}}`,
			"kept":   `{"update":{"name":"projects/p/databases/d/documents/requests/kept"},"updateMask":{},"currentDocument":{"updateTime":"1970-01-01T00:00:50Z"}}`,
		}[name]
		switch name {
		case "new", "old":
			if write.GetUpdateMask() != nil || fields["doc"].GetStringValue() == "" || fields["layout"].GetIntegerValue() != ledger.Layout {
				t.Errorf("%s is written as %v", name, write)
			}
			bare := proto.Clone(write).(*firestorepb.Write)
			bare.Operation = nil
			sent(t, "the write of "+name, bare, want)
		default:
			sent(t, "the write of "+name, write, want)
		}
	}
	if len(tokens) != 1 || tokens[""] {
		t.Errorf("the commit has the tokens %v", tokens)
	}
}

// TestReadThatIsNotWhole: an answer for fewer documents, or without a time, is no answer.
func TestReadThatIsNotWhole(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]proto.Message{
		"one of two":         {missing(ledger.RecordRef("a"), at(1))},
		"none":               nil,
		"without a time":     {missing(ledger.RecordRef("a"), nil), missing(ledger.RecordRef("b"), nil)},
		"one answered twice": {missing(ledger.RecordRef("a"), at(1)), missing(ledger.RecordRef("a"), at(1))},
	} {
		w := &wire{answer: func(int, string, proto.Message) ([]proto.Message, error) { return answers, nil }}
		err := w.ledger(t).Update(t.Context(), ledger.Records("a", "b"), func(ledger.Tx) error { t.Errorf("%s: the closure runs", name); return nil })
		if err == nil || !strings.Contains(err.Error(), "of 2 documents answered") || !strings.Contains(err.Error(), "read requests/a and 1 more") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadIsRepeated three times for what may pass, once for what does not; the last error
// is returned, and a caller that has gone is not waited for.
func TestReadIsRepeated(t *testing.T) {
	t.Parallel()
	for code, tries := range map[codes.Code]int{
		codes.Unavailable: 3, codes.DeadlineExceeded: 3, codes.Internal: 3, codes.Unknown: 3, codes.Aborted: 3, codes.ResourceExhausted: 3, codes.Canceled: 3,
		codes.InvalidArgument: 1, codes.NotFound: 1, codes.AlreadyExists: 1, codes.PermissionDenied: 1, codes.FailedPrecondition: 1, codes.OutOfRange: 1, codes.Unimplemented: 1,
		codes.DataLoss: 1, codes.Unauthenticated: 1,
	} {
		w := &wire{answer: func(n int, _ string, _ proto.Message) ([]proto.Message, error) {
			return nil, status.Error(code, fmt.Sprint("try ", n))
		}}
		err := w.ledger(t).Update(t.Context(), justK, func(ledger.Tx) error { return nil })
		if len(w.calls) != tries || status.Code(err) != code || !strings.Contains(err.Error(), fmt.Sprint("try ", tries)) {
			t.Errorf("%s: %d reads, %v; want %d", code, len(w.calls), err, tries)
		}
		w.calls = nil
		_, err = w.ledger(t).Unpublished(t.Context(), ledger.Timed{}, 1)
		if len(w.calls) != tries || status.Code(err) != code || !strings.HasPrefix(err.Error(), "query requests by outbox: ") {
			t.Errorf("%s: %d queries, %v; want %d", code, len(w.calls), err, tries)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &wire{answer: func(int, string, proto.Message) ([]proto.Message, error) {
		cancel()
		return nil, status.Error(codes.Unavailable, "down")
	}}
	l := w.ledger(t)
	if err := l.Update(ctx, justK, func(ledger.Tx) error { return nil }); len(w.calls) != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: %d reads, %v", len(w.calls), err)
	}
	if err := l.Update(ctx, justK, func(ledger.Tx) error { return nil }); len(w.calls) != 1 || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "update of requests/k") {
		t.Errorf("one that had gone before: %d reads, %v", len(w.calls), err)
	}
	if _, err := l.Unpublished(ctx, ledger.Timed{}, 1); len(w.calls) != 1 || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "query requests by outbox") {
		t.Errorf("its query: %d calls, %v", len(w.calls), err)
	}
}

// TestLandedOnTheWire: whether a commit landed is found out by its token alone, of the
// documents that it wrote, by up to three reads, also for a caller that has gone.
func TestLandedOnTheWire(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		tokens  func(sent string) []string // as they are stored then
		fails   int                        // reads that fail before
		commits int
		unclear bool
	}{
		{"it landed", func(sent string) []string { return []string{sent, sent} }, 0, 1, false},
		{"one is written over", func(sent string) []string { return []string{"another", sent} }, 0, 1, false},
		{"it did not", func(string) []string { return []string{"another", "another"} }, 0, 2, false},
		{"it landed, and two reads fail", func(sent string) []string { return []string{sent, sent} }, 2, 1, false},
		{"and three reads fail", func(sent string) []string { return []string{sent, sent} }, 3, 1, true},
	} {
		w := &wire{}
		l := w.ledger(t)
		commits, checks := 0, 0
		sentToken := ""
		w.answer = func(_ int, method string, req proto.Message) ([]proto.Message, error) {
			if method == "Commit" {
				if commits++; commits == 1 {
					for _, write := range req.(*firestorepb.CommitRequest).GetWrites() {
						sentToken += write.GetUpdate().GetFields()["token"].GetStringValue()
					}
					sentToken = sentToken[:len(sentToken)/2] // of two writes
					return nil, status.Error(codes.Unavailable, "lost")
				}
				return []proto.Message{&firestorepb.CommitResponse{}}, nil
			}
			get := req.(*firestorepb.BatchGetDocumentsRequest)
			if get.GetMask() == nil {
				return []proto.Message{missing(ledger.RecordRef("a"), at(1)), missing(ledger.RecordRef("b"), at(1)), missing(ledger.RecordRef("c"), at(1))}, nil
			}
			if checks++; checks <= test.fails {
				return nil, status.Error(codes.Unavailable, "no answer")
			}
			if !slices.Equal(get.GetMask().GetFieldPaths(), []string{"token"}) || len(get.GetDocuments()) != 2 || get.GetDatabase() != databaseOfTests {
				t.Errorf("%s: it is checked by %v", test.name, get)
			}
			var answers []proto.Message
			for i, token := range test.tokens(sentToken) {
				answers = append(answers, found(&firestorepb.Document{Name: get.GetDocuments()[i], Fields: map[string]*firestorepb.Value{"token": stringValue(token)}}, at(2)))
			}
			return answers, nil
		}
		runs := 0
		err := l.Update(t.Context(), ledger.Records("a", "b", "c"), func(tx ledger.Tx) error {
			runs++
			tx.Put(&ledger.Record{Key: "a"})
			tx.Put(&ledger.Record{Key: "b"})
			return nil
		})
		if commits != test.commits || runs != test.commits || (err != nil) != test.unclear || err != nil && !strings.HasPrefix(err.Error(), "whether an update of requests/a and 2 more landed is not known: commit of requests/a and 2 more: ") {
			t.Errorf("%s: %d commits, %d runs, %v", test.name, commits, runs, err)
		}
		for _, c := range w.calls {
			if get, ok := c.req.(*firestorepb.BatchGetDocumentsRequest); ok && c.within != 5*time.Second {
				t.Errorf("%s: %v may take %v", test.name, get, c.within)
			}
		}
	}
}

// TestRefusedCommits name what the server will never take; only those are ErrRefused.
func TestRefusedCommits(t *testing.T) {
	t.Parallel()
	for code, refused := range map[codes.Code]bool{
		codes.InvalidArgument: true, codes.OutOfRange: true, codes.PermissionDenied: false, codes.Unauthenticated: false, codes.ResourceExhausted: false, codes.Unimplemented: false,
	} {
		commits := 0
		w := &wire{answer: func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
			if method == "Commit" {
				commits++
				return nil, status.Error(code, "no")
			}
			return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
		}}
		runs := 0
		err := w.ledger(t).Update(t.Context(), justK, increment(&runs))
		if commits != 1 || runs != 1 || status.Code(err) != code || errors.Is(err, ledger.ErrRefused) != refused || errors.Is(err, ledger.ErrBusy) || strings.Contains(err.Error(), "not known") {
			t.Errorf("%s: %d commits, %d runs, %v", code, commits, runs, err)
		}
	}
}

// TestBusyAfterTwelveTries: an update that others overtake each time says that it is busy,
// and reads anew before each try.
func TestBusyAfterTwelveTries(t *testing.T) {
	t.Parallel()
	commits, reads := 0, 0
	w := &wire{answer: func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
		if method == "Commit" {
			commits++
			return nil, status.Error(codes.FailedPrecondition, "changed")
		}
		reads++
		return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
	}}
	runs := 0
	err := w.ledger(t).Update(t.Context(), justK, increment(&runs))
	if commits != 12 || reads != 12 || runs != 12 || !errors.Is(err, ledger.ErrBusy) || strings.Contains(err.Error(), "not known") {
		t.Errorf("%d commits, %d reads, %d runs, %v", commits, reads, runs, err)
	}
}

// TestRememberedDocuments: an update on what was written last makes no read; if its
// closure fails or puts nothing, it runs again on what is stored, and that counts.
func TestRememberedDocuments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		run   func(tx ledger.Tx) error
		reads int
		runs  int
		err   string
	}{
		{"it writes", func(tx ledger.Tx) error { tx.Put(&ledger.Record{Key: "k", Sequence: 9}); return nil }, 0, 1, ""},
		{"it writes nothing", func(ledger.Tx) error { return nil }, 1, 2, ""},
		{"it fails on what is remembered", func(tx ledger.Tx) error {
			if tx.Record("k") != nil {
				return errors.New("it is there")
			}
			tx.Put(&ledger.Record{Key: "k"})
			return nil
		}, 1, 2, ""},
		{"it fails on both", func(ledger.Tx) error { return errors.New("never") }, 1, 2, "never"},
	} {
		reads := 0
		w := &wire{answer: func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
			if method == "Commit" {
				return []proto.Message{&firestorepb.CommitResponse{CommitTime: at(5), WriteResults: []*firestorepb.WriteResult{{UpdateTime: at(5)}}}}, nil
			}
			reads++
			return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
		}}
		l := w.ledger(t)
		runs := 0
		if err := l.Update(t.Context(), justK, increment(&runs)); err != nil {
			t.Fatal(err)
		}
		reads, runs = 0, 0
		err := l.Update(t.Context(), justK, func(tx ledger.Tx) error { runs++; return test.run(tx) }, justRecent)
		if reads != test.reads || runs != test.runs || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%s: %d reads, %d runs, %v; want %d and %d", test.name, reads, runs, err, test.reads, test.runs)
		}
	}
}

// TestRecentKeeps records and leases whose commit says when they were written, for two
// minutes and up to so many bytes, and nothing else.
func TestRecentKeeps(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	knows := func(r *recent, ref ledger.Ref, at time.Time) bool {
		_, others := r.take([]ledger.Ref{ref}, nil, at)
		return len(others) == 0
	}
	rec, lease, res := &ledger.Record{Key: "k"}, &ledger.Lease{Name: "l"}, &ledger.Resource{Name: "r"}
	for _, test := range []struct {
		name           string
		doc            ledger.Document
		update, commit *timestamppb.Timestamp
		after          time.Duration
		want           bool
	}{
		{"a record", rec, at(1), at(2), 0, true}, {"a lease", lease, at(1), at(2), 0, true}, {"a resource", res, at(1), at(2), 0, false},
		{"a budget", &ledger.Budget{Name: "b"}, at(1), at(2), 0, false}, {"without its update", rec, nil, at(2), 0, false}, {"without the commit", rec, at(1), nil, 0, false},
		{"for nearly two minutes", rec, at(1), at(2), 2*time.Minute - 1, true}, {"for two minutes", rec, at(1), at(2), 2 * time.Minute, false},
	} {
		r := &recent{}
		r.keep(test.doc.Ref(), test.doc, test.update, test.commit, now)
		if got := knows(r, test.doc.Ref(), now.Add(test.after)); got != test.want {
			t.Errorf("%s: remembered %v", test.name, got)
		}
	}
	r := &recent{}
	r.keep(rec.Ref(), rec, at(10), at(20), now)
	snap, _ := r.take([]ledger.Ref{rec.Ref()}, nil, now.Add(3*time.Second))
	if v := snap.docs[rec.Ref()]; !snap.at.Equal(time.Unix(23, 0)) || v.doc != ledger.Document(rec) || !proto.Equal(v.update, at(10)) {
		t.Errorf("three seconds later it is as of %v: %+v", snap.at, v)
	}
	if knows(r, rec.Ref(), now) || r.bytes != 0 || len(r.order) != 0 {
		t.Errorf("what was taken is still known: %d bytes, %v", r.bytes, r.order)
	}
	r.keep(rec.Ref(), rec, at(10), at(20), now)
	if _, others := r.take([]ledger.Ref{rec.Ref()}, ledger.ReadSet{rec.Ref()}, now); len(others) != 1 || !knows(r, rec.Ref(), now) {
		t.Errorf("one that has to be fresh is not read: %v", others)
	}
	large := func(i int) *ledger.Record {
		return &ledger.Record{Key: message.Key(fmt.Sprint("large", i)), Spec: strings.Repeat("x", 1<<20)}
	}
	for i := range 10 {
		r.keep(large(i).Ref(), large(i), at(1), at(2), now)
	}
	known := 0
	for i := range 10 {
		if _, ok := r.written[large(i).Ref()]; ok {
			known++
			if i < 3 {
				t.Errorf("the %d. is kept longer than later ones", i)
			}
		}
	}
	if known < 3 || r.bytes > recentBytes || r.bytes <= recentBytes-3<<20 {
		t.Errorf("%d are remembered in %d bytes", known, r.bytes)
	}
	r.keep(rec.Ref(), rec, at(1), at(2), now.Add(2*time.Minute))
	if len(r.order) != 1 || len(r.written) != 1 {
		t.Errorf("two minutes later %v are remembered beside the last", r.order)
	}
}

// TestQueriesOnTheWire: each query as Firestore gets it.
func TestQueriesOnTheWire(t *testing.T) {
	t.Parallel()
	const states = `{"fieldFilter":{"field":{"fieldPath":"state"},"op":"IN","value":{"arrayValue":{"values":[{"stringValue":"WAITING"},{"stringValue":"RESERVED"}]}}}}`
	equal := func(field, value string) string {
		return `{"fieldFilter":{"field":{"fieldPath":"` + field + `"},"op":"EQUAL","value":{"stringValue":"` + value + `"}}}`
	}
	past := func(field, value string) string {
		return `{"fieldFilter":{"field":{"fieldPath":"` + field + `"},"op":"GREATER_THAN","value":{"stringValue":"` + value + `"}}}`
	}
	both := func(filters ...string) string {
		return `"where":{"compositeFilter":{"op":"AND","filters":[` + strings.Join(filters, ",") + `]}},`
	}
	by := func(fields ...string) string {
		var list []string
		for _, f := range fields {
			list = append(list, `{"field":{"fieldPath":"`+f+`"},"direction":"ASCENDING"}`)
		}
		return `"orderBy":[` + strings.Join(list, ",") + `],`
	}
	start := func(first, name string) string {
		return `"startAt":{"values":[` + first + `{"referenceValue":"projects/p/databases/d/documents/` + name + `"}]},`
	}
	only := func(fields ...string) string {
		var list []string
		for _, f := range fields {
			list = append(list, `{"fieldPath":"`+f+`"}`)
		}
		return `"select":{"fields":[` + strings.Join(list, ",") + `]},`
	}
	moment := time.Unix(90, 0)
	for name, test := range map[string]struct {
		ask  func(context.Context, *Ledger) error
		from string
		want string
	}{
		"the queue": {func(ctx context.Context, l *Ledger) error { _, err := l.Queue(ctx, "R", "Q", "", 7); return err }, "requests",
			both(equal("resource", "R"), `{"fieldFilter":{"field":{"fieldPath":"queues"},"op":"ARRAY_CONTAINS","value":{"stringValue":"Q"}}}`) + by("order") + only("order", "head")},
		"the queue from a place on": {func(ctx context.Context, l *Ledger) error { _, err := l.Queue(ctx, "R", "Q", "o", 7); return err }, "requests",
			both(equal("resource", "R"), `{"fieldFilter":{"field":{"fieldPath":"queues"},"op":"ARRAY_CONTAINS","value":{"stringValue":"Q"}}}`, past("order", "o")) + by("order") + only("order", "head")},
		"what is due": {func(ctx context.Context, l *Ledger) error {
			_, err := l.Due(ctx, []lifecycle.State{lifecycle.Waiting, lifecycle.Reserved}, moment, ledger.Timed{}, 7)
			return err
		}, "requests", both(states, `{"fieldFilter":{"field":{"fieldPath":"timerAt"},"op":"LESS_THAN_OR_EQUAL","value":{"timestampValue":"1970-01-01T00:01:30Z"}}}`) + by("timerAt") + only("timerAt")},
		"what is due from a place on": {func(ctx context.Context, l *Ledger) error {
			_, err := l.Due(ctx, []lifecycle.State{lifecycle.Waiting, lifecycle.Reserved}, moment, ledger.Timed{Time: time.Unix(30, 0), Key: "k"}, 7)
			return err
		}, "requests", both(states, `{"fieldFilter":{"field":{"fieldPath":"timerAt"},"op":"LESS_THAN_OR_EQUAL","value":{"timestampValue":"1970-01-01T00:01:30Z"}}}`) +
			by("timerAt", "__name__") + start(`{"timestampValue":"1970-01-01T00:00:30Z"},`, "requests/k") + only("timerAt")},
		"what is not published": {func(ctx context.Context, l *Ledger) error {
			_, err := l.Unpublished(ctx, ledger.Timed{}, 7)
			return err
		}, "requests", by("outbox") + only("outbox")},
		"what is not published, from a place on": {func(ctx context.Context, l *Ledger) error {
			_, err := l.Unpublished(ctx, ledger.Timed{Time: time.Unix(30, 0), Key: "k"}, 7)
			return err
		}, "requests", by("outbox", "__name__") + start(`{"timestampValue":"1970-01-01T00:00:30Z"},`, "requests/k") + only("outbox")},
		"those in a state": {func(ctx context.Context, l *Ledger) error {
			_, err := l.InState(ctx, "R", lifecycle.Waiting, "", 7)
			return err
		}, "requests",
			both(equal("resource", "R"), equal("state", "WAITING")) + by("order")},
		"those in a state from a place on": {func(ctx context.Context, l *Ledger) error {
			_, err := l.InState(ctx, "R", lifecycle.Waiting, "o", 7)
			return err
		}, "requests",
			both(equal("resource", "R"), equal("state", "WAITING"), past("order", "o")) + by("order")},
		"recent ones": {func(ctx context.Context, l *Ledger) error { _, err := l.List(ctx, ledger.Filter{}, "", 7); return err }, "requests", by("recent")},
		"recent ones of a resource": {func(ctx context.Context, l *Ledger) error {
			_, err := l.List(ctx, ledger.Filter{Resource: "R"}, "", 7)
			return err
		}, "requests",
			`"where":` + equal("resource", "R") + `,` + by("recent")},
		"recent ones in a status": {func(ctx context.Context, l *Ledger) error {
			_, err := l.List(ctx, ledger.Filter{Statuses: []string{"A"}}, "x", 7)
			return err
		}, "requests",
			both(equal("status", "A"), past("recent", "x")) + by("recent")},
		"recent ones in some statuses": {func(ctx context.Context, l *Ledger) error {
			_, err := l.List(ctx, ledger.Filter{Resource: "R", Statuses: []string{"A", "B"}}, "", 7)
			return err
		}, "requests", both(equal("resource", "R"), `{"fieldFilter":{"field":{"fieldPath":"status"},"op":"IN","value":{"arrayValue":{"values":[{"stringValue":"A"},{"stringValue":"B"}]}}}}`) + by("recent")},
		"those of a job": {func(ctx context.Context, l *Ledger) error { _, err := l.OfJob(ctx, "8", 7); return err }, "requests",
			`"where":` + equal("job", "8") + `,` + by("__name__") + only("__name__")},
		"resources":                 {func(ctx context.Context, l *Ledger) error { _, err := l.Resources(ctx, "", 7); return err }, "resources", by("name")},
		"resources from a place on": {func(ctx context.Context, l *Ledger) error { _, err := l.Resources(ctx, "n", 7); return err }, "resources", `"where":` + past("name", "n") + `,` + by("name")},
		"everything": {func(ctx context.Context, l *Ledger) error {
			_, err := l.Scan(ctx, ledger.KindBudget, "", 7)
			return err
		}, "budgets", by("__name__")},
		"everything from a place on": {func(ctx context.Context, l *Ledger) error {
			_, err := l.Scan(ctx, ledger.KindBudget, "a/b", 7)
			return err
		}, "budgets", by("__name__") + start("", "budgets/a~b")},
	} {
		w := &wire{}
		if err := test.ask(t.Context(), w.ledger(t)); err != nil || len(w.calls) != 1 {
			t.Fatalf("%s: %v after %d calls", name, err, len(w.calls))
		}
		c := w.calls[0]
		if c.method != "RunQuery" || c.within != 10*time.Second || c.header != databaseOfTests {
			t.Errorf("%s: %s within %v for %q", name, c.method, c.within, c.header)
		}
		sent(t, name, c.req, `{"parent":"projects/p/databases/d/documents","structuredQuery":{"from":[{"collectionId":"`+test.from+`"}],`+test.want+`"limit":7}}`)
	}
	w := &wire{}
	l := w.ledger(t)
	for _, limit := range []int{0, -1} {
		if places, err := l.Unpublished(t.Context(), ledger.Timed{}, limit); err != nil || places != nil {
			t.Errorf("a limit of %d: %v, %v", limit, places, err)
		}
		if recs, err := l.InState(t.Context(), "R", lifecycle.Waiting, "", limit); err != nil || len(recs) != 0 {
			t.Errorf("a limit of %d: %v, %v", limit, recs, err)
		}
	}
	if len(w.calls) != 0 {
		t.Errorf("%d calls for nothing", len(w.calls))
	}
}

// TestUnreadableHeadIsEmpty: of a head that does not decode only what the query itself knows
// is taken. A part of it could start a job on machines that it does not ask for.
func TestUnreadableHeadIsEmpty(t *testing.T) {
	t.Parallel()
	w := &wire{answer: func(int, string, proto.Message) ([]proto.Message, error) {
		var list []proto.Message
		for i, head := range []string{`{"tenant":"t","limit":"soon"}`, `{"tenant":"t","within":true,"demand":{}}`, `{`, ``, `{"tenant":"t","within":true}`} {
			list = append(list, &firestorepb.RunQueryResponse{Document: &firestorepb.Document{Name: fmt.Sprintf("projects/p/databases/d/documents/requests/k%d", i),
				Fields: map[string]*firestorepb.Value{"order": stringValue(fmt.Sprint(i)), "head": stringValue(head)}}})
		}
		return list, nil
	}}
	heads, err := w.ledger(t).Queue(t.Context(), "R", "c", "", 9)
	if err != nil || len(heads) != 5 {
		t.Fatalf("found %+v, error %v", heads, err)
	}
	for i, h := range heads {
		want := admission.Head{ID: message.Key(fmt.Sprint("k", i)), Order: fmt.Sprint(i)}
		if i == 4 {
			want.Tenant, want.Within = "t", true
		}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("head %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestQueryGoesOnPastUnreadable: documents that cannot be read are named and do not count,
// so the query asks for as many more, from where it ended.
func TestQueryGoesOnPastUnreadable(t *testing.T) {
	t.Parallel()
	result := func(d *firestorepb.Document) proto.Message { return &firestorepb.RunQueryResponse{Document: d} }
	doc := func(key string, order string) *firestorepb.Document {
		rec := &ledger.Record{Key: message.Key(key), Kind: message.KindRequest, Resource: "R", Order: order}
		rec.State = lifecycle.Waiting
		return stored(t, rec, "t", at(1))
	}
	bad := func(key, order string) *firestorepb.Document {
		d := doc(key, order)
		d.Fields["doc"] = stringValue("{")
		return d
	}
	w := &wire{answer: func(n int, _ string, _ proto.Message) ([]proto.Message, error) {
		switch n {
		case 1:
			return []proto.Message{result(bad("a", "1")), result(doc("b", "2")), result(bad("c", "3")), &firestorepb.RunQueryResponse{}}, nil
		case 2:
			return []proto.Message{result(bad("d", "4")), result(doc("e", "5"))}, nil
		}
		return []proto.Message{result(doc("f", "6"))}, nil
	}}
	recs, err := w.ledger(t).InState(t.Context(), "R", lifecycle.Waiting, "", 3)
	skipped, err := ledger.Skipped(err)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range recs {
		got = append(got, string(r.Key))
	}
	for _, u := range skipped {
		got = append(got, "bad "+u.Name+" of "+u.Resource)
	}
	if strings.Join(got, ", ") != "b, e, f, bad a of R, bad c of R, bad d of R" || len(w.calls) != 3 {
		t.Errorf("found %v in %d calls", got, len(w.calls))
	}
	for i, want := range []struct {
		limit int32
		after string
	}{{3, ""}, {2, "c"}, {1, "e"}} {
		q := w.calls[i].req.(*firestorepb.RunQueryRequest).GetStructuredQuery()
		values := q.GetStartAt().GetValues()
		place := ""
		if len(values) == 2 {
			place = path.Base(values[1].GetReferenceValue())
		}
		if q.GetLimit().GetValue() != want.limit || place != want.after || q.GetStartAt().GetBefore() {
			t.Errorf("query %d is limited to %d, from %v on", i+1, q.GetLimit().GetValue(), values)
		}
	}
}

// TestPublishOnTheWire: events go in calls that are as large as the limits allow, in their
// order, each within ten seconds.
func TestPublishOnTheWire(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		events []message.Outcome
		calls  int
		most   int // events in the first
	}{
		{"one", outcomes(1, 0), 1, 1}, {"a thousand", outcomes(1000, 0), 1, 1000}, {"one more", outcomes(1001, 0), 2, 1000}, {"large ones", outcomes(40, 200_000), 3, 17},
	} {
		w := &wire{}
		w.answer = func(_ int, _ string, req proto.Message) ([]proto.Message, error) {
			ids := make([]string, len(req.(*pubsubpb.PublishRequest).GetMessages()))
			return []proto.Message{&pubsubpb.PublishResponse{MessageIds: ids}}, nil
		}
		p, err := NewPublisher(t.Context(), PublisherOptions{Project: "p", Topic: "o", Deployment: "d", AllowEmulator: true, ClientOptions: w.options()})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), test.events...); err != nil || len(w.calls) != test.calls {
			t.Errorf("%s: %d calls, %v; want %d", test.name, len(w.calls), err, test.calls)
		}
		n := 0
		for i, c := range w.calls {
			req := c.req.(*pubsubpb.PublishRequest)
			if c.method != "Publish" || c.within != 10*time.Second || req.GetTopic() != "projects/p/topics/o" || proto.Size(req) > 3_500_100 || i == 0 && len(req.GetMessages()) != test.most {
				t.Errorf("%s: call %d to %s has %d events in %d bytes, within %v", test.name, i+1, req.GetTopic(), len(req.GetMessages()), proto.Size(req), c.within)
			}
			for _, m := range req.GetMessages() {
				if o, err := message.DecodeOutcome(m.GetAttributes(), m.GetData()); err != nil || o.EventID != test.events[n].EventID || m.GetAttributes()["ce-source"] != "/projects/p/berth/d/tenants/t" {
					t.Errorf("%s: event %d is %s from %s, %v", test.name, n, o.EventID, m.GetAttributes()["ce-source"], err)
				}
				n++
			}
		}
		if n != len(test.events) {
			t.Errorf("%s: %d events are sent", test.name, n)
		}
		_ = p.Close()
	}
	for most, want := range map[int]string{
		2: "publish to projects/p/topics/o: 2 of 2 events failed (k-1, k-2): send: ", 10: "10 of 10 events failed (k-1, k-2, k-3, k-4, k-5, k-6, k-7, k-8, k-9, k-10): send: ",
		13: "13 of 13 events failed (k-1, k-2, k-3, k-4, k-5, k-6, k-7, k-8, k-9, k-10 and 3 more): send: ",
	} {
		w := &wire{answer: func(int, string, proto.Message) ([]proto.Message, error) {
			return []proto.Message{&pubsubpb.PublishResponse{MessageIds: []string{"1"}}}, nil
		}}
		p, err := NewPublisher(t.Context(), PublisherOptions{Project: "p", Topic: "o", Deployment: "d", AllowEmulator: true, ClientOptions: w.options()})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Publish(t.Context(), outcomes(most, 0)...)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), fmt.Sprintf("%d messages sent, 1 taken", most)) || len(w.calls) != 6 {
			t.Errorf("a server that takes one of %d: %v after %d calls", most, err, len(w.calls))
		}
		_ = p.Close()
	}
}

// TestRayCluster: a persistent resource that is a Ray cluster is seen to be one.
func TestRayCluster(t *testing.T) {
	t.Parallel()
	for ray, spec := range map[bool]*aiplatformpb.ResourceRuntimeSpec{true: {RaySpec: &aiplatformpb.RaySpec{}}, false: {}} {
		if got := resourceOf(&aiplatformpb.PersistentResource{ResourceRuntimeSpec: spec}, ""); got.Ray != ray || got.CustomAccount {
			t.Errorf("%v: ray %v, accounts %v", spec, got.Ray, got.CustomAccount)
		}
	}
}

// TestWhatDoesNotEncodeIsNotWritten: a document that has no JSON text is refused, and no
// empty one takes its place.
func TestWhatDoesNotEncodeIsNotWritten(t *testing.T) {
	t.Parallel()
	w := &wire{answer: func(int, string, proto.Message) ([]proto.Message, error) {
		return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
	}}
	l := w.ledger(t)
	err := l.Update(t.Context(), justK, func(tx ledger.Tx) error {
		tx.Put(&ledger.Record{Key: "k", ExpireAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)})
		return nil
	})
	if !errors.Is(err, ledger.ErrRefused) || !strings.Contains(err.Error(), "commit of requests/k: ") || len(w.calls) != 1 {
		t.Errorf("%v after %d calls", err, len(w.calls))
	}
}
