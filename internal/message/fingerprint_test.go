package message

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"example.com/berth/internal/strict"
)

// wholeJob has every field that a user can set and Berth takes, with no value that
// Vertex AI would fill in.
//
//go:embed testdata/whole.json
var wholeJob []byte

// A content is what a message means, to be sent in one form or another.
type content struct {
	job               *aiplatformpb.CustomJob
	id, resource      string
	priority, maxWait int
	reject, dry       bool
}

func (c content) clone() content {
	c.job = proto.CloneOf(c.job)
	return c
}

// draw makes a content of random fields of the whole job.
func draw(t *rapid.T) content {
	c := content{job: &aiplatformpb.CustomJob{}, id: rapid.SampledFrom([]string{"", "a", "1"}).Draw(t, "id"),
		resource: rapid.SampledFrom([]string{"", "gpu"}).Draw(t, "resource"), priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
		maxWait: rapid.IntRange(0, 1).Draw(t, "wait"), reject: rapid.Bool().Draw(t, "reject"), dry: rapid.Bool().Draw(t, "dry")}
	if err := protojson.Unmarshal(wholeJob, c.job); err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{c.job, c.job.JobSpec, c.job.JobSpec.Scheduling, c.job.JobSpec.WorkerPoolSpecs[0], c.job.JobSpec.WorkerPoolSpecs[2],
		c.job.JobSpec.WorkerPoolSpecs[0].GetContainerSpec(), c.job.JobSpec.WorkerPoolSpecs[2].GetPythonPackageSpec()} {
		r := m.ProtoReflect()
		for _, fd := range fieldsOf(r) {
			switch fd.Name() {
			case "job_spec", "worker_pool_specs", "machine_spec", "replica_count", "container_spec", "python_package_spec", "image_uri",
				"executor_image_uri", "package_uris", "python_module", "service_account":
			default:
				if rapid.Bool().Draw(t, string(fd.Name())) {
					r.Clear(fd)
				}
			}
		}
	}
	return c
}

func fieldsOf(m protoreflect.Message) (set []protoreflect.FieldDescriptor) {
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, fd)
		return true
	})
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number() - b.Number()) })
	return set
}

// A tailor sends contents in random forms.
type tailor struct{ t *rapid.T }

func (w tailor) coin(what string) bool { return rapid.Bool().Draw(w.t, what) }

func (w tailor) one(what string, of ...any) any { return rapid.SampledFrom(of).Draw(w.t, what) }

func (w tailor) key(name string) string {
	if w.coin("snake") {
		return name
	}
	return strict.Camel(name)
}

func (w tailor) message(m protoreflect.Message) any {
	if d, ok := m.Interface().(*durationpb.Duration); ok {
		s := strconv.FormatFloat(d.AsDuration().Seconds(), 'f', -1, 64)
		return w.one("duration", s+"s", s+".0s", s+".000000000s")
	}
	all := map[string]any{}
	for _, fd := range fieldsOf(m) {
		var v any
		switch x := m.Get(fd); {
		case fd.IsMap():
			labels := map[string]any{}
			x.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				labels[k.String()] = v.String()
				return true
			})
			v = labels
		case fd.IsList():
			var items []any
			for i := range x.List().Len() {
				items = append(items, w.value(fd, x.List().Get(i)))
			}
			if v = items; len(items) == 1 && w.coin("alone") {
				v = items[0]
			}
		default:
			v = w.value(fd, x)
		}
		all[w.key(string(fd.Name()))] = v
	}
	w.idle(m, all)
	return all
}

