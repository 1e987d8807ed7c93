package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// decoded is a request as it comes out of a message.
func decoded(t *testing.T, text string) (message.Delivery, message.Message) {
	t.Helper()
	d := message.Delivery{ID: "m1", PublishTime: noon.Add(-time.Second), Data: []byte(text)}
	m, err := message.Decode(d)
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

const bareJob = `"job":{"displayName":"train","labels":{"team":"vision"},"encryptionSpec":{"kmsKeyName":"projects/p/locations/l/keyRings/r/cryptoKeys/k"},"jobSpec":{"network":"projects/1/global/networks/n","serviceAccount":"a@b",%s"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1","containerSpec":{"imageUri":"gcr.io/p/i"}}]}}`

// TestDraft: what a record begins with, of the message and of the settings.
func TestDraft(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1", "europe-west4"}, "pool"
	d, m := decoded(t, `{"requestId":"a","priority":5,"onFull":"reject","maxWait":"60s",`+fmt.Sprintf(bareJob, `"scheduling":{"timeout":"3600s"},`)+`}`)
	rec := b.c.draft(&rulebook{}, "red", d, m)
	if rec.Kind != message.KindRequest || rec.ID != "a" || rec.Tenant != "red" || rec.Key != message.KeyOf("red", message.KindRequest, "a") || rec.MessageID != "m1" || rec.Fingerprint != m.Fingerprint ||
		rec.DisplayName != "train" || rec.Labels["team"] != "vision" || rec.Network != "projects/1/global/networks/n" || rec.EncryptionKey != "projects/p/locations/l/keyRings/r/cryptoKeys/k" || rec.ServiceAccount != "a@b" ||
		rec.Priority != 5 || rec.OnFull != message.Reject || rec.MaxWait != time.Minute || rec.Timeout != time.Hour || rec.UnsetTimeout || !rec.Times.Published.Equal(d.PublishTime) ||
		rec.Resource != resourceOfTests || rec.Why != nil || rec.NamedInFull || rec.Ask.Replicas() != 1 || len(rec.UnsetDisks) != 1 || rec.Family == "" || rec.Estimate.Jobs != 0 {
		t.Errorf("the draft is %+v", rec)
	}
	if back, err := message.ParseJob([]byte(rec.Spec)); err != nil || back.GetJobSpec().GetScheduling().GetTimeout().AsDuration() != time.Hour {
		t.Errorf("the stored job is %v, %v", back, err)
	}
	d, m = decoded(t, `{`+strings.Replace(fmt.Sprintf(bareJob, ""), `"displayName":"train",`, "", 1)+`}`)
	rec = b.c.draft(&rulebook{}, "red", d, m)
	if rec.Kind != message.KindMessage || rec.ID != "m1" || rec.Key != message.KeyOf("red", message.KindMessage, "m1") || rec.DisplayName != "m1" || rec.MaxWait != b.c.cfg.MaxWait || rec.Timeout != 7*24*time.Hour || !rec.UnsetTimeout {
		t.Errorf("without an id, a name and times: %+v", rec)
	}
	if len(rec.Warnings) != 0 {
		t.Errorf("Vertex AI's own limit is no surprise: %v", rec.Warnings)
	}
	b.c.cfg.DiskType = "pd-standard"
	if rec := b.c.draft(&rulebook{}, "red", d, m); !strings.Contains(rec.Ask[0].Shape.String(), "pd-standard") {
		t.Errorf("a disk of the deployment's type: %s", rec.Ask[0].Shape)
	}
}

// TestResolve: which persistent resource a request means.
func TestResolve(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Project, b.c.cfg.Regions = "p", []string{"us-central1", "europe-west4"}
	for _, test := range []struct {
		named, byDefault, want string
		code                   reason.Code
	}{
		{"", "", "", reason.NoResource}, {"", "pool", resourceOfTests, ""}, {"", "projects/p/locations/europe-west4/persistentResources/x", "projects/p/locations/europe-west4/persistentResources/x", ""},
		{"other", "pool", regionOfTests + "/persistentResources/other", ""}, {"projects/p/locations/europe-west4/persistentResources/x", "pool", "projects/p/locations/europe-west4/persistentResources/x", ""},
		{"projects/q/locations/us-central1/persistentResources/x", "pool", "", reason.ForeignResource}, {"projects/p/locations/asia-east1/persistentResources/x", "pool", "", reason.ForeignResource},
		{"projects/p/locations/us-central1/customJobs/1", "pool", "", reason.ForeignResource}, {"projects/p/locations/us-central1", "pool", "", reason.ForeignResource}, {"a/b", "pool", "", reason.ForeignResource},
	} {
		b.c.cfg.DefaultResource = test.byDefault
		got, why := b.c.resolve(test.named, message.Paths{})
		if got != test.want || code(why) != string(test.code) {
			t.Errorf("%q with the default %q: %q because of %v, want %q, %s", test.named, test.byDefault, got, why, test.want, test.code)
		}
		if why != nil && (why.Path != "persistentResource" || why.Detail == "" || why.Fix == "") {
			t.Errorf("%q is refused by %+v", test.named, why)
		}
		if test.code == reason.ForeignResource && why.Detail != "This deployment serves project p in us-central1, europe-west4 only." {
			t.Errorf("%q: %s", test.named, why.Detail)
		}
	}
}

// TestLimit: the time limit of a job, by its own and by the deployment's default and
// longest.
func TestLimit(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, test := range []struct {
		own, byDefault, most time.Duration
		want                 time.Duration
		written              time.Duration // into the job
		warned, refused      bool
	}{
		{time.Hour, 0, 0, time.Hour, time.Hour, false, false},
		{time.Hour, 2 * time.Hour, 3 * time.Hour, time.Hour, time.Hour, false, false},
		{3 * time.Hour, 2 * time.Hour, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour, false, false},
		{3*time.Hour + time.Second, 2 * time.Hour, 3 * time.Hour, 3*time.Hour + time.Second, 3*time.Hour + time.Second, false, true},
		{0, 0, 0, week, 0, false, false},
		{0, 2 * time.Hour, 0, 2 * time.Hour, 2 * time.Hour, true, false},
		{0, 2 * time.Hour, 3 * time.Hour, 2 * time.Hour, 2 * time.Hour, true, false},
		{0, 0, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour, true, false},
		{0, week, 0, week, 0, false, false},
		{0, 0, 8 * 24 * time.Hour, week, 0, false, false},
	} {
		b := newBench(t)
		b.c.cfg.DefaultTimeout, b.c.cfg.Policy.MaxLimit = test.byDefault, test.most
		scheduling := ""
		if test.own > 0 {
			scheduling = fmt.Sprintf(`"scheduling":{"timeout":"%ds"},`, int(test.own.Seconds()))
		}
		_, m := decoded(t, `{`+fmt.Sprintf(bareJob, scheduling)+`}`)
		rec := &ledger.Record{Resource: resourceOfTests, Paths: m.Request.Paths}
		b.c.limit(rec, m.Request.Job, nil)
		if got := m.Request.Job.GetJobSpec().GetScheduling().GetTimeout().AsDuration(); rec.Timeout != test.want || got != test.written || rec.UnsetTimeout != (test.own == 0) {
			t.Errorf("%+v: limit %v, %v in the job, unset %v", test, rec.Timeout, got, rec.UnsetTimeout)
		}
		if warned := len(rec.Warnings) == 1; warned != test.warned || warned && (rec.Warnings[0].Path != "job.jobSpec.scheduling.timeout" ||
			rec.Warnings[0].Detail != fmt.Sprintf("The job sets no time limit, so it gets this deployment's: it is ended after %s.", test.want) || rec.Warnings[0].Code != reason.Warning) {
			t.Errorf("%+v: warnings %v", test, rec.Warnings)
		}
		if refused := rec.Why != nil; refused != test.refused || refused && (*rec.Why != reason.Problem{Code: reason.TimeoutTooLong, Path: "job.jobSpec.scheduling.timeout",
			Detail: "The job may run for 3h0m1s; this deployment takes jobs of at most 3h0m0s.", Fix: `Set job.jobSpec.scheduling.timeout to at most "10800s".`}) {
			t.Errorf("%+v: refused because of %+v", test, rec.Why)
		}
	}
	for _, test := range []struct {
		rules           policy.Rules
		byDefault, most time.Duration
		want            string
	}{
		{policy.Rules{DefaultTimeout: 20 * time.Minute}, 0, 0, "the policy's: it is ended after 20m0s."},
		{policy.Rules{DefaultTimeout: time.Hour}, time.Hour, 0, "the policy's: it is ended after 1h0m0s."},
		{policy.Rules{MaxTimeout: time.Hour}, 2 * time.Hour, 0, "the policy's: it is ended after 1h0m0s."},
		{policy.Rules{MaxTimeout: 3 * time.Hour}, 2 * time.Hour, 0, "this deployment's: it is ended after 2h0m0s."},
		{policy.Rules{DefaultTimeout: 3 * time.Hour}, 0, 2 * time.Hour, "this deployment's: it is ended after 2h0m0s."},
	} {
		b := newBench(t)
		b.c.cfg.DefaultTimeout, b.c.cfg.Policy.MaxLimit = test.byDefault, test.most
		_, m := decoded(t, `{`+fmt.Sprintf(bareJob, "")+`}`)
		rec := &ledger.Record{Resource: resourceOfTests, Paths: m.Request.Paths}
		b.c.limit(rec, m.Request.Job, &test.rules)
		if len(rec.Warnings) != 1 || rec.Warnings[0].Detail != "The job sets no time limit, so it gets "+test.want {
			t.Errorf("%+v: warnings %v", test, rec.Warnings)
		}
	}
	b := newBench(t)
	b.c.cfg.Policy.MaxLimit = time.Minute
	_, m := decoded(t, `{`+fmt.Sprintf(bareJob, `"scheduling":{"timeout":"3600s"},`)+`}`)
	rec := &ledger.Record{Why: &reason.Problem{Code: reason.NoResource}}
	if b.c.limit(rec, m.Request.Job, nil); rec.Why.Code != reason.NoResource {
		t.Errorf("the first reason is replaced by %s", rec.Why.Code)
	}
	for image, pools := range map[string][]*aiplatformpb.WorkerPoolSpec{
		"": nil, "a": {{Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "a"}}}, {Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "b"}}}},
		"e": {{Task: &aiplatformpb.WorkerPoolSpec_PythonPackageSpec{PythonPackageSpec: &aiplatformpb.PythonPackageSpec{ExecutorImageUri: "e"}}}},
	} {
		if got := imageOf(&aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{WorkerPoolSpecs: pools}}); got != image {
			t.Errorf("the image is %q, want %q", got, image)
		}
	}
}

