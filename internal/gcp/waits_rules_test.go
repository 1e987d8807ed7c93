package gcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// A wait is random, up to a bound. Of so many in virtual time the longest is nearly the
// bound: it is below nine tenths of it once in 10^13.
const manyWaits = 300

// longest reports whether the longest of many waits is that of a bound.
func longest(got, bound time.Duration) bool { return got <= bound && got >= bound*9/10 }

// TestPausesOfRepeatedCalls: each pause may be twice as long as the one before, so that
// servers in trouble are left alone, and there is none before the first call or after the
// last.
func TestPausesOfRepeatedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tries = publishTries
		var most [tries]time.Duration
		for range manyWaits {
			last, n := time.Now(), 0
			_ = repeat(t.Context(), tries, time.Hour, func(context.Context) error {
				most[n] = max(most[n], time.Since(last))
				time.Sleep(time.Minute) // what a call takes does not count
				last, n = time.Now(), n+1
				return status.Error(codes.Unavailable, "no")
			})
			if n != tries || time.Since(last) != 0 {
				t.Fatalf("%d calls, and %s after the last", n, time.Since(last))
			}
		}
		for i, bound := range [tries]time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, 160 * time.Millisecond} {
			if !longest(most[i], bound) {
				t.Errorf("before call %d the longest pause is %s, want nearly %s", i+1, most[i], bound)
			}
		}
	})
}

// TestPausesOfLostCommits: an update that loses a commit pauses for as long as a try takes,
// 10 milliseconds at least, and twice as long after each further loss, up to 2 seconds.
func TestPausesOfLostCommits(t *testing.T) {
	ms := func(all ...int) (pauses []time.Duration) {
		for _, n := range all {
			pauses = append(pauses, time.Duration(n)*time.Millisecond)
		}
		return pauses
	}
	for took, bounds := range map[time.Duration][]time.Duration{
		0:                      ms(0, 10, 20, 40, 80, 160, 320, 640, 640, 640, 640, 640),
		100 * time.Millisecond: ms(0, 100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000, 2000, 2000),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{}
			l := w.ledger(t)
			most := make([]time.Duration, updateTries)
			for range manyWaits {
				last, n := time.Now(), 0
				w.calls = nil
				w.answer = func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
					if method != "Commit" {
						most[n] = max(most[n], time.Since(last))
						return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
					}
					time.Sleep(took)
					last, n = time.Now(), n+1
					return nil, status.Error(codes.Aborted, "lost")
				}
				runs := 0
				if err := l.Update(t.Context(), justK, increment(&runs)); !errors.Is(err, ledger.ErrBusy) || n != updateTries || time.Since(last) != 0 {
					t.Fatalf("%v after %d commits, and %s after the last", err, n, time.Since(last))
				}
			}
			for i, bound := range bounds {
				if !longest(most[i], bound) {
					t.Errorf("where a try takes %s, the longest pause before try %d is %s, want nearly %s", took, i+1, most[i], bound)
				}
			}
		})
	}
}

const (
	contendedResource = "projects/p/locations/l/persistentResources/contended"
	quietResource     = "projects/p/locations/l/persistentResources/quiet"
)

// contest is a server whose next commits are lost, each try taking 100 milliseconds; all
// documents are missing. It notes when it is first called.
type contest struct {
	wire
	l     *Ledger
	lose  int
	first time.Time
}

func newContest(t *testing.T) *contest {
	c := &contest{}
	c.answer = func(n int, method string, req proto.Message) ([]proto.Message, error) {
		if n == 1 {
			c.first = time.Now()
		}
		if method == "Commit" {
			time.Sleep(100 * time.Millisecond)
			if c.lose--; c.lose >= 0 {
				return nil, status.Error(codes.Aborted, "lost")
			}
			return nil, nil
		}
		var answers []proto.Message
		for _, name := range req.(*firestorepb.BatchGetDocumentsRequest).GetDocuments() {
			answers = append(answers, &firestorepb.BatchGetDocumentsResponse{Result: &firestorepb.BatchGetDocumentsResponse_Missing{Missing: name}, ReadTime: at(1)})
		}
		return answers, nil
	}
	c.l = c.ledger(t)
	return c
}

