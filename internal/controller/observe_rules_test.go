package controller

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	small = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	large = capacity.Spec{MachineType: "n1-standard-8"}.Normal()
)

func poolOf(s capacity.Shape, count, most, used capacity.Replicas) capacity.Pool {
	return capacity.Pool{ID: s.Spec().MachineType, Shape: s, Count: count, Max: most, Used: used}
}

// TestObservationWritesEveryField: what Vertex AI says replaces what was known, field
// by field. A resource that is gone keeps its pools and its create time.
func TestObservationWritesEveryField(t *testing.T) {
	said := vertex.Resource{State: vertex.Running, CreateTime: noon.Add(-time.Hour), Pools: []capacity.Pool{poolOf(small, 2, 0, 1)},
		Network: "net", EncryptionKey: "key", CustomAccount: true, Ray: true}
	res := &ledger.Resource{State: vertex.Running, Network: "old", EncryptionKey: "old", ObservedAt: noon.Add(-time.Minute)}
	observation{res: said, at: noon}.onto(res)
	want := &ledger.Resource{State: said.State, CreateTime: said.CreateTime, Pools: said.Pools, Network: "net", EncryptionKey: "key",
		CustomAccount: true, Ray: true, ObservedAt: noon, SteadySince: noon}
	if !reflect.DeepEqual(res, want) {
		t.Errorf("%+v, want\n%+v", res, want)
	}
	observation{absent: true, at: noon.Add(time.Minute)}.onto(res)
	want.State, want.ObservedAt, want.SteadySince, want.Notice, want.Restarts = ledger.Absent, noon.Add(time.Minute), time.Time{}, &ledger.Notice{}, 1
	if !reflect.DeepEqual(res, want) {
		t.Errorf("gone: %+v, want\n%+v", res, want)
	}
}

// TestSteadySince: a resource is steady from when it was first observed RUNNING as it
// is. Machines that an autoscaled pool adds and jobs that use some do not count.
func TestSteadySince(t *testing.T) {
	before := noon.Add(-time.Hour)
	was := func() *ledger.Resource {
		return &ledger.Resource{State: vertex.Running, CreateTime: before, SteadySince: before,
			Pools: []capacity.Pool{poolOf(small, 2, 0, 1), poolOf(large, 2, 5, 1)}}
	}
	for name, test := range map[string]struct {
		change func(*vertex.Resource)
		want   time.Time
	}{
		"as it was":                       {func(*vertex.Resource) {}, before},
		"more in use":                     {func(r *vertex.Resource) { r.Pools[0].Used, r.Pools[1].Used = 2, 0 }, before},
		"the autoscaler added machines":   {func(r *vertex.Resource) { r.Pools[1].Count = 4 }, before},
		"a fixed pool has grown":          {func(r *vertex.Resource) { r.Pools[0].Count = 3 }, noon},
		"another maximum":                 {func(r *vertex.Resource) { r.Pools[1].Max = 6 }, noon},
		"a fixed pool is autoscaled now":  {func(r *vertex.Resource) { r.Pools[0].Max = 2 }, noon},
		"an autoscaled pool is fixed now": {func(r *vertex.Resource) { r.Pools[1].Max = 0 }, noon},
		"another machine":                 {func(r *vertex.Resource) { r.Pools[0].Shape = large }, noon},
		"a pool more":                     {func(r *vertex.Resource) { r.Pools = append(r.Pools, poolOf(large, 1, 0, 0)) }, noon},
		"made anew":                       {func(r *vertex.Resource) { r.CreateTime = noon }, noon},
		"not RUNNING":                     {func(r *vertex.Resource) { r.State = "UPDATING" }, time.Time{}},
	} {
		res := was()
		said := vertex.Resource{State: res.State, CreateTime: res.CreateTime, Pools: slices.Clone(res.Pools)}
		test.change(&said)
		observation{res: said, at: noon}.onto(res)
		if !res.SteadySince.Equal(test.want) {
			t.Errorf("%s: steady since %v, want %v", name, res.SteadySince, test.want)
		}
	}
}

