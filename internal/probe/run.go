package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	codepb "google.golang.org/genproto/googleapis/rpc/code"
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

// An Observation is what the service did with one job. Times are since the create was
// sent.
type Observation struct {
	Step    string   `json:"step"`
	Code    string   `json:"code"` // of the create: OK, or the name of a google.rpc.Code
	Message string   `json:"message,omitempty"`
	Exists  bool     `json:"exists"`           // a job was created, whatever the answer
	Disk    string   `json:"disk,omitempty"`   // of the job as created: type and GB
	States  []Moment `json:"states,omitempty"` // each change that was seen
	End     *End     `json:"end,omitempty"`
	Cancel  *Seconds `json:"cancelSent,omitempty"`
	Listed  *Seconds `json:"listed,omitempty"`    // in a list by label
	Filters []Filter `json:"filters,omitempty"`   // other filters that were tried on the listed job
	Counted *Seconds `json:"counted,omitempty"`   // used_replica_count includes it
	Freed   *Seconds `json:"freed,omitempty"`     // from its end until used_replica_count left it out
	Reused  *Seconds `json:"reused,omitempty"`    // from its end until the next job got its machine
	Others  bool     `json:"others,omitempty"`    // other jobs used the pool meanwhile
	Watched Seconds  `json:"watched,omitempty"`   // how long it was looked at before it was cancelled
	Started *Seconds `json:"startTime,omitempty"` // the job's start_time, since its create_time

	name string
	sent time.Time
}

// Seconds are how long something took, to the tenth.
type Seconds float64

func since(d time.Duration) *Seconds {
	s := Seconds(d.Round(100 * time.Millisecond).Seconds())
	return &s
}

// A Moment is a state and when it was first seen.
type Moment struct {
	State string  `json:"state"`
	After Seconds `json:"after"`
}

