package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	small = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	big   = capacity.Spec{MachineType: "n1-standard-8"}.Normal()
)

// waiting is a record that waits for machines of some shapes.
func waiting(i, priority int, shapes ...capacity.Shape) *Record {
	r := &Record{Key: message.Key(fmt.Sprintf("k%03d", i)), Spec: "{}"}
	for _, s := range shapes {
		r.Ask = append(r.Ask, capacity.Need{Shape: s, Replicas: 2})
	}
	r.State = lifecycle.Waiting
	r.Order = OrderKey(priority, noon.Add(time.Duration(i)*time.Second), r.Key)
	return r
}

// The result of a query becomes the heads of a queue only at the version at
// which it was complete.
func TestRefill(t *testing.T) {
	res := &Resource{}
	for i := range 40 {
		res.Join(waiting(i, 0, small))
	}
	class := waiting(0, 0, small).joined(res).Class
	var heads []admission.Head
	for i := range 30 {
		heads = append(heads, waiting(i, 0, small).Head())
	}
	if res.Refill(class, heads, res.Version-1) || len(res.Queue[class].Heads) != admission.MaxHeads {
		t.Error("heads of an older version are taken")
	}
	if res.Refill("another", heads, res.Version) || len(res.Queue) != 1 {
		t.Error("a class that is not there is filled")
	}
	version := res.Version
	if !res.Refill(class, heads, version) || len(res.Queue[class].Heads) != 30 || res.Queue[class].Count != 40 || res.Version != version {
		t.Errorf("refilled: %d heads of %d, version %d of %d", len(res.Queue[class].Heads), res.Queue[class].Count, res.Version, version)
	}
	heads[0] = admission.Head{}
	if res.Queue[class].Heads[0].ID == "" {
		t.Error("the heads are shared with the caller")
	}
	if res.Trim(); len(res.Queue[class].Heads) != admission.MaxHeads || res.Queue[class].Count != 40 {
		t.Errorf("trimmed: %d heads of %d", len(res.Queue[class].Heads), res.Queue[class].Count)
	}
	// A key is struck from where it heads, and nowhere else.
	version = res.Version
	if res.Strike("k003"); res.Queue[class].Count != 39 || len(res.Queue[class].Heads) != admission.MaxHeads-1 || res.Version != version+1 {
		t.Errorf("struck: %d heads of %d", len(res.Queue[class].Heads), res.Queue[class].Count)
	}
	if res.Strike("absent"); res.Queue[class].Count != 39 {
		t.Errorf("an absent key was struck, and %d of 39 are left", res.Queue[class].Count)
	}
	alone := &Resource{}
	alone.Join(waiting(1, 0, small))
	if alone.Strike("k001"); len(alone.Queue) != 0 {
		t.Errorf("the queue of one that was struck is %+v", alone.Queue)
	}
}

// A request that leaves the queue, in whatever way, leaves its reservation.
func TestReservationsGoWithTheirRequests(t *testing.T) {
	for name, leave := range map[string]func(*Resource, *Record){
		"leave":  func(r *Resource, rec *Record) { r.Leave(rec) },
		"strike": func(r *Resource, rec *Record) { r.Strike(rec.Key) },
		"skip":   func(r *Resource, rec *Record) { r.Skip(rec.Key) },
	} {
		res, rec, other := &Resource{}, waiting(1, 0, small), waiting(2, 0, big)
		res.Join(rec)
		res.Join(other)
		res.Reserved = []admission.Reservation{{Head: other.Head()}, {Head: rec.Head()}}
		res.Reannounce = map[message.Key]bool{rec.Key: true, other.Key: true}
		before := res.Reserved
		leave(res, rec)
		if name != "skip" && (len(res.Reannounce) != 1 || !res.Reannounce[other.Key]) {
			t.Errorf("%s: %v are to be told", name, res.Reannounce)
		}
		if len(res.Reserved) != 1 || res.Reserved[0].ID != other.Key || before[1].ID != rec.Key {
			t.Errorf("%s: %+v are left", name, res.Reserved)
		}
	}
}

