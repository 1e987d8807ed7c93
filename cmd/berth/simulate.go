package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
)

type simulateCmd struct {
	workloadFlags

	Policy     string   `name:"policy" group:"Policy" placeholder:"FILE" help:"Also run the plan with the shares, caps, weights and maxRunning of the tenants in this policy file."`
	PerMachine int64    `group:"Output" placeholder:"COUNT" help:"Replicas of a machine: the references then have to fit the parts of a job (column nodes) into machines. Berth's own policies do not."`
	Price      *float64 `group:"Output" help:"Price of a replica-hour, for the price of idle replicas."`
	HTML       string   `group:"Output" name:"html" placeholder:"FILE" help:"Write a report with charts over time to this file."`
}

// Help is shown below the flags.
func (simulateCmd) Help() string {
	return `Runs the workload in virtual time under the plan that a deployment goes by, once with keys by declared limits and once by run times learned on the way, ` +
		`beside references: EASY backfill and shortest-first, which know every run time in advance, EASY by limits, strict FIFO and first fit. Of the delays, the references have only that of the start, and they know no priority. ` +
		`A job takes one replica per GPU. Without a column limit_s its limit is the step (1h 4h 12h 1d 3d 7d 30d 90d) that its run time falls into. Nothing is asked of a deployment, except with --resource. For your own requests: berth export --out mine.csv; it prints the command that runs them.

` +
		`Slowdown is the mean of (wait + run time) / run time, with run times of at least 10 minutes. Use and idle replicas count from the start to the last submission. ` +
		`A promise is the first latest start that a job gets; it is kept if the job has its replicas by then.`
}

// A simulated is what simulate prints with --json.
type simulated struct {
	Pools    []replay.Pool     `json:"pools"`
	Replicas int64             `json:"replicas"`
	Jobs     int               `json:"jobs"`
	LeftOut  int               `json:"leftOut,omitempty"`        // they never fit
	Stopped  int               `json:"stoppedAtLimit,omitempty"` // they would run longer
	Seeds    int               `json:"seeds"`
	Scores   []simulatedPolicy `json:"scores"`
	Policy   *replay.Sharing   `json:"policy,omitempty"` // with --policy
}

type simulatedPolicy struct {
	replay.Compared
	IdlePrice *float64 `json:"idlePrice,omitempty"`
}

func (c *simulateCmd) Run(g *globals) error {
	if c.Price != nil && !(*c.Price >= 0 && *c.Price <= 1e6) {
		return usage("--price %g: want 0 to 1000000", *c.Price)
	}
	w, err := c.open(g)
	if err != nil {
		return err
	}
	if err := w.only(c.LeaveOut); err != nil {
		return err
	}
	if err := c.machines(w); err != nil {
		return err
	}
	policies := replay.Policies
	if c.Policy != "" {
		if err := c.tenants(g, w); err != nil {
			return err
		}
		policies = append(slices.Clip(policies), replay.PlanShared)
	}
	bar := newProgress(g, len(w.jobs)*len(policies)*w.noise.Seeds)
	w.options.Progress = bar.add
	compared, err := replay.Compare(w.jobs, policies, w.noise, w.options)
	if bar.end(); err != nil {
		return unfinished(err)
	}
	result := simulated{Pools: w.options.Pools, Jobs: len(w.jobs), LeftOut: len(w.unfit), Stopped: w.stopped, Seeds: w.noise.Seeds}
	for _, p := range w.options.Pools {
		result.Replicas += p.Replicas
	}
	for _, s := range compared.Policies {
		one := simulatedPolicy{Compared: s}
		if c.Price != nil {
			price := *c.Price * s.IdleReplicaHours
			one.IdlePrice = &price
		}
		result.Scores = append(result.Scores, one)
	}
	if c.Policy != "" {
		learned := slices.Index(policies, replay.PlanLearned)
		result.Policy = replay.SharingOf(&compared.Policies[learned], &compared.Policies[len(policies)-1])
	}
	if c.HTML != "" {
		if err := writeReport(c.HTML, &result, &compared, w.options); err != nil {
			return err
		}
	}
	if g.JSON {
		return pretty(g.out, result)
	}
	c.print(g, &result)
	return nil
}

// machines checks that the pools can be cut into machines, and that every job fits
// those.
func (c *simulateCmd) machines(w *workload) error {
	if c.PerMachine == 0 {
		return nil
	}
	for _, p := range w.options.Pools {
		if c.PerMachine < 0 || p.Replicas%c.PerMachine != 0 {
			return usage("--per-machine %d: want a divisor of the %s of pool %s", c.PerMachine, reason.Count(p.Replicas, "replica"), p.Name)
		}
	}
	if unfit := replay.Unfit(w.jobs, w.options.Pools, c.PerMachine); len(unfit) > 0 {
		return usage("line %d: job %s asks for %s on %s, which machines of %d never have; leave out --per-machine", unfit[0].Line, unfit[0].ID, reason.Count(unfit[0].Replicas, "replica"), reason.Count(unfit[0].Machines, "machine"), c.PerMachine)
	}
	w.options.Each = c.PerMachine
	return nil
}

