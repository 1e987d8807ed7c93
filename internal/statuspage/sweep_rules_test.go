package statuspage

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// everyKind is a deployment in which there is something of every kind to see: requests in
// every state and of two tenants, refused messages, a tombstone, parked requests, foreign
// jobs, two more resources, of which one is gone, and a document that cannot be read.
func everyKind(t *testing.T) *world {
	w := newWorld(t)
	tick := func(after time.Duration) {
		t.Helper()
		w.now = w.now.Add(after)
		if _, err := w.c.Reconcile(context.Background(), "tick", 0); err != nil {
			t.Fatal(err)
		}
	}
	jobOf := func(id string) string {
		t.Helper()
		for _, r := range w.ledger.Records() {
			if r.ID == id && r.Kind == message.KindRequest {
				return r.Reservation.Job
			}
		}
		return ""
	}
	second, third := parent+"/persistentResources/second", "projects/test-project/locations/europe-west4/persistentResources/pool"
	for _, name := range []string{second, third} {
		w.vertex.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 1}}})
	}
	on := func(data []byte, name string) []byte {
		return []byte(strings.Replace(string(data), "{", `{"persistentResource":"`+name+`",`, 1))
	}
	w.send(job("ends", cpu, 1, 0))
	w.send(job("fails", cpu, 1, 0))
	w.send(job("cancelled", cpu, 1, 0))
	tick(time.Minute)
	w.vertex.SetJob(jobOf("ends"), vertex.JobSucceeded)
	w.vertex.SetJob(jobOf("fails"), vertex.JobFailed)
	w.send([]byte(`{"cancel":{"requestId":"cancelled","reason":"no need"}}`))
	w.vertex.SetJob(jobOf("cancelled"), vertex.JobCancelled)
	tick(time.Minute)
	w.send(job("runs", cpu, 3, 0))
	w.send(job("", gpu, 1, 0))
	w.sendAs("other", job("theirs", gpu, 1, 0))
	w.vertex.SetJob(jobOf("runs"), vertex.JobRunning)
	w.send(job("wide", cpu, 4, 0))
	w.send(job("behind", cpu, 1, -7))
	w.sendAs("other", job("waits", cpu, 2, 3))
	w.send(job("never", cpu, 9, 0))
	w.send([]byte(`{"job":7}`))
	w.send([]byte(`{"requestId":"claimed","job":{"neverHeard":1}}`))
	w.send([]byte(`{"cancel":{"requestId":"to-come"}}`))
	w.send(on(job("second", cpu, 1, 0), "second"))
	w.send(on(job("parked", cpu, 1, 0), second))
	w.send(on(job("far", cpu, 1, 0), third))
	w.send(on(job("waitsfar", cpu, 1, 0), third))
	w.vertex.AddForeign(parent, "pool", capacity.Ask{{Shape: gpu, Replicas: 2}})
	tick(time.Minute)
	w.vertex.SetResource(second, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{{ID: "gpu", Shape: gpu, Count: 1}}})
	tick(time.Minute)
	w.vertex.SetResource(third, vertex.Resource{})
	w.send([]byte(`{"cancel":{"requestId":"far"}}`))
	tick(3 * time.Minute)
	w.ledger.Spoil(ledger.RecordRef(message.KeyOf("default", message.KindRequest, "behind")), "it has layout 9")
	w.now = w.now.Add(30 * time.Second)
	return w
}