// A reservation that was told and is no longer there has to be told. What is told is
// recorded where it is.
func TestReserve(t *testing.T) {
	a, b, c := waiting(1, 0, small), waiting(2, 0, small), waiting(3, 0, small)
	res := &Resource{Reserved: []admission.Reservation{{Head: a.Head()}, {Head: b.Head(), Announced: noon}, {Head: c.Head(), Announced: noon}}}
	copied := res.Reserved
	res.Reserve([]admission.Reservation{{Head: c.Head(), Announced: noon}})
	if len(res.Reannounce) != 1 || !res.Reannounce[b.Key] || len(res.Reserved) != 1 || len(copied) != 3 {
		t.Errorf("to be told are %v", res.Reannounce)
	}
	before := res.Reserved
	res.Announced(c.Key, noon.Add(time.Hour))
	res.Announced(b.Key, time.Time{})
	if !res.Reserved[0].Announced.Equal(noon.Add(time.Hour)) || !before[0].Announced.Equal(noon) || len(res.Reannounce) != 0 {
		t.Errorf("told is %+v, before it was %+v", res, before)
	}
}

// Overstaying is said once, and only some minutes after the end.
func TestOverstay(t *testing.T) {
	res := &Resource{Holds: map[message.Key]Hold{"a": {LatestEnd: noon}, "b": {}}}
	for _, c := range []struct {
		key   message.Key
		after time.Duration
		want  bool
	}{{"a", 5 * time.Minute, false}, {"a", 5*time.Minute + 1, true}, {"a", time.Hour, false}, {"b", time.Hour, false}, {"c", time.Hour, false}} {
		if got := res.Overstay(c.key, noon.Add(c.after)); got != c.want {
			t.Errorf("%s after its end %s is new: %v, want %v", c.after, c.key, got, c.want)
		}
	}
	if !res.Holds["a"].Overstays || res.Holds["b"].Overstays || len(res.Holds) != 2 {
		t.Errorf("marked are %v", res.Holds)
	}
}

// The document of a resource stays within a document of the ledger, with as many
// holds as it takes and as many classes and reservations as there can be.
func TestQueuesStayWithinTheDocument(t *testing.T) {
	res := &Resource{Name: "r"}
	for i := 0; res.HasRoom() && i < MaxHolds; i++ {
		rec := waiting(i, 0, small, big)
		rec.State, rec.Tenant, rec.Run = lifecycle.Submitted, "team", "0123456789abcdef"
		res.Hold(rec, noon)
	}
	held := len(res.Holds)
	for i := range 4000 {
		rec := waiting(i, 0, small, big)
		rec.Ask[0].Replicas = capacity.Replicas(1 << (i % 13))
		rec.Tenant, rec.Timeout = fmt.Sprintf("team-%d", i%7), time.Duration(1+i%2000)*time.Hour
		res.Join(rec)
		if i%200 == 0 {
			res.Reserved = append(res.Reserved, admission.Reservation{Head: rec.Head(), Shapes: rec.Ask.Shapes(), At: noon})
		}
	}
	res.Trim()
	if size := Size(res); size > MaxDocument {
		t.Errorf("%d bytes with %d holds and %d classes", size, held, len(res.Queue))
	}
	if held < 1000 || len(res.Queue) < 200 || res.Queue.Waiting() != 4000 {
		t.Errorf("%d holds, %d classes, %d wait", held, len(res.Queue), res.Queue.Waiting())
	}
	for id, c := range res.Queue {
		if len(c.Heads) == 0 {
			t.Errorf("class %s has no head", id)
		}
	}
}