// idle adds fields that say nothing: empty values, and what Vertex AI fills in.
func (w tailor) idle(m protoreflect.Message, all map[string]any) {
	fields := m.Descriptor().Fields()
	placeholder := m.Descriptor() == poolType && len(all) == 0
	for i := range fields.Len() {
		fd := fields.Get(i)
		if m.Has(fd) || rapid.IntRange(0, 3).Draw(w.t, "idle") > 0 {
			continue
		}
		switch {
		case placeholder:
			all[w.key(string(fd.Name()))] = w.one("nothing", nil, "", []any{})
		case fd.ContainingOneof() != nil || fd.IsList() || fd.IsMap():
			all[w.key(string(fd.Name()))] = w.one("empty", nil, "", []any{}, map[string]any{})
		case m.Descriptor() == jobType && outputOnly[string(fd.Name())]:
			all[w.key(string(fd.Name()))] = "whatever the server said"
		case fd.FullName() == "google.cloud.aiplatform.v1.Scheduling.strategy":
			all[w.key("strategy")] = w.one("strategy", "STANDARD", "ON_DEMAND", "STRATEGY_UNSPECIFIED", 0, 1, 3)
		case fd.FullName() == "google.cloud.aiplatform.v1.Scheduling.timeout":
			all[w.key("timeout")] = "604800s"
		case fd.Message() == diskType:
			all[w.key("disk_spec")] = map[string]any{w.key("boot_disk_type"): w.one("disk", "", "pd-ssd", nil), w.key("boot_disk_size_gb"): w.one("size", 100, "100", 0, nil)}
		default:
			all[w.key(string(fd.Name()))] = w.one("unset", nil, "", []any{})
		}
	}
}

func (w tailor) value(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return w.message(v.Message())
	case protoreflect.EnumKind:
		return w.one("enum", string(fd.Enum().Values().ByNumber(v.Enum()).Name()), int(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return w.one("int", v.Int(), v.String(), v.String()+".0", json.Number(v.String()+".0"), json.Number(v.String()+"e0"))
	case protoreflect.BoolKind:
		return v.Bool()
	}
	return v.String()
}

// send gives a content some form.
func (w tailor) send(c content) Delivery {
	c = c.clone()
	d := Delivery{ID: "1", Attributes: map[string]string{"traceparent": "x"}}
	envelope := map[string]any{}
	option := func(name string, value any, idle ...any) {
		set := value != idle[0]
		switch {
		case !set && w.coin("left out"):
		case set && w.coin("attribute"):
			d.Attributes[attributeName(name)] = fmt.Sprint(value)
		case set:
			envelope[w.key(name)] = value
		default:
			envelope[w.key(name)] = w.one("idle option", append(idle, nil, "")...)
		}
	}
	option("request_id", c.id, "")
	option("priority", c.priority, 0)
	option("dry_run", c.dry, false)
	option("on_full", map[bool]string{true: "reject", false: "queue"}[c.reject], "queue")
	option("max_wait", map[int]string{0: "", 1: "60s"}[c.maxWait], "")
	if w.coin("resource of the job") {
		c.job.JobSpec.PersistentResourceId = c.resource
	} else {
		option("persistent_resource", c.resource, "")
	}
	if w.coin("unused pool") {
		c.job.JobSpec.WorkerPoolSpecs = append(c.job.JobSpec.WorkerPoolSpecs, &aiplatformpb.WorkerPoolSpec{})
	}
	var job any
	if c.job.EncryptionSpec == nil && w.coin("spec alone") {
		option("display_name", c.job.DisplayName, "")
		if len(c.job.Labels) > 0 {
			labels := map[string]any{}
			for k, v := range c.job.Labels {
				labels[k] = v
			}
			envelope["labels"] = labels
		}
		job = w.message(c.job.JobSpec.ProtoReflect())
	} else {
		job = w.message(c.job.ProtoReflect())
	}
	if len(envelope) > 0 || w.coin("envelope") {
		envelope["job"] = job
		job = envelope
	}
	var err error
	if w.coin("YAML") {
		d.Data, err = yaml.Marshal(plainNumbers(job))
	} else {
		d.Data, err = json.MarshalIndent(job, "", w.one("indent", "", " ").(string))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// plainNumbers makes numbers of what YAML would write as text.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return int(f)
	case map[string]any:
		v = maps.Clone(v)
		for k, x := range v {
			v[k] = plainNumbers(x)
		}
		return v
	case []any:
		v = slices.Clone(v)
		for i, x := range v {
			v[i] = plainNumbers(x)
		}
		return v
	}
	return v
}

// change makes one random change to a content.
func change(t *rapid.T, c content) content {
	c = c.clone()
	switch rapid.IntRange(0, 8).Draw(t, "change") {
	case 0:
		c.id += "x"
	case 1:
		c.resource += "x"
	case 2:
		c.priority += 5
	case 3:
		c.maxWait = 1 - c.maxWait
	case 4:
		c.reject = !c.reject
	case 5:
		c.dry = !c.dry
	default:
		changeField(t, c.job.ProtoReflect())
	}
	return c
}

// changeField changes one value somewhere in a message.
func changeField(t *rapid.T, m protoreflect.Message) {
	if d, ok := m.Interface().(*durationpb.Duration); ok {
		d.Seconds++
		return
	}
	fields := slices.DeleteFunc(fieldsOf(m), func(fd protoreflect.FieldDescriptor) bool { // nothing is in it to be changed
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return false
		}
		inner := m.Get(fd).Message()
		_, duration := inner.Interface().(*durationpb.Duration)
		return !duration && len(fieldsOf(inner)) == 0
	})
	fd := rapid.SampledFrom(fields).Draw(t, "field")
	switch v := m.Get(fd); {
	case fd.IsMap():
		v.Map().Set(protoreflect.ValueOf("more").MapKey(), protoreflect.ValueOf("x"))
	case fd.IsList() && fd.Message() == nil:
		i := rapid.IntRange(0, v.List().Len()-1).Draw(t, "entry")
		v.List().Set(i, protoreflect.ValueOf(v.List().Get(i).String()+"x"))
	case fd.IsList():
		i := rapid.IntRange(0, v.List().Len()-1).Draw(t, "entry")
		if entry := v.List().Get(i).Message(); len(fieldsOf(entry)) > 0 {
			changeField(t, entry)
		} else {
			changeField(t, v.List().Get(0).Message())
		}
	case fd.Message() != nil:
		changeField(t, v.Message())
	case fd.Kind() == protoreflect.StringKind && strings.HasSuffix(v.String(), "."):
		m.Set(fd, protoreflect.ValueOf("x"+v.String()))
	case fd.Kind() == protoreflect.StringKind:
		m.Set(fd, protoreflect.ValueOf(v.String()+"x"))
	case fd.Kind() == protoreflect.BoolKind:
		m.Set(fd, protoreflect.ValueOf(!v.Bool()))
	case fd.Kind() == protoreflect.EnumKind:
		m.Set(fd, protoreflect.ValueOf(v.Enum()+1))
	case fd.Kind() == protoreflect.Int32Kind:
		m.Set(fd, protoreflect.ValueOf(int32(v.Int()+1)))
	default:
		m.Set(fd, protoreflect.ValueOf(v.Int()+1))
	}
}

