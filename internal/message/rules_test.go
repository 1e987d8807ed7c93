package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/reason"
)

// found decodes a message and says what is wrong with it: the code and the path of each
// problem, and "warning PATH" of each warning.
func found(t *testing.T, d Delivery) string {
	t.Helper()
	m, err := Decode(d)
	var all []string
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		for _, p := range refusal.Problems {
			all = append(all, string(p.Code)+" "+p.Path)
		}
	} else if m.Request != nil {
		for _, p := range m.Request.Warnings {
			all = append(all, "warning "+p.Path)
		}
	}
	return strings.Join(all, ", ")
}

// TestFieldRules: what is refused in one field of a job, at which path.
func TestFieldRules(t *testing.T) {
	const pool = `{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}`
	spec := func(fields string) string { return `{"workerPoolSpecs":[` + pool + `],` + fields + `}` }
	machine := func(fields string) string {
		return `[{"machineSpec":{"machineType":"m",` + fields + `},"replicaCount":1,"containerSpec":{"imageUri":"i"}}]`
	}
	const python = `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"pythonPackageSpec":{"executorImageUri":"%s","packageUris":["gs://b/p"],"pythonModule":"%s"}}]`
	for data, want := range map[string]string{
		spec(`"network":"projects/1/global/networks/n"`):                                                  "",
		spec(`"network":"projects/1/global/networks/n/x"`):                                                "INVALID_VALUE network",
		spec(`"network":"x/projects/1/global/networks/n"`):                                                "INVALID_VALUE network",
		spec(`"network":"projects/${P}/x"`):                                                               "warning network",
		spec(`"models":["projects/p/locations/l/models/m"]`):                                              "",
		spec(`"models":["projects/p/locations/l/models/m","projects/p/locations/l/models/m/x"]`):          "INVALID_VALUE models[1]",
		spec(`"models":["m","n"]`):                                                                        "INVALID_VALUE models[0], INVALID_VALUE models[1]",
		spec(`"experiment":"projects/p/locations/l/metadataStores/s/contexts/c"`):                         "",
		spec(`"experiment":"projects/p/locations/l/metadataStores/s"`):                                    "INVALID_VALUE experiment",
		spec(`"experimentRun":"run"`):                                                                     "INVALID_VALUE experimentRun",
		spec(`"tensorboard":"projects/p/locations/l/tensorboards/1","serviceAccount":"a"`):                "",
		spec(`"tensorboard":"projects/p/locations/l/tensorboards/1"`):                                     "MISSING_FIELD serviceAccount",
		spec(`"tensorboard":"1","serviceAccount":"a"`):                                                    "INVALID_VALUE tensorboard",
		spec(`"baseOutputDirectory":{"outputUriPrefix":"gs://b"}`):                                        "",
		spec(`"baseOutputDirectory":{"outputUriPrefix":"b/f"}`):                                           "INVALID_VALUE baseOutputDirectory.outputUriPrefix",
		spec(`"baseOutputDirectory":{"outputUriPrefix":"gs:///f"}`):                                       "INVALID_VALUE baseOutputDirectory.outputUriPrefix",
		machine(`"reservationAffinity":{"reservationAffinityType":"NO_RESERVATION"}`):                     "",
		machine(`"reservationAffinity":{"reservationAffinityType":"ANY_RESERVATION"}`):                    "UNSUPPORTED [0].machineSpec.reservationAffinity",
		machine(`"reservationAffinity":{"reservationAffinityType":"NO_RESERVATION","key":"k"}`):           "UNSUPPORTED [0].machineSpec.reservationAffinity",
		machine(`"reservationAffinity":{"values":["v"]}`):                                                 "UNSUPPORTED [0].machineSpec.reservationAffinity",
		machine(`"reservationAffinity":{"reservationAffinityType":"NO"}`):                                 "INVALID_VALUE [0].machineSpec.reservationAffinity.reservationAffinityType",
		machine(`"reservationAffinity":{"banana":1}`):                                                     "UNKNOWN_FIELD [0].machineSpec.reservationAffinity.banana",
		machine(`"reservationAffinity":7`):                                                                "INVALID_VALUE [0].machineSpec.reservationAffinity",
		machine(`"acceleratorType":"NVIDIA_L4"`):                                                          "MISSING_FIELD [0].machineSpec.acceleratorCount",
		machine(`"acceleratorCount":1`):                                                                   "MISSING_FIELD [0].machineSpec.acceleratorType",
		machine(`"acceleratorType":"NVIDIA_L4","acceleratorCount":-1`):                                    "INVALID_VALUE [0].machineSpec.acceleratorCount",
		machine(`"acceleratorCount":0`):                                                                   "",
		machine(`"tpuTopology":"2 x 2"`):                                                                  "INVALID_VALUE [0].machineSpec.tpuTopology",
		machine(`"gpuPartitionSize":"1g/10gb"`):                                                           "INVALID_VALUE [0].machineSpec.gpuPartitionSize",
		machine(`"tpuTopology":"2x2","gpuPartitionSize":"1g.10gb"`):                                       "",
		fmt.Sprintf(python, "i", "a.b"):                                                                   "",
		fmt.Sprintf(python, "i j", "a.b"):                                                                 "INVALID_VALUE [0].pythonPackageSpec.executorImageUri",
		fmt.Sprintf(python, "i", "a b"):                                                                   "INVALID_VALUE [0].pythonPackageSpec.pythonModule",
		fmt.Sprintf(python, "i", "a "):                                                                    "INVALID_VALUE [0].pythonPackageSpec.pythonModule",
		`{"displayName":"` + strings.Repeat("n", 128) + `","jobSpec":{"workerPoolSpecs":[` + pool + `]}}`: "",
		`{"displayName":"` + strings.Repeat("n", 129) + `","jobSpec":{"workerPoolSpecs":[` + pool + `]}}`: "INVALID_VALUE displayName",
		`{"displayName":"a","job":{"displayName":"b","jobSpec":{"workerPoolSpecs":[` + pool + `]}}}`:      "CONFLICT job.displayName",
		`{"cancel":{"requestId":"a"},"x":1,"job":{},"y":2}`:                                               "CONFLICT x, CONFLICT y",
		`{"cancel":{"requestId":"a","x":1,"messageId":"","y":2}}`:                                         "UNKNOWN_FIELD cancel.x, UNKNOWN_FIELD cancel.y",
		`{"cancel":{"requestId":"a","messageId":"1"}}`:                                                    "CONFLICT cancel.messageId",
		`{"cancel":{"reason":"r"}}`:                                                                       "MISSING_FIELD cancel.requestId",
		`{"cancel":{"requestId":"a","request_id":"b"}}`:                                                   "DUPLICATE_FIELD cancel.request_id",
		`{"cancel":{"requestId":"a","reason":"` + strings.Repeat("r", 256) + `"}}`:                        "",
		`{"cancel":{"requestId":"a","reason":"` + strings.Repeat("r", 257) + `"}}`:                        "INVALID_VALUE cancel.reason",
		`{"job":[` + pool + `],"labels":["a"]}`:                                                           "INVALID_VALUE labels",
		`{"job":[` + pool + `],"labels":{"a":"b"},"priority":1000,"maxWait":"2592000s"}`:                  "",
		`{"job":[` + pool + `],"priority":1001,"maxWait":"2592001s"}`:                                     "INVALID_VALUE priority, INVALID_VALUE maxWait",
		`{"job":[` + pool + `],"priority":-1000}`:                                                         "",
		`{"job":[` + pool + `],"priority":-1001,"dryRun":"true","onFull":"wait"}`:                         "INVALID_VALUE priority, INVALID_VALUE dryRun, INVALID_VALUE onFull",
		`{"job":[` + pool + `],"maxWait":"0s"}`:                                                           "INVALID_VALUE maxWait",
		`{"job":[` + pool + `],"maxWait":"1s","onFull":"reject"}`:                                         "warning maxWait",
		`{"job":[` + pool + `],"requestId":"` + strings.Repeat("a", 128) + `"}`:                           "",
		`{"job":[` + pool + `],"requestId":"` + strings.Repeat("a", 129) + `"}`:                           "INVALID_VALUE requestId",
		`{"job":[` + pool + `],"displayName":"` + strings.Repeat("ä", 128) + `"}`:                         "",
		`{"job":[` + pool + `],"displayName":"` + strings.Repeat("ä", 129) + `"}`:                         "INVALID_VALUE displayName",
	} {
		if got := found(t, Delivery{ID: "1", Data: []byte(data)}); got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
	cancel := []byte(`{"cancel":{"requestId":"a"}}`)
	job := []byte(`[` + pool + `]`)
	for _, test := range []struct {
		data       []byte
		attributes map[string]string
		want       string
	}{
		{cancel, map[string]string{"berth-cancel": "true"}, "CONFLICT , MISSING_FIELD attributes.berth-request-id"},
		{cancel, map[string]string{"berth-cancel": "false"}, ""},
		{cancel, map[string]string{"berth-priority": "1", "berth-request-id": "b", "other": "c"}, "CONFLICT attributes.berth-priority, CONFLICT attributes.berth-request-id"},
		{cancel, map[string]string{"berth-priority": ""}, ""},
		{nil, map[string]string{"berth-cancel": "true", "berth-request-id": "a", "berth-priority": "1", "berth-labels": "a=b"}, "CONFLICT attributes.berth-labels, CONFLICT attributes.berth-priority"},
		{nil, map[string]string{"berth-cancel": "yes", "berth-request-id": "a"}, "MISSING_FIELD , INVALID_VALUE attributes.berth-cancel"},
		{job, map[string]string{"berth-message-id": "1"}, "CONFLICT attributes.berth-message-id"},
		{job, map[string]string{"berth-a": "1", "Berth-b": "2", "a-berth": "3"}, "UNKNOWN_FIELD attributes.Berth-b, UNKNOWN_FIELD attributes.berth-a"},
		{job, map[string]string{"berth-labels": "a=b,c"}, "INVALID_VALUE attributes.berth-labels"},
		{job, map[string]string{"berth-labels": "a=b,a=c"}, "DUPLICATE_FIELD attributes.berth-labels"},
		{job, map[string]string{"berth-dry-run": "True"}, "INVALID_VALUE attributes.berth-dry-run"},
		{job, map[string]string{"berth-priority": "high"}, "INVALID_VALUE attributes.berth-priority"},
	} {
		if got := found(t, Delivery{ID: "1", Data: test.data, Attributes: test.attributes}); got != test.want {
			t.Errorf("%s with %v: %q, want %q", test.data, test.attributes, got, test.want)
		}
	}
}

// TestEventHeaders: any header of a CloudEvent makes the body one, and then all that it
// needs have to be there.
func TestEventHeaders(t *testing.T) {
	for want, pairs := range map[string][]string{
		"":                             {"Ce-Type", publishedType, "Ce-Specversion", "1.0"},
		"ce-specversion":               {"Ce-Type", publishedType},
		"ce-type":                      {"Ce-Specversion", "1.0"},
		"ce-specversion ce-type":       {"Ce-Id", "1"},
		"ce-specversion ce-type other": {"Ce-Type", "other"},
	} {
		_, err := DecodeDelivery(headers(pairs...), []byte(pushEnvelope))
		var got []string
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			for _, p := range refusal.Problems {
				got = append(got, p.Path)
			}
		}
		if strings.Join(got, " ") != strings.TrimSuffix(want, " other") {
			t.Errorf("%v: problems at %q, want %q", pairs, got, want)
		}
	}
}

