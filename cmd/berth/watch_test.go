package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// watchOf runs a watch that is stopped after some rounds, and returns what it wrote.
func watchOf(t *testing.T, on func(io.Writer) io.Writer, asJSON bool, rounds int, once func(g *globals, n int) (bool, error)) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := &globals{ctx: ctx, out: on(&o), err: &e, JSON: asJSON}
	f := watchFlags{Watch: true, Every: leastEvery}
	n := 0
	err = f.run(g, func(g *globals) (bool, error) {
		if n++; n > rounds {
			cancel()
			return false, nil
		}
		return once(g, n)
	})
	return o.String(), e.String(), err
}

func plainPipe(w io.Writer) io.Writer { return newScreen(w, "auto") }

// On a terminal, each text takes the place of the one before, and leaves nothing of it.
func TestWatchOnATerminal(t *testing.T) {
	terminal := func(w io.Writer) io.Writer {
		return &screen{Writer: w, terminal: true, cursor: true, width: 60, colour: true}
	}
	out, _, err := watchOf(t, terminal, false, 2, func(g *globals, n int) (bool, error) {
		table := newTable(g.out, "REQUEST", "STATE")
		table.row(fmt.Sprint("r", n), "FAILED")
		table.end()
		return false, nil
	})
	frame := func(n int) string {
		return fmt.Sprintf("\x1b[1mREQUEST\x1b[0m  \x1b[1mSTATE\x1b[0m\x1b[K\nr%d       \x1b[31mFAILED\x1b[0m\x1b[K\n\x1b[J", n)
	}
	if want := "\x1b[H\x1b[2J" + frame(1) + "\x1b[H" + frame(2); err != nil || out != want {
		t.Errorf("%v\n%q, want\n%q", err, out, want)
	}
}

// What does not fit on the screen would scroll it away, and with it what is shown next. A
// window of another size is cleared first, because what is there is broken in other places.
func TestWatchOnASmallTerminal(t *testing.T) {
	var on *screen
	terminal := func(w io.Writer) io.Writer {
		on = &screen{Writer: w, terminal: true, cursor: true, width: 20, height: 5}
		return on
	}
	out, _, err := watchOf(t, terminal, false, 3, func(g *globals, n int) (bool, error) {
		if n == 3 {
			on.height = 6
		}
		for i := range []int{4, 5, 4}[n-1] {
			say(g.out, "line %d", i)
		}
		if n > 1 {
			say(g.out, "a line that is wider than the terminal")
		}
		return false, nil
	})
	four := "line 0\x1b[K\nline 1\x1b[K\nline 2\x1b[K\n"
	want := "\x1b[H\x1b[2J" + four + "line 3\x1b[K\n\x1b[J" +
		"\x1b[H" + four + "... and 3 more lines\x1b[K\n\x1b[J" +
		"\x1b[H\x1b[2J" + four + "line 3\x1b[K\n... and 1 more line\x1b[K\n\x1b[J"
	if err != nil || out != want {
		t.Errorf("%v\n%q, want\n%q", err, out, want)
	}
	if got := string(cropped([]byte("\x1b[31m01234567890123456789\x1b[0m\nb\nc\nd\n"), 20, 4)); got != "\x1b[31m01234567890123456789\x1b[0m\nb\n... and 2 more lines\n" {
		t.Errorf("%q", got)
	}
	if got := string(cropped([]byte("0123456789012345678901\nb\nc\n"), 20, 4)); got != "0123456789012345678901\n... and 2 more lines\n" {
		t.Errorf("%q", got)
	}
}

// In a pipe the texts follow each other, without a sequence for a terminal; with --json
// each is a line.
func TestWatchInAPipe(t *testing.T) {
	out, _, err := watchOf(t, plainPipe, false, 2, func(g *globals, n int) (bool, error) {
		say(g.out, "text %d", n)
		return false, nil
	})
	if err != nil || strings.Contains(out, "\x1b") || strings.Count(out, "\n") != 5 || !strings.HasSuffix(out, "\ntext 2\n") {
		t.Errorf("%v\n%q", err, out)
	}
	out, _, err = watchOf(t, plainPipe, true, 2, func(g *globals, n int) (bool, error) {
		return false, pretty(g.out, map[string]int{"n": n, "m": 0})
	})
	if err != nil || out != "{\"m\":0,\"n\":1}\n{\"m\":0,\"n\":2}\n" {
		t.Errorf("%v\n%q", err, out)
	}
}

// A watch ends when there is nothing more to see, by Ctrl-C without an error, and when a
// call fails for good or too often; what it shows stays meanwhile.
func TestWatchEnds(t *testing.T) {
	out, _, err := watchOf(t, plainPipe, false, 99, func(g *globals, n int) (bool, error) {
		say(g.out, "text %d", n)
		return n == 2, nil
	})
	if err != nil || !strings.HasSuffix(out, "text 2\n") {
		t.Errorf("%v\n%q", err, out)
	}
	away := errors.New("away")
	out, errs, err := watchOf(t, plainPipe, false, 3, func(g *globals, n int) (bool, error) {
		if n == 2 {
			say(g.out, "half of")
			return false, away
		}
		say(g.out, "text %d", n)
		return false, nil
	})
	if err != nil || strings.Contains(out, "half") || !strings.Contains(out, "text 1") || !strings.Contains(out, "text 3") || errs != "Asking again: away\n" {
		t.Errorf("%v\n%q\n%q", err, out, errs)
	}
	n := 0
	_, errs, err = watchOf(t, plainPipe, false, 99, func(*globals, int) (bool, error) { n++; return false, away })
	if !errors.Is(err, away) || n != maxFailures+1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("after %d rounds: %v\n%q", n, err, errs)
	}
	n = 0
	_, _, err = watchOf(t, plainPipe, false, 99, func(*globals, int) (bool, error) { n++; return false, &refusal{answer: 404} })
	if err == nil || n != 1 {
		t.Errorf("after %d rounds: %v", n, err)
	}
}

func TestWatchFlags(t *testing.T) {
	f := watchFlags{Watch: true, Every: leastEvery - time.Millisecond}
	if err := f.run(&globals{ctx: t.Context()}, nil); err == nil || !strings.Contains(err.Error(), "--every") {
		t.Error(err)
	}
	n := 0
	f = watchFlags{}
	if err := f.run(&globals{ctx: t.Context()}, func(*globals) (bool, error) { n++; return false, nil }); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

// Colours are for a terminal alone, unless they are asked for, and text of users stays
// harmless.
func TestColours(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	var b bytes.Buffer
	for colour, want := range map[string]bool{"auto": false, "never": false, "always": true} {
		if s := newScreen(&b, colour); s.colour != want || s.terminal || s.width != 0 {
			t.Errorf("%s: %+v", colour, s)
		}
	}
	table := newTable(&screen{Writer: &b, width: 80, colour: true}, "A", "B")
	table.row("\x1b[31mWAITING", "WAITING (it fits now)")
	table.end()
	if got, want := b.String(), "\x1b[1mA\x1b[0m"+strings.Repeat(" ", 16)+"\x1b[1mB\x1b[0m\n\\x1b[31mWAITING  \x1b[33mWAITING (it fits now)\x1b[0m\n"; got != want {
		t.Errorf("%q, want\n%q", got, want)
	}
}
