package localstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"go.yaml.in/yaml/v4"

	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A Sample is a message with its expected outcomes: one file of testdata/requests.
type Sample struct {
	Name  string `yaml:"-"`     // file name without extension
	About string `yaml:"about"` // one line for readers
	// ID is the request id that outcomes carry; empty for a message without a valid
	// one, whose outcomes carry the message's id.
	ID      string `yaml:"id"`
	Message struct {
		Attributes map[string]string `yaml:"attributes"`
		Data       string            `yaml:"data"` // published byte for byte
	} `yaml:"message"`
	Copies int `yaml:"copies"` // how often to publish it; 0 for once
	// After delays publication until another sample's request has had an event.
	After struct {
		Sample string `yaml:"sample"`
		Event  string `yaml:"event"`
	} `yaml:"after"`
	Expect struct {
		// Events are the words of the outcome events in order. One that ends in a
		// question mark may be missing: a job can end between two observations.
		Events []string `yaml:"events"`
		Code   string   `yaml:"code"`   // reason code of the last event
		Jobs   int      `yaml:"jobs"`   // jobs at Vertex AI for it
		Silent bool     `yaml:"silent"` // no event of its own: a cancel, whose effect is in its request's events
	} `yaml:"expect"`
}

// LoadSamples reads the samples of a folder in order of their names.
func LoadSamples(dir string) ([]Sample, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no sample requests (*.yaml) in %s", dir)
	}
	var samples []Sample
	for _, f := range files {
		data, err := os.ReadFile(f) // #nosec G304 -- the folder is the user's choice
		if err != nil {
			return nil, fmt.Errorf("read sample: %w", err)
		}
		s := Sample{Name: strings.TrimSuffix(filepath.Base(f), ".yaml")}
		dec := yaml.NewDecoder(bytes.NewReader(data))
		dec.KnownFields(true)
		if err := dec.Decode(&s); err != nil {
			return nil, fmt.Errorf("sample %s: %w", f, err)
		}
		if len(s.Expect.Events) == 0 != s.Expect.Silent {
			return nil, fmt.Errorf("sample %s: want either events or silent", f)
		}
		samples = append(samples, s)
	}
	return samples, nil
}

// A Story publishes samples and follows their outcome events.
type Story struct {
	stack   *Stack
	samples []Sample
	say     func(format string, args ...any)
	began   time.Time

	mu      sync.Mutex
	ids     map[string]string            // sample name to message id
	traces  map[string]string            // sample name to the trace that it was published in
	events  map[string][]message.Outcome // by request id or message id
	printed map[string]int64             // last sequence number printed, by the same
	changed chan struct{}                // closed and replaced at every event
}

// NewStory prepares a story on a running stack.
func NewStory(s *Stack, samples []Sample, say func(string, ...any)) *Story {
	return &Story{stack: s, samples: samples, say: say, began: time.Now(), ids: map[string]string{}, traces: map[string]string{},
		events: map[string][]message.Outcome{}, printed: map[string]int64{}, changed: make(chan struct{})}
}

// Run publishes the samples and returns when each has had its last event, or when
// ctx ends. It prints the events as they arrive.
func (st *Story) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Add(1)
	go func() {
		defer wg.Done()
		if err := st.follow(ctx); err != nil && ctx.Err() == nil {
			st.say("  cannot follow the outcome topic: %v", err)
		}
	}()
	publisher := st.stack.Client.Publisher(RequestTopic)
	defer publisher.Stop()
	for _, s := range st.samples {
		if s.After.Sample != "" {
			if err := st.await(ctx, func() bool { return st.had(s.After.Sample, s.After.Event) }); err != nil {
				return fmt.Errorf("%s waits for %s of %s: %w", s.Name, s.After.Event, s.After.Sample, err)
			}
		}
		for range s.copies() {
			id, err := publisher.Publish(ctx, &pubsub.Message{Data: []byte(s.Message.Data), Attributes: st.traced(s)}).Get(ctx)
			if err != nil {
				return fmt.Errorf("publish %s: %w", s.Name, err)
			}
			st.mu.Lock()
			if st.ids[s.Name] == "" {
				st.ids[s.Name] = id
			}
			st.mu.Unlock()
		}
		st.say("  %6s  %-22s published: %s", st.clock(), s.Name, s.About)
	}
	return st.await(ctx, func() bool {
		for _, s := range st.samples {
			if s.Expect.Silent {
				continue
			}
			if e := st.eventsOf(s); len(e) == 0 || !e[len(e)-1].Type.Terminal() {
				return false
			}
		}
		return true
	})
}

func (st *Story) clock() string { return fmt.Sprintf("%.1fs", time.Since(st.began).Seconds()) }

// follow receives outcome events until ctx ends.
func (st *Story) follow(ctx context.Context) error {
	sub := st.stack.Client.Subscriber(OutcomePull)
	return sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		o, err := message.DecodeOutcome(m.Attributes, m.Data)
		m.Ack()
		if err != nil {
			st.say("  an outcome event cannot be read: %v", err)
			return
		}
		st.apply(o)
	})
}

// apply handles an event as every subscriber should: it drops a repeated event, and
// keeps an early one until the events before it have arrived.
func (st *Story) apply(o message.Outcome) {
	st.mu.Lock()
	defer st.mu.Unlock()
	id := o.RequestID
	if id == "" {
		id = o.MessageID
	}
	if slices.ContainsFunc(st.events[id], func(e message.Outcome) bool { return e.EventID == o.EventID }) {
		return
	}
	st.events[id] = append(st.events[id], o)
	slices.SortFunc(st.events[id], func(a, b message.Outcome) int { return int(a.Sequence - b.Sequence) })
	name := id
	for _, s := range st.samples {
		if s.ID == id || st.ids[s.Name] == id {
			name = s.Name
		}
	}
	for _, e := range st.events[id] {
		if e.Sequence == st.printed[id]+1 {
			st.printed[id]++
			st.say("  %6s  %-22s %s", st.clock(), name, describe(e))
		}
	}
	close(st.changed)
	st.changed = make(chan struct{})
}