// TestNoticeOfACondition: waiting requests are told when the resource is lost or in
// error, and when it no longer is; not of a reboot, and not of a first observation.
func TestNoticeOfACondition(t *testing.T) {
	for _, test := range []struct {
		before, after string
		want          bool
	}{
		{vertex.Running, "ERROR", true}, {"ERROR", vertex.Running, true}, {vertex.Running, ledger.Absent, true}, {ledger.Absent, vertex.Running, true},
		{"ERROR", ledger.Absent, true}, {"ERROR", "ERROR", false}, {ledger.Absent, ledger.Absent, false},
		{vertex.Running, "REBOOTING", false}, {"REBOOTING", "UPDATING", false}, {"", "ERROR", false}, {"", ledger.Absent, false},
	} {
		for _, under := range []*ledger.Notice{nil, {After: "x"}} {
			res := &ledger.Resource{State: test.before, Notice: under}
			observation{res: vertex.Resource{State: test.after}, absent: test.after == ledger.Absent, at: noon}.onto(res)
			want := under
			if test.want {
				want = &ledger.Notice{}
			}
			if !reflect.DeepEqual(res.Notice, want) {
				t.Errorf("from %q to %q with notice %v: %v, want %v", test.before, test.after, under, res.Notice, want)
			}
		}
	}
}

// TestUnexplainedUse: machines that are used beyond the listed jobs are believed at the
// second observation, or at once as far as they were believed before; a move between
// begins it anew.
func TestUnexplainedUse(t *testing.T) {
	job := func(shape capacity.Shape, n capacity.Replicas) vertex.Job {
		return vertex.Job{Ask: capacity.Ask{{Shape: shape, Replicas: n}}}
	}
	for name, test := range map[string]struct {
		res       ledger.Resource
		live      []vertex.Job
		suspected capacity.Use
		believed  capacity.Use
	}{
		"all used machines are listed": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 3)}},
			[]vertex.Job{job(small, 1), job(small, 2)}, capacity.Use{}, capacity.Use{}},
		"fewer used than listed": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 1)}},
			[]vertex.Job{job(small, 2)}, capacity.Use{}, capacity.Use{}},
		"more at first": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 3)}},
			[]vertex.Job{job(small, 1)}, capacity.Use{small: 2}, capacity.Use{}},
		"pools of one shape together": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 3), poolOf(small, 4, 0, 2)}},
			[]vertex.Job{job(small, 1)}, capacity.Use{small: 4}, capacity.Use{}},
		"the same again": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 3)}, Suspected: capacity.Use{small: 2}},
			[]vertex.Job{job(small, 1)}, capacity.Use{small: 2}, capacity.Use{small: 2}},
		"less again": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 2)}, Suspected: capacity.Use{small: 2}},
			[]vertex.Job{job(small, 1)}, capacity.Use{small: 1}, capacity.Use{small: 1}},
		"more than before": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 4)}, Suspected: capacity.Use{small: 1}},
			nil, capacity.Use{small: 4}, capacity.Use{small: 1}},
		"believed before, and still there": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 3)}, Suspected: capacity.Use{small: 1}, Unexplained: capacity.Use{small: 2}},
			[]vertex.Job{job(small, 1)}, capacity.Use{small: 2}, capacity.Use{small: 2}},
		"a move between": {ledger.Resource{Version: 8, SuspectedFor: 7, Pools: []capacity.Pool{poolOf(small, 4, 0, 3)}, Suspected: capacity.Use{small: 3}, Unexplained: capacity.Use{small: 1}},
			nil, capacity.Use{small: 3}, capacity.Use{small: 1}},
		"another shape than suspected": {ledger.Resource{Pools: []capacity.Pool{poolOf(small, 4, 0, 1), poolOf(large, 4, 0, 1)}, Suspected: capacity.Use{large: 5}},
			nil, capacity.Use{small: 1, large: 1}, capacity.Use{large: 1}},
	} {
		markSuspected(&test.res, observation{live: test.live})
		if !maps.Equal(test.res.Suspected, test.suspected) || !maps.Equal(test.res.Unexplained, test.believed) || test.res.SuspectedFor != test.res.Version {
			t.Errorf("%s: suspected %v for %d, unexplained %v; want %v, %v", name, test.res.Suspected, test.res.SuspectedFor, test.res.Unexplained, test.suspected, test.believed)
		}
	}
}

