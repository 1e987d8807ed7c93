package statuspage

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// TestEmptyLists: an empty list is [] and not null, so that a program can
// iterate over it.
func TestEmptyLists(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"/pools": `"resources":[]`, "/queue": `"waiting":[]`, "/requests": `"requests":[]`} {
		if code, text := w.do("GET", path, ""); code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("GET %s of an empty ledger: %d %s, want %s", path, code, text, want)
		}
	}
	w.put(&ledger.Resource{Name: prName, State: "RUNNING", ObservedAt: w.now})
	if _, text := w.do("GET", "/pools", ""); !strings.Contains(text, `"pools":[]`) || !strings.Contains(text, `"shapes":[]`) {
		t.Errorf("a resource without pools: %s", text)
	}
	id := w.send([]byte(`{"cancel":{"requestId":"nothing-yet"}}`))
	if code, text := w.do("GET", "/requests/nothing-yet", ""); code != http.StatusOK || !strings.Contains(text, `"events":[`) {
		t.Errorf("message %s: %d %s", id, code, text)
	}
}

// fill makes n resources, each with one request in a state and a queue of two.
func (w *world) fill(n int, state lifecycle.State) (names []string) {
	w.t.Helper()
	for i := range n {
		name := fmt.Sprintf("%s/persistentResources/r%03d", parent, i)
		rec := &ledger.Record{
			Key: message.KeyOf("default", message.KindRequest, name), Kind: message.KindRequest, Tenant: "default",
			ID: fmt.Sprintf("q%03d", i), Resource: name, Ask: capacity.Ask{{Shape: cpu, Replicas: 1}},
		}
		rec.State = state
		rec.Order = ledger.OrderKey(0, w.now, rec.Key)
		w.put(&ledger.Resource{Name: name, State: "RUNNING", CreateTime: time.Unix(1, 0), ObservedAt: w.now,
			Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 1}}}, rec)
		names = append(names, rec.ID)
	}
	return names
}

// TestPagesOverManyResources: pages of every list show each entry once, over
// more resources than one query returns, with any limit. None is longer than
// its limit, and each costs a bounded number of queries.
func TestPagesOverManyResources(t *testing.T) {
	w := newWorld(t)
	want := strings.Join(w.fill(150, lifecycle.Waiting), " ")
	lists := map[string]func(limit int, after string) (ids []string, next string){
		"/queue": func(limit int, after string) (ids []string, next string) {
			q := get[Queue](w, fmt.Sprintf("/queue?limit=%d&after=%s", limit, after))
			for _, e := range q.Waiting {
				ids = append(ids, e.ID)
			}
			return ids, q.Next
		},
		"/requests": func(limit int, after string) (ids []string, next string) {
			q := get[Requests](w, fmt.Sprintf("/requests?limit=%d&after=%s", limit, after))
			for _, e := range q.Requests {
				ids = append(ids, e.ID)
			}
			return ids, q.Next
		},
		"/pools": func(limit int, after string) (ids []string, next string) {
			q := get[Pools](w, fmt.Sprintf("/pools?limit=%d&after=%s", limit, after))
			for _, e := range q.Resources {
				ids = append(ids, "q"+e.Name[len(e.Name)-3:])
			}
			return ids, q.Next
		},
	}
	for path, list := range lists {
		for _, limit := range []int{7, 50, 64, 149, 150, 200} {
			var all []string
			pages := 0
			for after := ""; ; pages++ {
				before := w.ledger.Stats()
				ids, next := list(limit, after)
				if len(ids) > limit {
					t.Errorf("%s: a page of %d is longer than %d", path, len(ids), limit)
				}
				if n := w.ledger.Stats().Queries - before.Queries; n > maxQueries+maxLimit {
					t.Errorf("%s: a page of %d costs %d queries", path, limit, n)
				}
				if all = append(all, ids...); next == "" || pages > 2000 {
					break
				}
				after = next
			}
			if got := strings.Join(all, " "); got != want {
				t.Errorf("%s by %d shows %d entries in %d pages, want each of 150 once, in order", path, limit, len(all), pages+1)
			}
		}
	}
	if q := get[Queue](w, "/queue"); len(q.Waiting) != defaultLimit {
		t.Errorf("without a limit a page has %d entries, want %d", len(q.Waiting), defaultLimit)
	}
	w.fillMore(100)
	for _, limit := range []int{201, 100000} {
		if p := get[Pools](w, fmt.Sprintf("/pools?limit=%d", limit)); len(p.Resources) != maxLimit {
			t.Errorf("with limit=%d a page has %d entries, want %d", limit, len(p.Resources), maxLimit)
		}
	}
}

