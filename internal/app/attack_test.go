package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// twoTenants is a deployment in which the request "secret" of blue runs, which red
// attacks.
func twoTenants(t *testing.T) *site {
	t.Helper()
	s := deployed(t, "BERTH_TENANTS=red-sub:red,blue-sub:blue")
	s.from(t, "blue", "71", sim.Job{ID: "secret", CPU: 1}.Body(), nil)
	s.from(t, "blue", "72", []byte(`{"job":[`+onePool+`]}`), nil) // its id is that of its message
	s.After(time.Minute)
	return s
}

// from delivers a message to a tenant, and returns what is published of it.
func (s *site) from(t *testing.T, tenant, id string, data []byte, attributes map[string]string) []message.Outcome {
	t.Helper()
	before := len(s.Out.All())
	d := message.Delivery{ID: id, PublishTime: s.Now, Subscription: "projects/test-project/subscriptions/" + tenant + "-sub", Data: data, Attributes: attributes}
	if w := post(s.app.admit, d.Push()); w.Code != http.StatusOK {
		t.Fatalf("message %s of %s: %d %s", id, tenant, w.Code, w.Body)
	}
	return s.Out.All()[before:]
}

// documents are those of a tenant.
func (s *site) documents(tenant string) (recs []*ledger.Record) {
	for _, rec := range s.Ledger.Records() {
		if rec.Tenant == tenant {
			recs = append(recs, rec)
		}
	}
	return recs
}

// TestAnotherTenantsRequest: with the id, the message id or the job of another tenant's
// request red reaches nothing of it, and learns nothing: the answers are those to a name
// that nobody has.
func TestAnotherTenantsRequest(t *testing.T) {
	s := twoTenants(t)
	before := s.documents("blue")
	job := before[0].Reservation.Job
	if job == "" || len(before) != 2 {
		t.Fatalf("%+v", before)
	}
	number := 0
	for _, c := range []struct{ data, known, unknown string }{
		{`{"cancel":{"requestId":"@"}}`, "secret", "nobody"},
		{`{"cancel":{"requestId":"@","reason":"mine"}}`, "secret", "nobody"},
		{`{"cancel":{"messageId":"@"}}`, "72", "99"},
		{`{"cancel":{"messageId":"@"}}`, "71", "98"},
		{`{"cancel":{"requestId":"@"}}`, string(before[0].Key), strings.Repeat("0", 32)},
		{`{"cancel":{"requestId":"@"}}`, ledger.JobNumber(job), "123456"},
		{`{"requestId":"@","dryRun":true,"job":[` + onePool + `]}`, "secret", "nobody"},
		{`{"requestId":"@","onFull":"reject","job":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":9,"containerSpec":{"imageUri":"i"}}]}`, "secret", "nobody"},
		{`{"requestId":"@","tenant":"blue","job":[` + onePool + `]}`, "secret", "nobody"},
	} {
		var answers []string
		for _, name := range []string{c.known, c.unknown} {
			number++
			events := s.from(t, "red", fmt.Sprint(number), []byte(strings.ReplaceAll(c.data, "@", name)), nil)
			for _, e := range events {
				text, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				if e.Tenant != "red" {
					t.Errorf("%s: answered to %s", c.data, e.Tenant)
				}
				answers = append(answers, strings.ReplaceAll(string(text), name, "NAME"))
			}
			answers = append(answers, "end")
		}
		if half := len(answers) / 2; len(answers) < 2 || diffWords(answers[:half], answers[half:]) != "" {
			t.Errorf("%s: the answers to another tenant's name and to an unknown one differ: %s", c.data, diffWords(answers[:len(answers)/2], answers[len(answers)/2:]))
		}
	}
	// By attributes, which have names of their own.
	s.from(t, "red", "a1", nil, map[string]string{"berth-cancel": "true", "berth-request-id": "secret"})
	s.After(10 * time.Minute)
	if diff := cmp.Diff(before, s.documents("blue")); diff != "" {
		t.Errorf("the documents of blue changed (-before +after):\n%s", diff)
	}
	for _, j := range s.Vertex.Jobs() {
		if j.Name == job && j.State != vertex.JobPending && j.State != vertex.JobRunning {
			t.Errorf("its job is %s", j.State)
		}
	}
	// The same id is free for red, and then there are two requests.
	s.from(t, "red", "own", sim.Job{ID: "secret9", CPU: 1}.Body(), nil)
	s.from(t, "blue", "own2", []byte(`{"cancel":{"requestId":"secret9"}}`), nil)
	for _, rec := range s.documents("red") {
		if rec.ID == "secret9" && rec.State.Terminal() {
			t.Errorf("blue cancelled a request of red: %s", rec.State)
		}
	}
}

// diffWords compares two lists of answers without what is new in every message.
func diffWords(a, b []string) string {
	plain := func(all []string) (out []any) {
		for _, text := range all {
			var v any
			if json.Unmarshal([]byte(text), &v) != nil {
				out = append(out, text)
				continue
			}
			out = append(out, scrub(v))
		}
		return out
	}
	return cmp.Diff(plain(a), plain(b))
}

