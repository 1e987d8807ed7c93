// Localstack runs all of Berth on this machine: the function under the real
// functions framework, Pub/Sub, the ledger, and a fake Vertex AI with one
// persistent resource. It uses Google's official emulators where they are
// installed and embedded replacements where they are not, and says which.
//
// It publishes the sample requests, tells what becomes of them, and checks that
// each ended as its file says. With -once it then exits: 0 if all did, 1 if not.
// Without, it stays up for you to publish to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/statefile"
)

func main() {
	if localstack.FunctionMain() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, "localstack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("localstack", flag.ContinueOnError)
	once := flags.Bool("once", false, "tell the story of the sample requests, check it, and exit")
	embedded := flags.Bool("embedded", false, "do not look for the official emulators")
	samples := flags.String("requests", "", "folder of sample requests (default testdata/requests of this project)")
	logFile := flags.String("log", "", "write the logs of all processes to this file")
	limit := flags.Duration("limit", 3*time.Minute, "with -once, give up after this long")
	var o localstack.Options
	flags.StringVar(&o.Project, "project", "berth-local", "project id")
	flags.IntVar(&o.FunctionPort, "port", 0, "port of the function (default: any free one)")
	flags.IntVar(&o.PubSubPort, "pubsub-port", 0, "port of Pub/Sub (default: any free one)")
	flags.IntVar(&o.FirestorePort, "firestore-port", 0, "port of Firestore (default: any free one)")
	flags.IntVar(&o.VertexPort, "vertex-port", 0, "port of the fake Vertex AI (default: any free one)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	o.Embedded, o.Say = *embedded, say
	if *logFile != "" {
		f, err := os.Create(*logFile)
		if err != nil {
			return fmt.Errorf("make log file: %w", err)
		}
		defer func() { _ = f.Close() }()
		o.Log = f
	}
	if *samples == "" {
		root, err := localstack.Root()
		if err != nil {
			return err
		}
		*samples = filepath.Join(root, "testdata", "requests")
	}
	requests, err := localstack.LoadSamples(*samples)
	if err != nil {
		return err
	}

	say("Starting the local stack.")
	start, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	stack, err := localstack.Start(start, o)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() { _ = stack.Stop() }()
	if err := statefile.Write(stack.State()); err != nil {
		say("  the CLI will not find this stack by itself: %v", err)
	} else {
		defer func() { _ = statefile.Remove() }()
	}

	say("\nPublishing %d sample requests from %s.", len(requests), *samples)
	tell, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	story := localstack.NewStory(stack, requests, say)
	told := story.Tell(tell)
	if ctx.Err() != nil {
		say("Stopping.")
		return nil
	}
	say("")
	wrong := errors.Join(told, story.Check(context.WithoutCancel(ctx), out))
	if wrong == nil {
		say("\nAll %d ended as their files say; nothing is held, nothing waits.", len(requests))
	}
	if *once {
		return wrong
	}
	if wrong != nil {
		say("\nNot as expected:\n%v", wrong)
	}
	say("\n%s", stack.Usage())
	<-ctx.Done()
	say("Stopping.")
	return nil
}