func (w *world) fillMore(n int) {
	for i := range n {
		w.put(&ledger.Resource{Name: fmt.Sprintf("%s/persistentResources/s%03d", parent, i), State: "RUNNING", ObservedAt: w.now})
	}
}

// TestAheadInALongQueue: the position of a request in a long queue is exact up
// to a bound, and beyond it every other request counts as ahead.
func TestAheadInALongQueue(t *testing.T) {
	w := newWorld(t)
	const n = 1300
	var recs []*ledger.Record
	for i := range n {
		r := &ledger.Record{
			Key: message.KeyOf("default", message.KindRequest, fmt.Sprint(i)), Kind: message.KindRequest, Tenant: "default",
			ID: fmt.Sprint(i), Resource: prName, Ask: capacity.Ask{{Shape: cpu, Replicas: 1}},
		}
		r.State = lifecycle.Waiting
		r.Order = ledger.OrderKey(0, w.now.Add(time.Duration(i)*time.Second), r.Key)
		recs = append(recs, r)
	}
	w.put(&ledger.Resource{Name: prName, State: "RUNNING", CreateTime: time.Unix(1, 0), ObservedAt: w.now,
		Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}}}, recs...)
	for _, i := range []int{0, 1, 15, 16, 17, 199, 200, 201, 399, 400, 401, 998, 999} {
		if q := get[Request](w, fmt.Sprintf("/requests/%d", i)); q.Ahead == nil || *q.Ahead != i {
			t.Errorf("before request %d there are %v, want %d", i, q.Ahead, i)
		}
	}
	for _, i := range []int{1001, n - 1} {
		if q := get[Request](w, fmt.Sprintf("/requests/%d", i)); q.Ahead == nil || *q.Ahead != n-1 {
			t.Errorf("before request %d there are said to be %v, want all %d others", i, *q.Ahead, n-1)
		}
	}
}

