package chaos

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A write is one of a commit: at the second read, of what was there then, and
// with the second put.
type write struct {
	path      string
	doc       any // nil for a document that is only a condition
	read, put int64
}

// commitTo gives a commit to a witness.
func commitTo(t *testing.T, w *witness, writes ...write) {
	t.Helper()
	req, resp := &firestorepb.CommitRequest{}, &firestorepb.CommitResponse{}
	for _, x := range writes {
		d := &firestorepb.Document{Name: "projects/p/databases/berth/documents/" + x.path}
		out := &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: d}, CurrentDocument: &firestorepb.Precondition{
			ConditionType: &firestorepb.Precondition_UpdateTime{UpdateTime: timestamppb.New(time.Unix(x.read, 0))}}}
		if x.read == 0 {
			out.CurrentDocument.ConditionType = &firestorepb.Precondition_Exists{}
		}
		if x.doc == nil {
			out.UpdateMask = &firestorepb.DocumentMask{}
		} else {
			text, err := json.Marshal(x.doc)
			if err != nil {
				t.Fatal(err)
			}
			d.Fields = map[string]*firestorepb.Value{"doc": {ValueType: &firestorepb.Value_StringValue{StringValue: string(text)}}}
		}
		req.Writes = append(req.Writes, out)
		resp.WriteResults = append(resp.WriteResults, &firestorepb.WriteResult{UpdateTime: timestamppb.New(time.Unix(x.put, 0))})
		if x.doc != nil {
			resp.CommitTime = timestamppb.New(time.Unix(x.put, 0))
		}
	}
	ask, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := proto.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	w.observe("Commit", ask, answer)
}

const resourceDoc = "resources/projects~p"

func resource(held ...message.Key) *ledger.Resource {
	res := &ledger.Resource{Name: onPool, State: vertex.Running, ObservedAt: t0,
		Pools: []capacity.Pool{{ID: "0", Shape: capacity.Spec{MachineType: "m"}.Normal(), Count: 2}}}
	for _, key := range held {
		if res.Holds == nil {
			res.Holds = map[message.Key]ledger.Hold{}
		}
		res.Holds[key] = ledger.Hold{Ask: capacity.Ask{{Shape: capacity.Spec{MachineType: "m"}.Normal(), Replicas: 1}}, Run: "r" + string(key), Pending: true}
	}
	return res
}

func holder(id string) *ledger.Record {
	r := record(message.KindRequest, id, id, lifecycle.Reserved, "reserved RESERVED")
	r.ExpireAt, r.TimerAt, r.Ask, r.Run = time.Time{}, t0, capacity.Ask{{Shape: capacity.Spec{MachineType: "m"}.Normal(), Replicas: 1}}, "r"+string(r.Key)
	return r
}

// stored is what the emulator would have.
func (w *witness) stored() map[string]stored {
	docs := map[string]stored{}
	for path, d := range w.docs {
		docs[path] = d
	}
	return docs
}

// TestWitnessOrders: commits whose answers come in another order than the
// commits.
func TestWitnessOrders(t *testing.T) {
	w := newWitness()
	a, b := holder("a"), holder("b")
	commitTo(t, w, write{resourceDoc, resource(a.Key, b.Key), 2, 3}, write{"requests/b", b, 0, 3})
	commitTo(t, w, write{resourceDoc, resource(a.Key), 1, 2}, write{"requests/a", a, 0, 2})
	if w.commits != 0 || len(w.waiting) != 2 {
		t.Fatalf("%d commits taken in, %d waiting", w.commits, len(w.waiting))
	}
	commitTo(t, w, write{resourceDoc, resource(), 0, 1})
	commitTo(t, w, write{resourceDoc, nil, 3, 3}, write{"leases/l", &ledger.Lease{Name: "l"}, 0, 4})
	if found := w.record(w.stored()); w.commits != 4 || w.takes != 2 || len(found) > 0 {
		t.Errorf("%d commits, %d took, found %v", w.commits, w.takes, found)
	}
	p, _ := w.now()
	if len(p.Records) != 2 || len(p.Resources) != 1 || len(p.Resources[0].Holds) != 2 {
		t.Errorf("picture %+v", p)
	}
}

// TestWitnessObservesLate: a commit whose answer comes after another commit has
// overwritten what it only read.
func TestWitnessObservesLate(t *testing.T) {
	for name, test := range map[string]struct {
		landed int64
		wrong  int
	}{"landed earlier": {2, 0}, "landed later": {4, 1}} {
		w := newWitness()
		commitTo(t, w, write{resourceDoc, resource(), 0, 1})
		commitTo(t, w, write{resourceDoc, resource(), 1, 3})
		commitTo(t, w, write{resourceDoc, nil, 1, 1}, write{"leases/l", &ledger.Lease{Name: "l"}, 0, test.landed})
		if found := w.record(w.stored()); w.commits != 3 || len(found) != test.wrong {
			t.Errorf("%s: %d commits, found %v", name, w.commits, found)
		}
	}
}

