package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/localstack"
)

// Cases of the floor. Commits are of one document of the size of a record; each
// client has its own.
const (
	emptyAlone   = "empty handler, 1 client"
	emptyMany    = "empty handler, 32 clients"
	writeAlone   = "plain commit, 1 client"
	writeMany    = "plain commit, 32 clients"
	commitAlone  = "read+commit, 1 client"
	commitMany   = "read+commit, 32 clients"
	publishAlone = "publish, 1 client"
	publishMany  = "publish, 32 clients"
)

// floors measures what the parts cost without Berth.
func floors(ctx context.Context, b *bench) error {
	return b.in(ctx, setting{runs: timing, replicas: 1, pace: defaultPace}, func(w *world) error {
		err := timeFloor(ctx, b, emptyAlone, emptyMany, func(ctx context.Context, _ int) error {
			return w.post(ctx, w.functions[0], w.delivery(emptyEntry, jobOf(machine, 1), nil), nil)
		})
		if err == nil && w.firestore != "" {
			err = storeFloor(ctx, b, w)
		}
		if err == nil {
			err = publishFloor(ctx, b, w)
		}
		return err
	})
}

// timeFloor times something alone and from many clients.
func timeFloor(ctx context.Context, b *bench, alone, many string, do func(ctx context.Context, client int) error) error {
	for _, c := range []struct {
		name    string
		clients int
	}{{alone, 1}, {many, 32}} {
		b.say("  %s", c.name)
		r, err := repeated(ctx, c.clients, 1000, do)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		p := b.sheet.page("floor", "%s", c.name)
		p.throughput("", r)
		p.latencies("", r)
	}
	return nil
}

func storeFloor(ctx context.Context, b *bench, w *world) error {
	s, err := openStore(ctx, w.firestore, w.project)
	if err != nil {
		return err
	}
	if err = timeFloor(ctx, b, writeAlone, writeMany, s.write); err == nil {
		err = timeFloor(ctx, b, commitAlone, commitMany, s.change)
	}
	return errors.Join(err, s.close())
}

// publishFloor publishes messages of the size of an outcome event.
func publishFloor(ctx context.Context, b *bench, w *world) error {
	conn, err := grpc.NewClient(w.pubsub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to Pub/Sub at %s: %w", w.pubsub, err)
	}
	topics, err := pubsub.NewTopicAdminClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return errors.Join(fmt.Errorf("make Pub/Sub client for %s: %w", w.pubsub, err), conn.Close())
	}
	err = timeFloor(ctx, b, publishAlone, publishMany, func(ctx context.Context, _ int) error {
		_, err := topics.Publish(ctx, &pubsubpb.PublishRequest{Topic: localstack.TopicName(w.project, localstack.OutcomeTopic),
			Messages: []*pubsubpb.PubsubMessage{{Data: []byte(strings.Repeat("x", 1000))}}})
		return err
	})
	return errors.Join(err, topics.Close())
}

// repeated does something n times from some clients at once.
func repeated(ctx context.Context, clients, n int, do func(ctx context.Context, client int) error) (run, error) {
	if err := do(ctx, 0); err != nil { // connects
		return run{}, err
	}
	type part struct {
		took []time.Duration
		err  error
	}
	parts := make(chan part, clients)
	began := time.Now()
	for client := range clients {
		go func() {
			var p part
			for range n / clients {
				from := time.Now()
				if p.err = do(ctx, client); p.err != nil {
					break
				}
				p.took = append(p.took, time.Since(from))
			}
			parts <- p
		}()
	}
	var r run
	var errs []error
	for range clients {
		p := <-parts
		r.took, errs = append(r.took, p.took...), append(errs, p.err)
	}
	r.total = time.Since(began)
	slices.Sort(r.took)
	return r, errors.Join(errs...)
}
