package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/vertex"
)

// secretRequest has a word of its own in every place of a job where a secret may stand.
// The words of labels and display name may show in events and in Status: they are for
// that. All begin with "canary".
const secretRequest = `{
  "requestId": "@ID@", "displayName": "canary-name", "labels": {"team": "canary-label"}, "onFull": "@FULL@", "persistentResource": "pool",
  "job": {
    "labels": {"stage": "canary-label"},
    "jobSpec": {
      "scheduling": {"timeout": "3600s"}, "serviceAccount": "canary-account@test-project.iam.gserviceaccount.com",
      "baseOutputDirectory": {"outputUriPrefix": "gs://canary-output/path"},
      "tensorboard": "projects/board/locations/us-central1/tensorboards/1", "experiment": "projects/p/locations/l/metadataStores/m/contexts/experiment",
      "workerPoolSpecs": [
        {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": @N@,
         "nfsMounts": [{"server": "canary-nfs", "path": "/canary-path", "mountPoint": "canary-mount"}],
         "containerSpec": {"imageUri": "gcr.io/p/canary-image", "command": ["canary-command"], "args": ["--password=canary-arg"],
           "env": [{"name": "VARIABLE", "value": "canary-env"}]}},
        {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1,
         "pythonPackageSpec": {"executorImageUri": "gcr.io/p/canary-executor", "packageUris": ["gs://canary-package/p.tar.gz"], "pythonModule": "canary.module",
           "args": ["canary-python-arg"], "env": [{"name": "KEY", "value": "canary-python-env"}]}}
      ]
    }
  }
}`

// shownByDesign are the words that events and Status have for the tenant.
var shownByDesign = []string{"canary-name", "canary-label"}

// anyCanary finds a word of the request, in any case.
var anyCanary = regexp.MustCompile(`(?i)canary[a-z.@_-]*`)

