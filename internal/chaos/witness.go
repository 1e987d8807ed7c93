package chaos

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/localstack/proxy"
	"example.com/berth/internal/message"
)

// A witness keeps the ledger as its commits made it. Every commit of Berth names
// the version of each document that it read, so they can be put in an order in
// which they can have happened, in any order of their
// answers: a commit is applied when the witness has the versions that it overwrites,
// and knows the versions that it only read. What it only read may have been overwritten by
// a commit whose answer was quicker, but not by one that landed earlier.
type witness struct {
	mu       sync.Mutex
	docs     map[string]stored
	until    map[string]map[time.Time]time.Time // when each earlier version was overwritten, by path
	waiting  []*commit                          // answered, but a version that they read is not known yet
	commits  int
	takes    int // commits that took replicas
	found    []invariant.Violation
	problems []string // commits that cannot be understood
	changed  chan struct{}
}

// A commit is one that landed.
type commit struct {
	read map[string]time.Time // by path; zero for a document that was not there
	puts []stored
	at   time.Time // when it landed
}

func newWitness() *witness {
	return &witness{docs: map[string]stored{}, until: map[string]map[time.Time]time.Time{}, changed: make(chan struct{})}
}

// called gets every call to Firestore.
func (w *witness) called(c proxy.Call) {
	if c.Code == codes.OK && len(c.Answers) > 0 {
		w.observe(c.Method, c.Request, c.Answers[0])
	}
}

