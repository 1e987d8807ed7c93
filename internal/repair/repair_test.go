package repair_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/vertex"
)

// A change calls a fix; it is run dry first, and then with its writes.
type change func(ctx context.Context, k repair.Kit, w *world) ([]repair.Change, error)

func leakedHolds(ctx context.Context, k repair.Kit, _ *world) ([]repair.Change, error) {
	return k.LeakedHolds(ctx)
}
func queues(ctx context.Context, k repair.Kit, _ *world) ([]repair.Change, error) {
	return k.Queues(ctx)
}

// breaks are ledgers with one damage each: what the doctor reports, and which fix
// repairs it.
var breaks = []struct {
	name       string
	by         func(w *world)
	check      string
	request    string // "" if the finding names none
	this, that string // the two facts, in part
	fix        change
	from, to   string // of the one change, in part
}{
	{"a hold without a request", func(w *world) {
		w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) {
			res.Holds[w.key("unknown")] = ledger.Hold{Ask: capacity.Ask{{Shape: cpu, Replicas: 1}}, Run: "rx"}
			res.Recompute()
		})
	}, "hold-matches", "unknown", "there is a hold of it", "there is no such request", leakedHolds, "1 x n1-standard-4/pd-ssd:100 for run rx", "none"},
	{"a hold of a waiting request", func(w *world) {
		w.hand("next", func(res *ledger.Resource, r *ledger.Record) {
			res.Holds[r.Key] = ledger.Hold{Ask: capacity.Ask{{Shape: cpu, Replicas: 1}}, Run: "rx"}
			res.Recompute()
		})
	}, "hold-matches", "next", "there is a hold of it", "it is WAITING", leakedHolds, "1 x n1", "none"},
	{"a request without its hold", func(w *world) {
		w.hand("runs", func(res *ledger.Resource, r *ledger.Record) { delete(res.Holds, r.Key) })
	}, "hold-matches", "runs", "it is SUBMITTED", "it has no hold", leakedHolds, "none", "3 x n1-standard-4/pd-ssd:100 for run r"},
	{"a hold of another run", func(w *world) {
		w.hand("runs", func(res *ledger.Resource, r *ledger.Record) {
			h := res.Holds[r.Key]
			h.Run = "rx"
			res.Holds[r.Key] = h
		})
	}, "hold-matches", "runs", "its hold is for run rx", "its run is r", leakedHolds, "run rx", "for run r"},
	{"a hold that is too small", func(w *world) {
		w.hand("runs", func(res *ledger.Resource, r *ledger.Record) {
			h := res.Holds[r.Key]
			h.Ask = capacity.Ask{{Shape: cpu, Replicas: 1}}
			res.Holds[r.Key] = h
		})
	}, "hold-matches", "runs", "its hold is for", "it asks for", leakedHolds, "1 x n1", "3 x n1"},
	{"a queue that counts one too many", func(w *world) {
		w.hand("next", func(res *ledger.Resource, r *ledger.Record) {
			class := res.Queue[r.Class]
			class.Count++
			res.Queue[r.Class] = class
		})
	}, "queue-matches", "", "2 requests wait in class default|n1-standard-4/pd-ssd:100|", "it counts 3", queues, "3 waiting", "2 waiting"},
	{"a queue in the wrong order", func(w *world) {
		w.hand("next", func(res *ledger.Resource, r *ledger.Record) {
			slices.Reverse(res.Queue[r.Class].Heads)
		})
	}, "queue-matches", "", "begins", "its heads are", queues, "2 waiting", "2 waiting"},
	{"no queue", func(w *world) {
		w.hand("next", func(res *ledger.Resource, _ *ledger.Record) { res.Queue = nil })
	}, "queue-matches", "", "2 requests wait in class", "there is no such class", queues, "none", "2 waiting"},
	{"a queue without requests", func(w *world) {
		w.hand("next", func(res *ledger.Resource, r *ledger.Record) {
			res.Queue["ghost"] = admission.Class{Count: 1, Heads: []admission.Head{r.Head()}}
		})
	}, "queue-matches", "", "0 requests wait in class ghost", "it counts 1", queues, "1 waiting", "none"},
	{"a reservation without its request", func(w *world) {
		w.hand("next", func(res *ledger.Resource, r *ledger.Record) {
			ghost := r.Head()
			ghost.ID = "ghost"
			res.Reserved = append(res.Reserved, admission.Reservation{Head: ghost})
		})
	}, "queue-matches", "", "it has a reservation", "no such request waits", queues, "ghost", "none"},
	{"a request without a timer", func(w *world) {
		w.hand("next", func(_ *ledger.Resource, r *ledger.Record) { r.TimerAt = time.Time{} })
	}, "timer-is-set", "next", "it is WAITING", "it has no timer", func(ctx context.Context, k repair.Kit, w *world) ([]repair.Change, error) {
		return k.RunTimer(ctx, w.key("next"))
	}, "never", "20"},
	{"a live request that may be deleted", func(w *world) {
		w.hand("next", func(_ *ledger.Resource, r *ledger.Record) { r.ExpireAt = w.clock().Add(time.Hour) })
	}, "event-kept", "next", "it may be deleted", "it is WAITING with 0 unpublished", func(ctx context.Context, k repair.Kit, w *world) ([]repair.Change, error) {
		return k.Republish(ctx, w.key("next"), nil)
	}, "may be deleted from", "1 kept (1 to 1), 1 unpublished"},
}

