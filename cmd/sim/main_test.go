package main

import (
	"bytes"
	"strings"
	"testing"
)

// A wrong command line is one line and exit code 2; the help is no error.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"explore -nonsense", 2, "sim: flag provided but not defined: -nonsense; see sim explore -help\n"},
		{"storm -for=long", 2, `sim: invalid value "long" for flag -for: parse error; see sim storm -help` + "\n"},
		{"storm -help", 0, ""},
		{"replay -help", 0, ""},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), &out, &errs); code != c.code || errs.String() != c.stderr {
			t.Errorf("%s: exit %d, stderr %q; want %d and %q", c.args, code, errs.String(), c.code, c.stderr)
		}
		if help := strings.Contains(out.String(), "Usage of sim"); help != (c.code == 0) {
			t.Errorf("%s: stdout %q", c.args, out.String())
		}
	}
}