// observe applies a Commit call that was answered with success.
func (w *witness) observe(method string, req, answer []byte) {
	if method != "Commit" {
		return
	}
	c, err := readCommit(req, answer)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.problems = append(w.problems, err.Error())
		return
	}
	w.waiting = append(w.waiting, c)
	for again := true; again; {
		again = false
		for i, c := range w.waiting {
			if w.follows(c) {
				w.waiting = slices.Delete(w.waiting, i, i+1)
				w.take(c)
				again = true
				break
			}
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// readCommit understands a commit from its request and its answer.
func readCommit(request, answer []byte) (*commit, error) {
	var req firestorepb.CommitRequest
	var resp firestorepb.CommitResponse
	if err := proto.Unmarshal(request, &req); err != nil {
		return nil, fmt.Errorf("a commit cannot be read: %w", err)
	}
	if err := proto.Unmarshal(answer, &resp); err != nil {
		return nil, fmt.Errorf("the answer to a commit cannot be read: %w", err)
	}
	if len(resp.GetWriteResults()) != len(req.GetWrites()) {
		return nil, fmt.Errorf("a commit of %d writes has %d results", len(req.GetWrites()), len(resp.GetWriteResults()))
	}
	c := &commit{read: map[string]time.Time{}, at: resp.GetCommitTime().AsTime()}
	for i, write := range req.GetWrites() {
		name := write.GetDelete()
		if name == "" {
			name = write.GetUpdate().GetName()
		}
		d := &firestorepb.Document{Name: name, Fields: write.GetUpdate().GetFields()}
		s, err := readStored(d, resp.GetWriteResults()[i].GetUpdateTime())
		if err != nil {
			return nil, err
		}
		switch condition := write.GetCurrentDocument().GetConditionType().(type) {
		case *firestorepb.Precondition_UpdateTime:
			c.read[s.path] = condition.UpdateTime.AsTime()
		case *firestorepb.Precondition_Exists:
			if condition.Exists {
				return nil, fmt.Errorf("a commit changes %s whatever is in it", s.path)
			}
			c.read[s.path] = time.Time{}
		default:
			return nil, fmt.Errorf("a commit writes %s without a condition", s.path)
		}
		if write.GetUpdate() != nil && write.GetUpdateMask() == nil {
			c.puts = append(c.puts, s)
		} else if len(write.GetUpdateMask().GetFieldPaths()) > 0 || write.GetDelete() != "" && !c.read[s.path].IsZero() {
			return nil, fmt.Errorf("a commit changes a part of %s, or deletes it", s.path)
		}
	}
	return c, nil
}

// follows says whether a commit overwrites what there is now, and has read
// nothing that is unknown.
func (w *witness) follows(c *commit) bool {
	for path, at := range c.read {
		if w.docs[path].update.Equal(at) {
			continue
		}
		if _, known := w.until[path][at]; !known || c.overwrites(path) {
			return false
		}
	}
	return true
}

func (c *commit) overwrites(path string) bool {
	return slices.ContainsFunc(c.puts, func(s stored) bool { return s.path == path })
}

// take makes a commit's writes and judges them.
func (w *witness) take(c *commit) {
	w.commits++
	for path, at := range c.read {
		if end, over := w.until[path][at]; over && c.at.After(end) {
			w.problems = append(w.problems, fmt.Sprintf("one landed at %s although %s, which it had read, was overwritten at %s", c.at, path, end))
		}
	}
	var before, after invariant.Picture
	for _, put := range c.puts {
		switch doc := put.doc.(type) {
		case *ledger.Resource:
			old, _ := w.docs[put.path].doc.(*ledger.Resource)
			w.found = append(w.found, invariant.Commit(old, doc)...)
			if old == nil && len(doc.Holds) > 0 || old != nil && len(doc.Holds) > len(old.Holds) {
				w.takes++
			}
		case *ledger.Record:
			after.Records = append(after.Records, doc)
			if old, ok := w.docs[put.path].doc.(*ledger.Record); ok {
				before.Records = append(before.Records, old)
				w.found = append(w.found, rewritten(old, doc)...)
			}
		}
		if w.until[put.path] == nil {
			w.until[put.path] = map[time.Time]time.Time{}
		}
		w.until[put.path][c.read[put.path]] = put.update
		w.docs[put.path] = put
	}
	w.found = append(w.found, invariant.Step(before, after)...)
	for _, s := range w.docs {
		if res, ok := s.doc.(*ledger.Resource); ok {
			after.Resources = append(after.Resources, res)
		}
	}
	// Of the records only these have changed. A change of the resource that
	// leaves its record behind shows as a hold without a request: see whole.
	w.found = append(w.found, invariant.Check(after)...)
	if w.commits%25 == 0 {
		w.found = append(w.found, invariant.Check(w.picture())...)
	}
}

// rewritten reports the changes of a commit to parts that are written once.
func rewritten(old, now *ledger.Record) []invariant.Violation {
	events := map[string]ledger.OutboxEvent{}
	for _, l := range now.Outbox {
		events[l.ID] = l
	}
	var found []invariant.Violation
	say := func(this, that string) {
		found = append(found, invariant.Violation{Rule: Rewritten, Request: now.Key, Resource: now.Resource, This: this, That: that})
	}
	for _, l := range old.Outbox {
		n, kept := events[l.ID]
		switch {
		case !kept && !l.Published:
			say("event "+l.ID+" was to be sent", "it is gone")
		case kept && l.Published && !n.Published:
			say("event "+l.ID+" was sent", "it is to be sent again")
		case kept && !sameEvent(old.Event(l), now.Event(n)):
			say("event "+l.ID+" was written", "it says something else now")
		}
	}
	if old.Reservation.Job != "" && old.Run == now.Run && now.Reservation.Job != old.Reservation.Job {
		say("its job is "+old.Reservation.Job, "it names "+now.Reservation.Job+" now")
	}
	if !old.Tombstone() && (old.Fingerprint != now.Fingerprint || old.MessageID != now.MessageID) {
		say("it was made by message "+old.MessageID, "it is another request now")
	}
	return found
}

// sameEvent compares two events by what is published of them.
func sameEvent(a, b message.Outcome) bool {
	data, attributes, err := a.PubSub(source)
	data2, attributes2, err2 := b.PubSub(source)
	return err == nil && err2 == nil && string(data) == string(data2) && maps.Equal(attributes, attributes2)
}

// picture is the ledger as it is now, complete. The caller holds w.mu.
func (w *witness) picture() invariant.Picture {
	return pictureOf(w.docs)
}

func pictureOf(docs map[string]stored) invariant.Picture {
	p := invariant.Picture{Now: time.Now(), Complete: true}
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		switch doc := docs[path].doc.(type) {
		case *ledger.Resource:
			p.Resources = append(p.Resources, doc)
		case *ledger.Record:
			p.Records = append(p.Records, doc)
		}
	}
	return p
}

// now returns the ledger as it is, and what is closed at the next change.
func (w *witness) now() (invariant.Picture, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.picture(), w.changed
}

// record is everything that was found, and how the ledger differs from what
// the emulator has.
func (w *witness) record(have map[string]stored) []invariant.Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := slices.Clone(w.found)
	say := func(this, that string, args ...any) {
		found = append(found, invariant.Violation{Rule: Unseen, This: this, That: fmt.Sprintf(that, args...)})
	}
	for _, p := range w.problems {
		say("every commit is understood", "%s", p)
	}
	for _, c := range w.waiting[:min(3, len(w.waiting))] {
		for path, at := range c.read {
			if has := w.docs[path].update; !has.Equal(at) {
				say("all commits are in one order", "%d read what no commit wrote, the first of them %s as of %s, last seen written at %s", len(w.waiting), path, at, has)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(have)) {
		if !w.docs[path].update.Equal(have[path].update) {
			say(path+" was last seen written at "+w.docs[path].update.String(), "the emulator has one of %s", have[path].update)
		}
	}
	for path := range w.docs {
		if _, there := have[path]; !there {
			say(path+" was written", "the emulator does not have it")
		}
	}
	return found
}