func TestRefusalCountsTheOthers(t *testing.T) {
	p := reason.Problem{Code: reason.Conflict, Path: "a", Detail: "d"}
	for n, want := range map[int]string{1: "", 2: " (and 1 more)", 3: " (and 2 more)"} {
		text := (&Refusal{Problems: slices.Repeat([]reason.Problem{p}, n)}).Error()
		if text != "message refused: "+p.String()+want {
			t.Errorf("%d problems: %s", n, text)
		}
	}
}

// TestTypesOfEvents: which events are the last of a request.
func TestTypesOfEvents(t *testing.T) {
	var last, others []string
	for _, typ := range Types() {
		if typ.Terminal() {
			last = append(last, typ.Word())
		} else {
			others = append(others, typ.Word())
		}
	}
	slices.Sort(last)
	slices.Sort(others)
	if got, want := strings.Join(last, " "), "cancelled cancelling drained duplicate expired failed noted paused prioritised quoted refused rejected requeued resumed succeeded"; got != want {
		t.Errorf("the last events are %s, want %s", got, want)
	}
	if got, want := strings.Join(others, " "), "cancelling draining queued requeuing reserved started submitted"; got != want {
		t.Errorf("the others are %s, want %s", got, want)
	}
	for _, typ := range []Type{"", "berth", "berth.request.v1", "berth.request.a.b.v1", "other.request.queued.v1"} {
		if typ.Terminal() {
			t.Errorf("%q is the last event", typ)
		}
	}
}

