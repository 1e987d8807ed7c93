package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/iterator"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/localstack"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// Options say what to run.
type Options struct {
	Seed      uint64
	Requests  int           // in one wave
	For       time.Duration // publish waves until this is over; 0 for one wave
	Instances int           // function processes
	KillEvery time.Duration // mean time between kills
	FaultRate float64       // share of calls that go wrong

	Log    io.Writer                        // logs of all processes; nil drops them
	Say    func(format string, args ...any) // progress; nil for none
	Report func(format string, args ...any) // every single kill; nil for none
}

const (
	perRequest   = 100 * time.Millisecond  // of publishing, on average
	mayGoOn      = 45 * time.Second        // of faults after the last request is published
	restWithin   = 2 * time.Minute         // after the last fault; and for each request
	restEach     = 1200 * time.Millisecond // this much more: 60 jobs a minute are submitted
	passesAtRest = 3                       // reconciles that must find nothing to do
)

// Run starts everything, injects faults, waits until everything is at rest, and judges.
// The error is one of the run itself: then nothing has been judged.
func Run(ctx context.Context, o Options) (report Report, err error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Report == nil {
		o.Report = func(string, ...any) {}
	}
	began := time.Now()
	w, err := startWorld(ctx, o, o.Log)
	if err != nil {
		return report, fmt.Errorf("start: %w", err)
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	o.Say("Running: %d functions, the fake Vertex AI, both emulators. %.1fs", len(w.functions), time.Since(began).Seconds())

	r := newRun(w, o)
	defer r.stop()
	r.start(ctx)
	if err := r.inject(ctx); err != nil {
		return report, err
	}
	unfinished, err := r.awaitRest(ctx)
	if err != nil {
		return report, err
	}
	return r.close(ctx, unfinished)
}

// A run is the parts of one run while it lasts.
type run struct {
	world     *world
	o         Options
	began     time.Time
	pump      *pump
	injector  *faultInjector
	publisher *publisher
	outcomes  *collector
	dead      *collector

	cancel context.CancelFunc
	parts  sync.WaitGroup
	failed chan error // of a part that should have gone on
}

func newRun(w *world, o Options) *run {
	return &run{world: w, o: o, began: time.Now(), pump: newPump(w, o.Seed), injector: newFaultInjector(w, o.Seed, o.KillEvery, o.Report),
		publisher: &publisher{client: w.client, first: map[*order]string{}},
		outcomes:  newCollector(), dead: newCollector(), failed: make(chan error, 8)}
}

// start sets the parts going that last to the end.
func (r *run) start(ctx context.Context) {
	ctx, r.cancel = context.WithCancel(ctx)
	part := func(f func(context.Context) error) {
		r.parts.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				r.failed <- err
			}
		})
	}
	part(r.pump.run)
	part(func(ctx context.Context) error {
		return r.outcomes.receive(ctx, r.world.client.Subscriber(localstack.OutcomePull))
	})
	part(func(ctx context.Context) error {
		return r.dead.receive(ctx, r.world.client.Subscriber(localstack.DeadPull))
	})
	part(func(ctx context.Context) error { r.publisher.tickTock(ctx); return nil })
	part(func(ctx context.Context) error { r.progress(ctx); return nil })
}

func (r *run) stop() {
	r.cancel()
	r.parts.Wait()
}

// progress prints the state of the run every few seconds.
func (r *run) progress(ctx context.Context) {
	t := time.NewTicker(3 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s := r.standing()
			o := r.report(s)
			r.o.Say("%5.1fs  %4d published  %4d deliveries  %4d of %4d at their end  %3d kills  %4d faults  %4d events",
				time.Since(r.began).Seconds(), o.Messages, o.Deliveries.Total, s.ended, s.known, o.killed(), o.injected(), o.Events)
		case <-ctx.Done():
			return
		}
	}
}

