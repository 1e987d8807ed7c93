package ledgertest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
)

// The functions for one kind of document read what those of the same kind put, and
// nil where there is nothing.
func testTyped(t *testing.T, l ledger.Ledger) {
	toy := &Toy{Name: "n", Parts: map[string]Part{"a": {Size: 5}}}
	names := ledger.Resources(pool).And(ledger.Records("k"), ledger.Leases("n"), ledger.Budgets("n"), named(toy))
	for _, want := range []bool{false, true} {
		update(t, l, names, func(tx ledger.Tx) error {
			r, k, lease, b, y := tx.Resource(pool), tx.Record("k"), tx.Lease("n"), tx.Budget("n"), ledger.Get[*Toy](tx, toy.Ref())
			if (r != nil) != want || (k != nil) != want || (lease != nil) != want || (b != nil) != want || (y != nil) != want {
				t.Errorf("read %v, %v, %v, %v and %v; written: %v", r, k, lease, b, y, want)
			}
			if want {
				same(t, []ledger.Document{&ledger.Resource{Name: pool, Version: 1}, &ledger.Record{Key: "k", Sequence: 2}, &ledger.Lease{Name: "n", Holder: "3"},
					&ledger.Budget{Name: "n", Budget: pace.Budget{FirstWaiting: "4"}}, toy}, []ledger.Document{r, k, lease, b, y})
				return nil
			}
			tx.Put(&ledger.Resource{Name: pool, Version: 1})
			tx.Put(&ledger.Record{Key: "k", Sequence: 2})
			tx.Put(&ledger.Lease{Name: "n", Holder: "3"})
			tx.Put(&ledger.Budget{Name: "n", Budget: pace.Budget{FirstWaiting: "4"}})
			tx.Put(toy)
			return nil
		})
	}
}

// Filled returns a document of each kind with a value in every field.
func Filled() []ledger.Document {
	var f filler
	docs := bare("")
	for _, d := range docs {
		f.fill(reflect.ValueOf(d).Elem())
	}
	return docs
}

// A filler sets everything to something else each time, times and empty
// collections apart in normal form: integers beyond what a float keeps, two
// entries in every collection.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(at(f.n).Add(time.Duration(f.n) * time.Microsecond)))
			return
		}
		if v.Type() == reflect.TypeFor[capacity.Shape]() { // only its own package can fill it
			v.Set(reflect.ValueOf(capacity.Spec{MachineType: fmt.Sprint("machine-", f.n), Accelerator: "GPU", AcceleratorCount: int32(f.n)}.Normal()))
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // remembered, not stored
			}
			if v.Type().Field(i).Tag.Get("json") != "-" {
				f.fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.String:
		switch v.Type() { // words that another release may add to
		case reflect.TypeFor[lifecycle.State]():
			v.SetString(string(lifecycle.Running))
			return
		case reflect.TypeFor[message.Kind]():
			v.SetString(string(message.KindMessage))
			return
		}
		v.SetString(fmt.Sprintf("text%d", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<60 + int64(f.n))
	case reflect.Int32:
		v.SetInt(1<<30 + int64(f.n))
	case reflect.Float64:
		v.SetFloat(float64(f.n) / 3)
	default:
		panic("fill: a kind not thought of: " + v.Type().String())
	}
}

// Any text that users send, as a value and as a key.
func testOddText(t *testing.T, l ledger.Ledger) {
	r := &ledger.Record{Key: "k", Labels: map[string]string{}}
	for _, text := range []string{"", "__name__", "__", "~", "~~__x__", "a.b", "a`b", "*", "/", "<&>\u2028", "ключ", "\n\x00", "1", "null"} {
		r.Labels[text] = text
		r.PastRuns = append(r.PastRuns, text)
	}
	write(t, l, r)
	same(t, r, record(t, l, "k"))

	lease := &ledger.Lease{Name: "pass/of.some-kind:1"}
	write(t, l, lease)
	same(t, []ledger.Document{lease}, read(t, l, lease))
}

