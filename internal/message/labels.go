package message

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// LabelPrefix begins the label keys that are Berth's own. A job that brings
// such a key, or "berth" itself, in whatever case, is refused.
const LabelPrefix = "berth-"

// Bounds on labels. Vertex AI takes 64 of a job, and refuses keys and values of 64
// characters or 128 bytes and more.
const (
	// OwnLabels is how many labels every submitted job gets from Berth.
	OwnLabels     = 3
	maxLabels     = 64 - OwnLabels
	maxLabelText  = 63  // characters of a key or value
	maxLabelBytes = 127 // bytes of a key or value, in UTF-8
)

// checkLabels merges the job's labels with those of the options. One key with
// two values is a conflict.
func checkLabels(s jobShape, opts options, r *report) map[string]string {
	var all []*strict.Node
	if own := s.job.Field("labels"); own != nil && own.Kind == strict.Object && own.Value != nil {
		all = append(all, own.Members...)
	}
	all = append(all, opts.labels...)
	if len(all) == 0 {
		return nil
	}
	labels := map[string]string{}
	from := map[string]*strict.Node{}
	for _, n := range all {
		checkLabel(n, r)
		if first := from[n.Key]; first != nil {
			if first.Text != n.Text {
				r.At(n, reason.Conflict, fmt.Sprintf("This label has another value at %s.", first.Path()), "Keep one of them.")
			}
			continue
		}
		from[n.Key] = n
		labels[n.Key] = n.Text
	}
	if len(labels) > maxLabels {
		r.Add(all[0].Parent.Place(), reason.TooLarge, fmt.Sprintf("The job has %d labels; at most %d are allowed, because Vertex AI takes %d and Berth adds %d.",
			len(labels), maxLabels, maxLabels+OwnLabels, OwnLabels), "Leave some of them out.")
	}
	return labels
}

func checkLabel(n *strict.Node, r *report) {
	key := strings.ToLower(n.Key)
	switch {
	case n.Bad:
	case strings.HasPrefix(key, LabelPrefix) || key == strings.TrimSuffix(LabelPrefix, "-"):
		r.At(n, reason.ReservedLabel, "Label keys of this form are Berth's own.", "Choose another key.")
	case n.Key == "" || !labelText(n.Key):
		r.At(n, reason.InvalidValue, "The label key has to be of 1 to 63 lowercase letters, digits, _ and -.", fixLabel(n.Key, "another key"))
	case strings.ContainsAny(n.Key[:1], "_-") || unicode.Is(unicode.M, first(n.Key)):
		r.At(n, reason.InvalidValue, "The label key has to begin with a letter or a digit.", "Choose another key.")
	case !labelText(n.Text):
		r.At(n, reason.InvalidValue, "The label value has to be of at most 63 lowercase letters, digits, _ and -.", n.FixHole(fixLabel(n.Text, "another value")))
	case len(n.Key) > maxLabelBytes || len(n.Text) > maxLabelBytes:
		r.At(n, reason.InvalidValue, fmt.Sprintf("A label's key and value have at most %d bytes each, in UTF-8.", maxLabelBytes), "Shorten it.")
	}
}

// fixLabel says how to write what was meant as a label: in small letters where
// nothing else is wrong with it. Any other label is the author's to choose.
func fixLabel(s, other string) string {
	if small := strings.ToLower(s); s != "" && labelText(small) && !strings.ContainsAny(small[:1], "_-") {
		return strict.Exactly("Write it in small letters: %q.", small, "Write it in small letters.")
	}
	return "Choose " + other + "."
}

func first(s string) rune {
	c, _ := utf8.DecodeRuneInString(s)
	return c
}

// labelText allows lowercase letters of every script, and letters of scripts
// without case.
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
