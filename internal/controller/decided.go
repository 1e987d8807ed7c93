package controller

import (
	"context"
	"sync"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/telemetry"
)

// said is what a decision says of a request in a word.
func said(rec *ledger.Record) string {
	switch {
	case rec.State == lifecycle.Waiting:
		return "wait"
	case rec.State.Holds():
		return "admit"
	case rec.State == lifecycle.Rejected:
		return "refuse"
	}
	return "end" // a cancel came first, or its wait is over
}

// decided counts a decision, and ends its step.
func (c *Controller) decided(ctx context.Context, span telemetry.Span, rec *ledger.Record) {
	span.Set(telemetry.KeyVerdict, said(rec))
	span.Set(telemetry.KeyReason, code(rec.Why))
	span.Set(telemetry.KeyState, string(rec.State))
	span.End("")
	c.env.Telemetry.Decision(ctx, said(rec), code(rec.Why))
}

// answered counts the answer to a message that makes no request.
func (c *Controller) answered(ctx context.Context, o message.Type, why string) {
	verdict := "answer"
	if o == message.Refused {
		verdict = "refuse"
	}
	c.env.Telemetry.Decision(ctx, verdict, why)
}

// freed is when replicas of resources last came free, as far as this instance learned it
// and has not scheduled them yet.
type freed struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (f *freed) forget(resource string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.at, resource)
}

// gaveBack notes that a record may just have given its replicas back: at the end of its
// job, or if that is not known, of its hold.
func (c *Controller) gaveBack(rec *ledger.Record) {
	if rec.Times.Reserved.IsZero() || rec.Times.Queued.After(rec.Times.Reserved) || !rec.State.Terminal() {
		return
	}
	at := rec.Times.JobEnded
	if at.IsZero() {
		at = rec.Times.Ended
	}
	c.freed.mu.Lock()
	defer c.freed.mu.Unlock()
	if c.freed.at == nil {
		c.freed.at = map[string]time.Time{}
	}
	if at.After(c.freed.at[rec.Resource]) {
		c.freed.at[rec.Resource] = at
	}
}

// reused counts a waiting request that starts on replicas that have just come free.
func (c *Controller) reused(ctx context.Context, resource string, now time.Time) {
	c.freed.mu.Lock()
	at, known := c.freed.at[resource]
	c.freed.mu.Unlock()
	if known {
		c.env.Telemetry.Reuse(ctx, now.Sub(at))
		c.log.InfoContext(ctx, "a waiting request starts on replicas that came free", "event", "reused", "wait_seconds", now.Sub(at).Seconds())
	}
}
