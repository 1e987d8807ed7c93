package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// TestWhatIsUnderstood: a record of every state and kind that there is, and none with a word
// that only another release knows: it may mean that the record must not be touched.
func TestWhatIsUnderstood(t *testing.T) {
	record := func(kind message.Kind, state lifecycle.State) *Record {
		r := &Record{Kind: kind}
		r.State = state
		return r
	}
	for _, kind := range []message.Kind{message.KindRequest, message.KindMessage, message.KindAnswer, ""} {
		for _, state := range append(slices.Clone(lifecycle.States), lifecycle.None) {
			if err := record(kind, state).Understood(); err != nil {
				t.Errorf("kind %q in state %q: %v", kind, state, err)
			}
		}
	}
	for _, c := range []struct {
		kind  message.Kind
		state lifecycle.State
		word  string
	}{
		{"", "RESTING", "state"}, {"wish", "RESTING", "state"}, {"wish", lifecycle.Running, "kind"}, {"Request", lifecycle.Running, "kind"}, {" ", lifecycle.None, "kind"},
	} {
		if err := record(c.kind, c.state).Understood(); err == nil || err.Error() != "its "+c.word+" is a word that this release does not know" {
			t.Errorf("kind %q, state %q: %v, want that its %s is not known", c.kind, c.state, err, c.word)
		}
	}
}

// TestSkippedDocuments: what a query left out comes back out of its error, however it is
// wrapped, and any other error stays one.
func TestSkippedDocuments(t *testing.T) {
	list := []*UnreadableError{{Ref: RecordRef("a"), Why: "it has layout 9"}, {Ref: RecordRef("b"), Why: "it is no JSON"}}
	err := SkippedOf(list)
	if got, rest := Skipped(fmt.Errorf("list: %w", err)); rest != nil || !slices.Equal(got, list) {
		t.Errorf("skipped are %v, error %v", got, rest)
	}
	if text := err.Error(); !strings.Contains(text, "2 documents cannot be read, among them requests/a: it has layout 9") {
		t.Errorf("it says %q", text)
	}
	if err := SkippedOf(nil); err != nil {
		t.Errorf("none skipped: %v", err)
	}
	broken := errors.New("broken")
	for _, err := range []error{nil, broken} {
		if got, rest := Skipped(err); got != nil || !errors.Is(rest, err) {
			t.Errorf("of %v skipped are %v, error %v", err, got, rest)
		}
	}
}

// TestSizeIsThatOfTheText: a document is measured as it is stored, where <, > and & take one
// byte each.
func TestSizeIsThatOfTheText(t *testing.T) {
	plain, marked := &Record{Key: "k", Spec: strings.Repeat("a", 900)}, &Record{Key: "k", Spec: strings.Repeat("<&>", 300)}
	text, err := Marshal(marked)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := Size(plain), Size(marked); a != b || b < len(text) || b > len(text)+2048 {
		t.Errorf("%d bytes, with marks of HTML %d; the text has %d", a, b, len(text))
	}
}
