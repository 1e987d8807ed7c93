package gcp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// What is read back is what was stored, whatever characters are in it.
func TestPackUnpack(t *testing.T) {
	want := &ledger.Record{Key: "k", Labels: map[string]string{"": "", "__a__": "1", "~": "2", "é": "a\"b\\c\n\x00\u2028é<&>\x7f"}}
	fields, err := pack(want, "token")
	if err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(&firestorepb.Document{Name: "projects/p/databases/d/documents/requests/k", Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	back := new(firestorepb.Document)
	if err := proto.Unmarshal(wire, back); err != nil {
		t.Fatal(err)
	}
	got, bad := unpack(ledger.KindRecord, back)
	if bad != nil {
		t.Fatal(bad)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(fields["doc"].GetStringValue(), `\u003c`) {
		t.Error("< takes six bytes")
	}
	back.Fields["doc"] = timeValue(time.Unix(0, 0))
	if _, bad := unpack(ledger.KindRecord, back); bad == nil {
		t.Error("a value of a type that is never written was read")
	}
}

// A document of a newer release is read if that says so, with the fields that this
// release does not know, and written back with them; otherwise it cannot be read.
func TestDocumentOfANewerRelease(t *testing.T) {
	newer := func(layout, since int64) *firestorepb.Document {
		fields, err := pack(&ledger.Record{Key: "k", Priority: 3}, "token")
		if err != nil {
			t.Fatal(err)
		}
		if fields["since"].GetIntegerValue() != ledger.Since || fields["layout"].GetIntegerValue() != ledger.Layout {
			t.Errorf("this release writes layout %v since %v", fields["layout"], fields["since"])
		}
		fields["layout"], fields["since"] = integerValue(layout), integerValue(since)
		if since == 0 {
			delete(fields, "since") // as layout 2 was written
		}
		fields["doc"] = stringValue(strings.Replace(fields["doc"].GetStringValue(), `{`, `{"later":[1,2],`, 1))
		fields["laterQuery"], fields["timerAt"] = stringValue("found by this"), timeValue(time.Unix(1, 0))
		return &firestorepb.Document{Name: "projects/p/databases/d/documents/requests/k", Fields: fields}
	}
	for _, c := range []struct {
		layout, since int64
		readable      bool
	}{
		{ledger.Layout, 0, true}, {ledger.Layout + 1, ledger.Layout, true}, {ledger.Layout + 1, ledger.OldestLayout, true}, {ledger.Layout + 5, ledger.Layout, true},
		{ledger.Layout + 1, 0, false}, {ledger.Layout + 1, ledger.Layout + 1, false}, {ledger.OldestLayout - 1, 0, false}, {0, 0, false},
	} {
		doc, bad := unpack(ledger.KindRecord, newer(c.layout, c.since))
		if (bad == nil) != c.readable {
			t.Errorf("layout %d since %d is readable: %t, want %t (%v)", c.layout, c.since, bad == nil, c.readable, bad)
		}
		if bad != nil || c.layout <= ledger.Layout {
			continue
		}
		doc.(*ledger.Record).Priority = 4
		fields, err := pack(doc, "token")
		if err != nil {
			t.Fatal(err)
		}
		if text := fields["doc"].GetStringValue(); fields["layout"].GetIntegerValue() != c.layout || fields["since"].GetIntegerValue() != c.since ||
			!strings.Contains(text, `"later":[1,2]`) || !strings.Contains(text, `"priority":4`) {
			t.Errorf("layout %d since %d is written back as %v", c.layout, c.since, fields)
		}
		if fields["laterQuery"].GetStringValue() != "found by this" || fields["timerAt"] != nil {
			t.Errorf("layout %d since %d is written back with the fields for queries %v", c.layout, c.since, fields)
		}
	}
}

// A field that pack writes and that is not among the known ones would be written back
// after it has lost its meaning.
func TestKnownFields(t *testing.T) {
	var written []string
	for _, doc := range ledgertest.Filled() {
		if rec, is := doc.(*ledger.Record); is {
			rec.State, rec.Outbox[0].Published = lifecycle.Waiting, false
		}
		fields, err := pack(doc, "token")
		if err != nil {
			t.Fatal(err)
		}
		written = slices.AppendSeq(written, maps.Keys(fields))
	}
	slices.Sort(written)
	if diff := cmp.Diff(slices.Sorted(slices.Values(knownFields)), slices.Compact(written)); diff != "" {
		t.Errorf("known -, written +:\n%s", diff)
	}
}

// The fields that queries use are there exactly while they are needed.
func TestQueryFields(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	shape := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	r := &ledger.Record{
		Key: "k", Resource: "pool", Order: "o", Spec: "spec", TimerAt: at, ExpireAt: at.Add(2),
		Ask:    capacity.Ask{{Shape: shape, Replicas: 1}, {WorkerPool: 1, Shape: shape, Replicas: 2}},
		Outbox: []ledger.OutboxEvent{{ID: "1", Time: at, Published: true}, {ID: "2", Time: at.Add(time.Second)}, {ID: "3", Time: at.Add(time.Minute)}},
	}
	r.Class, r.Timeout = "c", time.Hour
	r.State, r.Times.Received, r.Reservation.Job = lifecycle.Waiting, time.Unix(1, 0), "projects/p/locations/l/customJobs/77"
	const head = `{"id":"k","order":"o","key":"0001-01-01T00:00:00Z",` +
		`"demand":[{"workerPool":0,"shape":"n1-standard-4/pd-ssd:100","replicas":1},{"workerPool":1,"shape":"n1-standard-4/pd-ssd:100","replicas":2}],"limit":3600000000000,"bytes":4}`
	const recent = "9223372036853775807-k"
	for _, test := range []struct {
		name   string
		change func()
		want   map[string]string
	}{
		{"waiting", func() {}, map[string]string{
			"resource": "pool", "state": "WAITING", "order": "o", "queues": "c", "head": head,
			"timerAt": at.String(), "outbox": at.Add(time.Second).String(), "expireAt": at.Add(2).String(),
			"recent": recent, "status": "WAITING", "job": "77",
		}},
		{"parked", func() { r.Parked, r.Class = true, "" }, map[string]string{
			"resource": "pool", "state": "WAITING", "order": "o", "queues": "parked", "head": head,
			"timerAt": at.String(), "outbox": at.Add(time.Second).String(), "expireAt": at.Add(2).String(),
			"recent": recent, "status": "WAITING", "job": "77",
		}},
		{"running", func() { r.State, r.TimerAt, r.ExpireAt = lifecycle.Running, time.Time{}, time.Time{} }, map[string]string{
			"resource": "pool", "state": "RUNNING", "order": "o", "outbox": at.Add(time.Second).String(),
			"recent": recent, "status": "RUNNING", "job": "77",
		}},
		{"ended", func() { r.State, r.Outbox[1].Published, r.Outbox[2].Published = lifecycle.Failed, true, true }, map[string]string{
			"resource": "pool", "state": "FAILED", "order": "o", "recent": recent, "status": "FAILED", "job": "77",
		}},
		{"answer", func() { r.State, r.Kind, r.Reservation.Job = lifecycle.None, message.KindAnswer, "" },
			map[string]string{"recent": recent, "status": "REFUSED"}},
		{"dry run", func() { r.Outbox[0].Type = message.Quoted }, map[string]string{"recent": recent, "status": "QUOTED"}},
		{"never received", func() { r.Times.Received = time.Time{} }, map[string]string{}},
	} {
		test.change()
		fields, err := pack(r, "token")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name, v := range fields {
			switch x := v.GetValueType().(type) {
			case *firestorepb.Value_TimestampValue:
				got[name] = x.TimestampValue.AsTime().String()
			case *firestorepb.Value_ArrayValue:
				got[name] = text(x.ArrayValue.Values[0])
			default:
				got[name] = text(v)
			}
		}
		delete(got, "doc")
		test.want["token"], test.want["layout"], test.want["since"] = "token", fmt.Sprint(ledger.Layout), fmt.Sprint(ledger.Since)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", test.name, diff)
		}
	}
}

func text(v *firestorepb.Value) string {
	if n, ok := v.GetValueType().(*firestorepb.Value_IntegerValue); ok {
		return fmt.Sprint(n.IntegerValue)
	}
	return v.GetStringValue()
}

// Every query has its index, and every index its query: Firestore refuses a
// query without one, and the emulator does not.
func TestIndexes(t *testing.T) {
	needed := map[string]bool{}
	for _, q := range []query{
		queueQuery("r", "s", "a"), queueQuery("r", "s", ""), stateQuery("r", "S", "a"), stateQuery("r", "S", ""),
		dueQuery(lifecycle.States, time.Now()), unpublishedQuery(), resourcesQuery("a"), resourcesQuery(""), jobQuery("7"),
		listQuery(ledger.Filter{}, ""), listQuery(ledger.Filter{Resource: "r"}, "a"), listQuery(ledger.Filter{Statuses: []string{"S"}}, "a"),
		listQuery(ledger.Filter{Statuses: []string{"S", "T"}}, "a"), listQuery(ledger.Filter{Resource: "r", Statuses: []string{"S", "T"}}, "a"),
	} {
		index := Index{Collection: q.from}
		for _, f := range q.filters {
			field := f.GetFieldFilter()
			switch name := field.GetField().GetFieldPath(); field.GetOp() {
			case firestorepb.StructuredQuery_FieldFilter_EQUAL, firestorepb.StructuredQuery_FieldFilter_IN:
				index.Fields = append(index.Fields, name)
			case firestorepb.StructuredQuery_FieldFilter_ARRAY_CONTAINS:
				index.Fields = append(index.Fields, name+"[]")
			default: // a range has to be on the field of the order
				if name != q.order {
					t.Errorf("a range over %s, ordered by %s", name, q.order)
				}
			}
		}
		if q.order != "__name__" { // every index ends in it
			index.Fields = append(index.Fields, q.order)
		}
		needed[fmt.Sprint(index)] = true
	}
	var have []string
	for _, index := range Indexes {
		have = append(have, fmt.Sprint(index))
	}
	slices.Sort(have)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(needed)), have); diff != "" {
		t.Errorf("needed -, listed +:\n%s", diff)
	}
}

