package statuspage

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// noQuotes fails.
type noQuotes struct{}

func (noQuotes) Quote(context.Context, string, message.Delivery) (controller.Quoted, error) {
	return controller.Quoted{}, errors.New("it is down")
}

func (noQuotes) PolicyOf(context.Context, string) (admission.Policy, error) {
	return admission.Policy{}, errors.New("it is down")
}

// TestFailuresAreSaid: whatever of the ledger fails, the answer is that of a service that is
// to be asked again, with what failed, and never an empty list.
func TestFailuresAreSaid(t *testing.T) {
	w := everyKind(t)
	for path, want := range map[string][2]string{ // when reads fail, and when queries do
		"/health":              {"read the reconcile lease: ", ""},
		"/pools":               {"", "list resources: "},
		"/queue":               {"", "list resources: "},
		"/requests":            {"", "list resources: "},
		"/recent":              {"", "list recent requests: "},
		"/usage":               {"", "list resources: "},
		"/requests/wide":       {"read request: ", ""},
		"/requests/77777":      {"read request: ", "find the request of job 77777: "},
		"/queue?resource=pool": {"", "list waiting requests of projects/test-project/locations/europe-west4/persistentResources/pool: "}, "/requests?resource=second": {"", "in "}, "/usage?resource=pool": {"read usage: ", ""},
	} {
		for i, fault := range []map[string]ledger.Fault{{ledger.OpRead: ledger.FailRead}, {ledger.OpQuery: ledger.FailRead}} {
			w.ledger.Fault = func(op string) ledger.Fault { return fault[op] }
			code, text := w.do("GET", path, "")
			w.ledger.Fault = nil
			if i == 1 && want[1] == "" {
				continue // it makes no query, or goes on without
			}
			if code != http.StatusServiceUnavailable || !strings.Contains(text, `{"error":{"code":"UNAVAILABLE","detail":"`) || !strings.Contains(text, `"fix":"Try again in a moment."}}`) || !strings.Contains(text, want[i]) {
				t.Errorf("%s, %v: %d %s; want %q", path, fault, code, text, want[i])
			}
		}
	}
	w.handler = New(noQuotes{}, w.ledger, w.info)
	if code, text := w.do("POST", "/explain", `{"data":"e30="}`); code != http.StatusServiceUnavailable || text != `{"error":{"code":"UNAVAILABLE","detail":"explain: it is down","fix":"Try again in a moment."}}`+"\n" {
		t.Errorf("without a quoter: %d %s", code, text)
	}
}

// TestForeignJobsAreBounded: a document that lists more foreign jobs than Berth writes, by
// another release or by hand, does not make the answer grow.
func TestForeignJobsAreBounded(t *testing.T) {
	w := newWorld(t)
	res := &ledger.Resource{Name: prName, State: "RUNNING", ObservedAt: w.now}
	for range 130 {
		res.Foreign = append(res.Foreign, ledger.Foreign{Job: parent + "/customJobs/1", Ask: capacity.Ask{{Shape: cpu, Replicas: 1}}})
	}
	w.put(res)
	if got := get[Pools](w, "/pools").Resources[0]; len(got.Foreign) != 100 || got.ForeignJobs != 130 || got.Shapes[0].Foreign != 130 {
		t.Errorf("%d of %d are shown, %+v", len(got.Foreign), got.ForeignJobs, got.Shapes)
	}
}
