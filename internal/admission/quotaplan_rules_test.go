package admission

import (
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
)

// TestHeadsBehindAQuota: a plan asks for the unknown requests of a class whose known ones
// have started, but not if the quota of their tenant keeps them from starting anyway. Else
// every pass reads requests that cannot start.
func TestHeadsBehindAQuota(t *testing.T) {
	m0, m1 := shapeOf(0), shapeOf(1)
	cap0 := func(n capacity.Replicas) Quota { return Quota{Cap: capacity.Use{m0: n}} }
	held := func(n ...capacity.Replicas) []Held {
		return []Held{{ID: "held", Tenant: "t", Demand: ask("x", 60, n...).Demand, End: planNow.Add(time.Hour)}}
	}
	for name, c := range map[string]struct {
		tenant string
		quota  Quota
		head   Head // starts; another of its class is unknown
		over   *Head
		held   []Held
		wanted bool
	}{
		"no quota":                       {"t", Quota{}, ask("a", 60, 2), nil, nil, true},
		"the cap has room":               {"t", cap0(6), ask("a", 60, 2), nil, nil, true},
		"the cap has just room":          {"t", cap0(4), ask("a", 60, 2), nil, nil, true},
		"the cap is reached":             {"t", cap0(2), ask("a", 60, 2), nil, nil, false},
		"the smallest does not fit":      {"t", cap0(3), ask("a", 60, 2), nil, nil, false},
		"a class of one and its cap":     {"t", cap0(3), ask("a", 60, 1), nil, held(1), true},
		"a class of one at its cap":      {"t", cap0(2), ask("a", 60, 1), nil, held(1), false},
		"two shapes at the cap of one":   {"t", cap0(1), ask("a", 60, 1, 1), nil, nil, true},
		"the cap of another shape":       {"t", Quota{Cap: capacity.Use{m1: 1}}, ask("a", 60, 2), nil, held(0, 1), true},
		"as many run as may":             {"t", Quota{Running: 1}, ask("a", 60, 2), nil, nil, false},
		"one more may run":               {"t", Quota{Running: 2}, ask("a", 60, 2), nil, nil, true},
		"a class of no tenant":           {"", cap0(2), ask("a", 60, 2), nil, nil, true},
		"a wide one waits for the cap":   {"t", cap0(4), ask("a", 60, 1), head(ask("w", 60, 3)), held(2), false},
		"a wide one of another shape":    {"t", Quota{Cap: capacity.Use{m0: 4, m1: 4}}, ask("a", 60, 1), head(ask("w", 60, 0, 3)), held(0, 2), true},
		"a wide one, and a bound of all": {"t", Quota{Cap: capacity.Use{m0: 4, m1: 4}, Running: 9}, ask("a", 60, 1), head(ask("w", 60, 0, 3)), held(0, 2), false},
	} {
		w := story(t, PlanPolicy{Patience: 24 * time.Hour, Quotas: &Quotas{Tenants: map[string]Quota{"t": c.quota}}}, 8, 8)
		w.s.Held = c.held
		for _, h := range c.held {
			w.s.Use.Add(h.Demand)
		}
		class := ClassOf(c.tenant, c.head.Demand, c.head.Limit)
		w.s.Queue[class] = Class{Count: 2, Heads: []Head{c.head}}
		if c.over != nil {
			w.s.Queue[ClassOf(c.tenant, c.over.Demand, c.over.Limit)] = Class{Count: 1, Heads: []Head{*c.over}}
		}
		plan := MakePlan(w.s, w.p)
		if len(plan.Starts) != 1 || plan.Starts[0].ID != "a" {
			t.Errorf("%s: starts %+v, want a", name, plan.Starts)
		}
		if got := slices.Contains(plan.Want, class); got != c.wanted {
			t.Errorf("%s: wanted %v, want %v", name, got, c.wanted)
		}
	}
}

func head(h Head) *Head { return &h }

