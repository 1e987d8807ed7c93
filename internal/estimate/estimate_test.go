package estimate

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
)

const day = 24 * time.Hour

// ends are n jobs that ran for a time.
func ends(n int, j Job, ran time.Duration) (list []End) {
	for range n {
		list = append(list, End{Job: j, Ran: ran})
	}
	return list
}

// seconds compares with the second, since the figures were computed by hand.
func seconds(t *testing.T, what string, got Estimate, want float64, jobs int64) {
	t.Helper()
	if math.Abs(got.Run.Seconds()-want) > .001 || got.Jobs != jobs {
		t.Errorf("%s: %v by %d jobs, want %v s by %d", what, got.Run, got.Jobs, want, jobs)
	}
}

// By hand, for a limit of a day: the prior has the mean ln(86400)-1 and the variance
// 1.5. A job of a second has the logarithm 0, and takes a quarter of each level.
func TestByHand(t *testing.T) {
	h := &History{}
	j := Job{Limit: day, Replicas: 3}
	seconds(t, "nothing is known", h.Expected(j), 86400, 0)
	h.Learn(End{Job: j, Ran: time.Second})
	seconds(t, "one job", h.Expected(j), math.Exp((math.Log(86400)-1)*9/16+1.5*9/32), 1)
	seconds(t, "of the same size", h.Expected(Job{Limit: 13 * time.Hour, Replicas: 4}), math.Exp((math.Log(13*3600)-1)*9/16+1.5*9/32), 1)
	seconds(t, "of another size", h.Expected(Job{Limit: day, Replicas: 5}), math.Exp((math.Log(86400)-1)*3/4+1.5*3/8), 1)
	seconds(t, "of another limit", h.Expected(Job{Limit: 12 * time.Hour, Replicas: 3}), 12*3600, 0)

	// The second one, of 100 s, counts for 1 and the first for .97.
	h.Learn(End{Job: j, Ran: 100 * time.Second})
	x := math.Log(100)
	mean, variance := math.Log(86400)-1, 1.5
	for range 2 {
		mean = (x + 3*mean) / 4.97
		variance = (1.97*(x*x/1.97-x*x/1.97/1.97) + 3*variance) / 4.97
	}
	seconds(t, "two jobs", h.Expected(j), math.Exp(mean+variance/2), 2)
}

// A family is the finest level, whatever the limit and the size of its jobs.
func TestFamily(t *testing.T) {
	h := &History{}
	train := Job{Limit: day, Replicas: 1, Family: "train"}
	h.Learn(ends(50, Job{Limit: day, Replicas: 1, Family: "sweep"}, 5*time.Minute)...)
	h.Learn(ends(20, train, 10*time.Hour)...)
	for _, test := range []struct {
		j        Job
		from, to time.Duration
		jobs     int64
	}{
		{train, 8 * time.Hour, 12 * time.Hour, 20},
		{Job{Limit: 7 * day, Replicas: 8, Family: "train"}, 8 * time.Hour, 16 * time.Hour, 20},
		{Job{Limit: day, Replicas: 1, Family: "sweep"}, 4 * time.Minute, 10 * time.Minute, 50},
		{Job{Limit: day, Replicas: 1, Family: "new"}, 30 * time.Minute, day, 70},
	} {
		if e := h.Expected(test.j); e.Run < test.from || e.Run > test.to || e.Jobs != test.jobs {
			t.Errorf("%+v: %+v, want %s to %s by %d jobs", test.j, e, test.from, test.to, test.jobs)
		}
	}
	// A family that changes is believed once its last jobs are of the new kind. Until
	// then its run times differ much, so that a long one is expected.
	h.Learn(ends(150, train, 10*time.Hour)...)
	for _, test := range []struct {
		more int
		most time.Duration
	}{{20, day}, {60, 10 * time.Minute}, {60, 2 * time.Minute}} {
		h.Learn(ends(test.more, train, time.Minute)...)
		if e := h.Expected(train); e.Run > test.most {
			t.Errorf("%s is expected after %d more jobs of a minute that followed long ones, want at most %s", e.Run, test.more, test.most)
		}
	}
}