// TestKnown: what a request is whose id is taken, by what differs.
func TestKnown(t *testing.T) {
	other := capacity.Ask{{Shape: small, Replicas: 9}}
	for _, test := range []struct {
		name   string
		change func(old, draft *ledger.Record)
		want   verdict
	}{
		{"the same message", func(_, _ *ledger.Record) {}, duplicate},
		{"another message of a live request", func(_, d *ledger.Record) { d.MessageID = "m2" }, duplicate},
		{"another message of one that has ended", func(o, d *ledger.Record) { o.State, d.MessageID = lifecycle.Failed, "m2" }, repeated},
		{"the same message of one that has ended", func(o, _ *ledger.Record) { o.State = lifecycle.Failed }, duplicate},
		{"other content", func(_, d *ledger.Record) { d.Fingerprint = "g" }, reused},
		{"other content of an older release", func(o, d *ledger.Record) { o.Fingerprint, d.MessageID, o.State = "", "m2", lifecycle.Cancelled }, duplicate},
		{"another resource by id", func(o, _ *ledger.Record) { o.Resource = "other" }, duplicate},
		{"another resource, once in full", func(o, _ *ledger.Record) { o.Resource, o.NamedInFull = "other", true }, reused},
		{"another resource, now in full", func(o, d *ledger.Record) { o.Resource, d.NamedInFull = "other", true }, reused},
		{"the same in full", func(o, d *ledger.Record) { o.NamedInFull, d.NamedInFull = true, true }, duplicate},
		{"unset disks of another type", func(o, d *ledger.Record) { o.UnsetDisks, d.Ask = []int{0}, other }, reused},
		{"unset disks of the same type", func(o, _ *ledger.Record) { o.UnsetDisks = []int{0} }, duplicate},
		{"as many unset disks", func(o, d *ledger.Record) { o.UnsetDisks, d.UnsetDisks, d.Ask = []int{0}, []int{0}, other }, duplicate},
		{"an unset limit that is another", func(o, d *ledger.Record) { o.UnsetTimeout, d.Timeout = true, time.Minute }, reused},
		{"an unset limit that is the same", func(o, _ *ledger.Record) { o.UnsetTimeout = true }, duplicate},
		{"both limits unset", func(o, d *ledger.Record) { o.UnsetTimeout, d.UnsetTimeout, d.Timeout = true, true, time.Minute }, duplicate},
	} {
		old, draft := recordIn(lifecycle.Running, "j"), recordIn(lifecycle.None, "")
		for _, r := range []*ledger.Record{old, draft} {
			r.Fingerprint, r.MessageID, r.Timeout = "f", "m1", time.Hour
		}
		test.change(old, draft)
		if got := known(old, draft); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

// TestOrderOfARequest: a place by priority, expected run time and size, to the microsecond.
func TestOrderOfARequest(t *testing.T) {
	b := newBench(t)
	now := noon.Add(123456789 * time.Nanosecond)
	place := func(change func(*ledger.Record)) string {
		rec := &ledger.Record{Key: "k", Timeout: 2 * time.Hour, Ask: capacity.Ask{{Shape: small, Replicas: 1}}}
		change(rec)
		b.c.order(rec, now)
		return rec.Order
	}
	at := func(expected time.Duration, gang bool) string {
		return ledger.OrderKey(0, admission.Key(now, expected, gang).Truncate(time.Microsecond), "k")
	}
	for name, test := range map[string]struct{ got, want string }{
		"by its limit":    {place(func(*ledger.Record) {}), at(2*time.Hour, false)},
		"by an estimate":  {place(func(r *ledger.Record) { r.Estimate.Run, r.Estimate.Jobs = time.Minute, 3 }), at(time.Minute, false)},
		"not by an empty": {place(func(r *ledger.Record) { r.Estimate.Run = time.Minute }), at(2*time.Hour, false)},
		"a gang":          {place(func(r *ledger.Record) { r.Ask[0].Replicas = 2 }), at(2*time.Hour, true)},
		"by priority":     {place(func(r *ledger.Record) { r.Priority = 5 }), ledger.OrderKey(5, admission.Key(now, 2*time.Hour, false).Truncate(time.Microsecond), "k")},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", name, test.got, test.want)
		}
	}
}

// TestEndsThatTeach: which ends of jobs teach a run time, and which say only that the job
// would have run for longer.
func TestEndsThatTeach(t *testing.T) {
	for _, test := range []struct {
		name   string
		state  lifecycle.State
		before lifecycle.State
		change func(*ledger.Record)
		want   string
	}{
		{"succeeded", lifecycle.Succeeded, lifecycle.Running, func(*ledger.Record) {}, "10m0s"},
		{"failed", lifecycle.Failed, lifecycle.Running, func(*ledger.Record) {}, "10m0s"},
		{"failed while it was cancelled", lifecycle.Failed, lifecycle.Cancelling, func(*ledger.Record) {}, "10m0s at least"},
		{"succeeded while it was cancelled", lifecycle.Succeeded, lifecycle.Cancelling, func(*ledger.Record) {}, "10m0s"},
		{"cancelled", lifecycle.Cancelled, lifecycle.Running, func(*ledger.Record) {}, "10m0s at least"},
		{"cancelled for its limit", lifecycle.Cancelled, lifecycle.Running, func(r *ledger.Record) { r.Why = &reason.Problem{Code: reason.JobTimedOut} }, "10m0s"},
		{"cancelled before it ran", lifecycle.Cancelled, lifecycle.Submitted, func(r *ledger.Record) { r.Times.Started = time.Time{} }, ""},
		{"failed before it was seen to run", lifecycle.Failed, lifecycle.Submitted, func(r *ledger.Record) { r.Times.Started = time.Time{} }, "10m0s"},
		{"expired", lifecycle.Expired, lifecycle.Running, func(*ledger.Record) {}, "10m0s at least"},
		{"without a start", lifecycle.Succeeded, lifecycle.Running, func(r *ledger.Record) { r.Times.JobStarted = time.Time{} }, ""},
		{"ended before its start", lifecycle.Succeeded, lifecycle.Running, func(r *ledger.Record) { r.Times.JobEnded = r.Times.JobStarted.Add(-1) }, ""},
		{"ended at its start", lifecycle.Succeeded, lifecycle.Running, func(r *ledger.Record) { r.Times.JobEnded = r.Times.JobStarted }, "0s"},
		{"of a tenant that cannot be named", lifecycle.Succeeded, lifecycle.Running, func(r *ledger.Record) { r.Tenant = "a~b" }, ""},
	} {
		b := newBench(t)
		rec := recordIn(test.state, "j")
		rec.Timeout, rec.Family = time.Hour, "f"
		rec.Times.Started, rec.Times.JobStarted, rec.Times.JobEnded = noon, noon.Add(-20*time.Minute), noon.Add(-10*time.Minute)
		test.change(rec)
		for _, learns := range []bool{true, false} {
			b.c.cfg.Estimates = learns
			res := &ledger.Resource{Name: resourceOfTests}
			b.c.addEnded(res, rec, test.before, noon)
			got := ""
			for _, e := range res.Ended {
				got = e.Ran.String()
				if e.Least {
					got += " at least"
				}
				if e.Tenant != rec.Tenant || !e.At.Equal(noon) || e.Limit != time.Hour || e.Replicas != 1 || e.Family != "f" {
					t.Errorf("%s: it teaches %+v", test.name, e)
				}
			}
			if want := map[bool]string{true: test.want}[learns]; got != want {
				t.Errorf("%s, learning %v: %q, want %q", test.name, learns, got, want)
			}
		}
	}
}

// TestEndOfAPause: the first job that is accepted ends the pause of a region, once; an
// instance that saw no pause reads nothing.
func TestEndOfAPause(t *testing.T) {
	b := newBench(t)
	b.records(lifecycle.Running, 0)
	reads := func(do func()) int {
		before := b.mem.Stats().Reads
		do()
		return b.mem.Stats().Reads - before
	}
	rec := recordIn(lifecycle.Submitting, "")
	if n := reads(func() { b.c.resumed(t.Context(), regionOfTests) }); n != 0 {
		t.Errorf("without a pause %d reads", n)
	}
	b.c.unanswered(t.Context(), rec)
	if !b.c.slots.isPaused(regionOfTests) || b.budget().Refusals != 1 || !b.budget().NotBefore.Equal(noon.Add(b.c.cfg.Poll)) || strings.Contains(b.log.String(), "submissions_unanswered") {
		t.Errorf("after one create without an answer: %+v, %s", b.budget(), &b.log)
	}
	b.c.unanswered(t.Context(), rec)
	if b.budget().Refusals != 1 {
		t.Errorf("a second one within the pause makes it longer: %+v", b.budget())
	}
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if b.c.resumed(t.Context(), regionOfTests); !b.c.slots.isPaused(regionOfTests) || !strings.Contains(b.log.String(), `"resume_failed"`) {
		t.Errorf("a pause that could not be ended is forgotten: %s", &b.log)
	}
	b.mem.Fault = nil
	if n := reads(func() { b.c.resumed(t.Context(), regionOfTests) }); n != 1 || b.c.slots.isPaused(regionOfTests) || b.budget().Refusals != 0 || !b.budget().ResumedAt.Equal(noon) || strings.Count(b.log.String(), `"submissions_resumed"`) != 1 {
		t.Errorf("after %d reads: %+v, %s", n, b.budget(), &b.log)
	}
	b.c.slots.pause(regionOfTests, true) // of another instance, which has ended it
	if b.c.resumed(t.Context(), regionOfTests); b.c.slots.isPaused(regionOfTests) || strings.Count(b.log.String(), `"submissions_resumed"`) != 1 {
		t.Errorf("what another instance has ended is told again: %s", &b.log)
	}
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if b.c.unanswered(t.Context(), rec); b.c.slots.isPaused(regionOfTests) || !strings.Contains(b.log.String(), `"pause_failed"`) {
		t.Errorf("a pause that could not be written counts: %s", &b.log)
	}
}

// TestRevoke takes allowances back in a pause alone, each with its budget.
func TestRevoke(t *testing.T) {
	for name, test := range map[string]struct {
		pause pace.Backoff
		left  int
	}{"in a pause": {pace.Backoff{NotBefore: noon.Add(time.Second), Refusals: 1}, 0}, "without": {pace.Backoff{}, 5}} {
		b := newBench(t)
		res, _ := b.records(lifecycle.Running, 0)
		res.Allowance = pace.Allowance{Left: 5, Until: noon.Add(time.Minute)}
		put(t, b.mem, nil, res)
		err := b.mem.Update(t.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error {
			budget := budgetFor(tx, resourceOfTests)
			budget.Backoff, budget.Grants = test.pause, []pace.Grant{{To: resourceOfTests, Tokens: 5, Until: noon.Add(time.Minute)}}
			tx.Put(budget)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b.c.revoke(t.Context(), []string{resourceOfTests, regionOfTests + "/persistentResources/none"})
		if got := b.resource().Allowance.Left; got != test.left || (len(b.budget().Grants) > 0) != (test.left > 0) {
			t.Errorf("%s: %d left, grants %v", name, got, b.budget().Grants)
		}
		b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
		if b.c.revoke(t.Context(), []string{resourceOfTests}); !strings.Contains(b.log.String(), `"revoke_failed"`) {
			t.Errorf("%s: a failure is not logged: %s", name, &b.log)
		}
	}
}

// TestJobOf: the job that is created is the stored one, under the request's name, on its
// resource, with its disks and three labels of Berth's.
func TestJobOf(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Deployment = "dep"
	rec := recordIn(lifecycle.Submitting, "")
	rec.DisplayName = "shown"
	rec.Spec = `{"displayName":"stored","labels":{"team":"vision"},"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
	job, err := b.c.jobOf(rec)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"team": "vision", vertex.LabelRun: "r1", vertex.LabelRequest: string(rec.Key), vertex.LabelDeployment: "dep"}
	if job.GetDisplayName() != "shown" || job.GetJobSpec().GetPersistentResourceId() != "pool" || fmt.Sprint(job.GetLabels()) != fmt.Sprint(want) || job.GetJobSpec().GetWorkerPoolSpecs()[0].GetDiskSpec().GetBootDiskType() != "pd-ssd" {
		t.Errorf("the job is %v", job)
	}
	rec.Spec = "{"
	if _, err := b.c.jobOf(rec); err == nil {
		t.Error("a broken job is created")
	}
}

// TestSubmit: what becomes of an attempt by what Vertex AI answers, and how long it may
// take.
func TestSubmit(t *testing.T) {
	const spec = `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
	for _, test := range []struct {
		name    string
		change  func(*ledger.Record)
		answer  error
		after   time.Duration // since the update that leased it
		to      lifecycle.State
		creates int
		finds   int
		err     string
	}{
		{"accepted", func(*ledger.Record) {}, nil, 0, lifecycle.Submitted, 1, 0, ""},
		{"just in time", func(*ledger.Record) {}, nil, 50 * time.Second, lifecycle.Submitted, 1, 0, ""},
		{"too late", func(*ledger.Record) {}, nil, 55 * time.Second, lifecycle.Submitting, 0, 0, "ran out of time before create"},
		{"for the rate", func(*ledger.Record) {}, &vertex.Error{Kind: vertex.RateLimited, Code: 8}, 0, lifecycle.Reserved, 1, 0, ""},
		{"denied", func(*ledger.Record) {}, &vertex.Error{Kind: vertex.Denied, Code: 7}, 0, lifecycle.Reserved, 1, 0, ""},
		{"for now", func(*ledger.Record) {}, &vertex.Error{Kind: vertex.Transient, Code: 9}, 0, lifecycle.Waiting, 1, 0, ""},
		{"not found", func(*ledger.Record) {}, &vertex.Error{Kind: vertex.NotFound, Code: 5}, 0, lifecycle.Waiting, 1, 0, ""},
		{"for good", func(*ledger.Record) {}, &vertex.Error{Kind: vertex.Permanent, Code: 3}, 0, lifecycle.Failed, 1, 0, ""},
		{"unclear", func(*ledger.Record) {}, &vertex.Error{Kind: vertex.Unclear, Code: 14}, 0, lifecycle.Submitting, 1, 0, "UNCLEAR"},
		{"an error of another kind", func(*ledger.Record) {}, errors.New("odd"), 0, lifecycle.Submitting, 1, 0, "odd"},
		{"a job that does not decode", func(r *ledger.Record) { r.Spec = "{" }, nil, 0, lifecycle.Failed, 0, 0, ""},
		{"after an unclear one, with nothing found", func(r *ledger.Record) { r.UnclearUntil = noon.Add(-time.Minute) }, nil, 0, lifecycle.Submitted, 1, 1, ""},
		{"which only searches", func(r *ledger.Record) { r.ObserveOnly, r.UnclearUntil = true, noon.Add(-time.Minute) }, nil, 0, lifecycle.Submitting, 0, 1, ""},
	} {
		b := newBench(t)
		now := noon
		b.c.env.Monotonic = func() time.Time { return now }
		rec := b.one(lifecycle.Submitting, "", func(r *ledger.Record, _ *ledger.Resource) {
			r.Spec, r.DisplayName, r.LeasedAt = spec, "d", noon
			test.change(r)
		})
		b.ai.Admit = func(string, *aiplatformpb.CustomJob) error { return test.answer }
		now = noon.Add(test.after)
		after, err := b.c.submit(t.Context(), rec, noon)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.name, err)
		}
		stored := b.record(rec.Key)
		if stored.State != test.to || b.ai.Calls()["create"] != test.creates || b.ai.Calls()["find"] != test.finds || test.to != lifecycle.Submitting && (after == nil || after.State != test.to) {
			t.Errorf("%s: it is %s after %v; want %s", test.name, stored.State, b.ai.Calls(), test.to)
		}
		if test.to == lifecycle.Submitted && (stored.Reservation.Job == "" || stored.JobState != "PENDING" || !strings.Contains(b.log.String(), `"event":"submitted"`)) {
			t.Errorf("%s: its job is %q, %s; %s", test.name, stored.Reservation.Job, stored.JobState, &b.log)
		}
		if unclear := test.err == "UNCLEAR" || test.err == "odd"; unclear != b.c.slots.isPaused(regionOfTests) && test.to == lifecycle.Submitting {
			t.Errorf("%s: the region pauses: %v", test.name, b.c.slots.isPaused(regionOfTests))
		}
		if test.name == "a job that does not decode" && (stored.JobError == nil || stored.JobError.Message != "stored job does not decode") {
			t.Errorf("%s: the error is %+v", test.name, stored.JobError)
		}
	}
}

// TestAcceptedJobs: a job whose record names another is cancelled, one whose record is gone
// is left alone, and one that is to be cancelled is.
func TestAcceptedJobs(t *testing.T) {
	for _, test := range []struct {
		name   string
		state  lifecycle.State
		named  string
		gone   bool
		to     lifecycle.State
		cancel int
		event  string
	}{
		{"the first", lifecycle.Submitting, "", false, lifecycle.Submitted, 0, "submitted"},
		{"while it is cancelled", lifecycle.Cancelling, "", false, lifecycle.Cancelling, 1, "submitted"},
		{"the run has another", lifecycle.Running, regionOfTests + "/customJobs/7", false, lifecycle.Running, 1, "orphan_job"},
		{"the record is gone", lifecycle.Submitting, "", true, lifecycle.None, 0, "record_lost"},
	} {
		b := newBench(t)
		job := vertex.Job{Name: b.ai.AddForeign(regionOfTests, "pool", capacity.Ask{{Shape: small, Replicas: 1}}), State: vertex.JobPending, Run: "r1"}
		rec := b.one(test.state, test.named, func(r *ledger.Record, _ *ledger.Resource) { r.Declined = ledger.Declined{Times: 3} })
		if test.gone {
			b.rename(rec, nil, "gone")
		}
		after, err := b.c.accepted(t.Context(), rec, job)
		if err != nil || (after == nil) != test.gone || !test.gone && after.State != test.to {
			t.Errorf("%s: %+v, %v", test.name, after, err)
		}
		if got := b.ai.Calls()["cancel"]; got != test.cancel || !strings.Contains(b.log.String(), `"event":"`+test.event+`"`) {
			t.Errorf("%s: %d cancels, %s", test.name, got, &b.log)
		}
		if test.event == "submitted" {
			if stored := b.record(rec.Key); stored.Reservation.Job != job.Name || stored.JobState != "PENDING" || stored.Declined.Times != 0 {
				t.Errorf("%s: stored as %+v", test.name, stored)
			}
		}
	}
	job := vertex.Job{Run: "r1", Request: recordIn(lifecycle.Running, "").Key, PersistentResource: "pool"}
	if !ofRun(recordIn(lifecycle.Running, ""), job) {
		t.Error("a job of the run is not")
	}
	for name, change := range map[string]func(*vertex.Job){"run": func(j *vertex.Job) { j.Run = "r2" }, "request": func(j *vertex.Job) { j.Request = "k" }, "resource": func(j *vertex.Job) { j.PersistentResource = "other" }} {
		other := job
		if change(&other); ofRun(recordIn(lifecycle.Running, ""), other) {
			t.Errorf("one of another %s is of the run", name)
		}
	}
}

// TestExists: one call finds out whether a name is that of a persistent resource; what was
// not there, and what failed, is remembered for a moment, and found ones cost no share.
func TestExists(t *testing.T) {
	b := newBench(t)
	now := noon
	b.c.env.Monotonic = func() time.Time { return now }
	name := func(i int) string { return fmt.Sprintf("%s/persistentResources/n%d", regionOfTests, i) }
	b.ai.SetResource(name(0), vertex.Resource{State: vertex.Running})
	for range 100 { // more than the share is
		if there, err := b.c.exists(t.Context(), name(0)); !there || err != nil {
			t.Fatalf("one that is there: %v, %v", there, err)
		}
	}
	if there, err := b.c.exists(t.Context(), name(1)); there || err != nil || !b.c.missing.isAbsent(name(1), now) || b.c.missing.hasFailed(name(1), now) != nil {
		t.Errorf("one that is not: %v, %v", there, err)
	}
	b.ai.SetResource(name(1), vertex.Resource{State: vertex.Running})
	if there, err := b.c.exists(t.Context(), name(1)); !there || err != nil || b.c.missing.isAbsent(name(1), now) {
		t.Errorf("one that is made: %v, %v", there, err)
	}
	b.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	_, err := b.c.exists(t.Context(), name(2))
	if err == nil || !strings.HasPrefix(err.Error(), "ask for "+name(2)+": ") || vertex.KindOf(err) != vertex.Unclear {
		t.Errorf("no answer: %v", err)
	}
	if again := b.c.missing.hasFailed(name(2), now); again == nil || again.Error() != err.Error() || b.c.missing.hasFailed(name(3), now) != nil || b.c.missing.hasFailed(name(2), now.Add(10*time.Second)) != nil {
		t.Errorf("it is remembered as %v", again)
	}
	b.ai.Fault = nil
	before, asked := b.ai.Calls()["resource"], 0
	for i := range 100 {
		there, err := b.c.exists(t.Context(), name(10+i))
		if there || err != nil && !errors.Is(err, errObserveLater) {
			t.Fatalf("name %d: %v, %v", i, there, err)
		}
		if err == nil {
			asked++
		}
	}
	if calls := b.ai.Calls()["resource"] - before; asked != calls || calls != 18 { // of twenty, two are used above
		t.Errorf("%d of 100 made-up names are asked for by %d calls", asked, calls)
	}
	if errObserveLater.Error() != "too many unknown persistent resources were asked for in the last minute" {
		t.Errorf("%v", errObserveLater)
	}
	now = now.Add(6 * time.Second) // a tenth of a third of 300 calls a minute: one in six seconds
	if _, err := b.c.exists(t.Context(), name(500)); err != nil {
		t.Errorf("six seconds later: %v", err)
	}
	if _, err := b.c.exists(t.Context(), name(501)); !errors.Is(err, errObserveLater) {
		t.Errorf("and one more: %v", err)
	}
}

// TestWhatAnEntryFails: a request that cannot be decided is not acknowledged, and the error
// says why.
func TestWhatAnEntryFails(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1"}, "pool"
	d, _ := decoded(t, `{"requestId":"a",`+fmt.Sprintf(bareJob, "")+`}`)
	handle := func() error { return b.c.Handle(t.Context(), "default", d) }
	b.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	if err := handle(); err == nil || !strings.HasPrefix(err.Error(), "message m1 names a resource that was never observed: ask for "+resourceOfTests+": ") || !strings.Contains(b.log.String(), `"observe_failed"`) {
		t.Errorf("Vertex AI does not answer: %v", err)
	}
	if _, err := b.c.Quote(t.Context(), "default", d); err != nil {
		t.Errorf("and a question about it: %v", err)
	}
	b.ai.Fault = nil
	b.mem.Fault = func(op string) ledger.Fault { return map[string]ledger.Fault{ledger.OpRead: ledger.FailRead}[op] }
	if err := handle(); err == nil || !strings.HasPrefix(err.Error(), "decide message m1: ") || !errors.Is(err, ledger.ErrInjected) {
		t.Errorf("the ledger cannot be read: %v", err)
	}
	if _, err := b.c.Quote(t.Context(), "default", d); err == nil || !strings.HasPrefix(err.Error(), "quote message m1: ") {
		t.Errorf("and a question: %v", err)
	}
	for data, want := range map[string]string{
		`{"cancel":{"requestId":"a"}}`: "cancel by message m2: ", `{`: "write the answer to message m2: ", `{"requestId":"b","dryRun":true,` + fmt.Sprintf(bareJob, "") + `}`: "quote message m2: ",
		`{"requestId":"b","persistentResource":"projects/q/locations/us-central1/persistentResources/x",` + fmt.Sprintf(bareJob, "") + `}`: "decide message m2: ",
	} {
		if err := b.c.Handle(t.Context(), "default", message.Delivery{ID: "m2", PublishTime: noon, Data: []byte(data)}); err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, ledger.ErrInjected) {
			t.Errorf("%.30s: %v, want %s...", data, err, want)
		}
	}
	b.mem.Fault = nil
	b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)}})
	b.c.env.Monotonic = func() time.Time { return noon.Add(time.Minute) }
	if err := handle(); err != nil || b.state(message.KeyOf("default", message.KindRequest, "a")) == lifecycle.None {
		t.Errorf("once all work: %v", err)
	}
}

