package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/repair"
)

type deadLettersCmd struct {
	ID    []string `arg:"" optional:"" help:"Message ids of the dead letters; by default all that come from a subscription of the request topic."`
	Limit int      `default:"0" help:"Pull at most this many; 0 for all."`
}

// mostNamed bounds the dead letters that are searched for the named ones.
const mostNamed = 10_000

// Help is shown by berth repair dead-letters --help.
func (*deadLettersCmd) Help() string {
	return `With --yes each is published to the request topic, with its data and its own attributes as they were, and then removed. ` +
		`The new message has a new id: a request without an id of its own is known by that.`
}

// Run needs no ledger, so it also works with a stack that keeps its ledger in
// memory.
func (v *deadLettersCmd) Run(g *globals, c *repairCmd) error {
	if v.Limit < 0 {
		return usage("--limit %d: want 0 or more", v.Limit)
	}
	s, err := g.reach(g, c.siteFlags)
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // every call has returned
	var events []repair.DeadLetter
	kit := repair.Kit{DryRun: !c.Yes}
	if v.Limit == 0 && len(v.ID) == 0 {
		events, err = kit.Replay(g.ctx, s.pubsub, time.Now)
	} else {
		events, err = kit.DeadLetters(g.ctx, s.pubsub, time.Now(), cmp.Or(v.Limit, mostNamed), v.ID)
	}
	if len(v.ID) > 0 { // report the named ones only
		events = slices.DeleteFunc(events, func(d repair.DeadLetter) bool { return !slices.Contains(v.ID, d.ID) })
	}
	left := 0
	for _, d := range events {
		if d.Left != "" {
			left++
		}
	}
	if g.JSON {
		if events == nil {
			events = []repair.DeadLetter{}
		}
		err = errors.Join(err, pretty(g.out, map[string]any{"dryRun": !c.Yes, "deadLetters": events}))
	} else {
		err = c.list(g.out, events, left, err)
	}
	if err == nil && left > 0 {
		err = &quit{code: exitProblems}
	}
	return err
}

// list prints dead letters. err is what ended the work, if anything did.
func (c *repairCmd) list(w io.Writer, events []repair.DeadLetter, left int, err error) error {
	sent := 0
	if len(events) > 0 {
		t := newTable(w, "DEAD LETTER", "AGE", "ATTEMPTS", "FROM", "BYTES", "WHAT", "ID", "NOW")
		for _, d := range events {
			now := "to be published"
			switch {
			case d.Left != "":
				now = "left: " + d.Left
			case d.NewID != "":
				now, sent = "published as "+d.NewID, sent+1
			case c.Yes:
				now = "not reached"
			default:
				sent++
			}
			t.row(d.ID, span(d.Age), d.Attempts, orDash(d.Source), d.Bytes, d.What, orDash(d.RequestID), now)
		}
		t.end()
		for _, d := range events {
			if d.Note != "" && d.Left == "" {
				say(w, "%s: %s", d.ID, d.Note)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("after %s: %w", reason.Count(sent, "dead letter"), err)
	}
	c.sum(w, sent, left, "publication")
	return nil
}
