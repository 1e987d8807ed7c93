// Package emulatortest gives tests the official Firestore and Pub/Sub
// emulators.
//
// An emulator is shared by all tests of a test process and started by the first
// that asks; it ends with the process. If FIRESTORE_EMULATOR_HOST or
// PUBSUB_EMULATOR_HOST is set, the emulator there is used and none is started.
// So that tests can run in parallel, each takes a Project of its own: nothing
// is ever reset.
//
// Where an emulator is not installed the test is skipped with the reason, or
// fails if BERTH_REQUIRE_EMULATORS=1. An emulator that is installed and does
// not start fails the test everywhere.
//
// The shared emulator's supervisor lives in a goroutine until the process ends;
// a leak check has to ignore goroutines that were there before it.
package emulatortest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"example.com/berth/internal/localstack/emulator"
)

// RequireEnv is the variable that, set to 1, turns a skip into a failure.
const RequireEnv = "BERTH_REQUIRE_EMULATORS"

var (
	firestore = sync.OnceValues(func() (*emulator.Emulator, error) { return start(emulator.StartFirestore) })
	pubsub    = sync.OnceValues(func() (*emulator.Emulator, error) { return start(emulator.StartPubSub) })
)

// Firestore returns the host:port of the shared Firestore emulator, or skips.
func Firestore(tb testing.TB) string {
	tb.Helper()
	return host(tb, firestore)
}

// PubSub returns the host:port of the shared Pub/Sub emulator, or skips.
func PubSub(tb testing.TB) string {
	tb.Helper()
	return host(tb, pubsub)
}

// Project returns a project id that no other test has, valid in production too.
func Project(tb testing.TB) string {
	tb.Helper()
	var b [8]byte
	rand.Read(b[:]) // never fails
	return "berth-" + hex.EncodeToString(b[:])
}

// start is bounded by itself rather than by the first test that asks, since the
// emulator belongs to all.
func start(f func(context.Context, emulator.Options) (*emulator.Emulator, error)) (*emulator.Emulator, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return f(ctx, emulator.Options{StartTimeout: time.Minute})
}

func host(tb testing.TB, shared func() (*emulator.Emulator, error)) string {
	tb.Helper()
	e, err := shared()
	switch {
	case err == nil:
		return e.Host()
	case errors.Is(err, emulator.ErrNotInstalled) && os.Getenv(RequireEnv) != "1":
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
	return ""
}
