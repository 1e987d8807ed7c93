package html

import (
	"reflect"

	"example.com/berth/internal/visible"
)

// reveal makes hidden characters visible in every string of an answer, so that no
// template can forget it. Fields that are not exported are left as they are: shapes,
// which are printed by [shapeText], and times.
func reveal(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			reveal(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() || v.Type().Field(i).Anonymous {
				reveal(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			reveal(v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() {
			return
		}
		revealed := reflect.MakeMapWithSize(v.Type(), v.Len())
		for each := v.MapRange(); each.Next(); {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			key.Set(each.Key())
			value.Set(each.Value())
			reveal(key)
			reveal(value)
			revealed.SetMapIndex(key, value)
		}
		v.Set(revealed)
	case reflect.String:
		if v.CanSet() {
			v.SetString(visible.Text(v.String()))
		}
	}
}
