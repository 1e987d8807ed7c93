package usage

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
)

func sample(after time.Duration, l Level) Sample {
	return Sample{At: day.Add(after), Levels: map[capacity.Shape]Level{shapes[0]: l}}
}

// What one sample says is true since the one before; of a longer time than the longest
// gap, of a first sample and of one that is not later nothing is known.
func TestSamples(t *testing.T) {
	l := Level{Machines: 4, Limit: 6, Ours: 1, Foreign: 1, Unexplained: 1, Waiting: 2}
	minute := Sums{Machines: 240, Room: 120, Ours: 60, Foreign: 60, Unexplained: 60, Idle: 60, IdleWaiting: 60, Waiting: 120, MaxWaiting: 2}
	for name, test := range map[string]struct {
		samples  []Sample
		observed time.Duration
		want     Sums
	}{
		"one":                    {[]Sample{sample(0, l)}, 0, Sums{}},
		"two":                    {[]Sample{sample(0, Level{Machines: 9}), sample(time.Minute, l)}, time.Minute, minute},
		"the same again":         {[]Sample{sample(0, l), sample(time.Minute, l), sample(time.Minute, Level{Machines: 9})}, time.Minute, minute},
		"one of before":          {[]Sample{sample(0, l), sample(time.Minute, l), sample(30*time.Second, Level{Machines: 9})}, time.Minute, minute},
		"a gap":                  {[]Sample{sample(0, l), sample(MaxGap+time.Second, Level{Machines: 9}), sample(MaxGap+61*time.Second, l)}, time.Minute, minute},
		"the longest":            {[]Sample{sample(0, l), sample(MaxGap, Level{Machines: 1})}, MaxGap, Sums{Machines: 900, Idle: 900}},
		"nothing waits":          {[]Sample{sample(0, l), sample(time.Minute, Level{Machines: 4})}, time.Minute, Sums{Machines: 240, Idle: 240}},
		"gone":                   {[]Sample{sample(0, l), sample(time.Minute, Level{Ours: 2, Waiting: 1})}, time.Minute, Sums{Ours: 120, Waiting: 60, MaxWaiting: 1}},
		"more used than there":   {[]Sample{sample(0, l), sample(time.Minute, Level{Machines: 1, Ours: 3})}, time.Minute, Sums{Machines: 60, Ours: 180}},
		"less than is possible":  {[]Sample{sample(0, l), sample(time.Minute, Level{Machines: -1, Limit: -2, Ours: -3, Waiting: -4})}, time.Minute, Sums{}},
		"more than is plausible": {[]Sample{sample(0, l), sample(time.Minute, Level{Machines: math.MaxInt64})}, time.Minute, Sums{Machines: 6e8, Idle: 6e8}},
		"before 1970":            {[]Sample{{At: time.Time{}}, sample(0, l), sample(time.Minute, l)}, time.Minute, minute},
	} {
		var r Recent
		for _, s := range test.samples {
			r.Add(s)
		}
		s := (&History{}).Since(day, day.Add(time.Hour), r.Track)
		var got Sums
		if len(s.Shapes) > 0 {
			got = s.Shapes[0].Sums
		}
		if s.Observed != test.observed || got != test.want {
			t.Errorf("%s: in %s %+v, want in %s %+v", name, s.Observed, got, test.observed, test.want)
		}
	}
}

// The sums are written at most four times an hour, and what waits for that is small
// whatever the time between two samples.
func TestRecentIsSmall(t *testing.T) {
	for _, step := range []time.Duration{3 * time.Second, time.Minute, 4 * time.Minute, Width, MaxGap} {
		var r Recent
		written, most := 0, 0
		for at := time.Duration(0); at < 2*time.Hour; at += step {
			due := r.Due(day.Add(at))
			r.Add(sample(at, Level{Machines: 1}))
			if most = max(most, r.Rows()); due {
				written++
				r.Take()
			}
		}
		if least := int(2*time.Hour/max(moveAfter+step, 2*step)) - 1; written < least || written > int(2*time.Hour/moveAfter) || most > 14 {
			t.Errorf("a sample each %s: written %d times, at most %d buckets", step, written, most)
		}
	}
}