// TestBreaks damages a ledger, finds the damage, makes a dry run of its fix, then
// the fix, and finds nothing afterwards.
func TestBreaks(t *testing.T) {
	for _, where := range []struct {
		name string
		real bool
	}{{"memory", false}, {"Firestore emulator", true}} {
		t.Run(where.name, func(t *testing.T) {
			t.Parallel()
			for i, b := range breaks {
				if where.real && i%3 != 2 {
					continue // a few show that both ledgers are read and written alike
				}
				t.Run(b.name, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, where.real)
					if bad := w.doctor(); len(bad) > 0 {
						t.Fatalf("before it is broken: %+v", bad)
					}
					b.by(w)
					found := w.doctor()
					if len(found) != 1 {
						t.Fatalf("found %+v, want one thing", found)
					}
					f := found[0]
					if f.Check != b.check || f.Level != repair.Fail || !strings.Contains(f.This, b.this) || !strings.Contains(f.That, b.that) ||
						f.Resource != pool || f.Means == "" || !strings.HasPrefix(f.Do, "berth repair") {
						t.Errorf("found %+v", f)
					}
					if b.request != "" && f.Request != w.key(b.request) {
						t.Errorf("it names request %s, want %s (%s)", f.Request, w.key(b.request), b.request)
					}
					before := w.contents()
					for _, do := range []bool{false, true} {
						changes, err := b.fix(t.Context(), w.kit(do), w)
						if err != nil {
							t.Fatal(err)
						}
						if len(changes) != 1 {
							t.Fatalf("do %v: changes %+v, want one", do, changes)
						}
						c := changes[0]
						if c.Left != "" || c.Done != do || !strings.Contains(c.From, b.from) || !strings.Contains(c.To, b.to) || !strings.Contains(c.Document, "/") {
							t.Errorf("do %v: change %+v", do, c)
						}
						if !do {
							w.unchangedSince(before)
						}
					}
					if bad := w.doctor(); len(bad) > 0 {
						t.Errorf("after it was fixed: %+v", bad)
					}
					if changes, err := b.fix(t.Context(), w.kit(true), w); err != nil || slices.ContainsFunc(changes, func(c repair.Change) bool { return c.Done }) {
						t.Errorf("fixing it again: %+v, %v", changes, err)
					}
					w.pass() // a pass works on the repaired ledger
				})
			}
		})
	}
}

// TestLeakedHoldsThatDoNotFit: a hold that does not fit is not restored. Leaked
// holds are released first, and if that is not enough the request stays as it is.
func TestLeakedHoldsThatDoNotFit(t *testing.T) {
	w := newWorld(t, false)
	w.hand("runs", func(res *ledger.Resource, r *ledger.Record) {
		delete(res.Holds, r.Key)
		res.Holds[w.key("unknown")] = ledger.Hold{Ask: r.Ask, Run: "rx"}
		res.Foreign = []ledger.Foreign{{Job: parent + "/customJobs/7", Ask: capacity.Ask{{Shape: cpu, Replicas: 2}}}}
	})
	for _, do := range []bool{false, true} {
		changes, err := w.kit(do).LeakedHolds(t.Context())
		if err != nil || len(changes) != 2 {
			t.Fatalf("changes %+v, %v", changes, err)
		}
		if changes[0].Left != "" || changes[0].To != "none" {
			t.Errorf("the hold without a request: %+v", changes[0])
		}
		if want := "of 4, 2 are in use, and 1 of those has to end first"; !strings.Contains(changes[1].Left, want) || changes[1].Done {
			t.Errorf("the hold of runs: %+v, want %q", changes[1], want)
		}
	}
	w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) { res.Foreign = nil })
	if changes, err := w.kit(true).LeakedHolds(t.Context()); err != nil || len(changes) != 1 || !changes[0].Done {
		t.Fatalf("with room: %+v, %v", changes, err)
	}
	if bad := w.doctor(); len(bad) > 0 {
		t.Errorf("in the end: %+v", bad)
	}
}

