package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/emulator"
)

// Services are the Firestore and Pub/Sub that a run uses.
type services struct {
	log    io.Writer
	pubsub string // host:port
	stop   func() error

	// first is a Firestore emulator, nil where none is installed. A quick run uses
	// it for everything, each world in a project of its own: counts do not depend
	// on how full it is.
	first *emulator.Emulator

	notes []string // what is used, and why not the other
}

// errEmbedded is the reason for not looking for emulators.
var errEmbedded = fmt.Errorf("not asked for: %w", emulator.ErrNotInstalled)

// startServices starts what all measurements share.
func startServices(ctx context.Context, embedded bool, log io.Writer) (*services, error) {
	startPubSub, startFirestore := emulator.StartPubSub, emulator.StartFirestore
	if embedded {
		none := func(context.Context, emulator.Options) (*emulator.Emulator, error) { return nil, errEmbedded }
		startPubSub, startFirestore = none, none
	}
	s := &services{log: log}
	ps, err := startPubSub(ctx, emulator.Options{Output: log})
	switch {
	case err == nil:
		s.pubsub, s.stop = ps.Host(), ps.Stop
		s.note("Pub/Sub: official emulator")
	case errors.Is(err, emulator.ErrNotInstalled):
		b, failed := localstack.StartBroker(localstack.BrokerOptions{})
		if failed != nil {
			return nil, fmt.Errorf("start embedded Pub/Sub: %w", failed)
		}
		s.pubsub, s.stop = b.Host(), b.Stop
		s.note("Pub/Sub: embedded (official emulator: %v)", err)
	default:
		return nil, fmt.Errorf("start Pub/Sub emulator: %w", err)
	}
	fs, err := startFirestore(ctx, emulator.Options{Output: log})
	switch {
	case err == nil:
		s.first = fs
		if s.note("Firestore: official emulator, a fresh one for each world, unless -quick"); !fs.Started() {
			s.note("%s names it, so that all worlds share one: it becomes slower as it fills", emulator.FirestoreHostEnv)
		}
	case errors.Is(err, emulator.ErrNotInstalled):
		s.note("Firestore: embedded, in the function's memory, where its calls cannot be counted (official emulator: %v)", err)
	default:
		return nil, errors.Join(fmt.Errorf("start Firestore emulator: %w", err), s.stop())
	}
	return s, nil
}

func (s *services) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// stored says whether there is a Firestore.
func (s *services) stored() bool { return s.first != nil }

// heap is what an emulator may use, in MiB: enough for 100,000 requests without
// most of the time going to Java's garbage collector.
const heap = 4096

// firestore starts a Firestore emulator for one world, since its speed falls as
// it fills. Where something is timed it is warmed up.
func (s *services) firestore(ctx context.Context, r runs) (*emulator.Emulator, error) {
	fs, err := emulator.StartFirestore(ctx, emulator.Options{Output: s.log, Heap: heap})
	if err != nil {
		return nil, fmt.Errorf("start a fresh Firestore emulator: %w", err)
	}
	if r == counting {
		return fs, nil
	}
	if err := warmUp(ctx, fs.Host()); err != nil {
		return nil, errors.Join(err, fs.Stop())
	}
	return fs, nil
}

func (s *services) close() error {
	if s.first == nil {
		return s.stop()
	}
	return errors.Join(s.first.Stop(), s.stop())
}
