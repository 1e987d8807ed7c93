package allocation

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var sink []byte

// What allocates more than its band, has none, or is measured no more, fails.
func TestHold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "allocs.json")
	text := `{"packages": {"p": {"none": {"most": 0}, "once": {"most": 1}}, "q": {"once": {"most": 0}}}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	once := Operation{"once", func() { sink = make([]byte, 100) }}
	none := Operation{"none", func() {}}
	for _, c := range []struct {
		folder string
		all    []Operation
		failed int
	}{
		{"p", []Operation{none, once}, 0},
		{"p", []Operation{once}, 1},                             // a band is left over
		{"q", []Operation{once}, 1},                             // it allocates too often
		{"q", []Operation{none}, 1},                             // it has no band, and allocates nothing
		{"r", nil, 0},                                           // nothing is measured
		{"p", []Operation{none, once, {"twice", func() {}}}, 2}, // it has no band, and there are fewer bands
	} {
		var r recorder
		hold(&r, file, c.folder, c.all)
		if len(r.failed) != c.failed {
			t.Errorf("%s: failed with %q, want %d failures", c.folder, r.failed, c.failed)
		}
	}
}

type recorder struct{ failed []string }

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatal(args ...any) { r.failed = append(r.failed, fmt.Sprint(args...)) }