// TestResourceAsItIs: a resource is shown as it is stored.
func TestResourceAsItIs(t *testing.T) {
	w := newWorld(t)
	res := &ledger.Resource{
		Name: prName, State: "ERROR", CreateTime: time.Unix(7, 0).UTC(), ObservedAt: w.now.Add(-time.Minute), Network: "net",
		Pools:       []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 3, Max: 5, Used: 2}},
		Unexplained: capacity.Use{cpu: 1}, NotBefore: w.now.Add(time.Minute), Declines: 4,
	}
	for i := range 120 {
		res.AddForeign(fmt.Sprintf("%s/customJobs/%03d", parent, i), capacity.Ask{{Shape: gpu, Replicas: 1}}, w.now)
	}
	w.put(res)
	got := get[Pools](w, "/pools").Resources[0]
	if got.State != "ERROR" || !got.CreateTime.Equal(res.CreateTime) || !got.ObservedAt.Equal(res.ObservedAt) || time.Duration(got.ObservedAge) != time.Minute ||
		got.Network != "net" || got.Declines != 4 || !got.NotBefore.Equal(res.NotBefore) || got.Stale || got.Holds != 0 {
		t.Errorf("%+v", got)
	}
	if len(got.Foreign) != ledger.MaxForeign || got.ForeignJobs != 120 {
		t.Errorf("%d of %d foreign jobs are shown, want %d of 120", len(got.Foreign), got.ForeignJobs, ledger.MaxForeign)
	}
	want := map[capacity.Shape]Shape{
		cpu: {Shape: cpu, Limit: 5, Unexplained: 1, Taken: 1, Free: 4},
		gpu: {Shape: gpu, Foreign: 120, Taken: 120}, // no pool has it, so none is overdrawn
	}
	if len(got.Shapes) != 2 || got.Shapes[0] != want[got.Shapes[0].Shape] || got.Shapes[1] != want[got.Shapes[1].Shape] {
		t.Errorf("shapes %+v, want %+v", got.Shapes, want)
	}
	if p := got.Pools; len(p) != 1 || p[0].ID != "cpu" || p[0].Limit != 5 || p[0].Used != 2 {
		t.Errorf("pools %+v", p)
	}
	w.now = w.now.Add(2 * time.Minute)
	if got := get[Pools](w, "/pools").Resources[0]; !got.NotBefore.IsZero() || !got.Stale {
		t.Errorf("after the pause, and with an observation of three minutes: %+v", got)
	}
	w.now = res.ObservedAt.Add(w.info.Policy.MaxAge)
	if got := get[Pools](w, "/pools").Resources[0]; got.Stale {
		t.Error("an observation of exactly the greatest age is called stale; it admits")
	}
}

// TestHealth counts the observed resources, and names the one with the oldest
// observation.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	at := w.now
	for i, age := range []time.Duration{time.Minute, 3 * time.Minute, 0} {
		w.put(&ledger.Resource{Name: fmt.Sprintf("%s/persistentResources/r%d", parent, i), State: "RUNNING", ObservedAt: at.Add(-age)})
	}
	w.put(&ledger.Resource{Name: parent + "/persistentResources/gone", State: ledger.Absent, ObservedAt: at.Add(-time.Hour)})
	h := get[Health](w, "/health")
	if !h.OK || !h.AsOf.Equal(at) || h.Resources != 3 || h.Oldest != parent+"/persistentResources/r1" || time.Duration(h.OldestAge) != 3*time.Minute || !h.Stale {
		t.Errorf("%+v", h)
	}
	w.now = at.Add(-90 * time.Second)
	if h := get[Health](w, "/health"); h.Stale {
		t.Errorf("when the oldest observation is a minute and a half old: %+v", h)
	}
}

// TestNamesThatCannotBe: impossible names and cursors are refused.
func TestNamesThatCannotBe(t *testing.T) {
	w := busy(t)
	long := strings.Repeat("a", 63)
	_ = w.fails("GET", "/pools?resource="+long, "", http.StatusNotFound)
	for _, named := range []string{long + "a", "a/b", "projects/p/regions/l/persistentResources/x", "projects/p/locations/l/customJobs/x", prName + "/x"} {
		if e := w.fails("GET", "/pools?resource="+named, "", http.StatusBadRequest); e.Code != string(reason.InvalidValue) || e.Fix == "" || e.Detail == "" {
			t.Errorf("resource=%s: %+v", named, e)
		}
	}
	if e := w.fails("GET", "/queue?limit=0", "", http.StatusBadRequest); !strings.Contains(e.Fix, fmt.Sprint(maxLimit)) || !strings.Contains(e.Detail, "limit") {
		t.Errorf("limit=0: %+v", e)
	}
	if q := get[Queue](w, "/queue?limit=1"); len(q.Waiting) != 1 || q.Next == "" {
		t.Errorf("limit=1: %+v", q)
	}
	if list := get[Requests](w, "/requests?resource="+prName); len(list.Requests) != 3 {
		t.Errorf("by its full name: %+v", list)
	}
}

