package strict

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/reason"
)

func TestShallow(t *testing.T) {
	for text, want := range map[string]bool{
		`[[1]]`: true, `[[[1]]]`: false, `{"a":[1]}`: true, `{"a":{"b":[]}}`: false, `[[1],[2],[3]]`: true, `[{},{},{}]`: true,
		`["[[[{{{"]`: true, `["\"[[["]`: true, `["\\",[[1]]]`: false, `["\\"]`: true, `["a","[",["b"]]`: true, `[]]][[[`: true, `\[[[`: false, ``: true,
	} {
		if got := shallow([]byte(text), 2); got != want {
			t.Errorf("%s is nested no deeper than 2: %v, want %v", text, got, want)
		}
	}
}

func TestLineBreakInText(t *testing.T) {
	for text, want := range map[string]bool{
		"{\"a\":\n\"b\"}": false, "{\"a\":\"b\n\"}": true, "{\"a\":\"b\r\"}": true, "{\"a\":\"b\\\nc\"}": false, "{\"a\":\"b\\\"\nc\"}": true,
		"{\"a\\\\\":\n1}": false, "\\\"\n\"": true, "": false,
	} {
		if got := lineBreakInText([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestLoneSurrogate(t *testing.T) {
	for text, want := range map[string]int{
		`"\ud83d\ude00"`: -1, `"\ud83d"`: 1, `"\ude00"`: 1, `"a\ude00"`: 2, `"\ud83dx\ude00"`: 1, `"\ud83d\ud83d\ude00"`: 1, `"\ud83d\u0061"`: 1,
		`"\\ud83d"`: -1, `"\n\ud83d"`: 3, `"\u0061\u0062"`: -1, `"\ud83d\ude00\ude00"`: 13, `"\ud83d\ude00\ud83d"`: 13, `"\uD83D\uDE00"`: -1, `"\uD83D"`: 1, `""`: -1, `"\ud83d\n"`: 1,
	} {
		if got := loneSurrogate([]byte(text)); got != want {
			t.Errorf("%s: at %d, want %d", text, got, want)
		}
	}
}

// TestSyntaxHints: what is no JSON is said with its place, and with what it may be.
func TestSyntaxHints(t *testing.T) {
	const python, number = "(a Python value is written with json.dumps)", "(NaN and Infinity are no JSON numbers)"
	for text, want := range map[string]struct{ at, hint string }{
		`{"a": True}`: {"line 1, column 7", python}, `{"a": False}`: {"line 1, column 7", python}, `{"a": None}`: {"line 1, column 7", python},
		`{'a': 1}`: {"line 1, column 2", python}, `{"a": NaN}`: {"line 1, column 7", number}, `{"a": Infinity}`: {"line 1, column 7", number},
		"{\n \"a\": 1,\n}": {"line 3, column 1", ""}, `{"a" 1}`: {"line 1, column 6", ""}, `[`: {"line 1, column 1", ""},
	} {
		r := &Report{}
		documents.JSON([]byte(text), r)
		p := r.Problems()
		if len(p) != 1 || p[0].Code != reason.Malformed || !strings.Contains(p[0].Detail, " at "+want.at) {
			t.Errorf("%s: %+v, want it at %s", text, p, want.at)
			continue
		}
		for _, hint := range []string{python, number} {
			if strings.Contains(p[0].Detail, hint) != (hint == want.hint) {
				t.Errorf("%s: %s, want the hint %q", text, p[0].Detail, want.hint)
			}
		}
	}
}

// TestLimitsAtTheEdge: what is at a limit is read, and one more is not.
func TestLimitsAtTheEdge(t *testing.T) {
	d := documents
	d.MaxDepth, d.MaxValues, d.MaxCopied = 3, 6, 10
	for text, want := range map[string]reason.Code{
		`[1,2,3,4,5]`: "", `[1,2,3,4,5,6]`: reason.TooLarge, `{"a":1,"b":[1,2,3]}`: "", `{"a":1,"b":[1,2,3,4]}`: reason.TooLarge,
		`[[[1]]]`: "", `[[[[]]]]`: reason.TooLarge,
		"- - - a": "", "- - - - a": reason.TooLarge, "- 1\n- 2\n- 3\n- 4\n- 5": "", "- 1\n- 2\n- 3\n- 4\n- 5\n- 6": reason.TooLarge,
		"a: 1\nb: 2": "", "a: 1\nb: 2\nc: 3": reason.TooLarge, // keys are values too
		"- &a xxxxx\n- *a\n- *a": "", "- &a xxxxx\n- *a\n- *a\n- *a": reason.TooLarge, "- &a xxxxxx\n- *a\n- *a": reason.TooLarge,
	} {
		r := &Report{}
		root := d.Data([]byte(text), r)
		var got reason.Code
		if !r.OK() {
			got = r.Problems()[0].Code
		}
		if got != want || (root == nil) != (want != "") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestWorkIsCounted: every byte that is scanned and every value, keys of YAML included.
func TestWorkIsCounted(t *testing.T) {
	for text, want := range map[string][2]int{ // work, loaded
		`{"a":[1,2]}`:    {11 + 4, 0},
		"a: [1, 2]":      {9 + 5, 9},
		"{a: [1, 2]}":    {11 + 11 + 5, 11}, // as JSON first
		"- &a x\n- *a":   {11 + 4, 11},      // an alias is a value, and so is what it stands for
		"\ufeff" + `[1]`: {3 + 2, 0},
	} {
		r := &Report{}
		documents.Data([]byte(text), r)
		if !r.OK() || r.Work != want[0] || r.Loaded != want[1] {
			t.Errorf("%q: work %d and %d bytes loaded, problems %v; want %v", text, r.Work, r.Loaded, r.Problems(), want)
		}
	}
}

// TestPlainScalars: what a plain scalar of YAML is, where versions of YAML agree.
func TestPlainScalars(t *testing.T) {
	for kind, texts := range map[Kind]string{
		Null:    "~ null Null NULL",
		Boolean: "true True TRUE false False FALSE",
		Number:  "0 1 -1 10 1.5 -0.5 1e3 1E+3 1.5e-3",
		Unclear: "yes Yes YES no No NO on On ON off Off OFF 01 0777 0x1F 0o17 0b10 1_000 +1 1. .5 .5e3 1:30 1:30:00 .inf .Inf .INF -.inf +.inf .nan .NaN .NAN 1__0",
		Text:    "y Y n N yEs nULL tRUE a 1a -a 1e 1:60 0x 0xG 0b2 .in .nAN inf nan 1.2.3 1-2 - . e3",
	} {
		for _, text := range strings.Fields(texts) {
			if got, value := resolve(text); got != kind || value != text && value != strings.ToLower(text) {
				t.Errorf("%s is %s %q, want %s", text, got, value, kind)
			}
		}
	}
	if kind, _ := resolve(""); kind != Null {
		t.Errorf("nothing is %s", kind)
	}
	if _, value := resolve("TRUE"); value != "true" {
		t.Errorf("TRUE has the value %q", value)
	}
}

// TestMerge: what a merge key brings, by the tree it makes; "!" before a text begins
// the first problem.
func TestMerge(t *testing.T) {
	const base = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\n"
	for yaml, want := range map[string]string{
		"z: {<<: *x}":                                 `{"a":1,"b":2}`,
		"z: {<<: *x, a: 9}":                           `{"a":9,"b":2}`,
		"z: {a: 9, <<: *x}":                           `{"a":9,"b":2}`,
		"z: {<<: [*x, *y]}":                           `{"a":1,"b":2,"c":4}`,
		"z: {<<: [*y, *x]}":                           `{"a":1,"b":3,"c":4}`,
		"z: {<<: {d: 5}}":                             `{"d":5}`,
		"z: {<<: {<<: *x, d: 5}}":                     `{"a":1,"b":2,"d":5}`,
		"z: {\"<<\": 1}":                              `{"\u003c\u003c":1}`,
		"z: {<<: *x, <<: *y}":                         "!DUPLICATE_FIELD",
		"z: {<<: 1}":                                  "!MALFORMED",
		"z: {<<: [*x, 1]}":                            "!MALFORMED",
		"z: {<<: !t {a: 1}}":                          "!INVALID_VALUE",
		"z: {<<: !!map {a: 1}}":                       `{"a":1}`,
		"z: {<<: !!seq [*x]}":                         `{"a":1,"b":2}`,
		"z: {<<: !!seq {a: 1}}":                       `{"a":1}`,
		"z: &z {<<: *z}":                              "!MALFORMED",
		"z: {a: 1, a: 2}":                             "!DUPLICATE_FIELD",
		"z: {<<: *x, [1]: 2}":                         "!INVALID_VALUE",
		"z: {{a: 1}: 2}":                              "!INVALID_VALUE",
		"z: {<<: [[*x], *y]}":                         `{"a":1,"b":2,"c":4}`,
		"z:\n  <<: *x\n  b:\n    <<: *y\n":            `{"a":1,"b":{"b":3,"c":4}}`,
		"z: {<<: *x, b: 7, <<: *y}":                   "!DUPLICATE_FIELD",
		"z: {<<: [{a: 1}, {a: 2}, {a: 3, b: 4}]}":     `{"a":1,"b":4}`,
		"z: {<<: [{<<: {a: 1}, b: 2}, {a: 3, b: 4}]}": `{"a":1,"b":2}`,
	} {
		r := &Report{}
		root := documents.Data([]byte(base+yaml), r)
		var got string
		if r.OK() {
			text, _ := json.Marshal(plain(root.Member("z")))
			got = string(text)
		} else {
			got = "!" + string(r.Problems()[0].Code)
		}
		if got != want {
			t.Errorf("%s: %s, want %s %v", yaml, got, want, r.Problems())
		}
	}
}

func TestHoles(t *testing.T) {
	for text, want := range map[string]string{
		"${NAME}": "${NAME}", "a-${B}-${C}": "${B}", "{{name}}": "{{name}}", "{{ .Name }}x": "{{ .Name }}", "${}": "", "{{}}": "", "$(NAME)": "", "$NAME": "", "{name}": "", "${a": "", "": "",
		"{a}${b}": "${b}", "${{x}}": "{{x}}",
	} {
		if got := Hole(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := (&Node{Kind: Text, Text: "${N}"}).FixHole("other"); !strings.Contains(got, "Fill in ${N}") {
		t.Errorf("a text: %s", got)
	}
	for _, n := range []*Node{{Kind: Text, Text: "n"}, {Kind: Unclear, Text: "${N}"}, {Kind: Number, Text: "1"}} {
		if got := n.FixHole("other"); got != "other" {
			t.Errorf("%+v: %s", n.Text, got)
		}
	}
}

// What a template left open is said wherever it keeps a document from being read: in a
// value, in a key, and where nothing can be read.
func TestHolesInProblems(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"${ALL}", "Scalar. If this is a template, fill in each ${...} first."},
		{`{"a": ${A}}`, strictJSON + " Or send YAML. If this is a template, fill in each ${...} first."},
		{"a: [b\nc: {{d}}", "Language. If this is a template, fill in each {{...}} first."},
		{"a: [b\nc: $(d)", "Language."},
	} {
		var r Report
		d := Reader{Language: "Language.", Scalar: "Scalar.", MaxDepth: 32, MaxValues: 100}
		d.Data([]byte(c.data), &r)
		if p := r.Problems(); len(p) != 1 || p[0].Code != reason.Malformed || p[0].Fix != c.want {
			t.Errorf("%q: %v, want the fix %q", c.data, p, c.want)
		}
	}
	var r Report
	r.At(&Node{Kind: Text, Text: "${N}"}, reason.InvalidValue, "Want 3.", "Write 3.")
	r.At(&Node{Kind: Text, Text: "n"}, reason.InvalidValue, "Want 3.", "Write 3.")
	r.At(&Node{Kind: Text, Text: "${N}"}, reason.Conflict, "Twice.", "Keep one.")
	var fixes []string
	for _, p := range r.Problems() {
		fixes = append(fixes, p.Fix)
	}
	if want := []string{"Fill in ${N} before the job is published. Write 3.", "Write 3.", "Keep one."}; !slices.Equal(fixes, want) {
		t.Errorf("%q, want %q", fixes, want)
	}
	if got := FixKey("a{{b}}", "other"); got != "Fill in {{b}} before the job is published." {
		t.Error(got)
	}
	if got := FixKey("ab", "other"); got != "other" {
		t.Error(got)
	}
}

func TestBlankAndHollow(t *testing.T) {
	item := []*Node{{}}
	for _, n := range []*Node{{Kind: Null}, {Kind: Text}, {Kind: List}, {Kind: Object}} {
		if !n.Blank() {
			t.Errorf("an empty %s is not blank", n.Kind)
		}
	}
	for _, n := range []*Node{{Kind: Boolean, Text: "false"}, {Kind: Number, Text: "0"}, {Kind: Text, Text: "a"}, {Kind: List, Items: item}, {Kind: Object, Members: item}, {Kind: Unclear}, {Kind: Broken}} {
		if n.Blank() {
			t.Errorf("%s %q is blank", n.Kind, n.Text)
		}
	}
	empty, full := map[string]any{}, map[string]any{"a": 1}
	for i, test := range []struct {
		n    Node
		want bool
	}{
		{Node{Kind: Object, Value: empty}, true}, {Node{Kind: Object, Value: full}, false}, {Node{Kind: Object}, false}, {Node{Kind: List, Value: empty}, false},
		{Node{Kind: Object, Value: empty, Bad: true}, false}, {Node{Kind: Object, Value: empty, Unknown: item}, false},
	} {
		if got := test.n.Hollow(); got != test.want {
			t.Errorf("%d: hollow %v, want %v", i, got, test.want)
		}
	}
	for _, v := range []any{"", int64(0), false, []any{}, empty} {
		if !Zero(v) {
			t.Errorf("%#v is set", v)
		}
	}
	for _, v := range []any{"a", int64(1), true, []any{1}, full, nil, 0} {
		if Zero(v) {
			t.Errorf("%#v is not set", v)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"0s": 0, "1s": time.Second, "1.5s": 1500 * time.Millisecond, "-1s": -time.Second, "0.000000001s": 1,
		"1": -2, "s": -2, "1m": -2, "1.s": -2, "1.0000000001s": -2, "1234567890123s": -2, " 1s": -2, "1h": -2} {
		got, ok := Seconds(text)
		if ok != (want != -2) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	const example = `Write seconds as text with an s, for example "3600s".`
	for _, test := range []struct {
		kind Kind
		text string
		want string
	}{
		{Number, "3600", "3600s"}, {Text, "3600", "3600s"}, {Number, "1.5", "1.5s"}, {Number, "1e3", ""}, {Number, "-1", ""}, {Number, "12345678901", "12345678901s"}, {Number, "123456789012", ""},
		{Text, "2d", "172800s"}, {Text, "1h30m", "5400s"}, {Text, "90m", "5400s"}, {Text, "1.5h", "5400s"}, {Text, "100ms", "0.1s"}, {Text, "99999d", ""}, {Text, "soon", ""}, {Boolean, "true", ""},
	} {
		want := example
		if test.want != "" {
			want = `Write seconds as text with an s: "` + test.want + `".`
		}
		if got := fixSeconds(&Node{Kind: test.kind, Text: test.text}); got != want {
			t.Errorf("%s %q: %s, want %s", test.kind, test.text, got, want)
		}
	}
}

func TestNamesOfFields(t *testing.T) {
	for in, want := range map[string]string{"machine_spec": "machineSpec", "a_b_c": "aBC", "plain": "plain", "": ""} {
		if got := Camel(in); got != want {
			t.Errorf("%s in camel case is %s, want %s", in, got, want)
		}
	}
	if got := Snake("jobSpec.workerPoolSpecs"); got != "job_spec.worker_pool_specs" {
		t.Errorf("in snake case: %s", got)
	}
	for in, want := range map[string]string{"": "", "a": "a", "a b": "a or b", "a b c": "a, b or c"} {
		if got := Either(strings.Fields(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("n", MaxText-40-len("a, "))
	for _, test := range []struct {
		near []string
		sure bool
		all  []string
		want string
	}{
		{[]string{"a"}, true, []string{"a", "b"}, "Write a."}, {[]string{"a"}, false, []string{"a", "b"}, "Did you mean a?"}, {[]string{"a", "b"}, false, nil, "Did you mean a or b?"},
		{nil, false, []string{"a", "b"}, "The names are a, b."}, {nil, false, []string{"a", long}, "The names are a, " + long + "."},
		{nil, false, []string{"a", long + "n"}, "Look the name up in the reference of the API."},
	} {
		if got := FixName(test.near, test.sure, test.all); got != test.want {
			t.Errorf("%v %v: %s, want %s", test.near, test.sure, got, test.want)
		}
	}
	for doc, want := range map[string]bool{`{"a_b":1}`: true, `{"aB":1}`: false, `{"a":1}`: false, `{"a":{"b_c":1},"d_e":1}`: true, `{"a":1,"bC":1,"d_e":1}`: false, `[{"a_b":1}]`: true, `[{"a":1},{"a_b":1}]`: false, `{"A":1,"b_c":2}`: true} {
		root := documents.JSON([]byte(doc), &Report{})
		if got := root.Snakes(); got != want {
			t.Errorf("%s is in snake case: %v, want %v", doc, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	root := documents.JSON([]byte(`{"a":[{"b-c":1},{"d e":2,"":3}],"x\"y":{"z":4}}`), &Report{})
	for _, test := range []struct {
		n    *Node
		want string
	}{
		{root, ""}, {root.Members[0], "a"}, {root.Members[0].Items[1], "a[1]"}, {root.Members[0].Items[0].Members[0], "a[0].b-c"},
		{root.Members[0].Items[1].Members[0], `a[1]["d e"]`}, {root.Members[0].Items[1].Members[1], `a[1][""]`}, {root.Members[1].Members[0], `["x\"y"].z`},
	} {
		if got := test.n.Path(); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	if p := root.Members[0].Place(); p != (Place{Path: "a", Pos: 2, Line: 1}) {
		t.Errorf("the place is %+v", p)
	}
	if p := root.Missing("new_field"); p != (Place{Path: "newField", Pos: 1, Line: 1}) {
		t.Errorf("the place of what is missing is %+v", p)
	}
	if p := (*Node)(nil).Place(); p != (Place{}) {
		t.Errorf("the place of nothing is %+v", p)
	}
	key := strings.Repeat("k", 60)
	if !PlainKey(key) || PlainKey(key+"k") || PlainKey("a.b") || PlainKey("ä") || !PlainKey("aZ0_-9") {
		t.Error("keys that are written as they are")
	}
	for in, want := range map[string]string{"abcdef": "abcdef", "abcdefg": "abc...", "abääää": "ab...", "": ""} {
		if got := Clean(in, 6); got != want {
			t.Errorf("%q is cut to %q, want %q", in, got, want)
		}
	}
	if got := Exactly("say %s", "short", "other"); got != "say short" {
		t.Error(got)
	}
	if got := Exactly("say %s", key+"k", "other"); got != "other" {
		t.Error(got)
	}
}

// TestReportsAreBounded: a report shows the first twenty of its problems, in the order
// of the document, and stops the search after eight times as many.
func TestReportsAreBounded(t *testing.T) {
	r := &Report{}
	for i := range 200 {
		if full := i >= 160; r.Full() != full {
			t.Fatalf("after %d problems it is full: %v", i, !full)
		}
		r.Add(Place{Path: "p", Pos: 500 - i}, reason.InvalidValue, "d", "f")
		r.Warn(Place{Path: "p", Pos: i}, "d", "f")
	}
	if r.OK() || len(r.Problems()) != MaxProblems || len(r.Warnings()) != MaxProblems || len(r.problems) != 160 {
		t.Errorf("%d problems are shown and %d kept, %d warnings", len(r.Problems()), len(r.problems), len(r.Warnings()))
	}
	r = &Report{}
	r.Add(Place{Path: "b", Pos: 2}, reason.InvalidValue, strings.Repeat("d", MaxText+1), "f2")
	r.At(&Node{Key: "a", Parent: &Node{}, Pos: 1}, reason.Conflict, "d1", "f1")
	want := []reason.Problem{{Code: reason.Conflict, Path: "a", Detail: "d1", Fix: "f1"}, {Code: reason.InvalidValue, Path: "b", Detail: strings.Repeat("d", MaxText-3) + "...", Fix: "f2"}}
	if got := r.Problems(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
