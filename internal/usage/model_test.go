package usage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
)

var shapes = []capacity.Shape{
	capacity.Spec{MachineType: "a2-highgpu-1g", Accelerator: "NVIDIA_TESLA_A100", AcceleratorCount: 1}.Normal(),
	capacity.Spec{MachineType: "g2-standard-8", Accelerator: "NVIDIA_L4", AcceleratorCount: 1}.Normal(),
	capacity.Spec{MachineType: "n1-standard-4"}.Normal(),
}

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// slow is a history in its simplest form: the level of every shape in every second of
// which something is known.
type slow struct {
	last   time.Time
	second map[int64]map[capacity.Shape]Level
}

func (s *slow) add(sample Sample) {
	at := sample.At.Truncate(time.Second)
	switch {
	case !at.After(s.last):
		return
	case !s.last.IsZero() && at.Sub(s.last) <= MaxGap:
		for t := s.last; t.Before(at); t = t.Add(time.Second) {
			s.second[t.Unix()] = sample.Levels
		}
	}
	s.last = at
}

// since sums up second by second.
func (s *slow) since(since, now time.Time) (sum Summary) {
	width := 5 * time.Minute
	if now.Sub(since) > 25*time.Hour {
		width = 6 * time.Hour
	}
	sum.From, sum.To = since.Truncate(width), now
	totals := map[capacity.Shape]*Total{}
	for t, levels := range s.second {
		if t < sum.From.Unix() {
			continue
		}
		sum.Observed += time.Second
		for shape, l := range levels {
			if l == (Level{}) {
				continue
			}
			if totals[shape] == nil {
				totals[shape] = &Total{Shape: shape}
			}
			n := totals[shape]
			idle := int64(max(0, l.Machines-l.Ours-l.Foreign-l.Unexplained))
			n.Machines += int64(l.Machines)
			n.Room += int64(max(0, l.Limit-l.Machines))
			n.Ours += int64(l.Ours)
			n.Foreign += int64(l.Foreign)
			n.Unexplained += int64(l.Unexplained)
			n.Idle += idle
			n.Waiting += int64(l.Waiting)
			n.MaxWaiting = max(n.MaxWaiting, int64(l.Waiting))
			if l.Waiting > 0 {
				n.IdleWaiting += idle
			}
		}
	}
	for _, shape := range shapes {
		if totals[shape] != nil {
			sum.Shapes = append(sum.Shapes, *totals[shape])
		}
	}
	return sum
}

// Whatever is sampled, and however it goes from resource to history, the sums are those
// of the seconds.
func TestAgainstSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := slow{second: map[int64]map[capacity.Shape]Level{}}
		var recent Recent
		var history History
		now := day.Add(time.Duration(rapid.IntRange(0, 86400).Draw(t, "begin")) * time.Second)
		replicas := func(name string) capacity.Replicas { return capacity.Replicas(rapid.IntRange(0, 5).Draw(t, name)) }
		for range rapid.IntRange(1, 12).Draw(t, "samples") {
			// Steps of a poll, of a tick, around the longest gap, of hours, and back.
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 3, 3, 60, 60, 60, 280, 299, 300, 301, 600, 899, 900, 901, 7200, 30000, -90}).Draw(t, "step"))*time.Second +
				time.Duration(rapid.IntRange(0, 999).Draw(t, "ms"))*time.Millisecond)
			sample := Sample{At: now, Levels: map[capacity.Shape]Level{}}
			for _, shape := range shapes {
				if rapid.Bool().Draw(t, "there") {
					sample.Levels[shape] = Level{replicas("machines"), replicas("limit"), replicas("ours"), replicas("foreign"), replicas("unexplained"), int(replicas("waiting"))}
				}
			}
			due := recent.Due(now)
			recent.Add(sample)
			model.add(sample)
			if due && rapid.IntRange(0, 3).Draw(t, "written") > 0 { // else the commit failed, and the next observation has more
				history.Add(recent.Take(), now)
			}
		}
		for _, back := range []time.Duration{time.Hour, Fine, Fine + 59*time.Minute, Fine + 2*time.Hour, 20 * 24 * time.Hour} {
			since := now.Add(-back)
			if diff := cmp.Diff(model.since(since, now), history.Since(since, now, recent.Track), cmp.Comparer(func(a, b capacity.Shape) bool { return a == b })); diff != "" {
				t.Fatalf("since %s ago (-seconds +history):\n%s", back, diff)
			}
		}
	})
}
