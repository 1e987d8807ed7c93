// Sim looks for a schedule that breaks one of Berth's promises: the real
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
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/berth/internal/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

const usage = `Usage: sim explore [flags]   run every schedule of the small worlds within bounds
       sim storm [flags]     make random runs
       sim replay [flags] SCHEDULE   run one schedule again, as a finding prints it
       sim outages [flags]   play the outage matrix, and print it as a table
Each has -help.`

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 || args[0] == "-help" || args[0] == "--help" || args[0] == "-h" {
		_, _ = fmt.Fprintln(errs, usage)
		return map[bool]int{true: 2, false: 0}[len(args) == 0]
	}
	verb, ok := map[string]func(context.Context, *flag.FlagSet, []string, io.Writer) (bool, error){
		"explore": explore, "storm": storm, "replay": replay, "outages": outages,
	}[args[0]]
	if !ok {
		_, _ = fmt.Fprintf(errs, "sim: no such verb: %q\n%s\n", args[0], usage)
		return 2
	}
	flags := flag.NewFlagSet("sim "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, and the help is printed where it is asked for
	broken, err := verb(ctx, flags, args[1:], out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.Usage()
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(errs, "sim: %v; see sim %s -help\n", err, args[0])
		return 2
	case broken:
		return 1
	}
	return 0
}

// explore runs the scenarios one after the other on each core.
func explore(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
	delays := flags.Int("delays", 1, "delays per schedule, at most")
	faults := flags.Int("faults", 1, "faults per schedule, at most")
	limit := flags.Duration("for", 0, "stop after this long (0: when done)")
	only := flags.String("scenario", "", "only scenarios whose name contains this")
	asJSON := flags.Bool("json", false, "print the counts as JSON")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all sim.Counts
	broken, cut := false, 0
	began := time.Now()
	work := make(chan sim.Scenario)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range work {
				counts, finding, err := sim.Explore(ctx, s, sim.Bounds{Delays: *delays, Faults: *faults})
				mu.Lock()
				all.Add(counts)
				state := ""
				if err != nil {
					cut++
					state = "  (cut short)"
				}
				if !*asJSON {
					_, _ = fmt.Fprintf(out, "%-40s %8d schedules %9d states %10d steps%s\n", s.Name, counts.Schedules, counts.States, counts.Steps, state)
				}
				if finding != nil {
					broken = true
					tell(out, sim.Shrink(s, finding), "")
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range sim.Scenarios() {
		if strings.Contains(s.Name, *only) {
			work <- s
		}
	}
	close(work)
	wg.Wait()
	conclude(out, *asJSON, all, time.Since(began), broken)
	if cut > 0 && !*asJSON {
		_, _ = fmt.Fprintf(out, "%d scenarios were cut short\n", cut)
	}
	return broken, nil
}

// storm makes random runs on every core, each with its own row of seeds.
func storm(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
	length := flags.Duration("for", time.Minute, "how long")
	seed := flags.Uint64("seed", 0, "first seed (0: random)")
	messages := flags.Int("messages", 60, "messages per run, about")
	rates := sim.DefaultRates
	flags.Float64Var(&rates.Delay, "delay-rate", rates.Delay, "share of decisions that delay")
	flags.Float64Var(&rates.Fault, "fault-rate", rates.Fault, "share of calls that go wrong")
	asJSON := flags.Bool("json", false, "print the counts as JSON")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 40) // #nosec G404 -- it is printed and can be given again
	}
	ctx, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	if !*asJSON {
		_, _ = fmt.Fprintf(out, "seed %d, %d messages a run, %d cores, for %v\n", *seed, *messages, runtime.GOMAXPROCS(0), *length)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all sim.Counts
	broken := false
	began, told := time.Now(), time.Now()
	cores := uint64(runtime.GOMAXPROCS(0)) // #nosec G115 -- a number of cores
	for core := range cores {
		wg.Go(func() {
			_, at, finding := sim.Storm(ctx, *seed+core, cores, *messages, rates, func(c sim.Counts) {
				mu.Lock()
				defer mu.Unlock()
				all.Add(c)
				if !*asJSON && time.Since(told) > 10*time.Second {
					told = time.Now()
					_, _ = fmt.Fprintf(out, "%5.0fs %8d runs %10d steps\n", time.Since(began).Seconds(), all.Schedules, all.Steps)
				}
			})
			if finding != nil {
				mu.Lock()
				defer mu.Unlock()
				broken = true
				tell(out, sim.Shrink(sim.RandomScenario(at, *messages), finding), fmt.Sprintf("-seed %d -messages %d ", at, *messages))
				cancel()
			}
		})
	}
	wg.Wait()
	conclude(out, *asJSON, all, time.Since(began), broken)
	return broken, nil
}

func replay(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
	name := flags.String("scenario", "", "name of the scenario")
	seed := flags.Uint64("seed", 0, "or the seed of a random one")
	messages := flags.Int("messages", 60, "messages of the random one")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	s := sim.RandomScenario(*seed, *messages)
	if *name != "" {
		s = sim.Scenario{}
		for _, other := range sim.Scenarios() {
			if other.Name == *name {
				s = other
			}
		}
		if s.Name == "" {
			return false, fmt.Errorf("no scenario is called %q", *name)
		}
	}
	schedule, err := parse(strings.Join(flags.Args(), " "))
	if err != nil {
		return false, err
	}
	f := sim.Replay(s, schedule)
	if f == nil {
		_, _ = fmt.Fprintln(out, "no promise was broken")
		return false, nil
	}
	tell(out, f, "")
	return true, nil
}

// parse reads a schedule as it is printed: [3:fail 17:delay].
func parse(text string) (schedule sim.Schedule, err error) {
	for _, part := range strings.Fields(strings.Trim(text, "[] ")) {
		at, action, ok := strings.Cut(part, ":")
		n, err := strconv.Atoi(at)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not a deviation; want number:action", part)
		}
		schedule = append(schedule, sim.Deviation{At: n, Action: sim.Action(action)})
	}
	return schedule, nil
}

