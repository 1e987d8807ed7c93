package repair

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/message"
)

// TestConfirmed: a finding of both readings lasts; a finding of one was a request
// that moved. A check that keeps no finding is OK, and says so once.
func TestConfirmed(t *testing.T) {
	bad := func(check, text string) Finding {
		return Finding{Check: check, Level: Fail, Request: message.Key(text), Text: "since " + text}
	}
	warn := func(check, text string) Finding {
		return Finding{Check: check, Level: Warn, Request: message.Key(text)}
	}
	fine := func(check string) Finding { return Finding{Check: check, Level: OK, Text: "fine"} }
	moving := func(check string) Finding {
		return Finding{Check: check, Level: OK, Text: "nothing that lasts (some requests were just moving)"}
	}
	for name, c := range map[string]struct{ first, second, want []Finding }{
		"lasts":                   {[]Finding{bad("a", "1")}, []Finding{bad("a", "1")}, []Finding{bad("a", "1")}},
		"a warning lasts":         {[]Finding{warn("a", "1")}, []Finding{warn("a", "1")}, []Finding{warn("a", "1")}},
		"is over":                 {[]Finding{bad("a", "1")}, []Finding{fine("a")}, []Finding{fine("a")}},
		"is new":                  {[]Finding{fine("a"), bad("b", "1")}, []Finding{bad("a", "1"), bad("b", "1")}, []Finding{moving("a"), bad("b", "1")}},
		"another of a check":      {[]Finding{bad("a", "1")}, []Finding{bad("a", "2"), bad("a", "3")}, []Finding{moving("a")}},
		"one of two lasts":        {[]Finding{bad("a", "1")}, []Finding{bad("a", "2"), bad("a", "1")}, []Finding{bad("a", "1")}},
		"one of two, in front":    {[]Finding{bad("a", "1")}, []Finding{bad("a", "1"), bad("a", "2")}, []Finding{bad("a", "1")}},
		"the same text elsewhere": {[]Finding{bad("a", "1")}, []Finding{bad("b", "1")}, []Finding{moving("b")}},
	} {
		if diff := cmp.Diff(c.want, confirmed(c.first, c.second)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
