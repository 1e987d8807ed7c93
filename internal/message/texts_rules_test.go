package message

import (
	"fmt"
	"strings"
	"testing"
)

// TestLabelProblem: what is wrong with a label, whoever writes it, and how to mend it.
func TestLabelProblem(t *testing.T) {
	const key, value = "The label key has to be of 1 to 63 lowercase letters, digits, _ and -.", "The label value has to be of at most 63 lowercase letters, digits, _ and -."
	for _, test := range []struct{ key, value, detail, fix string }{
		{"team", "vision", "", ""}, {"team", "", "", ""}, {strings.Repeat("k", 63), strings.Repeat("v", 63), "", ""},
		{"", "v", key, "Choose another key."}, {"Team", "v", key, `Write it in small letters: "team".`}, {strings.Repeat("k", 64), "v", key, "Choose another key."}, {"a b", "v", key, "Choose another key."},
		{"_a", "v", "The label key has to begin with a letter or a digit.", "Choose another key."}, {"berth-run", "v", "Label keys of this form are Berth's own.", "Choose another key."},
		{"Berth", "v", "Label keys of this form are Berth's own.", "Choose another key."}, {"berths", "v", "", ""},
		{"k", "V", value, `Write it in small letters: "v".`}, {"k", strings.Repeat("v", 64), value, "Choose another value."}, {"k", "-V", value, "Choose another value."},
		{strings.Repeat("é", 63), "v", "", ""}, {strings.Repeat("字", 43), "v", "A label's key and value have at most 127 bytes each, in UTF-8.", "Shorten it."}, {"k", strings.Repeat("字", 43), "A label's key and value have at most 127 bytes each, in UTF-8.", "Shorten it."},
	} {
		if detail, fix := LabelProblem(test.key, test.value); detail != test.detail || fix != test.fix {
			t.Errorf("%q: %q: %q %q, want %q %q", test.key, test.value, detail, fix, test.detail, test.fix)
		}
	}
}

// TestMessagesInLogs: a message shows the same in every form that log code writes.
func TestMessagesInLogs(t *testing.T) {
	for data, want := range map[string]string{
		string(`{"requestId":"a","job":` + plainJob + `}`): "message ", `{"cancel":{"requestId":"a"}}`: "message ",
	} {
		m, err := Decode(Delivery{ID: "1", Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.String(); !strings.HasPrefix(got, want) || len(got) < 25 || fmt.Sprintf("%v", m) != got || fmt.Sprintf("%#v", m) != got {
			t.Errorf("%q, %v, %#v", got, m, m)
		}
	}
	if got := fmt.Sprintf("%#v", Message{Fingerprint: "0123456789abcdef"}); got != "message 0123456789ab" {
		t.Errorf("an empty one is %q", got)
	}
}