// full is a history of so many shapes that are in use all the time.
func full(shapes int, days int) *History {
	var h History
	levels := map[capacity.Shape]Level{}
	for i := range shapes {
		levels[capacity.Spec{MachineType: fmt.Sprint("a2-ultragpu-", i), Accelerator: "NVIDIA_A100_80GB", AcceleratorCount: 8}.Normal()] = Level{
			Machines: 1000, Limit: 1500, Ours: 300, Foreign: 200, Unexplained: 100, Waiting: 2000}
	}
	end := time.Duration(days) * 24 * time.Hour
	for at, step := time.Duration(0), coarseWidth; at < end; at += step {
		if end-at <= Fine+coarseWidth {
			step = Width // of what is older the sums of 6 hours are the same in one bucket
		}
		track := Track{Observed: []Bucket{{number(seconds(day.Add(at)), Width), Sums{Seconds: int64(step / time.Second)}}}}
		for shape, l := range levels {
			track.add(shape, track.Observed[0].Number, l.over(int64(step/time.Second)))
		}
		h.Add(track, day.Add(at+step))
	}
	return &h
}

// A history has the last 24 hours and the last 31 days, and a bounded size: nothing is
// forgotten of ten shapes that are all used all the time, and the oldest of more.
func TestHistoryIsBounded(t *testing.T) {
	for _, test := range []struct {
		shapes, days int
		fine, coarse time.Duration // that are known at least
		bytes        int
	}{
		{1, 40, Fine, Coarse, 60 << 10},
		{10, 32, Fine, Coarse, MaxBytes},
		{30, 2, 12 * time.Hour, 0, MaxBytes},
	} {
		h := full(test.shapes, test.days)
		now := day.Add(time.Duration(test.days) * 24 * time.Hour)
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d shapes: %d buckets, %d bytes", test.shapes, h.Fine.rows()+h.Coarse.rows(), len(text))
		if len(text) > test.bytes {
			t.Errorf("%d shapes: %d bytes, want at most %d", test.shapes, len(text), test.bytes)
		}
		if s := h.Since(now.Add(-Fine), now, Track{}); s.Observed < test.fine || s.Observed > Fine+Width {
			t.Errorf("%d shapes: %s of the last day are known", test.shapes, s.Observed)
		}
		s := h.Since(now.Add(-90*24*time.Hour), now, Track{})
		if s.Observed < test.coarse || s.Observed > Coarse+coarseWidth {
			t.Errorf("%d shapes: %s of the last month are known", test.shapes, s.Observed)
		}
		if want := now.Add(-Coarse); !s.From.Equal(want) {
			t.Errorf("the month begins at %s, want %s", s.From, want)
		}
	}
}

// A question about the last 24 hours that is answered seconds later, or by a clock that
// differs, is answered by 5 minutes nevertheless, and by all of them.
func TestLastDayIsFine(t *testing.T) {
	h, now := full(1, 32), day.Add(32*24*time.Hour)
	for _, late := range []time.Duration{0, time.Second, 10 * time.Minute, time.Hour} {
		if s := h.Since(now.Add(-Fine-late), now, Track{}); !s.From.Equal(now.Add(-Fine-late).Truncate(Width)) || s.Observed != now.Sub(s.From) {
			t.Errorf("asked %s late: it begins at %s, and %s are known", late, s.From, s.Observed)
		}
	}
	if s := h.Since(now.Add(-Fine-time.Hour-time.Second), now, Track{}); !s.From.Equal(now.Add(-30 * time.Hour)) {
		t.Errorf("of more than 25 hours: it begins at %s", s.From)
	}
}

// A history that is not in order, as no release writes it, is no reason to fail.
func TestDamagedHistory(t *testing.T) {
	h := History{Fine: Track{Shapes: []Series{{Shape: shapes[2]}, {Shape: shapes[0], Buckets: []Bucket{{9, Sums{Idle: 1}}, {3, Sums{Idle: 1}}}}}}}
	for range maxRows {
		h.Coarse.Shapes = append(h.Coarse.Shapes, Series{Shape: shapes[1], Buckets: []Bucket{{Number: math.MaxInt64 - 1}}})
	}
	h.Add(Track{}, day)
	if h.Fine.rows()+h.Coarse.rows() > maxRows {
		t.Errorf("it has %d buckets", h.Fine.rows()+h.Coarse.rows())
	}
	h.Since(day, day, Track{})
}