// TestSweep asks everything that can be asked, rightly and wrongly, and holds each answer
// whole, and what it costs. A change of
// a field, of a text or of an order shows as a difference.
func TestSweep(t *testing.T) {
	w := everyKind(t)
	var names []string
	for _, r := range w.ledger.Records() {
		names = append(names, r.ID)
	}
	if len(names) != 19 {
		t.Fatalf("%v are there", names)
	}
	cursor := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	lists := []string{"/pools", "/queue", "/requests", "/recent", "/usage"}
	var paths []string
	ask := func(list ...string) { paths = append(paths, list...) }
	ask("/", "/Status", "/Status/health", "/health", "/health/", "//", "/nothing", "/Statushealth", "/health?x=%ff", "/health?x=%", "/requests/x%00", "/requests/"+strings.Repeat("x", 513))
	for _, list := range lists {
		ask(list)
		for _, parameter := range []string{"limit=1", "limit=2", "limit=0", "limit=x", "limit=-1", "limit=1000", "limit=1&limit=2", "resource=pool", "resource=second", "resource=none", "resource=a~b",
			"resource=" + prName, "resource=projects/p/locations/l/persistentResources/none", "resource=projects/p", "after=x", "after=" + cursor("{"), "after=" + cursor("{}"), "after=" + cursor(`{"r":"pool"}`),
			"after=" + cursor(`{"s":"NO"}`), "after=" + cursor(`{"p":-1}`), "after=" + cursor(`{"o":"`+strings.Repeat("x", 200)+`"}`), "after=" + cursor(`{"r":"`+prName+`"}`), "after=" + cursor(`{"r":"`+prName+`","d":true}`),
			"after=" + cursor(`{"r":"`+prName+`","s":"RUNNING"}`), "tenant=default", "tenant=other", "tenant=" + strings.Repeat("x", 257), "state=waiting", "state=WAITING", "state=x", "state=failed,succeeded", "state=RUNNING&state=WAITING",
			"since=2026-11-23T12:02:00Z", "since=2027-01-01T00:00:00Z", "since=x", "prefix=w", "prefix=none"} {
			ask(list + "?" + parameter)
		}
	}
	for _, id := range []string{"ends", "fails", "cancelled", "runs", "wide", "behind", "never", "to-come", "second", "parked", "far", "waitsfar", "104", "106", "111", "114", "1000", "999999", "none", "a%2Fb", parent + "/customJobs/1000"} {
		id = strings.ReplaceAll(id, "/", "%2F")
		ask("/requests/" + id)
		for _, kind := range []string{"request", "message", "answer", "job", "x"} {
			if id == "runs" || id == "106" || id == "1000" {
				ask("/requests/" + id + "?kind=" + kind)
			}
		}
	}
	ask("/requests/theirs", "/requests/theirs?tenant=other", "/requests/runs?tenant=default")
	var out strings.Builder
	seen := map[string]string{}
	before := w.ledger.Stats()
	note := func(what string, code int, text string) {
		answer := fmt.Sprintf("%d %s", code, strings.TrimSpace(text))
		if first, again := seen[answer]; again {
			answer = "as " + first
		} else {
			seen[answer] = fmt.Sprintf("%.200s", what)
		}
		now := w.ledger.Stats()
		fmt.Fprintf(&out, "%.200s (%d reads of %d documents, %d queries, %d commits)\n%s\n", what, now.Reads-before.Reads, now.DocsRead-before.DocsRead, now.Queries-before.Queries, now.Commits-before.Commits, answer)
		before = now
	}
	for _, all := range []bool{false, true} {
		w.info.AllTenants = all
		w.handler = New(w.c, w.ledger, w.info)
		fmt.Fprintf(&out, "# all tenants: %v\n", all)
		for _, path := range paths {
			code, text := w.do("GET", path, "")
			note(path, code, text)
		}
	}
	for _, method := range []string{"POST", "DELETE", "HEAD", "PUT"} {
		for _, path := range []string{"/", "/pools", "/requests/runs", "/explain", "/nothing"} {
			if method == "HEAD" || path == "/explain" && method == "POST" {
				continue
			}
			code, text := w.do(method, path, "{}")
			note(method+" "+path, code, text)
		}
	}
	body := func(data []byte, more string) string {
		return `{"data":"` + base64.StdEncoding.EncodeToString(data) + `"` + more + `}`
	}
	for _, text := range []string{"", "{", "[]", `{"data":7}`, `{"more":1}`, `{"data":""} x`, body(job("new", cpu, 1, 0), ""), body(job("new", cpu, 9, 0), ""), body(job("runs", cpu, 3, 0), ""), body(job("runs", cpu, 1, 0), ""),
		body(job("", gpu, 1, 0), ""), body(job("new", cpu, 4, 99), ""), body(job("new", cpu, 4, -99), ""), body(job("to-come", cpu, 1, 0), ""), body(job("new", cpu, 1, 0), `,"attributes":{"berth-priority":"x"}`),
		body(job("new", cpu, 1, 0), `,"attributes":{"berth-persistent-resource":"second"}`), body([]byte(`{"cancel":{"requestId":"runs"}}`), "")} {
		code, answer := w.do("POST", "/explain", text)
		note(fmt.Sprintf("POST /explain %.60s", text), code, answer)
	}
	if code, _ := w.do("POST", "/explain", body(make([]byte, maxBody), "")); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", code)
	}
	const file = "testdata/sweep.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")))
	}
}
