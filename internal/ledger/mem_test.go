package ledger

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

const pool = "projects/p/locations/l/persistentResources/pool"

func names() ReadSet {
	return ReadSet{Resources: []string{pool}, Records: []message.Key{"k"}}
}

// bump adds one to the resource's version and puts a record that says so.
func bump(runs *int) func(Tx) error {
	return func(tx Tx) error {
		*runs++
		r := tx.Resource(pool)
		if r == nil {
			r = &Resource{Name: pool}
		}
		r.Version++
		tx.PutResource(r)
		tx.PutRecord(&Record{Key: "k", Sequence: r.Version})
		return nil
	}
}

func version(t *testing.T, m *Mem) int64 {
	t.Helper()
	d := m.Dump()
	if len(d.Resources) == 0 {
		return 0
	}
	if len(d.Records) != 1 || d.Records[0].Sequence != d.Resources[0].Version {
		t.Fatalf("documents of one commit disagree: %+v", d)
	}
	return d.Resources[0].Version
}

func TestMemRunsEveryClosureTwice(t *testing.T) {
	m := NewMem(nil)
	runs := 0
	if err := m.Update(t.Context(), names(), bump(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 2 || version(t, m) != 1 {
		t.Errorf("%d runs, version %d; want 2 runs on copies of their own, of which one counts", runs, version(t, m))
	}
}

// Every fault, once, at the first commit or read: what Update returns, and
// whether the write is there.
func TestMemFaults(t *testing.T) {
	for _, test := range []struct {
		fault   Fault
		err     bool
		version int64
		runs    int
	}{
		{None, false, 1, 2},
		{FailRead, true, 0, 0},
		{FailCommit, true, 0, 2},
		{LoseAnswer, false, 1, 2},
		{LoseAnswerAndCheck, true, 1, 2},
		{Stale, false, 1, 4},
	} {
		m := NewMem(nil)
		m.Fault = once(test.fault)
		runs := 0
		err := m.Update(t.Context(), names(), bump(&runs))
		if (err != nil) != test.err || version(t, m) != test.version || runs != test.runs {
			t.Errorf("fault %d: error %v, version %d, %d runs; want error %v, version %d, %d runs",
				test.fault, err, version(t, m), runs, test.err, test.version, test.runs)
		}
		if err != nil && (!errors.Is(err, ErrInjected) || errors.Is(err, ErrBusy)) {
			t.Errorf("fault %d: %v does not say that it was injected", test.fault, err)
		}
	}
}

// once is a hook by which the first operation that can have the fault has it.
func once(f Fault) func(string) Fault {
	return func(op string) Fault {
		if (f == FailRead) == (op == OpCommit) {
			return None
		}
		defer func() { f = None }()
		return f
	}
}

func TestMemBusy(t *testing.T) {
	m := NewMem(nil)
	m.Fault = func(string) Fault { return Stale }
	runs := 0
	if err := m.Update(t.Context(), names(), bump(&runs)); err != ErrBusy {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if s := m.Stats(); version(t, m) != 0 || s.Stale != memTries || s.Commits != memTries || s.DocsWritten != 0 {
		t.Errorf("version %d, %+v after %d stale commits", version(t, m), s, memTries)
	}
}

func TestMemBetween(t *testing.T) {
	m := NewMem(nil)
	other := 0
	m.Between = func() {
		if other == 0 {
			if err := m.Update(t.Context(), names(), bump(&other)); err != nil {
				t.Error(err)
			}
		}
	}
	runs := 0
	if err := m.Update(t.Context(), names(), bump(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 4 || version(t, m) != 2 {
		t.Errorf("%d runs, version %d; want the closure to run anew (4) on the other's write (2)", runs, version(t, m))
	}
}

// A commit whose answer was lost, and all of whose documents others have overwritten
// before the check, looks like one that did not land: the closure runs again and sees
// its own effect.
func TestMemLostAndOverwritten(t *testing.T) {
	m := NewMem(nil)
	m.Fault = once(LoseAnswer)
	other, runs := 0, 0
	m.AfterLost = func() {
		if err := m.Update(t.Context(), names(), bump(&other)); err != nil {
			t.Error(err)
		}
	}
	if err := m.Update(t.Context(), names(), bump(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 4 || version(t, m) != 3 {
		t.Errorf("%d runs, version %d; want 4 and 3", runs, version(t, m))
	}
}

// When one commit may have landed, "nothing was written" must not be claimed.
func TestMemLostAndThenBusy(t *testing.T) {
	m := NewMem(nil)
	fault := LoseAnswer
	m.Fault = func(op string) Fault {
		if op != OpCommit {
			return None
		}
		defer func() { fault = Stale }()
		return fault
	}
	other, runs := 0, 0
	m.AfterLost = func() {
		fault = None
		if err := m.Update(t.Context(), names(), bump(&other)); err != nil {
			t.Error(err)
		}
	}
	if err := m.Update(t.Context(), names(), bump(&runs)); err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want one other than ErrBusy", err)
	}
}

func TestMemNow(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.FixedZone("east", 3600))
	m := NewMem(func() time.Time { return at })
	var got time.Time
	if err := Read(t.Context(), m, names(), func(tx Tx) { got = tx.Now() }); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 5, 4, 2, 2, 1, 123456000, time.UTC); got != want {
		t.Errorf("Now() = %v, want %v", got, want)
	}
}

func TestMemQueryFaultAndCancel(t *testing.T) {
	m := NewMem(nil)
	m.Fault = func(string) Fault { return FailRead }
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx  context.Context
		want error
	}{{t.Context(), ErrInjected}, {cancelled, context.Canceled}} {
		ctx := test.ctx
		_, queue := m.Queue(ctx, pool, "s", "", 1)
		_, due := m.Due(ctx, lifecycle.States, time.Now(), Timed{}, 1)
		_, unpublished := m.Unpublished(ctx, Timed{}, 1)
		_, state := m.InState(ctx, pool, lifecycle.Waiting, "", 1)
		_, resources := m.Resources(ctx, "", 1)
		for i, err := range []error{queue, due, unpublished, state, resources} {
			if !errors.Is(err, test.want) {
				t.Errorf("query %d: %v, want %v", i, err, test.want)
			}
		}
	}
}

// A clone is equal and shares nothing; filled by reflection, so that a field
// added later is held to it too.
func TestClone(t *testing.T) {
	testClone(t, (*Resource).Clone, Normal[*Resource])
	testClone(t, (*Record).Clone, Normal[*Record])
	testClone(t, (*Lease).Clone, Normal[*Lease])
	testClone(t, (*Budget).Clone, Normal[*Budget])
}

func testClone[T any](t *testing.T, clone, normal func(*T) *T) {
	t.Helper()
	if clone(nil) != nil || normal(nil) != nil {
		t.Errorf("%T: copy of nil is not nil", *new(T))
	}
	for name, f := range map[string]func(*T) *T{"Clone": clone, "Normal": normal} {
		original := new(T)
		fill(reflect.ValueOf(original).Elem(), name == "Normal")
		c := f(original)
		if diff := cmp.Diff(original, c, cmpopts.IgnoreUnexported(Resource{})); diff != "" {
			t.Errorf("%s of %T drops or changes something:\n%s", name, *original, diff)
		}
		shared(t, name+" of "+reflect.TypeFor[T]().Name(), reflect.ValueOf(original).Elem(), reflect.ValueOf(c).Elem())
	}
	odd := new(T)
	fill(reflect.ValueOf(odd).Elem(), false)
	checkNormal(t, reflect.TypeFor[T]().Name(), reflect.ValueOf(normal(odd)).Elem())
	empty := new(T)
	fillEmpty(reflect.ValueOf(empty).Elem())
	if diff := cmp.Diff(new(T), normal(empty), cmpopts.IgnoreUnexported(Resource{})); diff != "" {
		t.Errorf("Normal of %T keeps something empty:\n%s", *empty, diff)
	}
}

var timeType = reflect.TypeFor[time.Time]()

// fill sets everything to something: every list and map has two entries. Unless
// normal, times have nanoseconds and a zone, and fields kept out of JSON are set.
func fill(v reflect.Value, normal bool) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Versioned]() {
			return // its text never changes, so copies share it
		}
		if v.Type() == timeType {
			at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("east", 3600))
			if normal {
				at = at.UTC().Truncate(time.Microsecond)
			}
			v.Set(reflect.ValueOf(at))
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // remembered, not stored
			}
			if !normal || v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), normal)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 3))
		fill(v.Index(0), normal)
		fill(v.Index(1), normal)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		v.SetMapIndex(key, value)
		fill(key, normal)
		fill(value, normal)
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), normal)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	default:
		panic("fill: a kind not thought of: " + v.Type().String())
	}
}

func fillEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() != timeType {
			for i := range v.NumField() {
				if !v.Type().Field(i).IsExported() {
					continue // remembered, not stored
				}
				fillEmpty(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if !a.Type().Field(i).IsExported() {
				continue // remembered, not stored
			}
			if a.Type() != timeType {
				shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
			}
		}
	case reflect.Slice, reflect.Pointer, reflect.Map:
		if a.IsNil() && b.IsNil() {
			return
		}
		if a.UnsafePointer() == b.UnsafePointer() {
			t.Errorf("%s is shared", path)
			return
		}
		switch a.Kind() {
		case reflect.Pointer:
			shared(t, path, a.Elem(), b.Elem())
		case reflect.Slice:
			for i := range a.Len() {
				shared(t, path+"[]", a.Index(i), b.Index(i))
			}
		case reflect.Map:
			for _, k := range a.MapKeys() {
				shared(t, path+"[]", a.MapIndex(k), b.MapIndex(k))
			}
		}
	}
}

func checkNormal(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			if at.Location() != time.UTC || at.Nanosecond()%1000 != 0 {
				t.Errorf("%s = %v is not in UTC microseconds", path, at)
			}
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // remembered, not stored
			}
			f := v.Type().Field(i)
			if f.Tag.Get("json") == "-" && !v.Field(i).IsZero() {
				t.Errorf("%s.%s is not stored, but kept", path, f.Name)
			} else if f.Tag.Get("json") != "-" {
				checkNormal(t, path+"."+f.Name, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkNormal(t, path+"[]", v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			checkNormal(t, path+"[]", v.MapIndex(k))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			checkNormal(t, path, v.Elem())
		}
	}
}
