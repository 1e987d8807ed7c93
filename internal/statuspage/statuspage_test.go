package statuspage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// busy is a world with one submitted job, a foreign one, and two waiting
// requests.
func busy(t *testing.T) *world {
	w := newWorld(t)
	w.vertex.AddForeign(parent, "pool", capacity.Ask{{Shape: gpu, Replicas: 1}})
	w.send(job("first", cpu, 3, 0))
	w.send(job("wide", cpu, 4, 0))
	w.send(job("narrow", cpu, 1, 0))
	w.now = w.now.Add(time.Minute)
	return w
}

func TestGolden(t *testing.T) {
	w := busy(t)
	for name, path := range map[string]string{
		"index": "/", "health": "/health", "pools": "/pools", "queue": "/queue",
		"submitted": "/requests/first", "waiting": "/requests/wide",
	} {
		w.golden(name, path)
	}
}

func TestPathsWithAndWithoutPrefix(t *testing.T) {
	w := busy(t)
	for _, path := range []string{"/", "/Status", "/Status/", "/health", "/Status/health", "/Status/pools/", "/Status/requests/wide"} {
		if code, text := w.do("GET", path, ""); code != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, code, text)
		}
	}
	for _, path := range []string{"/Statuspools", "/Status/nothing", "/requests/a/b"} {
		if e := w.fails("GET", path, "", http.StatusNotFound); e.Code != NotFound || e.Fix == "" {
			t.Errorf("GET %s: %v", path, e)
		}
	}
}

func TestBadRequests(t *testing.T) {
	w := busy(t)
	for path, status := range map[string]int{
		"/pools?limit=0": 400, "/pools?limit=x": 400, "/pools?after=%21": 400, "/pools?resource=a/b": 400,
		"/pools?resource=other": 404, "/queue?resource=other": 404, "/queue?after=x": 400,
		"/pools?resource=a~b": 400, "/pools?resource=%ff": 400, "/pools?resource=__x__": 400, "/queue?resource=..": 400, "/requests?resource=A": 400,
		"/requests?resource=projects/p/locations/l/persistentResources/a~b": 400, "/pools?resource=" + strings.Repeat("a", 2000): 400,
		"/queue?after=" + cursor{Resource: "__x__"}.text(): 400, "/queue?after=" + cursor{Resource: "pool"}.text(): 400,
		"/requests?after=" + cursor{Resource: prName + "~"}.text(): 400, "/requests?after=" + cursor{State: "DREAMING"}.text(): 400,
		"/queue?after=" + cursor{Resource: prName, Order: strings.Repeat("0", 1501)}.text(): 400,
		"/requests/__x__": 404, "/requests/%ff": 400, "/requests/..%2f..": 404,
		"/requests?state=DREAMING": 400, "/requests/wide?kind=dream": 400,
		"/requests/wide?tenant=other": 403, "/requests/wide?kind=message": 404, "/requests/x": 404,
	} {
		_ = w.fails("GET", path, "", status)
	}
	for _, method := range []string{"POST", "DELETE"} {
		_ = w.fails(method, "/pools", "", http.StatusMethodNotAllowed)
	}
	_ = w.fails("GET", "/explain", "", http.StatusMethodNotAllowed)
}

func TestPools(t *testing.T) {
	w := busy(t)
	for _, named := range []string{"pool", prName} {
		p := get[Pools](w, "/pools?resource="+named)
		if len(p.Resources) != 1 || p.Resources[0].Name != prName {
			t.Fatalf("resource=%s: %+v", named, p)
		}
	}
	res := get[Pools](w, "/pools").Resources[0]
	want := map[capacity.Shape]Shape{
		cpu: {Shape: cpu, Limit: 4, Held: 3, Taken: 3, Free: 1, Waiting: 2},
		gpu: {Shape: gpu, Limit: 4, Foreign: 1, Taken: 1, Free: 3},
	}
	for _, s := range res.Shapes {
		if s != want[s.Shape] {
			t.Errorf("%+v, want %+v", s, want[s.Shape])
		}
	}
	if res.Holds != 1 || len(res.Foreign) != 1 || res.Stale {
		t.Errorf("%+v", res)
	}
	w.now = w.now.Add(time.Hour)
	if res := get[Pools](w, "/pools").Resources[0]; !res.Stale || time.Duration(res.ObservedAge) < time.Hour {
		t.Errorf("after an hour: %+v", res)
	}
}

