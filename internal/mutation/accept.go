package mutation

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Accepted are survivors that may live, each with the reason.
type Accepted map[Key]string

// ReadAccepted reads the file of accepted survivors. An entry is three lines and
// a reason, as a survey prints a survivor; "#" begins a comment:
//
//	internal/ledger/group.go: Grouped.run
//	    - if n > most {
//	    + if n >= most {
//	    why: both end with the same batch
func ReadAccepted(r io.Reader) (Accepted, error) {
	all := Accepted{}
	var key Key
	var why string
	line := 0
	flush := func() error {
		if key == (Key{}) {
			return nil
		}
		if key.Before == "" || why == "" {
			return fmt.Errorf("line %d: the entry of %s %s before it has no change or no reason", line, key.File, key.Function)
		}
		all[key], key, why = why, Key{}, ""
		return nil
	}
	in := bufio.NewScanner(r)
	for in.Scan() {
		line++
		text := strings.TrimSpace(in.Text())
		before, isBefore := strings.CutPrefix(text, "- ")
		after, isAfter := strings.CutPrefix(text+" ", "+ ")
		reason, isWhy := strings.CutPrefix(text, "why: ")
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
		case isBefore:
			key.Before = before
		case isAfter:
			key.After = strings.TrimSpace(after)
		case isWhy:
			why = reason
		case why != "" && in.Text()[0] == ' ':
			why += " " + text
		default:
			if err := flush(); err != nil {
				return nil, err
			}
			var ok bool
			if key.File, key.Function, ok = strings.Cut(text, ":"); !ok {
				return nil, fmt.Errorf("line %d: want FILE: FUNCTION, found %q", line, text)
			}
			key.Function = strings.TrimSpace(key.Function)
		}
	}
	line++
	if err := flush(); err != nil {
		return nil, err
	}
	return all, in.Err()
}

// entry is a mutant as the file of accepted survivors has it, without a reason.
func (m Mutant) entry() string {
	return fmt.Sprintf("%s: %s\n    - %s\n    + %s\n", m.File, m.Function, m.Before, m.After)
}
