package controller

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

const (
	regionOfTests   = "projects/p/locations/us-central1"
	resourceOfTests = regionOfTests + "/persistentResources/pool"
)

// recordIn is a record of the resource of the tests, as it is in a state.
func recordIn(s lifecycle.State, job string) *ledger.Record {
	key := message.KeyOf("default", message.KindRequest, "a")
	rec := &ledger.Record{Key: key, Kind: message.KindRequest, Tenant: "default", ID: "a", Resource: resourceOfTests,
		Ask: capacity.Ask{{Shape: small, Replicas: 1}}, MaxWait: time.Hour, PastRuns: []string{"r0"}}
	rec.Reservation = lifecycle.Reservation{State: s, Run: "r1", Attempt: 1, ActUntil: noon, Job: job}
	rec.Times.Received, rec.Times.Ended = noon, noon
	return rec
}

// TestClassify states what a live job with our labels is taken for, by what its record
// and its hold say: ours, and whether the record has to be read for it; an orphan job;
// of a request without its hold; or foreign.
func TestClassify(t *testing.T) {
	key := recordIn(lifecycle.Running, "").Key
	for _, test := range []struct {
		name   string
		rec    *ledger.Record
		hold   string // its run; "" for none
		run    string // of the job
		before string // a job that was taken for ours already
		at     time.Time
		want   string
	}{
		{"named and held", recordIn(lifecycle.Running, "j"), "r1", "r1", "", noon, "ours"},
		{"held and not named yet", recordIn(lifecycle.Submitting, ""), "r1", "r1", "", noon, "ours unnamed"},
		{"a second job of a run", recordIn(lifecycle.Submitting, ""), "r1", "r1", "a", noon, "ours=a unnamed orphan=j foreign=j"},
		{"an older job of a run", recordIn(lifecycle.Submitting, ""), "r1", "r1", "z", noon, "ours unnamed orphan=z foreign=z"},
		{"another than the named one", recordIn(lifecycle.Running, "other"), "r1", "r1", "", noon, "orphan=j foreign=j"},
		{"of an earlier run", recordIn(lifecycle.Running, "other"), "r1", "r0", "", noon, "orphan=j foreign=j"},
		{"of a run that never was", recordIn(lifecycle.Running, "other"), "r1", "r9", "", noon, "foreign=j"},
		{"of an earlier run of one that waits", recordIn(lifecycle.Waiting, ""), "", "r0", "", noon, "orphan=j foreign=j"},
		{"ended since the list", recordIn(lifecycle.Succeeded, "j"), "", "r1", "", noon, ""},
		{"live after its end was recorded", recordIn(lifecycle.Succeeded, "j"), "", "r1", "", noon.Add(1), "foreign=j"},
		{"of a run that ended without a job", recordIn(lifecycle.Failed, ""), "", "r1", "", noon, "orphan=j foreign=j"},
		{"named, and the hold is missing", recordIn(lifecycle.Running, "j"), "", "r1", "", noon, "ours unheld foreign=j"},
		{"named, and the hold is for another run", recordIn(lifecycle.Running, "j"), "r2", "r1", "", noon, "ours unheld foreign=j"},
		{"not named yet, and the hold is missing", recordIn(lifecycle.Submitting, ""), "", "r1", "", noon, "ours unnamed unheld foreign=j"},
		{"of an earlier run, and the hold is missing", recordIn(lifecycle.Submitting, ""), "", "r0", "", noon, "orphan=j foreign=j"},
		{"without a record", nil, "", "r1", "", noon, "foreign=j"},
		{"without a record, and held", nil, "r1", "r1", "", noon, "foreign=j"},
		{"of a request on another resource", func() *ledger.Record {
			r := recordIn(lifecycle.Running, "j")
			r.Resource = regionOfTests + "/persistentResources/other"
			return r
		}(), "r1", "r1", "", noon, "foreign=j"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := ledger.NewMem(func() time.Time { return noon })
			if test.rec != nil {
				put(t, mem, test.rec, nil)
			}
			ask := capacity.Ask{{Shape: small, Replicas: 1}}
			job := vertex.Job{Name: "j", Request: key, Run: test.run, Ask: ask, CreateTime: noon}
			var res *ledger.Resource
			var s classified
			err := ledger.Read(t.Context(), mem, ledger.Records(key), func(tx ledger.Tx) { // it may run twice
				res = &ledger.Resource{Name: resourceOfTests, Holds: map[message.Key]ledger.Hold{}}
				if test.hold != "" {
					res.Holds[key] = ledger.Hold{Ask: ask, Run: test.hold}
				}
				s = classified{ours: map[message.Key]vertex.Job{}, unnamed: map[message.Key]bool{}, unheld: map[message.Key]vertex.Job{}}
				if test.before != "" {
					s.ours[key] = vertex.Job{Name: test.before, Request: key, Run: test.run, Ask: ask, CreateTime: noon}
				}
				s.classify(tx, res, job, test.at)
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			switch ours := s.ours[key].Name; ours {
			case "":
			case "j":
				got = append(got, "ours")
			default:
				got = append(got, "ours="+ours)
			}
			if s.unnamed[key] {
				got = append(got, "unnamed")
			}
			if s.unheld[key].Name != "" {
				got = append(got, "unheld")
			}
			for _, o := range s.orphans {
				got = append(got, "orphan="+o.Name)
			}
			for _, f := range res.Foreign {
				got = append(got, "foreign="+f.Job)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%q, want %q", strings.Join(got, " "), test.want)
			}
			if h := res.Holds[key].Job; (h == "j") != (test.want == "ours") {
				t.Errorf("the hold names %q", h)
			}
		})
	}
}

// put writes documents as they are, without a rule.
func put(t *testing.T, mem *ledger.Mem, rec *ledger.Record, res *ledger.Resource) {
	t.Helper()
	var reads ledger.ReadSet
	if rec != nil {
		reads = append(reads, rec.Ref())
	}
	if res != nil {
		reads = append(reads, res.Ref())
	}
	err := mem.Update(t.Context(), reads, func(tx ledger.Tx) error {
		if rec != nil {
			tx.Put(rec)
		}
		if res != nil {
			tx.Put(res)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOrphan: a job may be cancelled only if no reservation can come to name it.
func TestOrphan(t *testing.T) {
	for _, test := range []struct {
		name string
		rec  *ledger.Record
		run  string
		want bool
	}{
		{"no record", nil, "r1", false},
		{"the named job", recordIn(lifecycle.Running, "j"), "r1", false},
		{"the named job of one that has ended", recordIn(lifecycle.Failed, "j"), "r1", false},
		{"another of its run", recordIn(lifecycle.Running, "other"), "r1", true},
		{"of a run that names none yet", recordIn(lifecycle.Submitting, ""), "r1", false},
		{"of a run that is cancelled", recordIn(lifecycle.Cancelling, ""), "r1", false},
		{"of a run that ended without one", recordIn(lifecycle.Failed, ""), "r1", true},
		{"of an earlier run", recordIn(lifecycle.Submitting, ""), "r0", true},
		{"of a run that is not its own", recordIn(lifecycle.Submitting, ""), "r9", false},
	} {
		if got := isOrphan(test.rec, vertex.Job{Name: "j", Run: test.run}); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestEndOfAJob: what the end of a job means for its request, and why.
func TestEndOfAJob(t *testing.T) {
	for state, want := range map[vertex.JobState]lifecycle.State{
		vertex.JobSucceeded: lifecycle.Succeeded, vertex.JobPartiallySucceeded: lifecycle.Succeeded, vertex.JobCancelled: lifecycle.Cancelled,
		vertex.JobExpired: lifecycle.Expired, vertex.JobFailed: lifecycle.Failed,
	} {
		if got := endOf(state); got != want {
			t.Errorf("%s ends the request as %s, want %s", state, got, want)
		}
	}
	running := &ledger.Resource{State: vertex.Running, CreateTime: noon}
	asked := &reason.Problem{Code: reason.CancelRequested}
	for _, test := range []struct {
		name    string
		request lifecycle.State
		res     *ledger.Resource
		job     vertex.JobState
		took    time.Duration // 0: it never started
		created time.Time
		code    reason.Code // "" for no reason
		says    string
	}{
		{"a success", lifecycle.Running, running, vertex.JobSucceeded, time.Minute, noon, "", ""},
		{"a success before a cancel", lifecycle.Cancelling, running, vertex.JobSucceeded, time.Minute, noon, reason.JobEnded, "before the cancel"},
		{"a part", lifecycle.Running, running, vertex.JobPartiallySucceeded, time.Hour, noon, reason.JobEnded, "PARTIALLY_SUCCEEDED"},
		{"a cancel", lifecycle.Cancelling, running, vertex.JobCancelled, time.Hour, noon, reason.CancelRequested, ""},
		{"a failure while it is cancelled", lifecycle.Cancelling, running, vertex.JobFailed, time.Minute, noon, reason.JobEnded, "FAILED"},
		{"the timeout", lifecycle.Running, running, vertex.JobCancelled, time.Hour, noon, reason.JobTimedOut, "timeout of 1h0m0s"},
		{"the timeout as a failure", lifecycle.Running, running, vertex.JobFailed, time.Hour + time.Second, noon, reason.JobTimedOut, "1h0m1s from start to end"},
		{"just before the timeout", lifecycle.Running, running, vertex.JobCancelled, time.Hour - 1, noon, reason.JobEnded, "not by Berth"},
		{"expired after hours", lifecycle.Running, running, vertex.JobExpired, 2 * time.Hour, noon, reason.JobEnded, "EXPIRED"},
		{"cancelled before its start", lifecycle.Submitted, running, vertex.JobCancelled, 0, noon, reason.JobEnded, "not by Berth"},
		{"its resource is gone", lifecycle.Running, &ledger.Resource{State: ledger.Absent}, vertex.JobCancelled, time.Minute, noon, reason.ResourceGone, "deleted"},
		{"its resource is going", lifecycle.Running, &ledger.Resource{State: vertex.Stopping}, vertex.JobCancelled, time.Minute, noon, reason.ResourceGone, "deleted"},
		{"its resource is in error", lifecycle.Running, &ledger.Resource{State: "ERROR"}, vertex.JobCancelled, time.Minute, noon, reason.JobEnded, "not by Berth"},
		{"its resource was made anew", lifecycle.Running, running, vertex.JobCancelled, time.Minute, noon.Add(-1), reason.ResourceGone, "deleted"},
		{"when it was created is not known", lifecycle.Running, running, vertex.JobCancelled, time.Minute, time.Time{}, reason.JobEnded, "not by Berth"},
		{"its resource is not known", lifecycle.Running, nil, vertex.JobCancelled, time.Minute, noon, reason.JobEnded, "not by Berth"},
		{"its resource is gone, and it failed", lifecycle.Running, &ledger.Resource{State: ledger.Absent}, vertex.JobFailed, time.Minute, noon, reason.JobEnded, "FAILED"},
	} {
		rec := recordIn(test.request, "j")
		rec.Timeout, rec.Why = time.Hour, asked
		job := vertex.Job{Name: "j", State: test.job, CreateTime: test.created, EndTime: noon.Add(test.took)}
		if test.took > 0 {
			job.StartTime = noon
		}
		why := whyEnded(rec, test.res, job)
		switch {
		case test.code == "" && why != nil, test.code != "" && why == nil:
			t.Errorf("%s: %+v, want %q", test.name, why, test.code)
		case why != nil && (why.Code != test.code || !strings.Contains(why.Detail, test.says)):
			t.Errorf("%s: %+v, want %s that says %q", test.name, why, test.code, test.says)
		}
	}
	rec := recordIn(lifecycle.Running, "j") // without a limit of its own
	if why := whyEnded(rec, running, vertex.Job{State: vertex.JobCancelled, StartTime: noon, EndTime: noon.Add(time.Hour)}); why.Code != reason.JobEnded {
		t.Errorf("a job without a limit has reached it: %+v", why)
	}
}

// TestApply: what is stored of a job that was observed, and which moves it makes.
func TestApply(t *testing.T) {
	start, end := noon.Add(time.Minute), noon.Add(time.Hour)
	for _, test := range []struct {
		name     string
		rec      *ledger.Record
		job      vertex.Job
		state    lifecycle.State
		jobState string // as stored
		changed  bool
		ended    bool // times and error are stored
	}{
		{"its create was not answered", recordIn(lifecycle.Submitting, ""), vertex.Job{Name: "j", Run: "r1", State: vertex.JobPending}, lifecycle.Submitted, "PENDING", true, false},
		{"it runs already", recordIn(lifecycle.Submitting, ""), vertex.Job{Name: "j", Run: "r1", State: vertex.JobRunning, StartTime: start}, lifecycle.Running, "RUNNING", true, false},
		{"it has ended already", recordIn(lifecycle.Submitting, ""), vertex.Job{Name: "j", Run: "r1", State: vertex.JobFailed}, lifecycle.Failed, "FAILED", true, true},
		{"of another run", recordIn(lifecycle.Submitting, ""), vertex.Job{Name: "j", Run: "r0", State: vertex.JobRunning}, lifecycle.Submitting, "", false, false},
		{"nothing was found", recordIn(lifecycle.Submitting, ""), vertex.Job{Run: "r1"}, lifecycle.Submitting, "", false, false},
		{"another job", recordIn(lifecycle.Running, "other"), vertex.Job{Name: "j", Run: "r1", State: vertex.JobFailed}, lifecycle.Running, "", false, false},
		{"it waits at Vertex AI", recordIn(lifecycle.Submitted, "j"), vertex.Job{Name: "j", Run: "r1", State: vertex.JobQueued}, lifecycle.Submitted, "", false, false},
		{"it starts", recordIn(lifecycle.Submitted, "j"), vertex.Job{Name: "j", Run: "r1", State: vertex.JobRunning, StartTime: start}, lifecycle.Running, "RUNNING", true, false},
		{"it goes on", recordIn(lifecycle.Running, "j"), vertex.Job{Name: "j", Run: "r1", State: vertex.JobRunning, StartTime: start}, lifecycle.Running, "RUNNING", false, false},
		{"it ends", recordIn(lifecycle.Running, "j"), vertex.Job{Name: "j", Run: "r1", State: vertex.JobSucceeded}, lifecycle.Succeeded, "SUCCEEDED", true, true},
		{"it is gone", recordIn(lifecycle.Running, "j"), vertex.Job{Name: "j", Run: "r1"}, lifecycle.Failed, "", true, false},
		{"it is gone while it is cancelled", recordIn(lifecycle.Cancelling, "j"), vertex.Job{Name: "j", Run: "r1"}, lifecycle.Cancelled, "", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := ledger.NewMem(func() time.Time { return noon })
			res := &ledger.Resource{Name: resourceOfTests, State: vertex.Running, Holds: map[message.Key]ledger.Hold{test.rec.Key: {Ask: test.rec.Ask, Run: "r1"}}}
			put(t, mem, test.rec, res)
			c := New(DefaultConfig(), mem, vertex.NewMem(time.Now), noOutcomes{}, slog.New(slog.DiscardHandler), RealEnv())
			if test.ended {
				test.job.StartTime, test.job.EndTime, test.job.Error = start, end, &message.JobError{Code: 13, Message: "it broke"}
			}
			var after *ledger.Record
			changed := false
			err := ledger.Read(t.Context(), mem, ledger.Records(test.rec.Key).And(ledger.Resources(res.Name)), func(tx ledger.Tx) {
				after = tx.Record(test.rec.Key)
				changed = c.apply(t.Context(), tx, tx.Resource(res.Name), after, test.job)
			})
			if err != nil {
				t.Fatal(err)
			}
			if after.State != test.state || after.JobState != test.jobState || changed != test.changed {
				t.Errorf("%s with job %q, changed %v; want %s, %q, %v", after.State, after.JobState, changed, test.state, test.jobState, test.changed)
			}
			if test.ended && (!after.Times.JobStarted.Equal(start) || !after.Times.JobEnded.Equal(end) || after.JobError == nil || *after.JobError != *test.job.Error) {
				t.Errorf("stored %v, %v, %+v", after.Times.JobStarted, after.Times.JobEnded, after.JobError)
			}
			if test.state == lifecycle.Running && test.jobState != "" && !after.Times.JobStarted.Equal(start) {
				t.Errorf("it started at %v, want %v", after.Times.JobStarted, start)
			}
		})
	}
}

// TestOwnPause: a request that Vertex AI refuses while it accepts others is tried
// less and less often, up to an hour and a bound by how long it may be refused.
func TestOwnPause(t *testing.T) {
	cfg := DefaultConfig()
	for _, test := range []struct {
		alone int
		limit time.Duration
		want  time.Duration
	}{
		{0, 24 * time.Hour, 0}, {1, 24 * time.Hour, 2 * time.Minute}, {2, 24 * time.Hour, 4 * time.Minute}, {4, 24 * time.Hour, 16 * time.Minute},
		{20, 24 * time.Hour, time.Hour}, {20, 240 * time.Hour, time.Hour}, {20, 12 * time.Hour, 30 * time.Minute}, {20, time.Minute, time.Minute},
	} {
		cfg.DeclineTimeout = test.limit
		if got := (&Controller{cfg: cfg}).ownPause(ledger.Declined{Alone: test.alone}); got != test.want {
			t.Errorf("refused alone %d times, at most for %v: %v, want %v", test.alone, test.limit, got, test.want)
		}
	}
}

// TestCountDecline: which refusals count against a request, for how long, and when
// they are enough.
func TestCountDecline(t *testing.T) {
	unspecific := &vertex.Error{Kind: vertex.Transient, Code: 9} // FAILED_PRECONDITION
	cfg := DefaultConfig()
	c := &Controller{cfg: cfg}
	steady := &ledger.Resource{SteadySince: noon.Add(-time.Hour)}
	last := noon.Add(-30 * time.Second)
	for _, test := range []struct {
		name   string
		res    *ledger.Resource
		before ledger.Declined
		want   ledger.Declined
		enough bool
	}{
		{"the first", steady, ledger.Declined{}, ledger.Declined{Times: 1, Last: noon}, false},
		{"the second", steady, ledger.Declined{Times: 1, Last: last}, ledger.Declined{Times: 2, Last: noon, For: 30 * time.Second}, false},
		{"steady since the last", &ledger.Resource{SteadySince: last}, ledger.Declined{Times: 1, Last: last}, ledger.Declined{Times: 2, Last: noon, For: 30 * time.Second}, false},
		{"changed since the last", &ledger.Resource{SteadySince: last.Add(1)}, ledger.Declined{Times: 5, Last: last, For: time.Hour}, ledger.Declined{Times: 1, Last: noon}, false},
		{"not steady", &ledger.Resource{}, ledger.Declined{Times: 5, Last: last, For: time.Hour}, ledger.Declined{Times: 1, Last: noon}, false},
		{"the resource is not known", nil, ledger.Declined{Times: 5, Last: last, For: time.Hour}, ledger.Declined{Times: 1, Last: noon}, false},
		{"it was not tried for long", steady, ledger.Declined{Times: 1, Last: noon.Add(-time.Hour)}, ledger.Declined{Times: 2, Last: noon, For: 2 * cfg.MaxBackoff}, false},
		{"it was not tried for longer than its own pause", steady, ledger.Declined{Times: 3, Last: noon.Add(-time.Hour), Alone: 2},
			ledger.Declined{Times: 4, Last: noon, For: 6 * time.Minute, Alone: 3}, false},
		{"another was accepted meanwhile", &ledger.Resource{SteadySince: noon.Add(-time.Hour), AcceptedAt: last.Add(1)}, ledger.Declined{Times: 1, Last: last},
			ledger.Declined{Times: 2, Last: noon, For: 30 * time.Second, Alone: 1}, false},
		{"another was accepted before", &ledger.Resource{SteadySince: noon.Add(-time.Hour), AcceptedAt: last}, ledger.Declined{Times: 1, Last: last},
			ledger.Declined{Times: 2, Last: noon, For: 30 * time.Second}, false},
		{"just not enough", steady, ledger.Declined{Times: 9, Last: last, For: cfg.DeclineTimeout - 30*time.Second - 1}, ledger.Declined{Times: 10, Last: noon, For: cfg.DeclineTimeout - 1}, false},
		{"enough", steady, ledger.Declined{Times: 9, Last: last, For: cfg.DeclineTimeout - 30*time.Second}, ledger.Declined{Times: 10, Last: noon, For: cfg.DeclineTimeout}, true},
	} {
		rec := &ledger.Record{Declined: test.before}
		if enough := c.countDecline(noon, test.res, rec, unspecific); rec.Declined != test.want || enough != test.enough {
			t.Errorf("%s: %+v, enough %v; want %+v, %v", test.name, rec.Declined, enough, test.want, test.enough)
		}
	}
}

// TestShortageIsNoRefusal: what cannot be about the job does not count against it.
func TestShortageIsNoRefusal(t *testing.T) {
	for code, counts := range map[int32]bool{0: false, 4: false, 5: true, 8: false, 9: true, 13: false, 14: false} {
		rec := &ledger.Record{Declined: ledger.Declined{Times: 3, Last: noon.Add(-time.Second), For: 48 * time.Hour}}
		enough := (&Controller{cfg: DefaultConfig()}).countDecline(noon, &ledger.Resource{SteadySince: noon.Add(-time.Hour)}, rec, &vertex.Error{Code: code})
		if enough != counts || (rec.Declined.Times == 4) != counts {
			t.Errorf("code %d: enough %v, counted %d times; want counted %v", code, enough, rec.Declined.Times, counts)
		}
	}
}

// TestOutdone: a request counts when others are accepted after it was tried, and the
// third time the trouble is its own.
func TestOutdone(t *testing.T) {
	rec := &ledger.Record{}
	for i, test := range []struct {
		since, accepted time.Time
		counted         int
		own             bool
	}{
		{time.Time{}, noon, 0, false}, {noon, noon, 0, false}, {noon, noon.Add(-1), 0, false}, {noon, time.Time{}, 0, false},
		{noon, noon.Add(1), 1, false}, {noon, noon.Add(1), 2, false}, {noon, noon, 2, false}, {noon, noon.Add(1), 3, true}, {noon, noon, 3, true},
	} {
		if own := outdone(rec, test.since, test.accepted); own != test.own || rec.Outdone != test.counted {
			t.Errorf("step %d: %v after %d, want %v after %d", i, own, rec.Outdone, test.own, test.counted)
		}
	}
}

// TestReasonsOfARefusal: what a refused request says of itself.
func TestReasonsOfARefusal(t *testing.T) {
	rec := &ledger.Record{RetryAt: noon.In(time.FixedZone("there", 3600)), Declined: ledger.Declined{Times: 7, For: 24*time.Hour + 29*time.Second}}
	for _, test := range []struct {
		p     *reason.Problem
		code  reason.Code
		parts []string
	}{
		{refusedAlone(rec), reason.VertexDeclined, []string{"7 times", "after 2026-11-23T12:00:00Z"}},
		{declinedTooLong(rec.Declined), reason.VertexDeclined, []string{"7 times in 24h0m0s", "new id"}},
		{denied(), reason.SubmissionsDenied, []string{"does not let Berth submit"}},
		{waitedTooLong(recordIn(lifecycle.Waiting, "")), reason.WaitedTooLong, []string{"1h0m0s", "maxWait"}},
		{cancelReason(message.Cancel{}), reason.CancelRequested, []string{"A cancel was asked for."}},
		{cancelReason(message.Cancel{Reason: "too\u202elate"}), reason.CancelRequested, []string{"A cancel was asked for: too", "late"}},
	} {
		text := test.p.Detail + " " + test.p.Fix
		missing := slices.ContainsFunc(test.parts, func(s string) bool { return !strings.Contains(text, s) })
		if test.p.Code != test.code || missing || strings.Contains(text, "\u202e") {
			t.Errorf("%+v, want %s that says %q", test.p, test.code, test.parts)
		}
	}
}
