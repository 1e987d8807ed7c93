package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestOutputShowsHiddenCharacters: hidden characters of names show as escapes,
// in text and in JSON.
func TestOutputShowsHiddenCharacters(t *testing.T) {
	const name = "train\u202eex\u200b\x1b[2J\U000e0041\u2028"
	const shown = `train\u202eex\u200b\x1b[2J\U000e0041\u2028`
	var b bytes.Buffer
	say(&b, "%s", name)
	tab := newTable(&b)
	tab.row(name)
	tab.end()
	if want := shown + "\n" + shown + "\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	for _, write := range []func(*bytes.Buffer) error{
		func(b *bytes.Buffer) error { return pretty(b, name) },
		func(b *bytes.Buffer) error { return printJSON(b, name) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != name {
			t.Errorf("%s reads as %q, %v", &b, back, err)
		}
		if bytes.ContainsAny(b.Bytes(), "\u202e\u200b\U000e0041\u2028") {
			t.Errorf("%q has hidden characters", b.String())
		}
	}
}