// TestEventNeeds: an event that lacks what a CloudEvent needs is not encoded, and a
// decoder reads the sequence from the attributes of an older event.
func TestEventNeeds(t *testing.T) {
	whole := sampleOutcomes()[0]
	data, attributes, err := whole.PubSub(testSource)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Outcome, *Source){
		"no project":    func(_ *Outcome, s *Source) { s.Project = "" },
		"no deployment": func(_ *Outcome, s *Source) { s.Deployment = "" },
		"no id":         func(o *Outcome, _ *Source) { o.EventID = "" },
		"no tenant":     func(o *Outcome, _ *Source) { o.Tenant = "" },
		"no time":       func(o *Outcome, _ *Source) { o.Time = o.Time.AddDate(-o.Time.Year()-1, 0, 0) },
		"no sequence":   func(o *Outcome, _ *Source) { o.Sequence = 0 },
		"no subject":    func(o *Outcome, _ *Source) { o.RequestID, o.MessageID = "", "" },
		"no type":       func(o *Outcome, _ *Source) { o.Type = "other.request.queued.v1" },
		"a long tenant": func(o *Outcome, _ *Source) { o.Tenant = strings.Repeat("t", maxAttribute+1) },
	} {
		o, s := whole, testSource
		change(&o, &s)
		if d, a, err := o.PubSub(s); err == nil || d != nil || a != nil {
			t.Errorf("%s: it is encoded as %s %v", name, d, a)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "sequence")
	older, _ := json.Marshal(fields)
	for text, want := range map[string]int64{"0000000007": 7, "": 0} {
		attributes := maps.Clone(attributes)
		attributes["ce-sequence"] = text
		if o, err := DecodeOutcome(attributes, older); err != nil || o.Sequence != want || o.EventID != whole.EventID || o.Type != whole.Type || !o.Time.Equal(whole.Time) {
			t.Errorf("sequence %q: %d, %v; want %d", text, o.Sequence, err, want)
		}
	}
	for key, value := range map[string]string{"ce-sequence": "seven", "ce-time": "noon", "ce-specversion": "0.3", "ce-type": "other"} {
		attributes := maps.Clone(attributes)
		attributes[key] = value
		if _, err := DecodeOutcome(attributes, older); err == nil {
			t.Errorf("%s %s is decoded", key, value)
		}
	}
}