// A job that was stopped teaches only that jobs like it run for so long.
func TestStoppedJobs(t *testing.T) {
	j := Job{Limit: day, Replicas: 1}
	for _, test := range []struct {
		name   string
		before []End
		ran    time.Duration
		learns bool
	}{
		{"the first one", nil, time.Minute, false},
		{"earlier than expected", ends(30, j, time.Hour), 5 * time.Minute, false},
		{"later than expected", ends(30, j, time.Hour), 5 * time.Hour, true},
	} {
		h := &History{}
		h.Learn(test.before...)
		before := h.Expected(j)
		h.Learn(End{Job: j, Ran: test.ran, Least: true})
		switch after := h.Expected(j); {
		case !test.learns && (after != before || h.Ends != int64(len(test.before))):
			t.Errorf("%s: %s is expected, %s before", test.name, after.Run, before.Run)
		case test.learns && (after.Run <= before.Run || h.Ends != int64(len(test.before))+1):
			t.Errorf("%s: %s is expected, want more than %s", test.name, after.Run, before.Run)
		}
	}
}

// whatever draws any number: those of clocks that are wrong, and of damaged documents.
func whatever(t *rapid.T, name string) int64 {
	return rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 100), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0, int64(time.Hour)})).Draw(t, name)
}

// Whatever a history has been taught, or a damaged document makes of it, an estimate is
// from 0 to the limit, the history stays within its size and can be stored, and the
// request's key comes 0 to 48 hours after its submission.
func TestPoisoned(t *testing.T) {
	submitted := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		job := func() Job {
			return Job{Limit: time.Duration(whatever(t, "limit")), Replicas: whatever(t, "replicas"), Family: rapid.SampledFrom([]string{"", "a"}).Draw(t, "family")}
		}
		damaged := func() Moments {
			number := func(name string) float64 {
				return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, 10, math.NaN(), math.Inf(1), math.Inf(-1)})).Draw(t, name)
			}
			return Moments{whatever(t, "jobs"), number("weight"), number("mean"), number("variance")}
		}
		h := &History{}
		j := job()
		if rapid.Bool().Draw(t, "damaged") {
			h = &History{Levels: map[string]Moments{levels(j)[0]: damaged(), levels(j)[1]: damaged()}, Families: map[string]Family{"a": {damaged(), whatever(t, "last")}}}
		}
		for range rapid.IntRange(0, 20).Draw(t, "ends") {
			h.Learn(End{job(), time.Duration(whatever(t, "ran")), rapid.Bool().Draw(t, "least")})
		}
		h.Learn(End{Job: j, Ran: time.Hour}) // sound again, where it was damaged
		e := h.Expected(j)
		if e.Run < 0 || e.Run > max(0, j.Limit) {
			t.Fatalf("%s is expected of a job with a limit of %s", e.Run, j.Limit)
		}
		if delay := admission.Key(submitted, e.Run, false).Sub(submitted); delay < 0 || delay > 48*time.Hour {
			t.Fatalf("the key comes %s after the submission", delay)
		}
		for key, m := range h.Levels {
			if (key == levels(j)[0] || key == levels(j)[1]) && j.Limit > 0 && !m.sound() {
				t.Fatalf("level %s stays unsound: %+v", key, m)
			}
		}
	})
}

// A tenant that has taught a minute for a thousand jobs of a month moves its key by the
// 48 hours of a key, and by no more.
func TestLiarGainsTwoDays(t *testing.T) {
	h, j := &History{}, Job{Limit: 30 * day, Replicas: 1}
	h.Learn(ends(1000, j, time.Minute)...)
	at := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	honest, liar := admission.Key(at, j.Limit, false), admission.Key(at, h.Expected(j).Run, false)
	if gain := honest.Sub(liar); gain < 47*time.Hour || gain > 48*time.Hour {
		t.Errorf("it gains %s", gain)
	}
}

