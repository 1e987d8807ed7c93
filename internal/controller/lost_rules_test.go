package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// TestFindLost: which live jobs show that the document of their resource was lost.
func TestFindLost(t *testing.T) {
	for _, test := range []struct {
		name   string
		job    func(*vertex.Job)
		rec    func(*ledger.Record)
		known  bool
		finds  bool
		reads  int
		errors bool
	}{
		{"a job of a running request", func(*vertex.Job) {}, func(*ledger.Record) {}, false, true, 1, false},
		{"its document is there", func(*vertex.Job) {}, func(*ledger.Record) {}, true, false, 0, false},
		{"of another deployment", func(j *vertex.Job) { j.Deployment = "other" }, func(*ledger.Record) {}, false, false, 0, false},
		{"of no request", func(j *vertex.Job) { j.Request = "" }, func(*ledger.Record) {}, false, false, 0, false},
		{"on no resource", func(j *vertex.Job) { j.PersistentResource = "" }, func(*ledger.Record) {}, false, false, 0, false},
		{"of a request that has ended", func(*vertex.Job) {}, func(r *ledger.Record) { r.State = lifecycle.Failed }, false, false, 1, false},
		{"of a request elsewhere", func(*vertex.Job) {}, func(r *ledger.Record) { r.Resource = regionOfTests + "/persistentResources/other" }, false, false, 1, false},
		{"of a request that waits", func(*vertex.Job) {}, func(r *ledger.Record) { r.State, r.Run = lifecycle.Waiting, "" }, false, true, 1, false},
	} {
		b := newBench(t)
		rec := recordIn(lifecycle.Running, "j")
		rec.Order = ledger.OrderKey(0, noon, rec.Key)
		test.rec(rec)
		put(t, b.mem, rec, nil)
		job := vertex.Job{Name: "j", Request: rec.Key, Run: "r1", Deployment: b.c.cfg.Deployment, PersistentResource: "pool"}
		test.job(&job)
		before := b.mem.Stats().Reads
		err := b.c.findLost(t.Context(), regionOfTests, listing{jobs: []vertex.Job{job}, at: noon}, map[string]bool{resourceOfTests: test.known})
		res := b.resource()
		if reads := b.mem.Stats().Reads - before - 1; err != nil || (res != nil) != test.finds || (reads > 0) != (test.reads > 0) || strings.Contains(b.log.String(), `"resource_lost"`) != test.finds {
			t.Errorf("%s: %+v after %d reads, %v; %s", test.name, res, reads, err, &b.log)
		}
		if test.finds && (len(res.Holds) == 1) != rec.State.Holds() {
			t.Errorf("%s: rebuilt as %+v", test.name, res)
		}
	}
	b := newBench(t)
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	job := vertex.Job{Name: "j", Request: "k", Run: "r1", Deployment: b.c.cfg.Deployment, PersistentResource: "pool"}
	if err := b.c.findLost(t.Context(), regionOfTests, listing{jobs: []vertex.Job{job}}, nil); !errors.Is(err, ledger.ErrInjected) || !strings.HasPrefix(err.Error(), "search for the document of "+resourceOfTests+": ") {
		t.Errorf("without the ledger: %v", err)
	}
}

// TestSearchLost: where there are no documents at all, the requests themselves say which
// are missing, in one query, for the region that is searched.
func TestSearchLost(t *testing.T) {
	for _, known := range []map[string]bool{nil, {regionOfTests + "/persistentResources/another": true}} {
		b := newBench(t)
		for i, resource := range []string{resourceOfTests, "projects/p/locations/europe-west4/persistentResources/pool", ""} {
			rec := recordIn(lifecycle.Waiting, "")
			b.rename(rec, nil, fmt.Sprint("w", i))
			rec.Resource, rec.Run, rec.Order = resource, "", ledger.OrderKey(0, noon, rec.Key)
			if resource == "" {
				rec.State = lifecycle.Rejected
			}
			put(t, b.mem, rec, nil)
		}
		p := &progress{tasks: newTasks(true)}
		err := b.c.searchLost(t.Context(), regionOfTests, known, func() time.Time { return noon }, p)
		all, listErr := b.mem.Resources(t.Context(), "", 10)
		if err != nil || listErr != nil || len(all) != map[bool]int{true: 1, false: 0}[known == nil] || p.calls[regionOfTests] != 1 || b.ai.Calls()["live"] != 1 {
			t.Errorf("%d documents are known: %d are there then, calls %v, %v", len(known), len(all), p.calls, err)
		}
		if len(all) == 1 && (all[0].Name != resourceOfTests || all[0].Queue.Waiting() != 1) {
			t.Errorf("rebuilt as %+v", all[0])
		}
	}
	b := newBench(t)
	b.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	if err := b.c.searchLost(t.Context(), regionOfTests, nil, func() time.Time { return noon }, &progress{}); err == nil || !strings.HasPrefix(err.Error(), "list live jobs in "+regionOfTests+": ") {
		t.Errorf("without a list: %v", err)
	}
}

