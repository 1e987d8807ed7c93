package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/localstack/emulator"
	"example.com/berth/internal/localstack/emulatortest"
)

func TestMain(m *testing.M) {
	if RoleMain() {
		return
	}
	os.Exit(m.Run())
}

// Counts are made with real processes and are the same on every machine, so one
// more call or document per request shows here. Times are not compared.
func TestCountsAreInTheirBands(t *testing.T) {
	t.Setenv(emulator.FirestoreHostEnv, emulatortest.Firestore(t))
	t.Setenv(emulator.PubSubHostEnv, emulatortest.PubSub(t))
	chosen, err := choose("", quick)
	if err != nil {
		t.Fatal(err)
	}
	report, err := measure(t.Context(), options{scale: quick, log: io.Discard, say: t.Logf}, chosen)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := inRepository(bandsFile, func(file string) error { return check(file, report.Figures, &said) }); err != nil {
		t.Errorf("%v\n%s", err, &said)
		t.Log("If that is meant: remove " + bandsFile + " and run `go run ./cmd/bench -record` five times.")
	}
}

// Without emulators the same program measures what it can see.
func TestEmbedded(t *testing.T) {
	chosen, err := choose("alone,once", quick)
	if err != nil {
		t.Fatal(err)
	}
	report, err := measure(t.Context(), options{scale: quick, embedded: true, log: io.Discard, say: t.Logf}, chosen)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(report.Notes, "\n"); strings.Count(notes, "embedded") != 2 {
		t.Errorf("the report does not say twice what is embedded:\n%s", notes)
	}
	creates := 0.0
	for _, f := range report.Figures {
		if f.Name == "commits" {
			t.Errorf("%s: commits are counted although none was observed", f.page())
		}
		if f.page() == "alone / request, to its answer" && f.Name == "creates" {
			creates = f.Value
		}
	}
	if creates != 1 {
		t.Errorf("%g jobs were created for a request, want 1", creates)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"-help", "Measurements:", exitFine},
		{"-only alone,nothing", `no measurement "nothing"`, exitUsage},
		{"-quick -full", "exclude each other", exitUsage},
		{"-write -only alone", "-write is for a run of all", exitUsage},
		{"-write -check", "-write is for a run of all", exitUsage},
		{"alone", `unexpected argument "alone"`, exitUsage},
	} {
		var out, errOut strings.Builder
		code := Main(t.Context(), strings.Fields(c.args), &out, &errOut)
		said, silent := errOut.String(), out.String()
		if c.code == exitFine { // help that was asked for is what the program prints
			said, silent = silent, said
		}
		if code != c.code || !strings.Contains(said, c.says) || silent != "" {
			t.Errorf("bench %s exits with %d, prints %q and says %q; want %d and %q", c.args, code, &out, &errOut, c.code, c.says)
		}
	}
}

func TestReport(t *testing.T) {
	var s sheet
	s.page("floor", commitAlone).add(Speed, "p50", "ms", 2)
	s.page("alone", "one").against(commitAlone, "p50", "ms", 5)
	s.page("alone", "one").add(Count, "commits", "", 3)
	var out strings.Builder
	if err := (&Report{Figures: s.figures}).Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"5ms (2.50×)  " + commitAlone, fmt.Sprintf("%-11s  %s   3", "alone", "one")} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
}

// The page has a section for each measurement that was made, leaves out counts
// that are 0 throughout, and names the machine and the day.
func TestMarkdown(t *testing.T) {
	var s sheet
	s.page("floor", commitAlone).add(Speed, "p50", "ms", 2)
	s.page("alone", "one").against(commitAlone, "p50", "ms", 5)
	s.page("alone", "one").add(Count, "commits", "", 3)
	s.page("alone", "one").add(Count, "cancels", "", 0)
	s.page("alone", "two | three").add(Count, "commits", "", 0)
	page := (&Report{Machine: "a machine", Notes: []string{"a note"}, Figures: s.figures}).Markdown(time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC))
	want := "\n## alone\n\nOne request at a time on an idle resource.\n" +
		"\n| case | p50 | floor |\n| --- | --- | --- |\n| one | 5ms (2.50×) | " + commitAlone + " |\n" +
		"\n| case | commits |\n| --- | --- |\n| one | 3 |\n| two \\| three | 0 |\n"
	if !strings.Contains(page, want) {
		t.Errorf("the page lacks\n%s\nit is\n%s", want, page)
	}
	for _, want := range []string{"Run of 2026-02-03 on a machine;", "\na note\n", "\n## floor\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "## burst") {
		t.Errorf("the page has a section of what was not measured:\n%s", page)
	}
}

// What is written replaces the page; a place that cannot be written is an error.
func TestWriteResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.md")
	for _, machine := range []string{"the first", "another"} {
		if err := writeResults(file, &Report{Machine: machine}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "on "+machine+";") {
			t.Errorf("the page is %q, %v; want one of %s", text, err, machine)
		}
	}
	if err := writeResults(filepath.Join(file, "below"), &Report{}, time.Now()); err == nil {
		t.Error("a page below a file was written without an error")
	}
}
