package message

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LabelPrefix begins the label keys that are Berth's own. A job that brings
// such a key, or "berth" itself, in whatever case, is refused.
const LabelPrefix = "berth-"

const (
	maxLabels    = 32 // of the user's; Vertex AI allows 64 in all
	maxLabelText = 64 // characters of a key or value
)

// checkLabels merges the job's labels with those of the options. One key with
// two values is a conflict.
func checkLabels(s jobShape, opts options, r *report) map[string]string {
	var all []*node
	if own := s.job.field("labels"); own != nil && own.kind == object && own.value != nil {
		all = append(all, own.members...)
	}
	all = append(all, opts.labels...)
	if len(all) == 0 {
		return nil
	}
	labels := map[string]string{}
	from := map[string]*node{}
	for _, n := range all {
		checkLabel(n, r)
		if first := from[n.key]; first != nil {
			if first.text != n.text {
				r.at(n, Conflict, fmt.Sprintf("This label has another value at %s.", first.path()), "Keep one of them.")
			}
			continue
		}
		from[n.key] = n
		labels[n.key] = n.text
	}
	if len(labels) > maxLabels {
		r.add(all[0].parent.place(), TooLarge, fmt.Sprintf("The job has %d labels; at most %d are allowed.", len(labels), maxLabels), "")
	}
	return labels
}

func checkLabel(n *node, r *report) {
	key := strings.ToLower(n.key)
	switch {
	case n.bad:
	case strings.HasPrefix(key, LabelPrefix) || key == strings.TrimSuffix(LabelPrefix, "-"):
		r.at(n, ReservedLabel, "Label keys of this form are Berth's own.", "Choose another key.")
	case n.key == "" || !labelText(n.key):
		r.at(n, InvalidValue, "The label key has to be of 1 to 64 lowercase letters, digits, _ and -.", "")
	case !labelText(n.text):
		r.at(n, InvalidValue, "The label value has to be of at most 64 lowercase letters, digits, _ and -.", "")
	}
}

// labelText allows lowercase letters of every script, and those of scripts that
// know no case.
func labelText(s string) bool {
	return utf8.RuneCountInString(s) <= maxLabelText && !strings.ContainsFunc(s, func(c rune) bool {
		switch {
		case c == '_' || c == '-' || unicode.Is(unicode.Nd, c) || unicode.Is(unicode.M, c):
			return false
		case unicode.IsLetter(c):
			return unicode.IsUpper(c) || unicode.IsTitle(c)
		}
		return true
	})
}
