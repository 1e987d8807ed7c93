package scenario_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

// An answer is the parts of answers of the admin endpoint that tests read.
type answer struct {
	Clock     struct{ Kind, Now, NextEvent string }
	Now       string
	NextEvent string
	Jobs      map[string]int
	Calls     map[string]int
	Name      string
	Resources []struct {
		Name, State string
		Pools       []struct {
			ID                             string
			ReplicaCount, UsedReplicaCount int
		}
	}
	Behaviour map[string]any
	Error     struct {
		Code     int
		Message  string
		Problems []scenario.Problem
	}
}

func TestAdmin(t *testing.T) {
	server, clock := newServer()
	s, err := scenario.Read("s", []byte(`
resources:
- name: pool
  resourcePools: [{machineSpec: {machineType: n1-standard-4}, replicaCount: 2}]
behaviour: {runFor: 10m}
`), here)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(server); err != nil {
		t.Fatal(err)
	}
	call := func(h http.Handler, method, path, body string, want int) (a answer) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if err := json.Unmarshal(w.Body.Bytes(), &a); method == http.MethodGet && path == "/admin/scenario" {
			return a // its jobs are a list
		} else if err != nil && !strings.Contains(path, "scenario") {
			t.Fatalf("%s %s: %s, %v", method, path, w.Body, err)
		}
		if w.Code != want || want != 200 && (a.Error.Code != want || a.Error.Message == "") {
			t.Errorf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, want)
		}
		return a
	}
	admin := scenario.NewAdmin(server, clock, s, here)
	do := func(method, path, body string, want int) answer {
		t.Helper()
		return call(admin, method, path, body, want)
	}

	if job := do("POST", "/admin/resources:addForeignJob", "{name: pool, pool: n1-standard-4, runFor: 30m}", 200); !strings.HasPrefix(job.Name, "projects/111/") {
		t.Errorf("foreign job %q", job.Name)
	}
	if a := do("POST", "/admin/clock", `{"next": true}`, 200); a.Now != "2026-01-01T00:00:00.15Z" || a.NextEvent != "2026-01-01T00:00:00.3Z" {
		t.Errorf("next: %+v", a)
	}
	do("POST", "/admin/clock", "advance: 1m", 200)
	a := do("GET", "/admin", "", 200)
	if a.Jobs["RUNNING"] != 1 || a.Resources[0].Pools[0].UsedReplicaCount != 1 || a.Resources[0].State != "RUNNING" || a.Clock.Kind != "virtual" {
		t.Errorf("overview %+v", a)
	}
	do("POST", "/admin/clock", "to: 2026-01-01T00:20:00Z", 200)
	do("POST", "/admin/clock", "to: 2026-01-01T00:19:00Z", 409)
	do("POST", "/admin/clock", "{to: noon}", 400)
	do("POST", "/admin/clock", "{}", 400)
	do("POST", "/admin/clock", "{next: false}", 400)
	do("POST", "/admin/clock", "to: 9999-12-31T23:59:59Z", 409)
	do("POST", "/admin/clock", "advance: 2500000h", 409)
	if a := do("GET", "/admin/clock", "", 200); a.Now != "2026-01-01T00:20:00Z" {
		t.Errorf("a clock that was not moved stands at %s", a.Now)
	}
	do("POST", "/admin/clock", "{next: true, advance: 1s}", 400)
	if a := do("POST", "/admin/clock", "{advance: -1s, extra: 1}", 400); len(a.Error.Problems) != 2 || a.Error.Problems[1].Path != "extra" {
		t.Errorf("problems %+v", a.Error)
	}
	if a := do("POST", "/admin/resources:resize", "{name: pool, pool: n1-standard-4, replicaCount: 5}", 200); a.Resources[0].Pools[0].ReplicaCount != 5 {
		t.Errorf("resized %+v", a)
	}
	do("POST", "/admin/resources:resize", "{name: pool, pool: none, replicaCount: 5}", 400)
	do("POST", "/admin/resources:resize", "{name: pool}", 400)
	if a := do("POST", "/admin/resources:setState", "{name: pool, state: ERROR}", 200); a.Resources[0].State != "ERROR" {
		t.Errorf("state %+v", a)
	}
	do("POST", "/admin/resources:setState", "{name: pool, state: BROKEN}", 400)
	do("POST", "/admin/resources:setState", "{name: none, state: ERROR}", 404)
	do("POST", "/admin/reset", "{seed: 1}", 400)
	do("PATCH", "/admin/scenario", "behaviour: {runFor: 5m, fullPool: failed-precondition}\njobs: [{runFor: 1m}]", 200)
	if b := server.Behaviour(); b.RunFor != 5*60e9 || b.FullPool != fakevertex.FullFailedPrecondition || len(server.JobRules()) != 1 {
		t.Errorf("patched %+v, %+v", b, server.JobRules())
	}
	do("PATCH", "/admin/scenario", "behaviour: {refuseRay: true}", 200)
	if len(server.JobRules()) != 1 {
		t.Error("a patch without jobs changes them")
	}
	// A resource that exists: nothing of the patch is applied.
	do("PATCH", "/admin/scenario", `{"behaviour": {"refuseRay": false}, "resources": [
		{"name": "new", "resourcePools": [{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1}]},
		{"name": "pool", "resourcePools": [{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1}]}]}`, 409)
	if !server.Behaviour().RefuseRay || len(server.Resources()) != 1 {
		t.Errorf("applied in part: %+v, %d resources", server.Behaviour(), len(server.Resources()))
	}
	do("PATCH", "/admin/scenario", "seed: 4", 400)
	do("PATCH", "/admin/scenario", "behaviour: {fullPool: no}", 400)
	do("PATCH", "/admin/scenario", "#"+strings.Repeat("x", 4<<20), 413)
	if a := do("POST", "/admin/resources:remove", "{name: pool}", 200); len(a.Resources) != 0 || a.Jobs["CANCELLED"] != 1 {
		t.Errorf("removed %+v", a)
	}
	a = do("POST", "/admin/reset", "", 200)
	if len(a.Resources) != 1 || a.Resources[0].State != "RUNNING" || len(a.Jobs) != 0 || a.Clock.Now != "2026-01-01T00:20:00Z" ||
		server.Behaviour().RunFor != 10*60e9 || server.Behaviour().RefuseRay || len(server.JobRules()) != 0 {
		t.Errorf("reset %+v", a)
	}
	do("POST", "/admin/clock", `{"next": true}`, 409)
	do("GET", "/admin/nothing", "", 404)
	do("DELETE", "/admin/clock", "", 405)
	real := scenario.NewAdmin(server, nil, nil, here)
	if a := call(real, "POST", "/admin/clock", "advance: 1s", 409); !strings.Contains(a.Error.Message, "--clock virtual") {
		t.Errorf("real clock: %+v", a)
	}
	if a := call(real, "GET", "/admin/clock", "", 200); a.Now == "" {
		t.Errorf("real clock: %+v", a)
	}
}

