package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/repair"
)

type doctorCmd struct {
	siteFlags
	probeFlags
}

// Help is shown by berth doctor --help.
func (*doctorCmd) Help() string {
	return `Reads the whole ledger, lists the live jobs, and checks topics and subscriptions.
It changes nothing. To count dead letters it pulls them from their subscription and returns them at once.

Ends with 0 if all is well, with 6 if a check says FAIL, and with 1 if none does but one could not be made.

With --probe RESOURCE it checks no deployment. It creates a few tiny jobs on that persistent resource, to find out what Vertex AI does
where its documentation is silent, and prints what it did and the settings of Berth that follow. It says first what it will do and cost. It
needs the rights to create, get, list and cancel custom jobs. It ends with 6 if it could not end every job that it created.`
}

// A diagnosis is what doctor prints with --json.
type diagnosis struct {
	Target    string           `json:"target"`
	AsOf      time.Time        `json:"asOf"`
	Problems  int              `json:"problems"`
	Unchecked int              `json:"unchecked"`
	Findings  []repair.Finding `json:"findings"`
}

// Run makes every check, even after one has failed.
func (c *doctorCmd) Run(g *globals) error {
	if c.Probe != "" {
		return c.probe(g)
	}
	s, err := g.reach(g, c.siteFlags)
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // everything has been read
	now := time.Now()
	d := diagnosis{Target: g.target.String(), AsOf: now.UTC()}
	d.Findings = append(d.Findings, s.configuration(g), s.statusCheck())
	p, found := s.examine(g)
	d.Findings = append(d.Findings, found...)
	d.Findings = append(d.Findings, s.pubsub.check(g.ctx, now)...)
	d.Findings = append(d.Findings, s.rights(p, d.Findings))
	for _, f := range d.Findings {
		switch {
		case f.Unchecked:
			d.Unchecked++
		case f.Level == repair.Fail:
			d.Problems++
		}
	}
	if g.JSON {
		err = pretty(g.out, d)
	} else {
		d.print(g.out)
	}
	switch {
	case err != nil:
		return err
	case g.ctx.Err() != nil:
		return g.ctx.Err()
	case d.Problems > 0:
		return &quit{code: exitProblems}
	case d.Unchecked > 0:
		return &quit{exitError, fmt.Errorf("%s could not be made", reason.Count(d.Unchecked, "check"))}
	}
	return nil
}

func (d diagnosis) print(w io.Writer) {
	for _, f := range d.Findings {
		s, _ := w.(*screen)
		if head := fmt.Sprintf("%-4s  %s: %s", f.Level, f.Check, f.Text); s == nil || s.width == 0 || columns(head) <= s.width {
			say(w, "%s", head)
		} else { // the text below its check
			say(w, "%-4s  %s:", f.Level, f.Check)
			prose(w, "      %s", f.Text)
		}
		if f.Means != "" {
			prose(w, "      %s", f.Means)
		}
		if f.Do != "" {
			prose(w, "      -> %s", f.Do)
		}
	}
	say(w, "")
	warnings := 0
	for _, f := range d.Findings {
		if f.Level == repair.Warn {
			warnings++
		}
	}
	if d.Problems+d.Unchecked+warnings == 0 {
		prose(w, "All is well with %s.", d.Target)
		return
	}
	prose(w, "%s, %s, and %s could not be made.", reason.Count(d.Problems, "problem"), reason.Count(warnings, "warning"), reason.Count(d.Unchecked, "check"))
}

// configuration reports which deployment was checked, so that an operator does
// not take it for another one.
func (s *site) configuration(g *globals) repair.Finding {
	var regions []string
	for _, p := range s.parents {
		regions = append(regions, short(p))
	}
	f := repair.Finding{Check: "configuration", Level: repair.OK,
		Text: fmt.Sprintf("%s: project %s, regions %s, tick %s", &g.target, g.Project, strings.Join(regions, ", "), s.settings.Tick)}
	switch {
	case s.status != nil && s.status.Project != g.Project:
		f.Level, f.Text = repair.Fail, fmt.Sprintf("--project is %s, but the Status function is that of project %s", g.Project, s.status.Project)
		f.Means, f.Do = "Each of the checks below is about one of the two only.", "Give --project and --status-url of the same deployment."
	case len(regions) == 0:
		f.Level, f.Text = repair.Warn, fmt.Sprintf("%s: project %s, regions not known, tick %s", &g.target, g.Project, s.settings.Tick)
		f.Means, f.Do = "Jobs are listed only in regions where the ledger has a persistent resource.", "Give --region, or --status-url."
	}
	return f
}