// record is a record with something in every field that is shown.
func (w *world) record(state lifecycle.State) *ledger.Record {
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	r := &ledger.Record{
		Key: message.KeyOf("default", message.KindRequest, "full"), Kind: message.KindRequest, Tenant: "default", ID: "full", MessageID: "m-1",
		Resource: prName, DisplayName: "shown", Labels: map[string]string{"k": "v"}, Priority: 3, PolicyVersion: 4, OnFull: "reject", Concurrency: message.Concurrency{Key: "nightly", Policy: message.Forbid}, MaxWait: time.Hour, Timeout: 2 * time.Hour,
		Ask: capacity.Ask{{Shape: cpu, Replicas: 2}}, Why: &reason.Problem{Code: reason.Full, Detail: "d"}, Fingerprint: "f",
		JobState: "PENDING", JobError: &message.JobError{Code: 3, Message: "m"}, TimerAt: at(9), Warnings: []reason.Problem{{Code: reason.Full}},
		Fit: []capacity.Finding{{Shape: cpu}}, ScaleUp: true, Estimate: estimate.Estimate{Run: 90 * time.Minute, Jobs: 34},
	}
	times := reflect.ValueOf(&r.Times).Elem()
	for i := range times.NumField() {
		if f := times.Field(i); f.Type() == reflect.TypeFor[time.Time]() {
			f.Set(reflect.ValueOf(at(int64(100 + i))))
		}
	}
	r.State, r.Run, r.Attempt, r.Reservation.Job, r.ActUntil = state, "run-1", 2, parent+"/customJobs/1", at(8)
	r.Order = ledger.OrderKey(3, w.now, r.Key)
	return r
}

// empty lists the fields of an answer that hold nothing.
func empty(v any) (names []string) {
	r := reflect.ValueOf(v)
	for i := range r.NumField() {
		if r.Field(i).IsZero() {
			names = append(names, r.Type().Field(i).Name)
		}
	}
	return names
}

// TestAdviceOfAPage: the first requests of a page of the queue get advice, a bounded number.
func TestAdviceOfAPage(t *testing.T) {
	w := newWorld(t)
	wide := w.record(lifecycle.Waiting)
	wide.Run, wide.Ask, wide.Timeout = "", capacity.Ask{{Shape: cpu, Replicas: 4}}, time.Hour
	res := &ledger.Resource{Name: prName, State: "RUNNING", CreateTime: w.now, ObservedAt: w.now, Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}},
		Holds: map[message.Key]ledger.Hold{"runs": {Ask: capacity.Ask{{Shape: cpu, Replicas: 2}}, LatestEnd: w.now.Add(10 * time.Hour)}}}
	res.Join(wide)
	docs := []*ledger.Record{wide}
	for i := range mostAdvised + 9 {
		rec := w.record(lifecycle.Waiting)
		rec.ID, rec.Run, rec.Ask, rec.Timeout = fmt.Sprint("r", i), "", capacity.Ask{{Shape: cpu, Replicas: 1}}, 20*time.Hour
		rec.Key = message.KeyOf("default", message.KindRequest, rec.ID)
		rec.Order = ledger.OrderKey(3, w.now.Add(time.Duration(i+1)*time.Second), rec.Key)
		res.Join(rec)
		docs = append(docs, rec)
	}
	res.Reserved = []admission.Reservation{{Head: wide.Head(), Shapes: wide.Ask.Shapes(), At: w.now.Add(10 * time.Hour), Budget: 4}}
	w.put(res, docs...)
	advised := 0
	for _, r := range get[Queue](w, "/queue").Waiting[1:] {
		if r.Reason == nil || r.Reason.Code != reason.Behind {
			t.Fatalf("%s waits because of %+v", r.ID, r.Reason)
		}
		if r.Reason.Fix != "" {
			advised++
		}
	}
	if advised != mostAdvised-1 {
		t.Errorf("%d requests behind the first got advice, want %d", advised, mostAdvised-1)
	}
}

