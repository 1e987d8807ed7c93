package admission

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// TestKindsAreBounded: a tenant that asks for ever new sets of shapes is refused when it
// has its share of classes, with a reason. A tenant with few classes is not, a set that
// others wait for never is, and whatever many tenants do, the classes are bounded.
func TestKindsAreBounded(t *testing.T) {
	q := Queue{}
	set := func(n int) (demand capacity.Ask) {
		for i := range 4 { // of 40 shapes: the digits of n in base 40
			demand = append(demand, capacity.Need{WorkerPool: i, Shape: shapeOf(n % 40), Replicas: 1})
			n /= 40
		}
		return demand
	}
	next := 0
	join := func(tenant string, demand capacity.Ask) bool {
		a := Ask{Head: Head{ID: message.Key(fmt.Sprint(next)), Order: fmt.Sprintf("1000-%06d", next), Demand: demand, Limit: time.Hour, Tenant: tenant}}
		if !q.HasRoomFor(a) {
			return false
		}
		id := q.ClassFor(Head{Tenant: tenant, Demand: demand, Limit: time.Hour})
		q[id] = q[id].With(a.Head, 1)
		return true
	}
	flood := func(tenant string, n int) {
		for range n {
			next += 41
			join(tenant, set(next))
		}
	}
	if flood("a", 1000); len(q) != MaxClasses {
		t.Errorf("one tenant has %d classes, want %d", len(q), MaxClasses)
	}
	known := set(41)
	if !join("a", known) || !join("b", known) {
		t.Error("a set that others wait for is refused")
	}
	for range 20 {
		if next += 41; !join("b", set(next)) {
			t.Fatal("the flood of one tenant leaves no room for another")
		}
	}
	for i := range 10 {
		flood(fmt.Sprint("c", i), 150)
	}
	if len(q) != 2*MaxClasses {
		t.Errorf("ten tenants have %d classes, want %d", len(q), 2*MaxClasses)
	}
	if !join("b", known) {
		t.Error("a set that others wait for is refused in a full queue")
	}
}

// TestRefusedForItsKind: the decision says why, on arrival only: a request that waits
// already, or comes back, keeps waiting.
func TestRefusedForItsKind(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	q := Queue{}
	for i := range 2 * MaxClasses {
		q[ClassOf("x", capacity.Ask{{Shape: shapeOf(i + 10), Replicas: 1}}, time.Hour)] = Class{Count: 1}
	}
	s := Snapshot{Now: now, Known: true, State: running, ObservedAt: now, Queue: q, Use: capacity.Use{shapeOf(0): 1},
		Pools: []capacity.Pool{{ID: "p", Shape: shapeOf(0), Count: 1}}}
	a := Ask{Head: Head{ID: "k", Order: "1000-9", Demand: capacity.Ask{{Shape: shapeOf(0), Replicas: 1}}, Limit: time.Hour, Tenant: "t"}}
	p := Policy{MaxAge: time.Minute, MaxHolds: 10}
	if d := Decide(s, a, p); d.Verdict != Refuse || d.Reason == nil || d.Reason.Code != reason.HoldLimit || d.Reason.Fix == "" || d.Plan != nil {
		t.Errorf("%+v", d)
	}
	a.Waiting = true
	if d := Decide(s, a, p); d.Verdict != Wait || d.Reason.Code != reason.Full {
		t.Errorf("one that waits: %+v", d)
	}
	a.Waiting, s.Use = false, nil
	if d := Decide(s, a, p); d.Verdict != Admit {
		t.Errorf("one that fits: %+v", d)
	}
}
