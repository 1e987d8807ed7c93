package repair_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/vertex"
)

var update = flag.Bool("update", false, "write what is found into testdata as what is wanted")

// moreBreaks are further damages: by hand, by a restore, by an outage.
var moreBreaks = []struct {
	name string
	by   func(w *world)
}{
	{"nothing is broken", func(*world) {}},
	{"no pass for an hour", func(w *world) {
		w.vertex.SetJob(w.read(w.key("runs")).Reservation.Job, vertex.JobFailed)
		w.now = w.now.Add(time.Hour)
	}},
	{"events were not published", func(w *world) {
		w.publisher.down = true
		w.request("late", 1)
		w.publisher.down = false
		w.now = w.now.Add(10 * time.Minute)
	}},
	{"a job is gone", func(w *world) {
		w.vertex.Delete(w.read(w.key("runs")).Reservation.Job)
		w.now = w.now.Add(5 * time.Minute)
	}},
	{"the resource is gone", func(w *world) {
		w.vertex.SetResource(pool, vertex.Resource{})
		w.now = w.now.Add(5 * time.Minute)
	}},
	{"a job that is not named", func(w *world) {
		w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
			r.State, r.Reservation.Job, r.Open, r.ActUntil, r.TimerAt = lifecycle.Submitting, "", true, w.now, w.now.Add(time.Hour)
			r.Times.Submitted = time.Time{}
		})
		w.now = w.now.Add(5 * time.Minute)
	}},
	{"a job of an earlier run", func(w *world) {
		w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) {
			r.PastRuns, r.Run, r.Reservation.Job = []string{r.Run}, "rx", parent+"/customJobs/77"
		})
		w.now = w.now.Add(5 * time.Minute)
	}},
	{"two holds for nothing, and one that does not fit", func(w *world) {
		w.hand("next", func(res *ledger.Resource, r *ledger.Record) {
			res.Holds[w.key("ghost")] = ledger.Hold{Ask: capacity.Ask{{Shape: cpu, Replicas: 1}}, Run: "rg", Job: parent + "/customJobs/55"}
			r.State, r.Run, r.Class = lifecycle.Reserved, "ry", ""
			res.Recompute()
		})
	}},
	{"machines are used that no job explains", func(w *world) {
		w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) { res.Unexplained = capacity.Use{cpu: 2}; res.Recompute() })
	}},
	{"more is used than there is", func(w *world) {
		w.hand("runs", func(res *ledger.Resource, r *ledger.Record) {
			res.Pools[0].Count = 2
			h := res.Holds[r.Key]
			h.Overstays = true
			res.Holds[r.Key] = h
		})
	}},
	{"the record of a waiting request has an end", func(w *world) {
		w.hand("last", func(_ *ledger.Resource, r *ledger.Record) { r.State, r.Times.Ended = lifecycle.Expired, w.now })
	}},
	{"a record that cannot be read", func(w *world) {
		w.ledger.(*ledger.Mem).Spoil(ledger.RecordRef(w.key("next")), "it has layout 9")
	}},
	{"a resource that cannot be read", func(w *world) {
		w.ledger.(*ledger.Mem).Spoil(ledger.ResourceRef(pool), "it has layout 9")
	}},
	{"a budget that cannot be read", func(w *world) {
		w.ledger.(*ledger.Mem).Spoil(ledger.BudgetRef(parent), "it has layout 9")
	}},
	{"a request whose hold was cancelled", func(w *world) {
		if err := w.c.Handle(w.t.Context(), "default", message.Delivery{ID: "m-c", PublishTime: w.now, Data: []byte(`{"cancel":{"requestId":"runs"}}`)}); err != nil {
			w.t.Fatal(err)
		}
		w.hand("runs", func(res *ledger.Resource, r *ledger.Record) { delete(res.Holds, r.Key); res.Recompute() })
	}},
	{"an ended request that keeps its events", func(w *world) {
		w.vertex.SetJob(w.read(w.key("runs")).Reservation.Job, vertex.JobSucceeded)
		w.pass()
		w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.Outbox = r.Outbox[1:]; r.Outbox[0].Published = false })
	}},
}

// everything is what the ledger has that can be read.
func (w *world) everything() (all []any) {
	for _, kind := range []ledger.Kind{ledger.KindResource, ledger.KindRecord} {
		docs, err := w.ledger.Scan(w.t.Context(), kind, "", 100)
		if _, err = ledger.Skipped(err); err != nil {
			w.t.Fatal(err)
		}
		for _, d := range docs {
			all = append(all, d)
		}
	}
	return all
}

var (
	runText = regexp.MustCompile(`\br[0-9a-f]{32}\b`)
	keyText = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
)

