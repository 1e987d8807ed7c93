package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
)

// What a deployment has run is exported and simulated again: the same jobs, in the same
// order, and with its pools they wait as long as they did.
func TestExportedRequestsWaitAsTheyDid(t *testing.T) {
	cpu := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	now := time.Now().UTC().Truncate(time.Second)
	l := ledger.NewMem(func() time.Time { return now })
	res := &ledger.Resource{Name: poolName, State: "RUNNING", ObservedAt: now, Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 2}}}
	docs := []ledger.Document{res}
	// Two replicas, a job of an hour every 10 minutes: they start in pairs.
	began := now.Add(-48 * time.Hour)
	var waited time.Duration
	const jobs = 8
	for i := range jobs {
		received := began.Add(time.Duration(i) * 10 * time.Minute)
		started := began.Add(time.Duration(i/2)*time.Hour + time.Duration(i%2)*10*time.Minute)
		waited += started.Sub(received)
		id := fmt.Sprintf("secret-%d", i)
		rec := &ledger.Record{Key: message.KeyOf("team", message.KindRequest, id), Kind: message.KindRequest, Tenant: "team", ID: id, Resource: poolName,
			DisplayName: id, Ask: capacity.Ask{{Shape: cpu, Replicas: 1}}, Timeout: time.Hour,
			Times: message.Times{Received: received, Reserved: started, Submitted: started, Started: started, JobStarted: started, JobEnded: started.Add(time.Hour), Ended: started.Add(time.Hour)}}
		rec.State, rec.Order = lifecycle.Succeeded, ledger.OrderKey(0, received, rec.Key)
		docs = append(docs, rec)
	}
	if err := l.Update(t.Context(), ledger.ReadSetOf(docs...), func(tx ledger.Tx) error {
		for _, doc := range docs {
			tx.Put(doc)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(statuspage.New(nil, l, statuspage.Info{Project: project, Regions: []string{"us-central1"}, AllTenants: true}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "mine.csv")
	var out, errs bytes.Buffer
	if code := run([]string{"export", "--status-url", server.URL, "--project", project, "--out", file}, nil, &out, &errs); code != 0 {
		t.Fatalf("export ended with %d: %s", code, &errs)
	}
	text, err := os.ReadFile(file) // #nosec G304 -- of this test
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret") || strings.Contains(string(text), "team") {
		t.Errorf("the workload has words of its users:\n%s", text)
	}
	if rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll(); err != nil || len(rows) != jobs+1 || rows[jobs][0] != "j8" || rows[jobs][1] != "4200" || rows[jobs][3] != "3600" {
		t.Errorf("%v in\n%s", err, text)
	}
	_, command, _ := strings.Cut(strings.TrimSpace(errs.String()), "\nberth ")
	args := strings.Fields(strings.ReplaceAll(command, "'", ""))
	out.Reset()
	errs.Reset()
	if code := run(append(args, "--json"), nil, &out, &errs); code != 0 {
		t.Fatalf("%s ended with %d: %s", command, code, &errs)
	}
	var result struct {
		Jobs   int `json:"jobs"`
		Scores []struct {
			Policy string  `json:"policy"`
			Mean   float64 `json:"meanWaitSeconds"`
		} `json:"scores"`
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if result.Jobs != jobs || len(result.Scores) == 0 || result.Scores[0].Mean != (waited/jobs).Seconds() {
		t.Errorf("%+v, want %d jobs that wait %s on average", result, jobs, waited/jobs)
	}
}
