// Bench measures the whole of Berth with real processes: see package bench.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"example.com/berth/internal/bench"
)

func main() {
	if bench.RoleMain() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := bench.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