func testNormal(t *testing.T, l ledger.Ledger) {
	zero, observed := 0, at(1).Add(999).In(time.FixedZone("east", 3600))
	r := &ledger.Record{
		Key: "k", Labels: map[string]string{}, Fit: []capacity.Finding{}, TimerAt: observed, ExpireAt: time.Unix(0, 0),
		Outbox: []ledger.OutboxEvent{{ID: "k-1", Type: message.Queued, Time: observed, Outcome: message.Outcome{
			EventID: "k-1", Type: message.Queued, Time: observed, Ahead: &zero, ObservedAt: &observed,
		}}},
	}
	write(t, l, r)
	got := record(t, l, "k")
	same(t, ledger.Normal(r), got)
	if got.TimerAt != at(1) {
		t.Errorf("TimerAt = %v, want %v: UTC, cut to microseconds", got.TimerAt, at(1))
	}
	if got.Outbox[0].Outcome.Ahead == nil {
		t.Error("a pointer to zero came back nil")
	}
	if e := got.Event(got.Outbox[0]); e.EventID != "k-1" || e.Type != message.Queued || e.Time != at(1) {
		t.Errorf("event of the outbox event = %+v", e)
	}

	res := &ledger.Resource{Name: pool, Pools: []capacity.Pool{}, Holds: map[message.Key]ledger.Hold{}, Overdrawn: capacity.Use{}}
	write(t, l, res)
	same(t, []ledger.Document{&ledger.Resource{Name: pool}}, read(t, l, res))
}

// What a closure was given, has put, or got from a query is its own.
func testIsolation(t *testing.T, l ledger.Ledger) {
	r := &ledger.Record{Key: "k", Resource: pool, Order: "o", Labels: map[string]string{"a": "1"}}
	r.State = lifecycle.Running
	want := r.Clone()
	update(t, l, named(r), func(tx ledger.Tx) error {
		r.Labels["a"] = "1"
		tx.Put(r)
		r.Labels["a"] = "changed after it was put"
		return nil
	})
	r.Labels["a"] = "changed after the update"
	same(t, want, record(t, l, "k"))

	update(t, l, named(r), func(tx ledger.Tx) error {
		tx.Record("k").Labels["a"] = "changed and not put"
		return nil
	})
	found, err := l.InState(t.Context(), pool, lifecycle.Running, "", 1)
	if err != nil || len(found) != 1 {
		t.Fatalf("InState = %v, %v", found, err)
	}
	found[0].Labels["a"] = "changed in a query's result"
	same(t, want, record(t, l, "k"))
}

// The largest documents that there can be: a job of 256 KiB, and a resource
// with as many holds as are allowed, each of a job with two worker pools.
func testBig(t *testing.T, l ledger.Ledger) {
	docs := []ledger.Document{BigRecord(), BigResource(2)}
	write(t, l, docs...)
	same(t, docs, read(t, l, docs...))
}

// BigRecord returns a record with a job of the largest size, for measurements.
func BigRecord() *ledger.Record {
	return &ledger.Record{Key: "big", Kind: message.KindRequest, Spec: strings.Repeat(`{"é":"\n"}`, message.MaxData/11)}
}

// BigResource returns a resource with as many holds as there can be, each of a
// job with the given number of worker pools.
func BigResource(workerPools int) *ledger.Resource {
	shape := capacity.Spec{MachineType: "n1-highmem-16", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 4}.Normal()
	r := &ledger.Resource{Name: pool, State: "RUNNING", Holds: map[message.Key]ledger.Hold{}}
	r.Pools = []capacity.Pool{{ID: "pool-0", Shape: shape, Count: 4000, Used: 4000}}
	for i := range ledger.MaxHolds {
		id := fmt.Sprint("request-", i)
		h := ledger.Hold{Tenant: "some-team", Run: string(message.KeyOf("", "", id)), LatestEnd: at(i).Add(time.Microsecond)}
		for w := range workerPools {
			h.Ask = append(h.Ask, capacity.Need{WorkerPool: w, Shape: shape, Replicas: 1})
		}
		r.Holds[message.KeyOf("some-team", message.KindRequest, id)] = h
	}
	return r
}
