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
	OwnLabels = 3
	// MaxLabels is how many others it has at most.
	MaxLabels     = 64 - OwnLabels
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
	if len(labels) > MaxLabels {
		r.Add(all[0].Parent.Place(), reason.TooLarge, fmt.Sprintf("The job has %d labels; at most %d are allowed, because Vertex AI takes %d and Berth adds %d.",
			len(labels), MaxLabels, MaxLabels+OwnLabels, OwnLabels), "Leave some of them out.")
	}
	return labels
}

const labelValue = "The label value has to be of at most 63 lowercase letters, digits, _ and -."

func checkLabel(n *strict.Node, r *report) {
	if n.Bad {
		return
	}
	if code, detail, fix := labelProblem(n.Key, n.Text); detail != "" {
		if detail == labelValue {
			r.At(n, code, detail, n.FixHole(fix))
			return
		}
		n.Bad = true
		r.Add(n.Place(), code, detail, strict.FixKey(n.Key, fix)) // it is the key's
	}
}

// LabelProblem says what is wrong with a label, and how to mend it; nothing of a label that
// a job may have.
func LabelProblem(key, value string) (detail, fix string) {
	_, detail, fix = labelProblem(key, value)
	return detail, fix
}

func labelProblem(key, value string) (code reason.Code, detail, fix string) {
	small := strings.ToLower(key)
	switch {
	case strings.HasPrefix(small, LabelPrefix) || small == strings.TrimSuffix(LabelPrefix, "-"):
		return reason.ReservedLabel, "Label keys of this form are Berth's own.", "Choose another key."
	case key == "" || !labelText(key):
		return reason.InvalidValue, "The label key has to be of 1 to 63 lowercase letters, digits, _ and -.", fixLabel(key, "another key")
	case strings.ContainsAny(key[:1], "_-") || unicode.Is(unicode.M, first(key)):
		return reason.InvalidValue, "The label key has to begin with a letter or a digit.", "Choose another key."
	case !labelText(value):
		return reason.InvalidValue, labelValue, fixLabel(value, "another value")
	case len(key) > maxLabelBytes || len(value) > maxLabelBytes:
		return reason.InvalidValue, fmt.Sprintf("A label's key and value have at most %d bytes each, in UTF-8.", maxLabelBytes), "Shorten it."
	}
	return "", "", ""
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
