package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

type waitCmd struct {
	IDs     []string      `arg:"" name:"id" help:"Request ids, or what berth show takes."`
	Until   string        `enum:"submitted,started,ended" default:"ended" help:"What to wait for: submitted, started or ended."`
	Within  time.Duration `default:"0s" help:"Give up after this long; 0 for never."`
	Unknown time.Duration `default:"2m" help:"How long an id may be unknown, because its message is still on its way."`
	Every   time.Duration `default:"2s" help:"How often to ask."`
}

// Help is shown below the flags.
func (waitCmd) Help() string {
	return `Waits for one request or several, and prints a line each time that the state of one changes. With --json it prints one document at the end.

Ends with 0 if all got so far and none ended badly, with 5 if one failed, was cancelled or expired, with 3 if one was refused, and with 4 if the time is up.`
}

// A waited is a request of berth wait, as it was last seen.
type waited struct {
	ID     string          `json:"id"`
	State  string          `json:"state,omitempty"`
	Job    string          `json:"job,omitempty"`
	Reason *reason.Problem `json:"reason,omitempty"`
	Done   bool            `json:"done"`
	code   int
}

func (c *waitCmd) Run(g *globals) error {
	if c.Within < 0 || c.Unknown < 0 || c.Every < leastEvery {
		return usage("--within %s, --unknown %s, --every %s: want 0 or more, 0 or more, and %s or more", c.Within, c.Unknown, c.Every, leastEvery)
	}
	if slices.Contains(c.IDs, "") {
		return usage("an id is empty")
	}
	d, err := g.open()
	if err != nil {
		return err
	}
	list := make([]waited, len(c.IDs))
	for i, id := range c.IDs {
		list[i].ID = id
	}
	code, err := c.wait(g, list, func(ctx context.Context, id string) (statuspage.Request, error) {
		asking := *g
		asking.ctx = ctx
		r, _, err := d.request(&asking, id, "")
		return r, err
	})
	if g.JSON && (err == nil || code != 0) {
		if err := pretty(g.out, map[string]any{"requests": list}); err != nil {
			return err
		}
	}
	if err == nil && code != 0 {
		return &quit{code: code}
	}
	return err
}

// wait asks for each request until it is as far as is waited for. It returns the exit code.
// A call that is not answered is given up when the time is up.
func (c *waitCmd) wait(g *globals, list []waited, ask func(ctx context.Context, id string) (statuspage.Request, error)) (int, error) {
	ticks := time.NewTicker(c.Every)
	defer ticks.Stop()
	ctx := g.ctx
	if c.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Within)
		defer cancel()
	}
	began, failures := time.Now(), 0
	for {
		open := false
		for i := range list {
			if list[i].Done {
				continue
			}
			r, err := ask(ctx, list[i].ID)
			switch {
			case g.ctx.Err() != nil:
				return exitInterrupted, &quit{code: exitInterrupted}
			case err != nil && ctx.Err() != nil:
				return c.timeIsUp(list)
			case notFound(err) && time.Since(began) < c.Unknown:
				// its message is still on its way
			case err != nil && (!transient(err) || failures == maxFailures):
				return exitError, err
			case err != nil:
				if failures++; failures == 1 {
					say(g.err, "Asking again: %v", err)
				}
			default:
				failures = 0
				c.take(g, &list[i], &r)
			}
			open = open || !list[i].Done
		}
		if !open {
			return worst(list), nil
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			if g.ctx.Err() != nil {
				return exitInterrupted, &quit{code: exitInterrupted}
			}
			return c.timeIsUp(list)
		}
	}
}

func (c *waitCmd) timeIsUp(list []waited) (int, error) {
	if code := worst(list); code != 0 {
		return code, nil
	}
	return exitWaits, &quit{exitWaits, fmt.Errorf("the time of %s is up: %s", c.Within, stillWaiting(list))}
}

// take notes what is known of a request now, and prints it if its state is another.
func (c *waitCmd) take(g *globals, w *waited, r *statuspage.Request) {
	state := string(r.State)
	if r.Kind == message.KindAnswer {
		state, _, _ = strings.Cut(stateOf(*r), " ")
	}
	if state != w.State && !g.JSON {
		text := problem(r.Reason)
		if text == "" && r.Job != "" {
			text = "job " + short(r.Job)
		}
		if r.Terminal && r.JobError != nil { // the reason says only that there is one
			text += " " + r.JobError.Message
		}
		say(g.out, "%s  %s  %s", w.ID, state, text)
	}
	w.State, w.Job, w.Reason = state, r.Job, r.Reason
	switch {
	case r.Terminal:
		w.Done = true
		if q := (*quit)(nil); errors.As(ended(r), &q) {
			w.code = q.code
		}
	case c.Until == "submitted":
		w.Done = !r.Times.Submitted.IsZero() && r.State != lifecycle.Waiting
	case c.Until == "started":
		w.Done = r.State == lifecycle.Running
	}
}

// worst is the exit code of a list: that of what ended worst.
func worst(list []waited) int {
	code := 0
	for _, w := range list {
		code = max(code, w.code) // 5 for one that ran and failed, above 3 for one that was refused
	}
	return code
}

func stillWaiting(list []waited) string {
	var parts []string
	for _, w := range list {
		if !w.Done {
			state := w.State
			if state == "" {
				state = "unknown"
			}
			parts = append(parts, w.ID+" is "+state)
		}
	}
	return strings.Join(parts, ", ")
}