// A document that is nearly full, or has many classes, keeps as many heads of each as it has
// room for beside what it must not be without: not one more, not one less, and always one.
func TestTrimKeepsWhatFits(t *testing.T) {
	cut := 0
	for _, holds := range []int{0, 1, MaxHolds/8 - 1, MaxHolds / 8, 700, 1000} {
		res := &Resource{Name: "r"}
		for i := range holds {
			rec := waiting(i, 0, small, big)
			rec.State, rec.Tenant, rec.Run = lifecycle.Submitted, "team", "0123456789abcdef"
			res.Hold(rec, noon)
		}
		for _, classes := range []int{1, 2, fewClasses - 1, fewClasses, fewClasses + 1, 90, 150, 250} {
			res.Queue = admission.Queue{}
			for i := range classes {
				res.Queue[admission.ClassID(fmt.Sprint(i))] = admission.Class{Count: 500, Heads: make([]admission.Head, admission.MaxHeads)}
			}
			res.Trim()
			kept := len(res.Queue["0"].Heads)
			for id, class := range res.Queue {
				if len(class.Heads) != kept || class.Count != 500 {
					t.Errorf("%d holds, %d classes: class %s has %d heads of %d requests, another has %d of 500", holds, classes, id, len(class.Heads), class.Count, kept)
				}
			}
			fits := func(heads int) bool { return res.weight(0)+heads*headWeight*classes <= MaxDocument-roomNeeded }
			want := admission.MaxHeads
			for classes > fewClasses || holds >= MaxHolds/8 {
				if want == 1 || fits(want) {
					break
				}
				want--
			}
			if kept != want {
				t.Errorf("%d holds, %d classes: %d heads are kept of each, want %d", holds, classes, kept, want)
			}
			if kept < admission.MaxHeads {
				cut++
			}
		}
	}
	if cut < 5 {
		t.Errorf("%d documents had no room for all heads; the test wants to see more", cut)
	}
}

// joined is the record after it has joined.
func (r *Record) joined(res *Resource) *Record {
	copied := *res
	copied.Queue = nil
	copied.Join(r)
	return r
}

// A hold is what a reservation has, takes its replicas once, and gives all back.
func TestHolds(t *testing.T) {
	res := &Resource{Pools: []capacity.Pool{{ID: "p", Shape: small, Count: 3}}, Unexplained: capacity.Use{small: 1},
		Foreign: []Foreign{{Job: "f", Ask: capacity.Ask{{Shape: big, Replicas: 4}}}}}
	rec := waiting(1, 0, small)
	rec.State, rec.Tenant, rec.Run = lifecycle.Reserved, "team", "run-1"
	end := noon.Add(time.Hour)
	use := func(want capacity.Replicas) {
		t.Helper()
		if u := res.Use(); u[small] != want || u[big] != 4 || len(u) != 2 {
			t.Errorf("in use is %v, want %d and 4", u, want)
		}
	}
	res.Hold(rec, end)
	if h := res.Holds[rec.Key]; h.Tenant != "team" || h.Run != "run-1" || !h.Pending || !h.LatestEnd.Equal(end) || h.Ran || h.Job != "" || h.Ask.Replicas() != 2 {
		t.Errorf("the hold is %+v", h)
	}
	use(3)
	if res.Pending() != 1 || res.Version != 1 || len(res.Overdrawn) != 0 {
		t.Errorf("%d pending at version %d, overdrawn by %v", res.Pending(), res.Version, res.Overdrawn)
	}
	res.Hold(rec, end) // again: it has no more than before
	use(3)
	other := waiting(2, 0, small)
	other.State = lifecycle.Submitting
	res.Hold(other, end)
	use(5)
	if res.Overdrawn[small] != 2 || res.Pending() != 1 {
		t.Errorf("overdrawn by %v, %d pending", res.Overdrawn, res.Pending())
	}

	for _, c := range []struct {
		key     message.Key
		pending bool
		counts  int64 // by how much the version grows
	}{{rec.Key, true, 0}, {"absent", false, 0}, {rec.Key, false, 1}, {rec.Key, false, 0}, {rec.Key, true, 1}} {
		version := res.Version
		res.SetPending(c.key, c.pending, end.Add(time.Minute))
		if res.Version != version+c.counts || len(res.Holds) != 2 {
			t.Errorf("%s pending %t: version %d of %d, %d holds", c.key, c.pending, res.Version, version, len(res.Holds))
		}
	}
	if h := res.Holds[rec.Key]; !h.Pending || !h.LatestEnd.Equal(end.Add(time.Minute)) {
		t.Errorf("after that the hold is %+v", h)
	}

	for _, c := range []struct {
		key    message.Key
		run    string
		ran    bool
		counts int64
	}{{"absent", "run-1", false, 0}, {rec.Key, "run-2", false, 0}, {rec.Key, "run-1", true, 1}, {rec.Key, "run-1", true, 0}} {
		version := res.Version
		res.SawRun(c.key, c.run, end)
		if res.Holds[rec.Key].Ran != c.ran || res.Version != version+c.counts || len(res.Holds) != 2 {
			t.Errorf("%s of %s was seen running: %+v, version %d of %d", c.run, c.key, res.Holds[rec.Key], res.Version, version)
		}
	}

	if h := res.Holds[rec.Key]; !h.LatestEnd.Equal(end) {
		t.Errorf("it may run until %s, want until %s, which is earlier than what was known", h.LatestEnd, end)
	}
	res.Holds[other.Key] = Hold{Ask: other.Ask, Run: "r", LatestEnd: end}
	if res.SawRun(other.Key, "r", end.Add(time.Hour)); !res.Holds[other.Key].LatestEnd.Equal(end) {
		t.Error("an end becomes later because the job was seen running")
	}
	version := res.Version
	res.Release(other.Key)
	use(3)
	if len(res.Overdrawn) != 0 || res.Version != version+1 || len(res.Holds) != 1 {
		t.Errorf("released: overdrawn by %v, version %d of %d", res.Overdrawn, res.Version, version)
	}
	res.Use()[small] = 99
	use(3) // the returned map is the caller's
	res.Foreign = nil
	if res.Recompute(); res.Use()[big] != 0 {
		t.Errorf("recomputed: %v in use", res.Use())
	}
}