// unnamed leaves request runs as a crash between the creation of its job and the
// record of it does, and moves the clock by hours.
func unnamed(t *testing.T) (w *world, job string) {
	w = newWorld(t, false)
	job = w.read(w.key("runs")).Reservation.Job
	w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
		r.State, r.Job, r.Open, r.Times.Submitted = lifecycle.Submitting, "", true, time.Time{}
		r.Outbox, r.Sequence = r.Outbox[:1], 1
		r.TimerAt = r.ActUntil.Add(w.cfg.RetryAfter)
	})
	w.now = w.now.Add(time.Hour)
	return w, job
}

// copied creates a job with the labels of a request's job in another place.
func (w *world) copied(id, parent, resource string) string {
	w.t.Helper()
	rec := w.read(w.key(id))
	job, err := message.ParseJob([]byte(rec.Spec))
	if err != nil {
		w.t.Fatal(err)
	}
	job.JobSpec.PersistentResourceId = resource
	job.Labels = map[string]string{vertex.LabelRun: rec.Run, vertex.LabelRequest: string(rec.Key)}
	created, err := w.vertex.Create(w.t.Context(), parent, job)
	if err != nil {
		w.t.Fatal(err)
	}
	return created.Name
}

// TestCopiedJobElsewhereIsNotFound: a job with copied labels on another persistent
// resource is not an orphan job, so the doctor does not report it.
func TestCopiedJobElsewhereIsNotFound(t *testing.T) {
	for resource, found := range map[string]bool{"pool": true, "other": false, "": false} {
		w := newWorld(t, false)
		job := w.copied("runs", parent, resource)
		w.now = w.now.Add(time.Hour)
		reported := slices.ContainsFunc(w.doctor(), func(f repair.Finding) bool { return f.Check == repair.CheckJobs && f.Job == job })
		if reported != found {
			t.Errorf("on %q: the doctor reports it: %v, want %v", resource, reported, found)
		}
	}
}

func TestAdopt(t *testing.T) {
	w, job := unnamed(t)
	i := slices.IndexFunc(w.doctor(), func(f repair.Finding) bool { return f.Check == repair.CheckJobs })
	if i < 0 {
		t.Fatalf("nothing is found: %+v", w.doctor())
	}
	if f := w.doctor()[i]; f.Request != w.key("runs") || f.Resource != pool || f.Job != job || f.Do != "berth repair adopt runs "+job {
		t.Errorf("found %+v", f)
	}
	before := w.contents()
	changes, err := w.kit(false).Adopt(t.Context(), w.key("runs"), job[strings.LastIndexByte(job, '/')+1:])
	if err != nil || len(changes) != 1 || changes[0].Left != "" || changes[0].From != "SUBMITTING without a job" || changes[0].To != "SUBMITTED with job "+job {
		t.Fatalf("changes %+v, %v", changes, err)
	}
	w.unchangedSince(before)
	if _, err := w.kit(true).Adopt(t.Context(), w.key("runs"), job); err != nil {
		t.Fatal(err)
	}
	w.want("runs", lifecycle.Submitted)
	if again, err := w.kit(true).Adopt(t.Context(), w.key("runs"), job); err != nil || again[0].Left == "" {
		t.Errorf("adopting it again: %+v, %v", again, err)
	}
	w.pass() // publishes the event
	if bad := w.doctor(); len(bad) > 0 {
		t.Errorf("in the end: %+v", bad)
	}
	if want := string(w.key("runs")) + "-2"; !slices.Contains(w.publisher.ids, want) {
		t.Errorf("event %s was not published: %v", want, w.publisher.ids)
	}
}

