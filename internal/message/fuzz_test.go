package message

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// checkRefusal holds what every refusal promises.
func checkRefusal(t *testing.T, err error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("error %T is not a refusal: %v", err, err)
	}
	if n := len(refusal.Problems); n == 0 || n > maxProblems {
		t.Errorf("%d problems", n)
	}
	for _, p := range refusal.Problems {
		if p.Code == "" || p.Code == Remark || p.Detail == "" {
			t.Errorf("problem without words: %#v", p)
		}
		for _, s := range []string{p.Path, p.Detail, p.Mend, refusal.ClaimedID} {
			if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
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
		if n.Replicas < 1 || n.Shape != n.Shape.Normal() || n.Shape.MachineType == "" {
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

func TestParseJobRefuses(t *testing.T) {
	for _, text := range []string{`{"jobSpec": {"newField": 1}}`, `{"displayName": 1}`, `[]`, ``} {
		if job, err := ParseJob([]byte(text)); err == nil {
			t.Errorf("%s reads as %v", text, job)
		}
	}
}
