// Localstack runs all of Berth on this machine: the function under the real
// functions framework, Pub/Sub, the ledger, and a fake Vertex AI with one
// persistent resource. It uses Google's official emulators if they are
// installed, else embedded replacements, and prints which.
//
// It publishes the sample requests, prints their outcome events, and checks that
// each ended as its file says. With -once it then exits: 0 if all did, else 1.
// Without -once it stays up for further requests. With -traces it also shows what became
// of each request as an OpenTelemetry trace. Wrong usage, such as a port in
// use, ends with 2, an interrupt before the end with 130.
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
	"sync"
	"syscall"
	"time"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/statefile"
)

// Exit codes.
const (
	exitError       = 1 // something failed, or a request did not end as its file says
	exitUsage       = 2
	exitInterrupted = 130 // before the stack was up, or with -once before all had ended
)

// tracesWithin is how long the last spans may take. Those of a tick come when it has ended.
const tracesWithin = 20 * time.Second

func main() {
	if localstack.FunctionMain() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	localstack.Options
	once              bool
	requests, logFile string
	limit             time.Duration
}

// parse reads the command line. It writes the help only on request.
func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("localstack", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.once, "once", false, "run the sample requests, check their outcomes, and exit")
	flags.BoolVar(&o.Embedded, "embedded", false, "do not use the official emulators")
	flags.BoolVar(&o.Traces, "traces", false, "show the trace of each sample request, and the metrics")
	flags.StringVar(&o.requests, "requests", "", "folder of sample requests (default testdata/requests of this project)")
	flags.StringVar(&o.logFile, "log", "", "write the logs of all processes to this file")
	flags.DurationVar(&o.limit, "limit", 3*time.Minute, "with -once, give up after this long")
	flags.StringVar(&o.Project, "project", "berth-local", "project id")
	flags.IntVar(&o.FunctionPort, "port", 0, "port of the function (default: any free one)")
	flags.IntVar(&o.PubSubPort, "pubsub-port", 0, "port of Pub/Sub (default: any free one)")
	flags.IntVar(&o.FirestorePort, "firestore-port", 0, "port of Firestore (default: any free one)")
	flags.IntVar(&o.VertexPort, "vertex-port", 0, "port of the fake Vertex AI (default: any free one)")
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.Usage()
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case err == nil && o.limit <= 0:
		err = fmt.Errorf("-limit %s: want more than 0", o.limit)
	case err == nil && o.Project == "":
		err = errors.New("-project is empty")
	}
	return o, err
}

// run is the program. It returns the exit code; an error is one line.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	invalid := (*localstack.OptionError)(nil)
	if err != nil {
		err = fmt.Errorf("%w; see -help", err)
		invalid = &localstack.OptionError{}
	} else {
		err = play(ctx, o, out)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		_, _ = fmt.Fprintln(errs, "localstack: interrupted")
		return exitInterrupted
	case invalid != nil || errors.As(err, &invalid):
		_, _ = fmt.Fprintln(errs, "localstack:", err)
		return exitUsage
	}
	_, _ = fmt.Fprintln(errs, "localstack:", err)
	return exitError
}

func play(ctx context.Context, o options, out io.Writer) error {
	var mu sync.Mutex // restarts are printed from another goroutine
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(out, format+"\n", args...)
	}
	o.Say = say
	if err := statefile.Free(); errors.Is(err, statefile.ErrTaken) {
		return &localstack.OptionError{Problems: []string{err.Error() + "; name another one in " + statefile.Variable}}
	}
	if o.requests == "" {
		root, err := localstack.Root()
		if err != nil {
			return err
		}
		o.requests = filepath.Join(root, "testdata", "requests")
	}
	requests, err := localstack.LoadSamples(o.requests)
	if err != nil {
		return err
	}
	if o.logFile != "" {
		f, err := os.Create(o.logFile)
		if err != nil {
			return fmt.Errorf("make log file: %w", err)
		}
		defer func() { _ = f.Close() }()
		o.Log = f
	}

	say("Starting the local stack.")
	start, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	stack, err := localstack.Start(start, o.Options)
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() { _ = stack.Stop() }()
	statefile.Prune()
	switch err := statefile.Write(stack.State()); {
	case errors.Is(err, statefile.ErrTaken):
		return err
	case err != nil:
		say("  the CLI cannot find this stack: %v", err)
	default:
		defer func() { _ = statefile.Remove() }()
	}

	say("\nPublishing %d sample requests from %s.", len(requests), o.requests)
	limited, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	story := localstack.NewStory(stack, requests, say)
	unfinished := story.Run(limited)
	if ctx.Err() != nil {
		if o.once {
			return ctx.Err()
		}
		say("Stopping.")
		return nil
	}
	say("")
	wrong := errors.Join(unfinished, story.Check(context.WithoutCancel(ctx), out))
	if o.Traces {
		say("\nTraces: each span with how long it took, and when it began.")
		complete, end := context.WithTimeout(context.WithoutCancel(ctx), tracesWithin)
		defer end()
		wrong = errors.Join(wrong, story.ShowTraces(complete, out))
	}
	if wrong == nil {
		say("\nAll %d ended as their files say; no hold and no waiting request is left.", len(requests))
	}
	if o.once {
		return wrong
	}
	if wrong != nil {
		say("\nNot as expected:\n%v", wrong)
	}
	say("\n%s", stack.Usage())
	select {
	case <-ctx.Done():
		say("Stopping.")
		return nil
	case err := <-stack.Lost():
		return err
	}
}
