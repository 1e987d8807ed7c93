package fakevertex_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/berth/internal/vertex/fakevertex"
)

type logAnswer struct {
	Entries []struct {
		InsertID, LogName, Timestamp, Severity, TextPayload string
		Labels                                              map[string]string
		Resource                                            struct {
			Type   string
			Labels map[string]string
		}
	}
	NextPageToken string
	Error         struct {
		Code            int
		Message, Status string
	}
}

func (w *world) logs(t *testing.T, body map[string]any) (out logAnswer) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+w.addr+"/v2/entries:list?alt=json", "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 && resp.StatusCode != out.Error.Code {
		t.Errorf("status %d, body %+v", resp.StatusCode, out)
	}
	return out
}

func texts(a logAnswer) string {
	var all []string
	for _, e := range a.Entries {
		all = append(all, e.TextPayload)
	}
	return strings.Join(all, "|")
}

func TestLogEntries(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 3))
	name := w.mustCreate(t, one(1, "fake-end", "failed"))
	other := w.mustCreate(t, one(1))
	w.clock.Advance(time.Minute)
	id, otherID := name[strings.LastIndex(name, "/")+1:], other[strings.LastIndex(other, "/")+1:]
	ask := func(filter string, more ...any) logAnswer {
		t.Helper()
		body := map[string]any{"resourceNames": []string{"projects/my-project"}, "filter": filter, "orderBy": "timestamp asc", "pageSize": 1000}
		for i := 0; i+1 < len(more); i += 2 {
			body[more[i].(string)] = more[i+1]
		}
		return w.logs(t, body)
	}
	job := fmt.Sprintf(`resource.type="ml_job" AND resource.labels.job_id=%q`, id)
	all := ask(job + ` AND timestamp>="1970-01-01T01:00:00.000000000Z" AND timestamp<"2026-03-01T12:59:00.000000+00:00"`)
	const life = "Waiting for job to be provisioned.|Vertex AI is provisioning job running framework.|Vertex AI is setting up this job.|" +
		"Waiting for training program to start.|Job is running.|This is a fake Vertex AI: the container is not run.|" +
		"The replica workerpool0-0 exited with a non-zero status of 1.|Job failed."
	if texts(all) != life {
		t.Fatalf("log: %s", texts(all))
	}
	last := all.Entries[7]
	if last.Labels["ml.googleapis.com/job_state"] != "FAILED" || last.Severity != "ERROR" || last.LogName != "projects/my-project/logs/ml.googleapis.com%2F"+id ||
		last.Timestamp != "2026-03-01T12:00:06.000000Z" || last.Resource.Labels["task_name"] != "service" || last.Resource.Labels["job_id"] != id {
		t.Errorf("last entry: %+v", last)
	}
	if e := all.Entries[5]; e.Labels != nil || e.Resource.Labels["task_name"] != "workerpool0-0" {
		t.Errorf("line of the container: %+v", e)
	}
	// As gcloud goes on after the second of three lines of one moment.
	at := all.Entries[1].Timestamp
	next := ask(fmt.Sprintf(`%s AND ((timestamp=%q AND insertId>%q) OR timestamp>%q)`, job, at, all.Entries[1].InsertID, at))
	if texts(next) != strings.SplitN(life, "|", 3)[2] {
		t.Errorf("after the second line: %s", texts(next))
	}
	for filter, want := range map[string]int{
		job + ` AND severity>=ERROR`: 2, job + ` AND resource.labels.task_name="workerpool0-0"`: 1, job + ` AND labels."ml.googleapis.com/job_state":*`: 7,
		job + ` (severity=ERROR OR severity=DEFAULT) textPayload:"a"`: 3, job + ` textPayload:"JOB IS"`: 1, job + ` AND NOT severity=INFO`: 3, `labels."ml.googleapis.com/job_state"="FAILED"`: 2,
		`resource.labels.job_id="` + otherID + `"`: 7, "": 15, `resource.labels.job_id="1"`: 0, `resource.type="gce_instance"`: 0,
		job + ` AND timestamp<"2026-03-01T12:00:00Z"`: 0,
	} {
		if got := ask(filter); len(got.Entries) != want || got.Error.Code != 0 {
			t.Errorf("%s: %d entries, want %d: %s %s", filter, len(got.Entries), want, texts(got), got.Error.Message)
		}
	}
	if got := ask(job, "resourceNames", []string{"projects/other-project"}); len(got.Entries) != 0 {
		t.Errorf("another project sees %s", texts(got))
	}
	for _, order := range []string{"timestamp asc", "timestamp desc"} {
		seen, token := map[string]bool{}, ""
		for range 5 {
			got := ask("", "orderBy", order, "pageSize", 4, "pageToken", token)
			for _, e := range got.Entries {
				seen[e.InsertID] = true
			}
			if token = got.NextPageToken; token == "" {
				break
			}
		}
		if len(seen) != 15 || token != "" {
			t.Errorf("%s: pages show %d entries, and then %q", order, len(seen), token)
		}
	}
	for _, bad := range []map[string]any{
		{}, {"resourceNames": []string{"folders/1"}}, {"resourceNames": []string{"projects/p"}, "filter": "severity>=LOUD"},
		{"resourceNames": []string{"projects/p"}, "filter": `jsonPayload.x="y"`}, {"resourceNames": []string{"projects/p"}, "orderBy": "severity"},
		{"resourceNames": []string{"projects/p"}, "pageToken": "x"}, {"resourceNames": []string{"projects/p"}, "filter": `timestamp>"noon"`}, {"filters": ""}, {"resourceNames": []string{"projects/p"}, "filter": `severity=INFO AND`},
	} {
		if got := w.logs(t, bad); got.Error.Code != 400 || got.Error.Status != "INVALID_ARGUMENT" || got.Error.Message == "" {
			t.Errorf("%v: %+v", bad, got)
		}
	}
	w.FaultOnce("ListLogEntries", fakevertex.FailBefore(codes.Unavailable, "down"))
	if got := ask(job); got.Error.Code != 503 || got.Error.Status != "UNAVAILABLE" {
		t.Errorf("fault: %+v", got)
	}
}
