package replay

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const header = "job_id,submit_s,gpus,duration_s,tenant\n"

func TestRead(t *testing.T) {
	list, err := Read(strings.NewReader(header+"a,0,2,60,x\nb,5,1,7200,y\n"), Limits{})
	want := []Job{{Line: 2, ID: "a", Tenant: "x", Replicas: 2, Run: time.Minute, Limit: time.Hour},
		{Line: 3, ID: "b", Tenant: "y", Submit: 5 * time.Second, Replicas: 1, Run: 2 * time.Hour, Limit: 4 * time.Hour}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("read %+v, %v, want %+v", list, err, want)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("\ufeff" + header + "a,0,2,60,x\r\nb,5,1,7200,y\r\n"))
	_ = w.Close()
	if list, err = Read(&z, Limits{}); err != nil || !slices.Equal(list, want) {
		t.Errorf("compressed, with a byte order mark: read %+v, %v, want %+v", list, err, want)
	}
	list, err = Read(strings.NewReader("priority,nodes,limit_s,pool,duration_s,gpus,submit_s,job_id,more\n-7,2,90,p,60,4,3,a,x\n,,,,60,4,3,b,\n,,0,,60,4,3,c,\n"), Limits{Default: 5 * time.Hour})
	want = []Job{{Line: 2, ID: "a", Pool: "p", Submit: 3 * time.Second, Replicas: 4, Machines: 2, Priority: -7, Run: time.Minute, Limit: 90 * time.Second},
		{Line: 3, ID: "b", Submit: 3 * time.Second, Replicas: 4, Run: time.Minute, Limit: 5 * time.Hour},
		{Line: 4, ID: "c", Submit: 3 * time.Second, Replicas: 4, Run: time.Minute, Limit: 5 * time.Hour}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("read %+v, %v, want %+v", list, err, want)
	}
}