// Events are numbered without a gap. Of the published events the latest are kept,
// of the unpublished all. An ended request may expire once all are published, and a
// second mark does not delay that.
func TestOutbox(t *testing.T) {
	r := &Record{Key: "k", Kind: message.KindRequest, DisplayName: "shown", Labels: map[string]string{"a": "b"}}
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	for i := 1; i <= 100; i++ {
		r.Append(message.Outcome{Type: message.Queued}, at(i))
		if l := r.Outbox[len(r.Outbox)-1]; l.ID != fmt.Sprintf("k-%d", i) || l.Outcome.Sequence != int64(i) || r.Sequence != int64(i) || !l.Time.Equal(at(i)) || l.Published || l.Type != message.Queued {
			t.Fatalf("outbox event %d is %+v", i, l)
		}
		if i%2 == 0 {
			r.MarkPublished([]string{fmt.Sprintf("k-%d", i)}, at(i), time.Hour)
		}
	}
	if n := len(r.Unpublished()); n != 50 || r.Unpublished()[0].ID != "k-1" || r.Unpublished()[49].ID != "k-99" {
		t.Errorf("%d are unpublished, from %s", n, r.Unpublished()[0].ID)
	}
	// Half of them are published, and dropped but for one that came after the last cut.
	if len(r.Outbox) != 51 || r.Outbox[50].ID != "k-100" || !r.ExpireAt.IsZero() {
		t.Errorf("%d outbox events are kept, the last %s; it may go at %s", len(r.Outbox), r.Outbox[len(r.Outbox)-1].ID, r.ExpireAt)
	}
	var ids []string
	for _, l := range r.Outbox {
		ids = append(ids, l.ID)
	}
	r.MarkPublished(ids, at(200), time.Hour)
	if len(r.Unpublished()) != 0 || !r.ExpireAt.IsZero() {
		t.Errorf("%d unpublished; a request that has not ended may go at %s", len(r.Unpublished()), r.ExpireAt)
	}
	r.Append(message.Outcome{Type: message.Queued}, at(201))
	if len(r.Outbox) != keepEvents || r.Outbox[0].ID != "k-23" && r.Outbox[0].Published == false {
		t.Errorf("of published events %d are kept, from %s", len(r.Outbox), r.Outbox[0].ID)
	}
	r.State = lifecycle.Succeeded
	r.Append(message.Outcome{Type: message.Succeeded}, at(202))
	if r.MarkPublished([]string{"k-102"}, at(203), time.Hour); !r.ExpireAt.IsZero() {
		t.Error("it may go while an event is unpublished")
	}
	if r.MarkPublished([]string{"k-101"}, at(204), time.Hour); !r.ExpireAt.Equal(at(204).Add(time.Hour)) {
		t.Errorf("it may go at %s, want an hour after the last event was published", r.ExpireAt)
	}
	if r.MarkPublished([]string{"k-101"}, at(300), time.Hour); !r.ExpireAt.Equal(at(204).Add(time.Hour)) {
		t.Errorf("a second mark puts its end off to %s", r.ExpireAt)
	}
	e := r.Event(r.Outbox[len(r.Outbox)-1])
	if e.EventID != "k-102" || e.Type != message.Succeeded || !e.Time.Equal(at(202)) || e.DisplayName != "shown" || e.Labels["a"] != "b" || e.Sequence != 102 {
		t.Errorf("the event is %+v", e)
	}
	answer := &Record{Key: "a", Kind: message.KindAnswer, DisplayName: "shown"}
	answer.Append(message.Outcome{Type: message.Refused, DisplayName: "own"}, noon)
	if e := answer.Event(answer.Outbox[0]); e.DisplayName != "own" {
		t.Errorf("an answer's event is %+v", e)
	}
	if answer.MarkPublished([]string{"a-1"}, noon, time.Hour); !answer.ExpireAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("an answer may go at %s", answer.ExpireAt)
	}
}

