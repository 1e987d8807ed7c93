package fakevertex_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/berth/internal/vertex/fakevertex"
)

// rest does one call and returns its status and its decoded JSON.
func (w *world) rest(t *testing.T, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json; charset=UTF-8" {
		t.Errorf("%s %s: content type %q, body %s", method, path, ct, raw)
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s %s: status %d, body %q: %v", method, path, resp.StatusCode, raw, err)
	}
	return resp.StatusCode, out
}

const jobJSON = `{"displayName":"train","labels":{"a":"b"},"jobSpec":{"persistentResourceId":"pr","workerPoolSpecs":[
	{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1","containerSpec":{"imageUri":"gcr.io/p/train"}}]}}`

func TestREST(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 2))
	code, job := w.rest(t, "POST", "/v1/"+parent+"/customJobs?alt=json&prettyPrint=false", jobJSON)
	if code != 200 || job["state"] != "JOB_STATE_PENDING" {
		t.Fatalf("create: %d %v", code, job)
	}
	pools := job["jobSpec"].(map[string]any)["workerPoolSpecs"].([]any)[0].(map[string]any)
	if disk := fmt.Sprint(pools["diskSpec"]); disk != "map[bootDiskSizeGb:100 bootDiskType:pd-ssd]" || pools["replicaCount"] != "1" {
		t.Errorf("worker pool: %v", pools)
	}
	if _, ok := job["error"]; ok {
		t.Errorf("a new job shows an error: %v", job)
	}
	name := job["name"].(string)
	byID := strings.Replace(name, "123456789012", "my-project", 1)

	if code, got := w.rest(t, "GET", "/v1/"+byID+"?alt=json", ""); code != 200 || got["name"] != name {
		t.Errorf("get: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1beta1/"+byID, ""); code != 200 || got["name"] != name {
		t.Errorf("get as v1beta1: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+byID+"?$alt=json;enum-encoding=int", ""); code != 200 || got["state"] != float64(2) {
		t.Errorf("get with enums as numbers: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+byID+"?%24alt=json%3Benum-encoding%3Dint", ""); code != 200 || got["state"] != float64(2) {
		t.Errorf("get with enums as numbers, escaped: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+parent+"/customJobs?alt=json&pageSize=100&filter=labels.a%3Db&readMask=name,state", ""); code != 200 ||
		len(got["customJobs"].([]any)) != 1 || len(got["customJobs"].([]any)[0].(map[string]any)) != 2 {
		t.Errorf("list: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+parent+"/customJobs?filter=labels.a%3Dc", ""); code != 200 || len(got) != 0 {
		t.Errorf("list of none: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+resourceName, ""); code != 200 {
		t.Errorf("get resource: %d %v", code, got)
	} else {
		p := got["resourcePools"].([]any)[0].(map[string]any)
		if e, ok := got["error"].(map[string]any); !ok || len(e) != 0 || p["id"] != "n1-standard-4" || p["usedReplicaCount"] != "1" {
			t.Errorf("resource: %v", got)
		}
	}
	if code, got := w.rest(t, "POST", "/v1/"+byID+":cancel?alt=json", "{}"); code != 200 || len(got) != 0 {
		t.Errorf("cancel: %d %v", code, got)
	}
	w.clock.Advance(time.Minute)
	if _, got := w.rest(t, "GET", "/v1/"+resourceName, ""); got["resourcePools"].([]any)[0].(map[string]any)["usedReplicaCount"] != nil {
		t.Errorf("a count of zero is shown: %v", got)
	}
	code, op := w.rest(t, "DELETE", "/v1/"+byID, "")
	if code != 200 || op["done"] != true {
		t.Errorf("delete: %d %v", code, op)
	}
	if code, got := w.rest(t, "GET", "/v1/"+op["name"].(string), ""); code != 200 || got["done"] != true {
		t.Errorf("get operation: %d %v", code, got)
	}
}

func TestRESTResource(t *testing.T) {
	w := newWorld(t, nil)
	code, op := w.rest(t, "POST", "/v1/"+parent+"/persistentResources?alt=json&persistentResourceId=made",
		`{"resourcePools":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"2"}]}`)
	if code != 200 || !strings.Contains(fmt.Sprint(op["name"]), "/persistentResources/made/operations/") {
		t.Fatalf("create: %d %v", code, op)
	}
	w.clock.Advance(5 * time.Minute)
	if code, got := w.rest(t, "GET", "/v1/"+op["name"].(string), ""); code != 200 || got["done"] != true {
		t.Errorf("operation: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+parent+"/persistentResources/made/operations", ""); code != 200 || len(got["operations"].([]any)) != 1 {
		t.Errorf("operations: %d %v", code, got)
	}
	if code, got := w.rest(t, "POST", "/v1/"+parent+"/persistentResources/made:reboot", "{}"); code != 200 {
		t.Errorf("reboot: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", "/v1/"+parent+"/persistentResources?pageSize=100", ""); code != 200 ||
		got["persistentResources"].([]any)[0].(map[string]any)["state"] != "REBOOTING" {
		t.Errorf("list: %d %v", code, got)
	}
}

func TestRESTErrors(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 2))
	for _, c := range []struct {
		method, path, body string
		code               int
		status, message    string
	}{
		{"GET", parent + "/customJobs/1", "", 404, "NOT_FOUND", "The CustomJob does not exist."},
		{"GET", parent + "/customJobs/abc?alt=json", "", 400, "INVALID_ARGUMENT", "Invalid CustomJob resource name."},
		{"GET", parent + "/persistentResources/none", "", 404, "NOT_FOUND", "The PersistentResource does not exist."},
		{"GET", parent + "/customJobs?filter=job_spec%3D1", "", 400, "INVALID_ARGUMENT", "job_spec"},
		{"GET", parent + "/customJobs?surprise=1", "", 400, "INVALID_ARGUMENT", "surprise"},
		{"POST", parent + "/customJobs", `{}`, 400, "INVALID_ARGUMENT", "display_name"},
		{"POST", parent + "/customJobs", `{"surprise":1}`, 400, "INVALID_ARGUMENT", "surprise"},
		{"POST", parent + "/customJobs", `{`, 400, "INVALID_ARGUMENT", ""},
		{"POST", parent + "/hyperparameterTuningJobs", `{}`, 501, "UNIMPLEMENTED", ""},
		{"GET", parent + "/nothing/1", "", 404, "NOT_FOUND", ""},
	} {
		code, got := w.rest(t, c.method, "/v1/"+c.path, c.body)
		e, _ := got["error"].(map[string]any)
		if code != c.code || e["code"] != float64(c.code) || e["status"] != c.status || !strings.Contains(fmt.Sprint(e["message"]), c.message) {
			t.Errorf("%s %s %s: %d %v", c.method, c.path, c.body, code, got)
		}
	}
	w.FaultOnce("CreateCustomJob", fakevertex.FailAfter(codes.Unavailable, "try again"))
	if code, got := w.rest(t, "POST", "/v1/"+parent+"/customJobs", jobJSON); code != 503 || fmt.Sprint(got["error"]) != "map[code:503 message:try again status:UNAVAILABLE]" {
		t.Errorf("fault: %d %v", code, got)
	}
	w.FaultOnce("CreateCustomJob", fakevertex.DropAfter())
	resp, err := http.Post("http://"+w.addr+"/v1/"+parent+"/customJobs", "application/json", strings.NewReader(jobJSON))
	if err == nil {
		resp.Body.Close()
		t.Errorf("dropped, but answered %v", resp.Status)
	}
	if n := len(w.Jobs()); n != 2 {
		t.Errorf("%d jobs, want 2", n)
	}
}

func TestRESTCompressed(t *testing.T) {
	w := newWorld(t, nil)
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, _ = io.WriteString(z, `{"displayName":"train"}`)
	z.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/v1/"+parent+"/customJobs", &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 400 || !bytes.Contains(raw, []byte(`"status":"INVALID_ARGUMENT"`)) || !bytes.Contains(raw, []byte("job_spec")) {
		t.Errorf("%v: %q, %v", resp.Status, raw, err)
	}
}