// unfinished is why a run in virtual time did not come to its end.
func unfinished(err error) error {
	if errors.Is(err, replay.ErrStopped) {
		return &quit{exitInterrupted, replay.ErrStopped}
	}
	return usage("%w", err)
}

// shownTenants bounds the rows of tenants in text; JSON has all.
const shownTenants = 10

func (c *simulateCmd) print(g *globals, r *simulated) {
	say(g.out, "%s on %s", reason.Count(r.Jobs, "job"), poolNames(r.Pools))
	if r.LeftOut > 0 {
		say(g.out, "Left out, because they never fit: %s", reason.Count(r.LeftOut, "job"))
	}
	if r.Stopped > 0 {
		say(g.out, "Stopped at their limit: %s", reason.Count(r.Stopped, "job"))
	}
	say(g.out, "")
	t := newTable(g.out, "WAIT", "MEAN", "OF EASY", "P50", "P95", "LONGEST", "SLOWDOWN", "GANGS", "LONGEST", "OF EASY")
	for _, s := range r.Scores {
		t.row(s.Policy, s.Mean, fraction(s.OfEasy.Mean), s.P50, s.P95, s.Max, fmt.Sprintf("%.2f", s.Slowdown), s.Gangs.Mean, s.Gangs.Max, fraction(s.OfEasy.GangMax))
	}
	t.end()
	heads := []string{"USE", "IN USE", "IDLE REPLICA-HOURS", "PROMISES", "KEPT", "REQUEUED"}
	if c.Price != nil {
		heads = slices.Insert(heads, 3, "PRICE")
	}
	say(g.out, "")
	t = newTable(g.out, heads...)
	for _, s := range r.Scores {
		row := []any{s.Policy, fmt.Sprintf("%.1f %%", 100*s.Utilisation), fmt.Sprintf("%.0f", s.IdleReplicaHours)}
		if s.IdlePrice != nil {
			row = append(row, fmt.Sprintf("%.2f", *s.IdlePrice))
		}
		if slices.Contains([]replay.Policy{replay.Plan, replay.PlanLearned, replay.PlanShared}, s.Policy) {
			row = append(row, s.Promises, s.Kept, s.Requeued)
		}
		t.row(row...)
	}
	t.end()
	say(g.out, "")
	groups(g, "REPLICAS", r, func(s *simulatedPolicy) []replay.Group {
		gangs := s.Gangs
		gangs.Name = fmt.Sprintf("gangs (%d or more)", c.Gang)
		return append([]replay.Group{gangs}, s.Sizes...)
	})
	if len(r.Scores[0].Tenants) > 1 {
		say(g.out, "")
		groups(g, "TENANT", r, func(s *simulatedPolicy) []replay.Group { return s.Tenants })
	}
	if r.Policy != nil {
		say(g.out, "")
		sharing(g.out, r.Policy)
	}
}

// groups prints the mean and the longest wait of each group under each policy.
func groups(g *globals, head string, r *simulated, of func(*simulatedPolicy) []replay.Group) {
	heads := []string{head, "JOBS"}
	for _, s := range r.Scores {
		heads = append(heads, shortPolicy(s.Policy))
	}
	t := newTable(g.out, heads...)
	list := of(&r.Scores[0])
	for i, group := range list[:min(len(list), shownTenants)] {
		row := []any{group.Name, group.Jobs}
		for k := range r.Scores {
			cell := "-"
			if o := of(&r.Scores[k])[i]; o.Jobs > 0 {
				cell = fmt.Sprintf("%s/%s", o.Mean, o.Max)
			}
			row = append(row, cell)
		}
		t.row(row...)
	}
	t.end()
	if more := len(list) - shownTenants; more > 0 {
		say(g.out, "and %d more; --json has all.", more)
	}
}

// poolNames lists pools, each with its replicas.
func poolNames(pools []replay.Pool) string {
	var names []string
	for _, p := range pools {
		names = append(names, reason.Count(p.Replicas, "replica")+" of pool "+p.Name)
	}
	return strings.Join(names, ", ")
}

func fraction(x float64) string { return strings.TrimPrefix(fmt.Sprintf("%.2f", x), "0") }

// writeReport writes the report of a comparison to a file.
func writeReport(name string, r *simulated, c *replay.Comparison, o replay.Options) error {
	page, err := report(r, c, o)
	if err == nil {
		err = os.WriteFile(name, page, 0o600)
	}
	if err != nil {
		return usage("write the report: %w", err)
	}
	return nil
}

// shortPolicy is the name of a policy in a narrow column.
func shortPolicy(p replay.Policy) string {
	return strings.TrimPrefix(strings.TrimSuffix(string(p), ", exact"), "plan, ")
}