// Only a record that waits is in the index of queues: in that of its class, or
// parked in one for each shape.
func TestQueuesOfARecord(t *testing.T) {
	r := waiting(1, 0, small, big, small)
	(&Resource{}).Join(r)
	if got := r.Indexed(); len(got) != 1 || got[0] != string(r.Class) || r.Class == "" {
		t.Errorf("it is in the queues %q", got)
	}
	if h := r.Head(); h.Demand.Replicas() != 6 || h.ID != r.Key || h.Order != r.Order || !h.Key.Equal(noon.Add(time.Second)) {
		t.Errorf("its place is %+v; it wants 6", h)
	}
	r.Parked = true
	if got := r.Indexed(); len(got) != 3 || got[0] != Parked || !slices.Contains(got, ParkedIn(small.String())) || !slices.Contains(got, ParkedIn(big.String())) {
		t.Errorf("parked, it is in the queues %q", got)
	}
	r.Parked = false
	for _, s := range lifecycle.States {
		if r.State = s; (r.Indexed() != nil) != (s == lifecycle.Waiting) {
			t.Errorf("%s, it is in the queues %q", s, r.Indexed())
		}
	}
}

// Orders sort by priority, then by age, then by key.
func TestOrderKeys(t *testing.T) {
	ordered := []string{
		OrderKey(1000, noon.Add(time.Hour), "z"), OrderKey(5, noon, "a"), OrderKey(5, noon.Add(1), "a"), OrderKey(5, noon.Add(time.Second), "a"),
		OrderKey(0, noon.Add(-time.Hour), "b"), OrderKey(0, noon, "a"), OrderKey(0, noon, "b"), OrderKey(-1, noon, "a"), OrderKey(-1000, noon.Add(-time.Hour), "a"),
	}
	if !slices.IsSorted(ordered) {
		t.Errorf("these are not in order: %q", ordered)
	}
	if a, b := OrderKey(0, noon, "a"), OrderKey(0, noon.In(time.FixedZone("x", 3600)), "a"); a != b {
		t.Errorf("an order depends on the zone of a time: %s, %s", a, b)
	}
}

// A name twice is one document.
func TestReadSetRefs(t *testing.T) {
	refs, err := Resources("a/b", "a/b").And(Records("k"), Leases("k"), Budgets("k")).Refs()
	if want := []Ref{ResourceRef("a/b"), RecordRef("k"), LeaseRef("k"), BudgetRef("k")}; err != nil || !slices.Equal(refs, want) {
		t.Errorf("refs = %v, %v; want %v", refs, err, want)
	}
	if _, err := Resources("a~b").Refs(); err == nil {
		t.Error("a name that would be taken for another is accepted")
	}
	if _, err := (ReadSet{{Kind: "others", Name: "k"}}).Refs(); err == nil {
		t.Error("a kind that is not in the table is accepted")
	}
}

// A set that grows shares no memory with the one that it grew from: two updates may
// have begun with that.
func TestReadSetAnd(t *testing.T) {
	first := append(make(ReadSet, 0, 8), RecordRef("a"), LeaseRef("l"))
	one := first.And(Records("b").And(Budgets("g")), Resources("r"))
	other := first.And(Records("c"))
	if want := Records("a").And(Leases("l"), Records("b"), Budgets("g"), Resources("r")); !slices.Equal(one, want) {
		t.Errorf("one = %v, want %v", one, want)
	}
	if want := Records("a").And(Leases("l"), Records("c")); !slices.Equal(other, want) {
		t.Errorf("other = %v, want %v", other, want)
	}
}
