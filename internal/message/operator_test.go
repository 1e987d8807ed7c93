package message

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var operatorSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(OperatorSchema) })

// TestOperatorMessages: what an operator may send, in both spellings and languages, with
// the schema of the same mind.
func TestOperatorMessages(t *testing.T) {
	pause := Operator{Operation{Action: Pause, Who: "ann@example.com", Reason: "new drivers"}, "prod"}
	for data, want := range map[string]Operator{
		`{"operator": {"action": "pause", "persistentResource": "prod", "who": "ann@example.com", "reason": "new drivers"}}`:  pause,
		`{"operator": {"action": "pause", "persistent_resource": "prod", "who": "ann@example.com", "reason": "new drivers"}}`: pause,
		`{"operator": {"action": "resume", "persistentResource": "projects/p/locations/us-central1/persistentResources/prod", "who": "a", "reason": "b"}}`: {
			Operation{Action: Resume, Who: "a", Reason: "b"}, "projects/p/locations/us-central1/persistentResources/prod"},
		`{"operator": {"action": "pause", "persistentResource": "prod", "pool": "gpu", "who": "a", "reason": "b"}}`: {
			Operation{Action: Pause, Who: "a", Reason: "b", Pool: "gpu"}, "prod"},
		`{"operator": {"action": "pause", "tenant": "vision", "who": "a", "reason": "b"}}`:  {Operation: Operation{Action: Pause, Who: "a", Reason: "b", Tenant: "vision"}},
		`{"operator": {"action": "resume", "tenant": "vision", "who": "a", "reason": "b"}}`: {Operation: Operation{Action: Resume, Who: "a", Reason: "b", Tenant: "vision"}},
		`{"operator": {"action": "cancel", "tenant": "vision", "requestId": "train-7", "who": "a", "reason": "b"}}`: {
			Operation: Operation{Action: CancelRequest, Who: "a", Reason: "b", Tenant: "vision", RequestID: "train-7"}},
		`{"operator": {"action": "requeue", "message_id": "17", "who": "a", "reason": "b"}}`: {
			Operation: Operation{Action: Requeue, Who: "a", Reason: "b", Tenant: "default", MessageID: "17"}},
		`{"operator": {"action": "prioritise", "requestId": "a", "priority": 0, "who": "a", "reason": "b"}}`: {
			Operation: Operation{Action: Prioritise, Who: "a", Reason: "b", Tenant: "default", RequestID: "a", Priority: new(int)}},
		`{"operator": {"action": "prioritise", "requestId": "a", "front": true, "who": "a", "reason": "b"}}`: {
			Operation: Operation{Action: Prioritise, Who: "a", Reason: "b", Tenant: "default", RequestID: "a", Front: true}},
	} {
		got, err := DecodeOperator(Delivery{ID: "1", Data: []byte(data)})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v", data, got, err)
		}
		if err := validateBy(t, operatorSchema, []byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
	blank := `{"operator": {"action": "cancel", "tenant": "", "messageId": null, "requestId": "a", "who": "a", "reason": "b"}}`
	want := Operator{Operation: Operation{Action: CancelRequest, Who: "a", Reason: "b", Tenant: "default", RequestID: "a"}}
	if got, err := DecodeOperator(Delivery{ID: "1", Data: []byte(blank)}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("empty values are read as %+v, %v", got, err)
	}
	yaml := "operator:\n  action: pause\n  persistentResource: prod\n  who: ann@example.com\n  reason: new drivers\n"
	if got, err := DecodeOperator(Delivery{ID: "1", Data: []byte(yaml)}); err != nil || !reflect.DeepEqual(got, pause) {
		t.Errorf("YAML is read as %+v, %v", got, err)
	}
}

// TestOperatorRefusals: what is wrong, where, and that there is something to do about it.
func TestOperatorRefusals(t *testing.T) {
	with := func(fields string) string {
		return `{"operator": {"action": "pause", "persistentResource": "prod", "who": "a", "reason": "b"` + fields + `}}`
	}
	request := func(fields string) string { return `{"operator": {` + fields + `, "who": "a", "reason": "b"}}` }
	for data, want := range map[string]string{
		with(`, "tenant": "vision"`):                                    "CONFLICT operator.persistentResource",
		request(`"action": "pause", "tenant": "Vision"`):                "INVALID_VALUE operator.tenant",
		request(`"action": "pause", "tenant": "vision", "pool": "gpu"`): "CONFLICT operator.pool",
		request(`"action": "drain", "tenant": "vision"`):                "MISSING_FIELD operator.persistentResource; CONFLICT operator.tenant",
		`{"job": ` + plainJob + `}`:                                     "WRONG_TOPIC ",
		plainJob:                                                        "WRONG_TOPIC ",
		`{"cancel": {"requestId": "train"}}`:                            "WRONG_TOPIC ",
		`[]`:                                                            "WRONG_TOPIC ",
		`{}`:                                                            "WRONG_TOPIC ",
		``:                                                              "MISSING_FIELD operator",
		`{"operator": "pause"}`:                                         "INVALID_VALUE operator",
		`{"operator": null}`:                                            "INVALID_VALUE operator",
		`{"operator": {}}`:                                              "MISSING_FIELD operator.action; MISSING_FIELD operator.who; MISSING_FIELD operator.reason",
		`{"operator": {"action": "stop", "persistentResource": "prod", "who": "a", "reason": "b"}}`:                                 "INVALID_VALUE operator.action",
		`{"operator": {"action": 1, "persistentResource": "prod", "who": "a", "reason": "b"}}`:                                      "INVALID_VALUE operator.action",
		`{"operator": {"action": "pause", "who": "a", "reason": "b"}}`:                                                              "MISSING_FIELD operator.persistentResource",
		`{"operator": {"action": "pause", "persistentResource": "", "who": "a", "reason": "b"}}`:                                    "MISSING_FIELD operator.persistentResource",
		`{"operator": {"action": "pause", "persistentResource": "Prod", "who": "a", "reason": "b"}}`:                                "INVALID_VALUE operator.persistentResource",
		`{"operator": {"action": "pause", "persistentResource": "prod", "who": "a"}}`:                                               "MISSING_FIELD operator.reason",
		`{"operator": {"action": "pause", "persistentResource": "prod", "reason": "a"}}`:                                            "MISSING_FIELD operator.who",
		`{"operator": {"action": "pause", "persistentResource": "prod", "who": "a", "reason": "line\nbreak"}}`:                      "INVALID_VALUE operator.reason",
		`{"operator": {"action": "pause", "persistentResource": "prod", "who": "a", "reason": "` + strings.Repeat("x", 257) + `"}}`: "INVALID_VALUE operator.reason",
		`{"operator": {"action": "pause", "persistentResource": "prod", "reason": "a", "who": "` + strings.Repeat("x", 129) + `"}}`: "INVALID_VALUE operator.who",
		with(`, "pool": "a\nb"`): "INVALID_VALUE operator.pool",
		request(`"action": "drain", "persistentResource": "p", "pool": "gpu"`):      "CONFLICT operator.pool",
		request(`"action": "cancel"`):                                               "MISSING_FIELD operator.requestId",
		request(`"action": "cancel", "requestId": "a/b"`):                           "INVALID_VALUE operator.requestId",
		request(`"action": "cancel", "requestId": "a", "messageId": "1"`):           "CONFLICT operator.messageId",
		request(`"action": "cancel", "requestId": "a", "tenant": "A"`):              "INVALID_VALUE operator.tenant",
		request(`"action": "cancel", "requestId": "a", "priority": 1`):              "CONFLICT operator.priority",
		request(`"action": "requeue", "requestId": "a", "persistentResource": "p"`): "CONFLICT operator.persistentResource",
		request(`"action": "pause", "persistentResource": "p", "requestId": "a"`):   "CONFLICT operator.requestId",
		request(`"action": "prioritise", "requestId": "a"`):                         "MISSING_FIELD operator.priority",
		request(`"action": "prioritise", "requestId": "a", "front": false`):         "MISSING_FIELD operator.priority",
		request(`"action": "prioritise", "requestId": "a", "priority": 1001`):       "INVALID_VALUE operator.priority",
		request(`"action": "prioritise", "requestId": "a", "priority": "1"`):        "INVALID_VALUE operator.priority",
		request(`"action": "prioritise", "requestId": "a", "front": "yes"`):         "INVALID_VALUE operator.front",
		with(`, "persistent_resource": "prod"`):                                     "DUPLICATE_FIELD operator.persistent_resource",
		with(`, "tennant": "x"`):                                                    "UNKNOWN_FIELD operator.tennant",
		with(`, "who": "c"`):                                                        "DUPLICATE_FIELD operator.who",
		`{"job": [], ` + with("")[1:]:                                               "CONFLICT job",
		`{"operator": {"action": "pause"`:                                           "MALFORMED ",
	} {
		_, err := DecodeOperator(Delivery{ID: "1", Data: []byte(data)})
		if got := refusalText(t, err); got != want {
			t.Errorf("%.120s: %s, want %s", data, got, want)
		}
		if strings.HasSuffix(data, "}") && !strings.Contains(want, "DUPLICATE_FIELD operator.who") && validateBy(t, operatorSchema, []byte(data)) == nil {
			t.Errorf("the schema takes %.120s", data)
		}
	}
	_, err := DecodeOperator(Delivery{ID: "1", Data: []byte(with("")), Attributes: map[string]string{"berth-cancel": "true", "other": "x"}})
	if got := refusalText(t, err); got != "WRONG_TOPIC attributes.berth-cancel" {
		t.Errorf("with an attribute of a tenant's: %s", got)
	}
	_, err = DecodeOperator(Delivery{ID: "1", Data: make([]byte, MaxData+1)})
	if got := refusalText(t, err); got != "TOO_LARGE " {
		t.Errorf("too large: %s", got)
	}
}

// TestTenantsCannotOperate: a message on a topic of requests that has anything of an
// operator's makes no request, whatever stands beside it.
func TestTenantsCannotOperate(t *testing.T) {
	for data, want := range map[string]string{
		`{"operator": {"action": "pause", "persistentResource": "prod", "who": "a", "reason": "b"}}`: "WRONG_TOPIC operator",
		`{"operator": {"action": "pause"}, "job": ` + plainJob + `}`:                                 "WRONG_TOPIC operator",
		`{"operator": "x", "cancel": {"requestId": "train"}}`:                                        "WRONG_TOPIC operator",
		`{"action": "pause", "job": ` + plainJob + `}`:                                               "UNKNOWN_FIELD action",
		`{"cancel": {"requestId": "train", "tenant": "other"}}`:                                      "UNKNOWN_FIELD cancel.tenant",
	} {
		_, err := Decode(Delivery{ID: "1", Data: []byte(data)})
		if got := refusalText(t, err); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

// refusalText is the code and the path of each problem. Each has a text and a fix.
func refusalText(t *testing.T, err error) string {
	t.Helper()
	r := (*Refusal)(nil)
	if !errors.As(err, &r) {
		return fmt.Sprint(err)
	}
	var list []string
	for _, p := range r.Problems {
		if p.Detail == "" || p.Fix == "" {
			t.Errorf("%s says too little: %+v", p.Code, p)
		}
		list = append(list, string(p.Code)+" "+p.Path)
	}
	return strings.Join(list, "; ")
}

// TestOperationsDoNotLeakIntoLogs: a log shows the action, and no text.
func TestOperationsDoNotLeakIntoLogs(t *testing.T) {
	o := Operator{Operation{Action: Pause, Who: "canary", Reason: "canary", Tenant: "canary", RequestID: "canary"}, "canary"}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", o)
	fmt.Fprintf(&out, "%v %+v %#v %s\n", o, o, o, o)
	if text := out.String(); strings.Contains(text, "canary") || strings.Count(text, string(Pause)) != 5 {
		t.Error(text)
	}
}