// The largest documents stay below Firestore's 1 MiB.
func TestSizes(t *testing.T) {
	const limit = 1 << 20
	for name, doc := range map[string]ledger.Document{
		"record with the largest job":               ledgertest.BigRecord(),
		"resource full of holds of one worker pool": ledgertest.BigResource(1),
		"resource full of holds of two":             ledgertest.BigResource(2),
		"resource full of holds of four":            ledgertest.BigResource(4),
	} {
		fields, err := pack(doc, strings.Repeat("t", 26))
		if err != nil {
			t.Fatal(err)
		}
		stored := 100 + mapSize(fields) // its name
		t.Logf("%s: %d bytes, %.0f %% of the limit", name, stored, 100*float64(stored)/limit)
		if stored >= limit {
			t.Errorf("%s takes %d bytes, the limit is %d", name, stored, limit)
		}
	}
}

// mapSize counts bytes as Firestore does for its limit
// (firebase.google.com/docs/firestore/storage-size).
func mapSize(fields map[string]*firestorepb.Value) (n int) {
	for name, v := range fields {
		n += len(name) + 1 + valueSize(v)
	}
	return n + 32
}

func valueSize(v *firestorepb.Value) (n int) {
	switch v := v.GetValueType().(type) {
	case *firestorepb.Value_StringValue:
		return len(v.StringValue) + 1
	case *firestorepb.Value_BooleanValue:
		return 1
	case *firestorepb.Value_MapValue:
		return mapSize(v.MapValue.GetFields())
	case *firestorepb.Value_ArrayValue:
		for _, e := range v.ArrayValue.GetValues() {
			n += valueSize(e)
		}
		return n
	}
	return 8
}

