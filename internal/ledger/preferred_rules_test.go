package ledger

import (
	"errors"
	"strings"
	"testing"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// TestActive: which requests another one of the same concurrency key finds.
func TestActive(t *testing.T) {
	for _, state := range append([]lifecycle.State{lifecycle.None}, lifecycle.States...) {
		for _, again := range []bool{false, true} {
			r := &Record{}
			r.State, r.Again = state, again
			want := state != lifecycle.None && !state.Terminal()
			if state == lifecycle.Cancelling {
				want = again // its replicas come free for good, or it goes back into the queue
			}
			if r.Active() != want {
				t.Errorf("%q, again %v: active %v", state, again, !want)
			}
		}
	}
}

// TestPreferred: which of two records an id alone names, in whatever order they come.
func TestPreferred(t *testing.T) {
	record := func(kind message.Kind, state lifecycle.State, fingerprint string) *Record {
		r := &Record{Kind: kind, Fingerprint: fingerprint}
		r.State = state
		return r
	}
	live := record(message.KindRequest, lifecycle.Running, "f")
	ended := record(message.KindMessage, lifecycle.Succeeded, "f")
	answer := record(message.KindAnswer, lifecycle.None, "")
	tombstone := record(message.KindRequest, lifecycle.None, "")
	older := record(message.KindMessage, lifecycle.Cancelled, "") // a tombstone of an earlier release
	for name, pair := range map[string][2]*Record{
		"live before ended":      {live, ended},
		"live before an answer":  {live, answer},
		"live before none":       {live, tombstone},
		"ended before none":      {ended, tombstone},
		"ended before an old":    {ended, older},
		"an answer before none":  {answer, tombstone},
		"an answer before old":   {answer, older},
		"anything before no one": {tombstone, nil},
	} {
		if Preferred(pair[0], pair[1]) != pair[0] || Preferred(pair[1], pair[0]) != pair[0] {
			t.Errorf("%s does not hold", name)
		}
	}
	if Preferred(ended, answer) != ended || Preferred(answer, ended) != answer || Preferred(tombstone, older) != tombstone || Preferred() != nil || Preferred(nil) != nil {
		t.Error("of equals it is not the first")
	}
}

// TestNamesInErrors: an error of a name shows it in a form that can be printed.
func TestNamesInErrors(t *testing.T) {
	for name, want := range map[string]string{
		"a\xffb":                             "a\ufffdb",
		strings.Repeat("x", 2000):            strings.Repeat("x", 80),
		strings.Repeat("x", 79) + "é\xff":    strings.Repeat("x", 79) + "\ufffd",
		"__" + strings.Repeat("y", 4) + "__": "__yyyy__",
	} {
		var bad *NameError
		if err := Resources(name).Check(); !errors.As(err, &bad) || bad.Name != want {
			t.Errorf("%.20q: %v, want the name %q", name, err, want)
		}
	}
}

// TestUpdatesNameWhatTheyTouch: a closure that reads or puts what its update does not name
// is a mistake of the program, which no answer could mend.
func TestUpdatesNameWhatTheyTouch(t *testing.T) {
	for name, touch := range map[string]func(Tx){
		"read": func(tx Tx) { tx.Resource("b") },
		"put":  func(tx Tx) { tx.Put(&Resource{Name: "b"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a document that is not named goes on", name)
				}
			}()
			m := NewMem(nil)
			_ = m.Update(t.Context(), Resources("a"), func(tx Tx) error { touch(tx); return nil })
		}()
	}
}
