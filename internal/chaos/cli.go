package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"example.com/berth/internal/localstack/emulator"
)

// Exit codes of Main.
const (
	exitFine      = 0
	exitViolation = 1
	exitUsage     = 2 // also for a run that could not be made, and so shows nothing
)

const about = `Chaos runs Berth against the official Firestore and Pub/Sub emulators and a fake
Vertex AI in a process of its own, publishes a seeded mix of requests, and
injects faults meanwhile: it kills processes, lets calls fail before and after they
are carried out, delivers messages twice, late and out of order, and takes machines
away. Then it waits until everything is at rest, and compares what was published, what
is stored, which jobs there are, and what was logged.

It exits with 0 if nothing is wrong, with 1 if a promise was broken, and with 2
if it could not be run.

`

// Main is the program. It returns the exit code.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, and the help is printed where it is asked for
	flags.Usage = func() {
		_, _ = fmt.Fprint(flags.Output(), about, "Flags:\n")
		flags.PrintDefaults()
	}
	o := Options{}
	flags.Uint64Var(&o.Seed, "seed", 0, "what to publish and which faults to inject (default: drawn and printed)")
	flags.IntVar(&o.Requests, "requests", 150, "`number` of requests in a wave")
	flags.DurationVar(&o.For, "for", 0, "publish one wave after another until this `time` is over (default: one wave)")
	flags.IntVar(&o.Instances, "instances", 2, "`number` of function processes")
	flags.DurationVar(&o.KillEvery, "kill-every", 2*time.Second, "mean `time` between two kills")
	flags.Float64Var(&o.FaultRate, "fault-rate", 0.03, "`share` of calls that go wrong, 0 to 0.05; ten times as many creates")
	asJSON := flags.Bool("json", false, "print the report as JSON; progress goes to the standard error")
	verbose := flags.Bool("v", false, "print every single kill")
	logFile := flags.String("log", "", "write the logs of all processes to this `file`")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(out)
			flags.Usage()
			return exitFine
		}
		_, _ = fmt.Fprintf(errOut, "chaos: %v; see -help\n", err)
		return exitUsage
	}
	if err := check(flags, o); err != nil {
		_, _ = fmt.Fprintf(errOut, "chaos: %v; see -help\n", err)
		return exitUsage
	}
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == "seed" })
	if !given {
		o.Seed = uint64(rand.Uint32()) // #nosec G404 -- a game, not a secret
	}
	progress := out
	if *asJSON {
		progress = errOut
	}
	var mu sync.Mutex
	o.Say = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(progress, format+"\n", args...)
	}
	if *verbose {
		o.Report = o.Say
	}
	if *logFile != "" {
		f, err := os.Create(*logFile)
		if err != nil {
			_, _ = fmt.Fprintf(errOut, "chaos: make log file: %v\n", err)
			return exitUsage
		}
		defer func() { _ = f.Close() }()
		o.Log = f
	}
	o.Say("Seed %d. The same again: go run ./cmd/chaos -seed %d -requests %d", o.Seed, o.Seed, o.Requests)
	report, err := Run(ctx, o)
	switch {
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(errOut, "chaos: interrupted; nothing was judged")
		return exitUsage
	case errors.Is(err, emulator.ErrNotInstalled):
		_, _ = fmt.Fprintf(errOut, "chaos: %v\nInstall them: gcloud components install cloud-firestore-emulator pubsub-emulator, and Java.\n", err)
		return exitUsage
	case err != nil:
		_, _ = fmt.Fprintf(errOut, "chaos: %v\n", err)
		return exitUsage
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		o.Say("")
		err = report.Print(out)
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintf(errOut, "chaos: print the report: %v\n", err)
		return exitUsage
	case len(report.Violations) > 0:
		return exitViolation
	}
	return exitFine
}

// check reports the first thing that is wrong with the flags.
func check(flags *flag.FlagSet, o Options) error {
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.Requests < 1 || o.Requests > 10_000:
		return fmt.Errorf("-requests %d: want 1 to 10000", o.Requests)
	case o.Instances < 2 || o.Instances > 16:
		return fmt.Errorf("-instances %d: want 2 to 16", o.Instances)
	case o.KillEvery < 100*time.Millisecond:
		return fmt.Errorf("-kill-every %s: want 100ms or more", o.KillEvery)
	case o.FaultRate < 0 || o.FaultRate > 0.05:
		return fmt.Errorf("-fault-rate %g: want 0 to 0.05", o.FaultRate)
	case o.For < 0:
		return fmt.Errorf("-for %s: want no less than 0", o.For)
	}
	return nil
}