// betrayed are the words in a text, but for those allowed.
func betrayed(text string, allowed ...string) (words []string) {
	for _, word := range anyCanary.FindAllString(text, -1) {
		if !slices.Contains(allowed, word) && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

func secretData(id, onFull string, n int) []byte {
	return []byte(strings.NewReplacer("@ID@", id, "@FULL@", onFull, "@N@", fmt.Sprint(n)).Replace(secretRequest))
}

// secretive is a deployment with such requests in every state that a request can have,
// while Vertex AI quotes the whole job in each of its errors.
func secretive(t *testing.T) *recording {
	cfg := settings(t, "BERTH_LOG_LEVEL=debug", "BERTH_SERVICE_ACCOUNTS=allow", "BERTH_STATUS_ALL_TENANTS=true")
	s := &site{World: sim.New(quiet{t}), log: &bytes.Buffer{}}
	s.Config = cfg.controller()
	log, runs := newLogger(s.log, cfg.LogLevel), atomic.Int64{}
	s.Controller = controller.New(s.Config, s.Ledger, s.Vertex, s.Out, log, controller.Env{
		Monotonic: func() time.Time { return s.Now },
		Sleep:     func(_ context.Context, d time.Duration) error { s.Now = s.Now.Add(d); return nil },
		NewRun:    func() string { return fmt.Sprintf("run%d", runs.Add(1)) },
	})
	s.app = assemble(cfg, log, s.Controller, s.Ledger)
	r := record(t, s)
	s.app.now = func() time.Time { return s.Now }
	s.Tick = func() error {
		return push(s.app.reconcile, message.Delivery{ID: fmt.Sprint("tick", s.Now.UnixNano()), PublishTime: s.Now})
	}
	number := 0
	send := func(data []byte) {
		number++
		if w := post(s.app.admit, message.Delivery{ID: fmt.Sprint(number), PublishTime: s.Now, Data: data, Attributes: map[string]string{"traceparent": "canary-trace", "googclient_traceparent": "canary-trace", "canary-key": "canary-value"}}.Push()); w.Code != http.StatusOK || w.Body.Len() > 0 {
			t.Fatalf("message %d: %d %s", number, w.Code, w.Body)
		}
	}
	fail := func(kind vertex.Kind) {
		s.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
			return &vertex.Error{Op: "create", Kind: kind, Code: 3, Message: "it does not like " + job.String(), Err: fmt.Errorf("rpc error: %s", job)}
		}
	}
	send(secretData("runs", "queue", 1))
	s.Vertex.SetJob(s.JobOf("runs"), vertex.JobRunning)
	send(secretData("ends", "queue", 1))
	s.Vertex.SetJob(s.JobOf("ends"), vertex.JobSucceeded)
	s.After(time.Minute)
	for i, kind := range []vertex.Kind{vertex.Permanent, vertex.Transient, vertex.RateLimited, vertex.Unclear, vertex.Denied} {
		fail(kind)
		send(secretData(fmt.Sprint("fails", i), "queue", 1))
		s.After(2 * time.Minute)
	}
	s.Vertex.Admit = nil
	send(secretData("fails0", "queue", 1)) // it has ended
	send(secretData("waits", "queue", 3))
	send(secretData("huge", "queue", 99))
	send(secretData("full", "reject", 3))
	send(secretData("runs", "queue", 2))             // the id is in use
	send(secretData("runs", "queue", 1))             // a duplicate
	send(secretData("later", "queue", 3))            // waits, and is cancelled
	send([]byte(`{"cancel":{"requestId":"later"}}`)) //
	send(bytes.Replace(secretData("dry", "queue", 1), []byte(`"onFull"`), []byte(`"dryRun":true,"onFull"`), 1))
	// A job that is refused in every place: the reasons name the places.
	var root any
	if err := json.Unmarshal(secretData("bad", "queue", 1), &root); err != nil {
		t.Fatal(err)
	}
	for _, data := range wrong(root) {
		send(data)
	}
	send([]byte(`{"requestId": "torn", "job": {"jobSpec": {"serviceAccount": "canary-account@`)) // cut off inside a word
	send([]byte("requestId: torn\njob:\n  - canary-arg: [\"canary-env\n"))
	s.After(2 * time.Minute)
	return r
}

// wrong returns the document once for every text in it, with a list, a number and a text
// that cannot be there in its place; a text keeps its word.
func wrong(root any) (all [][]byte) {
	var visit func(v any, set func(any))
	visit = func(v any, set func(any)) {
		switch v := v.(type) {
		case string:
			for _, other := range []any{[]any{v}, map[string]any{v: v}, v + "\x00\n\x1b[2J", strings.Repeat(v+" ", 300), " " + v} {
				set(other)
				if data, err := json.Marshal(root); err == nil {
					all = append(all, data)
				}
			}
			set(v)
		case []any:
			for i := range v {
				visit(v[i], func(to any) { v[i] = to })
			}
		case map[string]any:
			for key, value := range v {
				visit(value, func(to any) { v[key] = to })
			}
		}
	}
	visit(root, nil)
	return all
}

// TestNoSecretShows walks every outlet of the entry points: the log, the standard streams,
// each span and count, each event, and each route of Status as its index lists them, for every request, job and
// message.
func TestNoSecretShows(t *testing.T) {
	printed := captureOutput(t)
	s := secretive(t)
	if words := betrayed(s.log.String()); len(words) > 0 || s.log.Len() == 0 {
		t.Errorf("the log says %v", words)
	}
	names := map[string]bool{}
	for _, span := range s.spans.Ended() {
		names[span.Name()] = true
		text, _ := json.Marshal(tracetest.SpanStubFromReadOnlySpan(span))
		if words := betrayed(string(text)); len(words) > 0 {
			t.Errorf("span %s says %v: %s", span.Name(), words, text)
		}
	}
	if len(names) < 10 {
		t.Errorf("only spans %v", names)
	}
	if text := s.counted(); len(betrayed(text)) > 0 {
		t.Errorf("the counts say %v: %s", betrayed(text), text)
	}
	states := map[string]bool{}
	for _, e := range s.Out.All() {
		states[string(e.Type)] = true
		data, attributes, err := e.PubSub(message.Source{Project: "p", Deployment: "d"})
		if err != nil {
			t.Fatal(err)
		}
		attr, _ := json.Marshal(attributes)
		if words := betrayed(string(data), shownByDesign...); len(words) > 0 {
			t.Errorf("event %s says %v: %s", e.Type, words, data)
		}
		if words := betrayed(string(attr)); len(words) > 0 {
			t.Errorf("the attributes of event %s say %v", e.Type, words)
		}
	}
	if len(states) < 10 {
		t.Errorf("only events %v", states)
	}
	ask := func(method, path, body string) string {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		w := httptest.NewRecorder()
		s.app.answer(w, r)
		if words := betrayed(w.Body.String(), shownByDesign...); len(words) > 0 {
			t.Errorf("%s %s shows %v: %s", method, path, words, w.Body)
		}
		return w.Body.String()
	}
	var index statuspage.Index
	if err := json.Unmarshal([]byte(ask("GET", "/", "")), &index); err != nil || len(index.Routes) < 9 {
		t.Fatalf("%v: %+v", err, index)
	}
	for _, route := range index.Routes {
		switch {
		case route.Method == "POST":
			for _, data := range [][]byte{secretData("new", "queue", 1), secretData("runs", "queue", 1), secretData("runs", "queue", 2), secretData("new", "reject", 99), []byte(`{"job": "canary-env`)} {
				ask("POST", route.Path, `{"data":"`+base64.StdEncoding.EncodeToString(data)+`"}`)
			}
			ask("POST", route.Path, string(secretData("new", "queue", 1))) // not as a message
			ask("POST", route.Path, `{"data":"canary-env"}`)
		case strings.Contains(route.Path, "{id}"):
			for _, rec := range s.Ledger.Records() {
				for _, name := range []string{rec.ID, rec.Reservation.Job} {
					if name != "" {
						ask("GET", strings.Replace(route.Path, "{id}", url.PathEscape(name), 1), "")
					}
				}
			}
		default:
			for after := ""; ; {
				var page struct{ Next string }
				_ = json.Unmarshal([]byte(ask("GET", route.Path+"?limit=200&after="+after, "")), &page)
				if after = page.Next; after == "" {
					break
				}
			}
		}
	}
	// What fails while it is asked for.
	for name, spoil := range map[string]func(){
		"a ledger that is away": func() { s.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead } },
		"documents that cannot be read": func() {
			s.Ledger.Fault = nil
			for _, rec := range s.Ledger.Records() {
				s.Ledger.Spoil(rec.Ref(), "json: cannot unmarshal string into field")
			}
		},
	} {
		spoil()
		for _, path := range []string{"/requests/runs", "/queue", "/recent", "/requests", "/pools", "/usage", "/health"} {
			ask("GET", path, "")
		}
		_ = s.Tick()
		if words := betrayed(s.log.String()); len(words) > 0 {
			t.Errorf("with %s the log says %v", name, words)
		}
	}
	if out := printed(); len(betrayed(out)) > 0 {
		t.Errorf("printed: %v", betrayed(out))
	}
}
