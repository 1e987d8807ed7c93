package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// A screen is where the tool writes text, and what it knows of it.
type screen struct {
	io.Writer
	terminal bool
	width    int  // columns that a row may take; 0 for any number
	height   int  // rows of a terminal; 0 if that is not known
	colour   bool // states have colours
	cursor   bool // it is a terminal that takes sequences, so a text can stand in the place of another

	failed error // of the first write that failed
}

// Write passes a text on. Tables and lines do not check what it returns: the tool does so at
// its end, by failed.
func (s *screen) Write(text []byte) (int, error) {
	n, err := s.Writer.Write(text)
	if s.failed == nil {
		s.failed = err
	}
	return n, err
}

// leastWidth is the narrowest terminal that rows are made for. A narrower one breaks them
// itself.
const leastWidth = 32

// newScreen finds out what a stream is. colour is auto, always or never; auto is for a
// terminal, and not where NO_COLOR is set (no-color.org) or the terminal is dumb.
func newScreen(w io.Writer, colour string) *screen {
	s := &screen{Writer: w, colour: colour == "always"}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.terminal, s.cursor = true, os.Getenv("TERM") != "dumb"
	s.measure()
	if colour == "auto" {
		s.colour = s.cursor && os.Getenv("NO_COLOR") == ""
	}
	return s
}

// measure takes in how large the terminal is, which its user may change.
func (s *screen) measure() {
	if f, ok := s.Writer.(*os.File); ok && s.terminal {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			s.width, s.height = max(width, leastWidth), height
		}
	}
}

// A paint is a colour of a word: the number of an SGR sequence (ECMA-48), "" for none.
type paint string

const (
	bold   paint = "1"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
	blue   paint = "34"
)

// paints are the colours of words that say how something stands. The word says it too, so
// nothing is told by colour alone.
var paints = map[string]paint{
	"SUCCEEDED": green, "DONE": green, "RUNNING": blue, "SUBMITTING": blue, "SUBMITTED": blue, "RESERVED": blue, "CANCELLING": yellow, "WAITING": yellow,
	"FAILED": red, "CANCELLED": red, "EXPIRED": red, "REJECTED": red, "REFUSED": red,
	"ERROR": red, "CRITICAL": red, "ALERT": red, "EMERGENCY": red, "WARNING": yellow,
	"ok": green, "FAIL": red, "unknown": yellow,
}

// on puts a colour around a text.
func (p paint) on(text string) string {
	if p == "" || text == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", string(p), text)
}
