package sim

import (
	"context"
	"errors"
	"slices"
	"sync"

	"example.com/berth/internal/message"
)

// Outbox is a Publisher that records events, and fails on demand.
type Outbox struct {
	// Fail, if set, is asked before each publication whether it fails before or
	// after the events got there.
	Fail func() (before, after bool)
	// Poison, if set, is an event that cannot be published, nor what comes with it.
	Poison func(message.Outcome) bool

	mu     sync.Mutex
	events []message.Outcome
}

// ErrInjected is the error of a publication that was made to fail.
var ErrInjected = errors.New("injected: publication failed")

// Publish implements controller.Publisher.
func (o *Outbox) Publish(_ context.Context, events ...message.Outcome) error {
	before, after := false, false
	if o.Fail != nil {
		before, after = o.Fail()
	}
	if before || o.Poison != nil && slices.ContainsFunc(events, o.Poison) {
		return ErrInjected
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, events...)
	if after {
		return ErrInjected
	}
	return nil
}

// All returns everything published, in that order, repetitions included.
func (o *Outbox) All() []message.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events)
}

// Of returns the events of one request, or of one message that has none, as a
// consumer understands them: sorted by sequence, repetitions dropped.
func (o *Outbox) Of(id string) []message.Outcome {
	seen := map[string]bool{}
	var events []message.Outcome
	for _, e := range o.All() {
		if (e.RequestID == id || e.MessageID == id && e.RequestID == "") && !seen[e.EventID] {
			seen[e.EventID] = true
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b message.Outcome) int { return int(a.Sequence - b.Sequence) })
	return events
}

// Words returns the words of those events: "queued", "reserved", ...
func (o *Outbox) Words(id string) (words []string) {
	for _, e := range o.Of(id) {
		words = append(words, e.Type.Word())
	}
	return words
}

// Last returns the last of those events, an empty one if there is none.
func (o *Outbox) Last(id string) message.Outcome {
	events := o.Of(id)
	if len(events) == 0 {
		return message.Outcome{}
	}
	return events[len(events)-1]
}
