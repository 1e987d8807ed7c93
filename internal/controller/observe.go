package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// An observation is what Vertex AI says of one persistent resource and the live jobs
// on it.
type observation struct {
	res    vertex.Resource
	absent bool
	live   []vertex.Job // on this resource, ours and others'
	at     time.Time    // ledger time before the oldest of the questions that it rests on
}

// list returns the live jobs of a region, as this pass has listed them. A list that
// is half as old as an observation may be is made again: observations are as old as the list that
// they rest on, and those at the end of a long pass would admit nothing.
func (c *Controller) list(ctx context.Context, parent string, clock func() time.Time, lists map[string]listing, p *progress) (listing, error) {
	l, listed := lists[parent]
	now := clock()
	if listed && now.Sub(l.at) <= c.cfg.Policy.MaxAge/2 {
		return l, l.err
	}
	p.called(parent, 1)
	live, err := c.vertex.Live(ctx, parent)
	if err != nil {
		err = fmt.Errorf("list live jobs in %s: %w", parent, err)
	}
	p.called(parent, len(live)/vertex.PageSize)
	lists[parent] = listing{live, now, err}
	return lists[parent], err
}

// A listing is the live jobs of one region, and when they were asked for.
type listing struct {
	jobs []vertex.Job
	at   time.Time // by the pass's clock, before the call
	err  error     // why there is none: it is not asked for once more in the same pass
}

// observe asks Vertex AI about one resource: two calls. at is the ledger's time of
// a moment ago.
func (c *Controller) observe(ctx context.Context, name string, at time.Time) (v observation, err error) {
	live, err := c.vertex.Live(ctx, vertex.NameOf(name).Parent())
	if err != nil {
		err = fmt.Errorf("list live jobs to observe %s: %w", name, err)
		c.missing.failed.Add(vertex.NameOf(name).Parent(), failedCall{c.env.Monotonic(), err})
		return v, err
	}
	if v, err = c.observeWith(ctx, name, at, live); err != nil {
		c.missing.failed.Add(name, failedCall{c.env.Monotonic(), err})
	}
	return v, err
}

// observeWith is observe with a list of live jobs that was asked for after the moment
// at. The list has to be the older of the two: then a job that ends in between counts
// as foreign or used although it is not, never the other way round.
func (c *Controller) observeWith(ctx context.Context, name string, at time.Time, live []vertex.Job) (observation, error) {
	v := observation{at: at}
	res, err := c.vertex.Resource(ctx, name)
	switch {
	case err != nil && vertex.KindOf(err) == vertex.NotFound:
		v.absent = true
	case err != nil:
		return v, fmt.Errorf("get %s: %w", name, err)
	}
	v.res = res
	for _, j := range live {
		if j.PersistentResource == vertex.NameOf(name).ID() {
			v.live = append(v.live, j)
		}
	}
	return v, nil
}

// onto writes the observation into the resource document, except for the jobs.
func (v observation) onto(res *ledger.Resource) {
	res.ObservedAt = v.at
	before := res.State
	defer func() {
		if before != "" && condition(before) != condition(res.State) {
			res.Notice = &ledger.Notice{} // from the first request on, also if another notice is under way
			res.Restarts++
		}
	}()
	if v.absent {
		// Pools and create time stay, to be shown and to know a resource made anew
		// from this one.
		res.State, res.SteadySince = ledger.Absent, time.Time{}
		return
	}
	switch {
	case v.res.State != vertex.Running:
		res.SteadySince = time.Time{}
	case res.SteadySince.IsZero() || !res.CreateTime.Equal(v.res.CreateTime) || !slices.EqualFunc(res.Pools, v.res.Pools, samePool):
		res.SteadySince = v.at
	}
	res.State, res.CreateTime, res.Pools = v.res.State, v.res.CreateTime, v.res.Pools
	res.Network, res.EncryptionKey, res.CustomAccount, res.Ray = v.res.Network, v.res.EncryptionKey, v.res.CustomAccount, v.res.Ray
}

// samePool says whether a pool is as it was, except for the counts that autoscaling
// and jobs change all the time.
func samePool(a, b capacity.Pool) bool {
	if a.Max > 0 && b.Max > 0 {
		a.Count, b.Count = 0, 0
	}
	a.Used, b.Used = 0, 0
	return a == b
}

// foreignJobs counts the live jobs that no hold names as foreign use: what
// [Controller.saveObservation] does, for a quote, which writes nothing and so may
// count jobs of ours that have just ended.
func (v observation) foreignJobs(res *ledger.Resource) {
	res.ClearForeign()
	for _, job := range v.live {
		if h, held := res.Holds[job.Request]; !held || h.Run != job.Run {
			res.AddForeign(job.Name, job.Ask, job.LatestEnd())
		}
	}
	res.Recompute()
}

// markSuspected compares what Vertex AI says is used with the jobs that were listed.
// An excess is believed when the last observation had it as well and nothing
// moved in between: used counts lag behind jobs that have just ended.
func markSuspected(res *ledger.Resource, v observation) {
	listed, used := capacity.Use{}, capacity.Use{}
	for _, j := range v.live {
		listed.Add(j.Ask)
	}
	for _, p := range res.Pools {
		s := p.Shape
		used[s] = used[s].Plus(p.Used)
	}
	excess, believed := capacity.Use{}, capacity.Use{}
	for s, n := range used {
		if more := n - listed[s]; more > 0 {
			excess[s] = more
			if res.SuspectedFor == res.Version {
				believed[s] = max(min(more, res.Suspected[s]), min(more, res.Unexplained[s]))
			} else {
				believed[s] = min(more, res.Unexplained[s])
			}
			if believed[s] == 0 {
				delete(believed, s)
			}
		}
	}
	res.Suspected, res.SuspectedFor, res.Unexplained = excess, res.Version, believed
}

// condition is the part of a resource's state that all waiting requests get as
// reason: that it is gone or broken. A reboot or an update is over in minutes; only
// requests that are decided meanwhile get it.
func condition(state string) string {
	switch state {
	case ledger.Absent, "ERROR":
		return state
	}
	return ""
}

// concerns adds to what has to be decided again what a change of the resource may
// concern: everything, or the requests for the shapes whose pools have changed.
// stale says that the observation before was too old to contradict a request: those
// parked on it have not got the reason yet.
// anew says that a part begins from its first request on.
func concerns(before, after *ledger.Resource, stale bool) (recheck map[string]string, anew bool) {
	if !before.HasParked {
		return nil, false
	}
	if stale && after.State == vertex.Running || before.State != after.State || !before.CreateTime.Equal(after.CreateTime) || before.Network != after.Network ||
		before.EncryptionKey != after.EncryptionKey || before.CustomAccount != after.CustomAccount || before.Ray != after.Ray {
		return map[string]string{ledger.Parked: ""}, true
	}
	old, now := rooms(before.Pools), rooms(after.Pools)
	recheck = maps.Clone(after.Recheck)
	for shape, room := range now {
		if slices.Equal(old[shape], room) {
			continue
		}
		if recheck == nil {
			recheck = map[string]string{}
		}
		recheck[ledger.ParkedIn(shape.String())], anew = "", true
	}
	return recheck, anew
}

// rooms are the limits of the pools of each shape, in order.
func rooms(pools []capacity.Pool) map[capacity.Shape][]capacity.Replicas {
	all := map[capacity.Shape][]capacity.Replicas{}
	for _, p := range pools {
		all[p.Shape] = append(all[p.Shape], p.Limit())
	}
	for _, room := range all {
		slices.Sort(room)
	}
	return all
}
