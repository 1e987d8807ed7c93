package statuspage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// listed reads all pages of /recent and returns the ids and states of the
// matches.
func (w *world) listed(query string) string {
	w.t.Helper()
	var rows []string
	for after := ""; ; {
		p := get[Requests](w, "/recent?"+query+"&after="+after)
		for _, s := range p.Requests {
			rows = append(rows, s.ID+":"+string(s.State))
		}
		if after = p.Next; after == "" {
			return strings.Join(rows, " ")
		}
	}
}

func TestRecent(t *testing.T) {
	w := busy(t)
	began := w.now
	refused := w.send([]byte("no job"))
	dry := w.send([]byte(strings.Replace(string(job("", cpu, 1, 0)), "{", `{"dryRun":true,`, 1)))
	w.send(job("never", cpu, 9, 0))
	w.put(&ledger.Resource{Name: parent + "/persistentResources/none"}, &ledger.Record{Key: "far", Kind: message.KindRequest, Tenant: "default", ID: "far",
		Resource: strings.Replace(prName, "us-central1", "europe-west4", 1), Times: message.Times{Received: w.now.Add(time.Second)},
		Reservation: lifecycle.Reservation{State: lifecycle.Failed}})
	all := "far:FAILED never:REJECTED " + dry + ":QUOTED " + refused + ":REFUSED narrow:WAITING wide:WAITING first:SUBMITTED"
	for query, want := range map[string]string{
		"":                           all,
		"limit=2":                    all,
		"limit=1":                    all,
		"state=waiting":              "narrow:WAITING wide:WAITING",
		"state=WAITING,submitted":    "narrow:WAITING wide:WAITING first:SUBMITTED",
		"state=REFUSED&state=FAILED": "far:FAILED " + refused + ":REFUSED",
		"state=RUNNING":              "",
		"resource=pool":              "far:FAILED never:REJECTED narrow:WAITING wide:WAITING first:SUBMITTED", // in both regions
		"resource=pool&limit=1":      "far:FAILED never:REJECTED narrow:WAITING wide:WAITING first:SUBMITTED",
		"resource=" + prName:         "never:REJECTED narrow:WAITING wide:WAITING first:SUBMITTED",
		"resource=other":             "",
		"prefix=n":                   "never:REJECTED narrow:WAITING",
		"prefix=n&limit=1":           "never:REJECTED narrow:WAITING",
		"prefix=N":                   "",
		"since=" + url.QueryEscape(began.Add(2*time.Second).Format(time.RFC3339)): "far:FAILED never:REJECTED " + dry + ":QUOTED",
	} {
		if got := w.listed(query); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
	first := get[Requests](w, "/recent?prefix=first").Requests[0]
	if first.Resource != prName || len(first.Ask) != 1 || first.Job == "" || first.Times.Submitted.IsZero() {
		t.Errorf("%+v", first)
	}
}

func TestRecentBadParameters(t *testing.T) {
	w := busy(t)
	for _, query := range []string{"state=DREAMING", "state=WAITING,DREAMING", "since=yesterday", "since=24h", "limit=0", "after=%21", "resource=a/b"} {
		if e := w.fails("GET", "/recent?"+query, "", 400); e.Fix == "" || !strings.Contains(e.Detail, query[:strings.IndexByte(query, '=')]) {
			t.Errorf("?%s: %v", query, e)
		}
	}
}

// TestRecentIsBounded: a page reads a bounded number of records, even if it
// shows few, and the next page continues after them.
func TestRecentIsBounded(t *testing.T) {
	w := newWorld(t)
	var recs []*ledger.Record
	const n = 2*recentScan + 10
	for i := range n {
		recs = append(recs, &ledger.Record{Key: message.Key(fmt.Sprintf("k%04d", i)), Kind: message.KindRequest, Tenant: "default", ID: fmt.Sprintf("r%04d", i),
			Times: message.Times{Received: w.now.Add(time.Duration(i) * time.Second)}, Reservation: lifecycle.Reservation{State: lifecycle.Succeeded}})
	}
	recs[0].ID = "the-oldest"
	w.put(&ledger.Resource{Name: parent + "/persistentResources/none"}, recs...)
	counted := &readCounter{Ledger: w.ledger}
	w.handler = New(w.c, counted, Info{Project: "test-project", Regions: []string{"us-central1"}})
	for page, after := 0, ""; ; page++ {
		counted.records, counted.most = 0, 0
		p := get[Requests](w, "/recent?prefix=the&after="+after)
		if counted.records > recentScan || counted.most > recentRead {
			t.Fatalf("page %d reads %d records, up to %d at once", page, counted.records, counted.most)
		}
		if after = p.Next; after == "" {
			if page != n/recentScan || len(p.Requests) != 1 {
				t.Errorf("page %d is the last one: %+v", page, p)
			}
			break
		}
	}
	counted.records = 0
	if _ = get[Requests](w, "/recent?limit=3"); counted.records != 4 {
		t.Errorf("a page of 3 reads %d records, want one more to know of a next page", counted.records)
	}
}

type readCounter struct {
	ledger.Ledger
	records, most int
}

func (c *readCounter) List(ctx context.Context, f ledger.Filter, after string, limit int) ([]*ledger.Record, error) {
	recs, err := c.Ledger.List(ctx, f, after, limit)
	c.records += len(recs)
	c.most = max(c.most, limit)
	return recs, err
}

func TestRequestOfJob(t *testing.T) {
	w := busy(t)
	name := get[Request](w, "/requests/first").Job
	number := name[strings.LastIndexByte(name, '/')+1:]
	byNumber := strings.Replace(name, "test-project", "123456", 1)
	for _, id := range []string{name, number, byNumber} {
		for _, kind := range []string{"", "?kind=job"} {
			if r := get[Request](w, "/requests/"+url.PathEscape(id)+kind); r.ID != "first" || r.Resource != prName || r.Hold == nil {
				t.Errorf("%s%s: %+v", id, kind, r)
			}
		}
	}
	for _, id := range []string{
		strings.Replace(name, "us-central1", "europe-west4", 1), // a job of the same number elsewhere
		strings.Replace(name, "customJobs", "pipelineJobs", 1), number + "0", "x" + number, name + "/x",
	} {
		_ = w.fails("GET", "/requests/"+url.PathEscape(id)+"?kind=job", "", 404)
	}
	w.info.AllTenants = true
	w.handler = New(w.c, w.ledger, w.info)
	_ = w.fails("GET", "/requests/"+number+"?tenant=other", "", 404)
	_ = w.fails("GET", "/requests/"+number+"?kind=request", "", 404)
	// An id is an id first, even if it has the form of a job's number.
	w.send(job(number, cpu, 1, 0))
	if r := get[Request](w, "/requests/"+number); r.ID != number {
		t.Errorf("%+v", r)
	}
	if text, _ := json.Marshal(get[Request](w, "/requests/"+number+"?kind=job").ID); string(text) != `"first"` {
		t.Errorf("by job: %s", text)
	}
}
