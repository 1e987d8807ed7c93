package localstack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"example.com/berth/internal/localstack/emulator"
	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/message"
)

func TestMain(m *testing.M) {
	if FunctionMain() {
		return
	}
	os.Exit(m.Run())
}

// start starts a stack for a test, on shared official emulators or embedded.
func start(t *testing.T, embedded bool) *Stack {
	t.Helper()
	o := Options{Embedded: embedded, Project: emulatortest.Project(t), Log: &logs{t: t}, Traces: embedded}
	if !embedded {
		t.Setenv(emulator.FirestoreHostEnv, emulatortest.Firestore(t))
		t.Setenv(emulator.PubSubHostEnv, emulatortest.PubSub(t))
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start the stack: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the stack: %v", err)
		}
	})
	return s
}

// logs keeps what the processes write and shows it if the test fails.
type logs struct {
	t    *testing.T
	mu   sync.Mutex
	text bytes.Buffer
	once sync.Once
}

func (l *logs) Write(p []byte) (int, error) {
	l.once.Do(func() {
		l.t.Cleanup(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.t.Failed() {
				l.t.Logf("logs:\n%s", l.text.String())
			}
		})
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func samples(t *testing.T) []Sample {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	s, err := LoadSamples(filepath.Join(root, "testdata", "requests"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func play(t *testing.T, s *Stack, samples []Sample, meanwhile func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	story := NewStory(s, samples, t.Logf)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if meanwhile != nil {
			meanwhile(ctx)
		}
	}()
	if err := story.Run(ctx); err != nil {
		t.Errorf("the story did not end: %v", err)
	}
	cancel()
	<-done
	if s.Collector != nil {
		showsTraces(t, story)
	}
	var table strings.Builder
	if err := story.Check(t.Context(), &table); err != nil {
		t.Errorf("%v\n%s", err, table.String())
	}
}

// showsTraces checks what is shown of the samples once the story has ended.
func showsTraces(t *testing.T, st *Story) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var shown strings.Builder
	st.say = func(format string, args ...any) { fmt.Fprintf(&shown, format+"\n", args...) }
	if err := st.ShowTraces(ctx, &shown); err != nil {
		t.Error(err)
	}
	texts := strings.Split(shown.String(), ", trace ")
	if len(texts) != len(st.samples)+1 {
		t.Fatalf("%d traces of %d samples:\n%s", len(texts)-1, len(st.samples), shown.String())
	}
	for i, s := range st.samples {
		trace := texts[i+1]
		if !regexp.MustCompile(`^[0-9a-f]{32}\n    admit  `).MatchString(trace) || len(st.eventsOf(s)) > 0 && !strings.Contains(trace, "\n      publish ") {
			t.Errorf("%s is shown as %s", s.Name, trace)
		}
		if s.Name == "06-waits" && !regexp.MustCompile(`(?s)decide .* verdict=wait reason=FULL state=WAITING\n.* decide .* verdict=admit state=SUBMITTING \(linked to trace [0-9a-f]{8}\)\n.* vertex create `).MatchString(trace) {
			t.Errorf("%s is shown as %s", s.Name, trace)
		}
	}
	for _, metric := range []string{`berth\.decisions reason=FULL verdict=refuse +1\n`, `berth\.queue\.waiting resource=us-central1/pool +0\n`, `berth\.reuse\.delay +\d+ of \d\.\d\d s on average\n`, `berth\.submissions result=CREATED +[1-9]`} {
		if !regexp.MustCompile(metric).MatchString(shown.String()) {
			t.Errorf("the metrics do not have %s: %s", metric, texts[len(texts)-1])
		}
	}
}

// TestStory runs every sample request from publication to its last event, under
// the real functions framework.
func TestStory(t *testing.T) {
	t.Run("official emulators", func(t *testing.T) { play(t, start(t, false), samples(t), nil) })
	t.Run("embedded", func(t *testing.T) { play(t, start(t, true), samples(t), nil) })
}

// TestStoryUnderKills kills the function process again and again during a
// story. Each request must have the same outcome as without kills.
func TestStoryUnderKills(t *testing.T) {
	s := start(t, false)
	var calm []Sample
	for _, sample := range samples(t) {
		// What ends as REJECTED or waits depends on moments that kills shift.
		if sample.After.Sample == "" || sample.Expect.Silent {
			calm = append(calm, sample)
		}
	}
	for i := range calm {
		// A job can end before it is observed running, and any request may wait
		// first.
		for j, e := range calm[i].Expect.Events {
			if e == "started" && calm[i].Name != "12-runs-too-long" {
				calm[i].Expect.Events[j] = "started?"
			}
		}
		if e := calm[i].Expect.Events; len(e) > 0 && e[0] == "reserved" {
			calm[i].Expect.Events = append([]string{"queued?"}, e...)
		}
	}
	kills := 0
	play(t, s, calm, func(ctx context.Context) {
		tick := time.NewTicker(700 * time.Millisecond)
		defer tick.Stop()
		for kills < 12 {
			select {
			case <-tick.C:
				if err := s.Function.Kill(); err == nil {
					kills++
				}
			case <-ctx.Done():
				return
			}
		}
	})
	t.Logf("%d kills, %d starts of the function", kills, s.Function.Starts())
	if t.Failed() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Client.Subscriber(DeadPull).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
			t.Logf("dead letter %s: %v", m.ID, m.Attributes)
			m.Ack()
		})
	}
	if s.Function.Starts() < 3 {
		t.Errorf("the function was started %d times; it was to be killed", s.Function.Starts())
	}
}

// TestFiftyAtOnce delivers one message fifty times at the same moment to the
// entry point.
func TestFiftyAtOnce(t *testing.T) {
	s := start(t, false)
	body := message.Delivery{ID: "77001", Subscription: "projects/p/subscriptions/berth-admit", PublishTime: time.Now(),
		Attributes: map[string]string{"berth-request-id": "fifty"},
		Data:       []byte(`[{"machine_spec":{"machine_type":"n1-standard-4"},"replica_count":1,"container_spec":{"image_uri":"x"}}]`)}.Push()
	var wg sync.WaitGroup
	codes := make(chan int, 50)
	for range 50 {
		wg.Go(func() {
			resp, err := http.Post(s.Function.URL("Admit"), "application/json", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			codes <- resp.StatusCode
		})
	}
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusOK {
			t.Errorf("the entry point answered %d", code)
		}
	}
	var fifty Sample
	fifty.Name, fifty.ID, fifty.Expect.Jobs = "fifty", "fifty", 1
	fifty.Expect.Events = []string{"queued?", "reserved", "submitted", "started?", "succeeded"}
	fifty.Message.Data, fifty.Message.Attributes = "[", map[string]string{"berth-request-id": "other"} // one more message, to follow the topic
	other := fifty
	other.Name, other.ID, other.Expect.Jobs, other.Expect.Events = "other", "", 0, []string{"refused"}
	fifty.Copies = -1
	play(t, s, []Sample{fifty, other}, nil)
	if n := len(s.Fake.Jobs()); n != 1 {
		t.Errorf("%d jobs at Vertex AI, want 1", n)
	}
}

// TestStopLeavesNothing searches for what a stopped stack may have left behind.
func TestStopLeavesNothing(t *testing.T) {
	s, err := Start(t.Context(), Options{Embedded: true})
	if err != nil {
		t.Fatal(err)
	}
	pid, url := s.Function.PID(), s.Function.URL("Status")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Errorf("function process %d is still there", pid)
	}
	if resp, err := http.Get(url); err == nil {
		_ = resp.Body.Close()
		t.Errorf("the function still answers at %s", url)
	}
}
