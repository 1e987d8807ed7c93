package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// The time of wait is up when it says, also while a Status function that does not answer is
// asked. What has ended badly by then says more than that.
func TestWaitEndsInTime(t *testing.T) {
	for _, c := range []struct {
		first lifecycle.State
		code  int
		errs  string
	}{
		{lifecycle.Running, exitWaits, "the time of 7s is up: a is RUNNING, b is unknown"},
		{lifecycle.Failed, exitEndedBadly, ""},
		{lifecycle.Succeeded, exitWaits, "the time of 7s is up: b is unknown"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ask := func(ctx context.Context, id string) (statuspage.Request, error) {
				if id == "a" {
					var r statuspage.Request
					r.ID, r.State, r.Terminal = id, c.first, c.first.Terminal()
					return r, nil
				}
				<-ctx.Done()
				return statuspage.Request{}, ctx.Err()
			}
			var out, errs bytes.Buffer
			g := &globals{ctx: t.Context(), out: &out, err: &errs}
			began := time.Now()
			code, err := (&waitCmd{Until: "ended", Within: 7 * time.Second, Every: 2 * time.Second}).wait(g, []waited{{ID: "a"}, {ID: "b"}}, ask)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if took := time.Since(began); code != c.code || text != c.errs || took != 7*time.Second {
				t.Errorf("%s: %d %q after %s, want %d %q after 7s", c.first, code, text, took, c.code, c.errs)
			}
		})
	}
}

// A job that failed says why at once: the line of wait has Vertex AI's error.
func TestWaitSaysWhyAJobFailed(t *testing.T) {
	failed := statuspage.Request{ID: "a", State: lifecycle.Failed, Terminal: true}
	failed.Reason = &reason.Problem{Code: reason.JobEnded, Detail: "The job ended as FAILED."}
	failed.JobError = &message.JobError{Code: 3, Message: "exit status 1\x1b[2J"}
	code, out, errs := answers(t, failed, "wait", "a")
	if want := "a  FAILED  JOB_ENDED: The job ended as FAILED. exit status 1\\x1b[2J\n"; code != exitEndedBadly || out != want || errs != "" {
		t.Errorf("%d %q %q, want %q", code, out, errs, want)
	}
}

// The time of the verbs of operators is up when it says, too.
func TestAnswerIsAwaitedNoLonger(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // far beyond what is waited for
	defer cancel()
	within := 50 * time.Millisecond
	g := &globals{ctx: ctx, target: target{Project: project, StatusURL: hangs.URL, Timeout: time.Hour}, err: &bytes.Buffer{}}
	_, err := (&answerFlags{Wait: &within}).await(g, "17")
	if q := (*quit)(nil); !errors.As(err, &q) || q.code != exitWaits {
		t.Errorf("%v, want the exit code %d", err, exitWaits)
	}
}

// Filters of tail that no event can pass are refused.
func TestTailRefusesFiltersThatNothingPasses(t *testing.T) {
	for _, c := range []struct {
		cmd tailCmd
		ok  bool
	}{
		{tailCmd{State: []string{"FAILED", "refused"}, Type: []string{"Submitted", "paused"}}, true},
		{tailCmd{State: []string{"FAILED", "QUEUED"}}, false},
		{tailCmd{Type: []string{"sumbitted"}}, false},
	} {
		err := c.cmd.check()
		if q := (*quit)(nil); (err == nil) != c.ok || err != nil && (!errors.As(err, &q) || q.code != exitUsage) {
			t.Errorf("%+v: %v", c.cmd, err)
		}
	}
}
