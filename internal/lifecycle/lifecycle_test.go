package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the diagram into doc.go")

// diagram renders the table as the package comment shows it.
func diagram() string {
	var b strings.Builder
	from := State("?")
	for _, r := range Table {
		if r.From != from {
			from = r.From
			name := string(from)
			if from == None {
				name = "(new)"
			}
			fmt.Fprintf(&b, "//\n//	%s\n", name)
		}
		event := string(r.Event)
		if r.Case != "" && r.Case != string(r.To) {
			event += " " + r.Case
		}
		arrow := "->"
		if r.WritesResource() {
			arrow = "=>"
		}
		line := fmt.Sprintf("//	  %-20s %s %-10s", event, arrow, r.To)
		if r.Capacity != Keep {
			line += " " + string(r.Capacity)
		}
		if r.Outcome != "" {
			line = fmt.Sprintf("%-50s %q", line, r.Outcome)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// TestDiagram holds the package comment against the table.
func TestDiagram(t *testing.T) {
	const start, end = "// a move \"->\" writes the record only:\n", "package lifecycle\n"
	data, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), start)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("doc.go lacks the lines before or after the diagram")
	}
	want := head + start + diagram() + end + tail
	if *update {
		if err := os.WriteFile("doc.go", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(data) {
		t.Errorf("the table in doc.go is out of date: run go test ./internal/lifecycle -run Diagram -update")
	}
}

// TestTableIsSound checks what must hold for every row.
func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Table {
		id := fmt.Sprint(r.From, r.Event, r.Case)
		if seen[id] {
			t.Errorf("%v: there are two rows for this", r)
		}
		seen[id] = true
		if r.From.Terminal() {
			t.Errorf("%v: leaves a terminal state", r)
		}
		want := Keep
		switch {
		case !r.From.Holds() && r.To.Holds():
			want = Take
		case r.From.Holds() && !r.To.Holds():
			want = Give
		}
		if r.Capacity != want {
			t.Errorf("%v: says %q, but the states say %q", r, r.Capacity, want)
		}
		if r.From != r.To && r.Outcome == "" && r.To != Reserved && r.To != Submitting {
			t.Errorf("%v: changes the state without an outcome event", r)
		}
		if r.Outcome != "" && r.To.Terminal() && r.Outcome != strings.ToLower(string(r.To)) {
			t.Errorf("%v: ends as %s and says %q", r, r.To, r.Outcome)
		}
	}
	for _, s := range States {
		if s.Terminal() {
			continue
		}
		if !slices.ContainsFunc(Table, func(r Row) bool { return r.From == s && r.To.Terminal() }) {
			t.Errorf("%s cannot end", s)
		}
		if !slices.ContainsFunc(Table, func(r Row) bool { return r.To == s && r.From != s }) {
			t.Errorf("%s cannot be reached", s)
		}
	}
}

var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func step(t testing.TB, r Reservation, m Move, want Effect) Reservation {
	t.Helper()
	next, _, got := Next(r, m)
	if got != want {
		t.Fatalf("%s on %+v: %v, want %v", m.Event(), r, got, want)
	}
	if got != Moved && next != r {
		t.Fatalf("%s did not move but changed %+v to %+v", m.Event(), r, next)
	}
	return next
}

func submitting(t testing.TB) Reservation {
	r := step(t, Reservation{}, Admit("r1"), Moved)
	return step(t, r, Lease("r1", t0.Add(time.Minute)), Moved)
}

// TestRefusalAfterUnclear: a second attempt's refusal proves nothing about the
// first.
func TestRefusalAfterUnclear(t *testing.T) {
	r := submitting(t)
	step(t, r, Reclaim("r1", t0, time.Hour, false), AlreadySo) // the first may still act
	r = step(t, r, Reclaim("r1", t0.Add(2*time.Minute), time.Minute, false), Moved)
	r = step(t, r, Decline("r1", 2, Permanent, t0.Add(2*time.Minute)), Moved)
	if r.State != Submitting || !r.ObserveOnly {
		t.Fatalf("after an unclear attempt and a refused one: %+v, want SUBMITTING without further creates", r)
	}
	giveUp := func(at time.Time) Move { return GiveUp("r1", 2, at, 15*time.Minute, false) }
	step(t, r, giveUp(t0.Add(time.Minute+15*time.Minute-1)), AlreadySo)
	if r = step(t, r, giveUp(t0.Add(time.Minute+15*time.Minute)), Moved); r.State != Failed {
		t.Fatalf("given up: %s", r.State)
	}
}

// TestNothingFound: a run without a job gives its replicas back. The request waits
// again, unless this was its last run; one that is being cancelled is cancelled.
func TestNothingFound(t *testing.T) {
	for _, test := range []struct {
		last, cancel bool
		want         State
	}{{want: Waiting}, {last: true, want: Failed}, {cancel: true, want: Cancelled}, {last: true, cancel: true, want: Cancelled}} {
		r := submitting(t)
		if test.cancel {
			r = step(t, r, Cancel(), Moved)
		}
		giveUp := func(at time.Time) Move { return GiveUp("r1", 1, at, time.Minute, test.last) }
		step(t, r, giveUp(t0.Add(2*time.Minute-1)), AlreadySo)
		next, row, _ := Next(r, giveUp(t0.Add(2*time.Minute)))
		if next.State != test.want || row.Capacity != Give {
			t.Errorf("last %v, cancel %v: %s, %s; want %s and the replicas given back", test.last, test.cancel, next.State, row.Capacity, test.want)
		}
		if test.want == Waiting && next != (Reservation{State: Waiting}) {
			t.Errorf("it waits again as %+v: something of the old run is left", next)
		}
	}
}

// TestDenied: a submission that Berth has no permission for keeps its replicas.
func TestDenied(t *testing.T) {
	r := step(t, submitting(t), Decline("r1", 1, Denied, t0), Moved)
	if r.State != Reserved || r.Open || !r.UnclearUntil.IsZero() {
		t.Errorf("denied: %+v, want RESERVED with nothing unclear", r)
	}
}

// TestLateAnswers: an answer of an attempt or a run that is over.
func TestLateAnswers(t *testing.T) {
	r := submitting(t)
	r = step(t, r, Reclaim("r1", t0.Add(2*time.Minute), time.Minute, false), Moved)
	step(t, r, Decline("r1", 1, Transient, t0), AlreadySo) // of the first attempt
	step(t, r, Accept("r0", "j0"), AlreadySo)              // of another run
	r = step(t, r, Accept("r1", "j1"), Moved)              // of either attempt
	step(t, r, Accept("r1", "j2"), AlreadySo)              // a second job
	step(t, r, End("j2", Failed), AlreadySo)               // and its end
	if r = step(t, r, End("j1", Succeeded), Moved); r.State != Succeeded {
		t.Fatalf("ended: %s", r.State)
	}
}

// TestEndIsTerminal: a job's end with a state that no job's end means is illegal.
func TestEndIsTerminal(t *testing.T) {
	r := step(t, submitting(t), Accept("r1", "j1"), Moved)
	for _, s := range []State{None, Waiting, Running, Rejected} {
		step(t, r, End("j1", s), Illegal)
	}
	step(t, r, Move{}, Illegal)
}

// TestBackInQueueForgetsTheRun: what was true of one run must not weigh on the
// next.
func TestBackInQueueForgetsTheRun(t *testing.T) {
	r := step(t, submitting(t), Decline("r1", 1, Transient, t0), Moved)
	if want := (Reservation{State: Waiting}); r != want {
		t.Fatalf("back in the queue as %+v, want %+v", r, want)
	}
	step(t, r, Accept("r1", "late"), AlreadySo)
}

// TestGuardsCoverEvents: every event has a guard, and every row of the table can
// be reached past it.
func TestGuardsCoverEvents(t *testing.T) {
	for _, row := range Table {
		g, ok := guards[row.Event]
		if !ok {
			t.Errorf("%s has no guard", row.Event)
		}
		if slices.Contains(g.done, row.From) {
			t.Errorf("%v: its guard says that %s has nothing to do in %s", row, row.Event, row.From)
		}
	}
	for event := range guards {
		if !slices.ContainsFunc(Table, func(r Row) bool { return r.Event == event }) {
			t.Errorf("%s has a guard and no row", event)
		}
	}
}

// TestWritesResource: a row writes the resource document where the queue, the
// hold or its wait for a submission slot changes, and nowhere else.
func TestWritesResource(t *testing.T) {
	for _, row := range Table {
		want := row.Capacity != Keep || row.From != row.To && (row.From == Waiting || row.To == Waiting || row.From == Reserved || row.To == Reserved)
		if row.WritesResource() != want {
			t.Errorf("%v: writes the resource: %v, want %v", row, !want, want)
		}
	}
	for state, want := range map[State]bool{None: false, Waiting: true, Reserved: true, Submitting: false, Submitted: false, Running: false, Cancelling: false} {
		if WritesResource(state, CancelAsked) != want {
			t.Errorf("a cancel in %q writes the resource: %v, want %v", state, !want, want)
		}
	}
}

// drawMove draws a move of any kind with values that are plausible at now.
func drawMove(t *rapid.T, now time.Time) Move {
	run := rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "run")
	job := rapid.SampledFrom([]string{"j1", "j2"}).Draw(t, "job")
	attempt := rapid.IntRange(1, 3).Draw(t, "attempt")
	return rapid.SampledFrom([]Move{
		Admit(run), Defer(), Refuse(), ChangeReason(), TimeOut(), Cancel(), Withdraw(), MissStart(),
		Lease(run, now.Add(time.Minute)), Accept(run, job), Start(job), LoseJob(job),
		Reclaim(run, now, time.Minute, rapid.Bool().Draw(t, "observe only")),
		Decline(run, attempt, rapid.SampledFrom([]DeclineKind{Rate, Denied, Transient, Permanent}).Draw(t, "decline"), now),
		GiveUp(run, attempt, now, 15*time.Minute, rapid.Bool().Draw(t, "last")),
		End(job, rapid.SampledFrom([]State{Succeeded, Failed, Cancelled, Expired}).Draw(t, "end")),
	}).Draw(t, "move")
}

// TestAnyHistory draws moves at random and checks what holds after any history.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Reservation
		now := t0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "minutes")) * time.Minute)
			m := drawMove(t, now)
			next, row, effect := Next(r, m)
			switch {
			case effect != Moved && next != r:
				t.Fatalf("%v: not moved, but %+v became %+v", m.event, r, next)
			case r.State.Terminal() && effect == Moved:
				t.Fatalf("%v: %s is terminal and moved", m.event, r.State)
			case effect == Moved && row.From != r.State, effect == Moved && row.To != next.State:
				t.Fatalf("%v: moved %s to %s by row %v", m.event, r.State, next.State, row)
			case effect == Moved && r.Job != "" && next.Job != r.Job:
				t.Fatalf("%v: the job's name changed from %s to %q", m.event, r.Job, next.Job)
			case effect == Moved && row.Capacity == Give && r.Open && r.Job == "" && m.event == GivenUp && m.now.Before(r.ActUntil.Add(m.unclearTimeout)):
				t.Fatalf("given up while an attempt may still have created a job: %+v", r)
			}
			r = next
		}
	})
}