func tell(out io.Writer, f *sim.Finding, how string) {
	_, _ = fmt.Fprintf(out, "\nBROKEN in %s:\n", f.Scenario)
	for _, v := range f.Violations {
		_, _ = fmt.Fprintf(out, "  %v\n", v)
	}
	if how == "" {
		how = "-scenario " + strconv.Quote(f.Scenario) + " "
	}
	_, _ = fmt.Fprintf(out, "schedule: sim replay %s'%v'\n", how, f.Schedule)
	for _, line := range f.Trace {
		_, _ = fmt.Fprintln(out, " ", line)
	}
}

func conclude(out io.Writer, asJSON bool, all sim.Counts, took time.Duration, broken bool) {
	if asJSON {
		_ = json.NewEncoder(out).Encode(struct {
			sim.Counts
			Seconds float64 `json:"seconds"`
			Broken  bool    `json:"broken"`
		}{all, took.Seconds(), broken})
		return
	}
	verdict := "no promise was broken"
	if broken {
		verdict = "A PROMISE WAS BROKEN"
	}
	states := ""
	if all.States > 0 { // random runs do not tell states apart
		states = fmt.Sprintf("%d distinct states, ", all.States)
	}
	_, _ = fmt.Fprintf(out, "\n%d schedules, %s%d steps in %.0fs; %s\n", all.Schedules, states, all.Steps, took.Seconds(), verdict)
	for _, a := range []sim.Action{sim.Delay, sim.Crash, sim.DoNothing, sim.DoAndFail, sim.DoAndRecheck, sim.RateLimit} {
		_, _ = fmt.Fprintf(out, "  %-14s %d\n", a, all.Faults[a])
	}
}
