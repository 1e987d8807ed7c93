package message

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
	"example.com/berth/internal/strict"
)

// Operators is the tenant of the answers to operators. No tenant can have this name.
const Operators = "operators"

// An Action is what an operator asks for.
type Action string

const (
	Pause  Action = "pause"  // nothing starts until a resume
	Drain  Action = "drain"  // a pause, and an event once nothing runs any more
	Resume Action = "resume" // undoes both

	CancelRequest Action = "cancel"     // ends a request of any tenant
	Requeue       Action = "requeue"    // a request that has its replicas gives them back and waits again
	Prioritise    Action = "prioritise" // another place in the order for a request that waits
)

// Actions lists every action.
func Actions() []Action { return []Action{Pause, Drain, Resume, CancelRequest, Requeue, Prioritise} }

// An Operation is what an operator does, by whom and why.
type Operation struct {
	Action Action `json:"action"`
	// Who is a claim: a Pub/Sub message carries no identity. Who may be an operator is
	// decided by the IAM policy of the operators' topic alone.
	Who    string `json:"who"`    // at most 128 characters
	Reason string `json:"reason"` // at most 256 characters
	// Pool is the id of a pool, for a pause of its machines alone.
	Pool string `json:"pool,omitempty"`
	// Tenant and RequestID name the request that it was done to. MessageID is set in the
	// place of RequestID for a request without one. Tenant alone is a tenant that was paused
	// or resumed.
	Tenant    string `json:"tenant,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	MessageID string `json:"messageId,omitempty"`
	// Priority is that of a request that was prioritised, and FormerPriority the one
	// before; Front says that it comes before all others of its priority.
	Priority       *int `json:"priority,omitempty"`
	FormerPriority *int `json:"formerPriority,omitempty"`
	Front          bool `json:"front,omitempty"`
}

// OnRequest reports whether the operation is done to a request.
func (o Operation) OnRequest() bool {
	return o.Action == CancelRequest || o.Action == Requeue || o.Action == Prioritise
}

// An Operator is a message of an operator: an operation and what it is done to.
type Operator struct {
	Operation
	PersistentResource string // id or full name; empty for an operation on a request or a tenant
}

// LogValue shows the action.
func (o Operation) LogValue() slog.Value {
	return slog.GroupValue(slog.String("action", string(o.Action)))
}

// String is the log value as text.
func (o Operation) String() string { return "operation" + o.LogValue().String() }

// GoString keeps %#v from showing more than String.
func (o Operation) GoString() string { return o.String() }

// actionFields are the fields that an action takes, beside who and reason.
var actionFields = map[Action][]string{
	Pause:  {"persistent_resource", "pool", "tenant"},
	Drain:  {"persistent_resource"},
	Resume: {"persistent_resource", "pool", "tenant"},

	CancelRequest: {"tenant", "request_id", "message_id"},
	Requeue:       {"tenant", "request_id", "message_id"},
	Prioritise:    {"tenant", "request_id", "message_id", "priority", "front"},
}

// operatorNames maps every spelling of a field of an operator's message to the field.
var operatorNames = func() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"action", "who", "reason", "persistent_resource", "pool", "tenant", "request_id", "message_id", "priority", "front"} {
		all[name], all[strict.Camel(name)] = name, name
	}
	return all
}()

// operatorWords is what users call the fields and actions.
var operatorWords = spelling.Vocabulary{
	Generic: []string{"id", "name"},
	Alias: map[string]string{
		"by": "who", "user": "who", "operator": "who", "why": "reason", "comment": "reason", "note": "reason", "verb": "action", "command": "action", "type": "action",
		"stop": "pause", "hold": "pause", "suspend": "pause", "start": "resume", "release": "resume", "unpause": "resume", "continue": "resume", "resource": "persistent resource",
	},
}

// operatorDocuments reads what an operator's message carries.
var operatorDocuments = strict.Reader{
	MaxDepth:  MaxDepth,
	MaxValues: 100,
	MaxCopied: MaxData,

	Deep:     fixOperator,
	Large:    fixOperator,
	Missing:  fixOperator,
	Many:     "Publish one operation per message.",
	Scalar:   fixOperator,
	Language: "Send JSON or YAML.",
}

// DecodeOperator reads what a delivery of the operators' topic says. An error is a
// *Refusal, as of [Decode].
func DecodeOperator(d Delivery) (Operator, error) {
	r := &report{}
	if len(d.Data) > MaxData {
		r.Add(strict.Place{}, reason.TooLarge, fmt.Sprintf("The data is larger than %d bytes.", MaxData), "An operator's message takes a few hundred.")
		return Operator{}, r.refusal()
	}
	for _, key := range slices.Sorted(maps.Keys(d.Attributes)) {
		if strings.HasPrefix(strings.ToLower(key), attributePrefix) {
			r.Add(strict.Place{Path: strict.Join("attributes", key), Pos: afterData}, reason.WrongTopic, "This topic is for operators, who send no attributes of Berth's.",
				"Leave it out, or publish a tenant's message to the request topic.")
		}
	}
	var o Operator
	if len(d.Data) == 0 {
		r.Add(strict.Place{Path: "operator"}, reason.MissingField, "The message has no data.", fixOperator)
	} else if root := operatorDocuments.Data(d.Data, &r.Report); root != nil {
		o = readOperator(root, r)
	}
	if err := r.refusal(); err != nil {
		return Operator{}, err
	}
	return o, nil
}

const fixOperator = `Send {"operator": {"action": "pause", "persistentResource": ..., "who": ..., "reason": ...}}.`

// readOperator reads the message of an operator: an object with the member "operator"
// and nothing beside it.
func readOperator(root *strict.Node, r *report) (o Operator) {
	n := root.Member("operator")
	if n == nil {
		r.At(root, reason.WrongTopic, "This topic is for operators, and the message is none of theirs.", "Publish a job or a tenant's cancel to the request topic.")
		return o
	}
	for _, m := range root.Members {
		if m != n && !m.Bad {
			r.At(m, reason.Conflict, "An operator's message has nothing beside operator.", "Leave it out.")
		}
	}
	if n.Kind != strict.Object {
		walker(r).Mistyped(n, "an object {action, who, reason, ...}")
		return o
	}
	fields := map[string]*strict.Node{}
	for _, m := range n.Members {
		switch name := operatorNames[m.Key]; {
		case m.Bad && name == "":
		case name == "":
			r.At(m, reason.UnknownField, "An operator's message has no field of this name.", fixOperatorField(m.Key))
		case fields[name] != nil:
			r.At(m, reason.DuplicateField, "This is another spelling of "+fields[name].Key+".", "Keep one of them.")
		default:
			fields[name] = m
		}
	}
	o.Action = readAction(n, fields["action"], r)
	o.Who = operatorText(n, fields["who"], "who", maxName, r)
	o.Reason = operatorText(n, fields["reason"], "reason", maxReason, r)
	for name, m := range fields {
		if name != "action" && name != "who" && name != "reason" && o.Action != "" && !m.Blank() && !slices.Contains(actionFields[o.Action], name) {
			r.At(m, reason.Conflict, fmt.Sprintf("The action %s takes no such field.", o.Action), "Leave it out.")
		}
	}
	switch {
	case o.Action == "":
	case o.OnRequest():
		readTarget(n, fields, &o.Operation, r)
	default:
		if m := fields["tenant"]; m != nil && !m.Blank() && slices.Contains(actionFields[o.Action], "tenant") {
			o.Tenant = tenantOf(m, r)
			for _, other := range []string{"persistent_resource", "pool"} {
				if f := fields[other]; f != nil && !f.Blank() {
					r.At(f, reason.Conflict, "The message names a tenant and a persistent resource.", "Send one message for each.")
				}
			}
			return o
		}
		name := "persistent_resource"
		if m := fields[name]; m == nil || m.Blank() {
			r.Add(n.Missing(name), reason.MissingField, fmt.Sprintf("The action %s needs this field.", o.Action), fixTarget(o.Action))
		} else if s, ok := textOption(m, r); ok {
			if _, known := resourceOf(s); !known {
				r.At(m, reason.InvalidValue, "Want the id of a persistent resource, or projects/P/locations/L/persistentResources/ID.", "Write it so.")
			}
			o.PersistentResource = s
		}
		if m := fields["pool"]; m != nil && !m.Blank() {
			if s, ok := textOption(m, r); ok {
				set(&setting[string]{}, m, s, validName(s), nameRule, fixName, r)
				o.Pool = s
			}
		}
	}
	return o
}

// fixTarget says how to name what an action is done to.
func fixTarget(a Action) string {
	const fix = "Name the persistent resource by its id or its full name"
	if slices.Contains(actionFields[a], "tenant") {
		return fix + ", or a tenant."
	}
	return fix + "."
}

// tenantOf reads the name of a tenant.
func tenantOf(m *strict.Node, r *report) string {
	s, ok := textOption(m, r)
	if ok && !tenantName.MatchString(s) {
		r.At(m, reason.InvalidValue, "Want the name of a tenant: lowercase letters, digits and dashes.", "Write it as the deployment names it.")
	}
	return s
}

// readTarget reads which request is meant, and its new place.
func readTarget(n *strict.Node, fields map[string]*strict.Node, o *Operation, r *report) {
	text := func(name string) string {
		if m := fields[name]; m != nil && !m.Blank() {
			if s, ok := textOption(m, r); ok {
				return s
			}
		}
		return ""
	}
	o.Tenant = "default"
	if m := fields["tenant"]; m != nil && !m.Blank() {
		o.Tenant = tenantOf(m, r)
	}
	if o.RequestID = text("request_id"); o.RequestID != "" {
		idOf(fields["request_id"], r)
	}
	if o.MessageID = text("message_id"); o.MessageID != "" {
		idOf(fields["message_id"], r)
	}
	switch {
	case o.RequestID != "" && o.MessageID != "":
		r.At(fields["message_id"], reason.Conflict, "The message names a request id or a message id, not both.", "Leave one of them out.")
	case o.RequestID == "" && o.MessageID == "" && r.OK():
		r.Add(n.Missing("request_id"), reason.MissingField, "The message does not say which request is meant.", "Name the request id, or the id of the message that had none.")
	}
	if o.Action != Prioritise {
		return
	}
	if m := fields["front"]; m != nil && !m.Blank() {
		if o.Front = m.Text == "true"; m.Kind != strict.Boolean {
			r.At(m, reason.InvalidValue, "Want true or false.", strict.FixPlain(m, strict.Boolean, "Write true or false."))
			return
		}
	}
	switch m := fields["priority"]; {
	case m != nil && m.Kind != strict.Null:
		i, ok := strict.WholeNumber(m, 32)
		if !ok || m.Kind != strict.Number || i < -MaxPriority || i > MaxPriority {
			r.At(m, reason.InvalidValue, "Want a whole number from -1000 to 1000.", strict.FixPlain(m, strict.Number, "Write one."))
		}
		p := int(i)
		o.Priority = &p
	case !o.Front:
		r.Add(n.Missing("priority"), reason.MissingField, "The message does not say which place the request gets.", "Give its new priority, or front: true, or both.")
	}
}

// tenantName is what the settings of a deployment take for a tenant.
var tenantName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,61}$`)

