package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

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
// call or document more per request is seen here. Times are not looked at.
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
	if err := atBands(func(file string) error { return check(file, report.Figures, &said) }); err != nil {
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
			t.Errorf("%s: commits are counted, and nobody can have seen any", f.page())
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
