package gcp

import (
	"bytes"
	"encoding/json"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
)

// encode makes the value under which a document is stored: its JSON text, in one
// string. Native maps would show better in the console, but Firestore handles
// them value by value: a resource with a thousand holds is some ten thousand
// values, and each commit took ten times as long (see README).
func encode(doc any) (*firestorepb.Value, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // six bytes for one
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	return stringValue(string(bytes.TrimSuffix(text.Bytes(), []byte("\n")))), nil
}

// decode is the inverse of encode.
func decode(v *firestorepb.Value, doc any) error {
	return json.Unmarshal([]byte(v.GetStringValue()), doc)
}

func stringValue(s string) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: s}}
}

func integerValue(n int64) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{IntegerValue: n}}
}