// TestAdoptUnsubmitted: a request that was restored from a backup takes the job that was
// created since, in one update that keeps every promise.
func TestAdoptUnsubmitted(t *testing.T) {
	for _, state := range []lifecycle.State{lifecycle.Waiting, lifecycle.Reserved} {
		w, job := unnamed(t)
		w.pass() // it counts no job as foreign that has a hold
		w.hand("runs", func(res *ledger.Resource, r *ledger.Record) {
			run := r.Run
			r.Reservation, r.Outbox, r.Sequence, r.JobState = lifecycle.Reservation{State: state, Run: run}, r.Outbox[:1], 1, ""
			res.SetPending(r.Key, true, w.now)
			if state == lifecycle.Waiting {
				r.Reservation.Run, r.Outbox[0].Type, r.Outbox[0].Outcome.State = "", message.Queued, string(lifecycle.Waiting)
				res.Release(r.Key)
				res.Join(r)
				res.AddForeign(job, r.Ask, w.now)
			}
		})
		before := w.contents()
		if changes, err := w.kit(false).Adopt(t.Context(), w.key("runs"), job); err != nil || changes[0].Left != "" || changes[0].To != "SUBMITTED with job "+job {
			t.Fatalf("%s: changes %+v, %v", state, changes, err)
		}
		w.unchangedSince(before)
		if _, err := w.kit(true).Adopt(t.Context(), w.key("runs"), job); err != nil {
			t.Fatal(err)
		}
		all, err := w.ledger.Resources(t.Context(), "", 1)
		if err != nil || len(all) != 1 || len(all[0].Holds) != 1 || len(all[0].Foreign) != 0 {
			t.Errorf("%s: holds and foreign jobs %+v, %v", state, all, err)
		}
		rec := w.read(w.key("runs"))
		want := []message.Type{message.Queued, message.Reserved, message.Submitted}
		if state == lifecycle.Reserved {
			want = want[1:]
		}
		var got []message.Type
		for _, e := range rec.Outbox {
			got = append(got, e.Type)
		}
		if !slices.Equal(got, want) || rec.Reservation.Job != job || rec.State != lifecycle.Submitted {
			t.Errorf("%s: %+v after events %v, want %v", state, rec.Reservation, got, want)
		}
		w.pass()
		if bad := w.doctor(); len(bad) > 0 {
			t.Errorf("%s: in the end: %+v", state, bad)
		}
	}
}

// TestJobsOfARestoredLedger: the doctor names live jobs that the ledger knows nothing of, of
// this deployment only, and only where a label says more than that it was copied.
func TestJobsOfARestoredLedger(t *testing.T) {
	other := capacity.Ask{{Shape: cpu, Replicas: 1}}
	for _, c := range []struct {
		name   string
		change func(r *ledger.Record, j *vertex.Job) // of the request "next", which waits
		do     string                                // "" if nothing is found
	}{
		{"created after the backup", func(*ledger.Record, *vertex.Job) {}, "berth repair adopt next "},
		{"of another size", func(_ *ledger.Record, j *vertex.Job) { j.Ask = other }, ""},
		{"on another resource", func(_ *ledger.Record, j *vertex.Job) { j.PersistentResource = "other" }, ""},
		{"without a run", func(_ *ledger.Record, j *vertex.Job) { j.Run = "" }, ""},
		{"of a request that has ended", func(r *ledger.Record, _ *vertex.Job) { r.State = lifecycle.Cancelled }, ""},
		{"of a request that came after the backup", func(_ *ledger.Record, j *vertex.Job) { j.Request = "0123456789abcdef0123456789abcdef" }, "deploy/upgrading.md"},
		{"of such a request of another deployment", func(_ *ledger.Record, j *vertex.Job) {
			j.Request, j.Deployment = "0123456789abcdef0123456789abcdef", "other"
		}, ""},
		{"of no request", func(_ *ledger.Record, j *vertex.Job) { j.Request, j.Run = "", "" }, ""},
	} {
		w := newWorld(t, false)
		p, err := repair.Gather(t.Context(), repair.Source{Ledger: w.ledger, Vertex: w.vertex, Parents: []string{parent}, Clock: w.clock}, w.settings().Lease)
		if err != nil {
			t.Fatal(err)
		}
		job := vertex.Job{Name: parent + "/customJobs/77", State: vertex.JobRunning, CreateTime: w.now, Run: "rnew", Request: w.key("next"), Deployment: w.cfg.Deployment, PersistentResource: "pool"}
		for _, r := range p.Records {
			if r.Key == w.key("next") {
				job.Ask = r.Ask
				c.change(r, &job)
			}
		}
		p.Jobs = append(p.Jobs, job)
		found := slices.DeleteFunc(repair.Judge(p, w.settings()), func(f repair.Finding) bool { return f.Check != repair.CheckJobs || f.Job != job.Name })
		switch {
		case c.do == "" && len(found) > 0, c.do != "" && (len(found) != 1 || found[0].Level != repair.Warn || !strings.Contains(found[0].Do, c.do) || found[0].Request != job.Request):
			t.Errorf("a job %s: found %+v, want %q", c.name, found, c.do)
		}
	}
}

func TestAdoptRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		by   func(w *world, job string) string // returns the job to adopt
		why  string
	}{
		{"a user's job", func(w *world, _ string) string {
			return w.vertex.AddForeign(parent, "pool", capacity.Ask{{Shape: cpu, Replicas: 3}})
		}, "which is not this request"},
		{"another run", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.Run = "rx" })
			return job
		}, `the run of the request is "rx"`},
		{"an earlier run", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.PastRuns, r.Run = []string{r.Run}, "rx" })
			return job
		}, "is of run r"},
		{"another size", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.Ask[0].Replicas = 1 })
			return job
		}, "the request asks for 1 x"},
		{"another job is named", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.Job = parent + "/customJobs/9" })
			return job
		}, "names another job"},
		{"a copy in another region", func(w *world, _ string) string {
			return w.copied("runs", strings.Replace(parent, "us-central1", "europe-west4", 1), "pool")
		}, `is on persistent resource "pool" in europe-west4`},
		{"a copy on another resource", func(w *world, _ string) string { return w.copied("runs", parent, "other") }, `is on persistent resource "other" in`},
		{"it has ended", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.State = lifecycle.Failed })
			return job
		}, "FAILED takes no job"},
		{"it has replicas for another run", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.State, r.Run = lifecycle.Reserved, "rx" })
			return job
		}, `the run of the request is "rx"`},
		{"it waits, and the run is over", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
				r.PastRuns, r.Reservation = []string{r.Run}, lifecycle.Reservation{State: lifecycle.Waiting}
			})
			return job
		}, "which is over"},
		{"it waits, and the job is of another size", func(w *world, job string) string {
			w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
				r.Ask[0].Replicas, r.Reservation = 1, lifecycle.Reservation{State: lifecycle.Waiting}
			})
			return job
		}, "the request asks for 1 x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, job := unnamed(t)
			job = c.by(w, job)
			before := w.contents()
			changes, err := w.kit(true).Adopt(t.Context(), w.key("runs"), job)
			if err != nil || len(changes) != 1 || !strings.Contains(changes[0].Left, c.why) || changes[0].Done {
				t.Errorf("changes %+v, %v; want %q", changes, err, c.why)
			}
			w.unchangedSince(before)
		})
	}
	w, _ := unnamed(t)
	if _, err := w.kit(true).Adopt(t.Context(), w.key("runs"), "404"); err == nil || !strings.Contains(err.Error(), parent+"/customJobs/404") {
		t.Errorf("a job that is not there: %v", err)
	}
}

func TestOutbox(t *testing.T) {
	w := newWorld(t, false)
	w.publisher.down = true
	w.request("unpublished", 2) // waits behind the others, and its event is not published
	w.now = w.now.Add(10 * time.Minute)
	found := w.doctor()
	i := slices.IndexFunc(found, func(f repair.Finding) bool { return f.Check == repair.CheckOutbox })
	if i < 0 || found[i].Request != w.key("unpublished") || !strings.Contains(found[i].Text, "1 unpublished outcome event, the oldest for 10m0s") {
		t.Fatalf("found %+v", found)
	}
	before := w.contents()
	if changes, err := w.kit(false).Send(t.Context(), w.publisher); err != nil || len(changes) != 1 || !strings.Contains(changes[0].To, "0 unpublished") {
		t.Errorf("dry run: %+v, %v", changes, err)
	}
	if _, err := w.kit(true).Send(t.Context(), w.publisher); err == nil {
		t.Error("no error from a topic that is down")
	}
	w.unchangedSince(before)
	w.publisher.down = false
	if changes, err := w.kit(true).Send(t.Context(), w.publisher); err != nil || len(changes) != 1 || !changes[0].Done {
		t.Errorf("changes %+v, %v", changes, err)
	}
	id := string(w.key("unpublished")) + "-1"
	if !slices.Contains(w.publisher.ids, id) {
		t.Errorf("event %s was not published: %v", id, w.publisher.ids)
	}
	// Reconcile publishes it again under the same id.
	if _, err := w.kit(true).Republish(t.Context(), w.key("unpublished"), []int64{1}); err != nil {
		t.Fatal(err)
	}
	w.pass()
	w.pass()
	if n := len(slices.DeleteFunc(slices.Clone(w.publisher.ids), func(s string) bool { return s != id })); n != 2 {
		t.Errorf("event %s was published %d times, want 2", id, n)
	}
	if changes, err := w.kit(true).Republish(t.Context(), w.key("unpublished"), []int64{5}); err != nil || changes[0].Left == "" || !strings.Contains(changes[0].Note, "event 5 is not kept") {
		t.Errorf("an event that is not kept: %+v, %v", changes, err)
	}
	if bad := w.doctor(); len(bad) > 0 {
		t.Errorf("in the end: %+v", bad)
	}
}