// TestWhatAChangeConcerns: which parked requests are decided again after a change of
// the resource: all, or those of the shapes whose pools have changed.
func TestWhatAChangeConcerns(t *testing.T) {
	all := map[string]string{ledger.Parked: ""}
	of := func(shapes ...capacity.Shape) map[string]string {
		m := map[string]string{}
		for _, s := range shapes {
			m[ledger.ParkedIn(s.String())] = ""
		}
		return m
	}
	was := func() *ledger.Resource {
		return &ledger.Resource{State: vertex.Running, HasParked: true, CreateTime: noon, Network: "n", EncryptionKey: "k",
			Pools: []capacity.Pool{poolOf(small, 2, 0, 0), poolOf(small, 3, 0, 0), poolOf(large, 2, 5, 0)}}
	}
	for name, test := range map[string]struct {
		change func(before, after *ledger.Resource)
		stale  bool
		want   map[string]string
	}{
		"nothing":                              {func(_, _ *ledger.Resource) {}, false, nil},
		"nothing, after a stale observation":   {func(_, _ *ledger.Resource) {}, true, all},
		"stale, and not RUNNING either":        {func(b, a *ledger.Resource) { b.State, a.State = "ERROR", "ERROR" }, true, nil},
		"nothing is parked":                    {func(b, a *ledger.Resource) { b.HasParked, a.State = false, "ERROR" }, true, nil},
		"the state":                            {func(_, a *ledger.Resource) { a.State = "ERROR" }, false, all},
		"made anew":                            {func(_, a *ledger.Resource) { a.CreateTime = noon.Add(1) }, false, all},
		"the network":                          {func(_, a *ledger.Resource) { a.Network = "" }, false, all},
		"the key":                              {func(_, a *ledger.Resource) { a.EncryptionKey = "" }, false, all},
		"the account":                          {func(_, a *ledger.Resource) { a.CustomAccount = true }, false, all},
		"Ray":                                  {func(_, a *ledger.Resource) { a.Ray = true }, false, all},
		"a pool has grown":                     {func(_, a *ledger.Resource) { a.Pools[0].Count = 4 }, false, of(small)},
		"two pools have":                       {func(_, a *ledger.Resource) { a.Pools[1].Count, a.Pools[2].Max = 4, 6 }, false, of(small, large)},
		"pools in another order":               {func(_, a *ledger.Resource) { a.Pools[0], a.Pools[1] = a.Pools[1], a.Pools[0] }, false, nil},
		"autoscaled within the maximum":        {func(_, a *ledger.Resource) { a.Pools[2].Count = 4 }, false, nil},
		"more in use":                          {func(_, a *ledger.Resource) { a.Pools[2].Used = 4 }, false, nil},
		"a pool has grown, and others are due": {func(_, a *ledger.Resource) { a.Pools[2].Max, a.Recheck = 9, of(small) }, false, of(small, large)},
		"nothing, and others are due":          {func(_, a *ledger.Resource) { a.Recheck = of(small) }, false, of(small)},
	} {
		before, after := was(), was()
		test.change(before, after)
		due := maps.Clone(after.Recheck)
		got, anew := concerns(before, after, test.stale)
		if !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		if want := !maps.Equal(test.want, due); anew != want {
			t.Errorf("%s: begins anew: %v, want %v", name, anew, want)
		}
		if !maps.Equal(due, after.Recheck) {
			t.Errorf("%s: the document was changed", name)
		}
	}
}