// describe is one line about an event.
func describe(o message.Outcome) string {
	line := word(o.Type)
	if o.ScaleUp && o.Type == message.Reserved {
		line += " (the autoscaler has to add machines)"
	}
	if o.Type == message.Submitted {
		line += " " + vertex.NameOf(o.Job).ID()
	}
	if o.Reason != nil {
		line += " " + o.Reason.String()
	}
	return line
}

// word is the event's word: queued, reserved, ...
func word(t message.Type) string {
	part := strings.Split(string(t), ".")
	return part[len(part)-2]
}

func (st *Story) eventsOf(s Sample) []message.Outcome {
	st.mu.Lock()
	defer st.mu.Unlock()
	if s.ID != "" {
		return slices.Clone(st.events[s.ID])
	}
	return slices.Clone(st.events[st.ids[s.Name]])
}

func (st *Story) had(sample, event string) bool {
	for _, s := range st.samples {
		if s.Name == sample {
			return slices.ContainsFunc(st.eventsOf(s), func(o message.Outcome) bool { return word(o.Type) == event })
		}
	}
	return false
}

// await returns when ok holds, asked again at every event.
func (st *Story) await(ctx context.Context, ok func() bool) error {
	for {
		st.mu.Lock()
		changed := st.changed
		st.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Check compares the story with the samples and prints the closing table. The
// error lists everything that differs from the samples.
func (st *Story) Check(ctx context.Context, out io.Writer) error {
	var errs []error
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "  REQUEST\tEVENTS\tEND\tRESULT")
	for _, s := range st.samples {
		events := st.eventsOf(s)
		err := st.verdict(s, events)
		result := "as expected"
		if err != nil {
			result = "WRONG: " + err.Error()
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
		var words []string
		for _, e := range events {
			words = append(words, word(e.Type))
		}
		end := "-"
		if n := len(events); n > 0 {
			end = events[n-1].State
			if r := events[n-1].Reason; r != nil {
				end = strings.TrimSpace(end + " " + string(r.Code))
			}
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", s.Name, strings.Join(words, " "), end, result)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return errors.Join(append(errs, st.leftovers(ctx))...)
}

func (st *Story) verdict(s Sample, events []message.Outcome) error {
	if s.Expect.Silent {
		if len(events) > 0 {
			return fmt.Errorf("it had an event: %s", word(events[0].Type))
		}
		return nil
	}
	i := 0
	for n, e := range events {
		if e.Sequence != int64(n+1) {
			return fmt.Errorf("event %d has sequence number %d", n+1, e.Sequence)
		}
		for i < len(s.Expect.Events) && strings.HasSuffix(s.Expect.Events[i], "?") && s.Expect.Events[i] != word(e.Type)+"?" {
			i++
		}
		if i == len(s.Expect.Events) || strings.TrimSuffix(s.Expect.Events[i], "?") != word(e.Type) {
			return fmt.Errorf("event %d is %s; expected %s", n+1, word(e.Type), strings.Join(s.Expect.Events, " "))
		}
		i++
	}
	for i < len(s.Expect.Events) && strings.HasSuffix(s.Expect.Events[i], "?") {
		i++
	}
	if len(events) == 0 || i < len(s.Expect.Events) {
		return fmt.Errorf("expected %s", strings.Join(s.Expect.Events, " "))
	}
	if last := events[len(events)-1]; s.Expect.Code != "" && (last.Reason == nil || string(last.Reason.Code) != s.Expect.Code) {
		return fmt.Errorf("the last event does not have the reason %s", s.Expect.Code)
	}
	key := message.KeyOf("default", message.KindRequest, s.ID)
	if s.ID == "" {
		key = message.KeyOf("default", message.KindMessage, st.ids[s.Name])
	}
	jobs := 0
	for _, j := range st.stack.Fake.Jobs() {
		if j.GetLabels()[vertex.LabelRequest] == string(key) {
			jobs++
		}
	}
	if jobs != s.Expect.Jobs {
		return fmt.Errorf("%d jobs at Vertex AI, expected %d", jobs, s.Expect.Jobs)
	}
	return nil
}

// leftovers asks the Status function whether any hold or waiting request is left.
func (st *Story) leftovers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, st.stack.Function.URL("Status/pools"), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the Status function for the pools: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var page struct {
		Resources []struct {
			Name   string `json:"name"`
			Holds  int    `json:"holds"`
			Shapes []struct {
				Shape   string `json:"shape"`
				Waiting int    `json:"waiting"`
				Taken   int    `json:"taken"`
			} `json:"shapes"`
		} `json:"resources"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return fmt.Errorf("read the Status function's answer: %w", err)
	}
	if len(page.Resources) == 0 {
		return errors.New("the ledger has no persistent resource")
	}
	var errs []error
	for _, r := range page.Resources {
		if r.Holds > 0 {
			errs = append(errs, fmt.Errorf("%d holds are left on %s", r.Holds, r.Name))
		}
		for _, s := range r.Shapes {
			if s.Waiting > 0 {
				errs = append(errs, fmt.Errorf("%d requests are left in the queue for %s", s.Waiting, s.Shape))
			}
		}
	}
	return errors.Join(errs...)
}

// copies is how often a sample is published; a negative number means that
// the test publishes it.
func (s Sample) copies() int {
	if s.Copies == 0 {
		return 1
	}
	return max(0, s.Copies)
}
