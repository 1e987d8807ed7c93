package probe

import "context"

// full fills the pool, asks for one replica more, and then cancels what fills it: first one
// job, to see when its machine is used again.
func (r *prober) full(ctx context.Context, steps []Step, more Step) error {
	r.unsettled = true // until a machine that was freed is seen to be used again
	var fill []*Observation
	for _, s := range steps {
		o, err := r.fill(ctx, s)
		if err != nil {
			return err
		}
		fill = append(fill, o)
	}
	full := true
	for _, o := range fill {
		if err := r.watch(ctx, o, startLimit, o.ran); err != nil {
			return err
		}
	}
	for _, o := range fill { // one may have ended while another waited
		if job, err := r.Get(ctx, o.name); o.Exists && err == nil {
			r.note(o, job)
		}
		full = full && o.state() == "RUNNING"
	}
	if full {
		over, err := r.try(ctx, more)
		if err != nil {
			return err
		}
		if err := r.watch(ctx, over, r.plan.Options.Wait, over.ran); err != nil {
			return err
		}
		over.Watched = *since(r.clock.Now().Sub(over.sent))
		over.Others = r.used(ctx) > r.plan.inUse+int64(len(fill)) // it may be late, and is lower then
		if err := r.stop(ctx, fill[0]); err != nil {
			return err
		}
		if fill[0].End != nil {
			if err := r.reuse(ctx, more, fill[0], over); err != nil {
				return err
			}
		}
	}
	for _, o := range fill {
		if err := r.stop(ctx, o); err != nil {
			return err
		}
	}
	return r.clock.Sleep(ctx, r.settle)
}

// fill creates a job that fills the pool, again and again while the machine of the job before
// is not free yet.
func (r *prober) fill(ctx context.Context, s Step) (*Observation, error) {
	for begin := r.clock.Now(); ; {
		o, err := r.try(ctx, s)
		if err != nil {
			return o, err
		}
		if err := r.watch(ctx, o, usualSettle, o.ran); err != nil {
			return o, err
		}
		if o.ran() || o.Exists && o.End == nil || r.clock.Now().Sub(begin) > lagLimit {
			return o, nil
		}
		if err := r.clock.Sleep(ctx, 5*pause); err != nil {
			return o, err
		}
		r.seen = r.seen[:len(r.seen)-1]
	}
}

// reuse sees how long after the end of a job the next one gets its machine: the one that
// waits, or new ones if a full pool refuses.
func (r *prober) reuse(ctx context.Context, more Step, freed, waited *Observation) error {
	waits := &Observation{Step: waited.Step, Exists: waited.Exists && waited.End == nil, name: waited.name, sent: waited.sent}
	from := r.clock.Now()
	for r.clock.Now().Sub(from) < reuseLimit {
		if !waits.Exists || waits.End != nil {
			job, err := r.Create(ctx, r.plan.Options.Parent, more.Job)
			r.unclear = r.unclear || err != nil && maybeDone(err)
			if err == nil {
				r.created = append(r.created, job.GetName())
				waits = &Observation{Step: waits.Step, Exists: true, name: job.GetName(), sent: r.clock.Now()}
			}
		}
		if err := r.watch(ctx, waits, quickPause, waits.ran); err != nil {
			return err
		}
		if waits.ran() {
			freed.Reused, r.unsettled = since(r.clock.Now().Sub(from)), false
			r.settle = max(r.late, freed.Reused.duration()) + moreSettle
			break
		}
		if err := r.clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	return r.stop(ctx, waits)
}
