package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/controller"
)

// TestSettingsReachTheController: each setting ends in the field that it is for, none in
// another one of the same type, and what is derived follows.
func TestSettingsReachTheController(t *testing.T) {
	got := settings(t, "BERTH_PROJECT=other-project", "BERTH_REGIONS=europe-west4,us-east1", "BERTH_DEFAULT_RESOURCE=mine", "BERTH_DEPLOYMENT=dep",
		"BERTH_TICK=2m", "BERTH_POLL=4s", "BERTH_SUBMISSIONS=61", "BERTH_POLLS=301", "BERTH_RATE_BACKOFF=21s", "BERTH_BACKOFF=16s",
		"BERTH_MAX_WAIT=169h", "BERTH_START_TIMEOUT=65m", "BERTH_REFUSE_AFTER=25h", "BERTH_DECLINE_TIMEOUT=26h", "BERTH_DISK_TYPE=pd-standard",
		"BERTH_SERVICE_ACCOUNTS=allow", "BERTH_BACKFILL=refuse", "BERTH_ESTIMATES=off", "BERTH_GANG=7", "BERTH_PATIENCE=27h", "BERTH_DEFAULT_TIMEOUT=28h", "BERTH_MAX_TIMEOUT=29h",
		"BERTH_SUBMIT_TIMEOUT=61s", "BERTH_RETRY_AFTER=31s", "BERTH_UNCLEAR_TIMEOUT=16m", "BERTH_PUBLISH_GRACE=17s").controller()
	want := controller.DefaultConfig()
	want.Project, want.Regions, want.DefaultResource, want.Deployment = "other-project", []string{"europe-west4", "us-east1"}, "mine", "dep"
	want.Tick, want.Poll, want.Submissions, want.Polls = 2*time.Minute, 4*time.Second, 61, 301
	want.RateBackoff, want.Backoff = 21*time.Second, 16*time.Second
	want.MaxWait, want.StartTimeout, want.DeclineTimeout, want.DiskType = 169*time.Hour, 65*time.Minute, 26*time.Hour, "pd-standard"
	want.Policy.MaxAge, want.Policy.RefuseAfter, want.Policy.AllowAccounts = 4*time.Minute, 25*time.Hour, true
	want.Policy.Plan.NoBackfill, want.Policy.Plan.Patience = true, 27*time.Hour
	want.Policy.Plan.StartTimeout, want.Gang, want.Estimates = 65*time.Minute, 7, false
	want.DefaultTimeout, want.Policy.MaxLimit = 28*time.Hour, 29*time.Hour
	want.SubmitTimeout, want.RetryAfter, want.UnclearTimeout, want.PublishGrace = 61*time.Second, 31*time.Second, 16*time.Minute, 17*time.Second
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p := settings(t, "BERTH_RAY_CLUSTERS=allow").controller().Policy; !p.AllowRay || p.AllowAccounts || p.Plan.NoBackfill {
		t.Errorf("only Ray clusters are allowed: %+v", p)
	}
	if p := settings(t, "BERTH_START_TIMEOUT=3m").controller().Policy.Plan; p.StartIn != 3*time.Minute {
		t.Errorf("a job that passes has %s to start at least, of 3m in all", p.StartIn)
	}
	for _, test := range []struct {
		pairs          []string
		margin, longer time.Duration // an attempt's own end, and the longest pause
	}{
		{nil, 5 * time.Second, time.Minute},
		{[]string{"BERTH_SUBMIT_TIMEOUT=20s"}, 5 * time.Second, time.Minute},
		{[]string{"BERTH_SUBMIT_TIMEOUT=8s"}, 2 * time.Second, time.Minute},
		{[]string{"BERTH_RATE_BACKOFF=2m"}, 5 * time.Second, 2 * time.Minute},
		{[]string{"BERTH_BACKOFF=3m"}, 5 * time.Second, 3 * time.Minute},
		{[]string{"BERTH_RATE_BACKOFF=2m", "BERTH_BACKOFF=3m"}, 5 * time.Second, 3 * time.Minute},
	} {
		c := settings(t, test.pairs...).controller()
		if c.Margin != test.margin || c.MaxBackoff != test.longer {
			t.Errorf("%v: margin %v, longest pause %v; want %v, %v", test.pairs, c.Margin, c.MaxBackoff, test.margin, test.longer)
		}
	}
}

// TestBudgetOfATick: a pass ends before the next tick, and before its own request ends.
func TestBudgetOfATick(t *testing.T) {
	for _, test := range []struct{ tick, timeout, want time.Duration }{
		{time.Minute, 2 * time.Minute, 54 * time.Second}, {10 * time.Minute, 2 * time.Minute, 96 * time.Second}, {time.Second, 5 * time.Second, 900 * time.Millisecond},
	} {
		if got := (&App{cfg: Config{Tick: test.tick, Timeout: test.timeout}}).budget(); got != test.want {
			t.Errorf("tick %v, timeout %v: %v, want %v", test.tick, test.timeout, got, test.want)
		}
	}
}
