package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// everyMove has one move of each event and case, by a name of its own. Each is
// about run r1, attempt 1 and job j1.
var everyMove = []struct {
	name string
	move Move
}{
	{"admit", Admit("r2")}, {"defer", Defer()}, {"reason", ChangeReason()}, {"refuse", Refuse()},
	{"timeout", TimeOut()}, {"cancel", Cancel()}, {"lease", Lease("r1", t0)}, {"withdraw", Withdraw()},
	{"reclaim", Reclaim("r1", t0.Add(time.Minute), time.Minute, false)}, {"accept", Accept("r1", "j1")},
	{"rate", Decline("r1", 1, Rate, t0)}, {"denied", Decline("r1", 1, Denied, t0)},
	{"transient", Decline("r1", 1, Transient, t0)}, {"permanent", Decline("r1", 1, Permanent, t0)},
	{"giveup", GiveUp("r1", 1, t0.Add(time.Hour), time.Hour, false)}, {"last", GiveUp("r1", 1, t0.Add(time.Hour), time.Hour, true)},
	{"overdue", MissStart()}, {"requeue", Requeue()}, {"start", Start("j1")}, {"lost", LoseJob("j1")},
	{"succeeded", End("j1", Succeeded)}, {"failed", End("j1", Failed)}, {"cancelled", End("j1", Cancelled)}, {"expired", End("j1", Expired)},
}

// inState is a reservation of run r1 as it is in a state.
func inState(s State) Reservation {
	r := Reservation{State: s}
	if s.Holds() {
		r.Run = "r1"
	}
	if s == Submitting || s == Cancelling {
		r.Attempt, r.ActUntil, r.Open = 1, t0, true
	}
	if s == Submitted || s == Running {
		r.Attempt, r.ActUntil, r.Job = 1, t0, "j1"
	}
	return r
}

// TestEveryMoveInEveryState states what each move does in each state: the state
// after it, "-" for nothing, "!" for a bug. A wrong list of states in a guard, or a
// row that is lost, shows here.
func TestEveryMoveInEveryState(t *testing.T) {
	const want = `
		state      admit    defer   reason  refuse   timeout cancel     lease      withdraw reclaim    accept     rate      denied    transient permanent giveup    last      overdue    requeue    start   lost   succeeded failed cancelled expired
		(new)      RESERVED WAITING -       REJECTED !       CANCELLED  !          !        !          !          -         -         -         -         -         -         !          !          !       !      !         !      !         !
		WAITING    RESERVED -       WAITING REJECTED EXPIRED CANCELLED  -          -        -          -          -         -         -         -         -         -         !          !          -       -      -         -      -         -
		RESERVED   -        !       -       !        -       CANCELLED  SUBMITTING WAITING  !          -          -         -         -         -         -         -         !          !          -       -      -         -      -         -
		SUBMITTING -        !       -       !        -       CANCELLING -          -        SUBMITTING SUBMITTED  RESERVED  RESERVED  WAITING   FAILED    WAITING   FAILED    !          CANCELLING -       -      -         -      -         -
		SUBMITTED  -        !       -       !        -       CANCELLING -          -        -          -          -         -         -         -         -         -         CANCELLING CANCELLING RUNNING FAILED SUCCEEDED FAILED CANCELLED EXPIRED
		RUNNING    -        !       -       !        -       CANCELLING -          -        -          -          -         -         -         -         -         -         -          CANCELLING -       FAILED SUCCEEDED FAILED CANCELLED EXPIRED
		CANCELLING -        !       -       !        -       -          -          -        CANCELLING CANCELLING CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED -          -          -       -      -         -      -         -
		REJECTED   -        -       -       -        -       -          -          -        -          -          -         -         -         -         -         -         -          -          -       -      -         -      -         -
		SUCCEEDED  -        -       -       -        -       -          -          -        -          -          -         -         -         -         -         -         -          -          -       -      -         -      -         -
		FAILED     -        -       -       -        -       -          -          -        -          -          -         -         -         -         -         -         -          -          -       -      -         -      -         -
		CANCELLED  -        -       -       -        -       -          -          -        -          -          -         -         -         -         -         -         -          -          -       -      -         -      -         -
		EXPIRED    -        -       -       -        -       -          -          -        -          -          -         -         -         -         -         -         -          -          -       -      -         -      -         -`
	rows := strings.Split(strings.TrimSpace(want), "\n")
	names := strings.Fields(rows[0])[1:]
	states := append([]State{None}, States...)
	if len(rows) != 1+len(states) || len(names) != len(everyMove) {
		t.Fatalf("%d rows and %d columns for %d states and %d moves", len(rows)-1, len(names), len(states), len(everyMove))
	}
	for i, s := range states {
		cells := strings.Fields(rows[i+1])
		if name := cells[0]; name != string(s) && (s != None || name != "(new)") {
			t.Fatalf("row %d is of %s, want %s", i, name, s)
		}
		for k, m := range everyMove {
			if names[k] != m.name {
				t.Fatalf("column %d is of %s, want %s", k, names[k], m.name)
			}
			before := inState(s)
			after, row, effect := Next(before, m.move)
			if m.move.Event() == "" {
				t.Errorf("%s applies no event", m.name)
			}
			got := map[Effect]string{Illegal: "!", AlreadySo: "-", Moved: string(after.State)}[effect]
			if got != cells[k+1] {
				t.Errorf("%s in %q: %s, want %s", m.name, s, got, cells[k+1])
			}
			if effect != Moved && (after != before || row != Row{}) {
				t.Errorf("%s in %q changes nothing and returns %+v by %v", m.name, s, after, row)
			}
		}
	}
}

