package message

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// Bounds of the options.
const (
	MaxPriority = 1000                // priorities go from -MaxPriority to MaxPriority
	LongestWait = 30 * 24 * time.Hour // most that maxWait may be
	maxName     = 128                 // characters of a display name
	maxReason   = 256                 // characters of a cancel's reason
)

// optionNames maps every spelling of an option, in an envelope and as a message
// attribute, to the option.
var optionNames = spellings("request_id", "persistent_resource", "display_name", "labels", "priority", "on_full", "max_wait", "dry_run", "concurrency_key", "concurrency_policy")

// cancelNames does so for the fields of a cancel.
var cancelNames = spellings("request_id", "message_id", "reason")

func spellings(names ...string) map[string]string {
	all := map[string]string{}
	for _, name := range names {
		all[name] = name
		all[strict.Camel(name)] = name
		all[attributeName(name)] = name
	}
	return all
}

// A setting is an option that may be given, and where.
type setting[T comparable] struct {
	given bool
	at    strict.Place
	value T
}

type options struct {
	requestID, resource, displayName setting[string]
	priority                         setting[int]
	onFull                           setting[OnFull]
	maxWait                          setting[time.Duration]
	dryRun                           setting[bool]
	concurrencyKey                   setting[string]
	concurrencyPolicy                setting[ConcurrencyPolicy]
	labels                           []*strict.Node // members of a labels object
}

// read takes one option from a node.
func (o *options) read(name string, n *strict.Node, r *report) {
	if n.Blank() || n.Kind == strict.Broken {
		return // an empty option is one that is not set
	}
	switch name {
	case "request_id":
		if s, ok := textOption(n, r); ok {
			r.claimed = s
			set(&o.requestID, n, s, requestID.MatchString(s), "Want 1 to 128 letters, digits and . _ : ~ -, a letter or digit first.", "Choose such an id, or leave it out for the id of the message.", r)
		}
	case "persistent_resource":
		if s, ok := textOption(n, r); ok {
			_, known := resourceOf(s)
			set(&o.resource, n, s, known, "Want the id of a persistent resource, or projects/P/locations/L/persistentResources/ID.", "Write it so, or leave it out for the default.", r)
		}
	case "display_name":
		if s, ok := textOption(n, r); ok {
			set(&o.displayName, n, s, validName(s), nameRule, fixName, r)
			r.Template(n)
		}
	case "labels":
		walker(r).Texts(n)
		if n.Kind == strict.Object && !n.Bad {
			o.labels = n.Members
		}
	case "priority":
		i, ok := strict.WholeNumber(n, 32)
		set(&o.priority, n, int(i), ok && n.Kind == strict.Number && -MaxPriority <= i && i <= MaxPriority, "Want a whole number from -1000 to 1000.", strict.FixPlain(n, strict.Number, "Write one, or leave it out for 0."), r)
	case "on_full":
		if s, ok := textOption(n, r); ok {
			set(&o.onFull, n, OnFull(s), OnFull(s) == Queue || OnFull(s) == Reject, `Want "queue" or "reject".`, `Write "queue" for a job that may wait, "reject" for one that may not.`, r)
		}
	case "max_wait":
		d, ok := strict.Seconds(n.Text)
		switch {
		case !ok || n.Kind != strict.Text:
			walker(r).Duration(n)
		case d == 0:
			r.At(n, reason.InvalidValue, "A wait of no time is no wait.", `Set onFull to "reject" instead.`)
		default:
			set(&o.maxWait, n, d, 0 < d && d <= LongestWait, "Want more than 0s and at most 30 days, 2592000s.", "Write such a time, or leave it out for the default.", r)
		}
	case "concurrency_key":
		if s, ok := textOption(n, r); ok {
			set(&o.concurrencyKey, n, s, requestID.MatchString(s), "Want 1 to 128 letters, digits and . _ : ~ -, a letter or digit first.", "Choose such a key; all runs of one recurring job have the same.", r)
		}
	case "concurrency_policy":
		if s, ok := textOption(n, r); ok {
			p := ConcurrencyPolicy(s)
			set(&o.concurrencyPolicy, n, p, p == Allow || p == Forbid || p == Replace, `Want "allow", "forbid" or "replace".`,
				`Write "forbid" to refuse a job while an earlier one of its key is active, "replace" to cancel the earlier one.`, r)
		}
	case "dry_run":
		set(&o.dryRun, n, n.Text == "true", n.Kind == strict.Boolean, "Want true or false.", strict.FixPlain(n, strict.Boolean, "Write true or false."), r)
	}
}

func set[T comparable](s *setting[T], n *strict.Node, value T, ok bool, rule, fix string, r *report) {
	if !ok {
		r.At(n, reason.InvalidValue, rule, n.FixHole(fix))
		return
	}
	*s = setting[T]{true, n.Place(), value}
}

func textOption(n *strict.Node, r *report) (string, bool) {
	if n.Kind != strict.Text {
		walker(r).Mistyped(n, "text")
		return "", false
	}
	return n.Text, true
}

// add takes over what the other options give. An option given twice must have
// one value.
func (o *options) add(p options, r *report) {
	both(&o.requestID, p.requestID, r)
	if sameResource(o.resource, p.resource) {
		if strings.Contains(p.resource.value, "/") {
			o.resource.value = p.resource.value // the full name says more than the id
		}
	} else {
		both(&o.resource, p.resource, r)
	}
	both(&o.displayName, p.displayName, r)
	both(&o.priority, p.priority, r)
	both(&o.onFull, p.onFull, r)
	both(&o.maxWait, p.maxWait, r)
	both(&o.dryRun, p.dryRun, r)
	both(&o.concurrencyKey, p.concurrencyKey, r)
	both(&o.concurrencyPolicy, p.concurrencyPolicy, r)
	o.labels = append(o.labels, p.labels...)
}

// concurrency returns the two options of that name. A key without a policy would have no
// effect, and so would a policy without a key.
func (o *options) concurrency(r *report) Concurrency {
	switch key, policy := o.concurrencyKey, o.concurrencyPolicy; {
	case key.given && !policy.given:
		r.Add(key.at, reason.MissingField, "The concurrency key has no policy.", "Set concurrencyPolicy to allow, forbid or replace.")
	case policy.given && !key.given:
		r.Add(policy.at, reason.MissingField, "The concurrency policy has no key.", "Set concurrencyKey to a name that all runs of the recurring job have.")
	}
	return Concurrency{o.concurrencyKey.value, o.concurrencyPolicy.value}
}

func both[T comparable](a *setting[T], b setting[T], r *report) {
	switch {
	case !b.given:
	case !a.given:
		*a = b
	case a.value != b.value:
		r.Add(b.at, reason.Conflict, fmt.Sprintf("This contradicts %s.", a.at.Path), "Keep one of them.")
	}
}

// sameResource says whether two settings, at least one of them an id alone, can
// mean one persistent resource.
func sameResource(a, b setting[string]) bool {
	idA, _ := resourceOf(a.value)
	idB, _ := resourceOf(b.value)
	return a.given && b.given && idA == idB && (idA == a.value || idB == b.value)
}

const nameRule = "A name has 1 to 128 characters, none of them a control character."

const fixName = "Shorten it, and leave out line breaks."

func validName(s string) bool {
	return utf8.RuneCountInString(s) <= maxName && !strings.ContainsFunc(s, strict.Control)
}
