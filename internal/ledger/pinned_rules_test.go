package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// TestHeadOfARecord: what a plan needs of a request, field by field.
func TestHeadOfARecord(t *testing.T) {
	r := waiting(7, 3, small)
	r.Timeout, r.Requeues, r.Spec, r.Tenant, r.Place.Within = 2*time.Hour, 1, "0123456789", "t", true
	h := r.Head()
	if h.ID != "k007" || h.Order != r.Order || !h.Key.Equal(noon.Add(7*time.Second)) || !slices.Equal(h.Demand, r.Ask) || h.Limit != 2*time.Hour || !h.Slow || h.Bytes != 10 || h.Tenant != "t" || !h.Within {
		t.Errorf("%+v", h)
	}
	if r.Requeues, r.Place.Within = 0, false; r.Head().Slow || r.Head().Within {
		t.Error("one that was never late is slow, or one beyond its share within it")
	}
	for order, want := range map[string]time.Time{r.Order: noon.Add(7 * time.Second), "": {}, "1000-": {}, "1000-2026": {}, "1000-2026x123T120007.000000000-k": {}, OrderKey(-1000, noon.Add(1), "k"): noon.Add(1)} {
		if got := orderTime(order); !got.Equal(want) {
			t.Errorf("the time in %q is %v, want %v", order, got, want)
		}
	}
}

// TestWeightsAreWhatTheyWere: the bounds of commits and of documents rest on these.
func TestWeightsAreWhatTheyWere(t *testing.T) {
	hold := func(n int) *Resource {
		r := &Resource{Name: "r"}
		for i := range n {
			rec := waiting(i, 0, small)
			rec.State, rec.Tenant, rec.Run = lifecycle.Running, "team", "run"
			r.Hold(rec, noon)
		}
		return r
	}
	queued := func(n int) *Resource {
		r := &Resource{Name: "r"}
		for i := range n {
			rec := waiting(i, 0, small)
			rec.Tenant = "team"
			r.Join(rec)
		}
		return r
	}
	for name, got := range map[string]int{
		"an empty record":        (&Record{}).Weight(),
		"a specification":        (&Record{Spec: strings.Repeat("x", 2048)}).Weight(),
		"an empty resource":      (&Resource{}).Weight(),
		"one hold":               hold(1).Weight(),
		"two holds":              hold(2).Weight() - hold(1).Weight(),
		"one in the queue":       queued(1).Weight() - (&Resource{}).Weight(),
		"a second one":           queued(2).Weight() - queued(1).Weight(),
		"the seventeenth":        queued(17).Weight() - queued(16).Weight(),
		"a head of one":          queued(5).weight(1) - queued(1).weight(1),
		"no head":                queued(5).weight(0) - queued(1).weight(0),
		"a pool":                 (&Resource{Pools: make([]capacity.Pool, 3)}).Weight() - (&Resource{Pools: make([]capacity.Pool, 2)}).Weight(),
		"one that is skipped":    (&Resource{Skipped: map[message.Key]bool{"a": true}}).Weight() - (&Resource{}).Weight(),
		"one to be announced":    (&Resource{Reannounce: map[message.Key]bool{"a": true, "b": true}}).Weight() - (&Resource{}).Weight(),
		"a reservation":          (&Resource{Reserved: make([]admission.Reservation, 2)}).Weight() - (&Resource{Reserved: make([]admission.Reservation, 1)}).Weight(),
		"an ended job":           (&Resource{Ended: []Ended{{Tenant: "team"}}}).Weight() - (&Resource{}).Weight(),
		"a problem":              weightOfProblems(reason.Problem{Code: "C", Path: "p", Detail: "d", Fix: "f"}) - weightOfProblems(reason.Problem{}),
		"labels":                 weightOfLabels(map[string]string{"a": "b"}),
		"a finding":              weightOfFit([]capacity.Finding{{}}),
		"its pools":              weightOfFit([]capacity.Finding{{Pools: []string{"pool"}}}) - weightOfFit([]capacity.Finding{{}}),
		"its nearest":            weightOfFit([]capacity.Finding{{Nearest: []capacity.PoolDiff{{Pool: "pool", Fields: []capacity.FieldDiff{{Field: "f", Asked: "a", Pool: "p"}}}}}}) - weightOfFit([]capacity.Finding{{}}),
		"its edits":              weightOfFit([]capacity.Finding{{Edits: []capacity.Edit{{Path: "p", From: "f", To: "t"}}}}) - weightOfFit([]capacity.Finding{{}}),
		"a shape":                weightOfShape(small),
		"an ask":                 weightOfAsk(capacity.Ask{{Shape: small, Replicas: 1}}),
		"an event":               OutboxEvent{}.weight(),
		"an event with an error": OutboxEvent{Outcome: message.Outcome{JobError: &message.JobError{Message: "12345"}}}.weight() - OutboxEvent{}.weight(),
	} {
		if want := pinnedWeights[name]; got != want {
			t.Errorf("%s weighs %d, and weighed %d", name, got, want)
		}
	}
	for name, test := range map[string]struct {
		add   func(*Resource, int)
		least int // how many of them fill the document
	}{
		"holds": {func(r *Resource, i int) {
			rec := waiting(i, 0, small, big)
			rec.State, rec.Tenant, rec.Run = lifecycle.Running, strings.Repeat("t", 60), strings.Repeat("r", 60)
			r.Hold(rec, noon)
		}, pinnedWeights["holds that fill"]},
	} {
		r, n := &Resource{Name: "r"}, 0
		for ; r.HasRoom() && n < 4000; n++ {
			test.add(r, n)
		}
		if n != test.least {
			t.Errorf("%d %s fill the document, and %d did", n, name, test.least)
		}
	}
}

