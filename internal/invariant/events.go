package invariant

import (
	"fmt"
	"strings"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// events checks that a record's outbox events are a path in the table.
func (c *checker) events(r *ledger.Record) {
	if r.Tombstone() {
		if len(r.Outbox) > 0 || r.Sequence > 0 {
			c.add(EventPath, r, nil, "nothing has come under its id", "it has counted %d events", r.Sequence)
		}
		return
	}
	if len(r.Outbox) == 0 {
		c.add(EventPath, r, nil, "it is known", "it has no event")
		return
	}
	first := r.Outbox[0].Outcome.Sequence
	state := lifecycle.None
	if first > 1 {
		state = "" // the beginning is no longer kept; see below
	}
	for i, l := range r.Outbox {
		o := l.Outcome
		if i > 0 && o.Sequence <= r.Outbox[i-1].Outcome.Sequence {
			c.add(EventPath, r, nil, fmt.Sprintf("event %d comes before event %d", r.Outbox[i-1].Outcome.Sequence, o.Sequence), "they are not in order")
		}
		gap := i > 0 && o.Sequence != r.Outbox[i-1].Outcome.Sequence+1
		if gap && !l.Published {
			c.add(EventPath, r, nil, fmt.Sprintf("event %d is kept", o.Sequence), "the one before it is gone")
		}
		if l.ID != fmt.Sprintf("%s-%d", r.Key, o.Sequence) {
			c.add(EventPath, r, nil, "event has id "+l.ID, "its number is %d", o.Sequence)
		}
		if r.Kind == message.KindAnswer {
			if i > 0 && (r.Outbox[i-1].Type != message.Draining || l.Type != message.Drained) {
				c.add(EventPath, r, nil, fmt.Sprintf("it is an answer, and its first event is %s", word(r.Outbox[i-1].Type)), "event %d is %s", o.Sequence, word(l.Type))
			}
			continue
		}
		next := lifecycle.State(o.State)
		if !gap && (i > 0 || first == 1) && !reachable(state, next, word(l.Type)) {
			c.add(EventPath, r, nil, fmt.Sprintf("event %d says %s", o.Sequence, next), "the table does not lead there from %q", state)
		}
		if i > 0 && state.Terminal() {
			c.add(EventPath, r, nil, fmt.Sprintf("it ended with event %d", r.Outbox[i-1].Outcome.Sequence), "event %d follows", o.Sequence)
		}
		state = next
	}
	last := r.Outbox[len(r.Outbox)-1].Outcome
	if last.Sequence != r.Sequence {
		c.add(EventPath, r, nil, fmt.Sprintf("the last event is %d", last.Sequence), "the record has counted to %d", r.Sequence)
	}
	if r.Kind != message.KindAnswer && state != r.State && !silently(state, r.State) {
		c.add(EventPath, r, nil, "the last event says "+string(state), "it is %s", r.State)
	}
}

// reachable says whether the table leads from one state to another by rows of
// which only the last has an outbox event, which is word.
func reachable(from, to lifecycle.State, word string) bool {
	seen := map[lifecycle.State]bool{}
	var walk func(lifecycle.State) bool
	walk = func(s lifecycle.State) bool {
		if seen[s] {
			return false
		}
		seen[s] = true
		for _, row := range lifecycle.Table {
			if row.From != s {
				continue
			}
			if row.Outcome == word && row.To == to || row.Outcome == "" && walk(row.To) {
				return true
			}
		}
		return false
	}
	return walk(from)
}

// silently says whether rows without an outbox event lead from one state to another.
func silently(from, to lifecycle.State) bool {
	seen := map[lifecycle.State]bool{from: true}
	queue := []lifecycle.State{from}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for _, row := range lifecycle.Table {
			if row.From == s && row.Outcome == "" && !seen[row.To] {
				seen[row.To] = true
				queue = append(queue, row.To)
			}
		}
	}
	return seen[to]
}

// outbox checks that each event is published or stored as unpublished.
func (c *checker) outbox(r *ledger.Record) {
	done := r.Kind == message.KindAnswer || r.State.Terminal() || r.Tombstone()
	if !r.ExpireAt.IsZero() && (!done || len(r.Unpublished()) > 0) {
		c.add(EventKept, r, nil, "it may be deleted", "it is %s with %d unpublished events", r.State, len(r.Unpublished()))
	}
	if c.Published == nil {
		return
	}
	for _, l := range r.Outbox {
		if l.Published && !c.Published[l.ID] {
			c.add(EventKept, r, nil, "event "+l.ID+" is marked as published", "the outcome topic does not have it")
		}
	}
}

// word is the word of an event type: queued, reserved, ...
func word(t message.Type) string {
	part := strings.Split(string(t), ".")
	if len(part) < 2 {
		return string(t)
	}
	return part[len(part)-2]
}
