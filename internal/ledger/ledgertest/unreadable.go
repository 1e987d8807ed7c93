package ledgertest

import (
	"errors"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A Spoiler is a ledger under test that can make a document unreadable: how is
// one of Spoils.
type Spoiler interface {
	Spoil(d ledger.Ref, how string)
}

// Spoils are the ways in which a document can be unreadable: of another layout,
// with a text that does not decode, the document of another name, and, for a
// record, in a state that this release does not know.
var Spoils = []string{"layout", "text", "name", "state"}

func testUnreadable(t *testing.T, l ledger.Ledger) {
	for _, how := range Spoils {
		running := &ledger.Record{Key: message.Key("k" + how), Resource: pool}
		running.State = lifecycle.Running
		for _, doc := range bare("n" + how) {
			if doc.Ref().Kind == ledger.KindRecord {
				doc = running
			} else if how == "state" {
				continue
			}
			write(t, l, doc)
			l.(Spoiler).Spoil(doc.Ref(), how)
			unreadable(t, l, doc.Ref(), doc)
		}
	}
}

// unreadable tests updates that name a document which cannot be read.
func unreadable(t *testing.T, l ledger.Ledger, d ledger.Ref, doc ledger.Document) {
	t.Helper()
	names := named(doc, &ledger.Record{Key: "beside"}, &ledger.Record{Key: "absent"})
	beside := record(t, l, "beside")
	uses := map[string]func(ledger.Tx){
		"read": func(tx ledger.Tx) { get(tx, d) },
		"put":  func(tx ledger.Tx) { tx.Put(doc) },
	}
	if rec, is := doc.(*ledger.Record); is {
		uses["read of a record"] = func(tx ledger.Tx) { tx.Record(rec.Key) }
		uses["put of a record"] = func(tx ledger.Tx) { tx.Put(rec) }
	}
	for name, use := range uses {
		err := l.Update(t.Context(), names, func(tx ledger.Tx) error {
			tx.Put(&ledger.Record{Key: "beside", Sequence: 99})
			use(tx)
			return nil
		})
		bad := (*ledger.UnreadableError)(nil)
		if !errors.As(err, &bad) || bad.Ref != d || bad.Why == "" || d.Kind == ledger.KindRecord && bad.Resource != pool {
			t.Errorf("%s of %s: error %v (%+v)", name, d, err, bad)
		}
		same(t, beside, record(t, l, "beside"))
	}
	// An update that can do without it goes on, and leaves it as it is.
	update(t, l, names, func(tx ledger.Tx) error {
		if bad := tx.Unreadable(d); bad == nil || bad.Ref != d {
			t.Errorf("Unreadable(%s) = %v", d, bad)
		}
		for _, key := range []message.Key{"beside", "absent"} {
			if bad := tx.Unreadable(ledger.RecordRef(key)); bad != nil {
				t.Errorf("Unreadable(%s) = %v", key, bad)
			}
		}
		n := int64(1)
		if r := tx.Record("beside"); r != nil {
			n = r.Sequence + 1
		}
		tx.Put(&ledger.Record{Key: "beside", Sequence: n})
		return nil
	})
	if got := record(t, l, "beside"); beside != nil && got.Sequence != beside.Sequence+1 {
		t.Errorf("beside %s: %+v after %+v", d, got, beside)
	}
	err := ledger.Read(t.Context(), l, names, func(tx ledger.Tx) { get(tx, d) })
	if bad := (*ledger.UnreadableError)(nil); !errors.As(err, &bad) {
		t.Errorf("%s can be read after an update beside it: %v", d, err)
	}
}

// Queries for documents leave out those that cannot be read and report them; a
// caller that pages by the last one found gets all others.
func testUnreadableInQueries(t *testing.T, l ledger.Ledger) {
	var recs []*ledger.Record
	var resources []*ledger.Resource
	for n := range 6 {
		r := waiting(pool, n, cpu)
		r.TimerAt, r.Outbox = at(1), outboxOf("", 1).Outbox // all of one moment
		recs = append(recs, r)
		resources = append(resources, &ledger.Resource{Name: pool + string(rune('a'+n))})
		write(t, l, r, resources[n])
	}
	bad := map[int]bool{0: true, 2: true, 3: true, 5: true}
	for n := range bad {
		l.(Spoiler).Spoil(ledger.RecordRef(recs[n].Key), "layout")
		l.(Spoiler).Spoil(ledger.ResourceRef(resources[n].Name), "text")
	}
	for _, limit := range []int{1, 2, 10} {
		var found []*ledger.Record
		skipped := map[ledger.Ref]bool{}
		for after := ""; ; {
			got, err := l.InState(t.Context(), pool, lifecycle.Waiting, after, limit)
			addSkipped(t, skipped, err)
			found = append(found, got...)
			if len(got) < limit {
				break
			}
			after = got[len(got)-1].Order
		}
		same(t, []*ledger.Record{recs[1], recs[4]}, found)
		var seen []*ledger.Resource
		for after := ""; ; {
			got, err := l.Resources(t.Context(), after, limit)
			addSkipped(t, skipped, err)
			seen = append(seen, got...)
			if len(got) < limit {
				break
			}
			after = got[len(got)-1].Name
		}
		same(t, []*ledger.Resource{resources[1], resources[4]}, seen)
		for n := range bad {
			if !skipped[ledger.RecordRef(recs[n].Key)] || !skipped[ledger.ResourceRef(resources[n].Name)] {
				t.Errorf("limit %d: record or resource %d is not reported: %v", limit, n, skipped)
			}
		}
	}
	// What the indexes hold is found whatever the documents are like.
	queue, err := l.Queue(t.Context(), pool, string(classOf(cpu)), "", 10)
	if err != nil || len(queue) != 6 {
		t.Errorf("Queue = %v, %v", queue, err)
	}
	due, err := l.Due(t.Context(), lifecycle.States, at(1), ledger.Timed{}, 10)
	if err != nil || len(due) != 6 {
		t.Errorf("Due = %v, %v", due, err)
	}
	unpublished, err := l.Unpublished(t.Context(), ledger.Timed{}, 10)
	if err != nil || len(unpublished) != 6 {
		t.Errorf("Unpublished = %v, %v", unpublished, err)
	}
}

func addSkipped(t *testing.T, skipped map[ledger.Ref]bool, err error) {
	t.Helper()
	bad, err := ledger.Skipped(err)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range bad {
		skipped[u.Ref] = true
	}
}
