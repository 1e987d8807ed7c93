package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/googleapis/gax-go/v2"
)

// handover measures how long freed machines stand idle while a request waits for
// them: from the end of a job at Vertex AI to the creation of the next, by the
// fake's clock, which is the real one here.
func handover(ctx context.Context, b *bench) error {
	for _, c := range []struct {
		name string
		keep func(*world, context.Context, int) error
	}{
		// One tick, as every minute's: it makes a pass every 3 s while a request waits.
		{"within a minute tick", (*world).tickUntil},
		{"by hints from a log sink", (*world).hintUntil},
	} {
		b.say("  %s", c.name)
		err := b.in(ctx, setting{runs: timing, replicas: 1, pace: fullSpeed}, func(w *world) error { return handovers(ctx, b, w, c.name, c.keep) })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// rounds is how many jobs follow one another.
const rounds = 13

// handovers lets jobs run one after the other on the one machine there is. All
// wait from the start, so that one follows each that ends.
func handovers(ctx context.Context, b *bench, w *world, name string, keep func(*world, context.Context, int) error) error {
	for i := range rounds {
		// Between 2 s and 4 s, spread evenly over the time between two passes.
		lasts := 2*time.Second + time.Duration(i*618%1000)*2*time.Millisecond
		d := w.delivery("Admit", jobOf(machine, 1), map[string]string{"berth-persistent-resource": resourceID(0), "berth-labels": fmt.Sprintf("fake-run=%dms", lasts.Milliseconds())})
		if err := w.post(ctx, w.functions[0], d, nil); err != nil {
			return err
		}
	}
	if err := w.created(1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := keep(w, ctx, rounds); err != nil {
		return err
	}
	jobs := w.fake.Jobs()
	slices.SortFunc(jobs, func(a, b *aiplatformpb.CustomJob) int { return a.CreateTime.AsTime().Compare(b.CreateTime.AsTime()) })
	var r run
	for i := range len(jobs) - 1 {
		r.took = append(r.took, jobs[i+1].CreateTime.AsTime().Sub(jobs[i].EndTime.AsTime()))
	}
	slices.Sort(r.took)
	p := b.sheet.page("handover", "%s", name)
	p.add(Speed, "n", "", float64(len(r.took)))
	p.latencies(commitAlone, r)
	return nil
}

// tickUntil posts a tick every minute, as Cloud Scheduler does, until so many
// jobs were created.
func (w *world) tickUntil(ctx context.Context, jobs int) error {
	for due := time.Now(); len(w.fake.Jobs()) < jobs; due = due.Add(time.Minute) {
		_ = gax.Sleep(ctx, time.Until(due))
		if err := w.post(ctx, w.functions[0], w.tick(), nil); err != nil {
			return fmt.Errorf("tick: %w", err)
		}
	}
	return nil
}

// hintUntil posts a log entry of each job that has ended, within milliseconds,
// until so many jobs were created. A real sink takes its own time before that.
func (w *world) hintUntil(ctx context.Context, jobs int) error {
	seen := map[string]bool{}
	for {
		all := w.fake.Jobs()
		if len(all) >= jobs {
			return nil
		}
		for _, j := range all {
			if j.EndTime == nil || seen[j.Name] {
				continue
			}
			seen[j.Name] = true
			if err := w.post(ctx, w.functions[0], w.hint(j.Name), nil); err != nil {
				return fmt.Errorf("hint: %w", err)
			}
		}
		if gax.Sleep(ctx, 2*time.Millisecond) != nil {
			return errors.New("the next job was not created")
		}
	}
}

// hint is a log entry of a job, as a log sink publishes it.
func (w *world) hint(job string) delivery {
	entry, err := json.Marshal(map[string]any{"resource": map[string]any{"type": "ml_job",
		"labels": map[string]string{"job_id": job[strings.LastIndexByte(job, '/')+1:], "location": region}}})
	if err != nil {
		panic(err) // cannot happen
	}
	return w.delivery("Reconcile", entry, nil)
}
