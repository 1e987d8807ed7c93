package sim

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

var update = flag.Bool("update", false, "write the transcripts of the stories into testdata")

// A story is a world of which everything that happens is written down: each call that
// leaves the controller, each field of a document that a commit changes, each event
// as it is published, each log event, and what a pass reports.
type story struct {
	*World
	text   strings.Builder
	mu     sync.Mutex
	at     time.Time                         // of the line before
	commit []string                          // documents that the last commit wrote
	faults map[string]func(name string) bool // by "vertex create" or "ledger commit"
	fault  map[string]any                    // what goes wrong then
	keys   map[string]string                 // of requests, by their ids

	// calls counts the calls that leave the controller. The one with the number strike
	// fails: having done nothing, or, with after, having done it all.
	calls, strike int
	after         bool
	quiet         bool // nothing is written down
}

// strikes counts a call, and says whether it is the one that fails.
func (s *story) strikes() bool {
	s.calls++
	return s.calls == s.strike
}

func newStory(t *testing.T) *story {
	s := &story{keys: map[string]string{}, faults: map[string]func(string) bool{}, fault: map[string]any{}}
	s.World = New(scribe{t, s})
	s.Vertex.Strict = true
	s.watchLedger()
	s.Vertex.Fault = func(op, name string) vertex.Fault {
		s.line("vertex %s %s", op, name[strings.LastIndex(name, "/")+1:])
		if s.strikes() {
			return map[bool]vertex.Fault{false: vertex.FailBefore, true: vertex.FailAfter}[s.after]
		}
		if on := s.faults["vertex "+op]; on != nil && on(name) {
			s.line("  fault %v", s.fault["vertex "+op])
			return s.fault["vertex "+op].(vertex.Fault)
		}
		return vertex.NoFault
	}
	s.Out.Fail = func() (before, after bool) {
		s.line("publish")
		if s.strikes() {
			return !s.after, s.after
		}
		on := s.faults["publish"]
		if on == nil || !on("") {
			return false, false
		}
		return s.fault["publish"] == vertex.FailBefore, s.fault["publish"] == vertex.FailAfter
	}
	s.Tick = func() error {
		r, err := s.Controller.Reconcile(context.Background(), "tick", time.Second)
		if !s.quiet {
			s.line("pass %s%s", nonZero(r), errorOf(err))
		}
		return err
	}
	return s
}

// watchLedger writes what happens to the ledger into the story.
func (s *story) watchLedger() {
	s.Ledger.Fault = func(op string) ledger.Fault {
		s.line("ledger %s", op)
		if s.strikes() {
			return map[bool]map[string]ledger.Fault{
				false: {ledger.OpRead: ledger.FailRead, ledger.OpQuery: ledger.FailRead, ledger.OpCommit: ledger.FailCommit},
				true:  {ledger.OpCommit: ledger.LoseAnswerAndCheck},
			}[s.after][op]
		}
		if on := s.faults["ledger "+op]; on != nil && on("") {
			s.line("  fault %v", s.fault["ledger "+op])
			return s.fault["ledger "+op].(ledger.Fault)
		}
		return ledger.None
	}
	s.Ledger.Wrote = s.wrote
}

func errorOf(err error) string {
	if err == nil {
		return ""
	}
	return " error"
}

// line writes one line, after the documents of the commit before it, and the world's
// time since its beginning when it has changed.
func (s *story) line(format string, args ...any) {
	if s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.commit) // a commit has no order
	for _, doc := range s.commit {
		s.text.WriteString(doc)
	}
	s.commit = nil
	if s.World != nil && s.Now != s.at {
		s.at = s.Now
		fmt.Fprintf(&s.text, "@ %s\n", s.Now.Sub(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)))
	}
	fmt.Fprintf(&s.text, format+"\n", args...)
}

// step writes what the story does next.
func (s *story) step(format string, args ...any) { s.line("\n# "+format, args...) }

// fail makes calls go wrong while on says so; nil for always.
func (s *story) fail(call string, fault any, on func(name string) bool) {
	if on == nil {
		on = func(string) bool { return true }
	}
	s.faults[call], s.fault[call] = on, fault
}

func (s *story) works(call string) { delete(s.faults, call) }

// once makes one call go wrong.
func (s *story) once(call string, fault any) {
	left := 1
	s.fail(call, fault, func(string) bool { left--; return left >= 0 })
}

