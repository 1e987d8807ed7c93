package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
)

// readEnvelope reads the options around a job, and returns the job. An object
// is an envelope when it has a member "job".
func readEnvelope(n *node, r *report) (*node, options) {
	var opts options
	seen := map[string]*node{}
	for _, m := range n.members {
		if r.full() {
			break
		}
		name := optionNames[m.key]
		switch {
		case m.key == "job", m.key == "cancel" && m.blank(), m.bad && name == "":
			continue
		case name == "" || strings.HasPrefix(m.key, attributePrefix):
			r.at(m, reason.UnknownField, "No option has this name.", fixOption(n, m))
			continue
		case seen[name] != nil:
			r.at(m, reason.DuplicateField, "This is another spelling of "+seen[name].key+".", "Keep one of them.")
			continue
		}
		seen[name] = m
		opts.read(name, m, r)
	}
	job := n.member("job")
	if job.kind != object && job.kind != list {
		walker{r}.mistyped(job, "a CustomJob, a CustomJobSpec or a list of worker pool specs")
		return nil, opts
	}
	return job, opts
}

func fixOption(n, m *node) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(optionNames)), func(name string) bool { return strings.ContainsAny(name, "-_") })
	near, sure := spelling.Nearest(m.key, names, optionWords)
	switch {
	case sure:
	case spelling.Squeeze(m.key) == "persistentresourceid":
		return "Write persistentResource."
	case len(homesOf(m.key)) > 0:
		homes := n.writtenAll(homesOf(m.key))
		if len(homes) == 1 && homes[0] == "job" {
			return "Put what it holds into job."
		}
		return fmt.Sprintf("Put it into the job, at %s.", either(homes))
	case fixElsewhere(m) != "":
		return fixElsewhere(m)
	case len(near) == 0:
		return "The options are " + strings.Join(names, ", ") + "; what belongs to the job stands in job."
	}
	return fixName(near, sure, names)
}

// readCancel reads the fields of a cancel from an envelope's object or from
// attributes; rest are the members that have no part in it.
func readCancel(n *node, r *report) (c Cancel, rest []*node) {
	if n.kind != object {
		walker{r}.mistyped(n, "an object {requestId, messageId, reason}")
		return c, nil
	}
	seen := map[string]*node{}
	for _, m := range n.members {
		name := cancelNames[m.key]
		if name == "" {
			rest = append(rest, m)
			continue
		}
		if seen[name] != nil {
			r.at(m, reason.DuplicateField, "This is another spelling of "+seen[name].key+".", "Keep one of them.")
			continue
		}
		if m.blank() {
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
			if utf8.RuneCountInString(s) > maxReason || strings.ContainsFunc(s, control) {
				r.at(m, reason.InvalidValue, "A reason has at most 256 characters, none of them a control character.", "Shorten it, or leave it out.")
			}
		}
	}
	switch {
	case seen["request_id"] != nil && seen["message_id"] != nil:
		r.at(seen["message_id"], reason.Conflict, "A cancel names a request id or a message id, not both.", "Leave one of them out.")
	case seen["request_id"] == nil && seen["message_id"] == nil:
		at := n.missing("request_id")
		if n.pos == afterData {
			at.path = join(n.path(), attributeName("request_id"))
		}
		r.add(at, reason.MissingField, "The cancel does not say what to cancel.", "Name the request id, or the id of the message that had none.")
	}
	return c, rest
}

func idOf(n *node, r *report) string {
	if !requestID.MatchString(n.text) {
		r.at(n, reason.InvalidValue, "Want 1 to 128 letters, digits and . _ : ~ -, a letter or digit first.", "Name the request by the id under which it was published.")
	}
	return n.text
}