// TestDelaysOfAReservation: each cause of a delay alone, and each thing next to it that is
// none: another shape, another order, another tenant.
func TestDelaysOfAReservation(t *testing.T) {
	m0, m1 := shapeOf(0), shapeOf(1)
	at := planNow.Add(time.Hour)
	reserved := func(order string, owed bool, n ...capacity.Replicas) Reservation {
		r := Reservation{Head: ask("o", 60, n...), Owed: owed}
		r.Order = order
		return r
	}
	start := func(order string, by time.Time, n ...capacity.Replicas) Start {
		return Start{reserved(order, false, n...).Head, by}
	}
	use := func(n capacity.Replicas, end time.Duration, berths bool, shape ...capacity.Replicas) func(*planner) {
		return func(pl *planner) {
			h := Held{Demand: ask("h", 60, shape...).Demand, End: planNow.Add(end)}
			if berths {
				h.ID = "h"
			}
			pl.s.Held = []Held{h}
			pl.s.Use = capacity.Use{h.Demand[0].Shape: n}
		}
	}
	before := func(r Reservation) func(*planner) {
		return func(pl *planner) { pl.plan.Reserved = slices.Insert(pl.plan.Reserved, 0, r) }
	}
	starts := func(s Start) func(*planner) { return func(pl *planner) { pl.plan.Starts = []Start{s} } }
	with := func(changes ...func(*planner)) func(*planner) {
		return func(pl *planner) {
			for _, change := range changes {
				change(pl)
			}
		}
	}
	shared := func(pl *planner) { pl.shared = true }
	owed := func(pl *planner) { pl.plan.Reserved[len(pl.plan.Reserved)-1].Owed = true }
	had := func(list ...Delay) func(*planner) {
		return func(pl *planner) { pl.plan.Reserved[len(pl.plan.Reserved)-1].Delays = list }
	}
	for name, c := range map[string]struct {
		change func(*planner)
		want   []Delay
	}{
		"nothing that is known":      {func(*planner) {}, []Delay{LateStart}},
		"a job at its end":           {use(2, 0, true, 2), []Delay{Overstay}},
		"a job just before its end":  {use(2, 1, true, 2), []Delay{LateStart}},
		"a job beyond, other shape":  {use(2, 0, true, 0, 2), []Delay{LateStart}},
		"others until the start":     {use(2, time.Hour, false, 2), []Delay{LateStart}},
		"others beyond the start":    {use(2, time.Hour+1, false, 2), []Delay{OtherUse}},
		"others, other shape":        {use(2, 2*time.Hour, false, 0, 2), []Delay{LateStart}},
		"Berth's beyond the start":   {use(2, 2*time.Hour, true, 2), []Delay{LateStart}},
		"use that no job explains":   {use(3, 2*time.Hour, true, 2), []Delay{OtherUse}},
		"unexplained, other shape":   {use(3, 2*time.Hour, true, 0, 2), []Delay{LateStart}},
		"a higher priority before":   {before(reserved("0999-z", false, 1)), []Delay{HigherPriority}},
		"the same priority before":   {before(reserved("1000-a", false, 1)), []Delay{LateStart}},
		"higher, other shape":        {before(reserved("0999-z", false, 0, 1)), []Delay{LateStart}},
		"a higher priority starts":   {starts(start("0999-z", time.Time{}, 1)), []Delay{HigherPriority}},
		"the same priority starts":   {starts(start("1000-a", time.Time{}, 1)), []Delay{LateStart}},
		"higher starts, other shape": {starts(start("0999-z", time.Time{}, 0, 1)), []Delay{LateStart}},
		"a share goes back":          {with(before(reserved("1000-z", true, 1)), shared), []Delay{ShareReturned}},
		"no shares":                  {before(reserved("1000-z", true, 1)), []Delay{LateStart}},
		"both within their shares":   {with(before(reserved("1000-z", true, 1)), shared, owed), []Delay{LateStart}},
		"one that borrows":           {with(before(reserved("1000-z", false, 1)), shared), []Delay{LateStart}},
		"one that came earlier":      {with(before(reserved("1000-a", true, 1)), shared), []Delay{LateStart}},
		"a share, other shape":       {with(before(reserved("1000-z", true, 0, 1)), shared), []Delay{LateStart}},
		"a later one starts":         {with(starts(start("1000-z", time.Time{}, 1)), shared), []Delay{ShareReturned}},
		"it is backfilled":           {with(starts(start("1000-z", at, 1)), shared), []Delay{LateStart}},
		"an earlier one starts":      {with(starts(start("1000-a", time.Time{}, 1)), shared), []Delay{LateStart}},
		"later, other shape":         {with(starts(start("1000-z", time.Time{}, 0, 1)), shared), []Delay{LateStart}},
		"later, both owed":           {with(starts(start("1000-z", time.Time{}, 1)), shared, owed), []Delay{LateStart}},
		"later, no shares":           {starts(start("1000-z", time.Time{}, 1)), []Delay{LateStart}},
		"its quota is used up": {func(pl *planner) {
			pl.p.Quotas = &Quotas{Tenants: map[string]Quota{"t": {Cap: capacity.Use{m0: 3}}}}
			pl.account("t").use = capacity.Use{m0: 2}
		}, []Delay{QuotaLowered}},
		"its quota just does": {func(pl *planner) {
			pl.p.Quotas = &Quotas{Tenants: map[string]Quota{"t": {Cap: capacity.Use{m0: 3}}}}
			pl.account("t").use = capacity.Use{m0: 1}
		}, []Delay{LateStart}},
		"fewer machines":             {func(pl *planner) { pl.s.Pools[0].Count = 3 }, []Delay{FewerMachines}},
		"more machines":              {func(pl *planner) { pl.s.Pools[0].Count = 5 }, []Delay{LateStart}},
		"fewer of another":           {func(pl *planner) { pl.s.Pools[1].Count = 0 }, []Delay{LateStart}},
		"paused machines":            {func(pl *planner) { pl.s.Paused = capacity.Use{m0: 1} }, []Delay{WasPaused}},
		"paused, other shape":        {func(pl *planner) { pl.s.Paused = capacity.Use{m1: 1} }, []Delay{LateStart}},
		"causes that have passed":    {had(HigherPriority, OtherUse), []Delay{HigherPriority, OtherUse}},
		"new before those":           {with(had(HigherPriority, Overstay, OtherUse), use(2, 0, true, 2)), []Delay{Overstay, HigherPriority, OtherUse}},
		"a known cause after a late": {with(had(LateStart), use(2, 0, true, 2)), []Delay{Overstay}},
		"late is told once":          {had(LateStart), []Delay{LateStart}},
	} {
		pl := &planner{accounts: map[string]*account{}}
		pl.s = PlanSnapshot{Now: planNow, Use: capacity.Use{}, Pools: []capacity.Pool{{ID: "p", Shape: m0, Count: 4}, {ID: "q", Shape: m1, Count: 4}}}
		r := Reservation{Head: ask("m", 60, 2), At: at, Machines: 4}
		r.Tenant = "t"
		pl.plan.Reserved = []Reservation{r}
		c.change(pl)
		if got := pl.delays(len(pl.plan.Reserved) - 1); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestTextsOfDelays: each cause of a delay has its words, in the order in which they are found.
func TestTextsOfDelays(t *testing.T) {
	r := Reservation{At: planNow, Delays: []Delay{Overstay, OtherUse, HigherPriority, ShareReturned, QuotaLowered, FewerMachines, WasPaused, LateStart}}
	const want = "It was to start by 2026-03-01T12:00:00Z, and starts later: jobs run beyond their time limits, machines are used by jobs that Berth did not start, " +
		"requests of a higher priority go first, tenants take back machines of their shares, the quota of its tenant is used up, the pools have fewer machines than then, " +
		"an operator paused the machines, an earlier job started later than planned."
	if got := r.late(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if len(r.Delays) != len(delayTexts) {
		t.Errorf("%d causes have words, the test knows %d", len(delayTexts), len(r.Delays))
	}
}