func (s *story) wrote(ref ledger.Ref, before, after ledger.Document) {
	if s.quiet {
		return
	}
	var doc strings.Builder
	fmt.Fprintf(&doc, "  wrote %s\n", ref)
	was, is := fieldsOf(before), fieldsOf(after)
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] != is[name] {
			fmt.Fprintf(&doc, "    %s: %s\n", name, is[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[name]; !ok {
			fmt.Fprintf(&doc, "    %s: none\n", name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit = append(s.commit, doc.String())
}

// fieldsOf is a document by its top fields; events are left to the lines that publish
// them, and a specification is its length.
func fieldsOf(doc any) map[string]string {
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil // there was none
	}
	fields := map[string]string{}
	for name, value := range raw {
		fields[name] = string(value)
	}
	switch doc.(type) { // what time adds up is in every commit of a pass, and has tests of its own
	case *ledger.Resource:
		delete(fields, "usage")
	case *ledger.Usage:
		return nil
	}
	if spec, ok := fields["spec"]; ok {
		fields["spec"] = fmt.Sprintf("%d bytes", len(spec))
	}
	if r, ok := doc.(*ledger.Record); ok && r != nil {
		fields["outbox"] = fmt.Sprintf("%d events, %d unpublished", len(r.Outbox), len(r.Unpublished()))
	}
	return fields
}

// nonZero is a report without what is zero.
func nonZero(report any) string {
	text, err := json.Marshal(report)
	if err != nil {
		panic(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(text, &raw); err != nil {
		panic(err)
	}
	maps.DeleteFunc(raw, func(_ string, v any) bool { return v == 0.0 || v == false || v == "" || v == nil })
	text, err = json.Marshal(raw)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// scribe writes the log events of the controller into the story.
type scribe struct {
	*testing.T
	s *story
}

var (
	logLevel = regexp.MustCompile(`level=(\S+)`)
	logEvent = regexp.MustCompile(`event=(\S+)`)
)

func (c scribe) Logf(format string, args ...any) {
	if c.s.quiet {
		return
	}
	said := fmt.Sprintf(format, args...)
	level, event := logLevel.FindStringSubmatch(said), logEvent.FindStringSubmatch(said)
	if level != nil && event != nil {
		c.s.line("log %s %s", level[1], event[1])
	}
}

// ask publishes a request, and remembers how to read its key.
func (s *story) ask(j Job) {
	s.Helper()
	s.keys[string(message.KeyOf(Tenant, message.KindRequest, j.ID))] = "<" + j.ID + ">"
	s.step("request %s: cpu %d, gpu %d, priority %d%s", j.ID, j.CPU, j.GPU, j.Priority, map[bool]string{true: ", dry run"}[j.DryRun])
	s.deliver(j.Body())
}

// deliver publishes a message, and does so again while it is not acknowledged, as
// Pub/Sub does.
func (s *story) deliver(data []byte) {
	s.Helper()
	s.messages++
	s.Now = s.Now.Add(time.Millisecond)
	s.deliverAs(fmt.Sprintf("m%d", s.messages), data)
}

func (s *story) deliverAs(id string, data []byte) {
	s.Helper()
	s.deliverFrom("", id, data)
}

// operate publishes an operator's message.
func (s *story) operate(action message.Action, fields ...string) {
	s.Helper()
	s.step("operator: %s %s", action, strings.Join(fields, " "))
	s.messages++
	s.Now = s.Now.Add(time.Millisecond)
	s.deliverFrom(Operators, fmt.Sprintf("m%d", s.messages), Operation(action, fields...))
}

func (s *story) deliverFrom(subscription, id string, data []byte) {
	s.Helper()
	published := s.Now
	for range 6 {
		err := s.Deliver(message.Delivery{ID: id, Subscription: subscription, PublishTime: published, Data: data})
		if err == nil {
			return
		}
		s.line("not acknowledged")
		s.Now = s.Now.Add(10 * time.Second)
	}
	s.line("given up")
}

func (s *story) send(what, data string) {
	s.Helper()
	s.step("%s", what)
	s.deliver([]byte(data))
}

func (s *story) cancel(id string) {
	s.Helper()
	s.send("cancel "+id, `{"cancel":{"requestId":"`+id+`"}}`)
}

func (s *story) tick(after time.Duration) {
	s.Helper()
	s.step("tick after %s", after)
	s.Now = s.Now.Add(after)
	_ = s.Tick() // the line of the pass says whether it failed
}

func (s *story) ticks(n int, each time.Duration) {
	for range n {
		s.tick(each)
	}
}

// runs sets the state of a request's job at Vertex AI.
func (s *story) runs(id string, state vertex.JobState) {
	s.Helper()
	s.step("the job of %s is %s", id, state)
	if s.Record(id).Reservation.Job == "" {
		s.tick(2 * time.Minute) // a fault kept it from being submitted
	}
	if job := s.Record(id).Reservation.Job; job != "" {
		s.Vertex.SetJob(job, state)
	}
}

// transcript is the story with the events as they were published, in readable names.
func (s *story) transcript() string {
	s.line("")
	out := s.text.String()
	var events strings.Builder
	for _, e := range s.Out.All() {
		text, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&events, "%s %s\n", e.Type.Word(), text)
	}
	out += "\n# events\n" + events.String()
	for key, id := range s.keys {
		out = strings.ReplaceAll(out, key, id)
	}
	out = strings.ReplaceAll(strings.ReplaceAll(out, Resource, "{pool}"), Parent, "{region}")
	return strings.TrimLeft(out, "\n ")
}

// TestStories plays each story and holds its transcript to the one in testdata: which
// calls are made, in which order, what is written, and what is published. A change of
// behaviour shows as a difference, to be read before -update takes it.
func TestStories(t *testing.T) {
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			play(s)
			golden(t, filepath.Join("testdata", "stories", name+".txt"), s.transcript())
		})
	}
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) != len(stories) {
		t.Errorf("%d transcripts of %d stories, %v", len(files), len(stories), err)
	}
}

// golden holds a text to a file, or writes the file under -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func (s *story) pools(state string, cpu, gpu capacity.Replicas) {
	s.step("the resource is %s with %d cpu and %d gpu machines", state, cpu, gpu)
	s.SetPools(state, capacity.Pool{ID: "cpu", Shape: CPU, Count: cpu}, capacity.Pool{ID: "gpu", Shape: GPU, Count: gpu})
}

// edit changes the resource document as a manual database edit does.
func (s *story) edit(change func(*ledger.Resource)) {
	s.Helper()
	err := s.Ledger.Update(context.Background(), ledger.Resources(Resource), func(tx ledger.Tx) error {
		res := tx.Resource(Resource)
		change(res)
		tx.Put(res)
		return nil
	})
	if err != nil {
		s.line("edit failed")
	}
}