// One content has one fingerprint in every form, and what was read is the same; any
// other content has another.
func TestFingerprintIsOfTheContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := tailor{t}
		c := draw(t)
		read := func(c content) Message {
			d := w.send(c)
			m, err := Decode(d)
			if err != nil {
				t.Fatalf("%v\n%v\n%s", err, d.Attributes, d.Data)
			}
			return m
		}
		first, second := read(c), read(c)
		if first.Fingerprint != second.Fingerprint {
			a, _ := first.Request.JobJSON()
			b, _ := second.Request.JobJSON()
			t.Errorf("one content, two fingerprints:\n%+v\n%s\n%+v\n%s", *first.Request, a, *second.Request, b)
		}
		if other := read(change(t, c)); other.Fingerprint == first.Fingerprint {
			a, _ := first.Request.JobJSON()
			b, _ := other.Request.JobJSON()
			t.Errorf("two contents, one fingerprint:\n%+v\n%s\n%+v\n%s", *first.Request, a, *other.Request, b)
		}
	})
}

func TestFingerprint(t *testing.T) {
	print := func(data string, attributes map[string]string) string {
		t.Helper()
		m, err := Decode(Delivery{ID: "2", Data: []byte(data), Attributes: attributes, Attempt: 3, Subscription: "s"})
		if err != nil {
			t.Fatal(err)
		}
		return m.Fingerprint
	}
	base := print(`{"requestId":"a","job":`+plainJob+`}`, nil)
	for name, same := range map[string]string{
		"escapes":            print(`{"request\u0049d":"\u0061","job":`+plainJob+`}`, nil),
		"attributes":         print(plainJob, map[string]string{"berth-request-id": "a", "berth-priority": "0", "berth-on-full": "", "googclient_a": "b"}),
		"alias":              print("requestId: &a a\ndisplayName:\njob:\n- <<: {containerSpec: {imageUri: i}, replicaCount: 7}\n  replicaCount: 1\n  machineSpec: {machineType: m}\n", nil),
		"unused worker pool": print(`{"requestId":"a","job":`+strings.TrimSuffix(plainJob, "]")+`,{},{"machineSpec":{}}]}`, nil),
	} {
		if same != base {
			t.Errorf("%s: another fingerprint", name)
		}
	}
	in := func(resource string) string {
		return print(`{"requestId":"a","persistentResource":"`+resource+`","job":`+plainJob+`}`, nil)
	}
	if in("pool") != in("projects/p/locations/us-central1/persistentResources/pool") || in("pool") == in("pools") || in("pool") == base {
		t.Error("a persistent resource by its id is not the one of that full name, or is another")
	}
	if a, b := print(`{"cancel":{"requestId":"a","messageId":""},"requestId":null}`, nil), print("", map[string]string{"berth-cancel": "true", "berth-request-id": "a"}); a != b {
		t.Error("a cancel by attributes differs from one by data")
	}
	for name, c := range map[string]struct {
		machine, disk string
		same          bool
	}{
		"usual disk":        {"n1-standard-4", `{"bootDiskType":"pd-ssd","bootDiskSizeGb":100}`, true},
		"size alone":        {"n1-standard-4", `{"bootDiskSizeGb":"100"}`, true},
		"other disk":        {"n1-standard-4", `{"bootDiskType":"pd-standard"}`, false},
		"usual on a3 ultra": {"a3-ultragpu-8g", `{"bootDiskType":"hyperdisk-balanced"}`, true},
		"pd-ssd on a3":      {"a3-ultragpu-8g", `{"bootDiskType":"pd-ssd"}`, false},
		"hyperdisk on n1":   {"n1-standard-4", `{"bootDiskType":"hyperdisk-balanced"}`, false},
		"larger":            {"n1-standard-4", `{"bootDiskSizeGb":101}`, false},
	} {
		job := `[{"machineSpec":{"machineType":"` + c.machine + `"},"replicaCount":1,"diskSpec":@,"containerSpec":{"imageUri":"i"}}]`
		if same := print(strings.Replace(job, "@", c.disk, 1), nil) == print(strings.Replace(job, "@", "null", 1), nil); same != c.same {
			t.Errorf("%s: same as no disk spec: %v", name, same)
		}
	}
	seen := map[string]string{base: "base"}
	for name, other := range map[string]string{
		"request id":            print(`{"requestId":"b","job":`+plainJob+`}`, nil),
		"no request id":         print(plainJob, nil),
		"order of worker pools": print(`{"requestId":"a","job":[`+plainJob[1:len(plainJob)-1]+`,{},`+plainJob[1:]+`}`, nil),
		"neighbours":            print(`{"requestId":"a","job":[`+plainJob[1:len(plainJob)-1]+`,`+plainJob[1:]+`}`, nil),
		"timeout of nothing":    print(`{"requestId":"a","job":{"scheduling":{"timeout":"0s"},"workerPoolSpecs":`+plainJob+`}}`, nil),
		"cancel":                print(`{"cancel":{"requestId":"a"}}`, nil),
		"cancel of a message":   print(`{"cancel":{"messageId":"a"}}`, nil),
		"cancel with a reason":  print(`{"cancel":{"messageId":"a","reason":"b"}}`, nil),
	} {
		if twin := seen[other]; twin != "" {
			t.Errorf("%s has the fingerprint of %s", name, twin)
		}
		seen[other] = name
	}
	// Fingerprints are stored: this one was taken when the form was fixed.
	const stored = "6531f405ff369b835ac5d64d9465b62ba821845497d11916a45dc1d3b51ae40b"
	whole, err := Decode(Delivery{ID: "1", Data: wholeJob})
	if err != nil || whole.Fingerprint != stored {
		t.Errorf("the form of the fingerprint has changed: got %s, error %v", whole.Fingerprint, err)
	}
}