// The largest history is within its bound: all levels, and more families than it keeps.
// It forgets those that have not ended for the longest time.
func TestSizeIsBounded(t *testing.T) {
	h := &History{}
	n := 0
	for limit := range 100 {
		for size := range 40 {
			n++
			ran := time.Duration(1+n*7919%(90*86400)) * time.Second
			h.Learn(End{Job: Job{Limit: time.Duration(limit) * day, Replicas: 1 << size, Family: FamilyOf("a", "job-"+strings.Repeat("x", n%977), "image"+strconv.Itoa(n))}, Ran: ran})
		}
	}
	h.Ends = math.MaxInt64 - 1000
	for i := range 2 * maxFamilies {
		h.Learn(End{Job: Job{Limit: day, Replicas: 1, Family: fmt.Sprintf("%012d", i)}, Ran: time.Hour})
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > MaxBytes || len(text) < MaxBytes/2 {
		t.Errorf("the largest history has %d bytes, want at most %d and at least half of that", len(text), MaxBytes)
	}
	kept := slices.Sorted(maps.Keys(h.Families))
	if len(kept) != 128 || kept[0] != fmt.Sprintf("%012d", 128) {
		t.Errorf("%d families are kept, the first %s", len(kept), kept[0])
	}
}

func TestFamilyOf(t *testing.T) {
	const image = "europe-docker.pkg.dev/p/r/train"
	of := FamilyOf("team", "train-0412", image+":v1")
	for _, test := range []struct {
		tenant, name, image string
		same                bool
	}{
		{"team", "train-0413", image + ":v1", true},
		{"team", "train-", image + "@sha256:00ff", true},
		{"team", "tr4in-", image, false},
		{"team", "train-٠٤١٢", image + ":v2@sha256:00ff", true}, // digits of any script
		{"team", "train-0412", "localhost:5000/train", false},
		{"team", "trainer-0412", image, false},
		{"other", "train-0412", image + ":v1", false},
	} {
		if same := FamilyOf(test.tenant, test.name, test.image) == of; same != test.same {
			t.Errorf("%+v: the same family %v, want %v", test, same, test.same)
		}
	}
	for _, port := range []string{"localhost:5000/train", "localhost:5000/train:v1"} {
		if FamilyOf("team", "a", port) != FamilyOf("team", "a", "localhost:5000/train") {
			t.Errorf("%s: the port of a registry is taken for a tag", port)
		}
	}
	for _, name := range []string{"", "20261127", "-_ 4"} {
		if got := FamilyOf("team", name, image); got != "" {
			t.Errorf("a job named %q has a family", name)
		}
	}
	if strings.Contains(of, "train") || len(of) != 12 {
		t.Errorf("a family is named %q, want 12 letters of a hash", of)
	}
}

func TestNoHistory(t *testing.T) {
	if got := (*History)(nil).Expected(Job{Limit: day, Replicas: 1}); got != (Estimate{Run: day}) {
		t.Errorf("%+v is expected without a history", got)
	}
}

// Which jobs are like each other: the names of their levels.
func TestLevels(t *testing.T) {
	for _, test := range []struct {
		limit    time.Duration
		replicas int64
		want     [2]string
	}{
		{time.Hour, 1, [2]string{"1h", "1h|1"}},
		{time.Hour + 1, 2, [2]string{"4h", "4h|2"}},
		{day, 3, [2]string{"24h", "24h|4"}},
		{90 * day, 4, [2]string{"2160h", "2160h|4"}},
		{1000 * day, 5, [2]string{"2160h", "2160h|8"}},
		{day, 2049, [2]string{"24h", "24h|4096"}},
		{day, 4097, [2]string{"24h", "24h|4096"}},
		{day, math.MaxInt64, [2]string{"24h", "24h|4096"}},
		{day, 0, [2]string{"24h", "24h|1"}},
		{day, -5, [2]string{"24h", "24h|1"}},
	} {
		if got := levels(Job{Limit: test.limit, Replicas: test.replicas}); got != test.want {
			t.Errorf("%s, %d replicas: %q, want %q", test.limit, test.replicas, got, test.want)
		}
	}
}

// What counts as a run time, and what as no end at all.
func TestRunTimes(t *testing.T) {
	for _, test := range []struct {
		ran, limit time.Duration
		learns     bool
		mean       float64 // of the logarithm of seconds
	}{
		{time.Minute, day, true, math.Log(60)},
		{0, day, true, 0},
		{time.Millisecond, day, true, 0},
		{400 * day, day, true, math.Log(400 * 86400)},
		{401 * day, day, true, math.Log(400 * 86400)},
		{math.MaxInt64, day, true, math.Log(400 * 86400)},
		{-1, day, false, 0},
		{time.Minute, 0, false, 0},
		{time.Minute, -1, false, 0},
		{time.Minute, 1, true, math.Log(60)},
	} {
		h := &History{}
		h.Learn(End{Job: Job{Limit: test.limit, Replicas: 1}, Ran: test.ran})
		m := h.Levels[levels(Job{Limit: test.limit, Replicas: 1})[0]]
		if learns := h.Ends == 1 && m.Jobs == 1; learns != test.learns || math.Abs(m.Mean-test.mean) > 1e-9 || m.Variance != 0 {
			t.Errorf("%s of %s: learned %v, %+v", test.ran, test.limit, learns, m)
		}
		if len(h.Families) != 0 {
			t.Errorf("a job without a family has one: %+v", h.Families)
		}
	}
}

// A job that was stopped at the very time that is expected teaches nothing new.
func TestStoppedAsExpected(t *testing.T) {
	h, j := &History{}, Job{Limit: day, Replicas: 1}
	h.Learn(ends(30, j, time.Hour)...)
	h.Learn(End{Job: j, Ran: h.Expected(j).Run, Least: true})
	if h.Ends != 30 {
		t.Errorf("%d ends are learned, want 30", h.Ends)
	}
	h.Learn(End{Job: j, Ran: h.Expected(j).Run + 1, Least: true})
	if h.Ends != 31 {
		t.Errorf("%d ends are learned, want 31", h.Ends)
	}
}

// Moments that no jobs can have count for nothing, at each bound.
func TestSound(t *testing.T) {
	good := Moments{Jobs: 1, Weight: 1, Mean: 5, Variance: 1}
	most := math.Log(400 * 86400)
	for name, test := range map[string]struct {
		change func(*Moments)
		want   bool
	}{
		"as it is":            {func(*Moments) {}, true},
		"no job":              {func(m *Moments) { m.Jobs = 0 }, false},
		"countless jobs":      {func(m *Moments) { m.Jobs = math.MaxInt64 }, false},
		"no weight":           {func(m *Moments) { m.Weight = 0 }, false},
		"the weight of all":   {func(m *Moments) { m.Weight = 34.3 }, true},
		"more weight":         {func(m *Moments) { m.Weight = 34.4 }, false},
		"the shortest":        {func(m *Moments) { m.Mean = 0 }, true},
		"shorter":             {func(m *Moments) { m.Mean = -1e-9 }, false},
		"the longest":         {func(m *Moments) { m.Mean = most }, true},
		"longer":              {func(m *Moments) { m.Mean = most + 1e-9 }, false},
		"all alike":           {func(m *Moments) { m.Variance = 0 }, true},
		"more than alike":     {func(m *Moments) { m.Variance = -1e-9 }, false},
		"very different":      {func(m *Moments) { m.Variance = most*most - 1e-9 }, true},
		"too different":       {func(m *Moments) { m.Variance = most*most + 1e-9 }, false},
		"no number":           {func(m *Moments) { m.Mean = math.NaN() }, false},
		"no number as weight": {func(m *Moments) { m.Weight = math.NaN() }, false},
	} {
		m := good
		if test.change(&m); m.sound() != test.want {
			t.Errorf("%s: sound %v, want %v", name, m.sound(), test.want)
		}
	}
	// The heaviest that jobs make is sound, and so are those that end as soon as they can
	// and as late.
	h, j := &History{}, Job{Limit: day, Replicas: 1}
	for range 500 {
		h.Learn(End{Job: j}, End{Job: j, Ran: math.MaxInt64})
	}
	if m := h.Levels["24h"]; !m.sound() || m.Jobs != 1000 {
		t.Errorf("%+v is not sound", m)
	}
}

// A history with too many families, as no release writes it, is cut down at once; and a
// family without a name is no family.
func TestTooManyFamilies(t *testing.T) {
	h := &History{Families: map[string]Family{"": {Moments{Jobs: 9, Weight: 9, Mean: 1}, 9}}}
	if e := h.Expected(Job{Limit: day, Replicas: 1}); e != (Estimate{Run: day}) {
		t.Errorf("%+v is expected of a job without a family", e)
	}
	for i := range 3 * maxFamilies {
		h.Families[strconv.Itoa(i)] = Family{Moments{Jobs: 1, Weight: 1, Mean: 1}, int64(i)}
	}
	h.Ends = 1000
	h.Learn(End{Job: Job{Limit: day, Replicas: 1, Family: "new"}, Ran: time.Hour})
	if _, kept := h.Families["new"]; len(h.Families) != maxFamilies || !kept {
		t.Errorf("%d families are left, the new one %v", len(h.Families), kept)
	}
	// Of those that ended last at the same time, the first by name goes.
	same := &History{Families: map[string]Family{}}
	for i := range maxFamilies {
		same.Families[fmt.Sprintf("%03d", i)] = Family{Moments{Jobs: 1, Weight: 1, Mean: 1}, 5}
	}
	same.Ends = 5
	same.Learn(End{Job: Job{Limit: day, Replicas: 1, Family: "new"}, Ran: time.Hour})
	if _, first := same.Families["000"]; first || len(same.Families) != maxFamilies {
		t.Errorf("%d families are left, the first by name %v", len(same.Families), first)
	}
}
