package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
	"example.com/berth/internal/strict"
)

// readEnvelope reads the options around a job, and returns the job. An object
// is an envelope when it has a member "job".
func readEnvelope(n *strict.Node, r *report) (*strict.Node, options) {
	var opts options
	seen := map[string]*strict.Node{}
	for _, m := range n.Members {
		if r.Full() {
			break
		}
		name := optionNames[m.Key]
		switch {
		case m.Key == "job", m.Key == "cancel" && m.Blank(), m.Bad && name == "":
			continue
		case name == "" || strings.HasPrefix(m.Key, attributePrefix):
			r.At(m, reason.UnknownField, "No option has this name.", fixOption(n, m))
			continue
		case seen[name] != nil:
			r.At(m, reason.DuplicateField, "This is another spelling of "+seen[name].Key+".", "Keep one of them.")
			continue
		}
		seen[name] = m
		opts.read(name, m, r)
	}
	job := n.Member("job")
	if job.Kind != strict.Object && job.Kind != strict.List {
		walker(r).Mistyped(job, "a CustomJob, a CustomJobSpec or a list of worker pool specs")
		return nil, opts
	}
	return job, opts
}

func fixOption(n, m *strict.Node) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(optionNames)), func(name string) bool { return strings.ContainsAny(name, "-_") })
	near, sure := spelling.Nearest(m.Key, names, optionWords)
	switch {
	case sure:
	case spelling.Squeeze(m.Key) == "persistentresourceid":
		return "Write persistentResource."
	case len(homesOf(m.Key)) > 0:
		homes := writtenAll(n, homesOf(m.Key))
		if len(homes) == 1 && homes[0] == "job" {
			return "Put what it holds into job."
		}
		return fmt.Sprintf("Put it into the job, at %s.", strict.Either(homes))
	case fixElsewhere(m) != "":
		return fixElsewhere(m)
	case len(near) == 0:
		return "The options are " + strings.Join(names, ", ") + "; what belongs to the job stands in job."
	}
	return strict.FixName(near, sure, names)
}

// readCancel reads the fields of a cancel from an envelope's object or from
// attributes; rest are the members that have no part in it.
func readCancel(n *strict.Node, r *report) (c Cancel, rest []*strict.Node) {
	if n.Kind != strict.Object {
		walker(r).Mistyped(n, "an object {requestId, messageId, reason}")
		return c, nil
	}
	seen := map[string]*strict.Node{}
	for _, m := range n.Members {
		name := cancelNames[m.Key]
		if name == "" {
			rest = append(rest, m)
			continue
		}
		if seen[name] != nil {
			r.At(m, reason.DuplicateField, "This is another spelling of "+seen[name].Key+".", "Keep one of them.")
			continue
		}
		if m.Blank() {
			continue
		}
		seen[name] = m
		s, ok := textOption(m, r)
		if !ok {
			continue
		}
		switch name {
		case "request_id":
			r.claimed = s
			c.RequestID = idOf(m, r)
		case "message_id":
			c.MessageID = idOf(m, r)
		case "reason":
			c.Reason = s
			if utf8.RuneCountInString(s) > maxReason || strings.ContainsFunc(s, strict.Control) {
				r.At(m, reason.InvalidValue, "A reason has at most 256 characters, none of them a control character.", "Shorten it, or leave it out.")
			}
		}
	}
	switch {
	case seen["request_id"] != nil && seen["message_id"] != nil:
		r.At(seen["message_id"], reason.Conflict, "A cancel names a request id or a message id, not both.", "Leave one of them out.")
	case seen["request_id"] == nil && seen["message_id"] == nil:
		at := n.Missing("request_id")
		if n.Pos == afterData {
			at.Path = strict.Join(n.Path(), attributeName("request_id"))
		}
		r.Add(at, reason.MissingField, "The cancel does not say what to cancel.", "Name the request id, or the id of the message that had none.")
	}
	return c, rest
}

func idOf(n *strict.Node, r *report) string {
	if !requestID.MatchString(n.Text) {
		r.At(n, reason.InvalidValue, "Want 1 to 128 letters, digits and . _ : ~ -, a letter or digit first.", "Name the request by the id under which it was published.")
	}
	return n.Text
}
