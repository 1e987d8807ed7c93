package ledger_test

import (
	"bytes"
	compare "cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/usage"
)

// fullDocuments have a value in each place where a document has an object.
func fullDocuments() []ledger.Document {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	shape := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	ask := capacity.Ask{{WorkerPool: 0, Shape: shape, Replicas: 1}, {WorkerPool: 1, Shape: shape, Replicas: 3}}
	rec := &ledger.Record{Key: "k", Kind: message.KindRequest, ID: "a", Ask: ask, Spec: `{"é":"<b>"}`, Labels: map[string]string{"team": "vision"},
		Reservation: lifecycle.Reservation{State: lifecycle.Waiting}, Why: &reason.Problem{Code: reason.Full, Detail: "full"}, Times: message.Times{Received: at}}
	for _, typ := range []message.Type{message.Queued, message.Reserved} {
		rec.Append(message.Outcome{Type: typ, Reason: rec.Why}, at)
	}
	return []ledger.Document{
		rec,
		&ledger.Resource{Name: "r", State: "RUNNING", Pools: []capacity.Pool{{ID: "p", Shape: shape, Count: 4}}, ObservedAt: at,
			Holds:   map[message.Key]ledger.Hold{"h1": {Ask: ask, Run: "run1"}, "h2": {Ask: ask, Run: "run2"}},
			Foreign: []ledger.Foreign{{Job: "j1", Ask: ask}}, Queue: admission.Queue{"c": {Count: 1, Heads: []admission.Head{{Order: "o", ID: "k", Demand: ask}}}}, Reserved: []admission.Reservation{{Head: admission.Head{Order: "o", ID: "k", Demand: ask}}}},
		&ledger.Lease{Name: "reconcile", Until: at},
		&ledger.Budget{Name: "b", Budget: pace.Budget{Grants: []pace.Grant{{To: "r", Until: at}}}},
		&ledger.History{Tenant: "a", History: estimate.History{Levels: map[string]estimate.Moments{"1h": {Jobs: 1, Weight: 1, Mean: 2.5}},
			Families: map[string]estimate.Family{"f": {Moments: estimate.Moments{Jobs: 1, Weight: 1, Mean: 2.5}, Last: 1}}, Ends: 1}},
		&ledger.Usage{Resource: "r", History: usage.History{
			Fine:   usage.Track{Observed: []usage.Bucket{{Number: 7, Sums: usage.Sums{Seconds: 300}}}, Shapes: []usage.Series{{Shape: shape, Buckets: []usage.Bucket{{Number: 7, Sums: usage.Sums{Machines: 1200, Idle: 300}}}}}},
			Coarse: usage.Track{Observed: []usage.Bucket{{Sums: usage.Sums{Seconds: 300}}}, Shapes: []usage.Series{{Shape: shape, Buckets: []usage.Bucket{{Sums: usage.Sums{Machines: 1200, Idle: 300}}}}}},
		}},
	}
}

// later puts a member that no release has yet into every object of the JSON value of a
// type that is no map by key.
func later(v any, t reflect.Type, path string) int {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			of := t
			if t.Kind() == reflect.Map {
				of = t.Elem()
			} else {
				for _, f := range reflect.VisibleFields(t) {
					if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); strings.EqualFold(compare.Or(tag, f.Name), name) {
						of = f.Type
					}
				}
			}
			n += later(inner, of, path+"/"+name)
		}
		if t.Kind() != reflect.Map {
			v["later"] = map[string]any{"of": path, "html": "<&>"}
			n++
		}
	case []any:
		for i, inner := range v {
			n += later(inner, t.Elem(), fmt.Sprintf("%s/%d", path, i))
		}
	}
	return n
}

