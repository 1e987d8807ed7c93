package controller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/telemetry"
)

// Env is the part of the world that a test replaces.
//
// Its functions may be called by several goroutines at once.
type Env struct {
	// Monotonic is read for differences only.
	Monotonic func() time.Time
	// Sleep waits, or returns early with the context's error.
	Sleep func(context.Context, time.Duration) error
	// Within bounds a context to a time on the monotonic clock; nil bounds nothing.
	Within func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	// NewRun draws a run label: 1 to 63 lowercase letters and digits, never the
	// same twice.
	NewRun func() string
	// Moved, if set, is called with every row of the state table that an update takes,
	// before it is committed and once per run of its closure.
	Moved func(lifecycle.Row)
	// Telemetry makes spans and counts; nil for none.
	Telemetry *telemetry.Recorder
}

func (e Env) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if e.Within == nil {
		return ctx, func() {}
	}
	return e.Within(ctx, d)
}

// RealEnv is the world.
func RealEnv() Env {
	return Env{
		Monotonic: time.Now,
		Within:    context.WithTimeout,
		Sleep: func(ctx context.Context, d time.Duration) error {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		NewRun: func() string {
			var b [16]byte
			rand.Read(b[:])
			return "r" + hex.EncodeToString(b[:])
		},
	}
}
