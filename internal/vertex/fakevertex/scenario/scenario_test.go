package scenario_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"

	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

var here = scenario.Location{Project: "p-one", Region: "us-central1"}

func newServer() (*fakevertex.Server, *fakevertex.ManualClock) {
	clock := fakevertex.NewManualClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return fakevertex.New(fakevertex.Options{Clock: clock, Seed: 1, Projects: map[string]string{"p-one": "111"}}), clock
}

const full = `# every part
region: europe-west4
seed: 3
behaviour: &quick
  fullPool: queue-then-fail
  runFor: forever
  submitPerMinute: 0
  refuseRay: true
  jobDisk: pd-standard
  machineQuota: custom_model_training_cpus
resources:
- name: pool
  labels: {team: "red"}
  resource_pools:
  - &pool
    machineSpec: {machineType: n1-standard-4, acceleratorType: NVIDIA_TESLA_T4, acceleratorCount: 1}
    replicaCount: "4"
- name: projects/other/locations/us-central1/persistentResources/second
  resourcePools:
  - *pool
jobs:
- name: train-*
  startDelay: 30s
  runFor: {from: 1m, to: 20m}
  ends: {succeeded: 9, failed: 1}
  failure: Out of memory.
- ends: expired
faults:
- {method: CreateCustomJob, rate: 0.25, count: 3, skip: 1, after: true, code: INTERNAL, message: lost}
- {method: "*", act: hang}
`

func TestReadAndApply(t *testing.T) {
	s, err := scenario.Read("s.yaml", []byte(full), here)
	if err != nil {
		t.Fatal(err)
	}
	server, _ := newServer()
	if err := s.Apply(server); err != nil {
		t.Fatal(err)
	}
	b := fakevertex.DefaultBehaviour()
	b.FullPool, b.RunFor, b.SubmitPerMinute, b.RefuseRay, b.JobDisk, b.MachineQuota = fakevertex.FullQueueThenFail, -1, 0, true, "pd-standard", "custom_model_training_cpus"
	if got := server.Behaviour(); got != b || s.Seed != 3 {
		t.Errorf("seed %d, behaviour %+v", s.Seed, got)
	}
	r := server.Resources()
	if len(r) != 2 || r[0].Name != "projects/111/locations/europe-west4/persistentResources/pool" || r[0].Labels["team"] != "red" ||
		r[0].State != aiplatformpb.PersistentResource_RUNNING || r[1].ResourcePools[0].GetReplicaCount() != 4 ||
		r[1].ResourcePools[0].MachineSpec.AcceleratorType != aiplatformpb.AcceleratorType_NVIDIA_TESLA_T4 {
		t.Errorf("resources %v", r)
	}
	jobs := []fakevertex.JobRule{
		{Name: "train-*", StartDelay: &fakevertex.Span{From: 30 * time.Second, To: 30 * time.Second}, RunFor: &fakevertex.Span{From: time.Minute, To: 20 * time.Minute},
			Ends: map[string]float64{"succeeded": 9, "failed": 1}, Failure: "Out of memory."},
		{Ends: map[string]float64{"expired": 1}},
	}
	faults := []fakevertex.FaultRule{
		{Method: "CreateCustomJob", Rate: 0.25, Count: 3, Skip: 1, After: true, Code: codes.Internal, Message: "lost"},
		{Act: fakevertex.ActHang},
	}
	got, _ := server.FaultRules()
	if !reflect.DeepEqual(server.JobRules(), jobs) || !reflect.DeepEqual(got, faults) {
		t.Errorf("jobs %+v, faults %+v", server.JobRules(), got)
	}
	// What the server says of itself is the same scenario.
	of := func(server *fakevertex.Server) string {
		doc, err := scenario.Of(server)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := of(server)
	again, err := scenario.Read("again", []byte(first), here)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := newServer()
	if err := again.Apply(second); err != nil {
		t.Fatal(err)
	}
	if got := of(second); got != first {
		t.Errorf("read again:\n%s\nwas\n%s", got, first)
	}
}

// Every knob can be set by its name, to every word that it knows.
func TestEveryKnob(t *testing.T) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[fakevertex.Behaviour]()) {
		var values []string
		switch v := reflect.Zero(f.Type).Interface().(type) {
		case time.Duration:
			values = []string{"17m0s"}
		case bool:
			values = []string{"true"}
		case int:
			values = []string{"17"}
		case interface{ Words() []string }:
			values = v.Words()
		case string:
			values = []string{"pd-standard", ""}
		}
		for _, value := range values {
			s, err := scenario.Read("s", fmt.Appendf(nil, "behaviour: {%s: %s}", scenario.KnobName(f.Name), cmp.Or(value, `""`)), here)
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
				continue
			}
			server, _ := newServer()
			if err := s.Apply(server); err != nil {
				t.Error(err)
			}
			got, err := json.Marshal(scenario.Behaviour(server.Behaviour())[scenario.KnobName(f.Name)])
			if err != nil || strings.Trim(string(got), `"`) != value {
				t.Errorf("%s is %s, want %s", f.Name, got, value)
			}
		}
		if len(values) == 0 {
			t.Errorf("%s has a type that the test does not know", f.Name)
		}
	}
}