// exact decodes without loss of digits.
func exact(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func decoded(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// What a newer release has written into a document, wherever that is, is written back.
func TestFieldsOfANewerRelease(t *testing.T) {
	most := 0
	for _, doc := range append(fullDocuments(), ledgertest.Filled()...) {
		own, err := ledger.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		theirs := exact(t, own)
		n := later(theirs, reflect.TypeOf(doc), "")
		most = max(most, n)
		var buffer bytes.Buffer
		e := json.NewEncoder(&buffer)
		e.SetEscapeHTML(false) // as the next release writes too
		if err := e.Encode(theirs); err != nil {
			t.Fatal(err)
		}
		text := buffer.Bytes()
		back := ledger.New(ledger.Ref{Kind: doc.Ref().Kind})
		if err := ledger.Unmarshal(text, ledger.Layout+1, ledger.Layout, back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ledger.Normal(doc), back, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Versioned" }, cmp.Ignore()), cmp.AllowUnexported(ledger.Resource{})); diff != "" {
			t.Errorf("%s is read otherwise (-want +got):\n%s", doc.Ref(), diff)
		}
		if newer := ledger.NewerOf(back); newer == nil || newer.Layout != ledger.Layout+1 || newer.Since != ledger.Layout {
			t.Errorf("%s is of %+v", doc.Ref(), newer)
		}
		for name, copied := range map[string]ledger.Document{"it": back, "its normal form": ledger.Normal(back)} {
			again, err := ledger.Marshal(copied)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(theirs, exact(t, again)); diff != "" {
				t.Errorf("%s of %s is written otherwise (-want +got):\n%s", name, doc.Ref(), diff)
			}
			if strings.Contains(string(again), `\u003c`) {
				t.Errorf("%s of %s is written with escapes for HTML", name, doc.Ref())
			}
		}
		if same := ledger.New(ledger.Ref{Kind: doc.Ref().Kind}); ledger.Unmarshal(own, ledger.Layout, 0, same) != nil || ledger.NewerOf(same) != nil {
			t.Errorf("%s of this release is taken for that of a newer one", doc.Ref())
		}
	}
	if most < 60 {
		t.Errorf("no document has more than %d objects", most)
	}
}

// What goes from a document takes its unknown fields along; what stays keeps its own,
// also when its place in a list is another.
func TestFieldsGoWithWhatTheyBelongTo(t *testing.T) {
	text := []byte(`{"name":"r","holds":{"h1":{"run":"run1","later":1},"h2":{"run":"run2","later":2}},"foreign":[{"job":"a","ask":null,"later":3},{"job":"b","ask":null,"later":4}]}`)
	res := &ledger.Resource{}
	if err := ledger.Unmarshal(text, ledger.Layout+1, ledger.Layout, res); err != nil {
		t.Fatal(err)
	}
	delete(res.Holds, "h1")
	res.Holds["h3"] = ledger.Hold{Run: "run3"}
	res.Foreign = []ledger.Foreign{{Job: "c"}, {Job: "b"}}
	res.State = "RUNNING"
	written, err := ledger.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	v := decoded(t, written).(map[string]any)
	holds, foreign := v["holds"].(map[string]any), v["foreign"].([]any)
	if holds["h1"] != nil || holds["h2"].(map[string]any)["later"] != 2.0 || holds["h3"].(map[string]any)["later"] != nil {
		t.Errorf("the holds are %v", holds)
	}
	if foreign[0].(map[string]any)["later"] != nil || foreign[1].(map[string]any)["later"] != 4.0 || v["state"] != "RUNNING" {
		t.Errorf("written %s", written)
	}
}

// An element of a list without identity is known again by its content, and equal
// elements by their number.
func TestFieldsOfElementsWithoutIdentity(t *testing.T) {
	text := []byte(`{"key":"k","warnings":[{"code":"A","detail":"a","later":1},{"code":"B","detail":"b","later":2},{"code":"B","detail":"b","later":3},{"code":"C","detail":"c","later":4}]}`)
	rec := &ledger.Record{}
	if err := ledger.Unmarshal(text, ledger.Layout+1, ledger.Layout, rec); err != nil {
		t.Fatal(err)
	}
	rec.Warnings = append([]reason.Problem{{Code: "NEW", Detail: "n"}}, rec.Warnings[1:]...)
	rec.Warnings[3].Detail = "changed"
	written, err := ledger.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for _, w := range decoded(t, written).(map[string]any)["warnings"].([]any) {
		got = append(got, w.(map[string]any)["later"])
	}
	if diff := cmp.Diff([]any{nil, 2.0, 3.0, nil}, got); diff != "" {
		t.Errorf("the fields of the elements (-want +got):\n%s", diff)
	}
}

// A newer release's fields of a reason, of a job's error or of a hold do not go to
// another that takes the place of it.
func TestFieldsDoNotGoToAnotherObject(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		doc    ledger.Document
		change func(ledger.Document)
		keeps  bool
	}{
		"a reason that stays":    {`{"key":"k","why":{"code":"FULL","detail":"d","later":1}}`, &ledger.Record{}, func(d ledger.Document) { d.(*ledger.Record).Priority = 1 }, true},
		"another reason":         {`{"key":"k","why":{"code":"FULL","detail":"d","later":1}}`, &ledger.Record{}, func(d ledger.Document) { d.(*ledger.Record).Why = &reason.Problem{Code: "FULL", Detail: "e"} }, false},
		"an error that stays":    {`{"key":"k","jobError":{"code":3,"message":"<m>","later":1}}`, &ledger.Record{}, func(ledger.Document) {}, true},
		"another error":          {`{"key":"k","jobError":{"code":3,"message":"<m>","later":1}}`, &ledger.Record{}, func(d ledger.Document) { d.(*ledger.Record).JobError.Code = 4 }, false},
		"a hold that stays":      {`{"name":"r","holds":{"h":{"run":"1","later":1}}}`, &ledger.Resource{}, func(d ledger.Document) { d.(*ledger.Resource).Holds["h"] = ledger.Hold{Run: "1", Ran: true} }, true},
		"the hold of a next run": {`{"name":"r","holds":{"h":{"run":"1","later":1}}}`, &ledger.Resource{}, func(d ledger.Document) { d.(*ledger.Resource).Holds["h"] = ledger.Hold{Run: "2"} }, false},
		"a reservation":          {`{"key":"k","reservation":{"state":"RUNNING","run":"1","later":1}}`, &ledger.Record{}, func(d ledger.Document) { d.(*ledger.Record).State = lifecycle.Cancelling }, true},
	} {
		if err := ledger.Unmarshal([]byte(c.text), ledger.Layout+1, ledger.Layout, c.doc); err != nil {
			t.Fatal(err)
		}
		c.change(c.doc)
		written, err := ledger.Marshal(c.doc)
		if err != nil {
			t.Fatal(err)
		}
		if keeps := strings.Contains(string(written), `"later":1`); keeps != c.keeps {
			t.Errorf("%s: the field is kept: %t, want %t: %s", name, keeps, c.keeps, written)
		}
	}
}

// A field that this release knows is its own, whatever a newer one had in it.
func TestKnownFieldsAreOurs(t *testing.T) {
	rec := &ledger.Record{}
	if err := ledger.Unmarshal([]byte(`{"key":"k","priority":3,"Priority":3,"later":true}`), ledger.Layout+1, ledger.Layout, rec); err != nil {
		t.Fatal(err)
	}
	rec.Priority = 0
	text, err := ledger.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	v := decoded(t, text).(map[string]any)
	if v["Priority"] != nil || v["priority"] != nil && v["priority"] != 0.0 || v["later"] != true {
		t.Errorf("written %s", text)
	}
}

// TestStoredDocuments: every stored document of every layout that this release reads,
// and of the next one that says that this release may, is read and is written as it is.
func TestStoredDocuments(t *testing.T) {
	own := filepath.Join("testdata/stored", fmt.Sprint("layout", ledger.Layout))
	if *update {
		storeOwn(t, own)
	}
	files, err := filepath.Glob("testdata/stored/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]map[ledger.Kind]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		layout := ledger.Layout + 1
		if of := filepath.Base(filepath.Dir(file)); of != "next" {
			if _, err := fmt.Sscanf(of, "layout%d", &layout); err != nil {
				t.Fatal(err)
			}
		}
		kind := ledger.Kind(strings.TrimSuffix(filepath.Base(file), ".json"))
		if found[layout] == nil {
			found[layout] = map[ledger.Kind]bool{}
		}
		found[layout][kind] = true
		doc := ledger.New(ledger.Ref{Kind: kind})
		if !ledger.Readable(layout, min(layout, ledger.Layout)) {
			t.Errorf("layout %d is not readable", layout)
		}
		if err := ledger.Unmarshal(text, layout, ledger.Layout, doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := ledger.Understood(doc); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		written, err := ledger.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(exact(t, text), exact(t, written)); diff != "" {
			t.Errorf("%s is written otherwise (-want +got):\n%s", file, diff)
		}
		if layout == 2 {
			for _, want := range fullDocuments() {
				if want.Ref().Kind == kind {
					if diff := cmp.Diff(ledger.Normal(want), doc, cmp.AllowUnexported(ledger.Resource{})); diff != "" {
						t.Errorf("%s means something else (-want +got):\n%s", file, diff)
					}
				}
			}
		}
		if layout != ledger.Layout {
			continue
		}
		for _, want := range ledgertest.Filled() {
			if want.Ref().Kind != kind {
				continue
			}
			if diff := cmp.Diff(ledger.Normal(want), doc, cmp.AllowUnexported(ledger.Resource{})); diff != "" {
				t.Errorf("the fields of %s are not those of layout %d any more: add one to ledger.Layout, see there whether Since follows, and store documents of the new layout "+
					"with go test ./internal/ledger -run %s -update; the files of layout %d stay as they are (-stored +now):\n%s", kind, layout, t.Name(), layout, diff)
			}
		}
	}
	for layout := ledger.OldestLayout; layout <= ledger.Layout+1; layout++ {
		if len(found[layout]) < 4 {
			t.Errorf("there are stored documents of %d kinds of layout %d", len(found[layout]), layout)
		}
	}
	for _, doc := range ledgertest.Filled() {
		if _, toy := doc.(*ledgertest.Toy); !toy && !found[ledger.Layout][doc.Ref().Kind] {
			t.Errorf("%s has none of %s; write it with -update", own, doc.Ref().Kind)
		}
	}
}

var update = flag.Bool("update", false, "store documents of this layout")

// storeOwn writes a document of each kind with a value in every field.
func storeOwn(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, doc := range ledgertest.Filled() {
		if _, toy := doc.(*ledgertest.Toy); toy {
			continue
		}
		text, err := ledger.Marshal(ledger.Normal(doc))
		if err != nil {
			t.Fatal(err)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, string(doc.Ref().Kind)+".json"), append(indented.Bytes(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatMayBeRead: a release reads what it and the one before have written, and of a
// later one what says that it may.
func TestWhatMayBeRead(t *testing.T) {
	if ledger.Since > ledger.Layout || ledger.OldestLayout > ledger.Layout-1 || ledger.Since < ledger.OldestLayout {
		t.Errorf("layout %d reads %d and later, and may be read since %d: in a mixed fleet a release meets those of its neighbours", ledger.Layout, ledger.OldestLayout, ledger.Since)
	}
	for _, c := range []struct {
		layout, since int
		want          bool
	}{
		{ledger.OldestLayout - 1, 0, false}, {ledger.OldestLayout, 0, true}, {ledger.OldestLayout, ledger.OldestLayout, true}, {ledger.Layout, 0, true}, {ledger.Layout, ledger.Since, true},
		{ledger.Layout + 1, 0, false}, {ledger.Layout + 1, ledger.Layout + 1, false}, {ledger.Layout + 1, ledger.Layout, true}, {ledger.Layout + 1, ledger.Since, true},
	} {
		if got := ledger.Readable(c.layout, c.since); got != c.want {
			t.Errorf("layout %d since %d is readable: %t", c.layout, c.since, got)
		}
	}
}
