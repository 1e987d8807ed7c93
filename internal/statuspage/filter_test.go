package statuspage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// filterSpy keeps the filters of the lists that are read.
type filterSpy struct {
	ledger.Ledger
	filters []ledger.Filter
}

func (l *filterSpy) List(ctx context.Context, f ledger.Filter, after string, limit int) ([]*ledger.Record, error) {
	l.filters = append(l.filters, f)
	return l.Ledger.List(ctx, f, after, limit)
}

// TestRecentAsksForEachStateOnce: a state that is named twice is asked for once,
// because the number of states in one query is limited.
func TestRecentAsksForEachStateOnce(t *testing.T) {
	w := newWorld(t)
	spy := &filterSpy{Ledger: w.ledger}
	w.handler = New(w.c, spy, w.info)
	for query, want := range map[string][]string{
		"":                                       nil,
		"state=WAITING,RUNNING,waiting,,REFUSED": {"REFUSED", "RUNNING", "WAITING"},
		"state=running&state=FAILED,RUNNING":     {"FAILED", "RUNNING"},
	} {
		spy.filters = nil
		_ = get[Requests](w, "/recent?resource="+prName+"&"+query)
		if len(spy.filters) != 1 || spy.filters[0].Resource != prName || !slices.Equal(spy.filters[0].Statuses, want) {
			t.Errorf("?%s asks for %+v, want the states %v of the resource", query, spy.filters, want)
		}
	}
}

// TestRecentOfAllTenants: without the parameter every tenant that may be shown is
// listed; with it one.
func TestRecentOfAllTenants(t *testing.T) {
	w := newWorld(t)
	w.send(job("own", cpu, 1, 0))
	w.sendAs("other", job("theirs", cpu, 1, 0))
	for query, want := range map[string]string{"": "own:SUBMITTED", "tenant=default": "own:SUBMITTED"} {
		if got := w.listed(query); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
	w.info.AllTenants = true
	w.handler = New(w.c, w.ledger, w.info)
	for query, want := range map[string]string{"": "theirs:SUBMITTED own:SUBMITTED", "tenant=default": "own:SUBMITTED", "tenant=other": "theirs:SUBMITTED"} {
		if got := w.listed(query); got != want {
			t.Errorf("of all tenants, ?%s: %s, want %s", query, got, want)
		}
	}
}

// TestRecentWhenAReadFails: no part is shown as the whole.
func TestRecentWhenAReadFails(t *testing.T) {
	for k := 1; ; k++ {
		w := busy(t)
		n := 0
		w.ledger.Fault = func(string) ledger.Fault {
			if n++; n == k {
				return ledger.FailRead
			}
			return ledger.None
		}
		code, text := w.do("GET", "/recent?state=waiting", "")
		if n < k {
			if k < 3 {
				t.Errorf("it reads %d times, want the clock and the list", k-1)
			}
			return
		}
		if code != http.StatusServiceUnavailable || !strings.Contains(text, Unavailable) {
			t.Errorf("read %d fails: %d %s", k, code, text)
		}
	}
}

// TestOnlyAJobIsAJob: the number of another thing is no job's.
func TestOnlyAJobIsAJob(t *testing.T) {
	w := busy(t)
	name := get[Request](w, "/requests/first").Job
	number := name[strings.LastIndexByte(name, '/')+1:]
	_ = w.fails("GET", "/requests/"+strings.ReplaceAll(parent+"/persistentResources/"+number, "/", "%2F")+"?kind=job", "", http.StatusNotFound)
	if e := w.fails("GET", "/requests/first?kind=tombstone", "", http.StatusBadRequest); !strings.Contains(e.Detail, "kind") || !strings.Contains(e.Fix, "message") {
		t.Errorf("a kind that is none: %+v", e)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("reset by peer") }

// TestExplainReadsTheWholeBody: a body that breaks off is not decided about.
func TestExplainReadsTheWholeBody(t *testing.T) {
	w := newWorld(t)
	rr := httptest.NewRecorder()
	w.handler.ServeHTTP(rr, httptest.NewRequest("POST", "/explain", io.MultiReader(strings.NewReader(`{"data":"e30="}`), brokenBody{})))
	if rr.Code != http.StatusBadRequest || !strings.Contains(rr.Body.String(), "completely") || !strings.Contains(rr.Body.String(), string(reason.Malformed)) {
		t.Errorf("%d %s", rr.Code, rr.Body)
	}
}

// TestLongTextsAreCut: an error quotes at most 80 bytes of what a client sent, and no
// half of a character.
func TestLongTextsAreCut(t *testing.T) {
	for in, want := range map[string]string{
		"short":                         "short",
		strings.Repeat("a", 80):         strings.Repeat("a", 80),
		strings.Repeat("a", 81):         strings.Repeat("a", 80) + "...",
		strings.Repeat("a", 79) + "äää": strings.Repeat("a", 79) + "...",
	} {
		if got := excerpt(in); got != want {
			t.Errorf("%q is quoted as %q, want %q", in, got, want)
		}
	}
	if text := (&Error{http.StatusForbidden, Forbidden, "detail", "fix"}).Error(); !strings.Contains(text, Forbidden) || !strings.Contains(text, "detail") {
		t.Errorf("the error reads %q", text)
	}
}

// TestShapesOfAResource: every shape that a pool has, that is held or that is used by
// others is shown, with what each takes of it.
func TestShapesOfAResource(t *testing.T) {
	third := capacity.Spec{MachineType: "n1-standard-16"}.Normal()
	res := &ledger.Resource{Name: prName, State: "RUNNING", Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}},
		Holds: map[message.Key]ledger.Hold{
			"a": {Ask: capacity.Ask{{Shape: cpu, Replicas: 3}}}, "b": {Ask: capacity.Ask{{Shape: cpu, Replicas: 2}, {WorkerPool: 1, Shape: gpu, Replicas: 1}}}},
		Unexplained: capacity.Use{third: 2}}
	res.AddForeign("j", capacity.Ask{{Shape: cpu, Replicas: 1}}, time.Time{})
	want := []Shape{
		{Shape: gpu, Held: 1, Taken: 1},
		{Shape: third, Unexplained: 2, Taken: 2},
		{Shape: cpu, Limit: 4, Held: 5, Foreign: 1, Taken: 6, Overdrawn: 2},
	}
	got := shapes(res)
	slices.SortFunc(want, func(a, b Shape) int { return a.Shape.Compare(b.Shape) })
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want\n%+v", got, want)
	}
	res.State = ledger.Absent
	for _, s := range shapes(res) {
		if s.Limit != 0 || s.Free != 0 || s.Overdrawn != 0 {
			t.Errorf("a resource that is gone shows %+v", s)
		}
	}
}

