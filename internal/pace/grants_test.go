package pace

import (
	"slices"
	"testing"
	"time"
)

// TestGrantsAreMerged: tokens of one resource that are used by one second are one
// grant; a moment within a second counts as its end. So the list stays short.
func TestGrantsAreMerged(t *testing.T) {
	b := &Budget{}
	b.grant(noon, Grant{"a", 1, noon.Add(time.Second)})
	b.grant(noon, Grant{"b", 2, noon.Add(time.Second)})
	b.grant(noon, Grant{"b", 3, noon.Add(time.Nanosecond)}) // by the end of the second
	b.grant(noon, Grant{"a", 4, noon.Add(time.Second + 1)})
	b.grant(noon, Grant{"a", 0, noon.Add(3 * time.Second)}) // none
	b.grant(noon, Grant{"a", -1, noon.Add(3 * time.Second)})
	want := []Grant{{"a", 1, noon.Add(time.Second)}, {"b", 5, noon.Add(time.Second)}, {"a", 4, noon.Add(2 * time.Second)}}
	if !slices.Equal(b.Grants, want) {
		t.Errorf("%v, want %v", b.Grants, want)
	}
	// Those that no longer count are dropped by the next.
	late := noon.Add(time.Minute + time.Second)
	b.grant(late, Grant{"", 1, late})
	if want := []Grant{{"a", 4, noon.Add(2 * time.Second)}, {"", 1, late}}; !slices.Equal(b.Grants, want) {
		t.Errorf("a minute later: %v, want %v", b.Grants, want)
	}
}

