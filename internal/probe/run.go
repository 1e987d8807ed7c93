package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits of what is waited for.
const (
	startLimit  = 10 * time.Minute // until a job that fits is RUNNING
	endLimit    = 5 * time.Minute  // until a job that was cancelled or is done has ended
	lagLimit    = 3 * time.Minute  // until a list or a count shows it
	refusalWait = 90 * time.Second // that a job is watched which fits nowhere
	pause       = 2 * time.Second  // between two looks at one job
	quickPause  = time.Second      // between two lists that look for a new job
	cleanLimit  = 2 * time.Minute  // for ending what was created
	usualSettle = time.Minute      // after a job, until its machines are free for certain, if that was not measured
	moreSettle  = 15 * time.Second // beyond what was measured
	reuseLimit  = 10 * time.Minute // until a job runs on a machine that was freed
	ratePause   = time.Minute      // after a refusal because of the rate of calls
	rateTries   = 5                // of one create after such a refusal
	tries       = 5                // of another call after a failure that may pass
)

// A Service is Vertex AI in its own words. Errors have a gRPC status; each call has a
// deadline of its own and is made once.
type Service interface {
	Resource(ctx context.Context, name string) (*aiplatformpb.PersistentResource, error)
	Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (*aiplatformpb.CustomJob, error)
	Get(ctx context.Context, name string) (*aiplatformpb.CustomJob, error)
	List(ctx context.Context, parent, filter string) ([]*aiplatformpb.CustomJob, error)
	Cancel(ctx context.Context, name string) error
}

// A Clock is time as it passes for the prober.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error // returns early with an error when ctx ends
}

// A prober runs one plan.
type prober struct {
	Service
	clock   Clock
	plan    *Plan
	say     func(format string, args ...any)
	created []string // names of jobs
	seen    []*Observation
	late    time.Duration // of used_replica_count, as measured
	settle  time.Duration // pause after a job, until its machines are free and counted so
	start   time.Duration // from the create of a job that fits until RUNNING, as measured
	unclear bool          // a create was cut off, and its job may still appear

	// unsettled says that no job was seen on a machine that was freed: what is refused or
	// waits then may do so for want of it.
	unsettled bool
}

// Run carries a plan out. It ends every job that it created, even if ctx ends: left are the
// names of those whose end it could not see. The error is what stopped it; observations are
// complete up to there.
func Run(ctx context.Context, s Service, clock Clock, p *Plan, say func(format string, args ...any)) (seen []*Observation, left []string, err error) {
	r := &prober{Service: s, clock: clock, plan: p, say: say, settle: usualSettle}
	if err = r.steps(ctx); err != nil {
		for i, o := range r.seen {
			o.Cut = o.End == nil && o.Watched == 0 && (o.Exists || i == len(r.seen)-1 && ctx.Err() != nil)
		}
	}
	if err != nil {
		r.say("Ending the jobs of the probe: this takes %s at most.", cleanLimit+pause)
	}
	left, listed := r.clean(context.WithoutCancel(ctx))
	if r.unclear && !listed {
		err = errors.Join(err, fmt.Errorf("a create had no answer, and no list shows whether its job exists: look for jobs with the label %s=%s", LabelProbe, p.Options.ID))
	}
	return r.seen, left, err
}

func (r *prober) steps(ctx context.Context) error {
	var fill []Step
	for _, s := range r.plan.Steps {
		var err error
		switch s.Name {
		case stepTiny:
			var ok bool
			if ok, err = r.tiny(ctx, s); err == nil && !ok {
				err = errors.New("a job that fits did not run, so the other questions cannot be asked")
			}
		case stepFill:
			fill = append(fill, s)
			continue
		case stepFull:
			err = r.full(ctx, fill, s)
		case stepTimeout:
			err = r.timeout(ctx, s)
		default:
			err = r.refusal(ctx, s)
		}
		if err == nil && s.Name != stepTiny && r.seen[len(r.seen)-1].ran() {
			err = r.clock.Sleep(ctx, r.settle) // or the next job may be taken for one too many
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	r.order(ctx)
	return nil
}

func never() bool { return false }

// stop cancels a job and waits for its end.
func (r *prober) stop(ctx context.Context, o *Observation) error {
	if !o.Exists || o.End != nil {
		return nil
	}
	o.Watched = *since(r.clock.Now().Sub(o.sent))
	err := r.Cancel(ctx, o.name)
	for n := 0; n < tries && passes(err); n++ {
		if err := r.clock.Sleep(ctx, pauseAfter(err)); err != nil {
			return err
		}
		err = r.Cancel(ctx, o.name)
	}
	if err != nil {
		return err
	}
	o.Cancel = since(r.clock.Now().Sub(o.sent))
	return r.watch(ctx, o, endLimit, never)
}

// refusal asks with a job that may be refused, and ends it if it is not.
func (r *prober) refusal(ctx context.Context, s Step) error {
	o, err := r.try(ctx, s)
	if err != nil {
		return err
	}
	if err := r.watch(ctx, o, max(r.plan.refusalLimit(), 2*r.start), o.ran); err != nil {
		return err
	}
	return r.stop(ctx, o)
}

// timeout lets a job run over its time limit.
func (r *prober) timeout(ctx context.Context, s Step) error {
	o, err := r.try(ctx, s)
	if err != nil {
		return err
	}
	if err := r.watch(ctx, o, startLimit, o.ran); err != nil {
		return err
	}
	if err := r.watch(ctx, o, timeLimited+endLimit, never); err != nil {
		return err
	}
	return r.stop(ctx, o)
}

// clean cancels every job of this probe that has not ended. It returns those whose end it
// has not seen, and whether a list showed which jobs there are.
func (r *prober) clean(ctx context.Context) (left []string, listed bool) {
	open, done := map[string]bool{}, map[string]bool{}
	for _, name := range r.created {
		open[name] = true
	}
	for begin := r.clock.Now(); ; {
		if jobs, err := r.List(ctx, r.plan.Options.Parent, r.mine()); err == nil {
			listed = true
			for _, j := range jobs { // also those whose create had no answer
				open[j.GetName()] = !done[j.GetName()]
			}
		}
		for name, is := range open {
			if !is {
				continue
			}
			job, err := r.Get(ctx, name)
			switch state := strings.TrimPrefix(job.GetState().String(), "JOB_STATE_"); {
			case status.Code(err) == codes.NotFound, err == nil && ended[state]:
				open[name], done[name] = false, true
			case err != nil || state != "CANCELLING":
				_ = r.Cancel(ctx, name) // the next look shows whether it worked
			}
		}
		waited := r.clock.Now().Sub(begin)
		if len(done) == len(open) && (!r.unclear || waited > cleanLimit/2) || waited > cleanLimit || r.clock.Sleep(ctx, pause) != nil {
			break
		}
	}
	for name := range done {
		delete(open, name)
	}
	for name := range open {
		left = append(left, name)
	}
	slices.Sort(left)
	return left, listed
}
