package repair

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	shape = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
)

const poolOfTests = "projects/p/locations/us-central1/persistentResources/pool"

// judged returns the levels and the text of one check's findings.
func judged(p Picture, check string) (levels, text string) {
	for _, f := range Judge(p, Settings{Tick: time.Minute, StartTimeout: time.Hour, RetryAfter: 30 * time.Second, Keep: time.Hour}) {
		if f.Check == check {
			levels += string(f.Level) + " "
			text += f.Text + "\n"
		}
	}
	return strings.TrimSpace(levels), text
}

// TestJudgeAtTheEdge: from which age on work that was not done is a finding, and how
// bad it is.
func TestJudgeAtTheEdge(t *testing.T) {
	rec := func(s lifecycle.State, timer, sent time.Duration) *ledger.Record {
		r := &ledger.Record{Key: "k", ID: "a", Kind: message.KindRequest, Tenant: "default", Resource: poolOfTests, Ask: capacity.Ask{{Shape: shape, Replicas: 1}}}
		r.State = s
		if timer != 0 {
			r.TimerAt = noon.Add(timer)
		}
		if sent != 0 {
			r.Append(message.Outcome{Type: message.Queued}, noon.Add(sent))
		}
		return r
	}
	resource := func(state string, seen time.Duration) *ledger.Resource {
		return &ledger.Resource{Name: poolOfTests, State: state, ObservedAt: noon.Add(seen), Pools: []capacity.Pool{{ID: "cpu", Shape: shape, Count: 2}}}
	}
	lease := func(until time.Duration) *ledger.Lease { return &ledger.Lease{Until: noon.Add(until)} }
	observed := func(res *ledger.Resource, err error) Picture {
		return Picture{Picture: invariant.Picture{Resources: []*ledger.Resource{res}}, Observed: map[string]error{res.Name: err}}
	}
	records := func(r ...*ledger.Record) Picture { return Picture{Picture: invariant.Picture{Records: r}} }
	used := func(change func(*ledger.Resource)) Picture {
		res := resource(vertex.Running, 0)
		change(res)
		return observed(res, nil)
	}
	late := 3 * time.Minute
	for _, test := range []struct {
		name  string
		check string
		p     Picture
		want  string
		says  string
	}{
		{"a pass is under way", CheckTick, Picture{Lease: lease(1)}, "ok", "under way"},
		{"a pass has just ended", CheckTick, Picture{Lease: lease(0)}, "ok", "ended 0s ago"},
		{"a pass ended a while ago", CheckTick, Picture{Lease: lease(-late)}, "ok", "ended 3m0s ago"},
		{"no pass for long", CheckTick, Picture{Lease: lease(-late - 1)}, "FAIL", "the tick is every 1m0s"},
		{"never a pass", CheckTick, Picture{}, "WARN", "never run"},
		{"never a pass, and requests", CheckTick, records(rec(lifecycle.Waiting, time.Hour, 0)), "FAIL", "never run"},

		{"a timer is due", CheckDue, records(rec(lifecycle.Waiting, -late, 0)), "ok", ""},
		{"a timer is overdue", CheckDue, records(rec(lifecycle.Waiting, -late-1, 0)), "FAIL", "overdue by 3m0s"},
		{"no timer", CheckDue, records(rec(lifecycle.Waiting, 0, 0)), "ok", ""},
		{"one that runs needs none", CheckDue, records(rec(lifecycle.Running, -time.Hour, 0)), "ok", ""},
		{"one that has ended needs none", CheckDue, records(rec(lifecycle.Failed, -time.Hour, 0)), "ok", ""},
		{"each that is overdue", CheckDue, records(rec(lifecycle.Reserved, -time.Hour, 0), rec(lifecycle.Submitting, -time.Hour, 0), rec(lifecycle.Submitted, -time.Hour, 0), rec(lifecycle.Cancelling, -time.Hour, 0)),
			"FAIL FAIL FAIL FAIL", "overdue by 1h0m0s"},

		{"events are new", CheckOutbox, records(rec(lifecycle.Waiting, 0, -late)), "ok", ""},
		{"events are old", CheckOutbox, records(rec(lifecycle.Waiting, 0, -late-1)), "FAIL", "1 unpublished outcome event, the oldest for 3m0s"},
		{"events of one that has ended", CheckOutbox, records(rec(lifecycle.Failed, 0, -time.Hour)), "FAIL", "1h0m0s"},

		{"observed lately", CheckObservations, observed(resource(vertex.Running, -2*time.Minute), nil), "ok", "within the last 2m0s"},
		{"not observed for long", CheckObservations, observed(resource(vertex.Running, -2*time.Minute-1), nil), "WARN", "2m0s ago"},
		{"deleted", CheckObservations, observed(resource(vertex.Running, 0), &vertex.Error{Kind: vertex.NotFound}), "WARN", "no such persistent resource"},
		{"known as deleted", CheckObservations, observed(resource(ledger.Absent, 0), &vertex.Error{Kind: vertex.NotFound}), "ok", ""},
		{"cannot be observed", CheckObservations, observed(resource(vertex.Running, 0), errors.New("no network")), "FAIL", "no network"},

		{"a job that overstays", CheckUse, used(func(r *ledger.Resource) {
			r.Holds = map[message.Key]ledger.Hold{"a": {Overstays: true}, "b": {}}
		}), "WARN", ": 1 job still live well after the latest end"},
		{"use within the pools", CheckUse, used(func(r *ledger.Resource) { r.AddForeign("j", capacity.Ask{{Shape: shape, Replicas: 2}}, time.Time{}) }), "ok", ""},
		{"use beyond the pools", CheckUse, used(func(r *ledger.Resource) { r.AddForeign("j", capacity.Ask{{Shape: shape, Replicas: 5}}, time.Time{}) }), "WARN", "3 more replicas"},
		{"use that is not explained", CheckUse, used(func(r *ledger.Resource) { r.Unexplained = capacity.Use{shape: 1} }), "WARN", "1 replica of n1-standard-4/pd-ssd:100 is in use, and no listed job uses it"},
		{"use of a resource that is gone", CheckUse, used(func(r *ledger.Resource) { r.State, r.Unexplained = ledger.Absent, capacity.Use{shape: 9} }), "ok", ""},

		{"clocks agree", CheckClock, Picture{Skew: 5 * time.Second}, "ok", "differ by 5s"},
		{"this clock is ahead", CheckClock, Picture{Skew: 6 * time.Second}, "WARN", "6s ahead of the ledger's"},
		{"this clock is behind", CheckClock, Picture{Skew: -6 * time.Second}, "WARN", "6s behind the ledger's"},
	} {
		test.p.Now = noon
		if levels, text := judged(test.p, test.check); levels != test.want || !strings.Contains(text, test.says) {
			t.Errorf("%s: %s %s; want %s that says %q", test.name, levels, text, test.want, test.says)
		}
	}
}

