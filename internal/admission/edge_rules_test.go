package admission

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// TestSameNetwork: names differ in number and id of their project alone, and only a
// project has both.
func TestSameNetwork(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"projects/1/global/networks/n", "projects/p/global/networks/n"}:   true,
		{"projects/p/global/networks/n", "projects/1/global/networks/n"}:   true,
		{"projects/1/global/networks/n", "projects/2/global/networks/n"}:   false,
		{"projects/p/global/networks/n", "projects/q/global/networks/n"}:   false,
		{"projects/1/global/networks/n", "projects/p/global/networks/m"}:   false,
		{"folders/1/global/networks/n", "projects/p/global/networks/n"}:    false,
		{"projects/1/global/networks/n", "folders/p/global/networks/n"}:    false,
		{"projects/1/global/networks/n", "projects/p/global/networks"}:     false,
		{"projects/1/global/networks", "projects/p/global/networks/n"}:     false,
		{"projects/1/global/networks/n/x", "projects/p/global/networks/n"}: false,
		{"n", "n"}: true, {"n", "m"}: false, {"", ""}: true,
	} {
		if got := SameNetwork(pair[0], pair[1]); got != want {
			t.Errorf("%s and %s: %v", pair[0], pair[1], got)
		}
	}
}

// TestNothingStarts: each of the conditions alone, at its bound and beyond it.
func TestNothingStarts(t *testing.T) {
	p := Policy{MaxAge: 2 * time.Minute, MaxHolds: 3}
	for name, test := range map[string]struct {
		change func(s *Snapshot)
		want   bool
	}{
		"all is well":               {func(*Snapshot) {}, true},
		"the last hold but one":     {func(s *Snapshot) { s.Holds = 2 }, true},
		"as many holds as may be":   {func(s *Snapshot) { s.Holds = 3 }, false},
		"no room":                   {func(s *Snapshot) { s.NoRoom = true }, false},
		"paused":                    {func(s *Snapshot) { s.Paused = &Pause{} }, false},
		"rebooting":                 {func(s *Snapshot) { s.State = "REBOOTING" }, false},
		"observed as long ago":      {func(s *Snapshot) { s.ObservedAt = s.Now.Add(-2 * time.Minute) }, true},
		"observed longer ago":       {func(s *Snapshot) { s.ObservedAt = s.Now.Add(-2*time.Minute - 1) }, false},
		"declined until now":        {func(s *Snapshot) { s.NotBefore = s.Now }, true},
		"declined until after that": {func(s *Snapshot) { s.NotBefore = s.Now.Add(1) }, false},
	} {
		s := Snapshot{Now: planNow, ObservedAt: planNow, State: running, Known: true}
		test.change(&s)
		if got := s.Starts(p); got != test.want {
			t.Errorf("%s: starts %v", name, got)
		}
	}
}

// TestShapesOfClasses: of a class without known heads they are read from its name, and a
// name of another form has none.
func TestShapesOfClasses(t *testing.T) {
	both := capacity.Ask{{Shape: small, Replicas: 1}, {WorkerPool: 1, Shape: gpu, Replicas: 2}}
	q := Queue{ClassOf("t", both, time.Hour): {Count: 3}, "other": {Count: 5}, "": {Count: 7}}
	if got := q.ByShape(); len(got) != 2 || got[small] != 3 || got[gpu] != 3 {
		t.Errorf("%v wait", got)
	}
	if id, unsure := q.Unsure("1000", []capacity.Shape{gpu}); !unsure || id != ClassOf("t", both, time.Hour) {
		t.Errorf("of %q more heads are wanted: %v", id, unsure)
	}
	if id, unsure := q.Unsure("1000", []capacity.Shape{large}); unsure {
		t.Errorf("of %q more heads are wanted", id)
	}
	head := Head{ID: "a", Order: "1000-a", Demand: both}
	q = Queue{ClassOf("t", both, time.Hour): {Count: 2, Heads: []Head{head}}}
	for order, want := range map[string]bool{"0999": false, "1000-a": false, "1000-b": true} {
		if _, unsure := q.Unsure(order, []capacity.Shape{gpu}); unsure != want {
			t.Errorf("with one of two heads known, what comes before %s is unsure: %v", order, unsure)
		}
	}
}

