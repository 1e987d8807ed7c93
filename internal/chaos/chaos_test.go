package chaos

import (
	"bytes"
	"os"
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

// TestChaos is a short run. Nothing may be wrong, and every kind of fault must have been
// injected: without faults the run shows nothing.
func TestChaos(t *testing.T) {
	t.Setenv(emulator.FirestoreHostEnv, emulatortest.Firestore(t))
	t.Setenv(emulator.PubSubHostEnv, emulatortest.PubSub(t))
	var logs bytes.Buffer
	r, err := Run(t.Context(), Options{Seed: 7, Requests: 40, Instances: 2, KillEvery: 1500 * time.Millisecond, FaultRate: 0.04,
		Say: t.Logf, Report: t.Logf, Log: &logs})
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	var table strings.Builder
	if err := r.Print(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	if len(r.Violations) > 0 {
		t.Errorf("%d violations\nlogs:\n%.200000s", len(r.Violations), logs.String())
	}
	happened := func(what string, n int) {
		t.Helper()
		if n == 0 {
			t.Errorf("there was no %s", what)
		}
	}
	happened("kill of a function", r.killed()-r.Kills.Vertex)
	happened("kill of the fake Vertex AI", r.Kills.Vertex)
	happened("duplicate delivery", r.Deliveries.Duplicate)
	happened("late delivery", r.Deliveries.Late)
	happened("failed delivery", r.Deliveries.Failed)
	happened("outage", r.Outages)
	happened("foreign job", r.Jobs.Foreign)
	happened("job of ours", r.Jobs.Named)
	happened("success", r.Ends["SUCCEEDED"])
	happened("commit that took replicas", r.Takes)
	// Which of the kinds a short run draws is chance; that there are some of each
	// sort is not.
	for _, service := range []string{"Firestore", "Vertex AI"} {
		done, not := 0, 0
		for f, n := range r.Faults[service] {
			switch f {
			case unavailableAfter, deadlineAfter, doneLater:
				done += n
			case slow:
			default:
				not += n
			}
		}
		happened(service+": call that was done and reported as failed", done)
		happened(service+": call that failed", not)
	}
	happened("fault of Pub/Sub", len(r.Faults["Pub/Sub"]))
}

func TestMainUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"-help", exitFine, "-kill-every"},
		{"--help", exitFine, "exits with 0"},
		{"-nonsense", exitUsage, "-nonsense"},
		{"more", exitUsage, `unexpected argument "more"`},
		{"-instances 1", exitUsage, "want 2 to 16"},
		{"-requests 0", exitUsage, "-requests 0"},
		{"-fault-rate 0.9", exitUsage, "-fault-rate 0.9"},
		{"-kill-every 1ms", exitUsage, "-kill-every 1ms"},
		{"-for -1s", exitUsage, "-for"},
		{"-log /nowhere/at/all", exitUsage, "make log file"},
	} {
		var out, errOut bytes.Buffer
		if code := Main(t.Context(), strings.Fields(test.args), &out, &errOut); code != test.code {
			t.Errorf("%s: exit code %d, want %d", test.args, code, test.code)
		}
		if all := out.String() + errOut.String(); !strings.Contains(all, test.says) {
			t.Errorf("%s: says %q, want %q in it", test.args, all, test.says)
		}
	}
}

// TestMainWithoutEmulators: no emulator is a plain message, not a violation.
func TestMainWithoutEmulators(t *testing.T) {
	t.Setenv(emulator.FirestoreHostEnv, "")
	t.Setenv(emulator.PubSubHostEnv, "")
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CLOUDSDK_ROOT_DIR", t.TempDir())
	var out, errOut bytes.Buffer
	code := Main(t.Context(), []string{"-seed", "1"}, &out, &errOut)
	if code != exitUsage || !strings.Contains(errOut.String(), "the official Firestore emulator is needed") {
		t.Errorf("exit code %d, says %s", code, errOut.String())
	}
}

func TestLoggedBugs(t *testing.T) {
	var out strings.Builder
	b := newLogBook(&out)
	p := b.of("function 1")
	for _, part := range []string{`{"event":"submit`, "ted\"}\n", `{"event":"illegal_`, "move\"}\nfine\n", "panic: oh"} {
		if _, err := p.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.raw.Write([]byte("panic: not ours\n")); err != nil {
		t.Fatal(err)
	}
	found := b.loggedBugs()
	if len(found) != 1 || !strings.Contains(found[0].That, `function 1: {"event":"illegal_move"}`) {
		t.Errorf("found %v, want the one line", found)
	}
	if !strings.Contains(out.String(), "function 1: fine\n") {
		t.Errorf("logged %q", out.String())
	}
}