// TestLimitOfAJobWithoutASpec: there is nothing to write the deployment's limit into.
func TestLimitOfAJobWithoutASpec(t *testing.T) {
	b := newBench(t)
	b.c.cfg.DefaultTimeout = time.Hour
	rec, job := &ledger.Record{Resource: resourceOfTests}, &aiplatformpb.CustomJob{}
	if b.c.limit(rec, job, nil); rec.Timeout != time.Hour || !rec.UnsetTimeout || job.GetJobSpec() != nil || len(rec.Warnings) != 0 {
		t.Errorf("it may run for %v, %v, %v", rec.Timeout, job, rec.Warnings)
	}
}

// A request that names no persistent resource is told that the deployment's default is not
// there, by an answer and by a quote; one that names another is told of that name alone.
func TestUnknownDefault(t *testing.T) {
	const says = "which the deployment gives to requests that name none"
	for resource, byDefault := range map[string]bool{"": true, `"persistentResource":"other",`: false} {
		b := newBench(t)
		b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1"}, "pool"
		d := message.Delivery{ID: "1", PublishTime: noon, Data: []byte(`{` + resource + fmt.Sprintf(bareJob, "") + `}`)}
		q, err := b.c.Quote(t.Context(), "default", d)
		if err != nil || q.Reason == nil || q.Reason.Code != reason.UnknownResource || strings.Contains(q.Reason.Detail, says) != byDefault {
			t.Errorf("quote with %q: %+v, %v", resource, q.Reason, err)
		}
		if err := b.c.Handle(t.Context(), "default", d); err != nil {
			t.Fatal(err)
		}
		rec := b.mem.Records()[0]
		if rec.Why == nil || rec.Why.Code != reason.UnknownResource || strings.Contains(rec.Why.Detail, says) != byDefault {
			t.Errorf("with %q: %+v", resource, rec.Why)
		}
	}
}