// TestWhatAMoveWrites states the whole reservation after a move, field by field.
func TestWhatAMoveWrites(t *testing.T) {
	at := func(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }
	open := Reservation{State: Submitting, Run: "r1", Attempt: 1, ActUntil: at(1), Open: true}
	unclear := Reservation{State: Submitting, Run: "r1", Attempt: 2, ActUntil: at(3), Open: true, UnclearUntil: at(1)}
	with := func(r Reservation, change func(*Reservation)) Reservation { change(&r); return r }
	for _, test := range []struct {
		name string
		from Reservation
		move Move
		want Reservation
	}{
		{"an admission begins a run", Reservation{State: Waiting}, Admit("r1"), Reservation{State: Reserved, Run: "r1"}},
		{"a lease opens the first attempt", Reservation{State: Reserved, Run: "r1"}, Lease("r1", at(1)), open},
		{"another attempt of the run counts on", Reservation{State: Reserved, Run: "r1", Attempt: 4}, Lease("r1", at(1)),
			with(open, func(r *Reservation) { r.Attempt = 5 })},
		{"an expired attempt becomes unclear", open, Reclaim("r1", at(2), time.Minute, false), unclear},
		{"an attempt that only searches is not open", open, Reclaim("r1", at(2), time.Minute, true),
			with(unclear, func(r *Reservation) { r.Open, r.ObserveOnly = false, true })},
		{"once it may only search, so may every later attempt", with(open, func(r *Reservation) { r.ObserveOnly = true }), Reclaim("r1", at(2), time.Minute, false),
			with(unclear, func(r *Reservation) { r.Open, r.ObserveOnly = false, true })},
		{"an attempt to cancel only searches", with(open, func(r *Reservation) { r.State = Cancelling }), Reclaim("r1", at(2), time.Minute, false),
			with(unclear, func(r *Reservation) { r.State, r.Open, r.ObserveOnly = Cancelling, false, true })},
		{"an attempt that created nothing leaves the unclear one's end", with(unclear, func(r *Reservation) { r.Open = false }), Reclaim("r1", at(4), time.Minute, false),
			with(unclear, func(r *Reservation) { r.Attempt, r.ActUntil = 3, at(5) })},
		{"a job is recorded, and nothing is open", open, Accept("r1", "j1"),
			Reservation{State: Submitted, Run: "r1", Attempt: 1, ActUntil: at(1), Job: "j1"}},
		{"a job found while it is cancelled is recorded", with(open, func(r *Reservation) { r.State = Cancelling }), Accept("r1", "j1"),
			Reservation{State: Cancelling, Run: "r1", Attempt: 1, ActUntil: at(1), Job: "j1"}},
		{"no slot: the run goes on", open, Decline("r1", 1, Rate, at(0)), Reservation{State: Reserved, Run: "r1", Attempt: 1, ActUntil: at(1)}},
		{"refused for now after an unclear attempt: its end counts", unclear, Decline("r1", 2, Transient, at(2)),
			with(unclear, func(r *Reservation) { r.Open, r.ActUntil = false, at(2) })},
		{"refused after an unclear attempt: no create, and it is remembered", unclear, Decline("r1", 2, Permanent, at(2)),
			with(unclear, func(r *Reservation) { r.Open, r.ActUntil, r.ObserveOnly, r.Refused = false, at(2), true, true })},
		{"what was remembered stays", with(unclear, func(r *Reservation) { r.ObserveOnly, r.Refused = true, true }), Decline("r1", 2, Transient, at(2)),
			with(unclear, func(r *Reservation) { r.Open, r.ActUntil, r.ObserveOnly, r.Refused = false, at(2), true, true })},
		{"back into the queue, by way of the end of its job", Reservation{State: Submitted, Run: "r1", Attempt: 1, Job: "j1"}, Requeue(),
			Reservation{State: Cancelling, Run: "r1", Attempt: 1, Job: "j1", Again: true}},
		{"back into the queue, while it is not known whether there is a job", unclear, Requeue(), with(unclear, func(r *Reservation) { r.State, r.Again = Cancelling, true })},
		{"a cancel takes that back", Reservation{State: Cancelling, Run: "r1", Job: "j1", Again: true}, Cancel(), Reservation{State: Cancelling, Run: "r1", Job: "j1"}},
		{"its job is cancelled: it waits", Reservation{State: Cancelling, Run: "r1", Attempt: 1, Job: "j1", Again: true}, End("j1", Cancelled), Reservation{State: Waiting}},
		{"its job is gone: it waits", Reservation{State: Cancelling, Run: "r1", Attempt: 1, Job: "j1", Again: true}, LoseJob("j1"), Reservation{State: Waiting}},
		{"its job was never created: it waits", with(open, func(r *Reservation) { r.State, r.Again = Cancelling, true }), Decline("r1", 1, Permanent, at(0)), Reservation{State: Waiting}},
		{"no job is found: it waits", with(unclear, func(r *Reservation) { r.State, r.Again = Cancelling, true }), GiveUp("r1", 2, at(70), time.Hour, true), Reservation{State: Waiting}},
		{"its job succeeded before the cancel", Reservation{State: Cancelling, Run: "r1", Attempt: 1, Job: "j1", Again: true}, End("j1", Succeeded),
			Reservation{State: Succeeded, Run: "r1", Attempt: 1, Job: "j1", Again: true}},
		{"its job failed before the cancel", Reservation{State: Cancelling, Run: "r1", Attempt: 1, Job: "j1", Again: true}, End("j1", Failed),
			Reservation{State: Failed, Run: "r1", Attempt: 1, Job: "j1", Again: true}},
		{"a cancel keeps the run", unclear, Cancel(), with(unclear, func(r *Reservation) { r.State = Cancelling })},
		{"a withdrawal forgets it", Reservation{State: Reserved, Run: "r1", Attempt: 3}, Withdraw(), Reservation{State: Waiting}},
		{"an end keeps it", Reservation{State: Running, Run: "r1", Attempt: 1, Job: "j1"}, End("j1", Expired), Reservation{State: Expired, Run: "r1", Attempt: 1, Job: "j1"}},
	} {
		got, _, effect := Next(test.from, test.move)
		if effect != Moved || got != test.want {
			t.Errorf("%s: %s\n%+v, want\n%+v", test.name, effect, got, test.want)
		}
	}
}

