package controller_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
)

// TestQuotes: what would happen to a message is answered with everything that its
// publisher would be told, and changes nothing.
func TestQuotes(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 3, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "waits", CPU: 4, Spec: timeout("3h")})
	w.Cancel("cancelled")
	count := func() (n int64) {
		for _, r := range w.Ledger.Records() {
			n += r.Sequence
		}
		return n
	}
	before, stored := len(w.Out.All()), count()
	for name, c := range map[string]struct {
		data     []byte
		verdict  string
		code     reason.Code
		path     string
		problems int
		says     string // of the detail and the fix
	}{
		"no JSON":           {[]byte("{"), "REFUSE", reason.Malformed, "", 1, ""},
		"two faults":        {[]byte(`{"job": {"jobSpec": {"workerPoolSpecs": 7, "neverHeard": 1}}}`), "REFUSE", reason.InvalidValue, "job.jobSpec.workerPoolSpecs", 2, ""},
		"a cancel":          {[]byte(`{"cancel": {"requestId": "runs"}}`), "REFUSE", reason.Unsupported, "", 1, "this is a cancel"},
		"the same":          {sim.Job{ID: "runs", CPU: 3, Spec: timeout("2h")}.Body(), "REFUSE", reason.IDReused, "requestId", 0, "known already"},
		"another":           {sim.Job{ID: "runs", CPU: 2}.Body(), "REFUSE", reason.IDReused, "requestId", 0, "under a new id"},
		"cancelled before":  {sim.Job{ID: "cancelled", CPU: 1}.Body(), "REFUSE", reason.CancelRequested, "", 0, ""},
		"another project":   {sim.Job{ID: "x", CPU: 1, Resource: "projects/other/locations/us-central1/persistentResources/pool"}.Body(), "REFUSE", reason.ForeignResource, "persistentResource", 0, ""},
		"no such resource":  {sim.Job{ID: "x", CPU: 1, Resource: "nothing"}.Body(), "REFUSE", reason.UnknownResource, "persistentResource", 0, ""},
		"never fits":        {sim.Job{ID: "x", CPU: 5}.Body(), "REFUSE", reason.TooManyReplicas, "job.jobSpec.workerPoolSpecs[0]", 0, "replicaCount"},
		"fits":              {sim.Job{ID: "x", GPU: 1}.Body(), "ADMIT", "", "", 0, ""},
		"short enough":      {sim.Job{ID: "x", CPU: 1, Spec: timeout("1h")}.Body(), "ADMIT", "", "", 0, ""},
		"too long":          {sim.Job{ID: "x", CPU: 1, Spec: timeout("9h")}.Body(), "WAIT", reason.Behind, "", 0, "of at most 2h44m"},
		"fewer could start": {sim.Job{ID: "x", CPU: 2, Spec: timeout("1h")}.Body(), "WAIT", reason.Full, "", 0, "With at most 1 in job.jobSpec.workerPoolSpecs[0].replicaCount it could start now."},
		"before all":        {sim.Job{ID: "x", CPU: 4, Priority: 1}.Body(), "WAIT", reason.Full, "", 0, ""},
	} {
		o, err := w.Controller.Quote(t.Context(), sim.Tenant, message.Delivery{ID: "q", Data: c.data, PublishTime: w.Now})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o.Verdict != c.verdict || o.MessageID != "q" || o.Tenant != sim.Tenant || len(o.Problems) != c.problems {
			t.Errorf("%s: %+v, want %s with %d problems", name, o, c.verdict, c.problems)
		}
		switch p := o.Reason; {
		case c.code == "" && p != nil, c.code != "" && p == nil:
			t.Errorf("%s: the reason is %+v, want %q", name, p, c.code)
		case p != nil && (p.Code != c.code || p.Path != c.path && c.path != "" || !strings.Contains(p.Detail+" "+p.Fix, c.says)):
			t.Errorf("%s: the reason is %+v, want %s at %s with %q", name, p, c.code, c.path, c.says)
		}
		waits := c.verdict == "WAIT"
		if bound := !o.Bound.IsZero(); bound != (name == "too long" || name == "fewer could start") || bound && !o.Bound.After(w.Now.Add(24*time.Hour)) {
			t.Errorf("%s: the bound is %s", name, o.Bound)
		}
		if fits := o.Type == message.Quoted && (c.code == "" || waits || c.code == reason.TooManyReplicas); fits && (o.Fit == nil || o.ObservedAt == nil || o.Ahead == nil) {
			t.Errorf("%s: %+v", name, o)
		}
		if reserved := !o.StartsBy.IsZero(); reserved != (name == "before all") {
			t.Errorf("%s: it would start by %s", name, o.StartsBy)
		}
		if want := map[string]int{"too long": 1, "never fits": 1}[name]; o.Ahead != nil && *o.Ahead != want {
			t.Errorf("%s: %d are ahead, want %d", name, *o.Ahead, want)
		}
	}
	o, err := w.Controller.Quote(t.Context(), sim.Tenant, message.Delivery{ID: "q", Data: sim.Job{ID: "x", CPU: 2}.Body()})
	if err != nil || !slices.ContainsFunc(o.Warnings, func(p reason.Problem) bool { return p.Path == "job.jobSpec.scheduling.timeout" }) {
		t.Errorf("a job without a limit that would wait is warned of %v, %v", o.Warnings, err)
	}
	if len(w.Out.All()) != before || count() != stored {
		t.Error("a question has changed something")
	}
	w.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if _, err := w.Controller.Quote(t.Context(), sim.Tenant, message.Delivery{ID: "q", Data: sim.Job{ID: "x", CPU: 1}.Body()}); !errors.Is(err, ledger.ErrInjected) {
		t.Errorf("without the ledger: %v", err)
	}
}
