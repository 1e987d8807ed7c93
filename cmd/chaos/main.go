// Chaos proves with real processes that Berth cannot over-commit, start a
// request twice, lose one or leak what it holds: see package chaos.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"example.com/berth/internal/chaos"
)

func main() {
	if chaos.RoleMain() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := chaos.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
