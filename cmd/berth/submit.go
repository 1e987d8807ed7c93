package main

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

type submitCmd struct {
	jobFile
	NoCheck bool          `help:"Publish the file without checking it here."`
	Follow  bool          `help:"Wait for the end and print each event. Ctrl-C ends the wait, not the job."`
	Every   time.Duration `default:"1s" help:"With --follow, how often to ask."`
}

// Help is shown below the flags.
func (submitCmd) Help() string {
	return `Prints the request id. It is random unless the file or --id gives one.

With --json it prints one line {"id", "kind", "messageId", "topic"}, and with --follow one more line per event.`
}

// A submission is what submit prints with --json.
type submission struct {
	ID        string       `json:"id"`   // the argument of show and cancel
	Kind      message.Kind `json:"kind"` // of id
	MessageID string       `json:"messageId"`
	Topic     string       `json:"topic"`
}

func (c *submitCmd) Run(g *globals) error {
	if c.Every <= 0 {
		return usage("--every %s: want more than 0", c.Every)
	}
	p, err := c.prepare(g)
	if err != nil {
		return err
	}
	if p.refused != nil && !c.NoCheck {
		return c.bad(g, p)
	}
	if err := g.writable(); err != nil {
		return err
	}
	var d *statusClient
	if c.Follow { // before the job is published: one that cannot be followed must not start
		if d, err = g.open(); err != nil {
			return err
		}
	}
	s := submission{Kind: message.KindRequest, Topic: g.topicName()}
	dry := c.DryRun
	switch {
	case p.request != nil:
		s.ID, dry = p.request.RequestID, p.request.DryRun
		warnings(g, p.request.Warnings)
	case p.refused != nil:
		s.ID = p.refused.ClaimedID
	}
	if s.ID == "" {
		s.ID = newID()
		p.attributes["berth-request-id"] = s.ID
	}
	if s.MessageID, err = g.publish(p.data, p.attributes); err != nil {
		return err
	}
	if dry { // it makes no request; its answer is stored under the message id
		s.ID, s.Kind = s.MessageID, message.KindAnswer
	}
	if g.JSON {
		if err := printJSON(g.out, s); err != nil {
			return err
		}
	} else {
		say(g.out, "%s", s.ID)
	}
	if !c.Follow {
		return nil
	}
	return (&follower{globals: g, status: d, every: c.Every, sent: s}).run()
}

// bad reports a job that the deployment would refuse.
func (c *submitCmd) bad(g *globals, p prepared) error {
	if g.JSON {
		if err := printJSON(g.out, map[string]any{"problems": p.refused.Problems}); err != nil {
			return err
		}
		return p.exit()
	}
	say(g.err, "%s was not published; it would be refused:", p.name)
	problems(g.err, p.refused.Problems)
	return p.exit()
}

// warnings prints warnings to the error stream.
func warnings(g *globals, warnings []reason.Problem) {
	if len(warnings) > 0 && !g.JSON {
		say(g.err, "Warnings:")
		problems(g.err, warnings)
	}
}

// newID draws a request id.
func newID() string {
	var b [10]byte
	rand.Read(b[:])
	return "cli-" + hex.EncodeToString(b[:])
}