// update writes a resource after some lost commits, and returns how long it waits before it
// first reads, and what it reads last.
func (c *contest) update(t *testing.T, lose int, name string, hints ledger.Hints) (wait time.Duration, reads []string) {
	t.Helper()
	c.lose, c.calls = lose, nil
	began := time.Now()
	err := c.l.Update(t.Context(), ledger.Resources(name), func(tx ledger.Tx) error { tx.Put(&ledger.Resource{Name: name}); return nil }, hints)
	if (err != nil) != (lose >= updateTries) {
		t.Fatalf("after %d losses: %v", lose, err)
	}
	for _, call := range c.calls {
		if get, is := call.req.(*firestorepb.BatchGetDocumentsRequest); is {
			reads = get.GetDocuments()
		}
	}
	return c.first.Sub(began), reads
}

// TestUpdatesOfAContendedResourceWait: after a lost commit of a resource the next update of
// it that can take more along waits before it reads, for up to three tries' time; less
// after each that loses none, a second at most, and for nothing else.
func TestUpdatesOfAContendedResourceWait(t *testing.T) {
	more := ledger.Hints{More: func() ledger.ReadSet { return ledger.Records("more") }}
	for name, test := range map[string]struct {
		lose, calm int // commits lost by an update before, and updates after it that lose none
		name       string
		hints      ledger.Hints
		bound      time.Duration
	}{
		"nothing was lost":                {0, 0, contendedResource, more, 0},
		"one was lost":                    {1, 0, contendedResource, more, 300 * time.Millisecond},
		"two were lost":                   {2, 0, contendedResource, more, 600 * time.Millisecond},
		"all were lost":                   {updateTries, 0, contendedResource, more, time.Second},
		"one was lost, the next was not":  {1, 1, contendedResource, more, 285 * time.Millisecond},
		"one was lost, and then two not":  {1, 2, contendedResource, more, 270750 * time.Microsecond},
		"another resource":                {1, 0, quietResource, more, 0},
		"an update that takes none along": {1, 0, contendedResource, ledger.Hints{}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newContest(t)
			most := time.Duration(0)
			for range manyWaits {
				c.l.contention = contention{}
				c.update(t, test.lose, contendedResource, ledger.Hints{})
				for range test.calm {
					c.update(t, 0, contendedResource, ledger.Hints{})
				}
				wait, reads := c.update(t, 0, test.name, test.hints)
				most = max(most, wait)
				want := []string{documentName(databaseOfTests, ledger.ResourceRef(test.name))}
				if test.bound > 0 {
					want = append(want, documentName(databaseOfTests, ledger.RecordRef("more")))
				}
				if !slices.Equal(reads, want) {
					t.Fatalf("%s: it reads %q, want %q", name, reads, want)
				}
			}
			if !longest(most, test.bound) {
				t.Errorf("%s: the longest wait of the next update is %s, want nearly %s", name, most, test.bound)
			}
		})
	}
	// What arrives while a loser pauses goes with its next try, too.
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		_, reads := newContest(t).update(t, 2, contendedResource, ledger.Hints{More: func() ledger.ReadSet {
			asked++
			return ledger.Records(message.Key(fmt.Sprint("more", asked)))
		}})
		if asked != 2 || len(reads) != 3 || !strings.HasSuffix(reads[1], "/more1") || !strings.HasSuffix(reads[2], "/more2") {
			t.Errorf("after two losses more is asked for %d times, and read are %q", asked, reads)
		}
	})
}

