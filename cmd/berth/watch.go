package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"example.com/berth/internal/reason"
)

// watchFlags are those of the verbs that show something that changes.
type watchFlags struct {
	Watch bool          `short:"w" help:"Show it again and again until Ctrl-C: on a terminal in the place of what was there, else below it; with --json a line each time."`
	Every time.Duration `default:"2s" help:"With --watch, how often."`
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
	for last := (shown{}); ; {
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
			if last, err = f.show(g, text, last); err != nil || done {
				return err
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
	on := screen{Writer: &text}
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

// shown is what a watch has on the screen.
type shown struct {
	any           bool
	width, height int // of the terminal
}

// show writes a text in the place of the one before, or below it.
func (f *watchFlags) show(g *globals, text []byte, before shown) (shown, error) {
	s, ok := g.out.(*screen)
	now := shown{any: true}
	switch {
	case g.JSON:
	case !ok || !s.cursor:
		text = append(fmt.Appendf(nil, "%s\n", clock(time.Now())), text...)
		if before.any {
			text = append([]byte("\n"), text...)
		}
	default:
		now.width, now.height = s.width, s.height
		first := goHome
		if before != now { // what is there may be broken in other places
			first = clearScreen
		}
		text = cropped(text, s.width, s.height)
		text = fmt.Appendf(nil, "%s%s%s", first, bytes.ReplaceAll(text, []byte("\n"), []byte(clearLine+"\n")), clearRest)
	}
	_, err := g.out.Write(text)
	return now, err
}

// cropped is as much of a text as fits on a screen, so that the screen does not scroll, and
// how much more there is.
func cropped(text []byte, width, height int) []byte {
	if height < 3 || width < 1 {
		return text
	}
	room := height - 1 // the cursor stands below the text
	lines, kept, rows, at, end := 0, 0, 0, 0, 0
	for row := range bytes.Lines(text) {
		lines, at = lines+1, at+len(row)
		wide := columns(colours.ReplaceAllString(strings.TrimSuffix(string(row), "\n"), ""))
		if rows += max(1, (wide+width-1)/width); rows <= room-1 {
			kept, end = lines, at
		}
	}
	if rows <= room {
		return text
	}
	more := fmt.Sprintf("... and %s", reason.Count(lines-kept, "more line"))
	return fmt.Appendf(text[:end:end], "%s\n", more[:min(len(more), width)])
}