func TestPoolsPages(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.put(&ledger.Resource{Name: fmt.Sprintf("%s/persistentResources/r%d", parent, i), State: "RUNNING", ObservedAt: w.now})
	}
	var names []string
	for after := ""; ; {
		p := get[Pools](w, "/pools?limit=2&after="+after)
		for _, r := range p.Resources {
			names = append(names, r.Name[len(r.Name)-2:])
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "r0 r1 r2 r3 r4" {
		t.Errorf("pages held %s", got)
	}
}

// put writes documents directly.
func (w *world) put(res *ledger.Resource, recs ...*ledger.Record) {
	w.t.Helper()
	names := ledger.Resources(res.Name).And(ledger.ReadSetOf(recs...))
	err := w.ledger.Update(context.Background(), names, func(tx ledger.Tx) error {
		res := res.Clone()
		for _, r := range recs {
			if r.State == lifecycle.Waiting {
				res.Join(r)
			}
			tx.Put(r)
		}
		tx.Put(res)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// queueOf makes a resource that was never observed, with n waiting requests.
func (w *world) queueOf(name string, n int) {
	w.t.Helper()
	var recs []*ledger.Record
	for i := range n {
		id := fmt.Sprintf("w%02d", i)
		r := &ledger.Record{
			Key: message.KeyOf("default", message.KindRequest, name+id), Kind: message.KindRequest, Tenant: "default",
			ID: id, Resource: name, Ask: capacity.Ask{{Shape: []capacity.Shape{cpu, gpu}[i%2], Replicas: 1}},
		}
		r.State = lifecycle.Waiting
		r.Order = ledger.OrderKey(0, w.now.Add(time.Duration(i)*time.Second), r.Key)
		recs = append(recs, r)
	}
	w.put(&ledger.Resource{Name: name, State: "RUNNING", CreateTime: time.Unix(1, 0), ObservedAt: w.now, Pools: []capacity.Pool{
		{ID: "cpu", Shape: cpu, Count: 4}, {ID: "gpu", Shape: gpu, Count: 4},
	}}, recs...)
}

// TestQueuePages: order and positions are right over pages, beyond the heads in
// a resource document, and over several resources.
func TestQueuePages(t *testing.T) {
	w := newWorld(t)
	const n = 50
	w.queueOf(prName, n)
	w.queueOf(parent+"/persistentResources/second", n)
	for _, limit := range []int{7, 50, 200} {
		var all []Waiter
		for after := ""; ; {
			q := get[Queue](w, fmt.Sprintf("/queue?limit=%d&after=%s", limit, after))
			all = append(all, q.Waiting...)
			if after = q.Next; after == "" {
				break
			}
		}
		if len(all) != 2*n {
			t.Fatalf("limit %d: %d waiting, want %d", limit, len(all), 2*n)
		}
		for i, e := range all {
			i %= n
			if e.ID != fmt.Sprintf("w%02d", i) || e.Position != i+1 || *e.Ahead != i/2 {
				t.Errorf("limit %d: %s at %d with %d ahead, want w%02d, %d, %d", limit, e.ID, e.Position, *e.Ahead, i, i+1, i/2)
			}
			if head := i < 8; head != (e.Verdict == admission.Admit) {
				t.Errorf("%s: verdict %s", e.ID, e.Verdict)
			}
		}
	}
	if q := get[Queue](w, "/queue?resource=second&limit=200"); len(q.Waiting) != n {
		t.Errorf("resource=second: %d waiting", len(q.Waiting))
	}
}

// TestLiveReason: the reason of a waiting request is the present one, not the
// last published one.
func TestLiveReason(t *testing.T) {
	w := busy(t)
	if q := get[Request](w, "/requests/wide"); q.Reason.Code != reason.Full || q.Verdict != admission.Wait {
		t.Errorf("at first: %+v", q.Live)
	}
	if q := get[Request](w, "/requests/narrow"); q.Reason.Code != reason.Behind || *q.Ahead != 1 {
		t.Errorf("behind: %+v", q.Live)
	}
	w.now = w.now.Add(time.Hour)
	if q := get[Request](w, "/requests/wide"); q.Reason.Code != reason.ObservationTooOld {
		t.Errorf("after an hour: %+v", q.Live)
	}
	for _, e := range get[Queue](w, "/queue").Waiting {
		if e.Reason.Code != reason.ObservationTooOld {
			t.Errorf("after an hour: %s: %+v", e.ID, e.Live)
		}
	}
}

func TestRequestHistory(t *testing.T) {
	w := busy(t)
	q := get[Request](w, "/requests/first")
	w.vertex.SetJob(q.Job, vertex.JobSucceeded)
	if _, err := w.c.Reconcile(context.Background(), "test", time.Second); err != nil {
		t.Fatal(err)
	}
	q = get[Request](w, "/requests/first?kind=request")
	if q.State != lifecycle.Succeeded || !q.Terminal || q.Hold != nil {
		t.Errorf("%+v", q)
	}
	var words []string
	for i, e := range q.Events {
		words = append(words, string(e.Type))
		if e.Sequence != int64(i+1) || !e.Published || e.Outcome.State == "" {
			t.Errorf("%+v", e)
		}
	}
	want := []string{string(message.Reserved), string(message.Submitted), string(message.Succeeded)}
	if fmt.Sprint(words) != fmt.Sprint(want) {
		t.Errorf("events %v, want %v", words, want)
	}
}

// TestKindsOfID: ids of requests, of messages, and of answers are searched in
// that order.
func TestKindsOfID(t *testing.T) {
	w := busy(t)
	nameless := w.send(job("", gpu, 1, 0))
	if q := get[Request](w, "/requests/"+nameless); q.Kind != message.KindMessage || q.State != lifecycle.Submitted {
		t.Errorf("without a request id: %+v", q)
	}
	broken := w.send([]byte(`{"job":`))
	q := get[Request](w, "/requests/"+broken)
	if q.Kind != message.KindAnswer || !q.Terminal || q.Reason.Code != reason.Malformed || q.Events[0].Type != message.Refused {
		t.Errorf("an answer: %+v", q)
	}
	w.send([]byte(`{"cancel":{"requestId":"a:b~c"}}`))
	keep := controller.DefaultConfig().Keep
	q = get[Request](w, "/requests/a%3Ab~c")
	if q.State != lifecycle.None || q.Terminal || len(q.Events) != 0 || !q.CancelledUntil.Equal(w.now.Add(keep)) || q.Reason.Code != reason.CancelRequested {
		t.Errorf("a tombstone: %+v", q)
	}
	if index := get[Index](w, "/"); index.Keep != Duration(keep) {
		t.Errorf("ids are kept for %v, want %v", index.Keep, keep)
	}
}

// TestPreferredKind: an id without a kind means a live request first, then one
// that has ended, then a tombstone.
func TestPreferredKind(t *testing.T) {
	w := busy(t)
	// The cancel arrives first and by request id, although the caller has a
	// message id.
	next := fmt.Sprint(100 + w.sent + 2)
	w.send([]byte(`{"cancel":{"requestId":"` + next + `"}}`))
	if id := w.send(job("", gpu, 1, 0)); id != next {
		t.Fatalf("message %s, want %s", id, next)
	}
	if q := get[Request](w, "/requests/"+next); q.Kind != message.KindMessage || q.State != lifecycle.Cancelled || len(q.Events) != 1 || !q.CancelledUntil.IsZero() {
		t.Errorf("ended, beside a tombstone: %+v", q)
	}
	if q := get[Request](w, "/requests/"+next+"?kind=request"); q.State != lifecycle.None || q.CancelledUntil.IsZero() {
		t.Errorf("the tombstone: %+v", q)
	}
	// An ended request under the id of a message whose request lives.
	live := fmt.Sprint(100 + w.sent + 2)
	w.send(job(live, cpu, 9, 0))
	w.send(job("", gpu, 1, 0))
	if q := get[Request](w, "/requests/"+live+"?kind=request"); q.State != lifecycle.Rejected {
		t.Fatalf("the request: %+v", q)
	}
	if q := get[Request](w, "/requests/"+live); q.Kind != message.KindMessage || q.State != lifecycle.Submitted {
		t.Errorf("alive, beside one that has ended: %+v", q)
	}
	// An answer is preferred to a tombstone.
	refused := fmt.Sprint(100 + w.sent + 2)
	w.send([]byte(`{"cancel":{"requestId":"` + refused + `"}}`))
	w.send([]byte(`{"job":`))
	if q := get[Request](w, "/requests/"+refused); q.Kind != message.KindAnswer || q.Reason.Code != reason.Malformed {
		t.Errorf("refused, beside a tombstone: %+v", q)
	}
}

func TestRequestsByState(t *testing.T) {
	w := busy(t)
	w.send([]byte(`{"cancel":{"requestId":"never-seen"}}`)) // no request is cancelled by it
	w.send([]byte(`{"cancel":{"requestId":"never-run"}}`))
	if err := w.c.Handle(context.Background(), "default", message.Delivery{ID: "x", Data: []byte(`{"requestId":"never-run","persistentResource":"projects/p/locations/l/persistentResources/r","job":[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}]}`)}); err != nil {
		t.Fatal(err)
	}
	w.send(job("huge", cpu, 9, 0))
	for query, want := range map[string]string{
		"":                               "wide narrow first",
		"?state=waiting":                 "wide narrow",
		"?state=SUBMITTED&resource=pool": "first",
		"?state=CANCELLED":               "never-run",
		"?state=REJECTED":                "huge",
		"?state=RUNNING":                 "",
		"?resource=elsewhere":            "",
	} {
		var ids []string
		for after, glue := "", "&"; ; {
			if !strings.Contains(query, "?") {
				glue = "?"
			}
			list := get[Requests](w, "/requests"+query+glue+"limit=1&after="+after)
			for _, r := range list.Requests {
				ids = append(ids, r.ID)
			}
			if after = list.Next; after == "" {
				break
			}
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("/requests%s: %q, want %q", query, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	w := busy(t)
	ask := func(data []byte, attributes string) Quote {
		t.Helper()
		body := fmt.Sprintf(`{"data":%q,"attributes":%s}`, base64.StdEncoding.EncodeToString(data), attributes)
		code, text := w.do("POST", "/Status/explain", body)
		var q Quote
		if err := json.Unmarshal([]byte(text), &q); err != nil || code != http.StatusOK {
			t.Fatalf("explain: %d %s", code, text)
		}
		if strings.Contains(text, explained) {
			t.Errorf("the answer names a message that never was: %s", text)
		}
		return q
	}
	before := w.ledger.Stats()
	if q := ask(job("new", gpu, 1, 0), `{}`); q.Type != message.Quoted || q.Verdict != "ADMIT" || len(q.Fit) != 1 {
		t.Errorf("free machines: %+v", q)
	}
	if q := ask(job("", cpu, 1, 0), `{"berth-request-id":"new"}`); q.Verdict != "WAIT" || q.ClaimedRequestID != "new" || *q.Ahead != 2 {
		t.Errorf("behind others: %+v", q)
	}
	if q := ask(job("", cpu, 9, 0), `null`); q.Verdict != "REFUSE" || len(q.Fit[0].Edits) != 1 {
		t.Errorf("too many: %+v", q)
	}
	if q := ask([]byte(`{"nonsense":1}`), `{}`); q.Type != message.Refused || len(q.Problems) == 0 {
		t.Errorf("nonsense: %+v", q)
	}
	if after := w.ledger.Stats(); after.Commits != before.Commits {
		t.Errorf("explaining made %d commits", after.Commits-before.Commits)
	}
	for body, status := range map[string]int{
		`{`: 400, `{"data":"%"}`: 400, `{"dta":""}`: 400, `{} {}`: 400, `[]`: 400,
		`{"data":"` + strings.Repeat("A", maxBody) + `"}`: 413,
	} {
		_ = w.fails("POST", "/explain", body, status)
	}
}

func TestLedgerFails(t *testing.T) {
	w := busy(t)
	w.ledger.Fault = func(op string) ledger.Fault { return ledger.FailRead }
	for _, path := range []string{"/health", "/pools", "/pools?resource=pool", "/queue", "/requests", "/requests/wide"} {
		if e := w.fails("GET", path, "", http.StatusServiceUnavailable); e.Code != Unavailable || e.Fix == "" {
			t.Errorf("GET %s: %v", path, e)
		}
	}
	if code, _ := w.do("GET", "/", ""); code != http.StatusOK {
		t.Errorf("GET / needs the ledger: %d", code)
	}
}

// What is expected of a job is shown once jobs like it have ended: of a message that
// would be taken, and of a request as it was when it came.
func TestExpected(t *testing.T) {
	w := newWorld(t)
	explain := func(n int) Quote {
		code, text := w.do("POST", "/explain", fmt.Sprintf(`{"data":%q}`, base64.StdEncoding.EncodeToString(job("new", cpu, n, 0))))
		var q Quote
		if err := json.Unmarshal([]byte(text), &q); err != nil || code != http.StatusOK {
			t.Fatalf("explain: %d %s", code, text)
		}
		return q
	}
	w.send(job("before", cpu, 1, 0))
	if q := explain(1); q.Expected != nil {
		t.Errorf("%+v is expected, and no job has ended", q.Expected)
	}
	week := 7 * 24 * time.Hour // Vertex AI's own limit
	h := &ledger.History{Tenant: "default"}
	h.Learn(estimate.End{Job: estimate.Job{Limit: week, Replicas: 1}, Ran: time.Hour}, estimate.End{Job: estimate.Job{Limit: week, Replicas: 1}, Ran: time.Hour})
	want := h.Expected(estimate.Job{Limit: week, Replicas: 1})
	err := w.ledger.Update(t.Context(), ledger.Resources(prName).And(ledger.ReadSetOf(h)), func(tx ledger.Tx) error {
		res := tx.Resource(prName)
		res.LearnedAt = tx.Now()
		tx.Put(res)
		tx.Put(h)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	shown := func(e *Expected) bool {
		return e != nil && e.Jobs == 2 && time.Duration(e.Run) == want.Run.Round(time.Millisecond)
	}
	if q := explain(1); !shown(q.Expected) {
		t.Errorf("%+v is expected, want %+v", q.Expected, want)
	}
	if q := explain(9); q.Expected != nil || q.Verdict != "REFUSE" {
		t.Errorf("%s, and yet %+v is expected", q.Verdict, q.Expected)
	}
	w.send(job("after", cpu, 1, 0))
	if q := get[Request](w, "/requests/after"); !shown(q.Expected) {
		t.Errorf("%+v was expected of a request, want %+v", q.Expected, want)
	}
	if q := get[Request](w, "/requests/before"); q.Expected != nil {
		t.Errorf("%+v was expected of one that came before any job had ended", q.Expected)
	}
}

func TestDuration(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour, 1500 * time.Millisecond} {
		text, _ := Duration(d).MarshalText()
		var back Duration
		if err := back.UnmarshalText(text); err != nil || time.Duration(back) != d || text[len(text)-1] != 's' {
			t.Errorf("%s is written %s and read %v, %v", d, text, back, err)
		}
	}
}

// TestParkedRequestHasOthersAhead: every earlier request in the queues of its
// shapes is ahead of a parked one, and a parked one is ahead of none.
func TestParkedRequestHasOthersAhead(t *testing.T) {
	w := newWorld(t)
	const inLine = queuePages*queuePage + 1 // per shape; more than are read
	w.queueOf(prName, 2*inLine)
	for i, at := range []time.Duration{3500 * time.Millisecond, 24 * time.Hour} {
		r := &ledger.Record{Key: message.KeyOf("default", message.KindRequest, fmt.Sprint("parked", i)), Kind: message.KindRequest, Tenant: "default",
			ID: fmt.Sprint("parked", i), Resource: prName, Ask: capacity.Ask{{Shape: cpu, Replicas: 1}}, Parked: true}
		r.State, r.Order = lifecycle.Waiting, ledger.OrderKey(0, w.now.Add(at), r.Key)
		err := w.ledger.Update(t.Context(), ledger.Records(r.Key), func(tx ledger.Tx) error { tx.Put(r); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, ahead := range map[string]int{"parked0": 2, "parked1": inLine} {
		want := map[int]admission.Verdict{2: admission.Admit, inLine: admission.Wait}[ahead] // four of the shape fit
		if q := get[Request](w, "/requests/"+id); *q.Ahead != ahead || q.Verdict != want {
			t.Errorf("%s has %d ahead, %s %v; want %d and %s", id, *q.Ahead, q.Verdict, q.Reason, ahead, want)
		}
	}
	for _, e := range get[Queue](w, "/queue?limit=7").Waiting {
		want := map[string]int{"parked0": 2, "w04": 2, "w05": 2}
		if n, named := want[e.ID]; named && *e.Ahead != n {
			t.Errorf("in the queue %s has %d ahead, want %d", e.ID, *e.Ahead, n)
		}
	}
}
