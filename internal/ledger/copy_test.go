package ledger

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/berth/internal/capacity"
)

// A copy of a document of any kind is equal to it, or its normal form, and shares
// nothing with it. The copiers written by hand make the same as the copy by reflection.
func TestCopies(t *testing.T) {
	exactly := cmp.Options{
		cmpopts.IgnoreUnexported(Resource{}),
		cmp.Comparer(func(a, b time.Time) bool { return a == b }), // the zone too
	}
	for _, kind := range Kinds() {
		for seed := range uint64(40) {
			f := filler{rng: rand.New(rand.NewPCG(seed, 1))} // #nosec G404 -- a draw that can be repeated
			if seed == 0 {
				f.rng = nil
			}
			doc, before := New(Ref{Kind: kind}), New(Ref{Kind: kind})
			f.fill(reflect.ValueOf(doc).Elem())
			doc.versioned().Newer = &Newer{Layout: 9}
			reflect.ValueOf(before).Elem().Set(reflect.ValueOf(deepCopy(doc, false)).Elem())
			for _, normal := range []bool{false, true} {
				name := fmt.Sprintf("copy of draw %d of %s, normal %t", seed, kind, normal)
				made, want := copier{normal}.document(doc), deepCopy(doc, normal)
				if diff := cmp.Diff(want, made, exactly); diff != "" {
					t.Fatalf("%s (-by reflection +by hand):\n%s", name, diff)
				}
				for _, c := range []Document{made, want} {
					shared(t, name, reflect.ValueOf(doc).Elem(), reflect.ValueOf(c).Elem())
					if c.versioned().Newer != doc.versioned().Newer {
						t.Errorf("%s loses what a newer release wrote", name)
					}
				}
				if normal {
					checkNormal(t, name, reflect.ValueOf(want).Elem())
					if diff := cmp.Diff(want, deepCopy(want, true), exactly); diff != "" {
						t.Errorf("%s changes in its own normal form:\n%s", name, diff)
					}
				} else if diff := cmp.Diff(doc, want, exactly); diff != "" {
					t.Fatalf("%s is another:\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(before, doc, exactly); diff != "" {
				t.Fatalf("a copy changed draw %d of %s:\n%s", seed, kind, diff)
			}
		}
		null := reflect.Zero(reflect.TypeOf(New(Ref{Kind: kind}))).Interface().(Document)
		if c := clone(null); c != null {
			t.Errorf("the copy of no document of %s is %v", kind, c)
		}
		if c := deepCopy(null, true); c != null {
			t.Errorf("the copy of no document of %s is %v", kind, c)
		}
	}
}

// What cannot be copied by reflection is refused at the first copy, not shared.
func TestDeepCopyRefuses(t *testing.T) {
	n := 1
	for name, doc := range map[string]Document{
		"a field that is not exported": &hidden{cache: map[string]int{"a": 1}},
		"one further down":             &hidden{part: struct{ p *int }{&n}},
		"an interface":                 &open{},
		"a list":                       &hidden{list: []int{1}},
		"a channel":                    &hidden{ch: make(chan int)},
		"a function":                   &hidden{do: func() {}},
		"any value":                    &hidden{value: 1},
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); text == "" {
					t.Errorf("%s is copied", name)
				}
			}()
			deepCopy(doc, false)
		}()
	}
	if c := deepCopy(&hidden{Parts: [2][]int{{1}, {2}}, plain: 3}, true).(*hidden); c.plain != 3 || c.Parts[1][0] != 2 || c.cache != nil {
		t.Errorf("copied as %+v", c)
	}
}

// hidden is a document of a type that is not as documents are to be.
type hidden struct {
	Versioned
	Parts [2][]int
	plain int
	cache map[string]int
	part  struct{ p *int }
	list  []int
	ch    chan int
	do    func()
	value any
}

func (*hidden) Ref() Ref { return Ref{} }

// open is another.
type open struct {
	Versioned
	Any any
}

func (*open) Ref() Ref { return Ref{} }

var timeType = reflect.TypeFor[time.Time]()

// A filler sets everything to something: lists and maps have two entries, or by chance
// fewer or none, and are by chance nil. Unless normal, times have nanoseconds and a
// zone, and fields kept out of JSON are set.
type filler struct {
	rng    *rand.Rand // nil to leave nothing empty
	normal bool
}

// size is how many entries a list has, -1 for nil.
func (f filler) size() int {
	if f.rng == nil {
		return 2
	}
	return f.rng.IntN(4) - 1
}

func (f filler) number() int {
	if f.rng == nil {
		return 7
	}
	return f.rng.IntN(1000)
}

func (f filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		switch v.Type() {
		case reflect.TypeFor[Versioned]():
			return // its text never changes, so copies share it
		case reflect.TypeFor[capacity.Shape](): // only its own package can fill it
			v.Set(reflect.ValueOf(capacity.Spec{MachineType: fmt.Sprint("machine-", f.number())}.Normal()))
			return
		case timeType:
			at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("east", 3600)).Add(time.Duration(f.number()))
			switch {
			case f.normal:
				at = at.UTC().Truncate(time.Microsecond)
			case f.rng != nil && f.rng.IntN(3) == 0:
				at = time.Time{}.In(time.FixedZone("west", -3600))
			}
			v.Set(reflect.ValueOf(at))
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // remembered, not stored
			}
			if !f.normal || v.Type().Field(i).Tag.Get("json") != "-" {
				f.fill(v.Field(i))
			}
		}
	case reflect.Slice:
		n := f.size()
		if n < 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n+1))
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		n := f.size()
		if n < 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for i := range n {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			if i > 0 {
				f.fill(key)
			}
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		if f.size() < 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.String:
		v.SetString(fmt.Sprint("text", f.number()))
	case reflect.Bool:
		v.SetBool(f.number()%2 == 1)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.number()))
	case reflect.Float64:
		v.SetFloat(float64(f.number()) / 3)
	default:
		panic("fill: a kind not thought of: " + v.Type().String())
	}
}

// shared finds what a document and its copy share.
func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if !a.Type().Field(i).IsExported() {
				continue // remembered, not stored
			}
			if a.Type() != timeType && a.Type() != reflect.TypeFor[Versioned]() {
				shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
			}
		}
	case reflect.Slice, reflect.Pointer, reflect.Map:
		if a.IsNil() && b.IsNil() {
			return
		}
		if a.UnsafePointer() == b.UnsafePointer() && (a.Kind() != reflect.Slice || a.Len() > 0) { // empty lists have nothing to share
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

// checkNormal finds what is not in the form of [Normal].
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
			if f.Tag.Get("json") == "-" && f.Name != "Newer" && !v.Field(i).IsZero() {
				t.Errorf("%s.%s is not stored, but kept", path, f.Name)
			} else if f.Tag.Get("json") != "-" {
				checkNormal(t, path+"."+f.Name, v.Field(i))
			}
		}
	case reflect.Slice:
		if !v.IsNil() && v.Len() == 0 {
			t.Errorf("%s is empty and not nil", path)
		}
		for i := range v.Len() {
			checkNormal(t, path+"[]", v.Index(i))
		}
	case reflect.Map:
		if !v.IsNil() && v.Len() == 0 {
			t.Errorf("%s is empty and not nil", path)
		}
		for _, k := range v.MapKeys() {
			checkNormal(t, path+"[]", v.MapIndex(k))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			checkNormal(t, path, v.Elem())
		}
	}
}
