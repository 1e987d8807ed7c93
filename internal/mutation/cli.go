package mutation

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/localstack/emulator"
)

const usage = `Usage: mutate [flags] [package ...]

Puts one small bug at a time into the source of the packages, by an overlay, runs
the quick tests on each, and says which of the bugs they let live. Packages are
folders below the module's root, such as internal/ledger; without any, all of
these: %s.

Accepted survivors stand in the file of -accepted, each with its reason; they are
not run. Exit codes: 0 the score is at least -want, 1 it is lower, an accepted
survivor is not in the source any more, or a test fails without any change, 2 wrong
usage.

`

// Main is the command. It returns the exit code.
func Main(ctx context.Context, args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(errs)
	sample := flags.Int("sample", 50, "how many mutants to draw; 0 for all, which takes hours")
	seed := flags.Uint64("seed", 0, "draws the same sample again from the same source; 0 for another each time")
	only := flags.String("only", "", "only mutants whose description (file, function, operator, source) matches this regular expression")
	limit := flags.Duration("limit", 3*time.Minute, "how long one step of the tests may take for one mutant; ten times the unchanged run is the bound below that")
	whole := flags.Duration("for", 0, "begin no mutant after this long; 0 for no end")
	most := flags.Int("steps", 0, "run only so many steps of the tests for each mutant, the fastest first; 0 for all")
	want := flags.Float64("want", 90, "the score in percent that is good enough")
	accepted := flags.String("accepted", "testdata/mutation/survivors.txt", "file of accepted survivors, from the module's root")
	list := flags.Bool("list", false, "print the mutants that would be run and the stale entries of the file, and run none")
	score := flags.String("score", "", "put the score of each package into this file, from the module's root, beside those of other packages")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	flags.Usage = func() {
		var names []string
		for _, t := range Targets {
			names = append(names, path.Base(t.Package))
		}
		_, _ = fmt.Fprintf(errs, usage, strings.Join(names, ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	wrong := func(err error) int {
		_, _ = fmt.Fprintln(errs, "mutate:", err)
		return 2
	}
	root, err := moduleRoot()
	if err != nil {
		return wrong(err)
	}
	s := &Survey{Runner: &Runner{Root: root, Limit: *limit}, Sample: *sample, Seed: *seed, For: *whole, Progress: errs}
	if s.Targets, err = targets(flags.Args()); err != nil {
		return wrong(err)
	}
	if *most > 0 {
		for i, t := range s.Targets {
			s.Targets[i].Steps = t.Steps[:min(*most, len(t.Steps))]
		}
	}
	if *only != "" {
		if s.Only, err = regexp.Compile(*only); err != nil {
			return wrong(err)
		}
	}
	if s.Seed == 0 {
		s.Seed = rand.Uint64() >> 40 //nolint:gosec // chooses a sample
	}
	file, err := os.Open(filepath.Join(root, *accepted))
	if err != nil {
		return wrong(err)
	}
	s.Accepted, err = ReadAccepted(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return wrong(fmt.Errorf("%s: %w", *accepted, err))
	}
	if *list {
		return s.list(ctx, out, errs)
	}
	stop := s.shareEmulators(ctx)
	defer stop()
	r, err := s.Run(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "mutate:", err)
		return 1
	}
	if *asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		_ = enc.Encode(r) // who reads it has gone
	} else {
		r.print(out)
	}
	if *score != "" {
		command := fmt.Sprintf("go run ./cmd/mutate -sample %d -seed %d", *sample, r.Seed)
		if *most > 0 {
			command += fmt.Sprintf(" -steps %d", *most)
		}
		if *only != "" {
			command += fmt.Sprintf(" -only '%s'", *only)
		}
		for _, a := range flags.Args() {
			command += " " + a
		}
		if err := WriteScore(filepath.Join(root, *score), r, *most, command); err != nil {
			return wrong(err)
		}
	}
	return r.code(*want)
}

// code is the exit code of a survey. A stale entry fails it, because a reason that
// nobody can check may stand in for a bug that lives.
func (r *Report) code(want float64) int {
	if r.Total.Score < want || len(r.Stale) > 0 {
		return 1
	}
	return 0
}

// shareEmulators starts the emulators once for all mutants of packages whose tests
// need them: starting them takes longer than the tests. Where they are not
// installed, or are given, tests do as they always do.
func (s *Survey) shareEmulators(ctx context.Context) (stop func()) {
	var stops []func() error
	if slices.ContainsFunc(s.Targets, func(t Target) bool {
		return slices.ContainsFunc(t.Steps, func(s Step) bool { return slices.Contains(s.Packages, "internal/gcp") })
	}) {
		for name, start := range map[string]func(context.Context, emulator.Options) (*emulator.Emulator, error){
			"FIRESTORE_EMULATOR_HOST": emulator.StartFirestore, "PUBSUB_EMULATOR_HOST": emulator.StartPubSub,
		} {
			if os.Getenv(name) != "" {
				continue
			}
			if e, err := start(ctx, emulator.Options{StartTimeout: time.Minute}); err == nil {
				s.Runner.Env = append(s.Runner.Env, name+"="+e.Host())
				stops = append(stops, e.Stop)
			}
		}
	}
	return func() {
		for _, stop := range stops {
			_ = stop() // the process ends with this one anyway
		}
	}
}

func (s *Survey) list(ctx context.Context, out, errs io.Writer) int {
	sample, r, err := s.Draw(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "mutate:", err)
		return 1
	}
	for _, m := range sample {
		_, _ = fmt.Fprintln(out, m)
	}
	r.printStale(errs)
	return r.code(0)
}

// print is the report for people. Survivors stand as the file of accepted ones
// takes them.
func (r *Report) print(out io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	for _, v := range r.Verdicts {
		if v.Result == Lived {
			p("%s    # line %d, %s\n", v.entry(), v.Line, v.Operator)
		}
	}
	r.printStale(out)
	p("%-22s %8s %8s %8s %8s %8s %8s\n", "package", "mutants", "run", "killed", "lived", "accepted", "score")
	row := func(name string, c Counts) {
		p("%-22s %8d %8d %8d %8d %8d %7.1f%%\n", name, c.Mutants, c.Run, c.Killed, c.Lived, c.Accepted, c.Score)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Packages)) {
		row(name, r.Packages[name])
	}
	row("all", r.Total)
	p("seed %d", r.Seed)
	if r.Cut {
		p(", cut short")
	}
	p("\n")
}

func (r *Report) printStale(out io.Writer) {
	for _, s := range r.Stale {
		_, _ = fmt.Fprintf(out, "stale, no change of the source is this one any more: %s\n", s)
	}
}

// targets returns those that the arguments name.
func targets(args []string) ([]Target, error) {
	if len(args) == 0 {
		return slices.Clone(Targets), nil
	}
	var chosen []Target
	for _, a := range args {
		name := strings.TrimPrefix(path.Clean(a), "./")
		i := slices.IndexFunc(Targets, func(t Target) bool { return t.Package == name || path.Base(t.Package) == name })
		if i < 0 {
			return nil, fmt.Errorf("no package %q is surveyed", a)
		}
		chosen = append(chosen, Targets[i])
	}
	return chosen, nil
}

// moduleRoot is the nearest folder upwards with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run it inside the module")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