// TestRepairsInWords damages a ledger in many ways, and holds what the doctor says of each,
// and what each fix says and does, dry and done, in words.
func TestRepairsInWords(t *testing.T) {
	var out strings.Builder
	names := map[string]string{}
	note := func(w *world, format string, args ...any) {
		text := runText.ReplaceAllString(fmt.Sprintf(format, args...), "RUN")
		for _, id := range []string{"runs", "next", "last", "late", "ghost"} {
			names[string(w.key(id))] = "<" + id + ">"
		}
		fmt.Fprintln(&out, keyText.ReplaceAllStringFunc(text, func(key string) string {
			if name := names[key]; name != "" {
				return name
			}
			return key
		}))
	}
	shown := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	play := func(name string, by func(*world)) {
		fixes := map[string]func(*world, repair.Kit) ([]repair.Change, error){
			"1 leaked-holds":  func(_ *world, k repair.Kit) ([]repair.Change, error) { return k.LeakedHolds(t.Context()) },
			"2 queues":        func(_ *world, k repair.Kit) ([]repair.Change, error) { return k.Queues(t.Context()) },
			"3 timer of runs": func(w *world, k repair.Kit) ([]repair.Change, error) { return k.RunTimer(t.Context(), w.key("runs")) },
			"4 timer of next": func(w *world, k repair.Kit) ([]repair.Change, error) { return k.RunTimer(t.Context(), w.key("next")) },
			"5 events of runs": func(w *world, k repair.Kit) ([]repair.Change, error) {
				return k.Republish(t.Context(), w.key("runs"), nil)
			},
			"6 two events of runs": func(w *world, k repair.Kit) ([]repair.Change, error) {
				return k.Republish(t.Context(), w.key("runs"), []int64{2, 9})
			},
			"7 events": func(w *world, k repair.Kit) ([]repair.Change, error) { return k.Send(t.Context(), w.publisher) },
			"8 adopt 1000": func(w *world, k repair.Kit) ([]repair.Change, error) {
				return k.Adopt(t.Context(), w.key("runs"), "1000")
			},
			"9 adopt nothing": func(w *world, k repair.Kit) ([]repair.Change, error) {
				return k.Adopt(t.Context(), w.key("ghost"), "1000")
			},
		}
		w := newWorld(t, false)
		by(w)
		fmt.Fprintf(&out, "\n# %s\n", name)
		for _, f := range w.doctor() {
			note(w, "%s", shown(f))
		}
		first := true
		for i := 1; i <= len(fixes); i++ {
			for what, fix := range fixes {
				if !strings.HasPrefix(what, fmt.Sprint(i, " ")) {
					continue
				}
				w := w
				if !first { // each fix has a damage of its own
					w = newWorld(t, false)
					by(w)
				}
				first = false
				before := w.everything()
				dry, err := fix(w, w.kit(false))
				if !reflect.DeepEqual(before, w.everything()) {
					t.Errorf("%s: the dry run of %s changes the ledger", name, what)
				}
				done, doneErr := fix(w, w.kit(true))
				if len(dry)+len(done) == 0 && err == nil && doneErr == nil {
					continue
				}
				note(w, "%s", what)
				for j, c := range done {
					note(w, "  %s", shown(c))
					if j < len(dry) {
						d := dry[j]
						d.Done = c.Done
						if d != c {
							note(w, "    dry: %s", shown(dry[j]))
						}
					}
				}
				if len(dry) != len(done) {
					note(w, "  dry: %s", shown(dry))
				}
				if err != nil || doneErr != nil {
					note(w, "  errors: %v; %v", err, doneErr)
				}
				if left := w.doctor(); len(done) > 0 {
					note(w, "  leaves %d findings", len(left))
				}
				if len(w.publisher.ids) > 4 {
					note(w, "  published %s", strings.Join(slices.Sorted(slices.Values(w.publisher.ids[4:])), " "))
				}
			}
		}
	}
	for _, b := range breaks {
		play(b.name, b.by)
	}
	for _, b := range moreBreaks {
		play(b.name, b.by)
	}
	w := newWorld(t, false)
	note(w, "\n# all is well\n%s", shown(repair.Indexes(t.Context(), w.ledger)))
	src := repair.Source{Ledger: w.ledger, Vertex: w.vertex, Parents: []string{parent}, Clock: func() time.Time { return w.now.Add(7 * time.Second) }}
	_, all, err := repair.Examine(t.Context(), src, w.settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		note(w, "%s", shown(f))
	}
	for _, called := range []string{"runs", "m-runs", string(w.key("next")), "none", "x/y"} {
		key, err := repair.Find(t.Context(), w.ledger, "default", called)
		note(w, "%s is found as %s, %v", called, key, err)
	}
	const file = "testdata/words.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")))
	}
}

// TestDeadLettersInWords: what is shown of each kind of dead letter, and what is done with
// it: all, some by their ids, or none in a dry run.
func TestDeadLettersInWords(t *testing.T) {
	b := newBox()
	b.kept = append(b.kept, parcel("c1", "berth-admit", `{"cancel":{"requestId":"mine"}}`), parcel("c2", "berth-admit", `{"cancel":{"messageId":"7"}}`), parcel("bad", "berth-admit", `{"requestId":"claimed","job":{"x":1}}`))
	var out []string
	show := func(what string, list []repair.DeadLetter, err error) {
		out = append(out, fmt.Sprintf("# %s: %v", what, err))
		for _, d := range list {
			text, _ := json.Marshal(d)
			out = append(out, fmt.Sprintf("%s %s", d.Age, text))
		}
		out = append(out, fmt.Sprintf("sent %d, kept %d, hidden %d", len(b.sent), len(b.kept), len(b.pulled)))
	}
	for _, dry := range []bool{true, false} {
		k := repair.Kit{DryRun: dry}
		list, err := k.DeadLetters(t.Context(), b, noon, 3, nil)
		show(fmt.Sprint("three, dry ", dry), list, err)
		list, err = k.DeadLetters(t.Context(), b, noon, 100, []string{"3", "c1"})
		show(fmt.Sprint("two by their ids, dry ", dry), list, err)
		list, err = k.DeadLetters(t.Context(), b, noon, 100, []string{"nope"})
		show(fmt.Sprint("one that is not there, dry ", dry), list, err)
		list, err = k.Replay(t.Context(), b, func() time.Time { return noon.Add(time.Minute) })
		show(fmt.Sprint("all, dry ", dry), list, err)
		list, err = k.Replay(t.Context(), b, func() time.Time { return noon.Add(time.Minute) })
		show(fmt.Sprint("all again, dry ", dry), list, err)
	}
	for _, attributes := range b.sent {
		if len(attributes) != 1 || attributes["team"] != "vision" {
			t.Errorf("published again with %v", attributes)
		}
	}
	const file = "testdata/deadletters.txt"
	got := strings.Join(out, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