func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"{}":                                    "",
		"null":                                  "",
		"- 1":                                   "f:1: Want an object.",
		"a: [":                                  "f:2: This is neither YAML nor JSON: ",
		"seed: 1\n---\nseed: 2":                 "f:2: There is a second document; a scenario is one.",
		"seed: 1\nseed: 2":                      "f:",
		"behaviour:\n  runFor: 10":              `f:2: behaviour.runFor: "10" is not a time such as 500ms, 90s or 1h30m, or forever.`,
		"behaviour: {cancelAfter: forever}":     `f:1: behaviour.cancelAfter: "forever" is not a time such as 500ms, 90s or 1h30m.`,
		"behaviour: {cancelAfter: -1s}":         `f:1: behaviour.cancelAfter: "-1s" is not a time such as 500ms, 90s or 1h30m.`,
		"behaviour: {refuseRay: yes-please}":    `f:1: behaviour.refuseRay: "yes-please" is neither true nor false.`,
		"behaviour: {submitPerMinute: 1.5}":     `f:1: behaviour.submitPerMinute: "1.5" is not a whole number from 0 to 1000000.`,
		"behaviour: {jobDisk: ssd}":             `f:1: behaviour.jobDisk: "ssd" is not one of pd-ssd, pd-standard, hyperdisk-balanced.`,
		"behaviour: {mismatch: [a]}":            `f:1: behaviour.mismatch: Want one of invalid-argument, failed-precondition, not-found, accept-then-fail.`,
		"behaviour: {machineQuota: 7}":          `f:1: behaviour.machineQuota: Want a text; put "7" in quotes if it is one.`,
		"jobs:\n- ends: {failed: 0}":            "f:2: jobs[0].ends: No job would have an end: give one of them a part above 0.",
		"jobs:\n- ends: {lost: 1}":              `f:2: jobs[0].ends.lost: "lost" is not one of succeeded, failed, expired, partially-succeeded.`,
		"jobs:\n- runFor: {from: 2m, to: 1m}":   "f:2: jobs[0].runFor: to is shorter than from.",
		"jobs: {}":                              "f:1: jobs: Want a list.",
		"faults:\n- rate: 0":                    "f:2: faults[0].rate: No call would fail: leave the rule out.",
		"faults:\n- rate: 1.01":                 `f:2: faults[0].rate: "1.01" is not a number from 0 to 1.`,
		"faults:\n- method: CreateJob":          `f:2: faults[0].method: "CreateJob" is not one of *, CreateCustomJob, `,
		"faults:\n- {act: drop, code: ABORTED}": "f:2: faults[0]: A call that is not answered has no code and no message.",
		"resources:\n- name: pool\n  resourcePools:\n  - machineSpec:\n      machineTyp: x": `f:5: resources[0].resourcePools[0].machineSpec.machineTyp: Unknown field "machineTyp".`,
		"resources:\n- name: pool\n  resourcePools:\n  - replicaCount: many":                `f:4: resources[0].resourcePools[0].replicaCount: Invalid value for int64 field replicaCount: "many".`,
		"project: a/b":                           `f:1: project: "a/b" is not the id or number of a project: lowercase letters, digits and hyphens.`,
		"project: 5":                             `f:1: project: Want a text; put "5" in quotes if it is one.`,
		"project: \"\"":                          `f:1: project: "" is not the id or number of a project`,
		"region: mars":                           `f:1: region: "mars" is not the name of a region, such as us-central1.`,
		"resources:\n- displayName: pool":        "f:2: resources[0].name: This field is needed: an id, or the full name.",
		"resources:\n- name: pool\n- name: pool": "f:2: resources[0]: ",
		"resources:\n- name: Pool\n  resourcePools: [{machineSpec: {machineType: n1-standard-4}, replicaCount: 1}]": "f:2: resources[0]: ",
		"resources: &r\n- name: x\n  labels: {a: *r}":                                                               "f:",
	} {
		_, err := scenario.Read("f", []byte(text), here)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s\nwant %s", text, got, want)
		}
	}
	_, err := scenario.Read("f", []byte("seed: -1\nbehaviour: {allowK80: 1}\nfaults: [{count: 0}]\nother: 1"), here)
	if got := err.Error(); strings.Count(got, "\n") != 3 {
		t.Errorf("not every problem is reported together:\n%s", got)
	}
}
