package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// hostile returns the hostile messages of the module's corpus, as they stand in
// files of the given beginning.
func hostile(t testing.TB, part string) (all [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../../testdata/hostile/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	pool := plainJob[1 : len(plainJob)-1]
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if _, name, _ := strings.Cut(f.Name, "/"); strings.HasPrefix(name, part) {
				all = append(all, []byte(strings.NewReplacer("@POOL@", pool, "@TYPE@", publishedType, "@GOOD@", "e30=").Replace(string(f.Data))))
			}
		}
	}
	return all
}

// checkRefusal holds what every refusal promises.
func checkRefusal(t *testing.T, err error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("error %T is not a refusal: %v", err, err)
	}
	if n := len(refusal.Problems); n == 0 || n > strict.MaxProblems {
		t.Errorf("%d problems", n)
	}
	for _, p := range refusal.Problems {
		if p.Code == "" || p.Code == reason.Warning || p.Detail == "" || p.Fix == "" {
			t.Errorf("problem without words: %#v", p)
		}
		for _, s := range []string{p.Path, p.Detail, p.Fix, refusal.ClaimedID} {
			if len(s) > strict.MaxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("problem with a text of %d bytes: %q", len(s), s)
			}
		}
	}
}

func FuzzDecodeDelivery(f *testing.F) {
	f.Add("application/json", "", "", []byte(pushEnvelope))
	f.Add("application/json", "1.0", publishedType, []byte(pushEnvelope))
	f.Add("application/cloudevents+json", "", "", []byte(`{"specversion":"1.0","type":"`+publishedType+`","data":`+pushEnvelope+`}`))
	f.Add("application/cloudevents+json", "", "", []byte(`{"specversion":"1.0","type":"`+publishedType+`","data_base64":"e30="}`))
	f.Add("", "", "", []byte(`{"message":{"messageId":"1","data":"!"}}`))
	for _, body := range hostile(f, "body.") {
		for _, contentType := range []string{"application/json", "application/cloudevents+json"} {
			f.Add(contentType, "", "", body)
		}
	}
	f.Fuzz(func(t *testing.T, contentType, version, typ string, body []byte) {
		header := func(name string) string {
			return map[string]string{"content-type": contentType, "ce-specversion": version, "ce-type": typ}[strings.ToLower(name)]
		}
		d, err := DecodeDelivery(header, body)
		if err != nil {
			checkRefusal(t, err)
		} else if d.ID == "" {
			t.Error("no id and no error")
		}
		if d.ID != "" && !requestID.MatchString(d.ID) {
			t.Errorf("id %q", d.ID)
		}
		if _, err := json.Marshal(d.PublishTime); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/accept/*.txtar", "testdata/refuse/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			for _, s := range samples(f, file) {
				f.Add(s.delivery.Data, "", "")
				for key, value := range s.delivery.Attributes {
					f.Add(s.delivery.Data, key, value)
				}
			}
		}
	}
	for _, data := range hostile(f, "data.") {
		f.Add(data, "", "")
	}
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		d := Delivery{ID: "1", Data: data}
		if key != "" {
			d.Attributes = map[string]string{key: value}
		}
		m, err := Decode(d)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		again, err := Decode(d)
		if err != nil || again.Fingerprint != m.Fingerprint {
			t.Errorf("decoded twice: %v, %v, error %v", m, again, err)
		}
		if m.Request != nil { // what was read, sent again in the service's own form, is the same content
			q := m.Request
			job, err := q.JobJSON()
			if err != nil {
				t.Fatal(err)
			}
			plain := Delivery{ID: "1", Attributes: map[string]string{
				"berth-request-id": q.RequestID, "berth-persistent-resource": q.PersistentResource, "berth-priority": strconv.Itoa(q.Priority),
				"berth-on-full": string(q.OnFull), "berth-dry-run": strconv.FormatBool(q.DryRun)}, Data: job}
			if q.Concurrency.Key != "" {
				plain.Attributes["berth-concurrency-key"], plain.Attributes["berth-concurrency-policy"] = q.Concurrency.Key, string(q.Concurrency.Policy)
			}
			if q.MaxWait > 0 {
				plain.Attributes["berth-max-wait"] = fmt.Sprintf("%d.%09ds", q.MaxWait/time.Second, q.MaxWait%time.Second)
			}
			if len(job) > MaxData {
				return // written out, aliases and escapes can take more room
			}
			if same, err := Decode(plain); err != nil || same.Fingerprint != m.Fingerprint {
				t.Errorf("%s with %v is another content than %s with %q: error %v", job, plain.Attributes, data, d.Attributes, err)
			}
		}
		if (m.Request == nil) == (m.Cancel == nil) {
			t.Fatal("not exactly one of request and cancel")
		}
		if enveloped(data) {
			if err := validate(t, data); err != nil {
				t.Errorf("the schema refuses what Decode takes: %v", err)
			}
		}
		if m.Request != nil {
			checkRequest(t, m.Request)
		}
	})
}

func checkRequest(t *testing.T, q *Request) {
	if len(q.Ask) == 0 || q.Job.JobSpec.PersistentResourceId != "" || q.Job.Name != "" {
		t.Errorf("ask %v, job %v", q.Ask, q.Job)
	}
	for _, n := range q.Ask {
		if n.Replicas < 1 || n.Shape != n.Shape.Spec().Normal() || n.Shape.Spec().MachineType == "" {
			t.Errorf("need %+v", n)
		}
		var back = n.Shape
		if err := back.UnmarshalText([]byte(n.Shape.String())); err != nil || back != n.Shape {
			t.Errorf("shape %s reads back as %s, error %v", n.Shape, back, err)
		}
	}
	for key := range q.Job.Labels {
		if strings.HasPrefix(strings.ToLower(key), LabelPrefix) {
			t.Errorf("label %q", key)
		}
	}
	text, err := q.JobJSON()
	if err != nil {
		t.Fatal(err)
	}
	job, err := ParseJob(text)
	if err != nil || !proto.Equal(job, q.Job) {
		t.Errorf("read back %v, error %v", job, err)
	}
	if again, err := q.JobJSON(); err != nil || string(again) != string(text) {
		t.Errorf("encoded twice: %s and %s, error %v", text, again, err)
	}
}

// FuzzDecodeOutcome reads events that Berth did not write. An event that is read and
// written is the same when it is read and written again.
func FuzzDecodeOutcome(f *testing.F) {
	files, err := filepath.Glob("testdata/outcomes/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var event struct {
			Attributes map[string]string
			Data       json.RawMessage
		}
		if err := json.Unmarshal(text, &event); err != nil {
			f.Fatal(err)
		}
		f.Add(event.Attributes["ce-type"], event.Attributes["ce-id"], event.Attributes["ce-time"], event.Attributes["ce-sequence"], []byte(event.Data))
	}
	f.Add(string(Queued), "a", "9999-12-31T23:59:59-23:59", "0000000001", []byte(`{"tenant":"t","messageId":"1","sequence":1}`))
	f.Add(string(Queued), "a", "2026-01-01T00:00:00Z", "99999999999999999999", []byte(`{"tenant":"t","messageId":"1"}`))
	f.Add(string(Failed), "a", "2026-01-01T00:00:00Z", "1", []byte(`{"tenant":"t","messageId":"1","error":{"code":3,"message":"`+strings.Repeat("é", 2*maxJobError)+`"}}`))
	f.Fuzz(func(t *testing.T, typ, id, at, sequence string, data []byte) {
		o, err := DecodeOutcome(map[string]string{"ce-specversion": "1.0", "ce-type": typ, "ce-id": id, "ce-time": at, "ce-sequence": sequence}, data)
		if err != nil {
			return
		}
		written, attributes, err := o.PubSub(testSource)
		if err != nil {
			return
		}
		again, err := DecodeOutcome(attributes, written)
		if err != nil {
			t.Fatalf("%s cannot be read: %v", written, err)
		}
		rewritten, same, err := again.PubSub(testSource)
		if err != nil || string(rewritten) != string(written) || !maps.Equal(same, attributes) {
			t.Errorf("%v %s becomes %v %s, error %v", attributes, written, same, rewritten, err)
		}
	})
}

// FuzzParseJob reads stored jobs that a newer build, or an operator by hand, may have
// written.
func FuzzParseJob(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"displayName":"a","labels":{"b":"c"},"jobSpec":{"workerPoolSpecs":[{},{"machineSpec":{"machineType":"m","acceleratorType":99}}]}}`))
	f.Add([]byte(`{"jobSpec":{"scheduling":{"timeout":"315576000000.999999999s"}},"error":{"details":[{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}]}}`))
	for _, data := range hostile(f, "data.json") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		job, err := ParseJob(data)
		if err != nil {
			if s := err.Error(); len(s) > strict.MaxText+20 || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("error of %d bytes: %q", len(s), s)
			}
			return
		}
		text, err := (&Request{Job: job}).JobJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseJob(text)
		if err != nil || !proto.Equal(back, job) {
			t.Errorf("%s reads back as %v, error %v", text, back, err)
		}
		for _, n := range AskOf(job, "") {
			if n.Replicas < 1 {
				t.Errorf("need %+v", n)
			}
		}
	})
}

func TestParseJobRefuses(t *testing.T) {
	for _, text := range []string{`{"jobSpec": {"newField": 1}}`, `{"displayName": 1}`, `[]`, ``} {
		if job, err := ParseJob([]byte(text)); err == nil {
			t.Errorf("%s reads as %v", text, job)
		}
	}
}