// Limits of jobs that declare none.
func TestReadLimits(t *testing.T) {
	with := "job_id,submit_s,gpus,duration_s,limit_s\na,0,1,7200,\n"
	without := "job_id,submit_s,gpus,duration_s\na,0,1,7200\n"
	for _, c := range []struct {
		text   string
		limits Limits
		want   time.Duration
	}{
		{with, Limits{}, 7 * 24 * time.Hour},
		{with, Limits{Default: time.Hour}, time.Hour},
		{without, Limits{}, 4 * time.Hour},
		{without, Limits{Default: time.Hour}, 4 * time.Hour},
		{without, Limits{Default: time.Hour, Missing: true}, time.Hour},
		{without, Limits{Missing: true}, 7 * 24 * time.Hour},
		{with, Limits{Max: time.Hour}, time.Hour},
		{with, Limits{Max: 8 * 24 * time.Hour}, 7 * 24 * time.Hour},
		{without, Limits{Max: 3 * time.Hour}, 3 * time.Hour},
		{without, Limits{Max: 5 * time.Hour}, 4 * time.Hour},
		{strings.Replace(with, ",7200,", ",7200,99999", 1), Limits{Max: 90 * time.Minute}, 90 * time.Minute},
	} {
		if list, err := Read(strings.NewReader(c.text), c.limits); err != nil || list[0].Limit != c.want {
			t.Errorf("%q, %+v: limit %v, %v, want %s", c.text, c.limits, list, err, c.want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	many := header
	for range 25 {
		many += "a,0,0,1,t\n"
	}
	for text, want := range map[string]string{
		"":                       "first line",
		"job_id,submit_s,gpus\n": "line 1: there is no column duration_s; want job_id, submit_s, gpus, duration_s and, optionally, tenant",
		"job_id,submit_s,gpus,duration_s,gpus\na,0,1,1,1\n":   "line 1: there are two columns gpus",
		"job_id,submit_s,gpus,duration_s,job_id\na,0,1,1,1\n": "line 1: there are two columns job_id",
		header:                                    "no jobs",
		header + "a,x,1,1,t\n":                    "line 2: submit_s is not a whole number from 0",
		header + "a,-1,1,1,t\n":                   "line 2: submit_s is not a whole number from 0",
		header + "a,1.5,1,1,t\n":                  "line 2: submit_s",
		header + "a,0,0,1,t\n":                    "line 2: gpus is not a whole number from 1",
		header + "a,0,1000001,1,t\n":              "line 2: gpus",
		header + "a,0,1,-1,t\n":                   "line 2: duration_s is not a whole number from 0",
		header + "a,0,1,9999999999999,t\n":        "line 2: duration_s",
		header + "a,0,1,99999999999999999999,t\n": "line 2: duration_s",
		header + "a,9,1,1,t\nb,8,1,1,t\n":         "line 3: it is submitted before the line above it; sort the workload by submit_s",
		header + "a,0,1\n":                        "wrong number of fields",
		header + "a,0,1,1,t\n\"b,0,1,1,t\n":       "read the workload",
		many:                                      "line 21: gpus is not a whole number from 1 to 1000000\nand 5 more faults",
		"job_id,submit_s,gpus,duration_s,nodes,limit_s,priority\na,0,1,1,2,,\n":    "line 2: nodes is more than gpus",
		"job_id,submit_s,gpus,duration_s,nodes,limit_s,priority\na,0,1,1,0,,\n":    "line 2: nodes is not",
		"job_id,submit_s,gpus,duration_s,nodes,limit_s,priority\na,0,1,1,,-1,\n":   "line 2: limit_s is not",
		"job_id,submit_s,gpus,duration_s,nodes,limit_s,priority\na,0,1,1,,,1001\n": "line 2: priority is not a whole number from -1000 to 1000",
		"\x1f\x8bgarbage": "decompress",
	} {
		if _, err := Read(strings.NewReader(text), Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

func TestPlace(t *testing.T) {
	list := []Job{{Line: 2, Pool: "a", Replicas: 2}, {Line: 3, Pool: "b", Replicas: 3}, {Line: 4, Pool: "a", Replicas: 3}}
	fit, unfit, err := Place(list, []Pool{{Name: "a", Replicas: 2}, {Name: "b", Replicas: 3}})
	if err != nil || !slices.Equal(fit, list[:2]) || !slices.Equal(unfit, list[2:]) {
		t.Errorf("%v fit and %v do not, %v", fit, unfit, err)
	}
	if _, _, err = Place(list, []Pool{{Name: "a", Replicas: 3}}); err == nil || !strings.Contains(err.Error(), "line 3: it names a pool that is not given; want one of [a]") {
		t.Errorf("an unknown pool: error %v", err)
	}
	if _, _, err = Place([]Job{{Line: 2, Replicas: 1}}, []Pool{{Name: "a", Replicas: 2}, {Name: "b", Replicas: 3}}); err == nil || !strings.Contains(err.Error(), "line 2: it names no pool") {
		t.Errorf("no pool: error %v", err)
	}
	if fit, _, err = Place([]Job{{Replicas: 1}}, []Pool{{Name: "a", Replicas: 2}}); err != nil || fit[0].Pool != "a" {
		t.Errorf("the only pool: %v, %v", fit, err)
	}
}

func TestStop(t *testing.T) {
	list := []Job{{Run: time.Hour, Limit: time.Minute}, {Run: time.Hour, Limit: time.Hour}}
	if n := Stop(list); n != 1 || list[0].Run != time.Minute || list[1].Run != time.Hour {
		t.Errorf("%d are stopped: %v", n, list)
	}
}

// Jitter and loose limits stay within their bounds, and reach them.
func TestNoise(t *testing.T) {
	var list []Job
	for i := range 3000 {
		list = append(list, Job{ID: fmt.Sprint(i), Submit: time.Duration(i) * time.Second, Run: time.Minute, Limit: 12 * time.Hour})
	}
	most := 90 * time.Second
	late, same := map[time.Duration]int{}, 0
	moved := Jitter(list, most, rand.New(rand.NewPCG(1, 1)))
	for i, j := range moved {
		if i > 0 && j.Submit < moved[i-1].Submit {
			t.Fatalf("job %s is not in order", j.ID)
		}
		var n int
		_, _ = fmt.Sscan(j.ID, &n)
		late[j.Submit-list[n].Submit]++
		if i == n {
			same++
		}
	}
	if len(late) != 91 || late[0] == 0 || late[most] == 0 || same > 1000 {
		t.Errorf("%d delays, %d of 0, %d of %s, %d jobs in their old place", len(late), late[0], late[most], most, same)
	}
	if got := Jitter(list, 0, nil); !slices.Equal(got, list) {
		t.Error("no jitter changes the workload")
	}
	steps := map[time.Duration]int{}
	for _, j := range Loosen(list, 2, rand.New(rand.NewPCG(1, 1))) {
		steps[j.Limit]++
	}
	for _, step := range []time.Duration{12 * time.Hour, 24 * time.Hour, 72 * time.Hour} {
		if len(steps) != 3 || steps[step] < 800 {
			t.Errorf("limits %v, want a third of 12h, 24h and 72h each", steps)
		}
	}
	if top := Loosen([]Job{{Limit: 90 * 24 * time.Hour}}, 8, rand.New(rand.NewPCG(1, 1))); top[0].Limit != 90*24*time.Hour {
		t.Errorf("the last step becomes %s", top[0].Limit)
	}
}

// Loose limits stay below the longest that there may be.
func TestLooseLimitsBelowTheLongest(t *testing.T) {
	list := slices.Repeat([]Job{{Run: time.Hour, Limit: 4 * time.Hour}}, 100)
	for longest, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, 10 * time.Hour: 10 * time.Hour, 4 * time.Hour: 4 * time.Hour} {
		got := Noise{Loose: 2, MaxLimit: longest}.apply(list, 1)
		if top := slices.MaxFunc(got, func(a, b Job) int { return cmp.Compare(a.Limit, b.Limit) }); top.Limit != want {
			t.Errorf("the longest may be %s: a limit becomes %s, want %s", longest, top.Limit, want)
		}
	}
}

// Whatever the text, the jobs that are read without an error are sorted and in range.
func FuzzRead(f *testing.F) {
	f.Add(header + "a,0,2,60,x\nb,5,1,7200,y\n")
	f.Add("priority,nodes,limit_s,pool,duration_s,gpus,submit_s,job_id,more\n-7,2,90,p,60,4,3,a,x\n")
	f.Add(header + "\"a\",0,2,99999999999999999999,x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Read(strings.NewReader(text), Limits{})
		if err != nil {
			return
		}
		for i, j := range list {
			if j.Submit < 0 || j.Submit > maxSubmit*time.Second || j.Run < 0 || j.Run > maxRun*time.Second || j.Limit <= 0 || j.Replicas < 1 || j.Line < 2 || i > 0 && j.Submit < list[i-1].Submit {
				t.Fatalf("%q: job %+v", text, j)
			}
		}
	})
}