// inject publishes all waves while the fault injector runs, and lets it go on until most
// of the work is done.
func (r *run) inject(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var faults sync.WaitGroup
	defer faults.Wait()
	defer cancel()
	faults.Go(func() { r.injector.run(ctx) })
	c := &workload{rng: rand.New(rand.NewPCG(r.o.Seed, 0xc404d))} // #nosec G404 -- a game, not a secret
	for first := true; first || time.Since(r.began) < r.o.For; first = false {
		if err := r.publisher.publish(ctx, c.wave(r.o.Requests, time.Duration(r.o.Requests)*perRequest)); err != nil {
			return err
		}
	}
	most := time.NewTimer(mayGoOn)
	defer most.Stop()
	for {
		s := r.standing()
		if s.ended*5 > s.known*4 {
			return nil
		}
		select {
		case <-s.changed:
		case <-most.C:
			return nil
		case err := <-r.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A standing is how far the ledger is, as the witness has it.
type standing struct {
	known, ended int // requests and answers; those at their end
	quiet        bool
	picture      invariant.Picture
	changed      <-chan struct{}
}

// standing says whether the ledger is quiet: nothing to do, nothing to send,
// everything that was sent arrived.
func (r *run) standing() (s standing) {
	s.picture, s.changed = r.world.witness.now()
	s.known, s.quiet = len(s.picture.Records), true
	for _, rec := range s.picture.Records {
		if rec.Kind != message.KindAnswer && !rec.Tombstone() && !rec.State.Terminal() {
			s.quiet = false
			continue
		}
		s.ended++
		for _, l := range rec.Outbox {
			s.quiet = s.quiet && l.Published && r.outcomes.has(l.ID)
		}
	}
	for _, res := range s.picture.Resources {
		s.quiet = s.quiet && len(res.Holds)+len(res.Queue)+len(res.Foreign) == 0
	}
	return s
}

// restTime is how long a run of so many requests in a wave may take to come to
// rest.
func restTime(requests int) time.Duration {
	return restWithin + time.Duration(requests)*restEach
}

// awaitRest stops all faults and waits until everything is at rest. It returns what is
// not, "" if everything is.
func (r *run) awaitRest(ctx context.Context) (unfinished string, err error) {
	r.world.dice.stopFaults()
	r.pump.stopFaults()
	r.o.Say("%5.1fs  no more faults: waiting until everything is at rest", time.Since(r.began).Seconds())
	ctx, cancel := context.WithTimeoutCause(ctx, restTime(r.o.Requests), errNotAtRest)
	defer cancel()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	var before invariant.Picture
	due := 0 // passes at which it has been quiet for long enough; 0 while it is not quiet
	for {
		s := r.standing()
		_, ids := r.publisher.all()
		_, acked, passes := r.pump.tally(ids)
		switch {
		case !s.quiet || acked < len(ids) || r.world.proxies.vertex.Pending() > 0:
			unfinished, due = fmt.Sprintf("%d of %d requests and answers at their end, %d of %d messages acknowledged", s.ended, s.known, acked, len(ids)), 0
		case due == 0:
			unfinished, due, before = "at rest, but not for long enough", passes+passesAtRest, s.picture
		case passes >= due && invariant.Step(before, s.picture) == nil && len(before.Records) == len(s.picture.Records):
			r.o.Say("%5.1fs  at rest", time.Since(r.began).Seconds())
			return "", nil
		}
		select {
		case <-poll.C:
		case err := <-r.failed:
			return unfinished, err
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errNotAtRest) {
				return unfinished, nil // that is for the judge
			}
			return unfinished, ctx.Err()
		}
	}
}

var errNotAtRest = errors.New("not at rest in time")

// close stops the functions, reads everything from outside, and judges.
func (r *run) close(ctx context.Context, unfinished string) (Report, error) {
	if err := r.world.silence(); err != nil {
		return Report{}, fmt.Errorf("stop the functions: %w", err)
	}
	docs, err := r.world.store.all(ctx)
	if err != nil {
		return Report{}, err
	}
	e := evidence{picture: pictureOf(docs), events: r.outcomes.all(), dead: r.dead.all(), foreign: map[string]bool{},
		policy: admission.Policy{MaxAge: 2 * tick, MaxHolds: ledger.MaxHolds, RefuseAfter: refuseAfter}}
	if e.picture.Jobs, err = r.world.allJobs(ctx, e.foreign); err != nil {
		return Report{}, err
	}
	e.sent, _ = r.publisher.all()
	e.first = r.publisher.first
	_, _, e.late = r.injector.tally()
	report := r.report(r.standing())
	report.Jobs = countJobs(e)
	found := append(judge(e), r.world.witness.record(docs)...)
	found = append(found, r.world.logs.loggedBugs()...)
	if unfinished != "" {
		found = append(found, invariant.Violation{Rule: Unfinished, This: fmt.Sprintf("everything comes to rest within %s", restTime(r.o.Requests)), That: unfinished})
	}
	report.conclude(found)
	return report, nil
}

// allJobs returns all jobs at the fake, and marks the foreign ones.
func (w *world) allJobs(ctx context.Context, foreign map[string]bool) ([]vertex.Job, error) {
	jobs := []vertex.Job{}
	it := w.jobs.ListCustomJobs(ctx, &aiplatformpb.ListCustomJobsRequest{
		Parent: vertex.InRegion(w.project, localstack.Region).Parent(), PageSize: 500})
	for {
		job, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return jobs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list all jobs: %w", err)
		}
		jobs = append(jobs, readJob(job))
		foreign[job.GetName()] = job.GetLabels()[foreignLabel] != ""
	}
}
