package main

import (
	"fmt"
	"os"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/replay"
)

type simulateCmd struct {
	Workload string        `arg:"" help:"CSV file with the columns job_id, submit_s, gpus, duration_s and, optionally, tenant; sorted by submit_s."`
	Replicas int64         `required:"" help:"Replicas of the pool; a job takes one per GPU."`
	Gang     int64         `default:"2" help:"Smallest number of replicas that counts as a gang."`
	Patience time.Duration `default:"24h" help:"Wait after which a job is protected from most backfill."`
}

// Help is shown below the flags.
func (simulateCmd) Help() string {
	return `Runs the workload in virtual time under Berth's plan with backfill, once with keys by declared limits and once by run times learned on the way, ` +
		`beside EASY backfill and shortest-first, which know every run time in advance. A job's declared limit is the step (1h 4h 12h 1d 3d 7d 30d 90d) that its run time falls into. ` +
		`Nothing is asked of a deployment, and a deployment does not go by this plan yet: it keeps a strict line per shape.`
}

// A simulated is what simulate prints with --json.
type simulated struct {
	Replicas int64          `json:"replicas"`
	Scores   []replay.Score `json:"scores"` // waits in nanoseconds
}

func (c *simulateCmd) Run(g *globals) error {
	if c.Replicas < 1 || c.Gang < 1 || c.Patience < 0 {
		return usage("--replicas %d, --gang %d, --patience %s: want 1 or more, 1 or more, and no less than 0", c.Replicas, c.Gang, c.Patience)
	}
	f, err := os.Open(c.Workload)
	if err != nil {
		return usage("open the workload: %w", err)
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	jobs, err := replay.Read(f)
	if err != nil {
		return usage("%s: %w", c.Workload, err)
	}
	for _, j := range jobs {
		if j.Replicas > c.Replicas {
			return usage("%s: job %s asks for %d replicas, and --replicas is %d: it can never start", c.Workload, j.ID, j.Replicas, c.Replicas)
		}
	}
	policy := admission.PlanPolicy{Horizon: time.Hour, Patience: c.Patience}
	learned := replay.NewEstimates()
	result := simulated{Replicas: c.Replicas}
	for _, run := range []struct {
		policy string
		start  func() []time.Duration
	}{
		{"plan", func() []time.Duration {
			return replay.Run(jobs, c.Replicas, replay.Settings{Policy: policy, Gang: c.Gang, Expected: func(j *replay.Job) time.Duration { return j.Limit }})
		}},
		{"plan, learned", func() []time.Duration {
			return replay.Run(jobs, c.Replicas, replay.Settings{Policy: policy, Gang: c.Gang, Expected: learned.Expected, Ended: learned.Learn})
		}},
		{"EASY, exact", func() []time.Duration { return replay.Easy(jobs, c.Replicas) }},
		{"shortest, exact", func() []time.Duration { return replay.Shortest(jobs, c.Replicas) }},
	} {
		say(g.err, "%s ...", run.policy)
		result.Scores = append(result.Scores, replay.ScoreOf(run.policy, jobs, run.start(), c.Gang))
	}
	if g.JSON {
		return pretty(g.out, result)
	}
	t := newTable(g.out, "WAIT", "MEAN", "P50", "P95", "LONGEST", "GANGS", "MEAN", "LONGEST")
	for _, s := range result.Scores {
		whole := func(d time.Duration) string { return d.Round(time.Second).String() }
		t.row(s.Policy, whole(s.Mean), whole(s.P50), whole(s.P95), whole(s.Max), fmt.Sprint(s.Gangs), whole(s.GangMean), whole(s.GangMax))
	}
	t.end()
	return nil
}
