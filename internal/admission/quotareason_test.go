package admission

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A request that the cap of its tenant and full machines keep waiting says both: a job of
// another tenant that ends does not start it.
func TestAFullResourceDoesNotHideACap(t *testing.T) {
	ask := func(n capacity.Replicas) capacity.Ask {
		return capacity.Ask{{Shape: quotaShape, Replicas: n}}
	}
	held := []Held{
		{ID: "a", Tenant: "capped", Demand: ask(2), End: planNow.Add(time.Hour)},
		{ID: "b", Tenant: "free", Demand: ask(2), End: planNow.Add(2 * time.Hour)},
	}
	waiting := Head{ID: "c", Tenant: "free", Order: "1000-1", Demand: ask(1), Limit: time.Hour}
	standing := []Reservation{{Head: waiting, Shapes: []capacity.Shape{quotaShape}, At: planNow.Add(time.Hour)}}
	for name, c := range map[string]struct {
		tenant   string
		queue    Queue
		reserved []Reservation
		want     reason.Code
		says     []string
	}{
		"the cap alone with full machines": {"capped", nil, nil, reason.OverQuota, []string{"the tenant holds 2 of the 2", "of 4, 4 are in use"}},
		"behind a reservation": {"capped", Queue{waiting.class(): Class{Heads: []Head{waiting}, Count: 1}}, standing, reason.OverQuota,
			[]string{"the tenant holds 2 of the 2", "of 4, 4 are in use", "Before it comes a waiting request"}},
		"no cap": {"free", nil, nil, reason.Full, []string{"of 4, 4 are in use"}},
		"no cap, behind a reservation": {"free", Queue{waiting.class(): Class{Heads: []Head{waiting}, Count: 1}}, standing, reason.Full,
			[]string{"of 4, 4 are in use", "Before it comes a waiting request"}},
	} {
		s := Snapshot{Now: planNow, State: running, ObservedAt: planNow, Known: true, Pools: []capacity.Pool{{ID: "p", Shape: quotaShape, Count: 4}},
			Use: capacity.Use{quotaShape: 4}, Holds: 2, Held: func() []Held { return held }, Queue: c.queue, Reserved: c.reserved}
		p := Policy{MaxAge: time.Minute, MaxHolds: 10, Plan: PlanPolicy{Horizon: time.Hour, Margin: time.Minute, StartIn: time.Minute, StartTimeout: 10 * time.Minute,
			Patience: 24 * time.Hour, Quotas: &Quotas{Tenants: map[string]Quota{"capped": {Cap: capacity.Use{quotaShape: 2}}}}}}
		a := Ask{Head: Head{ID: message.Key("z"), Tenant: c.tenant, Key: planNow, Order: "1000-9", Demand: ask(1), Limit: time.Hour}}
		d := Decide(s, a, p)
		if d.Verdict != Wait || d.Reason == nil || d.Reason.Code != c.want {
			t.Errorf("%s: %s %+v, want %s", name, d.Verdict, d.Reason, c.want)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(d.Reason.Detail, text) {
				t.Errorf("%s: the reason %q does not say %q", name, d.Reason.Detail, text)
			}
		}
		if got := strings.Contains(d.Reason.Detail, "quota"); got != (c.want == reason.OverQuota) {
			t.Errorf("%s: the reason is %q", name, d.Reason.Detail)
		}
	}
}

// TestWhyOverQuota: a request waits for an earlier one of its tenant that is over its cap if
// both ask for one shape, or if the tenant's number of running requests is bounded.
func TestWhyOverQuota(t *testing.T) {
	ask := func(shape capacity.Shape) capacity.Ask { return capacity.Ask{{Shape: shape, Replicas: 2}} }
	first := Head{ID: "first", Tenant: "t", Order: "1000-5", Demand: ask(small)}
	capped, counted := Quota{Cap: capacity.Use{small: 1, large: 1}}, Quota{Running: 1}
	for name, test := range map[string]struct {
		quota  Quota
		ask    Head
		detail string // begins with it; "" for another reason
	}{
		"itself":                   {capped, first, "2 replicas of n1-standard-4/pd-ssd:100 are asked for; the tenant holds 1 of the 1"},
		"later, of its shape":      {capped, Head{ID: "a", Tenant: "t", Order: "1000-6", Demand: ask(small)}, "An earlier request of the tenant waits for 2 replicas"},
		"later, of another shape":  {capped, Head{ID: "a", Tenant: "t", Order: "1000-6", Demand: ask(large)}, ""},
		"another shape, counted":   {counted, Head{ID: "a", Tenant: "t", Order: "1000-6", Demand: ask(large)}, "An earlier request of the tenant waits for 2 replicas"},
		"earlier":                  {capped, Head{ID: "a", Tenant: "t", Order: "1000-4", Demand: ask(small)}, ""},
		"earlier, counted":         {counted, Head{ID: "a", Tenant: "t", Order: "1000-4", Demand: ask(small)}, ""},
		"later, of another tenant": {capped, Head{ID: "a", Tenant: "u", Order: "1000-6", Demand: ask(small)}, ""},
	} {
		p := Plan{Over: []Over{{Head: Head{ID: "other", Tenant: "v", Demand: ask(small)}, Quota: capped}, {Head: first, Quota: test.quota, Use: capacity.Use{small: 1}, Running: 1}}}
		why := p.over(Ask{Head: test.ask})
		if (why == nil) != (test.detail == "") || why != nil && (why.Code != reason.OverQuota || !strings.HasPrefix(why.Detail, test.detail)) {
			t.Errorf("%s: %v, want %q", name, why, test.detail)
		}
	}
}