// TestRequestAsItIs: every stored field of a request is shown, in the list and
// by its id.
func TestRequestAsItIs(t *testing.T) {
	w := newWorld(t)
	rec := w.record(lifecycle.Submitting)
	res := &ledger.Resource{Name: prName, State: "RUNNING", ObservedAt: w.now, Holds: map[message.Key]ledger.Hold{
		rec.Key: {Ask: rec.Ask, LatestEnd: w.now.Add(time.Hour)},
	}}
	w.put(res, rec)
	s := get[Requests](w, "/requests").Requests[0]
	if missing := fmt.Sprint(empty(s)); missing != "[StartsBy Operation Target]" { // it does not wait, and is no operator's message
		t.Errorf("the list does not show %s", missing)
	}
	if s.ID != "full" || s.State != rec.State || s.Priority != 3 || s.Job != rec.Reservation.Job || s.JobState != "PENDING" || s.Reason.Code != reason.Full || s.Times != rec.Times || s.DisplayName != "shown" {
		t.Errorf("the list shows %+v", s)
	}
	q := get[Request](w, "/requests/full")
	if missing := fmt.Sprint(empty(q)); missing != "[CancelledUntil Terminal]" {
		t.Errorf("the request does not show %s", missing)
	}
	if missing := fmt.Sprint(empty(q.Live)); missing != "[Verdict Ahead StartsBy Before Bound ObservedAt ContradictedSince]" {
		t.Errorf("the request does not show %s", missing)
	}
	if q.Concurrency != rec.Concurrency || q.Key != rec.Key || q.MessageID != "m-1" || q.OnFull != "reject" || time.Duration(q.MaxWait) != time.Hour || time.Duration(q.Timeout) != 2*time.Hour ||
		q.Labels["k"] != "v" || q.Run != "run-1" || q.Attempt != 2 || !q.ActUntil.Equal(rec.ActUntil) || !q.TimerAt.Equal(rec.TimerAt) ||
		q.JobError.Code != 3 || time.Duration(q.Expected.Run) != 90*time.Minute || q.Expected.Jobs != 34 || q.Times != rec.Times || !q.Hold.LatestEnd.Equal(w.now.Add(time.Hour)) || q.Hold.Ask.Replicas() != 2 || !q.AsOf.Equal(w.now) {
		t.Errorf("the request shows %+v", q)
	}
	// The end of an attempt's right to act is shown while an attempt acts, and
	// not later.
	for state, job := range map[lifecycle.State]string{lifecycle.Submitted: "j", lifecycle.Cancelling: "j", lifecycle.Running: "j", lifecycle.Succeeded: "j"} {
		rec := w.record(state)
		rec.Reservation.Job = job
		w.put(res, rec)
		if q := get[Request](w, "/requests/full"); !q.ActUntil.IsZero() || q.Terminal != state.Terminal() {
			t.Errorf("in %s it shows that it acts until %s; ended: %t", state, q.ActUntil, q.Terminal)
		}
	}
	rec = w.record(lifecycle.Cancelling)
	rec.Reservation.Job = ""
	w.put(res, rec)
	if q := get[Request](w, "/requests/full"); q.ActUntil.IsZero() {
		t.Error("cancelling without a job, it does not show the end of the search for one")
	}
}

// TestWaiterAsItIs: a waiting request shows its id and since when it waits.
func TestWaiterAsItIs(t *testing.T) {
	w := newWorld(t)
	rec := w.record(lifecycle.Waiting)
	rec.Times.Queued, rec.ContradictedSince = w.now.Add(-time.Minute), w.now.Add(-time.Hour)
	w.put(&ledger.Resource{Name: prName, State: "RUNNING", ObservedAt: w.now, Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 1}}}, rec)
	e := get[Queue](w, "/queue").Waiting[0]
	if missing := fmt.Sprint(empty(e)); missing != "[Parked]" {
		t.Errorf("the queue does not show %s", missing)
	}
	if e.ID != "full" || e.Kind != message.KindRequest || e.Tenant != "default" || e.Resource != prName || e.DisplayName != "shown" || e.Priority != 3 ||
		!e.Since.Equal(rec.Times.Queued) || time.Duration(e.Waited) != time.Minute || !e.Until.Equal(rec.TimerAt) || !e.ObservedAt.Equal(w.now) || !e.ContradictedSince.Equal(rec.ContradictedSince) {
		t.Errorf("the queue shows %+v", e)
	}
}