// TestWitnessFinds: each thing that a commit can do wrong.
func TestWitnessFinds(t *testing.T) {
	a, b, c := holder("a"), holder("b"), holder("c")
	ended := func(to lifecycle.State) *ledger.Record {
		r := record(message.KindRequest, "a", "a", to, "reserved RESERVED", "submitted SUBMITTED", "succeeded SUCCEEDED")
		r.Outbox[2].Published = false
		r.ExpireAt, r.Run, r.Ask = time.Time{}, a.Run, a.Ask
		return r
	}
	altered := ended(lifecycle.Succeeded)
	altered.Outbox[1].Outcome.Job = "another"
	unpublished := ended(lifecycle.Succeeded)
	unpublished.Outbox[1].Published = false
	forgot := ended(lifecycle.Succeeded)
	forgot.Outbox = forgot.Outbox[:2]
	named, renamed := ended(lifecycle.Succeeded), ended(lifecycle.Succeeded)
	named.Reservation.Job, renamed.Reservation.Job = "j1", "j2"
	other := ended(lifecycle.Succeeded)
	other.Fingerprint = "x"
	for name, test := range map[string]struct {
		commits [][]write
		want    invariant.Rule
	}{
		"over-commit": {[][]write{
			{{resourceDoc, resource(a.Key, b.Key), 0, 1}, {"requests/a", a, 0, 1}, {"requests/b", b, 0, 1}},
			{{resourceDoc, resource(a.Key, b.Key, c.Key), 1, 2}, {"requests/c", c, 0, 2}},
		}, invariant.OverCommit},
		"hold without a request that holds": {[][]write{
			{{resourceDoc, resource(a.Key), 0, 1}, {"requests/a", ended(lifecycle.Succeeded), 0, 1}},
		}, invariant.HoldMatches},
		"request that holds without a hold": {[][]write{
			{{resourceDoc, resource(), 0, 1}, {"requests/a", a, 0, 1}},
		}, invariant.HoldMatches},
		"risen from the dead": {[][]write{
			{{"requests/a", ended(lifecycle.Succeeded), 0, 1}}, {{"requests/a", ended(lifecycle.Failed), 1, 2}},
		}, invariant.TerminalStay},
		"outbox event altered": {[][]write{
			{{"requests/a", ended(lifecycle.Succeeded), 0, 1}}, {{"requests/a", altered, 1, 2}},
		}, Rewritten},
		"outbox event sent and to be sent": {[][]write{
			{{"requests/a", ended(lifecycle.Succeeded), 0, 1}}, {{"requests/a", unpublished, 1, 2}},
		}, Rewritten},
		"unpublished event gone": {[][]write{
			{{"requests/a", ended(lifecycle.Succeeded), 0, 1}}, {{"requests/a", forgot, 1, 2}},
		}, Rewritten},
		"job renamed": {[][]write{
			{{"requests/a", named, 0, 1}}, {{"requests/a", renamed, 1, 2}},
		}, Rewritten},
		"another request": {[][]write{
			{{"requests/a", ended(lifecycle.Succeeded), 0, 1}}, {{"requests/a", other, 1, 2}},
		}, Rewritten},
		"from nowhere":    {[][]write{{{resourceDoc, resource(), 7, 8}}}, Unseen},
		"unknown place":   {[][]write{{{"elsewhere/x", resource(), 0, 1}}}, Unseen},
		"not what it was": {[][]write{{{resourceDoc, "text", 0, 1}}}, Unseen},
	} {
		w := newWitness()
		for _, writes := range test.commits {
			commitTo(t, w, writes...)
		}
		found := w.record(w.stored())
		if !slices.ContainsFunc(found, func(v invariant.Violation) bool { return v.Rule == test.want }) {
			t.Errorf("%s: found %v, want %s", name, found, test.want)
		}
	}
}

// TestWitnessAgainstStore: what the emulator has has to be what was seen.
func TestWitnessAgainstStore(t *testing.T) {
	w := newWitness()
	commitTo(t, w, write{resourceDoc, resource(), 0, 1})
	newer := w.stored()
	newer[resourceDoc] = stored{path: resourceDoc, update: time.Unix(2, 0)}
	for name, have := range map[string]map[string]stored{
		"a newer one": newer, "none": {}, "one more": {resourceDoc: w.docs[resourceDoc], "requests/x": {update: time.Unix(1, 0)}},
	} {
		if found := w.record(have); len(found) != 1 || found[0].Rule != Unseen {
			t.Errorf("%s: found %v", name, found)
		}
	}
}

// TestUnconditional: a commit without a condition, or of a part of a document,
// breaks what everything here rests on.
func TestUnconditional(t *testing.T) {
	d := &firestorepb.Document{Name: "projects/p/databases/berth/documents/leases/l"}
	read := &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_UpdateTime{UpdateTime: timestamppb.New(t0)}}
	for want, bad := range map[string]*firestorepb.Write{
		"without a condition":    {Operation: &firestorepb.Write_Update{Update: d}},
		"whatever is in it":      {Operation: &firestorepb.Write_Update{Update: d}, CurrentDocument: &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: true}}},
		"changes a part":         {Operation: &firestorepb.Write_Update{Update: d}, CurrentDocument: read, UpdateMask: &firestorepb.DocumentMask{FieldPaths: []string{"doc"}}},
		"or deletes it":          {Operation: &firestorepb.Write_Delete{Delete: d.Name}, CurrentDocument: read},
		"1 writes has 0 results": nil,
	} {
		resp := &firestorepb.CommitResponse{WriteResults: []*firestorepb.WriteResult{{UpdateTime: timestamppb.New(t0)}}}
		if bad == nil {
			bad, resp = &firestorepb.Write{}, &firestorepb.CommitResponse{}
		}
		ask, err := proto.Marshal(&firestorepb.CommitRequest{Writes: []*firestorepb.Write{bad}})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := proto.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readCommit(ask, answer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}
