package localstack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/localstack/child"
	"example.com/berth/internal/localstack/emulator"
)

// Options that cannot work are found before anything is started, all at once,
// each by the name of its flag.
func TestOptionsThatCannotWork(t *testing.T) {
	t.Setenv(emulator.FirestoreHostEnv, "")
	t.Setenv(emulator.PubSubHostEnv, "127.0.0.1:1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inUse := l.Addr().(*net.TCPAddr).Port
	free, err := emulator.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
		want []string
	}{
		{"project", Options{Embedded: true, Project: "123"}, []string{`BERTH_PROJECT "123" is not a project id`}},
		{"port in use", Options{Embedded: true, FunctionPort: inUse}, []string{"-port " + strconv.Itoa(inUse) + " cannot be used: ", "address already in use"}},
		{"vertex port in use", Options{Embedded: true, VertexPort: inUse}, []string{"-vertex-port " + strconv.Itoa(inUse)}},
		{"Pub/Sub port in use", Options{Embedded: true, PubSubPort: inUse}, []string{"-pubsub-port " + strconv.Itoa(inUse)}},
		{"Firestore port in use", Options{FirestorePort: inUse}, []string{"-firestore-port " + strconv.Itoa(inUse)}},
		{"out of range", Options{Embedded: true, FunctionPort: 65536, VertexPort: -1}, []string{"-port 65536: want 1 to 65535", "-vertex-port -1: want 1 to 65535"}},
		{"one port twice", Options{Embedded: true, FunctionPort: free, VertexPort: free}, []string{"-port and -vertex-port are both"}},
		{"port of a given emulator", Options{PubSubPort: free}, []string{"PUBSUB_EMULATOR_HOST names a running emulator"}},
		{"port of no server", Options{Embedded: true, FirestorePort: free}, []string{"the embedded ledger has no port"}},
		{"setting", Options{Embedded: true, Env: []string{"BERTH_MAX_WAIT=soon", "BERTH_POLL=1h"}}, []string{"MaxWait"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := ""
			c.o.Say = func(format string, _ ...any) { said += format }
			s, err := Start(t.Context(), c.o)
			if s != nil {
				t.Fatal("a stack is there", s.Stop())
			}
			if wrong := (*OptionError)(nil); !errors.As(err, &wrong) {
				t.Fatalf("error %v, want an OptionError", err)
			}
			for _, text := range c.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q does not say %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "\n") || said != "" {
				t.Errorf("error %q, said %q; want one line, and nothing started", err, said)
			}
		})
	}
}

// A start that fails after others have started leaves none of them running.
func TestFailedStartStopsWhatRuns(t *testing.T) {
	pubsub, err := emulator.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Embedded: true, PubSubPort: pubsub, Say: func(_ string, args ...any) {
		if len(args) > 0 && args[0] == "Vertex AI" { // the function comes next
			cancel()
		}
	}}
	s, err := Start(ctx, o)
	if s != nil || err == nil {
		t.Fatalf("Start = %v, %v; want an error", s, err)
	}
	l, err := emulator.Listen(pubsub)
	if err != nil {
		t.Fatalf("Pub/Sub still runs: %v", err)
	}
	_ = l.Close()
}

// A port of another process is not taken for the stack's, whatever answers
// there.
func TestFunctionPortOfAnother(t *testing.T) {
	first := startFunction(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer other.Close()
	silent, err := emulator.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, port := range map[string]int{
		"another stack's function": first.port, "another server": other.Listener.Addr().(*net.TCPAddr).Port, "silence": silent.Addr().(*net.TCPAddr).Port,
	} {
		f, err := StartFunction(t.Context(), port, memoryOnly, io.Discard)
		if f != nil {
			t.Fatalf("%s: it was taken for ours", name)
		}
		if err == nil || !strings.Contains(err.Error(), "belongs to another process") && !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := first.Starts(); n != 1 {
		t.Errorf("the first function was started %d times, want once", n)
	}
}

// Two stacks on one emulator and project would take each other's requests. What a
// stack that has stopped left there is taken over.
func TestPubSubOfAnotherStack(t *testing.T) {
	b, err := StartBroker(BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Stop() }()
	first := &Stack{Project: "berth-local", PubSub: b.Host(), Function: startFunction(t)}
	second := &Stack{Project: "berth-local", PubSub: b.Host(), Function: startFunction(t)}
	for range 2 { // a stack is not in its own way
		if err := unshared(t.Context(), b.Host(), first.topology()); err != nil {
			t.Fatal(err)
		}
		if err := Apply(t.Context(), b.Host(), first.topology()); err != nil {
			t.Fatal(err)
		}
	}
	if err := unshared(t.Context(), b.Host(), second.topology()); err == nil || !strings.Contains(err.Error(), "-project") {
		t.Errorf("while the first runs: %v", err)
	}
	second.Project = "another"
	if err := unshared(t.Context(), b.Host(), second.topology()); err != nil {
		t.Errorf("in another project: %v", err)
	}
	second.Project = "berth-local"
	if err := first.Function.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := unshared(t.Context(), b.Host(), second.topology()); err != nil {
		t.Errorf("after the first has stopped: %v", err)
	}
}

// A restart is reported with both process ids, and the printed one is the
// present one.
func TestRestartIsReported(t *testing.T) {
	f := startFunction(t)
	reported := make(chan child.Restart, 1)
	f.OnRestart(func(r child.Restart) { reported <- r })
	old := f.PID()
	if err := f.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-reported:
		if r.Ended != old || r.PID != f.PID() || r.PID == old || !strings.Contains(r.Why, "killed") {
			t.Errorf("reported %+v; the killed process was %d, the present one is %d", r, old, f.PID())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no restart was reported")
	}
	if _, err := ask(t.Context(), f.port, healthPath); err != nil && f.Starts() != 2 {
		t.Errorf("%d starts: %v", f.Starts(), err)
	}
}

// memoryOnly are settings of a function that needs nothing around it.
var memoryOnly = []string{
	"BERTH_PROJECT=berth-local", "BERTH_REGIONS=us-central1", "BERTH_LEDGER=memory", "BERTH_EMULATORS=true",
	"BERTH_VERTEX_ENDPOINT=127.0.0.1:1", "PUBSUB_EMULATOR_HOST=127.0.0.1:1", "FIRESTORE_EMULATOR_HOST=", "FUNCTION_TARGET=",
}

func startFunction(t *testing.T) *Function {
	t.Helper()
	f, err := StartFunction(t.Context(), 0, memoryOnly, &logs{t: t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(f.PID())); err == nil {
			t.Errorf("process %d is still there", f.PID())
		}
	})
	return f
}
