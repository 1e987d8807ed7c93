package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// A terminal that takes no sequences gets none: no colours, and a watch writes below what
// was there. The master of a pair of pseudo terminals is a terminal, too.
func TestDumbTerminal(t *testing.T) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		term, noColour string
		want           screen
	}{
		{"xterm", "", screen{colour: true, cursor: true}},
		{"xterm", "1", screen{cursor: true}},
		{"dumb", "", screen{}},
	} {
		t.Setenv("TERM", c.term)
		t.Setenv("NO_COLOR", c.noColour)
		if s := newScreen(f, "auto"); !s.terminal || s.colour != c.want.colour || s.cursor != c.want.cursor {
			t.Errorf("TERM=%s NO_COLOR=%s: %+v, want %+v of a terminal", c.term, c.noColour, s, c.want)
		}
	}
	var out bytes.Buffer
	g := &globals{out: &screen{Writer: &out, terminal: true, width: 60, height: 10}}
	if _, err := (&watchFlags{}).show(g, []byte("text\n"), shown{any: true}); err != nil || strings.Contains(out.String(), "\x1b") || !strings.HasSuffix(out.String(), "\ntext\n") {
		t.Errorf("%v, %q", err, &out)
	}
}

// fullDisk takes nothing.
type fullDisk struct{ writes int }

func (d *fullDisk) Write([]byte) (int, error) {
	d.writes++
	return 0, errors.New("no space left on device")
}

// A script that redirects the output to a full disk is told so, also where text is written
// line by line.
func TestOutputThatCannotBeWritten(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"check", "../../testdata/jobs/cpu.json"}, {"completion", "bash"}} {
		var errs bytes.Buffer
		disk := &fullDisk{}
		if code := run(args, nil, disk, &errs); code != exitError || !strings.Contains(errs.String(), "no space left") || disk.writes == 0 {
			t.Errorf("%q ends with %d, %s", args, code, &errs)
		}
	}
}