// TestGrantees: the resources that may have an allowance left, each once. One whose
// allowance has run out has none, and neither has what is used already.
func TestGrantees(t *testing.T) {
	b := &Budget{Grants: []Grant{{"", 1, noon.Add(time.Minute)}, {"a", 2, noon}, {"b", 3, noon.Add(1)}, {"c", 4, noon.Add(time.Minute)}, {"b", 5, noon.Add(time.Minute)}}}
	if got, want := b.Grantees(noon), []string{"b", "c"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := b.granted(noon); got != 12 {
		t.Errorf("%d tokens are in allowances, want 12", got)
	}
}

// TestRevoke: what a resource has left comes back; what it has used counts until a
// minute after the last moment at which it may have been used.
func TestRevoke(t *testing.T) {
	const other = "b"
	for name, test := range map[string]struct {
		grants []Grant
		left   int
		want   []Grant
	}{
		"some is used, just now":          {[]Grant{{"a", 5, noon.Add(time.Minute)}, {other, 1, noon}}, 2, []Grant{{other, 1, noon}, {"", 3, noon}}},
		"none is used":                    {[]Grant{{"a", 5, noon.Add(time.Minute)}}, 5, nil},
		"it ran out, and all may be used": {[]Grant{{"a", 5, noon.Add(-30 * time.Second)}}, 0, []Grant{{"", 5, noon.Add(-30 * time.Second)}}},
		"the later of two counts for both": {[]Grant{{"a", 5, noon.Add(-20 * time.Second)}, {"a", 1, noon.Add(-40 * time.Second)}}, 0,
			[]Grant{{"", 6, noon.Add(-20 * time.Second)}}},
		"the later of two, in the other order": {[]Grant{{"a", 1, noon.Add(-40 * time.Second)}, {"a", 5, noon.Add(-20 * time.Second)}}, 0,
			[]Grant{{"", 6, noon.Add(-20 * time.Second)}}},
		"what no longer counts is no use": {[]Grant{{"a", 7, noon.Add(-time.Minute)}, {"a", 2, noon.Add(time.Second)}}, 1, []Grant{{"", 1, noon}}},
	} {
		b := &Budget{Grants: slices.Clone(test.grants)}
		b.revoke(noon, "a", test.left)
		if !slices.Equal(b.Grants, test.want) {
			t.Errorf("%s: %v, want %v", name, b.Grants, test.want)
		}
	}
}

// TestFreeAt: the next token comes a minute after the first use that still counts, and
// not before the end of a pause.
func TestFreeAt(t *testing.T) {
	for name, test := range map[string]struct {
		b    Budget
		want time.Duration
	}{
		"no use":            {Budget{}, time.Minute},
		"one":               {Budget{Grants: []Grant{{"", 1, noon.Add(-20 * time.Second)}}}, 40 * time.Second},
		"the first of some": {Budget{Grants: []Grant{{"", 1, noon.Add(-20 * time.Second)}, {"", 1, noon.Add(-50 * time.Second)}, {"a", 1, noon.Add(time.Minute)}}}, 10 * time.Second},
		"one that is over":  {Budget{Grants: []Grant{{"", 1, noon.Add(-time.Hour)}, {"", 1, noon.Add(-30 * time.Second)}}}, 30 * time.Second},
		"a pause":           {Budget{Grants: []Grant{{"", 1, noon.Add(-20 * time.Second)}}, Backoff: Backoff{NotBefore: noon.Add(45 * time.Second)}}, 45 * time.Second},
		"a shorter pause":   {Budget{Grants: []Grant{{"", 1, noon.Add(-20 * time.Second)}}, Backoff: Backoff{NotBefore: noon.Add(35 * time.Second)}}, 40 * time.Second},
	} {
		if got := test.b.FreeAt(noon).Sub(noon); got != test.want {
			t.Errorf("%s: in %v, want %v", name, got, test.want)
		}
	}
}

// TestSizeOfAnAllowance: a sixth of the submissions of a minute, and one at least.
func TestSizeOfAnAllowance(t *testing.T) {
	for perMinute, want := range map[int]int{1: 1, 5: 1, 6: 1, 11: 1, 12: 2, 60: 10, 61: 10} {
		if got := (Rules{PerMinute: perMinute}).AllowanceSize(); got != want {
			t.Errorf("of %d a minute: %d, want %d", perMinute, got, want)
		}
	}
}

// TestPausesForgetTheOnesBefore: pauses double while each refusal comes within twice
// the longest pause and a minute of the end of the one before.
func TestPausesForgetTheOnesBefore(t *testing.T) {
	memory := 2*rules.MaxPause + time.Minute
	for _, test := range []struct {
		after    time.Duration // from the end of the pause before
		refusals int
		pause    time.Duration
	}{{0, 2, 40 * time.Second}, {memory, 2, 40 * time.Second}, {memory + 1, 1, 20 * time.Second}} {
		b := &Budget{}
		b.Refused(noon, rules, false)
		now := b.NotBefore.Add(test.after)
		b.Refused(now, rules, false)
		if b.Refusals != test.refusals || b.NotBefore.Sub(now) != test.pause {
			t.Errorf("%v after a pause: %d in a row, %v long; want %d, %v", test.after, b.Refusals, b.NotBefore.Sub(now), test.refusals, test.pause)
		}
	}
}

// TestLastTokensOfAnAllowance: half of what is left of the grantable half goes to one
// resource, rounded up; without a token there is no allowance, not an empty one.
func TestLastTokensOfAnAllowance(t *testing.T) {
	for _, test := range []struct{ granted, used, want int }{{0, 0, 10}, {12, 0, 9}, {13, 0, 9}, {28, 0, 1}, {29, 0, 1}, {30, 0, 0}, {0, 57, 3}, {0, 60, 0}} {
		b := &Budget{Grants: []Grant{{"other", test.granted, noon.Add(time.Minute)}, {"", test.used, noon}}}
		var a Allowance
		b.Allow(noon, rules, "a", &a, true)
		want := Allowance{Left: test.want, Until: noon.Add(rules.Lifetime)}
		if test.want == 0 {
			want = Allowance{}
		}
		if a != want {
			t.Errorf("with %d granted and %d used: %+v, want %+v", test.granted, test.used, a, want)
		}
		if free := b.Free(noon, rules); free != 60-test.granted-test.used-test.want {
			t.Errorf("with %d granted and %d used: %d are free after it", test.granted, test.used, free)
		}
	}
	b := &Budget{Backoff: Backoff{NotBefore: noon.Add(time.Second)}}
	a := Allowance{Left: 10, Until: noon.Add(rules.Lifetime)}
	if changed := b.Allow(noon, rules, "a", &a, true); !changed || a != (Allowance{}) {
		t.Errorf("in a pause it has %+v", a)
	}
}

// TestRoundNotesWhoWaits: a round notes the first that waits and when; one in which no
// request waits leaves the note of another round.
func TestRoundNotesWhoWaits(t *testing.T) {
	old := noon.Add(-time.Hour)
	for name, test := range map[string]struct {
		all   bool
		next  string
		order string // takes the only token after "0"
		first string
		at    time.Time
	}{
		"none waits":                           {false, "", "", "m", old},
		"none waits in all of the region":      {true, "", "", "", noon},
		"one is left":                          {false, "", "p", "p", noon},
		"one is left behind one that is known": {false, "n", "p", "n", noon},
		"one is left before it":                {false, "q", "p", "p", noon},
	} {
		b := &Budget{FirstWaiting: "m", FirstWaitingAt: old}
		rules := rules
		rules.PerMinute = 1
		round := b.Round(noon, rules, test.all, test.next)
		if !round.Take("0") {
			t.Fatalf("%s: the token is not taken", name)
		}
		if test.order != "" && round.Take(test.order) {
			t.Fatalf("%s: there are two tokens", name)
		}
		round.End()
		if b.FirstWaiting != test.first || !b.FirstWaitingAt.Equal(test.at) || b.Free(noon, rules) != 0 {
			t.Errorf("%s: %q waits first since %v; want %q since %v", name, b.FirstWaiting, b.FirstWaitingAt, test.first, test.at)
		}
	}
}

// TestRetryAfterOnePause: already after the first pause one is tried alone, and its
// attempt is excused.
func TestRetryAfterOnePause(t *testing.T) {
	b := &Budget{Backoff: Backoff{NotBefore: noon, Refusals: 1}}
	a := &Allowance{Left: 1, Until: noon.Add(time.Minute)}
	if got := b.Retry(noon, rules, a); got != (Retry{Excused: true}) || a.Left != 1 || !b.Paused(noon) || b.Refusals != 2 {
		t.Errorf("%+v, %d left, %d pauses", got, a.Left, b.Refusals)
	}
}
