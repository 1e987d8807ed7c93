package main

import (
	"fmt"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/repair"
)

type policyShowCmd struct {
	Version *int64 `arg:"" optional:"" help:"This version; by default the one in force."`
}

type policyHistoryCmd struct {
	Limit int `default:"20" help:"Show at most this many versions."`
}

type policyDiffCmd struct {
	File    string `arg:"" help:"Policy file in YAML; - for standard input."`
	Against *int64 `placeholder:"N" help:"Compare with this version; by default with the one in force."`
}

// Help is shown below the flags.
func (policyDiffCmd) Help() string {
	return `Ends with 0 if the texts are the same, with 6 if they differ.`
}

// ledger opens the ledger of the deployment, with a function that closes it.
func (c *policyCmd) ledger(g *globals) (repair.Ledger, func() error, error) {
	s, err := g.reach(g, c.siteFlags)
	if err != nil {
		return nil, nil, err
	}
	l, err := s.needLedger()
	if err != nil {
		return nil, nil, err
	}
	return l, s.close, nil
}

// storedPolicy reads a version of the policy, 0 for the one in force; nil if there is none.
func storedPolicy(g *globals, l ledger.Ledger, version int64) (p *ledger.Policy, err error) {
	name := ledger.CurrentPolicy
	if version > 0 {
		name = ledger.PolicyName(version)
	}
	err = ledger.Read(g.ctx, l, ledger.Policies(name), func(tx ledger.Tx) {
		p = ledger.Get[*ledger.Policy](tx, ledger.PolicyRef(name))
	})
	if err == nil && version > 0 && p == nil {
		err = usage("there is no version %d of the policy; see berth policy history", version)
	}
	return p, err
}

// wantedVersion is a version that the command line names, 0 if it names none.
func wantedVersion(named *int64) (int64, error) {
	switch {
	case named == nil:
		return 0, nil
	case *named < 1:
		return 0, usage("version %d: want 1 or more", *named)
	}
	return *named, nil
}

func (c *policyShowCmd) Run(g *globals, group *policyCmd) error {
	version, err := wantedVersion(c.Version)
	if err != nil {
		return err
	}
	l, done, err := group.ledger(g)
	if err != nil {
		return err
	}
	defer done() //nolint:errcheck // every call has returned
	p, err := storedPolicy(g, l, version)
	switch {
	case err != nil:
		return err
	case g.JSON:
		return pretty(g.out, p)
	case p == nil:
		say(g.out, "There is no policy: whoever may publish may run anything.")
		return nil
	}
	say(g.err, "Version %d, %s", p.Version, madeBy(p))
	_, err = fmt.Fprint(g.out, multiline(p.Text)) // only the text, so that it can be edited and applied
	return err
}

// madeBy says when, by whom and why a version was written.
func madeBy(p *ledger.Policy) string {
	s := clock(p.At)
	if p.Who != "" {
		s += " by " + p.Who
	}
	if p.Restores > 0 {
		s += fmt.Sprintf(", as version %d", p.Restores)
	}
	if p.Note != "" {
		s += ": " + p.Note
	}
	return s
}

func (c *policyHistoryCmd) Run(g *globals, group *policyCmd) error {
	if c.Limit < 1 || c.Limit > 100 {
		return usage("--limit %d: want 1 to 100", c.Limit)
	}
	l, done, err := group.ledger(g)
	if err != nil {
		return err
	}
	defer done() //nolint:errcheck // every call has returned
	now, err := storedPolicy(g, l, 0)
	if err != nil {
		return err
	}
	list := []*ledger.Policy{}
	if now != nil {
		var names []string
		for v := now.Version; v > max(0, now.Version-int64(c.Limit)); v-- {
			names = append(names, ledger.PolicyName(v))
		}
		if err := ledger.Read(g.ctx, l, ledger.Policies(names...), func(tx ledger.Tx) {
			list = list[:0]
			for _, name := range names {
				if tx.Unreadable(ledger.PolicyRef(name)) != nil {
					continue
				}
				if p := ledger.Get[*ledger.Policy](tx, ledger.PolicyRef(name)); p != nil {
					list = append(list, p)
				}
			}
		}); err != nil {
			return err
		}
	}
	if g.JSON {
		for _, p := range list {
			p.Text = "" // show has it
		}
		return pretty(g.out, list)
	}
	if len(list) == 0 {
		say(g.out, "There is no policy yet.")
		return nil
	}
	t := newTable(g.out, "VERSION", "SINCE", "BY", "TENANTS", "AS", "NOTE")
	for _, p := range list {
		tenants, as := "-", "-"
		if parsed, _ := policy.Parse([]byte(p.Text)); parsed != nil {
			tenants = fmt.Sprint(len(parsed.Tenants()))
		}
		if p.Restores > 0 {
			as = fmt.Sprintf("version %d", p.Restores)
		}
		t.row(p.Version, clock(p.At), orDash(p.Who), tenants, as, p.Note)
	}
	t.end()
	return nil
}

func (c *policyDiffCmd) Run(g *globals, group *policyCmd) error {
	version, err := wantedVersion(c.Against)
	if err != nil {
		return err
	}
	text, err := readPolicy(g, c.File)
	if err != nil {
		return err
	}
	l, done, err := group.ledger(g)
	if err != nil {
		return err
	}
	defer done() //nolint:errcheck // every call has returned
	p, err := storedPolicy(g, l, version)
	if err != nil {
		return err
	}
	changes := policyDiff(p, filepath.Base(c.File), string(text))
	if g.JSON {
		if err := pretty(g.out, map[string]any{"same": changes == "", "diff": changes}); err != nil {
			return err
		}
	} else if _, err := fmt.Fprint(g.out, multiline(changes)); err != nil {
		return err
	}
	if changes != "" {
		return &quit{code: exitProblems}
	}
	return nil
}

// policyDiff returns the changes from a version to a text, "" for none.
func policyDiff(p *ledger.Policy, name, text string) string {
	from, old := "no policy", ""
	if p != nil {
		from, old = fmt.Sprintf("version %d", p.Version), p.Text
	}
	return string(diff.Diff(from, []byte(old), name, []byte(text)))
}