// TestMovesThatNoLongerMatter: moves about an attempt, run or job that is over or
// recorded already. Each would move the reservation otherwise.
func TestMovesThatNoLongerMatter(t *testing.T) {
	later := t0.Add(time.Hour)
	recorded := Reservation{State: Cancelling, Run: "r1", Attempt: 1, ActUntil: t0, Open: true, Job: "j1"}
	declined := Reservation{State: Cancelling, Run: "r1", Attempt: 1, ActUntil: t0}
	open := inState(Submitting)
	for name, test := range map[string]struct {
		r Reservation
		m Move
	}{
		"another attempt, after the job is recorded": {recorded, Reclaim("r1", later, time.Minute, false)},
		"a refusal, after the job is recorded":       {recorded, Decline("r1", 1, Permanent, later)},
		"a search, after the job is recorded":        {recorded, GiveUp("r1", 1, later, time.Minute, false)},
		"a second refusal of the attempt":            {declined, Decline("r1", 1, Transient, later)},
		"a search after every attempt was refused":   {declined, GiveUp("r1", 1, later, time.Minute, false)},
		"a search before the latest attempt":         {open, GiveUp("r1", 0, later, time.Minute, false)},
		"a refusal of another run":                   {open, Decline("r2", 1, Permanent, later)},
		"a search for another run":                   {open, GiveUp("r2", 1, later, time.Minute, false)},
		"an attempt of another run":                  {open, Reclaim("r2", later, time.Minute, false)},
		"an end of a job without a name":             {Reservation{State: Submitted, Run: "r1"}, End("", Failed)},
		"a loss of a job without a name":             {Reservation{State: Running, Run: "r1"}, LoseJob("")},
		"a start of another job":                     {inState(Submitted), Start("j2")},
	} {
		if after, _, effect := Next(test.r, test.m); effect != AlreadySo || after != test.r {
			t.Errorf("%s: %s, %+v; want nothing changed", name, effect, after)
		}
	}
}

