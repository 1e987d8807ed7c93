package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
)

type cancelCmd struct {
	ID     string `arg:"" help:"Request id, or the id of the message where the request has none."`
	Kind   string `enum:"request,message," default:"" placeholder:"request|message" help:"What kind of id it is; by default the Status function is asked."`
	Reason string `placeholder:"TEXT" help:"Why, for people; goes into the events."`
}

// Help is shown below the flags.
func (cancelCmd) Help() string {
	return `A cancel is a wish: a job that runs ends when Vertex AI has stopped it, and may still succeed.

An id that is not known yet is cancelled as well: whatever comes under it later, a request with that id or a message with that message id, is cancelled as it comes. The answer says until when that holds.`
}

// A cancelling is what was asked for.
type cancelling struct {
	ID        string          `json:"id"`
	Kind      message.Kind    `json:"kind,omitempty"`  // empty if nothing has come under the id: the cancel holds for both
	State     lifecycle.State `json:"state,omitempty"` // before the cancel; empty for an id that is not known
	MessageID string          `json:"messageId,omitempty"`
	// HoldsFor is how long a cancel of an id that is not known holds.
	HoldsFor statuspage.Duration `json:"holdsFor,omitempty"`
}

func (c *cancelCmd) Run(g *globals) error {
	if _, err := c.body(message.Kind(c.Kind)); err != nil { // whatever is wrong with it, before anybody is asked
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
			c.ID = r.ID // what was given may be the name of its job
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
			return c.report(g, want, "%s is %s already; nothing was sent.", c.ID, r.State)
		case r.State.Terminal():
			return fmt.Errorf("%s has ended: it is %s; nothing was sent", c.ID, r.State)
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
		return c.report(g, want, "Nothing is known under the id %s yet. The cancel was sent nevertheless: what comes under it within %s, a request with that id or a message with that message id, is cancelled as it comes.", c.ID, days(want.HoldsFor))
	}
	return c.report(g, want, "The cancel of %s was sent. See what becomes of it with: berth show %s", c.ID, c.ID)
}

// days writes a long duration.
func days(d statuspage.Duration) string {
	if n := int(time.Duration(d) / (24 * time.Hour)); n > 1 {
		return plural(n, "day")
	}
	return spanOf(d)
}

// body is the message that asks for the cancel, checked as the deployment will.
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
