package html

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/statuspage"
)

// A chart is the use of one shape over time, as stepped areas against the limit, and the
// requests that waited as a line below. The drawing is width by height units, which the
// page stretches; words are placed by percentages, so that they are not.
type chart struct {
	ID          string
	Shape       string
	Machine     string
	Resource    string
	Label       string // says what the drawing shows
	Width       string
	Areas       []area
	Limit       string // a path
	Machines    string // a path; "" if they are the limit
	Waiting     string // a path
	Top         string // what the upper edge stands for
	MostWaiting string
	Ticks       []tick
	Sums        []fact
	Rows        []chartRow
	Step        string // what a row of the table is
}

// An area is the use of one kind.
type area struct{ Kind, Path string }

// A tick is a moment below the drawing.
type tick struct{ X, Text string }

// A chartRow is a row of the table: means of one stretch of time.
type chartRow struct {
	From                                        when
	Ours, Foreign, Unexplained, Machines, Limit string
	Waiting, MostWaiting, Observed              string
}

const (
	plotHeight    = 96.0
	waitingHeight = 28.0
	headroom      = 2.0 // above the highest line, so that it is not cut in half
)

// A step is a level from one minute to another.
type step struct{ from, to, value float64 }

func chartOf(id string, u statuspage.Usage, s statuspage.ShapeUsage) chart {
	minutes := func(t time.Time) float64 { return t.Sub(u.From).Minutes() }
	width := max(1, minutes(u.To))
	c := chart{ID: id, Shape: shapeText(s.Shape), Machine: machine(s.Shape), Resource: short(u.Name), Width: coordinate(width), Sums: sums(s)}
	top, most := 1.0, int64(1)
	for _, b := range s.Buckets {
		top = max(top, b.Limit, b.Used+b.Foreign+b.Unexplained)
		most = max(most, b.MaxWaiting)
	}
	c.Top, c.MostWaiting = decimal(top), fmt.Sprint(most)
	var limit, machines, waiting []step
	var bands [3][2][]step // lower and upper edges of ours, foreign and unexplained
	apart := false
	for _, b := range s.Buckets {
		from, to := max(0, minutes(b.From)), min(width, minutes(b.From.Add(time.Duration(u.Width))))
		if to <= from {
			continue
		}
		at := func(steps []step, v, scale, height float64) []step {
			return append(steps, step{from, to, height - v/scale*(height-headroom)})
		}
		limit, machines = at(limit, b.Limit, top, plotHeight), at(machines, b.Machines, top, plotHeight)
		waiting = at(waiting, float64(b.MaxWaiting), float64(most), waitingHeight)
		apart = apart || b.Limit-b.Machines > 0.01
		sum := 0.0
		for i, v := range []float64{b.Used, b.Foreign, b.Unexplained} {
			bands[i][0] = at(bands[i][0], sum, top, plotHeight)
			sum += v
			bands[i][1] = at(bands[i][1], sum, top, plotHeight)
		}
	}
	for i, kind := range []string{"ours", "foreign", "unexplained"} {
		if path := band(bands[i][0], bands[i][1]); path != "" {
			c.Areas = append(c.Areas, area{kind, path})
		}
	}
	c.Limit, c.Waiting = line(limit), line(waiting)
	if apart {
		c.Machines = line(machines)
	}
	c.Ticks = ticks(u.From, u.To)
	c.Rows, c.Step = table(u, s)
	c.Label = label(s, c, u)
	return c
}

// label is the drawing in words.
func label(s statuspage.ShapeUsage, c chart, u statuspage.Usage) string {
	if len(s.Buckets) == 0 {
		return "Nothing is known of this time."
	}
	last := s.Buckets[len(s.Buckets)-1]
	return fmt.Sprintf("Use of %s in %s. Last: %s of %s in use, %d waiting. On average %s replicas in use. At most %s waiting.", c.Machine, span(u.To.Sub(u.From)),
		decimal(last.Used+last.Foreign+last.Unexplained), decimal(last.Limit), last.MaxWaiting,
		decimal((s.Used+s.Foreign+s.Unexplained)*3600/max(1, time.Duration(u.Observed).Seconds())), fmt.Sprint(s.MaxWaiting))
}

// coordinate writes a number of a drawing.
func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', -1, 32) }

func point(b *strings.Builder, command string, x, y float64) {
	b.WriteString(command + strconv.FormatFloat(x, 'f', 1, 64) + " " + strconv.FormatFloat(y, 'f', 1, 64))
}

