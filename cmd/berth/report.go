package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"example.com/berth/internal/replay"
	"example.com/berth/internal/visible"
)

//go:embed report.html
var reportText string

// The template escapes what comes from the workload by where it stands.
var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) },
	"two":     func(x float64) string { return fmt.Sprintf("%.2f", x) },
	"whole":   func(x float64) string { return fmt.Sprintf("%.0f", x) },
	"text":    visible.Text,
}).Parse(reportText))

// charted are the policies of the charts; a chart of all of them cannot be read.
var charted = []replay.Policy{replay.Plan, replay.PlanLearned, replay.EasyExact}

// A chart is lines over time in one picture.
type chart struct {
	Title string
	Unit  string
	Lines []chartLine
	Marks []chartMark // of the vertical axis
	Days  []chartMark // of the horizontal axis
}

type chartLine struct {
	Policy replay.Policy
	Class  int
	Key    int // where its name stands
	Path   string
}

type chartMark struct {
	At    float64
	Label string
}

// Size of a chart in its own units, and the intervals of its lines.
const (
	chartWidth     = 900
	chartHeight    = 180
	chartIntervals = 300
)

// report is a page without scripts and outside resources.
func report(r *simulated, c *replay.Comparison, o replay.Options) ([]byte, error) {
	var span time.Duration
	series := map[replay.Policy]replay.Series{}
	for i := range c.Results {
		span = max(span, replay.Span(c.Jobs, c.Results[i].Start))
	}
	for i, p := range c.Policies {
		series[p.Policy] = replay.SeriesOf(c.Jobs, o.Pools, c.Results[i].Start, span, chartIntervals)
	}
	draw := func(title, unit string, scale float64, of func(replay.Series) []float64) chart {
		return newChart(title, unit, span, series, func(s replay.Series) []float64 {
			list := of(s)
			scaled := make([]float64, len(list))
			for i, v := range list {
				scaled[i] = v * scale
			}
			return scaled
		})
	}
	charts := []chart{
		draw("Replicas in use", "%", 100, func(s replay.Series) []float64 { return s.Used }),
		draw("Jobs that wait", "", 1, func(s replay.Series) []float64 { return s.Queued }),
		draw("Mean wait of the jobs by the time of their submission", "h", 1, func(s replay.Series) []float64 { return s.Waits }),
	}
	var b bytes.Buffer
	err := reportPage.Execute(&b, struct {
		*simulated
		Charts                []chart
		Width, Height         int
		ViewWidth, ViewHeight int
	}{r, charts, chartWidth, chartHeight, chartWidth + 80, chartHeight + 60})
	return b.Bytes(), err
}

func newChart(title, unit string, span time.Duration, series map[replay.Policy]replay.Series, of func(replay.Series) []float64) chart {
	c := chart{Title: title, Unit: unit}
	top := 0.
	for _, p := range charted {
		for _, v := range of(series[p]) {
			top = max(top, v)
		}
	}
	step := niceStep(top / 4)
	top = step * max(1, math.Ceil(top/step))
	for v := 0.; v <= top+step/2; v += step {
		c.Marks = append(c.Marks, chartMark{chartHeight * (1 - v/top), strings.TrimSpace(fmt.Sprintf("%g %s", v, unit))})
	}
	every := niceStep(span.Hours() / 24 / 8)
	for day := 0.; day <= span.Hours()/24; day += every {
		c.Days = append(c.Days, chartMark{chartWidth * day * 24 / max(span.Hours(), 1e-9), fmt.Sprintf("%g d", day)})
	}
	for i, p := range charted {
		c.Lines = append(c.Lines, chartLine{p, i, 150 * i, chartPath(of(series[p]), top)})
	}
	return c
}

// chartPath is the path of a line; it is broken where a value is negative.
func chartPath(values []float64, top float64) string {
	var b strings.Builder
	broken := true
	for i, v := range values {
		if v < 0 {
			broken = true
			continue
		}
		command := 'L'
		if broken {
			command = 'M'
		}
		broken = false
		fmt.Fprintf(&b, "%c%.1f %.1f", command, (float64(i)+.5)*chartWidth/float64(len(values)), chartHeight*(1-v/top))
	}
	return b.String()
}

// niceStep is 1, 2 or 5 times a power of ten, no less than a value.
func niceStep(value float64) float64 {
	if value <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(value)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= value {
			return m * power
		}
	}
	return 10 * power
}
