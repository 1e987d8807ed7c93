package main

import (
	"cmp"
	"context"
	"io"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/repair"
)

// repairCmd groups the fixes. Each is a dry run unless --yes is given.
type repairCmd struct {
	siteFlags
	Yes bool `help:"Make the changes. Without it, only show them."`

	LeakedHolds leakedHoldsCmd `cmd:"" help:"Release holds whose request does not hold replicas, and restore missing holds."`
	Queues      queuesCmd      `cmd:"" help:"Recount the queues of the persistent resources."`
	Adopt       adoptCmd       `cmd:"" help:"Record a job at Vertex AI for a request that names none."`
	Events      eventsCmd      `cmd:"" help:"Publish outcome events of a request again, or publish all that are unpublished."`
	DeadLetters deadLettersCmd `cmd:"" name:"dead-letters" help:"List dead letters; with --yes, publish them as requests again."`
	RunTimer    runTimerCmd    `cmd:"" help:"Run the timer of a request at the next pass."`
}

// Help is shown by berth repair --help.
func (*repairCmd) Help() string {
	return `Every change is one atomic update, which reads its documents again and does nothing if they are already correct.
Ends with 6, and the reason, if a change was not made.`
}

type (
	leakedHoldsCmd struct{}
	queuesCmd      struct{}
	adoptCmd       struct {
		Request string `arg:"" help:"Request id, or its key."`
		Job     string `arg:"" help:"Full name of the custom job, or its number."`
	}
	eventsCmd struct {
		Request  string  `arg:"" optional:"" help:"Request id, or its key. Its events are marked as unpublished, and reconcile publishes them again under the same event ids. Without a request: publish now every event that has been unpublished for longer than a tick."`
		Sequence []int64 `placeholder:"N" help:"Only the events with these sequence numbers."`
	}
	runTimerCmd struct {
		Request string `arg:"" help:"Request id, or its key."`
	}
)

// repair opens the site and makes one kind of fix.
func (c *repairCmd) repair(g *globals, do func(context.Context, *site, repair.Kit) ([]repair.Change, error)) error {
	s, err := g.reach(g, c.siteFlags)
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // every call has returned
	l, err := s.needLedger()
	if err != nil {
		return err
	}
	changes, err := do(g.ctx, s, repair.Kit{Ledger: l, Vertex: s.vertex, Settings: s.settings, DryRun: !c.Yes})
	if err != nil && len(changes) == 0 {
		return err
	}
	return cmp.Or(err, c.report(g, changes)) // changes that precede an error are reported
}

// on makes a fix for one request, named by its id or its key.
func (c *repairCmd) on(g *globals, called string, do func(context.Context, repair.Kit, message.Key) ([]repair.Change, error)) error {
	return c.repair(g, func(ctx context.Context, _ *site, k repair.Kit) ([]repair.Change, error) {
		key, err := repair.Find(ctx, k.Ledger, cmp.Or(g.Tenant, defaultTenant), called)
		if err != nil {
			return nil, err
		}
		return do(ctx, k, key)
	})
}

func (*leakedHoldsCmd) Run(g *globals, c *repairCmd) error {
	return c.repair(g, func(ctx context.Context, _ *site, k repair.Kit) ([]repair.Change, error) { return k.LeakedHolds(ctx) })
}

func (*queuesCmd) Run(g *globals, c *repairCmd) error {
	return c.repair(g, func(ctx context.Context, _ *site, k repair.Kit) ([]repair.Change, error) { return k.Queues(ctx) })
}

func (v *adoptCmd) Run(g *globals, c *repairCmd) error {
	return c.on(g, v.Request, func(ctx context.Context, k repair.Kit, key message.Key) ([]repair.Change, error) {
		return k.Adopt(ctx, key, v.Job)
	})
}

func (v *eventsCmd) Run(g *globals, c *repairCmd) error {
	if v.Request == "" && len(v.Sequence) > 0 {
		return usage("--sequence needs a request")
	}
	if v.Request == "" {
		return c.repair(g, func(ctx context.Context, s *site, k repair.Kit) ([]repair.Change, error) { return k.Send(ctx, s.out) })
	}
	return c.on(g, v.Request, func(ctx context.Context, k repair.Kit, key message.Key) ([]repair.Change, error) {
		return k.Republish(ctx, key, v.Sequence)
	})
}

func (v *runTimerCmd) Run(g *globals, c *repairCmd) error {
	return c.on(g, v.Request, func(ctx context.Context, k repair.Kit, key message.Key) ([]repair.Change, error) {
		return k.RunTimer(ctx, key)
	})
}

// report prints the changes, and those that were not made.
func (c *repairCmd) report(g *globals, changes []repair.Change) error {
	left, done := 0, 0
	for _, ch := range changes {
		switch {
		case ch.Left != "":
			left++
		default:
			done++
		}
	}
	if g.JSON {
		if changes == nil {
			changes = []repair.Change{}
		}
		err := pretty(g.out, map[string]any{"dryRun": !c.Yes, "changes": changes})
		if err != nil {
			return err
		}
	} else {
		for _, ch := range changes {
			change(g.out, ch)
		}
		c.sum(g.out, done, left, "change")
	}
	if left > 0 {
		return &quit{code: exitProblems}
	}
	return nil
}

func (c *repairCmd) sum(w io.Writer, done, left int, noun string) {
	switch {
	case done+left == 0:
		say(w, "There is nothing to do.")
		return
	case done == 0:
	case c.Yes:
		say(w, "%s made.", reason.Count(done, noun))
	default:
		say(w, "Nothing was done. With --yes: %s.", reason.Count(done, noun))
	}
	if left > 0 {
		say(w, "%d left as it is.", left)
	}
}

func change(w io.Writer, ch repair.Change) {
	of := ""
	if ch.RequestID != "" {
		of = " (" + ch.RequestID + ")"
	}
	say(w, "%s%s: %s", ch.Document, of, ch.What)
	say(w, "  from  %s", ch.From)
	say(w, "  to    %s", ch.To)
	if ch.Note != "" {
		say(w, "  note  %s", ch.Note)
	}
	if ch.Left != "" {
		say(w, "  LEFT  %s", ch.Left)
	}
}
