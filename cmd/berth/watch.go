package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// watchFlags are those of the verbs that show something that changes.
type watchFlags struct {
	Watch bool          `short:"w" help:"Show it again and again until Ctrl-C: on a terminal in the place of what was there, else below it; with --json a line each time."`
	Every time.Duration `default:"2s" placeholder:"DURATION" help:"With --watch, how often."`
}

const leastEvery = 100 * time.Millisecond

// Sequences of a terminal (ECMA-48).
const (
	clearScreen = "\x1b[H\x1b[2J"
	goHome      = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// run shows something once, or with --watch until it is done or the user stops it. once
// writes to the streams of the globals that it is given.
func (f *watchFlags) run(g *globals, once func(g *globals) (done bool, err error)) error {
	if !f.Watch {
		_, err := once(g)
		return err
	}
	if f.Every < leastEvery {
		return usage("--every %s: want %s or more", f.Every, leastEvery)
	}
	ticks := time.NewTicker(f.Every)
	defer ticks.Stop()
	failures := 0
	for shown := false; ; {
		text, done, err := f.render(g, once)
		switch {
		case g.ctx.Err() != nil:
			return nil // Ctrl-C is how a watch ends
		case err != nil && (!transient(err) || failures == maxFailures):
			return err
		case err != nil:
			if failures++; failures == 1 {
				say(g.err, "Asking again: %v", err)
			}
		default:
			failures = 0
			if err := f.show(g, text, shown); err != nil {
				return err
			}
			if shown = true; done {
				return nil
			}
		}
		select {
		case <-ticks.C:
		case <-g.ctx.Done():
			return nil
		}
	}
}

// render is what once writes. The whole is written at once, so that it does not flicker.
func (f *watchFlags) render(g *globals, once func(g *globals) (bool, error)) ([]byte, bool, error) {
	var text bytes.Buffer
	on := screen{Writer: &text, width: pipeWidth}
	if s, ok := g.out.(*screen); ok {
		s.measure()
		on.width, on.colour = s.width, s.colour
	}
	inner := *g
	inner.out = &on
	done, err := once(&inner)
	if g.JSON && err == nil {
		var compact bytes.Buffer
		if err = json.Compact(&compact, text.Bytes()); err == nil {
			compact.WriteByte('\n')
		}
		text = compact
	}
	return text.Bytes(), done, err
}

// show writes a text in the place of the one before, or below it.
func (f *watchFlags) show(g *globals, text []byte, again bool) error {
	s, ok := g.out.(*screen)
	switch {
	case g.JSON:
	case !ok || !s.terminal:
		text = append(fmt.Appendf(nil, "%s\n", clock(time.Now())), text...)
		if again {
			text = append([]byte("\n"), text...)
		}
	default:
		first := goHome
		if !again {
			first = clearScreen
		}
		text = fmt.Appendf(nil, "%s%s%s%s", first, bytes.ReplaceAll(text, []byte("\n"), []byte(clearLine+"\n")), clearRest, "")
	}
	_, err := g.out.Write(text)
	return err
}
