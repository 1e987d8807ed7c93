package controller

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// TestRealEnv: the world as it is has everything that a pass asks of it. Nothing else runs
// with it but a deployed instance.
func TestRealEnv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := RealEnv()
		if e.Monotonic == nil || e.Sleep == nil || e.Within == nil || e.NewRun == nil {
			t.Fatalf("it lacks something: %+v", e)
		}
		began := e.Monotonic()
		if err := e.Sleep(t.Context(), time.Minute); err != nil || e.Monotonic().Sub(began) != time.Minute {
			t.Errorf("a sleep of a minute took %s, %v", e.Monotonic().Sub(began), err)
		}
		began = e.Monotonic()
		ctx, cancel := e.within(t.Context(), time.Second)
		defer cancel()
		if err := e.Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || e.Monotonic().Sub(began) != time.Second {
			t.Errorf("a sleep within a second took %s, %v", e.Monotonic().Sub(began), err)
		}
		seen := map[string]bool{}
		for range 1000 {
			run := e.NewRun()
			if seen[run] || !regexp.MustCompile(`^[a-z][a-z0-9]{0,62}$`).MatchString(run) || len(run) < 20 {
				t.Fatalf("run %q is no label of its own", run)
			}
			seen[run] = true
		}
	})
	ctx, cancel := Env{}.within(t.Context(), time.Nanosecond)
	defer cancel()
	if _, bounded := ctx.Deadline(); bounded {
		t.Error("without Within a context has a bound")
	}
}