// TestOutboxAfterAGap: an event after a gap is not marked as unpublished.
func TestOutboxAfterAGap(t *testing.T) {
	w := newWorld(t, false)
	w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
		third := r.Outbox[1]
		third.Outcome.Sequence, third.ID = 3, string(r.Key)+"-3"
		r.Outbox, r.Sequence = []ledger.OutboxEvent{r.Outbox[0], third}, 3
	})
	changes, err := w.kit(true).Republish(t.Context(), w.key("runs"), nil)
	if err != nil || !strings.Contains(changes[0].Note, "event 3 stays as it is") || len(w.read(w.key("runs")).Unpublished()) != 1 {
		t.Errorf("changes %+v, %v", changes, err)
	}
}

// TestRunTimer: a timer must not run before it is safe. For a submission that may
// still act it could create a second job, and for a submitted job it cancels it.
func TestRunTimer(t *testing.T) {
	w := newWorld(t, false)
	asleep := func(id string) { w.hand(id, func(_ *ledger.Resource, r *ledger.Record) { r.TimerAt = time.Time{} }) }
	runTimer := func(id string) repair.Change {
		t.Helper()
		changes, err := w.kit(true).RunTimer(t.Context(), w.key(id))
		if err != nil {
			t.Fatal(err)
		}
		return changes[0]
	}
	asleep("runs")
	if c := runTimer("runs"); c.Left != "" || !w.read(w.key("runs")).TimerAt.Equal(w.read(w.key("runs")).Times.Submitted.Add(w.cfg.StartTimeout)) {
		t.Errorf("submitted: %+v", c)
	}
	w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
		r.State, r.Job, r.Open, r.ActUntil, r.TimerAt = lifecycle.Submitting, "", true, w.now.Add(time.Minute), time.Time{}
	})
	if c := runTimer("runs"); !w.read(w.key("runs")).TimerAt.Equal(w.now.Add(time.Minute + w.cfg.RetryAfter)) {
		t.Errorf("submitting: %+v", c)
	}
	asleep("next")
	if c := runTimer("next"); c.Left != "" || !w.read(w.key("next")).TimerAt.Equal(w.now) {
		t.Errorf("waiting: %+v", c)
	}
	if c := runTimer("next"); !strings.Contains(c.Left, "not later than that") {
		t.Errorf("again: %+v", c)
	}
	w.pass()
	w.want("next", lifecycle.Waiting)
	if at := w.read(w.key("next")).TimerAt; !at.After(w.now) {
		t.Errorf("after a pass its timer is at %s", at)
	}
	w.hand("last", func(_ *ledger.Resource, r *ledger.Record) { r.State = lifecycle.Running })
	if c := runTimer("last"); c.Left == "" {
		t.Errorf("running: %+v", c)
	}
	w.hand("last", func(_ *ledger.Resource, r *ledger.Record) { r.State = lifecycle.Expired })
	if c := runTimer("last"); !strings.Contains(c.Left, "EXPIRED") {
		t.Errorf("ended: %+v", c)
	}
	if _, err := w.kit(true).RunTimer(t.Context(), "unknown"); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("unknown: %v", err)
	}
}

func TestFind(t *testing.T) {
	w := newWorld(t, false)
	for _, called := range []string{"runs", string(w.key("runs"))} {
		if key, err := repair.Find(t.Context(), w.ledger, "default", called); err != nil || key != w.key("runs") {
			t.Errorf("%q is %q, %v", called, key, err)
		}
	}
	if _, err := repair.Find(t.Context(), w.ledger, "other", "runs"); err == nil {
		t.Error("found in another tenant")
	}
}