// TestUnclearEndsWithTheLatest: the search for a job counts from the attempt that
// may have created one last, whether it is still open or not.
func TestUnclearEndsWithTheLatest(t *testing.T) {
	early, late := t0, t0.Add(time.Minute)
	for name, test := range map[string]struct {
		r       Reservation
		want    time.Time
		unclear bool
	}{
		"none":                        {Reservation{ActUntil: late}, time.Time{}, false},
		"open":                        {Reservation{ActUntil: late, Open: true}, late, true},
		"open and an earlier unclear": {Reservation{ActUntil: late, Open: true, UnclearUntil: early}, late, true},
		"an unclear that ended later": {Reservation{ActUntil: early, Open: true, UnclearUntil: late}, late, true},
		"closed":                      {Reservation{ActUntil: late, UnclearUntil: early}, early, true},
	} {
		if at, unclear := test.r.Unclear(); !at.Equal(test.want) || unclear != test.unclear {
			t.Errorf("%s: %v %v, want %v %v", name, at, unclear, test.want, test.unclear)
		}
	}
}

func TestWords(t *testing.T) {
	for effect, want := range map[Effect]string{Illegal: "illegal", AlreadySo: "already so", Moved: "moved"} {
		if effect.String() != want {
			t.Errorf("effect %d is %q, want %q", effect, effect, want)
		}
	}
	for _, s := range States {
		if !s.Known() {
			t.Errorf("%s is not known", s)
		}
	}
	for _, s := range []State{None, "PAUSED", "running"} {
		if s.Known() {
			t.Errorf("%q is known", s)
		}
	}
	holds := slices.DeleteFunc(slices.Clone(States), func(s State) bool { return !s.Holds() })
	if want := []State{Reserved, Submitting, Submitted, Running, Cancelling}; !slices.Equal(holds, want) {
		t.Errorf("%v hold replicas, want %v", holds, want)
	}
	ended := slices.DeleteFunc(slices.Clone(States), func(s State) bool { return !s.Terminal() })
	if want := []State{Rejected, Succeeded, Failed, Cancelled, Expired}; !slices.Equal(ended, want) {
		t.Errorf("%v are terminal, want %v", ended, want)
	}
}
