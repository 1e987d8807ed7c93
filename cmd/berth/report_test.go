package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/replay"
)

func TestNiceStep(t *testing.T) {
	for value, want := range map[float64]float64{0: 1, -3: 1, .1: .1, .11: .2, 1: 1, 1.5: 2, 2.1: 5, 6: 10, 99: 100, 240: 500} {
		if got := niceStep(value); got < want*.999 || got > want*1.001 {
			t.Errorf("niceStep(%v) = %v, want %v", value, got, want)
		}
	}
}

// A line is broken where there is no value.
func TestChartPath(t *testing.T) {
	if got := chartPath([]float64{0, 2, -1, 4}, 4); got != "M112.5 180.0L337.5 90.0M787.5 0.0" {
		t.Errorf("path %s", got)
	}
}

// The report of a workload whose names are hostile is well-formed, has a line of each
// charted policy in each chart, and no more than its own text.
func TestReport(t *testing.T) {
	hostile := `"><img src=x onerror=alert(1)></td></script>` + "\x1b[2J"
	jobs := []replay.Job{
		{ID: hostile, Tenant: hostile, Pool: hostile, Replicas: 1, Run: time.Hour, Limit: time.Hour},
		{Tenant: "b", Pool: hostile, Replicas: 1, Run: 3 * time.Hour, Limit: 4 * time.Hour}}
	o := replay.Options{Pools: []replay.Pool{{Name: hostile, Replicas: 1}}, Plan: replay.TablePlan, Gang: 2}
	c, err := replay.Compare(jobs, replay.Policies, replay.Noise{}, o)
	if err != nil {
		t.Fatal(err)
	}
	r := simulated{Pools: o.Pools, Replicas: 1, Jobs: 2, Seeds: 1}
	for _, p := range c.Policies {
		r.Scores = append(r.Scores, simulatedPolicy{Compared: p})
	}
	page, err := report(&r, &c, o)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	if strings.Contains(text, "<img") || strings.Contains(text, "\x1b") || strings.Contains(text, "<script") || !strings.Contains(text, "&gt;&lt;img src=x") {
		t.Error("a name of the workload is not escaped")
	}
	if n := strings.Count(text, `<path class="line `); n != 9 || strings.Count(text, "<svg ") != 3 {
		t.Errorf("%d lines, want three in each of three charts", n)
	}
	// The pool is full for four hours; one job waits for one of them.
	if !strings.Contains(text, `<td>plan</td><td>30m</td><td>1.00</td>`) {
		t.Error("the mean wait of the plan is missing")
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

// Progress is a line now and then without a terminal, a bar with one, and stops with
// the user's interrupt.
func TestProgress(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	p := newProgress(&globals{ctx: ctx, err: &out}, 200)
	p.what = "12 replicas: "
	if !p.add(50) || out.Len() > 0 {
		t.Errorf("too soon: %q", &out)
	}
	p.printed = p.printed.Add(-time.Minute)
	if !p.add(50) || !strings.HasPrefix(out.String(), "12 replicas: 50 %, ") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("half-way: %q", &out)
	}
	if p.end(); strings.Count(out.String(), "\n") != 1 {
		t.Errorf("at the end: %q", &out)
	}
	out.Reset()
	p.terminal, p.printed = true, p.printed.Add(-time.Minute)
	if p.add(50); !strings.HasPrefix(out.String(), "\r12 replicas: [##############################..........]  75 %, ") {
		t.Errorf("on a terminal: %q", &out)
	}
	if p.end(); !strings.HasSuffix(out.String(), "\r") {
		t.Errorf("the bar stays: %q", &out)
	}
	if cancel(); p.add(1) {
		t.Error("goes on after an interrupt")
	}
}

func TestUnfinished(t *testing.T) {
	for err, want := range map[error]int{replay.ErrStopped: exitInterrupted, replay.ErrTooLong: exitUsage} {
		if q := (*quit)(nil); !errors.As(unfinished(err), &q) || q.code != want {
			t.Errorf("%v ends with %v, want code %d", err, unfinished(err), want)
		}
	}
}
