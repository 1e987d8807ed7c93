package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// A progress says on standard error how far a long run is: a bar on a terminal, else
// a line now and then.
type progress struct {
	ctx      context.Context
	out      io.Writer
	terminal bool
	total    int
	what     string // is being done, if there are several parts

	mu      sync.Mutex
	done    int
	printed time.Time
	began   time.Time
}

// Pauses between two updates.
const (
	barPause  = 100 * time.Millisecond
	linePause = 10 * time.Second
)

func newProgress(g *globals, total int) *progress {
	debug.SetGCPercent(400) // a run makes much garbage and keeps little
	p := &progress{ctx: g.ctx, out: g.err, total: max(1, total), began: time.Now()}
	p.printed = p.began
	p.terminal = newScreen(g.err, "never").terminal
	return p
}

// add counts work that is done. It is false when the user has interrupted the tool.
// It may be called by several goroutines.
func (p *progress) add(n int) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	pause := linePause
	if p.terminal {
		pause = barPause
	}
	if now := time.Now(); now.Sub(p.printed) >= pause {
		p.printed = now
		p.print(now)
	}
	return p.ctx.Err() == nil
}

func (p *progress) print(now time.Time) {
	const width = 40
	part := min(1, float64(p.done)/float64(p.total))
	left := "?"
	if part > 0 {
		left = span(time.Duration(float64(now.Sub(p.began)) * (1 - part) / part))
	}
	if !p.terminal {
		say(p.out, "%s%.0f %%, %s left", p.what, 100*part, left)
		return
	}
	full := int(part * width)
	fmt.Fprintf(p.out, "\r%s[%s%s] %3.0f %%, %s left  ", p.what, strings.Repeat("#", full), strings.Repeat(".", width-full), 100*part, left) //nolint:errcheck // as say
}

// end takes the bar away.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprintf(p.out, "\r%*s\r", len(p.what)+70, "") //nolint:errcheck // as say
	}
}
