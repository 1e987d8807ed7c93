package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

type explainCmd struct {
	jobFile
	NoCheck bool `help:"Ask the deployment about the file without checking it here first."`
}

// Help is shown below the flags.
func (explainCmd) Help() string {
	return `Ends with 0 if the job would start now, 4 if it would have to wait, 3 if it would be refused.

A file that every deployment would refuse is refused here, without a call. Without a deployment, use check.`
}

func (c *explainCmd) Run(g *globals) error {
	p, err := c.prepare(g)
	if err != nil {
		return err
	}
	q, text, err := c.quote(g, p)
	if err != nil {
		return err
	}
	end := verdict(q.Verdict)
	if p.refused != nil && !c.NoCheck {
		end = p.exit()
	}
	if g.JSON {
		if err := indent(g.out, text); err != nil {
			return err
		}
		return end
	}
	prose(g.out, "%s", sentence(q))
	if q.Reason != nil && q.Type != message.Refused {
		prose(g.out, "  %s", problem(q.Reason))
	}
	reasons(g.out, q.Outcome)
	if e := expected(q.Expected); e != "" {
		prose(g.out, "  It is expected %s.", e)
	}
	if len(q.Warnings) > 0 {
		say(g.out, "")
		say(g.out, "Warnings:")
		problems(g.out, q.Warnings)
	}
	return end
}

// quote returns what would happen to the message: a refusal found here, or the
// deployment's answer with its text.
func (c *explainCmd) quote(g *globals, p prepared) (q statuspage.Quote, text []byte, err error) {
	if p.refused != nil && !c.NoCheck {
		q = statuspage.Quote{Type: message.Refused, Outcome: message.Outcome{
			Tenant: cmp.Or(g.Tenant, defaultTenant), ClaimedRequestID: p.refused.ClaimedID,
			Verdict: string(admission.Refuse), Reason: &p.refused.Problems[0], Problems: p.refused.Problems,
		}}
		if text, err = json.Marshal(q); err != nil {
			return q, nil, fmt.Errorf("encode output: %w", err)
		}
		return q, text, nil
	}
	d, err := g.open()
	if err != nil {
		if p.request != nil && !g.JSON {
			p.print(g)
			say(g.out, "Only a deployment can say whether it fits.")
		}
		return q, nil, err
	}
	text, err = d.post(g.ctx, statuspage.Message{Data: p.data, Attributes: p.attributes}, &q, g.inTenant(url.Values{}), "explain")
	q.Problems = byFlag(q.Problems)
	return q, text, err
}

// sentence is the verdict in words.
func sentence(q statuspage.Quote) string {
	where := "."
	if q.PersistentResource != "" {
		where = " on " + short(q.PersistentResource) + "."
	}
	switch {
	case q.Type == message.Refused:
		return "REFUSE: the message is invalid."
	case q.Verdict == string(admission.Admit) && q.ScaleUp:
		return "ADMIT: the job would be submitted now; the autoscaler has to add machines first" + where
	case q.Verdict == string(admission.Admit):
		return "ADMIT: the job would start now" + where
	case q.Verdict == string(admission.Wait):
		return "WAIT: the job would wait in the queue" + where
	}
	return "REFUSE: the job would be refused" + where
}

// reasons writes everything that an outcome says about its reason.
func reasons(w io.Writer, o message.Outcome) {
	if len(o.Problems) > 0 {
		problems(w, o.Problems)
		return
	}
	if o.Reason != nil {
		fix := o.Reason.Fix
		if edited(o) { // the edits are listed below
			fix, _, _ = strings.Cut(fix, "To fit: ")
		}
		if fix = strings.TrimSpace(fix); fix != "" {
			prose(w, "  %s", fix)
		}
	}
	if !o.StartsBy.IsZero() {
		prose(w, "  By the time limits of the jobs that run, it would start by %s at the latest.", clock(o.StartsBy))
	}
	if o.Ahead != nil && *o.Ahead > 0 {
		prose(w, "  %s may come before it in order.", reason.Count(*o.Ahead, "waiting request"))
	}
	if !o.Bound.IsZero() {
		prose(w, "  If no request comes that is before it in order, the pools stay and jobs keep to their limits, it would start by %s.", clock(o.Bound))
	}
	fit(w, o.Fit, o.Verdict == string(admission.Wait))
}

// edited reports whether the arithmetic lists the edits that the fix repeats.
func edited(o message.Outcome) bool {
	for _, f := range o.Fit {
		if len(f.Edits) > 0 {
			return true
		}
	}
	return false
}

// verdict turns a verdict into an exit code.
func verdict(v string) error {
	switch admission.Verdict(v) {
	case admission.Admit:
		return nil
	case admission.Wait:
		return &quit{code: exitWaits}
	}
	return &quit{code: exitRefused}
}
