package app

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/vertex"
)

// series is every series of every metric as "name{key=value,...}": a count or the value
// of a gauge, and of a histogram "count/sum".
func (r *recording) series() map[string]string {
	r.Helper()
	var all metricdata.ResourceMetrics
	if err := r.counts.Collect(context.Background(), &all); err != nil {
		r.Fatalf("%v", err)
	}
	found := map[string]string{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != telemetry.Scope {
			r.Errorf("the scope is %s", scope.Scope.Name)
		}
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found[m.Name+attrs(p.Attributes)] = fmt.Sprint(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					found[m.Name+attrs(p.Attributes)] = fmt.Sprint(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					found[m.Name+attrs(p.Attributes)] = fmt.Sprint(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found[m.Name+attrs(p.Attributes)] = fmt.Sprintf("%d/%.0f", p.Count, p.Sum)
				}
			default:
				r.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return found
}

func attrs(set attribute.Set) string {
	var all []string
	for _, a := range set.ToSlice() {
		all = append(all, string(a.Key)+"="+a.Value.String())
	}
	return "{" + strings.Join(all, ",") + "}"
}

// expect compares some of the series.
func (r *recording) expect(want map[string]string) {
	r.Helper()
	got := r.series()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			r.Errorf("%s is %q, want %q; all are %v", name, got[name], want[name], got)
		}
	}
}

// TestMetricsOfAStory counts from outside what becomes of three requests and two messages
// that make none.
func TestMetricsOfAStory(t *testing.T) {
	r := record(t, deployed(t))
	r.send(sim.Job{ID: "first", CPU: 4}, "")
	r.send(sim.Job{ID: "second", CPU: 4}, "")
	r.send(sim.Job{ID: "huge", CPU: 99, OnFull: "reject"}, "")
	for i, data := range []string{`{`, `{"cancel":{"requestId":"nobody"}}`} {
		if err := push(r.app.admit, message.Delivery{ID: fmt.Sprint("m", i), PublishTime: r.Now, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	r.expect(map[string]string{
		"berth.decisions{reason=,verdict=admit}":                   "1",
		"berth.decisions{reason=FULL,verdict=wait}":                "1",
		"berth.decisions{reason=TOO_MANY_REPLICAS,verdict=refuse}": "1",
		"berth.decisions{reason=MALFORMED,verdict=refuse}":         "1",
		"berth.submissions{result=CREATED}":                        "1",
		"berth.queue.waiting{resource=us-central1/pool}":           "",
		"berth.hold.duration{state=SUCCEEDED}":                     "",
		"berth.outbox.delay{}":                                     "6/0",
	})
	r.Now = r.Now.Add(10 * time.Minute)
	r.Vertex.SetJob(r.JobOf("first"), vertex.JobRunning)
	r.After(10 * time.Minute)
	r.expect(map[string]string{
		"berth.queue.waiting{resource=us-central1/pool}": "1",
		"berth.outbox.oldest{}":                          "0",
		"berth.reuse.delay{}":                            "",
	})
	if oldest := r.series()["berth.queue.oldest{resource=us-central1/pool}"]; !strings.HasPrefix(oldest, "12") || len(oldest) < 4 { // 20 minutes and the polls of the tick
		t.Errorf("the oldest waiter has waited for %s seconds", oldest)
	}
	r.Vertex.SetJob(r.JobOf("first"), vertex.JobSucceeded)
	r.After(7 * time.Second)
	r.expect(map[string]string{
		"berth.queue.waiting{resource=us-central1/pool}": "0",
		"berth.queue.oldest{resource=us-central1/pool}":  "0",
		"berth.decisions{reason=,verdict=admit}":         "2",
		"berth.submissions{result=CREATED}":              "2",
		"berth.reuse.delay{}":                            "1/7",
	})
	if held := r.series()["berth.hold.duration{state=SUCCEEDED}"]; !strings.HasPrefix(held, "1/12") {
		t.Errorf("the hold is counted as %s", held)
	}
	if passes := r.series()["berth.pass.duration{}"]; passes == "" || strings.HasPrefix(passes, "0/") {
		t.Errorf("passes are counted as %q", passes)
	}
}

// What Vertex AI refuses is counted by kind, and a hold that ends without a job.
func TestMetricsOfRefusals(t *testing.T) {
	for kind, want := range map[vertex.Kind]map[string]string{
		vertex.Permanent:   {"berth.hold.duration{state=FAILED}": "1/0"},
		vertex.Transient:   {"berth.hold.duration{state=WAITING}": "1/0"},
		vertex.RateLimited: {"berth.hold.duration{state=RESERVED}": ""},
		vertex.Denied:      {"berth.hold.duration{state=RESERVED}": ""},
		vertex.Unclear:     {"berth.hold.duration{state=SUBMITTING}": ""},
	} {
		r := record(t, deployed(t))
		decline(r.World, kind)
		r.send(oneCPU, "")
		want["berth.submissions{result="+string(kind)+"}"] = "1"
		want["berth.submissions{result=CREATED}"] = ""
		r.expect(want)
	}
}

// What a request held before it waited again is counted once, whatever ends the wait; no
// machine comes free by that.
func TestMetricsOfAWaitAfterAHold(t *testing.T) {
	r := record(t, deployed(t))
	r.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error {
		r.Vertex.Admit = nil
		r.Now = r.Now.Add(3 * time.Second)
		return &vertex.Error{Op: "create", Kind: vertex.Transient, Code: 9, Message: "refused by test"}
	}
	r.send(oneCPU, "")
	r.Cancel("a")
	r.send(sim.Job{ID: "b", CPU: 1}, "")
	r.After(2 * time.Minute)
	if r.JobOf("b") == "" {
		t.Fatal("the other has not started")
	}
	r.expect(map[string]string{"berth.hold.duration{state=WAITING}": "1/3", "berth.hold.duration{state=CANCELLED}": "", "berth.reuse.delay{}": ""})
}

// A request that starts because a pool has grown reuses nothing, although other machines
// came free before.
func TestMetricsOfAPoolThatGrows(t *testing.T) {
	r := record(t, deployed(t))
	r.send(sim.Job{ID: "gpu", GPU: 1}, "")
	r.send(sim.Job{ID: "first", CPU: 4}, "")
	r.send(sim.Job{ID: "second", CPU: 4}, "")
	r.Vertex.SetJob(r.JobOf("gpu"), vertex.JobSucceeded)
	r.After(time.Minute)
	r.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: sim.CPU, Count: 8}, capacity.Pool{ID: "gpu", Shape: sim.GPU, Count: 2})
	r.After(time.Minute)
	if r.JobOf("second") == "" {
		t.Fatal("the waiting request has not started")
	}
	r.expect(map[string]string{"berth.reuse.delay{}": "", "berth.decisions{reason=,verdict=admit}": "3"})
}

// The age of events that cannot be published is known, and how late they were.
func TestMetricsOfTheOutbox(t *testing.T) {
	r := record(t, deployed(t))
	r.Out.Fail = func() (bool, bool) { return true, false }
	r.send(oneCPU, "")
	r.After(90 * time.Second)
	r.expect(map[string]string{"berth.outbox.oldest{}": "90", "berth.outbox.delay{}": ""})
	r.Out.Fail = nil
	r.After(30 * time.Second)
	r.expect(map[string]string{"berth.outbox.delay{}": "2/240"})
	r.After(time.Second)
	r.expect(map[string]string{"berth.outbox.oldest{}": "0"})
}

// However hostile what is sent, a metric has the series that the words of Berth make and
// no more.
func TestMetricsStayFew(t *testing.T) {
	allowed := map[string][]string{
		"verdict":  {"admit", "wait", "refuse", "end", "answer"},
		"reason":   append(reasonCodes(t), ""),
		"result":   {"CREATED", "UNCLEAR", "RATE_LIMITED", "DENIED", "TRANSIENT", "PERMANENT", "NOT_FOUND"},
		"state":    {"WAITING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"},
		"resource": {"us-central1/pool"},
	}
	check := func(r *recording) {
		for name := range r.series() {
			metric, attrs, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
			for pair := range strings.SplitSeq(attrs, ",") {
				key, value, _ := strings.Cut(pair, "=")
				if attrs != "" && !slices.Contains(allowed[key], value) {
					t.Errorf("%s has %s=%q", metric, key, value)
				}
			}
		}
	}
	check(secretive(t))
	r := record(t, deployed(t))
	for _, h := range corpus(t) {
		if h.body == nil {
			h.message.ID, h.message.PublishTime = "m", r.Now
			post(r.app.admit, h.message.Push())
		} else {
			postWith(r.app.admit, h.body)
		}
	}
	r.After(time.Minute)
	check(r)
}

// Of many persistent resources some are counted apart.
func TestMetricsOfManyResources(t *testing.T) {
	r := record(t, deployed(t))
	for i := range 70 {
		name := fmt.Sprintf("pool-%02d", i)
		r.Vertex.SetResource(sim.Parent+"/persistentResources/"+name, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0),
			Pools: []capacity.Pool{{ID: "cpu", Shape: sim.CPU, Count: 1}}})
		r.send(sim.Job{ID: name, CPU: 1, Resource: name}, "")
	}
	r.After(time.Minute)
	n := 0
	for name := range r.series() {
		if strings.HasPrefix(name, "berth.queue.waiting{") {
			n++
		}
	}
	if n != 51 {
		t.Errorf("%d series of the queues of 70 persistent resources, want 50 and one for the others", n)
	}
}