// TestUnclearStaysUnclear: once a commit may have landed, an update that ends in whatever
// way says that it does not know; one before whose end nothing was unclear never says so.
func TestUnclearStaysUnclear(t *testing.T) {
	for name, test := range map[string]struct {
		then  func(w *wire, cancel func()) // what happens to the next try
		more  func() ledger.ReadSet
		cause error // of which the error is, if nothing was unclear
		says  string
	}{
		"its caller leaves while it pauses": {func(_ *wire, cancel func()) { time.AfterFunc(1, cancel) }, nil, context.Canceled, "update of requests/k: context canceled"},
		"it cannot read":                    {func(w *wire, _ func()) { w.answer = only("BatchGetDocuments", codes.PermissionDenied) }, nil, nil, "read requests/k: "},
		"it is refused":                     {func(w *wire, _ func()) { w.answer = only("Commit", codes.PermissionDenied) }, nil, nil, "commit of requests/k: "},
		"it loses always":                   {func(w *wire, _ func()) { w.answer = only("Commit", codes.Aborted) }, nil, ledger.ErrBusy, ""},
		"what goes with it has no name":     {func(*wire, func()) {}, func() ledger.ReadSet { return ledger.Resources("") }, nil, ""},
	} {
		for _, code := range []codes.Code{codes.Unavailable, codes.Aborted} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w := &wire{}
				l := w.ledger(t)
				commits := 0
				w.answer = func(_ int, method string, req proto.Message) ([]proto.Message, error) {
					if method == "Commit" {
						commits++
						if code == codes.Aborted {
							test.then(w, cancel)
						}
						return nil, status.Error(code, "the first")
					}
					if get := req.(*firestorepb.BatchGetDocumentsRequest); get.GetMask() != nil {
						test.then(w, cancel) // it is not there, and may come yet
					}
					return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
				}
				runs := 0
				err := l.Update(ctx, justK, increment(&runs), ledger.Hints{More: func() ledger.ReadSet {
					if test.more == nil {
						return nil
					}
					return test.more()
				}})
				unclear := err != nil && strings.HasPrefix(err.Error(), "whether an update of requests/k landed is not known: ")
				if err == nil || unclear != (code == codes.Unavailable) || commits != 1 {
					t.Errorf("%s, after %s: %v; %d commits", name, code, err, commits)
				} else if !strings.Contains(err.Error(), test.says) || code == codes.Aborted && test.cause != nil && !errors.Is(err, test.cause) {
					t.Errorf("%s, after %s: %v does not say %q, or is not %v", name, code, err, test.says, test.cause)
				}
			})
		}
	}
}

// only answers one method with an error, and reads with a document that is missing.
func only(failing string, code codes.Code) func(int, string, proto.Message) ([]proto.Message, error) {
	return func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
		if method == failing {
			return nil, status.Error(code, "then")
		}
		return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
	}
}

// TestTimesInMicroseconds: the time of an update is the server's, in microseconds, both as
// it was read and as it is remembered.
func TestTimesInMicroseconds(t *testing.T) {
	moment := &timestamppb.Timestamp{Seconds: 100, Nanos: 123456789}
	w := &wire{answer: func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
		if method == "Commit" {
			return []proto.Message{&firestorepb.CommitResponse{CommitTime: moment, WriteResults: []*firestorepb.WriteResult{{UpdateTime: moment}}}}, nil
		}
		return []proto.Message{missing(ledger.RecordRef("k"), moment)}, nil
	}}
	synctest.Test(t, func(t *testing.T) { // no time passes
		l := w.ledger(t)
		for _, what := range []string{"read", "remembered"} {
			var now time.Time
			if err := l.Update(t.Context(), justK, func(tx ledger.Tx) error {
				now = tx.Now()
				tx.Put(&ledger.Record{Key: "k"})
				return nil
			}, justRecent); err != nil || !now.Equal(time.Unix(100, 123456000)) {
				t.Errorf("as it was %s it is %v, %v", what, now, err)
			}
		}
	})
	if len(w.calls) != 3 {
		t.Errorf("%d calls, want a read and two commits", len(w.calls))
	}
}