// runs divides steps where nothing is known between two of them.
func runs(steps []step) (all [][2]int) {
	begin := 0
	for i := 1; i <= len(steps); i++ {
		if i == len(steps) || steps[i].from > steps[i-1].to+0.01 {
			all = append(all, [2]int{begin, i})
			begin = i
		}
	}
	return all
}

// line is a stepped path.
func line(steps []step) string {
	if len(steps) == 0 {
		return ""
	}
	var b strings.Builder
	for _, r := range runs(steps) {
		forth(&b, "M", steps[r[0]:r[1]])
	}
	return b.String()
}

// forth goes along steps from left to right. Equal levels are one.
func forth(b *strings.Builder, command string, steps []step) {
	point(b, command, steps[0].from, steps[0].value)
	for i, s := range steps {
		if i+1 < len(steps) && steps[i+1].value == s.value {
			continue
		}
		point(b, "L", s.to, s.value)
		if i+1 < len(steps) {
			point(b, "L", s.to, steps[i+1].value)
		}
	}
}

// band is the area between two stepped lines, "" if it is empty.
func band(lower, upper []step) string {
	some := false
	for i := range lower {
		some = some || upper[i].value != lower[i].value
	}
	if !some {
		return ""
	}
	var b strings.Builder
	for _, r := range runs(lower) {
		forth(&b, "M", upper[r[0]:r[1]])
		back := make([]step, 0, r[1]-r[0])
		for i := r[1] - 1; i >= r[0]; i-- {
			back = append(back, step{lower[i].to, lower[i].from, lower[i].value})
		}
		forth(&b, "L", back)
		b.WriteString("Z")
	}
	return b.String()
}

// ticks are the moments that are named below a drawing: whole days, or parts of one.
func ticks(from, to time.Time) (all []tick) {
	length := to.Sub(from)
	every := 6 * time.Hour
	switch {
	case length <= 2*time.Hour:
		every = 30 * time.Minute
	case length <= 8*time.Hour:
		every = 2 * time.Hour
	case length > 10*24*time.Hour:
		every = 7 * 24 * time.Hour
	case length > 2*24*time.Hour:
		every = 2 * 24 * time.Hour
	}
	for t := from.Truncate(every).Add(every); t.Before(to); t = t.Add(every) {
		share := float64(t.Sub(from)) / float64(length)
		if share < 0.05 || share > 0.95 {
			continue
		}
		text := t.UTC().Format("15:04")
		if every >= 24*time.Hour || t.UTC().Hour() == 0 && t.UTC().Minute() == 0 {
			text = t.UTC().Format("2 Jan")
		}
		all = append(all, tick{strconv.FormatFloat(share*100, 'f', 2, 64) + "%", text})
	}
	return all
}

// table sums the buckets up by the hour, or has them as they are where they are longer.
func table(u statuspage.Usage, s statuspage.ShapeUsage) (rows []chartRow, stretch string) {
	every := max(time.Hour, time.Duration(u.Width))
	for i := 0; i < len(s.Buckets); {
		from := s.Buckets[i].From.Truncate(every)
		var sum statuspage.UsageBucket
		seconds := 0.0
		for ; i < len(s.Buckets) && s.Buckets[i].From.Truncate(every).Equal(from); i++ {
			b := s.Buckets[i]
			n := time.Duration(b.Observed).Seconds()
			seconds += n
			sum.Used += b.Used * n
			sum.Foreign += b.Foreign * n
			sum.Unexplained += b.Unexplained * n
			sum.Machines += b.Machines * n
			sum.Limit += b.Limit * n
			sum.MeanWaiting += b.MeanWaiting * n
			sum.MaxWaiting = max(sum.MaxWaiting, b.MaxWaiting)
		}
		mean := func(v float64) string { return decimal(v / max(1, seconds)) }
		rows = append(rows, chartRow{
			From: at(from, u.To, false), Ours: mean(sum.Used), Foreign: mean(sum.Foreign), Unexplained: mean(sum.Unexplained), Machines: mean(sum.Machines),
			Limit: mean(sum.Limit), Waiting: mean(sum.MeanWaiting), MostWaiting: fmt.Sprint(sum.MaxWaiting), Observed: span(time.Duration(seconds) * time.Second),
		})
	}
	return rows, span(every)
}
