package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
)

// A snapshot is what one read found.
type snapshot struct {
	at   time.Time
	docs map[ledger.Ref]version
}

// A version is one document as it was read; all is nil when there was none.
type version struct {
	doc    ledger.Document
	bad    *ledger.UnreadableError // why it cannot be read
	update *timestamppb.Timestamp  // exactly as the server gave it: it is a condition of the commit
}

// read gets the named documents as of one moment.
func (l *Ledger) read(ctx context.Context, named []ledger.Ref) (snapshot, error) {
	var answers []*firestorepb.BatchGetDocumentsResponse
	err := repeat(ctx, readTries, readDeadline, func(ctx context.Context) error {
		answers = nil
		return l.batchGet(ctx, named, nil, func(r *firestorepb.BatchGetDocumentsResponse) { answers = append(answers, r) })
	})
	if err != nil {
		return snapshot{}, err
	}
	byPath := make(map[string]ledger.Ref, len(named))
	for _, ref := range named {
		byPath[documentName(l.database, ref)] = ref
	}
	snap := snapshot{docs: make(map[ledger.Ref]version, len(named))}
	for _, r := range answers {
		// Documents answered earlier did not change up to the read time of later
		// ones, so the latest is the snapshot's.
		if at := r.GetReadTime(); at != nil && at.AsTime().After(snap.at) {
			snap.at = at.AsTime().Truncate(time.Microsecond)
		}
		if name := r.GetMissing(); name != "" {
			snap.docs[byPath[name]] = version{}
		}
		if d := r.GetFound(); d != nil {
			ref := byPath[d.GetName()]
			doc, bad := unpack(ref.Kind, d)
			snap.docs[ref] = version{doc, bad, d.GetUpdateTime()}
		}
	}
	if len(snap.docs) != len(named) || snap.at.IsZero() {
		return snapshot{}, fmt.Errorf("%d of %d documents answered, read time %v", len(snap.docs), len(named), snap.at)
	}
	return snap, nil
}

// batchGet calls BatchGetDocuments, for only the fields in mask unless it is
// nil, and calls each with every answer.
func (l *Ledger) batchGet(ctx context.Context, named []ledger.Ref, mask []string, each func(*firestorepb.BatchGetDocumentsResponse)) error {
	req := &firestorepb.BatchGetDocumentsRequest{Database: l.database}
	for _, ref := range named {
		req.Documents = append(req.Documents, documentName(l.database, ref))
	}
	if mask != nil {
		req.Mask = &firestorepb.DocumentMask{FieldPaths: mask}
	}
	stream, err := l.client.BatchGetDocuments(l.headers(ctx), req)
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
		each(r)
	}
}

// A write is one document of a commit.
type write struct {
	ref ledger.Ref
	*firestorepb.Write
}

// writes makes every document of the snapshot a condition of the commit. The
// order is arbitrary, because a commit is atomic.
func (l *Ledger) writes(docs *documents, token string) ([]write, error) {
	var writes []write
	for ref, v := range docs.snap.docs {
		name := documentName(l.database, ref)
		w := &firestorepb.Write{CurrentDocument: unchanged(v)}
		put, written := docs.puts[ref]
		switch {
		case written:
			fields, err := pack(put, token)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ledger.ErrRefused, ref, err)
			}
			w.Operation = &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name, Fields: fields}}
		case v.update == nil:
			w.Operation = &firestorepb.Write_Delete{Delete: name}
		default:
			w.Operation = &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name}}
			w.UpdateMask = &firestorepb.DocumentMask{}
		}
		writes = append(writes, write{ref, w})
	}
	return writes, nil
}

func unchanged(v version) *firestorepb.Precondition {
	if v.update == nil {
		return &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: false}}
	}
	return &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_UpdateTime{UpdateTime: v.update}}
}

// An answer is what a commit's error code allows to conclude.
type answer int

const (
	unknown   answer = iota // it may have landed: read and compare the token
	committed               // it has landed
	stale                   // it has not: a document changed, or a lock was lost. Run the closure again
	refused                 // it has not, and would not if sent again. Return the error
)

// String is the word by which an answer is counted.
func (a answer) String() string {
	return [...]string{unknown: "unknown", committed: "committed", stale: "conflict", refused: "refused"}[a]
}

// commitRules is the map from codes to answers. A code that is not listed is
// unknown, which is always safe: it costs one more read.
var commitRules = map[codes.Code]answer{
	codes.OK: committed,

	codes.FailedPrecondition: stale, // a document has another update time
	codes.AlreadyExists:      stale, // a document that was absent is there
	codes.NotFound:           stale, // a document that was there is gone (it expired)
	codes.Aborted:            stale, // contention: another write held the locks too long

	codes.InvalidArgument:   refused, // too large, most likely: 1 MiB a document, 10 MiB a commit
	codes.PermissionDenied:  refused,
	codes.Unauthenticated:   refused,
	codes.ResourceExhausted: refused, // over quota, or a message larger than gRPC lets through
	codes.OutOfRange:        refused,
	codes.Unimplemented:     refused,
}

// commit sends a commit, once, and remembers what it wrote.
func (l *Ledger) commit(ctx context.Context, docs *documents, writes []write) (answer, error) {
	req := &firestorepb.CommitRequest{Database: l.database}
	for _, w := range writes {
		req.Writes = append(req.Writes, w.Write)
	}
	var done *firestorepb.CommitResponse
	err := once(ctx, commitDeadline, func(ctx context.Context) (err error) {
		done, err = l.client.Commit(l.headers(ctx), req)
		return err
	})
	code := status.Code(err)
	if err != nil && (code == codes.InvalidArgument || code == codes.OutOfRange) {
		err = fmt.Errorf("%w: %w", ledger.ErrRefused, err)
	}
	if err == nil && len(done.GetWriteResults()) == len(writes) {
		for i, w := range writes {
			if put := docs.puts[w.ref]; put != nil {
				l.recent.keep(w.ref, put, done.GetWriteResults()[i].GetUpdateTime(), done.GetCommitTime(), time.Now())
			}
		}
	}
	return commitRules[code], err
}

// landed reads whether any of the documents bears the commit's token. One is enough,
// because the commit wrote all together; only others that overwrite every one of them
// hide it. landed goes on for [checkDeadline] after the caller's context has ended.
func (l *Ledger) landed(ctx context.Context, puts map[ledger.Ref]ledger.Document, token string) (bool, error) {
	var named []ledger.Ref
	for ref := range puts {
		named = append(named, ref)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkDeadline)
	defer cancel()
	found := false
	err := repeat(ctx, readTries, checkDeadline, func(ctx context.Context) error {
		return l.batchGet(ctx, named, []string{"token"}, func(r *firestorepb.BatchGetDocumentsResponse) {
			found = found || r.GetFound().GetFields()["token"].GetStringValue() == token
		})
	})
	return found, err
}