func readAction(n, m *strict.Node, r *report) Action {
	var all []string
	for _, a := range Actions() {
		all = append(all, string(a))
	}
	if m == nil || m.Blank() {
		r.Add(n.Missing("action"), reason.MissingField, "The message does not say what to do.", "The actions are "+strings.Join(all, ", ")+".")
		return ""
	}
	s, ok := textOption(m, r)
	if !ok {
		return ""
	}
	if !slices.Contains(all, s) {
		near, sure := spelling.Nearest(s, all, operatorWords)
		r.At(m, reason.InvalidValue, "There is no such action.", strict.FixName(near, sure, all))
		return ""
	}
	return Action(s)
}

func fixOperatorField(key string) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(operatorNames)), func(name string) bool { return strings.Contains(name, "_") })
	near, sure := spelling.Nearest(key, names, operatorWords)
	return strict.FixName(near, sure, names)
}

// operatorText reads who or reason, which every operator's message has.
func operatorText(n, m *strict.Node, name string, most int, r *report) string {
	if m == nil || m.Blank() {
		r.Add(n.Missing(name), reason.MissingField, "What an operator does is shown with who did it and why.", "Say it in "+name+".")
		return ""
	}
	s, ok := textOption(m, r)
	if ok && (utf8.RuneCountInString(s) > most || strings.ContainsFunc(s, strict.Control)) {
		r.At(m, reason.InvalidValue, fmt.Sprintf("Want at most %d characters, none of them a control character.", most), "Shorten it, and leave out line breaks.")
	}
	return s
}
