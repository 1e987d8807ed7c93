package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// TestFitIsInTheWordsOfTheVerdict: a waiting job is never reported to fit.
func TestFitIsInTheWordsOfTheVerdict(t *testing.T) {
	for _, c := range []struct {
		finding capacity.Finding
		waits   bool
		want    string
	}{
		{capacity.Finding{Verdict: capacity.Fits}, false, "fits"},
		{capacity.Finding{Verdict: capacity.Fits, ScaleUp: true}, false, "fits after scaling up"},
		{capacity.Finding{Verdict: capacity.Fits}, true, "has room, but waits"},
		{capacity.Finding{Verdict: capacity.Fits, ScaleUp: true}, true, "has room, but waits"},
		{capacity.Finding{Verdict: capacity.Full}, true, "full"},
		{capacity.Finding{Verdict: capacity.Never}, true, "never"},
		{capacity.Finding{Verdict: capacity.Never}, false, "never"},
	} {
		if got := fitWord(c.finding, c.waits); got != c.want {
			t.Errorf("%+v, waits %t: %q, want %q", c.finding, c.waits, got, c.want)
		}
	}
}

// answers runs the tool against a Status function that answers every call with
// one value.
func answers(t *testing.T, v any, args ...string) (code int, out, errOut string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	var b, e bytes.Buffer
	code = run(append(args, "--project=p", "--status-url="+server.URL), strings.NewReader(""), &b, &e)
	return code, b.String(), e.String()
}

// TestQueueShowsParkedRequests: a parked request has no position, and shows why
// it waits and what happens next.
func TestQueueShowsParkedRequests(t *testing.T) {
	const pool = "projects/p/locations/us-central1/persistentResources/pool"
	shape := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	odd := &reason.Problem{Code: reason.SpecMismatch, Detail: "No pool has it."}
	ahead := 0
	code, out, errOut := answers(t, statuspage.Queue{Waiting: []statuspage.Waiter{
		{Position: 1, ID: "first", Resource: pool, Ask: capacity.Ask{{Shape: shape, Replicas: 1}}, Waited: statuspage.Duration(time.Minute), Live: statuspage.Live{Verdict: admission.Admit, Ahead: &ahead}},
		{Parked: true, ID: "odd", Resource: pool, Ask: capacity.Ask{{Shape: shape, Replicas: 9}}, Waited: statuspage.Duration(time.Hour),
			Live: statuspage.Live{Verdict: admission.Wait, Reason: odd, ContradictedSince: time.Unix(1, 0)}},
		{Position: 2, ID: "next", Resource: pool, Ask: capacity.Ask{{Shape: shape, Replicas: 4}}, Waited: statuspage.Duration(time.Second),
			Live: statuspage.Live{Verdict: admission.Wait, Reason: &reason.Problem{Code: reason.Full, Detail: "No."}, StartsBy: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}},
	}}, "queue")
	want := pool + `
  #       REQUEST  PRIORITY  ASKED                         WAITED  REASON
  1       first    0         1 x n1-standard-4/pd-ssd:100  1m0s    it fits now, and starts at the next pass
  parked  odd      0         9 x n1-standard-4/pd-ssd:100  1h0m0s  SPEC_MISMATCH: No pool has it. It is refused if that lasts.
  2       next     0         4 x n1-standard-4/pd-ssd:100  1s      FULL: No. It starts by 2026-03-01 12:00:00 UTC at the latest.
`
	if code != 0 || errOut != "" || out != want {
		t.Errorf("it ends with %d, %q and\n%s\nwant\n%s", code, errOut, out, want)
	}
}

// TestExplainPrintsEveryCause: a cause that is not about replicas is printed
// beside the edits of the machines.
func TestExplainPrintsEveryCause(t *testing.T) {
	var b bytes.Buffer
	reasons(&b, message.Outcome{Verdict: string(admission.Refuse), Reason: &reason.Problem{Code: reason.NetworkMismatch,
		Fix: "Leave out network; the persistent resource has none. To fit: set a to b."},
		Fit: []capacity.Finding{{Verdict: capacity.Never, Edits: []capacity.Edit{{Path: "a", To: "b"}}}}})
	if out := b.String(); !strings.HasPrefix(out, "  Leave out network; the persistent resource has none.\n") || !strings.HasSuffix(out, "To fit:\n  set a to b\n") || strings.Count(out, "To fit") != 1 {
		t.Errorf("it says\n%s", out)
	}
}
