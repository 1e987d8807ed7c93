package sim

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// outagesMain plays the outage matrix and prints it as a table. It does not return
// after that: virtual time comes from testing/synctest, which only a test can call,
// so a test plays the matrix and ends the process.
func outagesMain(ctx context.Context, flags *flag.FlagSet, args []string, out, errs io.Writer, rules Rules) (bool, error) {
	only := flags.String("only", "", `only outages that begin so, for example "create, hang" (call, way, length)`)
	thin := flags.Bool("thin", false, "only those that represent the others, as in the tests")
	asJSON := flags.Bool("json", false, "print the verdicts as JSON, one a line")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() > 0 {
		return false, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var cells []Outage
	for _, o := range Matrix(*thin) {
		if strings.HasPrefix(o.String(), *only) {
			cells = append(cells, o)
		}
	}
	if len(cells) == 0 {
		return false, fmt.Errorf("no outage begins with %q", *only)
	}
	play := func(t *testing.T) {
		broken := playAll(ctx, t, cells, rules, newTeller(out, errs, *asJSON, len(cells)))
		switch {
		case ctx.Err() != nil:
			os.Exit(130)
		case broken:
			os.Exit(1)
		}
		os.Exit(0)
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "outages", F: play}}, nil, nil)
	return false, nil
}

// playAll plays outages on every core, and reports whether one has a problem.
func playAll(ctx context.Context, t *testing.T, cells []Outage, rules Rules, print *printer) bool {
	work := make(chan Outage)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for o := range work {
				var v Verdict
				t.Run(o.String(), func(t *testing.T) {
					synctest.Test(t, func(*testing.T) { v = o.Play(rules) })
				})
				print.verdict(v)
			}
		})
	}
	for _, o := range cells {
		if ctx.Err() != nil {
			break
		}
		work <- o
	}
	close(work)
	wg.Wait()
	return print.end()
}

// A printer prints verdicts as they arrive.
type printer struct {
	out, progress io.Writer
	asJSON        bool
	all           int

	mu          sync.Mutex
	played, bad int
	reported    time.Time
}

func newTeller(out, progress io.Writer, asJSON bool, all int) *printer {
	if !asJSON {
		_, _ = fmt.Fprintf(out, "%-10s %-20s %10s %10s %10s %7s %8s  %s\n", "call", "way", "length", "hand-over", "recovered", "alarms", "creates", "verdict")
	}
	return &printer{out: out, progress: progress, asJSON: asJSON, all: all, reported: time.Now()}
}

func (t *printer) verdict(v Verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.played++
	verdict := "as without it"
	if len(v.Problems) > 0 {
		t.bad++
		verdict = fmt.Sprintf("%d PROBLEMS", len(v.Problems))
	}
	if time.Since(t.reported) > 5*time.Second {
		t.reported = time.Now()
		_, _ = fmt.Fprintf(t.progress, "%d of %d outages played\n", t.played, t.all)
	}
	if t.asJSON {
		_ = json.NewEncoder(t.out).Encode(v)
		return
	}
	_, _ = fmt.Fprintf(t.out, "%-10s %-20s %10v %10v %10v %7d %8d  %s\n", v.Call, v.Way, v.Length,
		v.HandOver.Round(time.Second), v.Recovered.Round(time.Second), v.Alarms, v.Creates, verdict)
	for _, p := range v.Problems {
		_, _ = fmt.Fprintf(t.out, "           %s\n", p)
	}
}

// end prints the sum and reports whether one had a problem.
func (t *printer) end() bool {
	if !t.asJSON {
		_, _ = fmt.Fprintf(t.out, "\n%d outages played, %d with problems\n", t.played, t.bad)
	}
	return t.bad > 0
}