func TestUnpackRefuses(t *testing.T) {
	fields, err := pack(&ledger.Lease{Name: "l"}, "t")
	if err != nil {
		t.Fatal(err)
	}
	name := "projects/p/databases/d/documents/leases/l"
	doc, bad := unpack(ledger.KindLease, &firestorepb.Document{Name: name, Fields: fields})
	if bad != nil || doc.(*ledger.Lease).Name != "l" {
		t.Fatalf("%v, %v", doc, bad)
	}
	fields["layout"], fields["since"] = integerValue(ledger.Layout+1), integerValue(ledger.Layout+1)
	if _, err := unpack(ledger.KindLease, &firestorepb.Document{Name: name, Fields: fields}); err == nil || !strings.Contains(err.Error(), "leases/l") {
		t.Errorf("layout of a later release: error %v", err)
	}
	fields["layout"], fields["since"], fields["doc"] = integerValue(ledger.Layout), integerValue(ledger.Since), stringValue("torn")
	if _, err := unpack(ledger.KindLease, &firestorepb.Document{Name: name, Fields: fields}); err == nil || !strings.Contains(err.Error(), "leases/l") {
		t.Errorf("document that is no map: error %v", err)
	}
}

func TestDocumentName(t *testing.T) {
	if name := documentName("projects/p/databases/d", ledger.ResourceRef("a/b")); name != "projects/p/databases/d/documents/resources/a~b" {
		t.Errorf("name = %s", name)
	}
}

func TestOpenLedgerRefuses(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
	if _, err := OpenLedger(t.Context(), LedgerOptions{Project: "p"}); err == nil || !strings.Contains(err.Error(), "FIRESTORE_EMULATOR_HOST") {
		t.Errorf("error %v, want one that names the variable", err)
	}
	l, err := OpenLedger(t.Context(), LedgerOptions{Project: "p", AllowEmulator: true})
	if err != nil {
		t.Fatal(err)
	}
	if l.database != "projects/p/databases/(default)" {
		t.Errorf("database %s", l.database)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenLedger(t.Context(), LedgerOptions{AllowEmulator: true}); err == nil {
		t.Error("no project, no error")
	}
}
