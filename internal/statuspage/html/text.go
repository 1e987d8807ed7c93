package html

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
	"example.com/berth/internal/visible"
)

// A when is a moment on the page: for programs, and for people in UTC with the zone
// written. Without an At it is shown as a dash.
type when struct{ At, Text string }

// at shows a moment; its day only if that is not the day of now, and its second only if
// asked for.
func at(t, now time.Time, seconds bool) when {
	if t.IsZero() {
		return when{}
	}
	t, now = t.UTC(), now.UTC()
	layout := "15:04"
	if seconds {
		layout = "15:04:05"
	}
	switch {
	case t.Year() != now.Year():
		layout = "2 Jan 2006 " + layout
	case t.YearDay() != now.YearDay():
		layout = "2 Jan " + layout
	}
	return when{t.Format(time.RFC3339), t.Format(layout + " UTC")}
}

// span is a duration in words, of its two largest units: "2 h 5 min". A negative one is
// shown as none.
func span(d time.Duration) string {
	units := []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		n := d / u.of
		if n <= 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, u.name)
		if i+1 < len(units) {
			if rest := d % u.of / units[i+1].of; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return text
	}
	return "0 s"
}

// between is the time from one moment to another in words, "" if one is not known.
func between(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return span(max(0, to.Sub(from)))
}

// decimal is a number with at most one digit after the point, and below 1 with two.
func decimal(v float64) string {
	scale := 10.0
	if v < 1 {
		scale = 100
	}
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// shapeText is a shape in full, as JSON has it.
func shapeText(s capacity.Shape) string { return visible.Text(s.String()) }

// demand is what a request asks for or holds, a line per worker pool: replicas and
// machine. A disk of the default type and size is left out.
func demand(ask capacity.Ask) (lines []string) {
	for _, need := range ask {
		lines = append(lines, fmt.Sprintf("%d × %s", need.Replicas, machine(need.Shape)))
	}
	return lines
}

// machine is a shape in short.
func machine(s capacity.Shape) string {
	m := s.Spec()
	text := m.MachineType
	if m.Accelerator != "" {
		text += fmt.Sprintf(" + %d %s", m.AcceleratorCount, strings.TrimPrefix(m.Accelerator, "NVIDIA_"))
	}
	if m.TPUTopology != "" {
		text += ", topology " + m.TPUTopology
	}
	if m.GPUPartition != "" {
		text += ", partition " + m.GPUPartition
	}
	if m.DiskType != capacity.DefaultDiskType || m.DiskSizeGB != capacity.DefaultDiskSizeGB {
		text += fmt.Sprintf(", %s %d GB", m.DiskType, m.DiskSizeGB)
	}
	return visible.Text(text)
}

// short is the last part of a full name.
func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// region is that of the full name of a resource or a job, "" for another text.
func region(name string) string {
	if n, ok := vertex.ParseName(name); ok {
		return n.Region()
	}
	return ""
}

// documents names what cannot be read.
func documents(all []*ledger.UnreadableError) (lines []string) {
	for _, u := range all {
		lines = append(lines, fmt.Sprintf("%s cannot be read: %s.", u.Ref, u.Why))
	}
	return lines
}

// shellWord is a word that a shell reads as this text.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
