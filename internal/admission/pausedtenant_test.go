package admission

import (
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// TestPlanWithoutPausedTenants: requests of a paused tenant neither start nor reserve, in
// classes of their own and in those that tenants share, and others start as if they were not
// there. A class that shows only requests of paused tenants is asked for more, and other
// classes do not wait for that.
func TestPlanWithoutPausedTenants(t *testing.T) {
	shape := capacity.Spec{MachineType: "m"}.Normal()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	head := func(id, tenant string, replicas capacity.Replicas) Head {
		return Head{ID: message.Key(id), Tenant: tenant, Order: "1000-" + id, Key: now, Limit: time.Hour, Demand: capacity.Ask{{Shape: shape, Replicas: replicas}}}
	}
	own := func(tenant string) ClassID { return ClassOf(tenant, head("", "", 1).Demand, time.Hour) }
	mixed := ClassID("*|" + shape.String() + "|*|*")
	gang := head("0", "", 2)
	for name, test := range map[string]struct {
		queue    Queue
		reserved []Reservation
		starts   string
		reserves string
		want     int
	}{
		"a class of its own":                 {Queue{own("p"): {1, []Head{head("1", "", 1)}}, own("q"): {1, []Head{head("2", "", 1)}}}, nil, "2", "", 0},
		"with more behind":                   {Queue{own("p"): {9, []Head{head("1", "", 1)}}, own("q"): {1, []Head{head("2", "", 1)}}}, nil, "2", "", 0},
		"a shared class":                     {Queue{mixed: {2, []Head{head("1", "p", 1), head("2", "q", 1)}}}, nil, "2", "", 0},
		"a shared class that begins with it": {Queue{mixed: {3, []Head{head("1", "p", 1)}}, own("q"): {1, []Head{head("2", "", 1)}}}, nil, "2", "", 1},
		"its reservation": {Queue{own("p"): {1, []Head{gang}}, own("q"): {1, []Head{head("2", "", 2)}}},
			[]Reservation{{Head: head("0", "p", 2), Shapes: []capacity.Shape{shape}, At: now.Add(time.Hour)}}, "", "2", 0},
		"its reservation of an earlier release": {Queue{own("p"): {1, []Head{gang}}, own("q"): {1, []Head{head("2", "", 1)}}},
			[]Reservation{{Head: gang, Shapes: []capacity.Shape{shape}, At: now.Add(time.Hour)}}, "2", "", 0},
	} {
		s := PlanSnapshot{Now: now, Pools: []capacity.Pool{{ID: "a", Shape: shape, Count: 2}}, Use: capacity.Use{shape: 1}, Queue: test.queue, Reserved: test.reserved}
		plan := MakePlan(s, PlanPolicy{Horizon: time.Hour, Patience: time.Hour, StartTimeout: time.Hour, Paused: map[string]Pause{"p": {}}})
		starts, reserves := "", ""
		for _, st := range plan.Starts {
			starts += string(st.ID)
		}
		for _, r := range plan.Reserved {
			reserves += string(r.ID)
		}
		if starts != test.starts || reserves != test.reserves || len(plan.Want) != test.want {
			t.Errorf("%s: starts %q, reserves %q, wants %v", name, starts, reserves, plan.Want)
		}
	}
}