// TestUnwatched: a resource that is gone and unused is left alone; parked requests are
// asked about every five ticks.
func TestUnwatched(t *testing.T) {
	for name, test := range map[string]struct {
		res  ledger.Resource
		want bool
	}{
		"there": {ledger.Resource{State: vertex.Running}, false}, "in error": {ledger.Resource{State: "ERROR"}, false}, "gone": {ledger.Resource{State: ledger.Absent}, true},
		"gone, with a hold": {ledger.Resource{State: ledger.Absent, Holds: map[message.Key]ledger.Hold{"k": {}}}, false},
		"gone, with a queue": {ledger.Resource{State: ledger.Absent, Queue: func() (r ledger.Resource) {
			r.Join(&ledger.Record{Key: "k", Ask: capacity.Ask{{Shape: small, Replicas: 1}}})
			return r
		}().Queue}, false},
	} {
		if got := unwatched(&test.res); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, test := range []struct {
		name    string
		parked  bool // the document says so
		waits   bool // one is parked
		age     time.Duration
		fails   bool
		want    bool
		queries int
		after   bool // the document says so afterwards
	}{
		{"long ago", true, true, 5 * time.Minute, false, true, 1, true}, {"just due", true, true, 4*time.Minute + 30*time.Second, false, true, 1, true},
		{"not due", true, true, 4*time.Minute + 30*time.Second - time.Microsecond, false, false, 0, true}, {"none is", false, true, time.Hour, false, false, 0, false},
		{"none is any more", true, false, time.Hour, false, false, 1, false}, {"it cannot be known", true, false, time.Hour, true, true, 0, true},
	} {
		b := newBench(t)
		res := &ledger.Resource{Name: resourceOfTests, State: ledger.Absent, HasParked: test.parked, ObservedAt: noon.Add(-test.age)}
		put(t, b.mem, nil, res)
		if test.waits {
			rec := recordIn(lifecycle.Waiting, "")
			rec.Parked, rec.Run, rec.Order = true, "", ledger.OrderKey(0, noon, rec.Key)
			put(t, b.mem, rec, nil)
		}
		if test.fails {
			b.mem.Fault = func(op string) ledger.Fault { return map[string]ledger.Fault{ledger.OpQuery: ledger.FailRead}[op] }
		}
		before := b.mem.Stats().Queries
		if got := b.c.parkedOn(t.Context(), b.resource(), noon); got != test.want || b.mem.Stats().Queries-before != test.queries || b.resource().HasParked != test.after {
			t.Errorf("%s: %v after %d queries, parked %v", test.name, got, b.mem.Stats().Queries-before, b.resource().HasParked)
		}
	}
}

// TestActiveRequests: all that have not ended, over pages, without what makes them large.
func TestActiveRequests(t *testing.T) {
	b := newBench(t)
	_, keys := b.records(lifecycle.Running, 45)
	for i, s := range lifecycle.States {
		rec := recordIn(s, "")
		b.rename(rec, nil, fmt.Sprint("s", i))
		rec.Order = ledger.OrderKey(0, noon, rec.Key)
		rec.Append(message.Outcome{Type: message.Queued}, noon)
		put(t, b.mem, rec, nil)
	}
	all, err := b.c.active(t.Context(), resourceOfTests)
	if err != nil || len(all) != len(keys)+6 {
		t.Errorf("%d of %d, %v", len(all), len(keys)+6, err)
	}
	for _, rec := range all {
		if rec.State.Terminal() || len(rec.Outbox) != 0 {
			t.Errorf("%s is %s with %d events", rec.ID, rec.State, len(rec.Outbox))
		}
	}
	b.mem.Spoil(ledger.RecordRef(message.KeyOf("default", message.KindRequest, "s0")), "it has layout 9")
	if all, err := b.c.active(t.Context(), resourceOfTests); err != nil || len(all) != len(keys)+5 {
		t.Errorf("one that waits cannot be read: %d, %v", len(all), err)
	}
	b.mem.Spoil(ledger.RecordRef(message.KeyOf("default", message.KindRequest, "s1")), "it has layout 9")
	if _, err := b.c.active(t.Context(), resourceOfTests); err == nil || !strings.HasPrefix(err.Error(), "list the requests of "+resourceOfTests+" that are RESERVED: ") {
		t.Errorf("one that holds cannot be read: %v", err)
	}
}

// TestAnnouncedTogether: one update announces up to twenty requests, each with an event and,
// if it starts later than was said, a log event; the others follow.
func TestAnnouncedTogether(t *testing.T) {
	b := newBench(t)
	b.records(lifecycle.Running, 0)
	var keys []message.Key
	for i := range 25 {
		keys = append(keys, b.queue(fmt.Sprintf("w%02d", i)))
	}
	res := b.resource()
	res.Pools, res.Reannounce = []capacity.Pool{poolOf(small, 1, 0, 0)}, map[message.Key]bool{}
	res.Holds = map[message.Key]ledger.Hold{"x": {Ask: capacity.Ask{{Shape: small, Replicas: 1}}, Run: "rx", LatestEnd: noon.Add(time.Hour)}}
	for _, key := range keys {
		rec := b.record(key)
		rec.StartsBy = noon.Add(time.Minute)
		put(t, b.mem, rec, nil)
		res.Reannounce[key] = true
	}
	res.Recompute()
	put(t, b.mem, nil, res)
	for pass, want := range []int{20, 25, 25} {
		if err := b.c.announce(t.Context(), b.resource(), noon, nil); err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, key := range keys {
			if rec := b.record(key); rec.Sequence > 0 {
				told++
				if rec.Sequence != 1 || len(rec.Unpublished()) != 0 || rec.StartsBy.Equal(noon.Add(time.Minute)) {
					t.Errorf("%s has %d events, %d unpublished, and starts by %v", rec.ID, rec.Sequence, len(rec.Unpublished()), rec.StartsBy)
				}
			}
		}
		if told != want || len(b.out.events) != want || strings.Count(b.log.String(), `"start_delayed"`) != want || len(b.resource().Reannounce) != 25-want {
			t.Errorf("pass %d: %d are told by %d events, %d are logged, %d are left", pass+1, told, len(b.out.events), strings.Count(b.log.String(), `"start_delayed"`), len(b.resource().Reannounce))
		}
	}
}

// TestOperatorNamesAMessage: an operator reaches a request that has no id of its own by the
// id of its message, and by that alone.
func TestOperatorNamesAMessage(t *testing.T) {
	for name, o := range map[string]message.Operation{
		"by its message": {MessageID: "m9"}, "by a request id": {RequestID: "m9"}, "of another tenant": {MessageID: "m9", Tenant: "red"},
	} {
		b := newBench(t)
		b.records(lifecycle.Running, 0)
		rec := recordIn(lifecycle.Waiting, "")
		rec.Kind, rec.ID, rec.Run, rec.Attempt, rec.ActUntil = message.KindMessage, "m9", "", 0, time.Time{}
		rec.Key = message.KeyOf("default", message.KindMessage, "m9")
		rec.Order = ledger.OrderKey(0, noon, rec.Key)
		res := b.resource()
		res.Join(rec)
		put(t, b.mem, rec, res)
		o.Action, o.Who, o.Reason = message.CancelRequest, "ops", "a mistake"
		if o.Tenant == "" {
			o.Tenant = "default"
		}
		for range 2 { // a second delivery changes nothing
			if err := b.c.direct(t.Context(), message.Delivery{ID: "m10", PublishTime: noon}, o); err != nil {
				t.Fatal(err)
			}
		}
		var said []string
		for _, e := range b.out.events {
			said = append(said, e.Type.Word())
		}
		want, state := "cancelling cancelled", lifecycle.Cancelled
		if o.Tenant == "red" {
			want, state = "refused", lifecycle.Waiting
		}
		after := b.record(rec.Key)
		if strings.Join(said, " ") != want || after.State != state || state == lifecycle.Cancelled && (after.Why.Code != reason.CancelRequested || after.Why.Detail != "ops cancelled it as an operator: a mistake") {
			t.Errorf("%s: %v, it is %s because of %v", name, said, after.State, after.Why)
		}
	}
}
