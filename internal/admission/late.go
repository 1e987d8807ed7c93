package admission

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
)

// A Delay is a cause for which a reservation may start later than promised. The other is
// that nothing starts at all: the resource is paused, is not RUNNING or was not observed lately,
// Vertex AI has declined a job, or the document has no room for a hold.
type Delay string

const (
	// Overstay: a job runs beyond its time limit. Its end is not known any more.
	Overstay Delay = "OVERSTAY"
	// OtherUse: jobs that Berth did not start use machines, or some use no job explains.
	OtherUse Delay = "OTHER_USE"
	// HigherPriority: requests of a higher priority came later and go first.
	HigherPriority Delay = "HIGHER_PRIORITY"
	// FewerMachines: the pools have fewer machines than when the start was promised.
	FewerMachines Delay = "FEWER_MACHINES"
	// ShareReturned: a tenant takes back machines of its share.
	ShareReturned Delay = "SHARE_RETURNED"
	// QuotaLowered: the tenant of the request has more than its quota allows now.
	QuotaLowered Delay = "QUOTA_LOWERED"
	// LateStart: a job that runs was started later than planned, for it waited for a
	// submission slot.
	LateStart Delay = "LATE_START"
	// WasPaused: an operator has paused machines, or had.
	WasPaused Delay = "PAUSED"
)

var delayTexts = map[Delay]string{
	Overstay:       "jobs run beyond their time limits",
	OtherUse:       "machines are used by jobs that Berth did not start",
	HigherPriority: "requests of a higher priority go first",
	FewerMachines:  "the pools have fewer machines than then",
	ShareReturned:  "tenants take back machines of their shares",
	QuotaLowered:   "the quota of its tenant is used up",
	LateStart:      "an earlier job started later than planned",
	WasPaused:      "an operator paused the machines",
}

// overstays reports whether a job beyond its limit is the only cause: most often it has
// just ended, and its end is not observed yet.
func overstays(delays []Delay) bool { return len(delays) == 1 && delays[0] == Overstay }

// StartsBy is when a reservation of the plan starts at the latest, by this snapshot;
// zero if that is not known. late says that this is after its At.
func (p *Plan) StartsBy(r Reservation) (at time.Time, late bool) {
	if at, late = p.Late[r.ID]; late {
		return at, true
	}
	return r.At, false
}

// Bounds of what a publisher is told of a reservation.
const (
	announceAfter = time.Minute      // a queue that moves on within it tells only its starts
	announceStep  = 15 * time.Minute // smaller changes are not told, and none below a quarter of the time left
	overstayGrace = 5 * time.Minute
)

// News reports whether the publisher of a reserved request is to be told anew when it
// starts at the latest: it is another time than was told last, by enough to matter.
func (p *Plan) News(r Reservation, now time.Time) bool {
	at, late := p.StartsBy(r)
	switch {
	case at.Equal(r.Announced) || now.Before(r.Since.Add(announceAfter)):
		return false
	case at.IsZero() || r.Announced.IsZero():
		return true
	case late && at.After(r.Announced) && (overstays(r.Delays) || r.Announced.After(r.At)):
		// The end of such use is not known, so the time moves with the clock.
		return !now.Before(r.Announced.Add(overstayGrace))
	}
	return at.Sub(r.Announced).Abs() > max(announceStep, r.Announced.Sub(now)/4)
}

// Passed reports whether the latest start that a publisher was told has passed for some
// minutes, and it is to be told why.
func (r *Reservation) Passed(now time.Time) bool {
	return !r.Announced.IsZero() && now.After(r.Announced.Add(overstayGrace))
}

// late says why a reservation starts later than promised.
func (r *Reservation) late() string {
	var causes []string
	for _, d := range r.Delays {
		causes = append(causes, delayTexts[d])
	}
	return fmt.Sprintf("It was to start by %s, and starts later: %s.", r.At.UTC().Format(time.RFC3339), strings.Join(causes, ", "))
}

// delays returns why a reservation starts after its At, by what the snapshot shows and
// earlier ones showed.
func (pl *planner) delays(k int) (list []Delay) {
	r := &pl.plan.Reserved[k]
	shapes := shapesOf(r.Demand)
	known := capacity.Use{}
	var overstays, others, paused bool
	for i := range pl.s.Held {
		h := &pl.s.Held[i]
		known.Add(h.Demand)
		if share(shapesOf(h.Demand), shapes) {
			overstays = overstays || !h.End.After(pl.s.Now)
			others = others || h.ID == "" && h.End.After(r.At)
		}
	}
	for _, s := range shapes {
		others = others || pl.s.Use[s] > known[s]
		paused = paused || pl.s.Paused[s] > 0
	}
	higher := slices.ContainsFunc(pl.plan.Reserved[:k], func(o Reservation) bool {
		return priorityOf(o.Order) < priorityOf(r.Order) && share(shapesOf(o.Demand), shapes)
	}) || slices.ContainsFunc(pl.plan.Starts, func(st Start) bool {
		return priorityOf(st.Order) < priorityOf(r.Order) && share(shapesOf(st.Demand), shapes)
	})
	returned := pl.shared && !r.Owed && (slices.ContainsFunc(pl.plan.Reserved[:k], func(o Reservation) bool {
		return o.Owed && o.Order > r.Order && share(shapesOf(o.Demand), shapes)
	}) || slices.ContainsFunc(pl.plan.Starts, func(st Start) bool {
		return st.Order > r.Order && st.By.IsZero() && share(shapesOf(st.Demand), shapes)
	}))
	t := pl.account(r.Tenant)
	for _, c := range []struct {
		is    bool
		delay Delay
	}{{overstays, Overstay}, {others, OtherUse}, {higher, HigherPriority}, {returned, ShareReturned},
		{t != nil && !t.fits(r.Demand), QuotaLowered}, {pl.machines(r) < r.Machines, FewerMachines}, {paused, WasPaused}} {
		if c.is {
			list = append(list, c.delay)
		}
	}
	// A cause may have passed, and its effect lasts: a request of a higher priority runs.
	for _, d := range r.Delays {
		if !slices.Contains(list, d) && d != LateStart {
			list = append(list, d)
		}
	}
	if list == nil {
		list = []Delay{LateStart}
	}
	return list
}

// machines is how many machines the shapes of a reservation have.
func (pl *planner) machines(r *Reservation) (n capacity.Replicas) {
	shapes := shapesOf(r.Demand)
	for _, p := range pl.s.Pools {
		if slices.Contains(shapes, p.Shape) {
			n = n.Plus(p.Limit())
		}
	}
	return n
}
