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
		line := fmt.Sprintf("//	  %-20s -> %-10s", event, r.To)
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
	const start, end = "// The table, drawn by TestDiagram:\n", "package lifecycle\n"
	data, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), start)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("doc.go has lost its marks")
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

// TestTableIsSound checks what has to hold for every row, whatever it says.
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
			t.Errorf("%v: changes the state and tells nobody", r)
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

func step(t testing.TB, r Reservation, w What, want Effect) Reservation {
	t.Helper()
	next, _, got := Next(r, w)
	if got != want {
		t.Fatalf("%s on %+v: %v, want %v", w.Event, r, got, want)
	}
	if got != Moved && next != r {
		t.Fatalf("%s did not move but changed %+v to %+v", w.Event, r, next)
	}
	return next
}

func submitting(t testing.TB) Reservation {
	r := step(t, Reservation{}, What{Event: Admitted, Run: "r1"}, Moved)
	return step(t, r, What{Event: Leased, Run: "r1", Until: t0.Add(time.Minute)}, Moved)
}

// TestRefusalAfterUnclear: a second attempt's refusal proves nothing about the
// first.
func TestRefusalAfterUnclear(t *testing.T) {
	r := submitting(t)
	step(t, r, What{Event: Reclaimed, Run: "r1", Now: t0, Until: t0.Add(time.Hour)}, AlreadySo) // the first may still act
	r = step(t, r, What{Event: Reclaimed, Run: "r1", Now: t0.Add(2 * time.Minute), Until: t0.Add(3 * time.Minute)}, Moved)
	r = step(t, r, What{Event: Declined, Run: "r1", Attempt: 2, Decline: Permanent, Now: t0.Add(2 * time.Minute)}, Moved)
	if r.State != Submitting || !r.ObserveOnly {
		t.Fatalf("after an unclear attempt and a refused one: %+v, want SUBMITTING, to look only", r)
	}
	gave := What{Event: GivenUp, Run: "r1", Attempt: 2, UnclearTimeout: 15 * time.Minute}
	gave.Now = t0.Add(time.Minute + 15*time.Minute - 1)
	step(t, r, gave, AlreadySo)
	gave.Now = t0.Add(time.Minute + 15*time.Minute)
	if r = step(t, r, gave, Moved); r.State != Failed {
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
			r = step(t, r, What{Event: CancelAsked}, Moved)
		}
		gave := What{Event: GivenUp, Run: "r1", Attempt: 1, UnclearTimeout: time.Minute, Last: test.last, Now: t0.Add(2*time.Minute - 1)}
		step(t, r, gave, AlreadySo)
		gave.Now = t0.Add(2 * time.Minute)
		next, row, _ := Next(r, gave)
		if next.State != test.want || row.Capacity != Give {
			t.Errorf("last %v, cancel %v: %s, %s; want %s and the replicas given back", test.last, test.cancel, next.State, row.Capacity, test.want)
		}
		if test.want == Waiting && next != (Reservation{State: Waiting}) {
			t.Errorf("it waits again as %+v: something of the old run is left", next)
		}
	}
}

// TestDenied: a submission that we may not make keeps its replicas.
func TestDenied(t *testing.T) {
	r := step(t, submitting(t), What{Event: Declined, Run: "r1", Attempt: 1, Decline: Denied}, Moved)
	if r.State != Reserved || r.Open || !r.UnclearUntil.IsZero() {
		t.Errorf("denied: %+v, want RESERVED with nothing unclear", r)
	}
}

// TestLateAnswers: an answer of an attempt or a run that is over.
func TestLateAnswers(t *testing.T) {
	r := submitting(t)
	r = step(t, r, What{Event: Reclaimed, Run: "r1", Now: t0.Add(2 * time.Minute), Until: t0.Add(3 * time.Minute)}, Moved)
	step(t, r, What{Event: Declined, Run: "r1", Attempt: 1, Decline: Transient}, AlreadySo) // of the first attempt
	step(t, r, What{Event: Accepted, Run: "r0", Job: "j0"}, AlreadySo)                      // of another run
	r = step(t, r, What{Event: Accepted, Run: "r1", Job: "j1"}, Moved)                      // of whichever attempt
	step(t, r, What{Event: Accepted, Run: "r1", Job: "j2"}, AlreadySo)                      // a second job
	step(t, r, What{Event: Ended, Job: "j2", JobState: Failed}, AlreadySo)                  // and its end
	if r = step(t, r, What{Event: Ended, Job: "j1", JobState: Succeeded}, Moved); r.State != Succeeded {
		t.Fatalf("ended: %s", r.State)
	}
}

// TestBackInLineForgetsTheRun: what was true of one run must not weigh on the
// next.
func TestBackInLineForgetsTheRun(t *testing.T) {
	r := submitting(t)
	r = step(t, r, What{Event: Declined, Run: "r1", Attempt: 1, Decline: Transient}, Moved)
	if want := (Reservation{State: Waiting}); r != want {
		t.Fatalf("back in the queue as %+v, want %+v", r, want)
	}
	step(t, r, What{Event: Accepted, Run: "r1", Job: "late"}, AlreadySo)
}

// TestAnyHistory draws events at random and checks what no history may break.
func TestAnyHistory(t *testing.T) {
	events := []Event{Admitted, Deferred, Refused, TimedOut, CancelAsked, Leased, Withdrawn, Reclaimed, Accepted,
		Declined, GivenUp, Overdue, Started, Ended, Gone}
	rapid.Check(t, func(t *rapid.T) {
		var r Reservation
		now := t0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "minutes")) * time.Minute)
			w := What{
				Event: rapid.SampledFrom(events).Draw(t, "event"), Now: now, Until: now.Add(time.Minute), UnclearTimeout: 15 * time.Minute,
				Run: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "run"), Attempt: rapid.IntRange(1, 3).Draw(t, "attempt"),
				Decline:  rapid.SampledFrom([]Decline{Rate, Denied, Transient, Permanent}).Draw(t, "decline"),
				Job:      rapid.SampledFrom([]string{"j1", "j2"}).Draw(t, "job"),
				JobState: rapid.SampledFrom([]State{Succeeded, Failed, Cancelled, Expired}).Draw(t, "end"),
			}
			next, row, effect := Next(r, w)
			switch {
			case effect != Moved && next != r:
				t.Fatalf("%v: not moved, but %+v became %+v", w.Event, r, next)
			case r.State.Terminal() && effect == Moved:
				t.Fatalf("%v: %s is terminal and moved", w.Event, r.State)
			case effect == Moved && row.From != r.State, effect == Moved && row.To != next.State:
				t.Fatalf("%v: moved %s to %s by row %v", w.Event, r.State, next.State, row)
			case effect == Moved && r.Job != "" && next.Job != r.Job:
				t.Fatalf("%v: the job's name changed from %s to %q", w.Event, r.Job, next.Job)
			case effect == Moved && row.Capacity == Give && r.Open && r.Job == "" && w.Event == GivenUp && w.Now.Before(r.ActUntil.Add(w.UnclearTimeout)):
				t.Fatalf("given up while an attempt may still have created a job: %+v", r)
			}
			r = next
		}
	})
}
