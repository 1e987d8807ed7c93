package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

type cancelCmd struct {
	ID     string `arg:"" help:"Request id, or the id of the message where the request has none."`
	Kind   string `enum:"request,message," default:"" placeholder:"request|message" help:"What kind of id it is; by default the Status function is asked."`
	Reason string `placeholder:"TEXT" help:"The reason, for readers of the outcome events."`
}

// Help is shown below the flags.
func (cancelCmd) Help() string {
	return `A cancel is a request: a running job ends when Vertex AI has stopped it, and may still succeed.

An unknown id is cancelled as well: a later request with that id, or a later message with that message id, is cancelled when it arrives. The answer says until when that holds.`
}

// A cancelling is what cancel prints with --json.
type cancelling struct {
	ID        string          `json:"id"`
	Kind      message.Kind    `json:"kind,omitempty"`  // empty for an unknown id: the cancel holds for both kinds
	State     lifecycle.State `json:"state,omitempty"` // before the cancel; empty for an unknown id
	MessageID string          `json:"messageId,omitempty"`
	// HoldsFor is how long the cancel of an unknown id holds.
	HoldsFor statuspage.Duration `json:"holdsFor,omitempty"`
}

func (c *cancelCmd) Run(g *globals) error {
	if _, err := c.body(message.Kind(c.Kind)); err != nil { // an invalid cancel is refused before a call is made
		return err
	}
	if err := g.writable(); err != nil {
		return err
	}
	want := cancelling{ID: c.ID, Kind: message.Kind(c.Kind)}
	known := true
	if want.Kind == "" {
		d, err := g.open()
		if err != nil {
			return fmt.Errorf("%w (with --kind the Status function is not needed)", err)
		}
		r, _, err := d.request(g, c.ID, "")
		if err == nil {
			c.ID = r.ID // the argument may have been the name of its job
		}
		switch {
		case notFound(err), err == nil && !r.CancelledUntil.IsZero():
			known = false
			var index statuspage.Index
			if _, err := d.get(g.ctx, &index, nil, ""); err != nil {
				return err
			}
			want.HoldsFor = index.Keep
		case err != nil:
			return err
		case r.Kind == message.KindAnswer:
			return fmt.Errorf("message %s made no request; there is nothing to cancel", c.ID)
		case r.State == lifecycle.Cancelled || r.State == lifecycle.Cancelling:
			want.Kind, want.State = r.Kind, r.State
			return c.report(g, want, "%s is %s already; nothing was published.", c.ID, r.State)
		case r.State.Terminal():
			return fmt.Errorf("%s has ended: it is %s; nothing was published", c.ID, r.State)
		default:
			want.Kind, want.State = r.Kind, r.State
		}
	}
	data, err := c.body(want.Kind)
	if err != nil {
		return err
	}
	if want.MessageID, err = g.publish(data, nil); err != nil {
		return err
	}
	if !known {
		return c.report(g, want, "The id %s is unknown. The cancel was published nevertheless: a request with that id, or a message with that message id, that arrives within %s is cancelled.", c.ID, days(want.HoldsFor))
	}
	return c.report(g, want, "The cancel of %s was published. Follow it with: berth show %s", c.ID, c.ID)
}

// days writes a long duration.
func days(d statuspage.Duration) string {
	if n := int(time.Duration(d) / (24 * time.Hour)); n > 1 {
		return reason.Count(n, "day")
	}
	return spanOf(d)
}

// body returns the message that asks for the cancel, after the checks that the
// deployment makes.
func (c *cancelCmd) body(kind message.Kind) ([]byte, error) {
	fields := map[string]string{"requestId": c.ID}
	if kind == message.KindMessage {
		fields = map[string]string{"messageId": c.ID}
	}
	if c.Reason != "" {
		fields["reason"] = c.Reason
	}
	data, err := json.Marshal(map[string]any{"cancel": fields})
	if err != nil {
		return nil, fmt.Errorf("encode the cancel of %q: %w", c.ID, err)
	}
	_, err = message.Decode(message.Delivery{ID: "checked", Data: data})
	if r := (*message.Refusal)(nil); errors.As(err, &r) {
		p := r.Problems[0]
		what := "the id"
		if p.Path == "cancel.reason" {
			what = "--reason"
		}
		return nil, usage("%s: %s %s", what, p.Detail, p.Fix)
	}
	return data, err
}

func (c *cancelCmd) report(g *globals, want cancelling, format string, args ...any) error {
	if g.JSON {
		return printJSON(g.out, want)
	}
	say(g.out, format, args...)
	return nil
}
