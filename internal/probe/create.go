package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	codepb "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// needRoom are the steps whose jobs are refused or wait, too, if the pool is full.
var needRoom = map[string]bool{stepDisk: true, stepDiskSize: true, stepAccount: true, stepChiefs: true, stepShared: true,
	stepBundled: true, stepSpot: true, stepFlex: true}

// try creates the job of a step. An answer that may be lost is no error: the job is looked
// for by its labels.
func (r *prober) try(ctx context.Context, s Step) (*Observation, error) {
	o := &Observation{Step: s.Name, sent: r.clock.Now()}
	used, err := r.look(ctx)
	if err != nil {
		return o, err
	}
	o.Others = needRoom[s.Name] && (used > r.plan.inUse || r.unsettled)
	r.seen = append(r.seen, o)
	r.say("%s: %s", s.Name, s.Asks)
	job, err := r.Create(ctx, r.plan.Options.Parent, s.Job)
	for n := 0; n < rateTries && rateLimited(err); n++ {
		r.say("  the rate of calls is used up: trying again in %s", ratePause)
		if err := r.clock.Sleep(ctx, ratePause); err != nil {
			return o, err
		}
		o.sent = r.clock.Now()
		job, err = r.Create(ctx, r.plan.Options.Parent, s.Job)
	}
	o.Code, o.Message = codeOf(err), r.plan.clean(messageOf(err))
	if err != nil {
		if ctx.Err() != nil {
			r.unclear = true
			return o, ctx.Err()
		}
		if job, err = r.lost(ctx, err, s.Job.Labels[LabelStep]); err != nil {
			return o, err
		}
	}
	if job == nil {
		r.say("  refused: %s %s", o.Code, o.Message)
		return o, nil
	}
	o.Exists, o.name = true, job.GetName()
	r.created = append(r.created, o.name)
	if d := job.GetJobSpec().GetWorkerPoolSpecs(); len(d) > 0 {
		o.Disk = fmt.Sprintf("%s %d", d[0].GetDiskSpec().GetBootDiskType(), d[0].GetDiskSpec().GetBootDiskSizeGb())
	}
	r.note(o, job)
	return o, nil
}

// lost looks for the job of a create that failed in a way that leaves open whether it
// exists.
func (r *prober) lost(ctx context.Context, failed error, step string) (*aiplatformpb.CustomJob, error) {
	if !maybeDone(failed) {
		return nil, nil
	}
	r.say("  %s: looking for the job", status.Code(failed))
	for begin := r.clock.Now(); r.clock.Now().Sub(begin) < lagLimit; {
		jobs, err := r.List(ctx, r.plan.Options.Parent, r.mine()+fmt.Sprintf(" AND labels.%s=%q", LabelStep, step))
		if err == nil && len(jobs) > 0 {
			return jobs[0], nil
		}
		if err := r.clock.Sleep(ctx, 5*pause); err != nil {
			return nil, err
		}
	}
	r.unclear = true
	return nil, nil
}

// look reads the resource before a job is created, and returns how many replicas are in use; -1 if
// that is not known.
// What a resource answers that was made anew or changed its state meanwhile would be taken for
// an answer of the one that was planned for.
func (r *prober) look(ctx context.Context) (inUse int64, err error) {
	now, failed := r.Resource(ctx, r.plan.Resource.GetName())
	is := r.plan.Resource
	inUse = -1
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case status.Code(failed) == codes.NotFound:
		err = errors.New("the resource is gone")
	case failed == nil && now.GetCreateTime().AsTime() != is.GetCreateTime().AsTime():
		err = errors.New("the resource was made anew")
	case failed == nil && now.GetState() != is.GetState():
		err = fmt.Errorf("the resource was %v and is %v now", is.GetState(), now.GetState())
	case failed == nil:
		inUse = r.plan.usedOf(now)
	}
	return inUse, err // after another failure the create is made: it says more than this read
}

// rateLimited reports whether a call was refused because of how many there were in a minute.
func rateLimited(err error) bool {
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(strings.ToLower(messageOf(err)), "per minute")
}

// passes reports whether a call that failed may succeed when it is made again.
func passes(err error) bool { return rateLimited(err) || maybeDone(err) }

// pauseAfter is how long to wait before a call that failed is made again.
func pauseAfter(err error) time.Duration {
	if rateLimited(err) {
		return ratePause
	}
	return 5 * pause
}

// maybeDone reports whether a call that failed may have been carried out.
func maybeDone(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Canceled, codes.Aborted:
		return true
	}
	return false
}

func (r *prober) mine() string { return fmt.Sprintf("labels.%s=%q", LabelProbe, r.plan.Options.ID) }

func codeOf(err error) string { return codepb.Code(status.Code(err)).String() }

func messageOf(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Message()
	}
	if err != nil {
		return "no answer"
	}
	return ""
}
