package fakevertex_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
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

// Field masks come with the names of the fields or in lowerCamelCase, as in Google's cloud.
func TestRESTFieldMasks(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.AllowUpdate = true })
	w.add(t, fixedPool("", 2))
	if code, got := w.rest(t, "POST", "/v1/"+parent+"/customJobs", jobJSON); code != 200 {
		t.Fatalf("create: %d %v", code, got)
	}
	for mask, want := range map[string]string{
		"readMask=displayName":                  "[displayName]",
		"read_mask=display_name":                "[displayName]",
		"readMask=display_name%2Ccreate_time":   "[createTime displayName]",
		"readMask=job_spec.worker_pool_specs":   "[jobSpec]",
		"readMask=*":                            "[createTime displayName jobSpec labels name state updateTime]",
		"read_mask=%2A&pageSize=1":              "[createTime displayName jobSpec labels name state updateTime]",
		"readMask=name,state&filter=labels.a:*": "[name state]",
	} {
		code, got := w.rest(t, "GET", "/v1/"+parent+"/customJobs?"+mask, "")
		list, _ := got["customJobs"].([]any)
		if code != 200 || len(list) != 1 {
			t.Errorf("%s: %d %v", mask, code, got)
		} else if keys := fmt.Sprint(slices.Sorted(maps.Keys(list[0].(map[string]any)))); keys != want {
			t.Errorf("%s: %s, want %s", mask, keys, want)
		}
	}
	for i, mask := range []string{"updateMask=resource_pools.replica_count", "update_mask=resourcePools.replicaCount", "updateMask=resource_pools"} {
		body := fmt.Sprintf(`{"resourcePools":[{"id":"n1-standard-4","replicaCount":%d}]}`, i+5)
		if code, got := w.rest(t, "PATCH", "/v1/"+resourceName+"?"+mask, body); code != 200 {
			t.Errorf("%s: %d %v", mask, code, got)
		}
		w.clock.Advance(2 * time.Minute)
		if n := w.Resources()[0].ResourcePools[0].GetReplicaCount(); n != int64(i+5) {
			t.Errorf("%s: %d replicas, want %d", mask, n, i+5)
		}
	}
	if code, got := w.rest(t, "PATCH", "/v1/"+resourceName+"?updateMask=display_name", "{}"); code != 400 || !strings.Contains(fmt.Sprint(got), `Unrecognized path "display_name"`) {
		t.Errorf("another field: %d %v", code, got)
	}
}

// Operations can be waited for, deleted, and not cancelled.
func TestRESTOperations(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 2))
	code, op := w.rest(t, "POST", "/v1/"+resourceName+":reboot", "{}")
	if code != 200 {
		t.Fatalf("reboot: %d %v", code, op)
	}
	name, id := "/v1/"+op["name"].(string), op["name"].(string)
	id = "/v1/" + parent + "/operations/" + id[strings.LastIndex(id, "/")+1:]
	if code, got := w.rest(t, "POST", name+":wait?timeout=0s", ""); code != 200 || got["done"] != nil {
		t.Errorf("wait: %d %v", code, got)
	}
	if code, got := w.rest(t, "POST", name+":cancel", "{}"); code != 501 {
		t.Errorf("cancel: %d %v", code, got)
	}
	w.clock.Advance(2 * time.Minute)
	for _, path := range []string{name, id} {
		if code, got := w.rest(t, "POST", path+":wait", "{}"); code != 200 || got["done"] != true {
			t.Errorf("wait for %s: %d %v", path, code, got)
		}
	}
	if code, got := w.rest(t, "DELETE", id, ""); code != 200 || len(got) != 0 {
		t.Errorf("delete: %d %v", code, got)
	}
	if code, got := w.rest(t, "GET", name, ""); code != 404 {
		t.Errorf("after delete: %d %v", code, got)
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
		{"GET", parent + "/customJobs?readMask=no_such", "", 400, "INVALID_ARGUMENT", "no_such"},
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