// reasonCodes are all codes of reasons.
func reasonCodes(t *testing.T) (all []string) {
	file, err := parser.ParseFile(token.NewFileSet(), "../reason/reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, is := n.(*ast.ValueSpec); is && len(spec.Values) > 0 {
			if lit, is := spec.Values[0].(*ast.BasicLit); is && lit.Kind == token.STRING {
				all = append(all, strings.Trim(lit.Value, `"`))
			}
		}
		return true
	})
	return all
}

// Every metric with its attributes. The ledger of tests makes no commits that are counted.
func TestTelemetryPageListsTheMetrics(t *testing.T) {
	page, code := map[string]string{}, map[string]string{"berth.ledger.commits": "result"}
	for _, row := range table(t, "deploy/telemetry.md", "metric |") {
		var keys []string
		for _, part := range strings.Split(row[3], "; ") {
			if name := quoted.FindStringSubmatch(part); name != nil {
				keys = append(keys, name[1])
			}
		}
		slices.Sort(keys)
		page[strings.Trim(row[0], "`")] = strings.Join(slices.DeleteFunc(keys, func(key string) bool { return key == "other" }), ",")
	}
	r := record(t, deployed(t))
	r.send(sim.Job{ID: "first", CPU: 4}, "")
	r.send(sim.Job{ID: "second", CPU: 4}, "")
	r.Vertex.SetJob(r.JobOf("first"), vertex.JobSucceeded)
	r.After(time.Minute)
	for name := range r.series() {
		metric, attrs, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		var keys []string
		for pair := range strings.SplitSeq(attrs, ",") {
			key, _, _ := strings.Cut(pair, "=")
			keys = append(keys, key)
		}
		code[metric] = strings.Join(keys, ",")
	}
	sameRows(t, "metric", page, code)
}
