package chaos

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"example.com/berth/internal/invariant"
)

// bugLogs are parts of what a process of ours logs when it finds a bug of its own.
var bugLogs = []string{
	`"event":"illegal_move"`, `"event":"leaked_hold"`, `"event":"empty_queue"`, "this is a bug",
	"panic: ", "panic serving", "fatal error: ", "WARNING: DATA RACE",
}

// A logBook collects the logs of all processes, and the lines that report a bug.
type logBook struct {
	mu    sync.Mutex
	out   io.Writer
	found []string
	raw   io.Writer // for processes that are not ours
}

func newLogBook(out io.Writer) *logBook {
	b := &logBook{out: out}
	b.raw = &logPage{book: b, name: "emulator", alien: true}
	return b
}

// of returns the writer for one process.
func (b *logBook) of(name string) io.Writer { return &logPage{book: b, name: name} }

// A logPage takes what one process writes, and passes on whole lines with the
// process's name.
type logPage struct {
	book  *logBook
	name  string
	alien bool
	line  []byte
}

const longestLine = 1 << 20

func (p *logPage) Write(text []byte) (int, error) {
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	n := len(text)
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			p.line = append(p.line, text...)
			if len(p.line) > longestLine {
				p.line = p.line[:0]
			}
			return n, nil
		}
		p.write(string(append(p.line, text[:i]...)))
		p.line, text = p.line[:0], text[i+1:]
	}
}

func (p *logPage) write(line string) {
	_, _ = fmt.Fprintf(p.book.out, "%s: %s\n", p.name, line) // a log that cannot be written is no reason to stop
	if p.alien {
		return
	}
	for _, c := range bugLogs {
		if strings.Contains(line, c) {
			p.book.found = append(p.book.found, p.name+": "+line)
			return
		}
	}
}

// loggedBugs returns the bugs that processes have logged.
func (b *logBook) loggedBugs() []invariant.Violation {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []invariant.Violation
	for _, line := range b.found {
		found = append(found, invariant.Violation{Rule: LoggedBug, This: "nothing goes wrong inside", That: "it logged: " + line})
	}
	return found
}