// TestEveryCheckReports: each check has at least one finding, also of nothing, and one
// that could not be made says why.
func TestEveryCheckReports(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Judge(Picture{Picture: invariant.Picture{Now: noon}}, Settings{Tick: time.Minute}) {
		seen[f.Check] = true
	}
	for _, check := range []string{CheckUnreadable, CheckLedger, CheckJobs, CheckTick, CheckObservations, CheckDue, CheckOutbox, CheckUse, CheckClock,
		string(invariant.EventKept), string(invariant.EventPath), string(invariant.HoldMatches), string(invariant.OneJob), string(invariant.TimerIsSet)} {
		if !seen[check] {
			t.Errorf("there is no finding of %s", check)
		}
	}
	f := Unchecked("c", errors.New("because"), "do this")
	if want := (Finding{Check: "c", Level: Fail, Unchecked: true, Text: "could not be checked: because", Do: "do this"}); f != want {
		t.Errorf("%+v", f)
	}
}

// TestGatherReadsEveryPage: all records and resources are read, over more than two
// pages, without the users' large data.
func TestGatherReadsEveryPage(t *testing.T) {
	const n = 2*page + 1
	mem := ledger.NewMem(func() time.Time { return noon })
	write := func(reads ledger.ReadSet, do func(ledger.Tx)) {
		t.Helper()
		if err := mem.Update(t.Context(), reads, func(tx ledger.Tx) error { do(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		res := &ledger.Resource{Name: fmt.Sprintf("%s%04d", poolOfTests, i), State: vertex.Running, ObservedAt: noon}
		write(ledger.Resources(res.Name), func(tx ledger.Tx) { tx.Put(res) })
		rec := &ledger.Record{Key: message.KeyOf("default", message.KindRequest, fmt.Sprint(i)), ID: fmt.Sprint(i), Kind: message.KindRequest, Tenant: "default",
			Resource: res.Name, Ask: capacity.Ask{{Shape: shape, Replicas: 1}}, Spec: "large", Labels: map[string]string{"a": "b"}}
		rec.State = lifecycle.Waiting
		write(ledger.Records(rec.Key), func(tx ledger.Tx) { tx.Put(rec) })
	}
	p, err := Gather(t.Context(), Source{Ledger: mem, Vertex: vertex.NewMem(func() time.Time { return noon }), Clock: func() time.Time { return noon.Add(time.Second) }}, "lease")
	if err != nil || len(p.Records) != n || len(p.Resources) != n || !p.Complete || p.Skew != time.Second || !p.Now.Equal(noon) {
		t.Fatalf("%d records, %d resources, complete %v, skew %v, %v; want %d of each", len(p.Records), len(p.Resources), p.Complete, p.Skew, err, n)
	}
	ids := map[string]bool{}
	for _, r := range p.Records {
		if ids[r.ID] = true; r.Spec != "" || r.Labels != nil {
			t.Fatalf("record %s is read with %q %v", r.ID, r.Spec, r.Labels)
		}
	}
	if len(ids) != n {
		t.Errorf("%d different records, want %d", len(ids), n)
	}
	for _, op := range []string{ledger.OpRead, ledger.OpQuery} {
		mem.Fault = func(o string) ledger.Fault {
			if o == op {
				return ledger.FailRead
			}
			return ledger.None
		}
		if _, err := Gather(context.Background(), Source{Ledger: mem, Vertex: vertex.NewMem(time.Now), Clock: time.Now}, "lease"); !errors.Is(err, ledger.ErrInjected) {
			t.Errorf("a %s that fails: %v", op, err)
		}
	}
}
