package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A scale says how much is measured.
type scale int

// Scales, the smallest first.
const (
	quick  scale = iota // counts only, about a minute
	normal              // minutes
	full                // the largest queues and bursts too
)

// A measurement is one thing to measure.
type measurement struct {
	name, about string
	quick       bool // it has counts that need no long run
	stored      bool // it needs a ledger outside the function's memory
	measure     func(context.Context, *bench) error
}

// measurements are all, in the order in which they are made: the floors first,
// since others are compared with them.
var measurements = []measurement{
	{"floor", "what the parts cost without Berth", false, false, floors},
	{"alone", "one request at a time on an idle resource", true, false, alone},
	{"burst", "many requests at once that all fit", true, false, burst},
	{"steady", "requests at an even rate", false, false, steady},
	{"queue", "what many waiting requests cost a new one, and a tick", true, true, queue},
	{"backlog", "waiting requests that all fit once there is room", false, true, backlog},
	{"contention", "a burst over several function instances", false, true, contention},
	{"handover", "from a job's end to the creation of the next that waits for its machine", false, false, handover},
	{"idle", "what a tick costs when there is nothing to do", true, false, idle},
	{"once", "requests that change little: duplicates and refusals", true, false, once},
	{"cold", "a deployed process from its start to its first answer, its size and memory", false, false, cold},
	{"cost", "whole lives of requests, and what they cost", true, false, cost},
}

// Options say how to measure.
type options struct {
	scale    scale
	embedded bool      // do not use official emulators
	log      io.Writer // logs of all processes
	say      func(format string, args ...any)
}

// A bench is one run of measurements.
type bench struct {
	options
	services *services
	sheet    sheet
}

// measure makes the chosen measurements. One that fails does not stop the
// others. Without a report, none could be made.
func measure(ctx context.Context, o options, chosen []measurement) (*Report, error) {
	began := time.Now()
	s, err := startServices(ctx, o.embedded, o.log)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, services: s}
	var errs []error
	for _, m := range chosen {
		if ctx.Err() != nil {
			break
		}
		if m.stored && !s.stored() {
			s.note("%s: not measured, it needs the Firestore emulator", m.name)
			continue
		}
		b.say("%s: %s", m.name, m.about)
		if err := m.measure(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			b.say("%s failed: %v", m.name, err)
		}
	}
	errs = append(errs, context.Cause(ctx), s.close())
	return &Report{Machine: describe(), Notes: s.notes, Seconds: time.Since(began).Seconds(), Figures: b.sheet.figures}, errors.Join(errs...)
}

// in runs something in a world of its own.
func (b *bench) in(ctx context.Context, set setting, do func(*world) error) error {
	set.shared = b.scale == quick
	w, err := b.services.startWorld(ctx, set)
	if err != nil {
		return err
	}
	return errors.Join(do(w), w.stop())
}