// TestEveryReadThatFails: if any read fails, the answer is an error, and never
// a part shown as the whole.
func TestEveryReadThatFails(t *testing.T) {
	for _, path := range []string{"/health", "/pools", "/pools?resource=pool", "/queue", "/queue?resource=pool", "/requests", "/requests?resource=pool", "/requests/wide", "/requests/first"} {
		for k := 1; ; k++ {
			w := busy(t)
			n := 0
			w.ledger.Fault = func(string) ledger.Fault {
				if n++; n == k {
					return ledger.FailRead
				}
				return ledger.None
			}
			code, text := w.do("GET", path, "")
			if n < k {
				if k == 1 {
					t.Errorf("GET %s reads nothing", path)
				}
				break // all its reads have failed once
			}
			if code != http.StatusServiceUnavailable || !strings.Contains(text, Unavailable) {
				t.Errorf("GET %s is answered %d %s when its read %d fails", path, code, text, k)
			}
		}
	}
}

// TestAdmittedMeanwhile: a request that is admitted between the query of
// waiting requests and the read of its resource is not shown as waiting, and
// has no position.
func TestAdmittedMeanwhile(t *testing.T) {
	w := newWorld(t)
	first, second := w.record(lifecycle.Waiting), w.record(lifecycle.Waiting)
	second.ID, second.Key = "second", message.KeyOf("default", message.KindRequest, "second")
	second.Order = ledger.OrderKey(2, w.now, second.Key)
	w.put(&ledger.Resource{Name: prName, State: "RUNNING", ObservedAt: w.now, Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 1}},
		Holds: map[message.Key]ledger.Hold{first.Key: {Ask: first.Ask}}}, first, second)
	q := get[Queue](w, "/queue")
	if len(q.Waiting) != 1 || q.Waiting[0].ID != "second" || q.Waiting[0].Position != 1 || *q.Waiting[0].Ahead != 0 {
		t.Errorf("the queue shows %+v", q.Waiting)
	}
}

// TestLongDurations: long durations are written to the last digit.
func TestLongDurations(t *testing.T) {
	for _, d := range []time.Duration{1234567*time.Second + 891*time.Millisecond, 30 * 24 * time.Hour, time.Millisecond} {
		text, err := Duration(d).MarshalText()
		var back Duration
		if err != nil || back.UnmarshalText(text) != nil || time.Duration(back) != d {
			t.Errorf("%s is written %s and read %s", d, text, time.Duration(back))
		}
	}
}

// TestExplainOnAnOldObservation: /explain decides at the present time, so
// nothing starts on an observation that is too old and cannot be renewed.
func TestExplainOnAnOldObservation(t *testing.T) {
	w := busy(t)
	w.vertex.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	for age, want := range map[time.Duration]string{0: "ADMIT", time.Hour: "WAIT"} {
		w.now = w.now.Add(age)
		code, text := w.do("POST", "/explain", fmt.Sprintf(`{"data":%q}`, base64.StdEncoding.EncodeToString(job("new", gpu, 1, 0))))
		if code != http.StatusOK || !strings.Contains(text, `"verdict":"`+want+`"`) || (age > 0) != strings.Contains(text, string(reason.ObservationTooOld)) {
			t.Errorf("on an observation that is %s older: %d %s", age, code, text)
		}
		w.now = w.now.Add(-age)
	}
}
