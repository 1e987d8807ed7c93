package gcp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/message"
)

// openEmulator returns an empty ledger in the official emulator, whose calls go
// through the given interceptors.
func openEmulator(t testing.TB, p *proxy) *Ledger {
	t.Helper()
	options := append(local(emulatortest.Firestore(t)),
		option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(p.unary)),
		option.WithGRPCDialOption(grpc.WithChainStreamInterceptor(p.stream)))
	l, err := OpenLedger(t.Context(), LedgerOptions{Project: emulatortest.Project(t), AllowEmulator: true, ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// A proxy is between client and emulator and fails as the network does.
type proxy struct {
	mu sync.Mutex
	// commit decides what becomes of the n-th commit (from 1): whether it is sent,
	// and which error is answered instead of the server's answer, nil for that.
	commit func(n int) (send bool, answer error)
	read   func(n int) error // fails the n-th BatchGetDocuments, unless nil
	// after runs when a commit has been sent and before its answer is given.
	after          func(n int)
	commits, reads int
}

func (p *proxy) unary(ctx context.Context, method string, req, reply any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, ok := req.(*firestorepb.CommitRequest); !ok || p.commit == nil {
		return invoke(ctx, method, req, reply, c, opts...)
	}
	p.mu.Lock()
	p.commits++
	n := p.commits
	send, answer := p.commit(n)
	p.mu.Unlock()
	if send {
		if err := invoke(ctx, method, req, reply, c, opts...); err != nil {
			return err
		}
		if p.after != nil {
			p.after(n)
		}
	}
	return answer
}

func (p *proxy) stream(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if strings.HasSuffix(method, "/BatchGetDocuments") && p.read != nil {
		p.mu.Lock()
		p.reads++
		err := p.read(p.reads)
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return open(ctx, d, c, method, opts...)
}

// torn is the one test that the emulator fails, and not by the ledger's fault:
// beside a writer, some 5 in 1,000 of its BatchGetDocuments answer with documents
// of two commits under one read time, in a read-only transaction as well.
// Firestore's reference excludes that (BatchGetDocumentsResponse.read_time). What
// an update writes is checked in either case; see the test Snapshot.
const torn = "SnapshotOfReader"

func TestLedger(t *testing.T) {
	emulatortest.Firestore(t)
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T) ledger.Ledger { return openEmulator(t, &proxy{}) }, torn)
}

// The same contract where answers of commits get lost, commits meet contention
// and reads fail.
func TestLedgerFaulty(t *testing.T) {
	emulatortest.Firestore(t)
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T) ledger.Ledger {
		return openEmulator(t, &proxy{
			commit: func(n int) (bool, error) {
				switch n % 5 {
				case 1:
					return true, status.Error(codes.Unavailable, "injected: answer lost")
				case 3:
					return false, status.Error(codes.Aborted, "injected: contention")
				}
				return true, nil
			},
			read: func(n int) error {
				if n == 2 || n%50 == 0 { // far apart, so that no read fails twice
					return status.Error(codes.Unavailable, "injected: read failed")
				}
				return nil
			},
		})
	}, torn)
}

// increment adds one to a record, counting the runs.
func increment(runs *int) func(ledger.Tx) error {
	return func(tx ledger.Tx) error {
		*runs++
		r := tx.Record("k")
		if r == nil {
			r = &ledger.Record{Key: "k"}
		}
		r.Sequence++
		tx.Put(r)
		return nil
	}
}

var justK = ledger.Records("k")