// TestLiveStates: without the parameter all states that have not ended are listed, in
// the order of a request's life.
func TestLiveStates(t *testing.T) {
	want := []lifecycle.State{lifecycle.Waiting, lifecycle.Reserved, lifecycle.Submitting, lifecycle.Submitted, lifecycle.Running, lifecycle.Cancelling}
	got, err := states(httptest.NewRequest("GET", "/requests", nil))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, s := range lifecycle.States {
		if got, err := states(httptest.NewRequest("GET", "/requests?state="+string(s), nil)); err != nil || !slices.Equal(got, []lifecycle.State{s}) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

// TestRequestsInSomeStates: /requests takes several states, and says of those that hold
// replicas what and until when, whether a resource is named or not.
func TestRequestsInSomeStates(t *testing.T) {
	w := busy(t)
	for _, query := range []string{"state=submitted,WAITING", "state=WAITING&state=SUBMITTED", "resource=pool&state=SUBMITTED,,WAITING,SUBMITTED", ""} {
		list := get[Requests](w, "/requests?"+query)
		var got []string
		for _, s := range list.Requests {
			got = append(got, s.ID+":"+string(s.State))
			held := s.Hold != nil && s.Hold.Ask.Replicas() == 3 && s.Hold.LatestEnd.After(w.now)
			if held != (s.ID == "first") || (s.Hold != nil) != (s.ID == "first") {
				t.Errorf("?%s: %s holds %+v", query, s.ID, s.Hold)
			}
		}
		if strings.Join(got, " ") != "wide:WAITING narrow:WAITING first:SUBMITTED" {
			t.Errorf("?%s: %v", query, got)
		}
	}
	if list := get[Requests](w, "/requests?state=SUBMITTED,FAILED"); len(list.Requests) != 1 {
		t.Errorf("%+v", list)
	}
	if e := w.fails("GET", "/requests?state=WAITING,DREAMING", "", http.StatusBadRequest); !strings.Contains(e.Fix, "RUNNING") {
		t.Errorf("%v", e)
	}
	if list := get[Requests](w, "/recent"); list.Requests[len(list.Requests)-1].Hold != nil {
		t.Error("/recent reads no documents of resources, so it cannot say what is held")
	}
}