func (s *site) statusCheck() repair.Finding {
	const check = "status-function"
	switch {
	case s.statusErr != nil:
		return repair.Unchecked(check, s.statusErr, "Check --status-url and --token; the log of Status says whether its settings are valid.")
	case s.status == nil:
		return repair.Finding{Check: check, Level: repair.None, Text: "not checked: no --status-url"}
	}
	return repair.Finding{Check: check, Level: repair.OK, Text: fmt.Sprintf("it answers; version %s, deployment %s", s.status.Version, s.status.Deployment)}
}

// examine checks ledger, jobs and indexes.
func (s *site) examine(g *globals) (repair.Picture, []repair.Finding) {
	if s.ledger == nil {
		return repair.Picture{}, []repair.Finding{repair.Unchecked(repair.CheckLedger, s.ledgerErr, "")}
	}
	src := repair.Source{Ledger: s.ledger, Vertex: s.vertex, Parents: s.parents, Clock: time.Now}
	p, found, err := repair.Examine(g.ctx, src, s.settings)
	if err != nil {
		return p, []repair.Finding{repair.Unchecked(repair.CheckLedger, err,
			"Check --project and --database, that Firestore answers, and that the caller may read it (roles/datastore.viewer).")}
	}
	if s.emulated {
		return p, append(found, repair.Finding{Check: repair.CheckIndexes, Level: repair.None, Text: "not checked on an emulator, which needs none"})
	}
	return p, append(found, repair.Indexes(g.ctx, s.ledger))
}

// rights reports which rights are proved by recent successful work. The rights
// of the functions cannot be read in another way.
func (s *site) rights(p repair.Picture, found []repair.Finding) repair.Finding {
	const check = "permissions"
	if s.emulated {
		return repair.Finding{Check: check, Level: repair.None, Text: "not checked: an emulator has none"}
	}
	good := func(checks ...string) bool {
		for _, c := range checks {
			if !slices.ContainsFunc(found, func(f repair.Finding) bool { return f.Check == c }) ||
				slices.ContainsFunc(found, func(f repair.Finding) bool { return f.Check == c && f.Level != repair.OK }) {
				return false
			}
		}
		return true
	}
	wrote := slices.ContainsFunc(p.Records, func(r *ledger.Record) bool { return len(r.Outbox) > 0 })
	shown, not := []string{}, []string{}
	for _, r := range []struct {
		right string
		shown bool
	}{
		{"the caller reads the ledger", good(repair.CheckIndexes)},
		{"the caller lists jobs", len(p.Listed) > 0 && len(p.Unlisted) == 0},
		{"the caller reads persistent resources", len(p.Observed) > 0 && good(repair.CheckObservations)},
		{"the caller reads topics and subscriptions", good(checkTopics)},
		{"the functions write the ledger (a fresh lease)", good(repair.CheckTick)},
		{"the functions list jobs and read persistent resources (fresh observations)", len(p.Observed) > 0 && good(repair.CheckTick, repair.CheckObservations)},
		{"the functions publish outcomes (none is unpublished)", wrote && good(repair.CheckTick, repair.CheckOutbox)},
	} {
		if r.shown {
			shown = append(shown, r.right)
		} else {
			not = append(not, r.right)
		}
	}
	f := repair.Finding{Check: check, Level: repair.OK, Text: "shown by recent work: " + strings.Join(shown, ", "),
		Means: "The rights to create and cancel jobs show only when the functions use them."}
	if len(not) > 0 {
		f.Level, f.Text = repair.Warn, "not shown by recent work: "+strings.Join(not, ", ")
		f.Do = "If a check above fails for no other reason, compare the roles with those that deploy/deploy.sh grants."
	}
	return f
}