// TestHoldsByMove: when a hold waits for a slot, runs, and ends at the latest.
func TestHoldsByMove(t *testing.T) {
	rec := waiting(1, 0, small)
	rec.State, rec.Run, rec.Tenant = lifecycle.Reserved, "r1", "team"
	res := &Resource{Name: "r"}
	res.Hold(rec, noon)
	version := res.Version
	if h := res.Holds[rec.Key]; version != 1 || !h.Pending || h.Ran || h.Run != "r1" || h.Tenant != "team" || !h.LatestEnd.Equal(noon) || res.Pending() != 1 || !res.Holding(rec) {
		t.Errorf("held as %+v in version %d", h, version)
	}
	for i, step := range []struct {
		do      func()
		version int64
		pending bool
		ran     bool
		end     time.Duration
	}{
		{func() { res.SetPending(rec.Key, true, noon.Add(time.Hour)) }, 1, true, false, 0},
		{func() { res.SetPending("another", false, noon) }, 1, true, false, 0},
		{func() { res.SetPending(rec.Key, false, noon.Add(time.Hour)) }, 2, false, false, time.Hour},
		{func() { res.SawRun(rec.Key, "r9", noon) }, 2, false, false, time.Hour},
		{func() { res.SawRun("another", "r1", noon) }, 2, false, false, time.Hour},
		{func() { res.SawRun(rec.Key, "r1", noon.Add(2*time.Hour)) }, 3, false, true, time.Hour},
		{func() { res.SawRun(rec.Key, "r1", noon) }, 3, false, true, time.Hour},
	} {
		step.do()
		if h := res.Holds[rec.Key]; res.Version != step.version || h.Pending != step.pending || h.Ran != step.ran || !h.LatestEnd.Equal(noon.Add(step.end)) {
			t.Errorf("after step %d: %+v in version %d", i, h, res.Version)
		}
	}
	for name, end := range map[string]struct{ seen, want time.Time }{"an earlier end": {noon.Add(-time.Minute), noon.Add(-time.Minute)}, "no end": {time.Time{}, noon}} {
		r := &Resource{Name: "r"}
		r.Hold(rec, noon)
		if r.SawRun(rec.Key, "r1", end.seen); !r.Holds[rec.Key].LatestEnd.Equal(end.want) {
			t.Errorf("with %s it ends by %v", name, r.Holds[rec.Key].LatestEnd)
		}
	}
	rec.Run = "r2"
	if res.Holding(rec) || res.Holding(waiting(2, 0, small)) {
		t.Error("it holds for another run, or for another request")
	}
}

// TestRebuild: the document that follows from the records of a resource, and from no
// others.
func TestRebuild(t *testing.T) {
	var recs []*Record
	for i, s := range lifecycle.States {
		r := waiting(i, 0, small)
		r.State, r.Resource, r.Tenant, r.Run = s, "r", "team", "run"
		recs = append(recs, r)
	}
	other := waiting(90, 0, small)
	other.Resource = "other"
	recs = append(recs, other)
	asked := 0
	res := Rebuild("r", recs, noon, func(r *Record) time.Time { asked++; return noon.Add(time.Hour) })
	if res == nil || res.Name != "r" || len(res.Holds) != 5 || asked != 5 || res.Queue.Waiting() != 1 || res.Version != noon.UnixMicro() || res.State != "" || !res.ObservedAt.IsZero() || res.Pending() != 1 {
		t.Errorf("%+v", res)
	}
	for key, h := range res.Holds {
		if !h.LatestEnd.Equal(noon.Add(time.Hour)) || h.Run != "run" {
			t.Errorf("%s is held as %+v", key, h)
		}
	}
	if res.Use()[small] != 10 {
		t.Errorf("%d machines are in use", res.Use()[small])
	}
	for _, r := range recs[:len(recs)-1] { // one record that needs the document is enough
		got := Rebuild("r", []*Record{r, other}, noon, func(*Record) time.Time { return noon })
		if needs := r.State.Holds() || r.State == lifecycle.Waiting; (got != nil) != needs {
			t.Errorf("of one that is %s: %+v", r.State, got)
		}
	}
	for name, some := range map[string][]*Record{"none": nil, "those of others": {other}, "those that have ended": recs[6:11]} {
		if got := Rebuild("r", some, noon, nil); got != nil {
			t.Errorf("of %s: %+v", name, got)
		}
	}
}