func sequence(t *testing.T, l *Ledger) (n int64) {
	t.Helper()
	err := ledger.Read(t.Context(), l, justK, func(tx ledger.Tx) {
		if r := tx.Record("k"); r != nil {
			n = r.Sequence
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Each answer to the first commit, with the commit done and not done: how often
// the closure runs, what is there at the end, and what Update says.
func TestCommitAnswers(t *testing.T) {
	for _, code := range []codes.Code{
		codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Canceled, codes.DataLoss,
	} {
		for _, sent := range []bool{true, false} {
			t.Run(code.String()+map[bool]string{true: " after", false: " before"}[sent], func(t *testing.T) {
				t.Parallel()
				l := openEmulator(t, &proxy{commit: first(sent, code)})
				runs := 0
				if err := l.Update(t.Context(), justK, increment(&runs)); err != nil {
					t.Fatal(err)
				}
				if want := map[bool]int{true: 1, false: 2}[sent]; runs != want || sequence(t, l) != 1 {
					t.Errorf("%d runs, sequence %d; want %d and 1", runs, sequence(t, l), want)
				}
			})
		}
	}
	for code, want := range map[codes.Code]int{
		codes.Aborted: 2, codes.FailedPrecondition: 2, codes.AlreadyExists: 2, codes.NotFound: 2,
		codes.InvalidArgument: 1, codes.PermissionDenied: 1, codes.ResourceExhausted: 1, codes.Unauthenticated: 1,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			l := openEmulator(t, &proxy{commit: first(false, code)})
			runs := 0
			err := l.Update(t.Context(), justK, increment(&runs))
			if refused := want == 1; (err != nil) != refused || runs != want || (sequence(t, l) == 0) != refused {
				t.Errorf("error %v, %d runs, sequence %d; want %d runs", err, runs, sequence(t, l), want)
			}
			if err != nil && (status.Code(err) != code || !strings.Contains(err.Error(), "requests/k")) {
				t.Errorf("error %q does not say what was refused, or how", err)
			}
		})
	}
}

func first(send bool, code codes.Code) func(int) (bool, error) {
	return func(n int) (bool, error) {
		if n > 1 {
			return true, nil
		}
		return send, status.Error(code, "injected")
	}
}

// The commit landed, its answer and every read that checks it were lost: Update has to
// say that it does not know, and not that nothing was written.
func TestUnclearCommit(t *testing.T) {
	t.Parallel()
	l := openEmulator(t, &proxy{
		commit: first(true, codes.Unavailable),
		read: func(n int) error {
			if n == 1 || n > 1+readTries {
				return nil
			}
			return status.Error(codes.Unavailable, "injected")
		},
	})
	runs := 0
	err := l.Update(t.Context(), justK, increment(&runs))
	if err == nil || errors.Is(err, ledger.ErrBusy) || !strings.Contains(err.Error(), "not known") {
		t.Errorf("error %v, want one that says that it is not known", err)
	}
	if runs != 1 || sequence(t, l) != 1 {
		t.Errorf("%d runs, sequence %d; want 1 and 1", runs, sequence(t, l))
	}
}

// Lost once, and from then on always too late.
func TestUnclearCommitThenBusy(t *testing.T) {
	t.Parallel()
	l := openEmulator(t, &proxy{commit: func(n int) (bool, error) {
		if n == 1 {
			return false, status.Error(codes.Unavailable, "injected")
		}
		return false, status.Error(codes.Aborted, "injected")
	}})
	runs := 0
	err := l.Update(t.Context(), justK, increment(&runs))
	if err == nil || errors.Is(err, ledger.ErrBusy) {
		t.Errorf("error %v, want one other than ErrBusy: the first commit might land yet", err)
	}
	if runs != updateTries {
		t.Errorf("%d runs, want %d", runs, updateTries)
	}
}

// All that a lost commit wrote has been overwritten before the check.
func TestLostAndWrittenOver(t *testing.T) {
	t.Parallel()
	p := &proxy{commit: first(true, codes.Unavailable)}
	l := openEmulator(t, p)
	other, runs := 0, 0
	p.after = func(n int) {
		if n == 1 {
			if err := l.Update(t.Context(), justK, increment(&other)); err != nil {
				t.Error(err)
			}
		}
	}
	if err := l.Update(t.Context(), justK, increment(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 2 || sequence(t, l) != 3 {
		t.Errorf("%d runs, sequence %d; want a second run that sees both writes, and 3", runs, sequence(t, l))
	}
}

// One document that still bears the token is enough: they were written together.
func TestLostAndPartlyWrittenOver(t *testing.T) {
	t.Parallel()
	p := &proxy{commit: first(true, codes.Unavailable)}
	l := openEmulator(t, p)
	var keys []message.Key
	for i := range 8 {
		keys = append(keys, message.Key(fmt.Sprint("k", i)))
	}
	write := func(sequence int64, some []message.Key, runs *int) error {
		return l.Update(t.Context(), ledger.Records(keys...), func(tx ledger.Tx) error {
			*runs++
			for _, key := range some {
				tx.Put(&ledger.Record{Key: key, Sequence: sequence})
			}
			return nil
		})
	}
	other, runs := 0, 0
	p.after = func(n int) {
		if n == 1 {
			if err := write(2, keys[1:], &other); err != nil {
				t.Error(err)
			}
		}
	}
	if err := write(1, keys, &runs); err != nil {
		t.Fatal(err)
	}
	if runs != 1 {
		t.Errorf("%d runs, want 1", runs)
	}
}

// A commit that arrives after the check did not find it makes the next
// one stale, and the closure sees its own work.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	var late *firestorepb.CommitRequest
	p := &proxy{}
	l := openEmulator(t, p)
	runs := 0
	err := l.Update(t.Context(), justK, func(tx ledger.Tx) error {
		if runs == 1 { // the second run has read; now the first commit lands
			if _, err := l.client.Commit(l.headers(t.Context()), late); err != nil {
				t.Error(err)
			}
		}
		if runs == 0 {
			p.commit = first(false, codes.DeadlineExceeded)
			first := newDocuments(snapshot{docs: map[ledger.Ref]version{ledger.RecordRef("k"): {}}})
			if bad := first.Put(&ledger.Record{Key: "k", Sequence: 1}); bad != nil {
				t.Error(bad)
			}
			writes, err := l.writes(first, "first")
			if err != nil {
				t.Error(err)
			}
			late = &firestorepb.CommitRequest{Database: l.database, Writes: []*firestorepb.Write{writes[0].Write}}
		}
		return increment(&runs)(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if runs != 3 || sequence(t, l) != 2 {
		t.Errorf("%d runs, sequence %d; want 3 and 2", runs, sequence(t, l))
	}
}

// The caller goes away while the commit is under way: Update still finds out.
func TestCallerGone(t *testing.T) {
	for _, sent := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		p := &proxy{commit: first(sent, codes.Canceled), after: func(int) { cancel() }}
		if !sent {
			p.commit = func(int) (bool, error) {
				cancel()
				return false, status.Error(codes.Canceled, "injected")
			}
		}
		l := openEmulator(t, p)
		runs := 0
		err := l.Update(ctx, justK, increment(&runs))
		if (err == nil) != sent || !sent && !strings.Contains(err.Error(), "not known") || runs != 1 {
			t.Errorf("commit done %v: error %v, %d runs", sent, err, runs)
		}
		if got := sequence(t, l); (got == 1) != sent {
			t.Errorf("commit done %v: sequence %d", sent, got)
		}
	}
}

// A document that is too large is refused, not tried again, and the error names it.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	l := openEmulator(t, &proxy{})
	err := l.Update(t.Context(), justK, func(tx ledger.Tx) error {
		tx.Put(&ledger.Record{Key: "k", Spec: strings.Repeat("x", 1<<20)})
		return nil
	})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "requests/k") {
		t.Errorf("error %v, want InvalidArgument about requests/k", err)
	}
	if n := l.RPCs()["Commit"]; n != 1 {
		t.Errorf("%d commits, want one: it cannot get better", n)
	}
}

// A read that is not answered in full must not be taken for absent documents.
func TestReadFails(t *testing.T) {
	t.Parallel()
	l := openEmulator(t, &proxy{read: func(n int) error {
		return status.Error(map[bool]codes.Code{true: codes.PermissionDenied, false: codes.Unavailable}[n == 1], "injected")
	}})
	runs := 0
	if err := l.Update(t.Context(), justK, increment(&runs)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("error %v, want what the server said, at once", err)
	}
	if err := l.Update(t.Context(), justK, increment(&runs)); status.Code(err) != codes.Unavailable {
		t.Errorf("error %v, want what the server said", err)
	}
	if runs != 0 || l.RPCs()["Commit"] != 0 {
		t.Errorf("%d runs, calls %v, want none without a read", runs, l.RPCs())
	}
}

// An update is two calls, one that only reads is one.
func TestCalls(t *testing.T) {
	t.Parallel()
	l := openEmulator(t, &proxy{})
	runs := 0
	if err := l.Update(t.Context(), justK, increment(&runs)); err != nil {
		t.Fatal(err)
	}
	sequence(t, l)
	if n := l.RPCs(); n["BatchGetDocuments"] != 2 || n["Commit"] != 1 || len(n) != 2 {
		t.Errorf("calls %v, want 2 BatchGetDocuments and 1 Commit", n)
	}
}

// Now is the server's word, whatever the clock here says.
func TestNowIsTheServers(t *testing.T) {
	t.Parallel()
	l := openEmulator(t, &proxy{})
	var before, after time.Time
	var runs int
	for _, now := range []*time.Time{&before, &after} {
		if err := ledger.Read(t.Context(), l, justK, func(tx ledger.Tx) { *now = tx.Now() }); err != nil {
			t.Fatal(err)
		}
		if err := l.Update(t.Context(), justK, increment(&runs)); err != nil {
			t.Fatal(err)
		}
	}
	snap, err := l.read(t.Context(), []ledger.Ref{ledger.RecordRef("k")})
	if err != nil {
		t.Fatal(err)
	}
	wrote := snap.docs[ledger.RecordRef("k")].update.AsTime()
	if !before.Before(after) || !after.Before(wrote) || wrote.After(snap.at.Add(time.Microsecond)) {
		t.Errorf("read at %v, written, read at %v, written at %v, read at %v: out of order", before, after, wrote, snap.at)
	}
}
