package gcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
)

// encode turns a document into a Firestore map: its JSON form, value by value,
// so that the console shows it as it is. Integers stay exact. A null field is
// left out.
func encode(doc any) (*firestorepb.Value, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return encodeNext(d)
}

func encodeNext(d *json.Decoder) (*firestorepb.Value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case string:
		return stringValue(token), nil
	case bool:
		return &firestorepb.Value{ValueType: &firestorepb.Value_BooleanValue{BooleanValue: token}}, nil
	case json.Number:
		n, err := token.Int64()
		if err != nil {
			return nil, fmt.Errorf("%s is no integer of 64 bits", token)
		}
		return integerValue(n), nil
	case json.Delim:
		if token == '[' {
			return encodeList(d)
		}
		return encodeMap(d)
	}
	return &firestorepb.Value{ValueType: &firestorepb.Value_NullValue{}}, nil
}

func encodeList(d *json.Decoder) (*firestorepb.Value, error) {
	list := &firestorepb.ArrayValue{}
	for d.More() {
		v, err := encodeNext(d)
		if err != nil {
			return nil, err
		}
		list.Values = append(list.Values, v)
	}
	_, err := d.Token()
	return &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: list}}, err
}

func encodeMap(d *json.Decoder) (*firestorepb.Value, error) {
	fields := map[string]*firestorepb.Value{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := encodeNext(d)
		if err != nil {
			return nil, err
		}
		if _, null := v.ValueType.(*firestorepb.Value_NullValue); !null {
			fields[escapeKey(key.(string))] = v
		}
	}
	_, err := d.Token()
	return &firestorepb.Value{ValueType: &firestorepb.Value_MapValue{MapValue: &firestorepb.MapValue{Fields: fields}}}, err
}

// escapeKey marks keys that Firestore refuses (empty, or between double
// underscores) with a tilde, and those that begin with one. Users choose labels.
func escapeKey(key string) string {
	if key == "" || strings.HasPrefix(key, "~") || strings.HasPrefix(key, "__") && strings.HasSuffix(key, "__") {
		return "~" + key
	}
	return key
}

// decode is the inverse of encode.
func decode(v *firestorepb.Value, doc any) error {
	text, err := appendJSON(nil, v)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, doc)
}

func appendJSON(b []byte, v *firestorepb.Value) ([]byte, error) {
	var err error
	switch v := v.GetValueType().(type) {
	case *firestorepb.Value_StringValue:
		return appendString(b, v.StringValue)
	case *firestorepb.Value_IntegerValue:
		return strconv.AppendInt(b, v.IntegerValue, 10), nil
	case *firestorepb.Value_BooleanValue:
		return strconv.AppendBool(b, v.BooleanValue), nil
	case *firestorepb.Value_NullValue:
		return append(b, "null"...), nil
	case *firestorepb.Value_ArrayValue:
		b = append(b, '[')
		for i, e := range v.ArrayValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, e); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case *firestorepb.Value_MapValue:
		b = append(b, '{')
		for key, e := range v.MapValue.GetFields() {
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			if b, err = appendString(b, strings.TrimPrefix(key, "~")); err != nil {
				return nil, err
			}
			if b, err = appendJSON(append(b, ':'), e); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	default:
		return nil, fmt.Errorf("a value of type %T, which is not written here", v)
	}
}

func appendString(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			text, err := json.Marshal(s)
			return append(b, text...), err
		}
	}
	return append(append(append(b, '"'), s...), '"'), nil
}

func stringValue(s string) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: s}}
}

func integerValue(n int64) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{IntegerValue: n}}
}
