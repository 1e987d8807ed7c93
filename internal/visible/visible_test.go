package visible

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"train-7 äß漢字 \"x\" \\n":    "train-7 äß漢字 \"x\" \\n",
		"a\u202etxt.exe":            `a\u202etxt.exe`,
		"\u202a\u202b\u202c\u202d":  `\u202a\u202b\u202c\u202d`,
		"\u2066x\u2069\u2067\u2068": `\u2066x\u2069\u2067\u2068`,
		"pool\u200b1":               `pool\u200b1`,
		"\u200c\u200d\u2060\ufeff":  `\u200c\u200d\u2060\ufeff`,
		"\u200e\u200f\u061c":        `\u200e\u200f\u061c`,
		"one\u2028two\u2029":        `one\u2028two\u2029`,
		"\x1b[2J\x00\r\n\t\x7f":     `\x1b[2J\x00\r\n\t\x7f`,
		"\u0085\u009b31m":           `\u0085\u009b31m`,
		"x\U000e0041\U000e007f":     `x\U000e0041\U000e007f`,
		"no\u00a0break\u00ad":       `no\u00a0break\u00ad`,
		"\u3164\u115f\uffa0\u2800":  `\u3164\u115f\uffa0\u2800`,
		"\ufe0f\u034f\u180e":        `\ufe0f\u034f\u180e`,
		"\ue000\ufdd0":              `\ue000\ufdd0`,
		"a\xff\xfeb":                `a\xff\xfeb`,
		"e\u0301":                   "e\u0301", // an accent can be seen
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
		if again := Text(Text(in)); again != Text(in) {
			t.Errorf("Text of %q changes when it is applied again", in)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\u202eb\xff\U000e0041")
	f.Fuzz(func(t *testing.T, s string) {
		if out := Text(s); !utf8.ValidString(out) || strings.ContainsFunc(out, Hidden) {
			t.Errorf("Text(%q) = %q shows less than it has", s, out)
		}
		in, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		out := JSON(in)
		var back, same string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("JSON(%s) = %s: %v", in, out, err)
		}
		if err := json.Unmarshal(in, &same); err != nil || back != same || strings.ContainsFunc(string(out), Hidden) {
			t.Errorf("JSON(%s) = %s", in, out)
		}
	})
}
