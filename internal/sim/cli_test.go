package sim

import (
	"bytes"
	"strings"
	"testing"
)

// Each command line has its exit code, and says on which stream what it has to say:
// a wrong one is one line, the help is no error, and a run says what it found.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args        string
		code        int
		out, stderr string // the first is a part of it
	}{
		{"", exitUsage, "", usage + "\n"},
		{"-help", exitFine, "", usage + "\n"},
		{"dance", exitUsage, "", "sim: no such verb: \"dance\"\n" + usage + "\n"},
		{"explore -nonsense", exitUsage, "", "sim: flag provided but not defined: -nonsense; see sim explore -help\n"},
		{"storm -for=long", exitUsage, "", `sim: invalid value "long" for flag -for: parse error; see sim storm -help` + "\n"},
		{"explore -help", exitFine, "Usage of sim explore", ""},
		{"storm -help", exitFine, "Usage of sim storm", ""},
		{"replay -help", exitFine, "Usage of sim replay", ""},
		{"outages -help", exitFine, "Usage of sim outages", ""},
		{"outages -only nothing", exitUsage, "", "sim: no outage begins with \"nothing\"; see sim outages -help\n"},
		{"outages more", exitUsage, "", "sim: unexpected argument \"more\"; see sim outages -help\n"},
		{"replay -scenario nowhere", exitUsage, "", "sim: no scenario is called \"nowhere\"; see sim replay -help\n"},
		{"replay -seed 1 [3]", exitUsage, "", "sim: \"3\" is not a deviation; want number:action; see sim replay -help\n"},
		{"replay -seed 1 -messages 3 [1:delay]", exitFine, "no promise was broken\n", ""},
		{"explore -scenario cancel_before -delays 0 -faults 0 -json", exitFine, `"broken":false}`, ""},
		{"storm -seed 1 -messages 3 -for 1ms", exitFine, "seed 1, 3 messages a run", ""},
	} {
		var out, errs bytes.Buffer
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "cancel_before", "cancel before")
		}
		if code := Main(t.Context(), args, &out, &errs, nil); code != c.code || errs.String() != c.stderr {
			t.Errorf("%s: exit %d, stderr %q; want %d and %q", c.args, code, errs.String(), c.code, c.stderr)
		}
		if !strings.Contains(out.String(), c.out) || c.out == "" && out.Len() > 0 {
			t.Errorf("%s: stdout %q, want %q in it", c.args, out.String(), c.out)
		}
	}
}