func scrub(v any) any {
	if m, ok := v.(map[string]any); ok {
		for _, name := range []string{"id", "key", "time", "times", "job", "messageId", "run", "resourceState", "displayName"} {
			delete(m, name)
		}
	}
	return v
}

// TestCompressedBody: a compressed body is not inflated: neither a bomb nor a request
// gets in by one.
func TestCompressedBody(t *testing.T) {
	d := newDen(t)
	bomb := make([]byte, 64<<20)
	for name, text := range map[string][]byte{"a bomb": bomb, "a delivery": message.Delivery{ID: "1", Data: sim.Job{ID: "packed", CPU: 1}.Body()}.Push()} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(text)
		_ = z.Close()
		for _, entry := range []http.HandlerFunc{d.app.admit, d.app.reconcile} {
			r := httptest.NewRequest(http.MethodPost, "/", &packed)
			r.Header.Set("Content-Encoding", "gzip")
			w := httptest.NewRecorder()
			if entry(w, r); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		r := httptest.NewRequest(http.MethodPost, "/explain", &packed)
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		if d.app.answer(w, r); w.Code != http.StatusBadRequest {
			t.Errorf("/explain of %s: %d %s", name, w.Code, w.Body)
		}
	}
	if n := len(d.Ledger.Records()); n != 1 {
		t.Errorf("%d requests are stored, want the first alone", n)
	}
}

// TestThousandsAtOnce: three thousand deliveries at once, most of them broken, are all
// answered, and the good ones among them are taken, each once.
func TestThousandsAtOnce(t *testing.T) {
	d := newDen(quiet{t})
	bad := [][]byte{[]byte("{"), nil, []byte(`{"message":{}}`), bytes.Repeat([]byte("["), 10_000), message.Delivery{ID: "z", Data: []byte("{")}.Push()}
	var wait sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for i := range 3000 {
		body, id := bad[i%len(bad)], fmt.Sprintf("good%d", i)
		if i%100 == 0 {
			body = message.Delivery{ID: id, PublishTime: d.Now, Data: sim.Job{ID: id, CPU: 4, DryRun: i%200 == 0}.Body()}.Push()
		}
		wait.Go(func() {
			code := post(d.app.admit, body).Code
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	wait.Wait()
	if codes[200] != 30+600 || codes[400] != 3000-30-600 {
		t.Errorf("the answers are %v", codes)
	}
	waiting := 0
	for _, rec := range d.Ledger.Records() {
		if strings.HasPrefix(rec.ID, "good") && rec.State == lifecycle.Waiting {
			waiting++
		}
	}
	if waiting != 15 {
		t.Errorf("%d good requests wait, want 15", waiting)
	}
	d.CheckHolds()
}

// TestThousandSetsOfMachines: a tenant that asks for ever other sets of machines is
// refused in the end, before the document of the resource is full; the requests of
// another tenant, for a set of its own, are taken meanwhile.
func TestThousandSetsOfMachines(t *testing.T) {
	s := twoTenants(t)
	var pools []capacity.Pool
	const shapes = 12
	for i := range shapes {
		pools = append(pools, capacity.Pool{ID: fmt.Sprint("p", i), Shape: capacity.Spec{MachineType: fmt.Sprintf("c2-standard-%d", i+1)}.Normal(), Count: 1})
	}
	s.SetPools(vertex.Running, pools...)
	s.After(time.Minute)
	number := 100
	send := func(tenant string, set ...int) reason.Code {
		number++
		var specs []string
		for _, n := range set {
			specs = append(specs, fmt.Sprintf(`{"machineSpec":{"machineType":"c2-standard-%d"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}`, n+1))
		}
		events := s.from(t, tenant, fmt.Sprint(number), []byte(`{"job":[`+strings.Join(specs, ",")+`]}`), nil)
		last := events[len(events)-1]
		if last.State == string(lifecycle.Rejected) {
			return last.Reason.Code
		}
		return ""
	}
	for i := range shapes {
		send("red", i) // these take all machines
	}
	refused := reason.Code("")
	sent := 0
flood:
	for a := range shapes {
		for b := range a {
			for c := range b {
				for e := range c {
					sent++
					if refused = send("red", a, b, c, e); refused != "" {
						break flood
					}
				}
			}
		}
	}
	if refused != reason.HoldLimit || sent != 257 {
		t.Errorf("after %d sets: %q, want a refusal at 257", sent, refused)
	}
	if code := send("blue", 0, 11); code != "" {
		t.Errorf("blue is refused with %s", code)
	}
	if code := send("red", 3, 2, 1, 0); code != "" {
		t.Errorf("a set that waits already is refused with %s", code)
	}
	for _, doc := range s.Ledger.Dump() {
		if res, ok := doc.(*ledger.Resource); ok && res.Name == sim.Resource {
			if text, _ := json.Marshal(res); len(text) > 300<<10 {
				t.Errorf("the document has %d bytes of a million", len(text))
			}
		}
	}
}