// TestLogFields: what each type shows in a log, under which names.
func TestLogFields(t *testing.T) {
	m, err := Decode(Delivery{ID: "17", Data: []byte(`{"requestId":"a","priority":7,"dryRun":true,"job":[{"machineSpec":{"machineType":"m"},"replicaCount":2,"containerSpec":{"imageUri":"i"}},{"machineSpec":{"machineType":"m"},"replicaCount":3,"containerSpec":{"imageUri":"i"}}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	hash := string(KeyOf("", KindRequest, "a")[:12])
	request := map[string]any{"requestIdHash": hash, "priority": 7.0, "dryRun": true, "workerPools": 2.0, "replicas": 5.0, "warnings": float64(len(m.Request.Warnings))}
	for name, test := range map[string]struct {
		value any
		want  map[string]any
	}{
		"delivery": {Delivery{ID: "17", Attempt: 3, Data: []byte("abcd"), Attributes: map[string]string{"a": "b"}}, map[string]any{"messageId": "17", "attempt": 3.0, "dataBytes": 4.0, "attributes": 1.0}},
		"request":  {*m.Request, request},
		"cancel":   {Cancel{RequestID: "a", MessageID: "9"}, map[string]any{"requestIdHash": hash, "messageId": "9"}},
		"no id":    {Cancel{MessageID: "9"}, map[string]any{"requestIdHash": "", "messageId": "9"}},
		"message":  {m, map[string]any{"fingerprint": m.Fingerprint, "request": request}},
		"a cancel": {Message{Fingerprint: "f", Cancel: &Cancel{MessageID: "9"}}, map[string]any{"fingerprint": "f", "cancel": map[string]any{"requestIdHash": "", "messageId": "9"}}},
	} {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", test.value)
		var line struct{ Value map[string]any }
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(line.Value) != fmt.Sprint(test.want) {
			t.Errorf("%s: %v, want %v", name, line.Value, test.want)
		}
	}
}
