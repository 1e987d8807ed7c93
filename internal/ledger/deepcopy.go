package ledger

import (
	"fmt"
	"reflect"
	"time"
)

// deepCopy returns a copy of a document that shares no memory with it, but for what is
// never changed in place ([Versioned]); with normal in the form that [Normal] describes.
// It panics for a type that a [Document] cannot have.
func deepCopy(doc Document, normal bool) Document {
	v := reflect.ValueOf(doc)
	if v.IsNil() {
		return doc
	}
	c := reflect.New(v.Type().Elem())
	deepSet(c.Elem(), v.Elem(), normal)
	return c.Interface().(Document)
}

// deepSet sets to to a copy of from.
func deepSet(to, from reflect.Value, normal bool) {
	switch t := from.Type(); from.Kind() {
	case reflect.Struct:
		to.Set(from)
		switch t {
		case reflect.TypeFor[time.Time]():
			to.Set(reflect.ValueOf(copier{normal}.time(from.Interface().(time.Time))))
			return
		case reflect.TypeFor[Versioned]():
			return
		}
		for i := range t.NumField() {
			switch f := t.Field(i); {
			case !f.IsExported():
				if sharesMemory(from.Field(i)) {
					panic(fmt.Sprintf("ledger: field %s of %s is not exported, so it cannot be copied", f.Name, t))
				}
			case normal && f.Tag.Get("json") == "-":
				to.Field(i).SetZero() // it is not stored
			default:
				deepSet(to.Field(i), from.Field(i), normal)
			}
		}
	case reflect.Array:
		for i := range from.Len() {
			deepSet(to.Index(i), from.Index(i), normal)
		}
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(t.Elem()))
			deepSet(to.Elem(), from.Elem(), normal)
		}
	case reflect.Slice:
		if from.IsNil() || normal && from.Len() == 0 {
			to.SetZero() // it has what it was set to with the struct around it
			return
		}
		to.Set(reflect.MakeSlice(t, from.Len(), from.Len()))
		for i := range from.Len() {
			deepSet(to.Index(i), from.Index(i), normal)
		}
	case reflect.Map:
		if from.IsNil() || normal && from.Len() == 0 {
			to.SetZero()
			return
		}
		to.Set(reflect.MakeMapWithSize(t, from.Len()))
		for key, value := range from.Seq2() {
			n := reflect.New(t.Elem()).Elem()
			deepSet(n, value, normal)
			to.SetMapIndex(key, n)
		}
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		panic(fmt.Sprintf("ledger: a document has a %s, which cannot be copied", t))
	default:
		to.Set(from)
	}
}

// sharesMemory reports whether a copy of a value by assignment shares memory with it.
func sharesMemory(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
		return !v.IsNil()
	case reflect.Struct:
		for i := range v.NumField() {
			if sharesMemory(v.Field(i)) {
				return true
			}
		}
	}
	return false
}
