package fakevertex_test

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/vertex/fakevertex"
)

// liveOnly is how Berth and others ask for jobs that have not ended.
const liveOnly = `state!="JOB_STATE_SUCCEEDED" AND state!="JOB_STATE_FAILED" AND state!="JOB_STATE_CANCELLED" AND ` +
	`state!="JOB_STATE_EXPIRED" AND state!="JOB_STATE_PARTIALLY_SUCCEEDED"`

// crowd is a server on which so many jobs have ended, five run and so many wait.
func crowd(t testing.TB, ended, waiting int) (*fakevertex.ManualClock, fakevertex.Direct) {
	t.Helper()
	b := fakevertex.DefaultBehaviour()
	b.SubmitPerMinute, b.OtherPerMinute = 0, 0
	clock := fakevertex.NewManualClock(start)
	s := fakevertex.New(fakevertex.Options{Clock: clock, Behaviour: &b, Seed: 1})
	if _, err := s.AddResource(&aiplatformpb.PersistentResource{Name: resourceName,
		ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("", 5)}}); err != nil {
		t.Fatal(err)
	}
	d := fakevertex.Directly(s)
	create := func(n int, j *aiplatformpb.CustomJob) {
		for range n {
			if _, err := d.Create(parent, j); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ended > 0 {
		create(min(ended, 5), one(1, "fake-run", "1s", "deployment", "d"))
		ended -= min(ended, 5)
		clock.Advance(time.Minute)
	}
	create(4, one(1, "fake-run", "10h", "deployment", "d"))
	create(1, one(1, "fake-run", "10m", "deployment", "d", "run", "mine"))
	create(waiting, one(1, "fake-run", "1h", "deployment", "d"))
	clock.Advance(time.Minute)
	s.Jobs()
	return clock, d
}

// What a list page and a move of the clock cost is the same however many jobs have
// ended, and an end costs the same however many wait.
func TestWorkDoesNotGrowWithEndedJobs(t *testing.T) {
	type costs struct{ live, label, oldest, page, advance, end int }
	measure := func(ended, waiting int) (c costs) {
		clock, d := crowd(t, ended, waiting)
		of := func(f func()) int {
			before := d.Work()
			f()
			return d.Work() - before
		}
		list := func(filter string, size int32, want int) int {
			return of(func() {
				out, err := d.List(&aiplatformpb.ListCustomJobsRequest{Parent: parent, Filter: filter, PageSize: size})
				if err != nil || len(out.CustomJobs) != want {
					t.Fatalf("%s: %d jobs, want %d: %v", filter, len(out.GetCustomJobs()), want, err)
				}
			})
		}
		c.live = list(liveOnly, 100, min(100, 5+waiting))
		c.label = list(`labels.run="mine"`, 100, 1)
		c.oldest = list(`labels.deployment="d" AND state="JOB_STATE_RUNNING"`, 100, 5) - waiting
		c.page = list("", 3, 3)
		c.advance = of(func() {
			clock.Advance(time.Minute)
			list(`labels.run="mine"`, 1, 1)
		})
		c.end = of(func() {
			clock.Advance(8 * time.Minute)
			list(`labels.run="mine"`, 1, 1)
		})
		return c
	}
	few, many := measure(100, 0), measure(2000, 0)
	if few != many {
		t.Errorf("with 2000 ended jobs %+v, with 100 %+v", many, few)
	}
	if few.page > 4 || few.label != 1 || few.live != 5 || few.advance > 10 {
		t.Errorf("lists and an advance cost %+v", few)
	}
	if crowded := measure(100, 3000); crowded.end > few.end+10 || crowded.advance != few.advance {
		t.Errorf("with 3000 waiting jobs %+v, with none %+v", crowded, few)
	}
}

// Pages of every kind of list show every job once, newest first.
func TestPagesOfAnIndex(t *testing.T) {
	_, d := crowd(t, 40, 12)
	for filter, want := range map[string]int{
		"": 57, liveOnly: 17, `labels.deployment="d"`: 57, `NOT state="JOB_STATE_SUCCEEDED"`: 17, `NOT (` + liveOnly + `)`: 40,
		`state="JOB_STATE_RUNNING" OR labels.run="mine"`: 5, `labels.run="mine" OR labels.deployment="d"`: 57, `labels.none="x"`: 0,
		`labels.run="mine" AND labels.deployment="d"`: 1,
	} {
		seen, token, last := map[string]bool{}, "", time.Time{}
		for {
			out, err := d.List(&aiplatformpb.ListCustomJobsRequest{Parent: parent, Filter: filter, PageSize: 7, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range out.CustomJobs {
				if at := j.CreateTime.AsTime(); seen[j.Name] || !last.IsZero() && at.After(last) {
					t.Errorf("%s: %s comes twice or out of order", filter, j.Name)
				}
				seen[j.Name], last = true, j.CreateTime.AsTime()
			}
			if token = out.NextPageToken; token == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%q lists %d jobs, want %d", filter, len(seen), want)
		}
	}
}

func BenchmarkTenThousand(b *testing.B) {
	for _, ended := range []int{100, 10_000} {
		b.Run(fmt.Sprint(ended), func(b *testing.B) {
			_, d := crowd(b, ended, 0)
			b.ResetTimer()
			for range b.N {
				if _, err := d.List(&aiplatformpb.ListCustomJobsRequest{Parent: parent, Filter: liveOnly}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
