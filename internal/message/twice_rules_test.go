package message

import (
	"fmt"
	"strings"
	"testing"

	"example.com/berth/internal/strict"
)

// TestOptionsGivenTwice: each option may stand in the message, in its attributes, or in
// both with one value. Two values are refused.
func TestOptionsGivenTwice(t *testing.T) {
	const job = `{"workerPoolSpecs":[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}]}`
	for field, values := range map[string][2]string{
		"requestId":          {`"one"`, `"two"`},
		"persistentResource": {`"one"`, `"two"`},
		"displayName":        {`"one"`, `"two"`},
		"priority":           {`1`, `2`},
		"onFull":             {`"queue"`, `"reject"`},
		"maxWait":            {`"60s"`, `"90s"`},
		"dryRun":             {`true`, `false`},
		"concurrencyKey":     {`"one"`, `"two"`},
		"concurrencyPolicy":  {`"forbid"`, `"replace"`},
	} {
		attribute := "berth-" + strings.ReplaceAll(strict.Snake(field), "_", "-")
		bare := func(v string) string { return strings.Trim(v, `"`) }
		// A key and its policy stand together.
		beside, with := "", map[string]string{}
		switch field {
		case "concurrencyKey":
			beside = `,"concurrencyPolicy":"forbid"`
		case "concurrencyPolicy":
			beside = `,"concurrencyKey":"nightly"`
		}
		message := func(own string) []byte { return fmt.Appendf(nil, `{%s"job":%s%s}`, own, job, beside) }
		in := fmt.Sprintf("%q:%s,", field, values[0])
		if got := found(t, Delivery{ID: "m", Data: message(in)}); got != "" {
			t.Errorf("%s in the message: %s", field, got)
		}
		with[attribute] = bare(values[0])
		if got := found(t, Delivery{ID: "m", Data: message(""), Attributes: with}); got != "" {
			t.Errorf("%s as an attribute: %s", field, got)
		}
		if got := found(t, Delivery{ID: "m", Data: message(in), Attributes: with}); got != "" {
			t.Errorf("%s in both with one value: %s", field, got)
		}
		with[attribute] = bare(values[1])
		if got := found(t, Delivery{ID: "m", Data: message(in), Attributes: with}); !strings.HasPrefix(got, "CONFLICT") || strings.Contains(got, ",") {
			t.Errorf("%s in both with two values: %q", field, got)
		}
	}
}

// TestTooMuchIsNotReadOn: of a message beyond a bound only that is said.
func TestTooMuchIsNotReadOn(t *testing.T) {
	many := map[string]string{}
	for i := range MaxAttributes + 1 {
		many[fmt.Sprintf("berth-unknown-%d", i)] = "x"
	}
	if got := found(t, Delivery{ID: "m", Data: []byte("no job"), Attributes: many}); got != "TOO_LARGE attributes" {
		t.Errorf("attributes: %s", got)
	}
	if got := found(t, Delivery{ID: "m", Data: []byte(strings.Repeat("x", MaxData+1)), Attributes: map[string]string{"berth-unknown": "x"}}); got != "TOO_LARGE " {
		t.Errorf("data: %s", got)
	}
}

// TestTitleCaseInLabels: a letter of three cases is as large in its title case as in its
// upper case.
func TestTitleCaseInLabels(t *testing.T) {
	for text, want := range map[string]bool{"ǆ": true, "ǅ": false, "Ǆ": false, "ა": true, "中": true, "é": true, "É": false, "a-b_1": true, "a.b": false, "a b": false, strings.Repeat("é", maxLabelText): true, strings.Repeat("é", maxLabelText+1): false} {
		if labelText(text) != want {
			t.Errorf("%q is allowed: %v", text, !want)
		}
	}
}

// TestWordsOfOperators: what users call the fields and actions of an operator's message is
// answered with the name.
func TestWordsOfOperators(t *testing.T) {
	for word, field := range map[string]string{
		"by": "who", "user": "who", "operator": "who", "why": "reason", "comment": "reason", "note": "reason",
		"verb": "action", "command": "action", "type": "action", "resource": "persistentResource",
	} {
		_, err := DecodeOperator(Delivery{ID: "1", Data: fmt.Appendf(nil, `{"operator":{"action":"pause","persistentResource":"p","who":"a","reason":"b",%q:"x"}}`, word)})
		if err == nil || !strings.Contains(err.Error(), field+"?") {
			t.Errorf("%s is answered with %v, want %s", word, err, field)
		}
	}
	for word, action := range map[string]string{"stop": "pause", "hold": "pause", "suspend": "pause", "start": "resume", "release": "resume", "unpause": "resume", "continue": "resume"} {
		_, err := DecodeOperator(Delivery{ID: "1", Data: fmt.Appendf(nil, `{"operator":{"action":%q,"persistentResource":"p","who":"a","reason":"b"}}`, word)})
		if err == nil || !strings.Contains(err.Error(), action) {
			t.Errorf("%s is answered with %v, want %s", word, err, action)
		}
	}
}

// TestEventsThatAnswerOperators: those of the kind operator, and no others.
func TestEventsThatAnswerOperators(t *testing.T) {
	for _, typ := range Types() {
		if want := strings.HasPrefix(string(typ), "berth.operator."); typ.Operated() != want {
			t.Errorf("%s answers an operator: %v", typ, !want)
		}
	}
}

// TestPathBeyondAList: a path to an entry that a list does not have is written as it would
// be, and finds nothing.
func TestPathBeyondAList(t *testing.T) {
	list := &strict.Node{Kind: strict.List, Items: []*strict.Node{{Kind: strict.Text}}}
	for index, want := range map[string]bool{"0": true, "1": false, "7": false} {
		at, n := entry(list, "pools", index, nil)
		if at != "pools["+index+"]" || (n != nil) != want {
			t.Errorf("entry %s is %v at %s", index, n, at)
		}
	}
}
