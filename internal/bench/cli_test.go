package bench

import (
	"bytes"
	"strings"
	"testing"
)

// A wrong command line is one line and exit code 2; the help is no error.
func TestCommandLine(t *testing.T) {
	var out, errs bytes.Buffer
	if code := Main(t.Context(), []string{"-nonsense"}, &out, &errs); code != exitUsage || out.Len() != 0 ||
		errs.String() != "bench: flag provided but not defined: -nonsense; see -help\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
	errs.Reset()
	if code := Main(t.Context(), []string{"-help"}, &out, &errs); code != exitFine || errs.Len() != 0 || strings.Count(out.String(), "Flags:") != 1 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
}
