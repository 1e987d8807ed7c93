package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/repair"
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

// On a narrow terminal sentences break at spaces and keep their indent, and names stay whole.
// In a pipe a sentence is a line.
func TestProse(t *testing.T) {
	list := []reason.Problem{{Code: reason.InvalidValue, Path: "jobSpec.workerPoolSpecs[0].replicaCount", Detail: "Want one replica or more.", Fix: "Put the others into worker pool 1."}}
	d := diagnosis{Target: "it", Problems: 1, Findings: []repair.Finding{{Check: "tick", Level: repair.Fail, Text: "no pass has ended for an hour", Means: "Nothing starts.", Do: "Look at the log of berth-reconcile."}}}
	for width, want := range map[int]string{
		0: "  INVALID_VALUE: jobSpec.workerPoolSpecs[0].replicaCount: Want one replica or more.\n    Put the others into worker pool 1.\n" +
			"FAIL  tick: no pass has ended for an hour\n      Nothing starts.\n      -> Look at the log of berth-reconcile.\n\n1 problem, 0 warnings, and 0 checks could not be made.\n",
		32: "  INVALID_VALUE:\n  jobSpec.workerPoolSpecs[0].replicaCount:\n  Want one replica or more.\n    Put the others into worker\n    pool 1.\n" +
			"FAIL  tick:\n      no pass has ended for an\n      hour\n      Nothing starts.\n      -> Look at the log of\n      berth-reconcile.\n\n1 problem, 0 warnings, and 0\nchecks could not be made.\n",
	} {
		var b bytes.Buffer
		s := &screen{Writer: &b, width: width}
		problems(s, list)
		d.print(s)
		if b.String() != want {
			t.Errorf("width %d:\n%s\nwant\n%s", width, &b, want)
		}
	}
}
