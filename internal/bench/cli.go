package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Exit codes of Main.
const (
	exitFine   = 0
	exitFailed = 1 // a measurement failed, or a count is outside its band
	exitUsage  = 2
)

const about = `Bench runs Berth with real processes and measures how fast it is and what a
request costs in calls, documents and money: see package bench. The table goes to
the standard output, progress to the standard error.

Measurements:
`

// Main is the program. It returns the exit code.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is one line, and the help is printed where it is asked for
	flags.Usage = func() {
		_, _ = fmt.Fprint(flags.Output(), about)
		for _, m := range measurements {
			_, _ = fmt.Fprintf(flags.Output(), "  %-11s %s\n", m.name, m.about)
		}
		_, _ = fmt.Fprint(flags.Output(), "\nFlags:\n")
		flags.PrintDefaults()
	}
	only := flags.String("only", "", "make these `measurements` only, comma-separated")
	isQuick := flags.Bool("quick", false, "counts only, and no long queues: about a minute")
	isFull := flags.Bool("full", false, "the largest bursts and queues too: about an hour")
	embedded := flags.Bool("embedded", false, "do not use official emulators")
	asJSON := flags.Bool("json", false, "print the figures as JSON")
	compare := flags.Bool("check", false, "as -quick, and hold the counts against "+bandsFile+": exit with 1 if one is outside its band")
	keep := flags.Bool("record", false, "as -quick, and add the counts to the runs in "+bandsFile+", of which the bands are made; remove the file first if the counts were to change")
	write := flags.Bool("write", false, "write the figures as the page "+resultsFile+", which deploy/measurements.md quotes")
	logFile := flags.String("log", "", "write the logs of all processes to this `file`")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(out)
			flags.Usage()
			return exitFine
		}
		_, _ = fmt.Fprintf(errOut, "bench: %v; see -help\n", err)
		return exitUsage
	}
	fail := func(code int, err error) int {
		_, _ = fmt.Fprintf(errOut, "bench: %v\n", err)
		return code
	}
	sc := normal
	switch {
	case flags.NArg() > 0:
		return fail(exitUsage, fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0)))
	case *isQuick && *isFull:
		return fail(exitUsage, errors.New("-quick and -full exclude each other; see -help"))
	case *write && (*only != "" || *isQuick || *compare || *keep):
		return fail(exitUsage, errors.New("-write is for a run of all measurements; see -help"))
	case *isFull && (*compare || *keep):
		return fail(exitUsage, errors.New("-check and -record are for the counts of -quick; see -help"))
	case *isQuick || *compare || *keep:
		sc = quick
	case *isFull:
		sc = full
	}
	chosen, err := choose(*only, sc)
	if err != nil {
		return fail(exitUsage, err)
	}
	log := io.Discard
	if *logFile != "" {
		f, err := os.Create(*logFile)
		if err != nil {
			return fail(exitUsage, fmt.Errorf("make log file: %w", err))
		}
		defer func() { _ = f.Close() }()
		log = f
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(errOut, format+"\n", args...) }
	report, failed := measure(ctx, options{sc, *embedded, log, say}, chosen)
	if report == nil {
		return fail(exitFailed, failed)
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = report.Print(out)
	}
	if err = errors.Join(failed, err); err != nil {
		return fail(exitFailed, err)
	}
	if *write {
		err = inRepository(resultsFile, func(path string) error { return writeResults(path, report, time.Now()) })
	}
	if *keep && err == nil {
		err = inRepository(bandsFile, func(file string) error { return record(file, report.Figures) })
	}
	if *compare && err == nil {
		err = inRepository(bandsFile, func(file string) error { return check(file, report.Figures, errOut) })
	}
	if err != nil {
		return fail(exitFailed, err)
	}
	return exitFine
}

// choose finds the measurements to make: those named, else all of the scale.
func choose(only string, sc scale) ([]measurement, error) {
	var chosen []measurement
	named := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, m := range measurements {
		if slices.Contains(named, m.name) || only == "" && (m.quick || sc != quick) {
			chosen = append(chosen, m)
		}
		named = slices.DeleteFunc(named, func(n string) bool { return n == m.name })
	}
	if len(named) > 0 {
		return nil, fmt.Errorf("-only: there is no measurement %q; see -help", named[0])
	}
	return chosen, nil
}