// Changes, moves of the clock and calls of clients go on at the same time. Each is whole: what is
// read is a scenario, and no resource is left half changed.
func TestAdminAtTheSameTime(t *testing.T) {
	server, clock := newServer()
	s, err := scenario.Read("s", []byte("resources: [{name: pool, resourcePools: [{machineSpec: {machineType: n1-standard-4}, replicaCount: 2}]}]\nbehaviour: {submitPerMinute: 0, otherPerMinute: 0}"), here)
	if err == nil {
		err = s.Apply(server)
	}
	if err != nil {
		t.Fatal(err)
	}
	admin := scenario.NewAdmin(server, clock, s, here)
	var all sync.WaitGroup
	for _, c := range []struct{ method, path, body string }{
		{"PATCH", "/admin/scenario", "{behaviour: {runFor: 5m, fullPool: accept-then-fail}, jobs: [{runFor: 1m}], faults: [{method: GetCustomJob, rate: 0.5}]}"},
		{"PATCH", "/admin/scenario", "{behaviour: {releaseLag: 3s}, jobs: [], faults: []}"},
		{"GET", "/admin/scenario", ""},
		{"GET", "/admin", ""},
		{"POST", "/admin/clock", "advance: 10s"},
		{"POST", "/admin/resources:setState", "{name: pool, state: RUNNING}"},
		{"POST", "/admin/resources:resize", "{name: pool, pool: n1-standard-4, replicaCount: 1000}"},
		{"POST", "/admin/resources:addForeignJob", "{name: pool, pool: n1-standard-4, runFor: 30s}"},
	} {
		all.Go(func() {
			for range 30 {
				w := httptest.NewRecorder()
				admin.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
				full := strings.HasSuffix(c.path, "addForeignJob") && strings.Contains(w.Body.String(), "0 free")
				if w.Code != 200 && !full {
					t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
				}
				if c.method == "PATCH" || c.path == "/admin/scenario" {
					if _, err := scenario.Read("now", w.Body.Bytes(), here); err != nil {
						t.Errorf("%s: %v", c.path, err)
					}
				}
			}
		})
	}
	all.Wait()
	if now := clock.Now().Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); now != 300*time.Second {
		t.Errorf("the clock moved by %s", now)
	}
	clock.Advance(time.Hour)
	if states := server.States(); len(states) > 0 && states["SUCCEEDED"] == 0 || states["RUNNING"]+states["PENDING"]+states["QUEUED"] != 0 {
		t.Errorf("jobs %v", states)
	}
	if r := server.Resources(); len(r) != 1 || r[0].ResourcePools[0].GetReplicaCount() != 1000 || r[0].ResourcePools[0].UsedReplicaCount != 0 {
		t.Errorf("resources %v", r)
	}
}
