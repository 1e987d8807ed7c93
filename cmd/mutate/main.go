// Mutate puts small bugs into the source, one at a time, and says which of them
// the quick tests let live:
//
//	go run ./cmd/mutate -sample 50 internal/ledger internal/controller
//
// -help lists the flags.
package main

import (
	"context"
	"os"
	"os/signal"

	"example.com/berth/internal/mutation"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := mutation.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