// TestShared: a quota without a share shares nothing.
func TestShared(t *testing.T) {
	one := capacity.Use{small: 1}
	for name, test := range map[string]struct {
		q    *Quotas
		want bool
	}{
		"none":               {nil, false},
		"empty":              {&Quotas{}, false},
		"a cap":              {&Quotas{Tenants: map[string]Quota{"a": {Cap: one, Running: 1}}}, false},
		"a share":            {&Quotas{Tenants: map[string]Quota{"a": {Cap: one}, "b": {Share: one}}}, true},
		"a cap of others":    {&Quotas{Others: Quota{Cap: one}}, false},
		"a share of others":  {&Quotas{Others: Quota{Share: one}}, true},
		"an empty share map": {&Quotas{Others: Quota{Share: capacity.Use{}}, Tenants: map[string]Quota{"a": {Share: capacity.Use{}}}}, false},
	} {
		if got := test.q.Shared(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTenantOfAReservation: it is found in every class, by the class or by the head.
func TestTenantOfAReservation(t *testing.T) {
	q := Queue{}
	for i := range 12 {
		tenant, id := fmt.Sprintf("t%d", i), message.Key(fmt.Sprintf("own%d", i))
		q[ClassOf(tenant, capacity.Ask{{Shape: small, Replicas: 1}}, time.Hour)] = Class{1, []Head{{ID: id}}}
	}
	q["*|x|*|*"] = Class{2, []Head{{ID: "first", Tenant: "a"}, {ID: "second", Tenant: "b"}}}
	pl := &planner{s: PlanSnapshot{Queue: q}}
	for id, want := range map[message.Key]string{"own0": "t0", "own5": "t5", "own11": "t11", "first": "a", "second": "b", "unknown": ""} {
		if got := pl.queuedTenant(id); got != want {
			t.Errorf("%s is of %q, want %q", id, got, want)
		}
	}
}

// TestOutranks: who goes before a reservation that is older. A higher priority does in any
// case. Within one priority a tenant takes back its share from one that borrows, unless that
// one has waited too long.
func TestOutranks(t *testing.T) {
	ask := capacity.Ask{{Shape: small, Replicas: 1}}
	shares := &Quotas{Tenants: map[string]Quota{"owner": {Share: capacity.Use{small: 2}}}}
	inOrder := &Quotas{Tenants: shares.Tenants, InOrder: true}
	for name, test := range map[string]struct {
		q        *Quotas
		priority string // of the request
		within   bool
		reserved Reservation
		want     bool
	}{
		"no policy, equal":                {nil, "1000", false, Reservation{}, false},
		"no policy, higher":               {nil, "0999", false, Reservation{}, true},
		"no policy, lower":                {nil, "1001", true, Reservation{}, false},
		"an owner":                        {shares, "1000", true, Reservation{}, true},
		"an owner of lower priority":      {shares, "1001", true, Reservation{}, false},
		"a borrower of higher priority":   {shares, "0999", false, Reservation{Owed: true}, true},
		"a borrower":                      {shares, "1000", false, Reservation{}, false},
		"an owner before an owner":        {shares, "1000", true, Reservation{Owed: true}, false},
		"an owner in order":               {inOrder, "1000", true, Reservation{}, false},
		"an owner before one that waited": {shares, "1000", true, Reservation{Head: Head{Key: planNow.Add(-2 * time.Hour)}}, false},
	} {
		r := test.reserved
		r.ID, r.Tenant, r.Order, r.Demand = "r", "other", "1000-a", ask
		if r.Key.IsZero() {
			r.Key = planNow
		}
		pl := &planner{s: PlanSnapshot{Now: planNow}, p: PlanPolicy{Quotas: test.q, Patience: time.Hour}}
		pl.openAccounts()
		h := &Head{ID: "h", Tenant: "owner", Order: test.priority + "-b", Key: planNow, Demand: ask, Within: test.within}
		if got := pl.outranks(h, &r); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestBehindOneOfItsClass: a request that fits does not start before an earlier one of its
// class that does not fit, while nothing else is reserved or waits.
func TestBehindOneOfItsClass(t *testing.T) {
	wide := Head{ID: "wide", Tenant: "t", Order: "1000-1", Key: planNow, Demand: capacity.Ask{{Shape: small, Replicas: 3}}, Limit: time.Hour}
	slim := Head{ID: "slim", Tenant: "t", Order: "1000-2", Key: planNow, Demand: capacity.Ask{{Shape: small, Replicas: 2}}, Limit: time.Hour}
	class := ClassOf("t", wide.Demand, time.Hour)
	for name, test := range map[string]struct {
		class Class
		want  Verdict
	}{
		"alone":            {Class{1, []Head{slim}}, Admit},
		"behind":           {Class{2, []Head{wide, slim}}, Wait},
		"behind, of three": {Class{3, []Head{wide, slim}}, Wait},
	} {
		s := Snapshot{Now: planNow, State: running, ObservedAt: planNow, Known: true, Pools: []capacity.Pool{{ID: "p", Shape: small, Count: 4}},
			Use: capacity.Use{small: 2}, Queue: Queue{class: test.class},
			Held: func() []Held {
				return []Held{{ID: "x", Tenant: "t", Demand: capacity.Ask{{Shape: small, Replicas: 2}}, End: planNow.Add(time.Minute)}}
			}}
		p := Policy{MaxAge: time.Minute, MaxHolds: 10, Plan: PlanPolicy{Horizon: time.Hour, Margin: time.Minute, StartIn: time.Minute, StartTimeout: 10 * time.Minute, Patience: 24 * time.Hour}}
		if d := Decide(s, Ask{Head: slim, Class: class, Waiting: true, OnFull: message.Queue}, p); d.Verdict != test.want {
			t.Errorf("%s: %s, %v", name, d.Verdict, d.Reason)
		}
	}
}

// TestFieldsAsTheMessageSpellsThem: a field of a worker pool is named as the message
// writes it, also where it is spelled otherwise than its neighbours.
func TestFieldsAsTheMessageSpellsThem(t *testing.T) {
	for want, paths := range map[string]message.Paths{
		"diskSpec.bootDiskType":    {},
		"disk_spec.boot_disk_type": {Pools: []string{"[0].", "[1]."}, Snake: true},
		"disk_spec.bootDiskType": {Job: "job.", Spec: "job.jobSpec.", Pools: []string{"job.a.", "job.b."},
			Names: map[string]string{"jobSpec.workerPoolSpecs[1].diskSpec.bootDiskType": "job.b.disk_spec.bootDiskType"}},
	} {
		if got := diskField(paths, 1); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestHeadsAsTheyAreStored: the tenant of a head is stored where its class does not name it.
func TestHeadsAsTheyAreStored(t *testing.T) {
	demand := capacity.Ask{{Shape: shapeOf(0), Replicas: 1}}
	for class, want := range map[ClassID]string{
		ClassOf("t", demand, time.Hour): "", ClassOf(anyOf, demand, time.Hour): "t", ClassOf("", demand, time.Hour): "t",
	} {
		if got := class.Stored([]Head{{ID: "a", Tenant: "t"}}); len(got) != 1 || got[0].ID != "a" || got[0].Tenant != want {
			t.Errorf("class %s stores %+v, want the tenant %q", class, got, want)
		}
	}
}

// TestQueueOfATenantIsBounded: up to its quota requests may wait, on the resource as a whole,
// and none of another tenant counts.
func TestQueueOfATenantIsBounded(t *testing.T) {
	queue := Queue{ClassOf("t", ask("x", 60, 1).Demand, time.Hour): {Count: 2}, ClassOf("t", ask("x", 60, 0, 1).Demand, time.Hour): {Count: 1}, ClassOf("u", ask("x", 60, 1).Demand, time.Hour): {Count: 9}}
	for quota, full := range map[int]bool{0: false, 1: true, 2: true, 3: true, 4: false, 12: false} {
		q := Quota{Waiting: quota}
		why := q.queueFull(queue, Ask{Head: Head{Tenant: "t"}})
		if (why != nil) != full {
			t.Errorf("of %d that may wait 3 do: %v", quota, why)
		}
	}
}

// TestContend: requests of a tenant take from one bound if they share a shape, or if the
// number of its requests is bounded.
func TestContend(t *testing.T) {
	a, b, c := ask("a", 60, 1), ask("b", 60, 0, 1), ask("c", 60, 1, 1)
	pl := &planner{}
	for _, test := range []struct {
		running int
		x, y    *Head
		want    bool
	}{{0, &a, &b, false}, {0, &a, &c, true}, {0, &c, &b, true}, {1, &a, &b, true}, {2, &a, &b, true}} {
		if got := pl.contend(&account{Quota: Quota{Running: test.running}}, test.x, test.y); got != test.want {
			t.Errorf("%d may run: %s and %s contend: %v", test.running, test.x.ID, test.y.ID, got)
		}
	}
}

// TestWhyNothingStarts: each obstacle in its words, and of several the most lasting one.
func TestWhyNothingStarts(t *testing.T) {
	p := Policy{MaxAge: 2 * time.Minute, MaxHolds: 3}
	s := Snapshot{Now: planNow, ObservedAt: planNow.Add(-90 * time.Second), State: running, Known: true}
	fresh := true
	if why := obstacle(s, p, fresh); why != nil {
		t.Errorf("nothing is in the way: %v", why)
	}
	for _, step := range []struct {
		arise func()
		want  string
	}{
		{func() { s.Holds, s.NoRoom = 1, true }, "HOLD_LIMIT: 1 job holds machines of this persistent resource, the most that Berth can record."},
		{func() { s.Holds, s.NoRoom = 3, false }, "HOLD_LIMIT: 3 jobs hold machines of this persistent resource, the most that Berth can record."},
		{func() { s.NotBefore = planNow.Add(time.Minute) }, "BACKING_OFF: Vertex AI declined a job here; nothing is submitted before 2026-03-01T12:01:00Z."},
		{func() { fresh = false }, "OBSERVATION_TOO_OLD: Vertex AI was last asked about the persistent resource 1m30s ago; the limit is 2m0s."},
		{func() { s.State = "REBOOTING" }, "RESOURCE_NOT_READY: The persistent resource is REBOOTING; jobs start only while it is RUNNING."},
		{func() { s.State = "" }, "OBSERVATION_TOO_OLD: Vertex AI could not be asked about the persistent resource yet."},
		{func() { s.State = absent }, "RESOURCE_GONE: The persistent resource has been deleted; the request waits for one of the same name."},
	} {
		step.arise()
		if why := obstacle(s, p, fresh); why == nil || why.String() != step.want {
			t.Errorf("%v, want %s", why, step.want)
		}
	}
	s.Paused = &Pause{Since: planNow, Who: "ann", Reason: "upgrade"}
	if got, want := obstacle(s, p, fresh).String(), s.Paused.Problem().String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