// TestForeignJobsOfAQuote: a quote counts each live job once: under its hold, or as
// foreign use.
func TestForeignJobsOfAQuote(t *testing.T) {
	one := capacity.Ask{{Shape: small, Replicas: 1}}
	res := &ledger.Resource{Holds: map[message.Key]ledger.Hold{"a": {Ask: one, Run: "r1"}}, Foreign: []ledger.Foreign{{Job: "gone", Ask: one}}, ForeignJobs: 1}
	observation{live: []vertex.Job{
		{Name: "own", Request: "a", Run: "r1", Ask: one}, {Name: "of another run", Request: "a", Run: "r0", Ask: one}, {Name: "theirs", Ask: one},
	}}.foreignJobs(res)
	var got []string
	for _, f := range res.Foreign {
		got = append(got, f.Job)
	}
	if want := []string{"of another run", "theirs"}; !slices.Equal(got, want) || res.ForeignJobs != 2 || res.Use()[small] != 3 {
		t.Errorf("foreign %v, %d of them, use %v; want %v and 3 in use", got, res.ForeignJobs, res.Use(), want)
	}
}

// TestSomeOf: those that hold come first, others are drawn, and one moment draws the
// same again.
func TestSomeOf(t *testing.T) {
	keys := map[message.Key]bool{}
	for i := range 20 {
		keys[message.Key(fmt.Sprintf("k%02d", i))] = i%10 == 3
	}
	drawn := map[message.Key]bool{}
	for i := range 40 {
		at := noon.Add(time.Duration(i))
		some := someOf(keys, 5, at)
		if len(some) != 5 || !keys[some[0]] || !keys[some[1]] || keys[some[2]] {
			t.Fatalf("%v: want the two that hold first", some)
		}
		if !slices.Equal(some, someOf(keys, 5, at)) {
			t.Fatalf("one moment draws %v and then others", some)
		}
		for _, k := range some[2:] {
			drawn[k] = true
		}
	}
	if len(drawn) != 18 {
		t.Errorf("only %d of 18 others are ever drawn", len(drawn))
	}
	for n, want := range map[int]int{-1: 0, 0: 0, 20: 20, 30: 20} {
		if got := len(someOf(keys, n, noon)); got != want {
			t.Errorf("at most %d: %d, want %d", n, got, want)
		}
	}
}

// TestOlderJob: of two jobs of a run the older is recorded; of two of one moment the
// one whose name comes first.
func TestOlderJob(t *testing.T) {
	first, second := vertex.Job{Name: "b", CreateTime: noon}, vertex.Job{Name: "a", CreateTime: noon.Add(1)}
	third := vertex.Job{Name: "c", CreateTime: noon}
	for _, test := range []struct {
		a, b vertex.Job
		want bool
	}{{first, second, true}, {second, first, false}, {first, third, true}, {third, first, false}, {first, first, false}} {
		if olderThan(test.a, test.b) != test.want {
			t.Errorf("%s before %s: %v", test.a.Name, test.b.Name, !test.want)
		}
	}
	s := classified{ours: map[message.Key]vertex.Job{}, unnamed: map[message.Key]bool{}}
	for i, job := range []vertex.Job{second, third, first} {
		job.Request = "k"
		other := s.oldest(job)
		wantOurs, wantOther := []string{"a", "c", "b"}[i], []string{"", "a", "c"}[i]
		if s.ours["k"].Name != wantOurs || other.Name != wantOther || !s.unnamed["k"] {
			t.Errorf("after %s: ours is %s and the other %q, want %s and %q", job.Name, s.ours["k"].Name, other.Name, wantOurs, wantOther)
		}
	}
	if len(s.orphans) != 2 || s.orphans[0].Name != "a" || s.orphans[1].Name != "c" {
		t.Errorf("orphan jobs %v, want a and c", s.orphans)
	}
}