// TestForeignJobs: the first hundred are listed, and the others count.
func TestForeignJobs(t *testing.T) {
	r := &Resource{}
	for i := range 103 {
		r.AddForeign(fmt.Sprint("j", i), capacity.Ask{{Shape: small, Replicas: 2}}, noon)
	}
	if len(r.Foreign) != 100 || r.ForeignJobs != 103 || r.ForeignRest[small] != 6 || r.ForeignUse()[small] != 206 || r.Use()[small] != 206 || r.Foreign[99].Job != "j99" || !r.Foreign[0].LatestEnd.Equal(noon) {
		t.Errorf("%d listed of %d, %v beside them, %v in all", len(r.Foreign), r.ForeignJobs, r.ForeignRest, r.ForeignUse())
	}
	r.ForeignUse()[small] = 1
	if r.ForeignUse()[small] != 206 {
		t.Error("the sum is shared")
	}
	if r.ClearForeign(); len(r.Foreign) != 0 || r.ForeignJobs != 0 || len(r.ForeignUse()) != 0 {
		t.Errorf("cleared: %+v", r)
	}
}

// TestNamesOfDocuments: which names a document can have.
func TestNamesOfDocuments(t *testing.T) {
	for name, want := range map[string]string{
		"a": "", "a.b": "", "...": "", "__a": "", "a__": "", "___": "", "____": "names of this form are Firestore's own", "__a__": "names of this form are Firestore's own", "": "it is empty", ".": "it would name a folder", "..": "it would name a folder",
		"a~b": "~ stands for a slash", "\xff": "it is not UTF-8", strings.Repeat("x", 1500): "", strings.Repeat("x", 1501): "it has 1501 bytes, at most 1500 are allowed",
	} {
		if got := unfit(name, true); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
	if unfit("a/b", true) != "" || unfit("a/b", false) != "it holds a slash" {
		t.Error("a slash")
	}
}

// TestListKeys: the latest comes first; a tombstone is in no list.
func TestListKeys(t *testing.T) {
	key := func(at time.Time, change func(*Record)) string {
		r := &Record{Key: "k", Kind: message.KindRequest}
		r.State, r.Times.Received = lifecycle.Waiting, at
		change(r)
		return r.ListKey()
	}
	same := func(*Record) {}
	if a, b := key(noon, same), key(noon.Add(time.Microsecond), same); b >= a || !strings.HasSuffix(a, "-k") || len(a) != 21 {
		t.Errorf("%s, then %s", a, b)
	}
	for name, got := range map[string]string{"not received": key(time.Time{}, same), "a tombstone": key(noon, func(r *Record) { r.State = lifecycle.None })} {
		if got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if key(noon, func(r *Record) { r.State, r.Kind = lifecycle.None, message.KindAnswer }) == "" {
		t.Error("an answer is in no list")
	}
	for job, want := range map[string]string{"projects/p/locations/l/customJobs/7": "7", "7": "7", "": ""} {
		if got := JobNumber(job); got != want {
			t.Errorf("the number of %q is %q", job, got)
		}
	}
}

// TestBackOffOfAResource: pauses double up to the longest, and each counts as a move.
func TestBackOffOfAResource(t *testing.T) {
	r, now := &Resource{}, noon
	for i, want := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, time.Minute} {
		r.BackOff(now, 15*time.Second, time.Minute)
		if got := r.NotBefore.Sub(now); got != want || r.Declines != i+1 || r.Version != int64(i+1) {
			t.Errorf("pause %d: %v after %d refusals in version %d, want %v", i+1, got, r.Declines, r.Version, want)
		}
		now = r.NotBefore
	}
}

// pinnedWeights are in bytes, but for the number of holds.
var pinnedWeights = map[string]int{
	"a finding":              230,
	"a head of one":          0,
	"a pool":                 250,
	"a problem":              8,
	"a reservation":          600,
	"a second one":           420,
	"a shape":                68,
	"a specification":        8192,
	"an ask":                 123,
	"an empty record":        4096,
	"an empty resource":      4096,
	"an ended job":           174,
	"an event":               1024,
	"an event with an error": 10,
	"holds that fill":        1243,
	"its edits":              46,
	"its nearest":            90,
	"its pools":              8,
	"labels":                 12,
	"no head":                0,
	"one hold":               32546,
	"one in the queue":       494,
	"one that is skipped":    48,
	"one to be announced":    96,
	"the seventeenth":        0,
	"two holds":              450,
}

// TestOrderKeyAsText: stored places in the order stay comparable with new ones.
func TestOrderKeyAsText(t *testing.T) {
	for priority, want := range map[int]string{0: "1000-20261123T120000.000000001-k", 1000: "0000-20261123T120000.000000001-k", -1000: "2000-20261123T120000.000000001-k", 7: "0993-20261123T120000.000000001-k"} {
		if got := OrderKey(priority, noon.Add(1).In(time.FixedZone("x", 3600)), "k"); got != want {
			t.Errorf("priority %d: %s, want %s", priority, got, want)
		}
	}
}
