package repair_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/vertex"
)

// backup reads every document, as an export does.
func (w *world) backup() (all []ledger.Document) {
	w.t.Helper()
	for _, kind := range ledger.Kinds() {
		docs, err := w.ledger.Scan(w.t.Context(), kind, "", 100)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, docs...)
	}
	return all
}

// restore deletes every document and writes those of a backup.
func (w *world) restore(backup []ledger.Document) {
	w.t.Helper()
	url := fmt.Sprintf("http://%s/emulator/v1/projects/%s/databases/(default)/documents", emulatortest.Firestore(w.t), w.project)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodDelete, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		w.t.Fatalf("wipe: %s, %v", answer.Status, err)
	}
	for _, doc := range backup {
		if err := w.ledger.Update(w.t.Context(), ledger.ReadSetOf(doc), func(tx ledger.Tx) error { tx.Put(doc); return nil }); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) operate(action message.Action) {
	w.t.Helper()
	if err := w.c.Operate(w.t.Context(), message.Delivery{ID: "o-" + string(action), PublishTime: w.clock(),
		Data: fmt.Appendf(nil, `{"operator":{"action":%q,"who":"ann","reason":"restore","persistentResource":"pool"}}`, action)}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) jobOf(id string) (job vertex.Job) {
	w.t.Helper()
	for _, j := range w.vertex.Jobs() {
		if j.Request == w.key(id) {
			job = j
		}
	}
	if job.Name == "" {
		w.t.Fatalf("request %s has no job", id)
	}
	return job
}

// TestRestore rehearses deploy/upgrading.md: the database goes back to a backup while
// jobs run that were created since, and after its steps each request has had one job, and
// each job its request. The instances of the functions live through it.
func TestRestore(t *testing.T) {
	w := newWorld(t, true)
	backup := w.backup()

	// What is lost: "runs" ended, "next" came and ended, "last" runs; and two requests
	// that the backup does not have, of which "late" runs and "lost" waits.
	since := len(w.sent)
	w.vertex.SetJob(w.jobOf("runs").Name, vertex.JobSucceeded)
	w.pass()
	w.want("next", lifecycle.Submitted)
	w.want("last", lifecycle.Submitted)
	w.request("late", 2)
	w.request("lost", 4)
	w.vertex.SetJob(w.jobOf("next").Name, vertex.JobSucceeded)
	w.vertex.SetJob(w.jobOf("last").Name, vertex.JobRunning)
	w.pass()
	w.want("late", lifecycle.Submitted)
	w.vertex.SetJob(w.jobOf("late").Name, vertex.JobRunning)
	w.want("lost", lifecycle.Waiting)

	w.restore(backup)
	w.want("next", lifecycle.Waiting)
	w.want("last", lifecycle.Waiting)
	if w.read(w.key("late")) != nil {
		t.Fatal("the backup has what came after it")
	}
	says := func(what string, job vertex.Job, do string) {
		t.Helper()
		if !slices.ContainsFunc(w.doctor(), func(f repair.Finding) bool {
			return f.Check == repair.CheckJobs && f.Job == job.Name && strings.Contains(f.Text, what) && strings.Contains(f.Do, do)
		}) {
			t.Errorf("the doctor does not say of %s: %s\n%+v", job.Name, what, w.doctor())
		}
	}
	says("for a run that the ledger does not know", w.jobOf("last"), "berth repair adopt last "+w.jobOf("last").Name)
	says("which is not in the ledger", w.jobOf("late"), "deliver the messages since the backup again")

	// Paused, so that a message that is delivered again makes a request and no job.
	w.operate(message.Pause)
	for _, d := range w.sent[since-1:] { // a little more than since the backup: what is known is a duplicate
		if err := w.c.Handle(t.Context(), "default", d); err != nil {
			t.Fatal(err)
		}
	}
	w.want("late", lifecycle.Waiting)
	says("for a run that the ledger does not know", w.jobOf("late"), "berth repair adopt late "+w.jobOf("late").Name)
	for _, j := range w.vertex.Jobs() { // as gcloud lists them, with the ended ones
		if rec := w.read(j.Request); rec.Reservation.Job == "" {
			if changes, err := w.kit(true).Adopt(t.Context(), j.Request, j.Name); err != nil || !changes[0].Done {
				t.Errorf("adopt %s: %+v, %v", j.Name, changes, err)
			}
		}
	}
	for _, fix := range []func(context.Context) ([]repair.Change, error){w.kit(true).LeakedHolds, w.kit(true).Queues} {
		if changes, err := fix(t.Context()); err != nil || len(changes) > 0 {
			t.Errorf("left to fix: %+v, %v", changes, err)
		}
	}
	w.pass()
	w.want("runs", lifecycle.Succeeded)
	w.want("next", lifecycle.Succeeded)
	w.want("last", lifecycle.Running)
	w.want("late", lifecycle.Running)
	w.operate(message.Resume)
	w.pass()
	w.want("lost", lifecycle.Waiting) // for the machines of the two that run
	for _, id := range []string{"last", "late"} {
		w.vertex.SetJob(w.jobOf(id).Name, vertex.JobSucceeded)
	}
	w.pass()
	w.want("lost", lifecycle.Submitted)
	w.vertex.SetJob(w.jobOf("lost").Name, vertex.JobSucceeded)
	w.pass()

	jobs := map[message.Key]int{}
	for _, j := range w.vertex.Jobs() {
		jobs[j.Request]++
	}
	for _, id := range []string{"runs", "next", "last", "late", "lost"} {
		w.want(id, lifecycle.Succeeded)
		if n := jobs[w.key(id)]; n != 1 {
			t.Errorf("%s had %d jobs", id, n)
		}
	}
	if n := w.vertex.Calls()["cancel"]; n != 0 {
		t.Errorf("%d jobs were cancelled", n)
	}
	if bad := w.doctor(); len(bad) > 0 {
		t.Errorf("in the end: %+v", bad)
	}
}
