package sim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const usage = `Usage: sim explore [flags]   run every schedule of the small worlds within bounds
       sim storm [flags]     make random runs
       sim replay [flags] SCHEDULE   run one schedule again, as a finding prints it
       sim outages [flags]   play the outage matrix, and print it as a table
Each has -help.`

// Exit codes of Main.
const (
	exitFine   = 0
	exitBroken = 1 // a promise was broken
	exitUsage  = 2
)

// Main runs the program and returns its exit code. The verb outages does not
// return, see outagesMain; rules are for it.
func Main(ctx context.Context, args []string, out, errs io.Writer, rules Rules) int {
	if len(args) == 0 || args[0] == "-help" || args[0] == "--help" || args[0] == "-h" {
		_, _ = fmt.Fprintln(errs, usage)
		if len(args) == 0 {
			return exitUsage
		}
		return exitFine
	}
	verb, ok := map[string]func(context.Context, *flag.FlagSet, []string, io.Writer) (bool, error){
		"explore": exploreMain, "storm": stormMain, "replay": replayMain,
		"outages": func(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
			return outagesMain(ctx, flags, args, out, errs, rules)
		},
	}[args[0]]
	if !ok {
		_, _ = fmt.Fprintf(errs, "sim: no such verb: %q\n%s\n", args[0], usage)
		return exitUsage
	}
	flags := flag.NewFlagSet("sim "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, and the help is printed on request
	broken, err := verb(ctx, flags, args[1:], out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.Usage()
		return exitFine
	case err != nil:
		_, _ = fmt.Fprintf(errs, "sim: %v; see sim %s -help\n", err, args[0])
		return exitUsage
	case broken:
		return exitBroken
	}
	return exitFine
}

// exploreMain runs the scenarios one after the other on each core.
func exploreMain(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
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
	var all Counts
	broken, cut := false, 0
	began := time.Now()
	work := make(chan Scenario)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range work {
				counts, finding, err := Explore(ctx, s, Bounds{Delays: *delays, Faults: *faults})
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
					printFinding(out, Shrink(s, finding), "")
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range Scenarios() {
		if strings.Contains(s.Name, *only) {
			work <- s
		}
	}
	close(work)
	wg.Wait()
	printCounts(out, *asJSON, all, time.Since(began), broken)
	if cut > 0 && !*asJSON {
		_, _ = fmt.Fprintf(out, "%d scenarios were cut short\n", cut)
	}
	return broken, nil
}

// stormMain makes random runs on every core, each with its own row of seeds.
func stormMain(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
	length := flags.Duration("for", time.Minute, "how long")
	seed := flags.Uint64("seed", 0, "first seed (0: random)")
	messages := flags.Int("messages", 60, "messages per run, about")
	rates := DefaultRates
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
	var all Counts
	broken := false
	began, printed := time.Now(), time.Now()
	cores := uint64(runtime.GOMAXPROCS(0)) // #nosec G115 -- a number of cores
	for core := range cores {
		wg.Go(func() {
			_, at, finding := Storm(ctx, *seed+core, cores, *messages, rates, func(c Counts) {
				mu.Lock()
				defer mu.Unlock()
				all.Add(c)
				if !*asJSON && time.Since(printed) > 10*time.Second {
					printed = time.Now()
					_, _ = fmt.Fprintf(out, "%5.0fs %8d runs %10d steps\n", time.Since(began).Seconds(), all.Schedules, all.Steps)
				}
			})
			if finding != nil {
				mu.Lock()
				defer mu.Unlock()
				broken = true
				// Making it shorter plays hundreds of runs.
				_, _ = fmt.Fprintf(out, "seed %d: %s; looking for a shorter schedule\n", at, finding.Violations[0])
				printFinding(out, Shrink(RandomScenario(at, *messages), finding), fmt.Sprintf("-seed %d -messages %d ", at, *messages))
				cancel()
			}
		})
	}
	wg.Wait()
	printCounts(out, *asJSON, all, time.Since(began), broken)
	return broken, nil
}

func replayMain(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
	name := flags.String("scenario", "", "name of the scenario")
	seed := flags.Uint64("seed", 0, "or the seed of a random one")
	messages := flags.Int("messages", 60, "messages of the random one")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	s := RandomScenario(*seed, *messages)
	if *name != "" {
		s = Scenario{}
		for _, other := range Scenarios() {
			if other.Name == *name {
				s = other
			}
		}
		if s.Name == "" {
			return false, fmt.Errorf("no scenario is called %q", *name)
		}
	}
	schedule, err := parseSchedule(strings.Join(flags.Args(), " "))
	if err != nil {
		return false, err
	}
	f := Replay(s, schedule)
	if f == nil {
		_, _ = fmt.Fprintln(out, "no promise was broken")
		return false, nil
	}
	printFinding(out, f, "")
	return true, nil
}

// parseSchedule reads a schedule as it is printed: [3:fail 17:delay].
func parseSchedule(text string) (schedule Schedule, err error) {
	for _, part := range strings.Fields(strings.Trim(text, "[] ")) {
		at, action, ok := strings.Cut(part, ":")
		n, err := strconv.Atoi(at)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not a deviation; want number:action", part)
		}
		schedule = append(schedule, Deviation{At: n, Action: Action(action)})
	}
	return schedule, nil
}

func printFinding(out io.Writer, f *Finding, how string) {
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

func printCounts(out io.Writer, asJSON bool, all Counts, took time.Duration, broken bool) {
	if asJSON {
		_ = json.NewEncoder(out).Encode(struct {
			Counts
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
	if all.States > 0 { // random runs do not count states
		states = fmt.Sprintf("%d distinct states, ", all.States)
	}
	_, _ = fmt.Fprintf(out, "\n%d schedules, %s%d steps in %.0fs; %s\n", all.Schedules, states, all.Steps, took.Seconds(), verdict)
	for _, a := range []Action{Delay, Crash, DoNothing, DoAndFail, DoAndRecheck, RateLimit} {
		_, _ = fmt.Fprintf(out, "  %-14s %d\n", a, all.Faults[a])
	}
}