// An End is how a job ended.
type End struct {
	State   string  `json:"state"`
	Code    int32   `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
	After   Seconds `json:"after"`
}

// A Filter is a filter of ListCustomJobs and whether it found the job.
type Filter struct {
	Form  string `json:"form"`
	Code  string `json:"code"`
	Finds bool   `json:"finds"`
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
	unclear bool          // a create was cut off, and its job may still appear
}

// Run carries a plan out. It ends every job that it created, even if ctx ends: left are the
// names of those whose end it could not see. The error is what stopped it; observations are
// complete up to there.
func Run(ctx context.Context, s Service, clock Clock, p *Plan, say func(format string, args ...any)) (seen []*Observation, left []string, err error) {
	r := &prober{Service: s, clock: clock, plan: p, say: say, settle: usualSettle}
	defer func() { left = r.clean(context.WithoutCancel(ctx)); seen = r.seen }()
	err = r.steps(ctx)
	return r.seen, nil, err
}

func (r *prober) steps(ctx context.Context) error {
	var fill []Step
	for _, s := range r.plan.Steps {
		var err error
		switch s.Name {
		case stepTiny:
			var ok bool
			if ok, err = r.tiny(ctx, s); err == nil && !ok {
				r.say("The tiny job did not run: the other questions cannot be asked.")
				return nil
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
	return nil
}

// needRoom are the steps whose jobs are refused or wait, too, if the pool is full.
var needRoom = map[string]bool{stepDisk: true, stepDiskSize: true, stepAccount: true, stepChiefs: true, stepShared: true}

// try creates the job of a step. An answer that may be lost is no error: the job is looked
// for by its labels.
func (r *prober) try(ctx context.Context, s Step) (*Observation, error) {
	o := &Observation{Step: s.Name, sent: r.clock.Now()}
	if needRoom[s.Name] {
		o.Others = r.used(ctx) > r.plan.Pool.GetUsedReplicaCount()
	}
	r.seen = append(r.seen, o)
	r.say("%s: %s", s.Name, s.Asks)
	job, err := r.Create(ctx, r.plan.Options.Parent, s.Job)
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
	return nil, nil
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

// note keeps what a job shows.
func (r *prober) note(o *Observation, job *aiplatformpb.CustomJob) {
	state := strings.TrimPrefix(job.GetState().String(), "JOB_STATE_")
	after := *since(r.clock.Now().Sub(o.sent))
	if n := len(o.States); n == 0 || o.States[n-1].State != state {
		o.States = append(o.States, Moment{state, after})
	}
	if t := job.GetStartTime(); t != nil && o.Started == nil {
		o.Started = since(t.AsTime().Sub(job.GetCreateTime().AsTime()))
	}
	if ended[state] && o.End == nil {
		o.End = &End{state, job.GetError().GetCode(), r.plan.clean(job.GetError().GetMessage()), after}
		r.say("  %s after %gs", state, after)
	}
}

var ended = map[string]bool{"SUCCEEDED": true, "FAILED": true, "CANCELLED": true, "EXPIRED": true, "PARTIALLY_SUCCEEDED": true}

// state is the last state seen.
func (o *Observation) state() string {
	if len(o.States) == 0 {
		return ""
	}
	return o.States[len(o.States)-1].State
}

// ran reports whether the job was seen RUNNING, or succeeded without.
func (o *Observation) ran() bool {
	for _, m := range o.States {
		if m.State == "RUNNING" || m.State == "SUCCEEDED" {
			return true
		}
	}
	return false
}

// pauseAt is the pause after so long a wait: a twentieth of it, within bounds, so that what
// takes long is measured as well as what is soon over, with fewer calls.
func pauseAt(waited, least time.Duration) time.Duration {
	return min(max(waited/20, least), 5*time.Second).Truncate(time.Second)
}

// watch looks at a job until enough holds, it has ended, or the limit has passed. Calls that fail
// are made again.
func (r *prober) watch(ctx context.Context, o *Observation, limit time.Duration, enough func() bool) error {
	for begin := r.clock.Now(); o.Exists && o.End == nil && !enough() && r.clock.Now().Sub(begin) < limit; {
		if err := r.clock.Sleep(ctx, pauseAt(r.clock.Now().Sub(begin), pause)); err != nil {
			return err
		}
		if job, err := r.Get(ctx, o.name); err == nil {
			r.note(o, job)
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func never() bool { return false }

// stop cancels a job and waits for its end.
func (r *prober) stop(ctx context.Context, o *Observation) error {
	if !o.Exists || o.End != nil {
		return nil
	}
	o.Watched = *since(r.clock.Now().Sub(o.sent))
	if err := r.Cancel(ctx, o.name); err != nil {
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
	if err := r.watch(ctx, o, refusalWait, o.ran); err != nil {
		return err
	}
	return r.stop(ctx, o)
}

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
	for _, f := range []string{
		"labels.K=V", `labels.K="V" AND labels.L="W"`, "labels.K:*", `display_name="N"`, `state!="JOB_STATE_EXPIRED" AND state!="JOB_STATE_CANCELLED"`,
	} {
		text := strings.NewReplacer("K", LabelProbe, "V", r.plan.Options.ID, "labels.L", "labels."+LabelStep, "W", s.Job.Labels[LabelStep], `"N"`, strconv.Quote(s.Job.DisplayName)).Replace(f)
		if strings.HasPrefix(f, "state") {
			text = f
		}
		jobs, err := r.List(ctx, r.plan.Options.Parent, text)
		o.Filters = append(o.Filters, Filter{f, codeOf(err), has(jobs, o.name)})
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
	return o.ran(), r.freed(ctx, o)
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
	for _, p := range res.GetResourcePools() {
		if p.GetId() == r.plan.Pool.GetId() {
			return p.GetUsedReplicaCount()
		}
	}
	return -1
}

// count notes when used_replica_count includes the job.
func (r *prober) count(ctx context.Context, o *Observation) {
	if o.Counted == nil && r.used(ctx) > r.plan.Pool.GetUsedReplicaCount() {
		o.Counted = since(r.clock.Now().Sub(o.sent))
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
		case n > r.plan.Pool.GetUsedReplicaCount():
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

// full fills the pool, asks for one replica more, and then cancels what fills it: first one
// job, to see when its machine is used again.
func (r *prober) full(ctx context.Context, steps []Step, more Step) error {
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
		over.Others = r.used(ctx) > r.plan.Pool.GetUsedReplicaCount()+int64(len(fill)) // it may be late, and is lower then
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
	for r.clock.Now().Sub(from) < lagLimit {
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
			freed.Reused = since(r.clock.Now().Sub(from))
			r.settle = max(r.late, freed.Reused.duration()) + moreSettle
			break
		}
		if err := r.clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	return r.stop(ctx, waits)
}

// clean cancels every job of this probe that has not ended. It returns those whose end it
// has not seen.
func (r *prober) clean(ctx context.Context) []string {
	open, done := map[string]bool{}, map[string]bool{}
	for _, name := range r.created {
		open[name] = true
	}
	for begin := r.clock.Now(); ; {
		if jobs, err := r.List(ctx, r.plan.Options.Parent, r.mine()); err == nil {
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
	left := make([]string, 0, len(open))
	for name := range open {
		left = append(left, name)
	}
	slices.Sort(left)
	return left
}

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
