package probe

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// tiny asks with a job that fits: when a list, a filter and a count show it, and when the
// count drops. It reports whether the job ran.
func (r *prober) tiny(ctx context.Context, s Step) (bool, error) {
	o, err := r.try(ctx, s)
	if err != nil || !o.Exists {
		return false, err
	}
	for r.clock.Now().Sub(o.sent) < lagLimit && o.Listed == nil {
		jobs, err := r.List(ctx, r.plan.Options.Parent, r.mine())
		if err == nil && has(jobs, o.name) {
			o.Listed = since(r.clock.Now().Sub(o.sent))
			break
		}
		if job, err := r.Get(ctx, o.name); err == nil {
			r.note(o, job)
		}
		if err := r.clock.Sleep(ctx, pauseAt(r.clock.Now().Sub(o.sent), quickPause)); err != nil {
			return false, err
		}
	}
	if err := r.filters(ctx, s, o); err != nil {
		return false, err
	}
	if err := r.watch(ctx, o, startLimit, func() bool { r.count(ctx, o); return o.ran() && o.Counted != nil }); err != nil {
		return false, err
	}
	if err := r.watch(ctx, o, endLimit, never); err != nil {
		return false, err
	}
	if err := r.stop(ctx, o); err != nil {
		return false, err
	}
	r.start = o.begun()
	if o.End != nil {
		o.Again = codeOf(r.Cancel(ctx, o.name))
	}
	return o.ran(), r.freed(ctx, o)
}

// filters tries filters that select few jobs beside the one that is listed.
func (r *prober) filters(ctx context.Context, s Step, o *Observation) error {
	for _, f := range []string{
		"labels.K=V", `labels.K="V" AND labels.L="W"`, "labels.K:*", `display_name="N"`,
		`labels.K="V" AND create_time>="T"`, `labels.K="V" AND NOT labels.L="0"`,
		`labels.K="V" AND state!="JOB_STATE_EXPIRED" AND state!="JOB_STATE_CANCELLED"`,
	} {
		text := strings.NewReplacer("labels.K", "labels."+LabelProbe, "=V", "="+r.plan.Options.ID, `"V"`, strconv.Quote(r.plan.Options.ID),
			"labels.L", "labels."+LabelStep, `"W"`, strconv.Quote(s.Job.Labels[LabelStep]), `"N"`, strconv.Quote(s.Job.DisplayName),
			`"T"`, strconv.Quote(o.sent.Add(-time.Hour).UTC().Format(time.RFC3339))).Replace(f)
		jobs, err := r.List(ctx, r.plan.Options.Parent, text)
		for n := 0; n < tries && passes(err); n++ {
			if err := r.clock.Sleep(ctx, pauseAfter(err)); err != nil {
				return err
			}
			jobs, err = r.List(ctx, r.plan.Options.Parent, text)
		}
		o.Filters = append(o.Filters, Filter{f, codeOf(err), has(jobs, o.name)})
	}
	return nil
}

// order notes how a list orders the jobs of the probe.
func (r *prober) order(ctx context.Context) {
	jobs, err := r.List(ctx, r.plan.Options.Parent, r.mine())
	if err != nil || len(jobs) < 2 || len(r.seen) == 0 {
		return
	}
	byAge := func(a, b *aiplatformpb.CustomJob) int {
		return a.GetCreateTime().AsTime().Compare(b.GetCreateTime().AsTime())
	}
	last := r.seen[len(r.seen)-1]
	switch {
	case slices.IsSortedFunc(jobs, func(a, b *aiplatformpb.CustomJob) int { return byAge(b, a) }):
		last.Order = "newest first"
	case slices.IsSortedFunc(jobs, byAge):
		last.Order = "oldest first"
	default:
		last.Order = "none by create_time"
	}
}

func has(jobs []*aiplatformpb.CustomJob, name string) bool {
	for _, j := range jobs {
		if j.GetName() == name {
			return true
		}
	}
	return false
}

// used is used_replica_count of the pool; -1 if it cannot be read.
func (r *prober) used(ctx context.Context) int64 {
	res, err := r.Resource(ctx, r.plan.Resource.GetName())
	if err != nil {
		return -1
	}
	return r.plan.usedOf(res)
}

// count notes when used_replica_count includes the job.
func (r *prober) count(ctx context.Context, o *Observation) {
	if o.Counted != nil {
		return
	}
	res, err := r.Resource(ctx, r.plan.Resource.GetName())
	if err != nil || r.plan.usedOf(res) <= r.plan.inUse {
		return
	}
	o.Counted = since(r.clock.Now().Sub(o.sent))
	for i, p := range r.plan.equal {
		for _, now := range res.GetResourcePools() {
			if len(r.plan.equal) > 1 && now.GetId() == p.GetId() && now.GetUsedReplicaCount() > p.GetUsedReplicaCount() {
				o.Place = i + 1
			}
		}
	}
}

// freed notes when used_replica_count leaves an ended job out again. A count that is late
// may include the job only after its end.
func (r *prober) freed(ctx context.Context, o *Observation) error {
	if o.End == nil {
		return nil
	}
	for end := r.clock.Now(); r.clock.Now().Sub(end) < lagLimit; {
		switch n := r.used(ctx); {
		case n > r.plan.inUse:
			r.count(ctx, o)
		case n >= 0 && o.Counted != nil:
			o.Freed = since(r.clock.Now().Sub(end))
			r.late = o.Freed.duration()
			r.settle = max(usualSettle, r.late+moreSettle)
			return nil
		}
		if err := r.clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}
