// Sim searches for a schedule that breaks one of Berth's promises: the real
// controller over the memory twins of the ledger and of Vertex AI, in virtual
// time, with calls that fail, answers that are lost, instances that crash, and
// messages that come twice or in the wrong order.
//
//	go run ./cmd/sim explore -delays 1 -faults 2    every schedule within the bounds
//	go run ./cmd/sim storm -for 1m                  random schedules, over all cores
//	go run ./cmd/sim replay -seed 17 '[3:fail]'     one schedule again
//	go run ./cmd/sim outages                        every dependency failing in every way, for up to ten hours
//
// It exits with 0 if no promise was broken, 1 if one was, 2 for wrong usage.
package main

import (
	"context"
	"os"
	"os/signal"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/gcp"
	"example.com/berth/internal/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := sim.Main(ctx, os.Args[1:], os.Stdout, os.Stderr, deployed)
	stop()
	os.Exit(code)
}

// deployed are the rules of the deployed client of Vertex AI.
func deployed(op, name, account string, code int, text string) error {
	return gcp.VertexError(op, name, account, status.Error(codes.Code(code), text)) // #nosec G115 -- one of sixteen
}
