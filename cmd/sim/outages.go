package main

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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/gcp"
	"example.com/berth/internal/sim"
)

// outages plays the outage matrix and prints it as a table. It does not return
// when it has played: virtual time comes from testing/synctest, which has to be
// called by a test, so the matrix is played by one and ends the process.
func outages(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) (bool, error) {
	only := flags.String("only", "", `only outages that begin so, for example "create, hang" (call, way, length)`)
	thin := flags.Bool("thin", false, "only those that stand for the others, as the tests play them")
	asJSON := flags.Bool("json", false, "print the verdicts as JSON, one a line")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() > 0 {
		return false, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var cells []sim.Outage
	for _, o := range sim.Matrix(*thin) {
		if strings.HasPrefix(o.String(), *only) {
			cells = append(cells, o)
		}
	}
	if len(cells) == 0 {
		return false, fmt.Errorf("no outage begins with %q", *only)
	}
	play := func(t *testing.T) {
		verdicts := playAll(ctx, t, cells, flags.Output())
		broken := tellOutages(out, verdicts, *asJSON)
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

// playAll plays outages on every core, and tells progress now and then.
func playAll(ctx context.Context, t *testing.T, cells []sim.Outage, progress io.Writer) []sim.Verdict {
	verdicts := make([]sim.Verdict, len(cells))
	work := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, told := 0, time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range work {
				t.Run(cells[i].String(), func(t *testing.T) {
					synctest.Test(t, func(*testing.T) { verdicts[i] = cells[i].Play(deployed) })
				})
				mu.Lock()
				if done++; time.Since(told) > 5*time.Second {
					told = time.Now()
					_, _ = fmt.Fprintf(progress, "%d of %d outages played\n", done, len(cells))
				}
				mu.Unlock()
			}
		})
	}
	for i := range cells {
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	wg.Wait()
	return verdicts
}

// deployed are the rules of the deployed client of Vertex AI.
func deployed(op, name, account string, code int, text string) error {
	return gcp.VertexError(op, name, account, status.Error(codes.Code(code), text)) // #nosec G115 -- one of sixteen
}

// tellOutages prints the verdicts and reports whether one has a problem.
func tellOutages(out io.Writer, verdicts []sim.Verdict, asJSON bool) (broken bool) {
	played, bad := 0, 0
	if !asJSON {
		_, _ = fmt.Fprintf(out, "%-10s %-20s %10s %10s %10s %7s %8s  %s\n", "call", "way", "length", "hand-over", "recovered", "alarms", "creates", "verdict")
	}
	for _, v := range verdicts {
		if v.Call == "" {
			continue // interrupted before it
		}
		played++
		if len(v.Problems) > 0 {
			bad++
		}
		if asJSON {
			_ = json.NewEncoder(out).Encode(v)
			continue
		}
		verdict := "as without it"
		if len(v.Problems) > 0 {
			verdict = fmt.Sprintf("%d PROBLEMS", len(v.Problems))
		}
		_, _ = fmt.Fprintf(out, "%-10s %-20s %10v %10v %10v %7d %8d  %s\n", v.Call, v.Way, v.Length,
			v.HandOver.Round(time.Second), v.Recovered.Round(time.Second), v.Alarms, v.Creates, verdict)
		for _, p := range v.Problems {
			_, _ = fmt.Fprintf(out, "           %s\n", p)
		}
	}
	if !asJSON {
		_, _ = fmt.Fprintf(out, "\n%d outages played, %d with problems\n", played, bad)
	}
	return bad > 0
}
