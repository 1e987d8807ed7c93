package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/policy"
)

// writeFlags are those of the verbs that put a policy in force.
type writeFlags struct {
	Yes  bool          `help:"Write it. Without it, only say what it would do."`
	Base int64         `default:"-1" placeholder:"N" help:"Write only if version N is in force, 0 for no policy; by default the version that is in force as the command begins."`
	Past time.Duration `name:"replay" default:"168h" placeholder:"DURATION" help:"Also say what it would have done to the requests of the last time, by default 168h (7 days), by running those that ran again in virtual time; 0 for not."`
	All  bool          `name:"refuse-all" help:"Write it even if it lets none of the requests start that wait or came in the last time."`
	Note string        `placeholder:"TEXT" help:"Why, for the history."`
	Who  string        `env:"BERTH_WHO" placeholder:"NAME" help:"Who does it; by default the user of this machine. It is a claim."`
}

type policyApplyCmd struct {
	writeFlags
	File string `arg:"" help:"Policy file in YAML; - for standard input."`
}

// Help is shown below the flags.
func (policyApplyCmd) Help() string {
	return `Prints the changes, the waiting requests that would be refused if they came now, what tenants hold of their shares, and what it would have done to the requests of the last days: which it would have refused, and how long those that ran would have waited. With --yes it then writes the policy, if nobody has written another one meanwhile. Every instance goes by it one tick later; what waits keeps what it was taken with. A policy under which none of those requests could start is not written, unless --refuse-all is given.

To be without bounds again, apply a policy that has none: defaults: {serviceAccounts: any}

Ends with 3 if the file is not a policy that a deployment would take, with 6 if it is not written: another version is in force than the one that the policy was made from, or it would let no request start.`
}

type policyRollbackCmd struct {
	writeFlags
	Version *int64 `arg:"" optional:"" help:"The version whose text comes in force again; by default the one before the one in force."`
}

const maxNote = 500 // characters of a note, and of who writes

func (c *policyApplyCmd) Run(g *globals, group *policyCmd) error {
	text, err := readPolicy(g, c.File)
	if err != nil {
		return err
	}
	checked := checkPolicy(c.File, text, nil)
	if !checked.Valid {
		if g.JSON {
			if err := pretty(g.out, map[string]any{"valid": false, "problems": checked.Problems}); err != nil {
				return err
			}
		} else {
			checked.print(g.out)
		}
		return &quit{code: exitRefused}
	}
	return c.write(g, group, func(*ledger.Policy, ledger.Ledger) (string, ledger.Policy, error) {
		return filepath.Base(c.File), ledger.Policy{Text: string(text)}, nil
	})
}

func (c *policyRollbackCmd) Run(g *globals, group *policyCmd) error {
	return c.write(g, group, func(now *ledger.Policy, l ledger.Ledger) (string, ledger.Policy, error) {
		if now == nil {
			return "", ledger.Policy{}, usage("there is no policy to roll back")
		}
		version := now.Version - 1
		if c.Version != nil {
			version = *c.Version
		} else if version == 0 {
			return "", ledger.Policy{}, usage("version 1, which is in force, is the first; to be without bounds again, apply a policy that has none: defaults: {serviceAccounts: any}")
		}
		if version < 1 || version >= now.Version {
			return "", ledger.Policy{}, usage("version %d cannot be restored: versions 1 to %d can", version, now.Version-1)
		}
		old, err := storedPolicy(g, l, version)
		if err != nil {
			return "", ledger.Policy{}, err
		}
		if p, problems := policy.Parse([]byte(old.Text)); p == nil {
			return "", ledger.Policy{}, &quit{exitRefused, fmt.Errorf("version %d cannot be read by this release: %s", version, problems[0].String())}
		}
		return fmt.Sprintf("version %d", version), ledger.Policy{Text: old.Text, Restores: version}, nil
	})
}

// An applied is what apply and rollback print with --json.
type applied struct {
	Written bool          `json:"written"`
	Base    int64         `json:"base"`    // the version that was in force, 0 for none
	Version int64         `json:"version"` // the version that is, or would be, written; the one in force if nothing changes
	Diff    string        `json:"diff,omitempty"`
	Effect  policyEffect  `json:"effect"`
	Pools   []sharedShape `json:"pools,omitempty"` // the shares, and the machines that the deployment knows
	Past    *policyReplay `json:"past,omitempty"`
	// RefusesAll says that none of the requests that wait or came could start. Such a policy is
	// written with --refuse-all alone.
	RefusesAll bool             `json:"refusesAll,omitempty"`
	Warning    []policy.Problem `json:"warnings,omitempty"`
}

// write says what a policy would do and, if that was asked for, puts it in force.
func (f *writeFlags) write(g *globals, group *policyCmd, next func(now *ledger.Policy, l ledger.Ledger) (string, ledger.Policy, error)) error {
	for _, text := range []string{f.Note, f.Who} {
		if utf8.RuneCountInString(text) > maxNote || strings.ContainsAny(text, "\n\r") {
			return usage("--note and --who: want one line of at most %d characters", maxNote)
		}
	}
	if f.Past < 0 || f.Past > 90*24*time.Hour {
		return usage("--replay %s: want 0 to 2160h", f.Past)
	}
	if f.Base < -1 {
		return usage("--base %d: want 0 or more", f.Base)
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
	name, p, err := next(now, l)
	if err != nil {
		return err
	}
	out := applied{Diff: policyDiff(now, name, p.Text)}
	if now != nil {
		out.Base = now.Version
	}
	if f.Base >= 0 && f.Base != out.Base {
		return conflict(&ledger.PolicyConflictError{Base: f.Base, Current: out.Base})
	}
	parsed, _ := policy.Parse([]byte(p.Text))
	machines, err := poolsOf(g, l)
	if err != nil {
		return err
	}
	out.Pools = compareShares(parsed, machines)
	out.Version, out.Warning = out.Base+1, append(policyWarnings(parsed), parsed.Unknown(sortedKeys(machines))...)
	if out.Effect, err = effectOf(g, l, parsed); err != nil {
		return err
	}
	if out.Diff == "" && now != nil {
		out.Version = out.Base
		if g.JSON {
			return pretty(g.out, out)
		}
		say(g.out, "The text of version %d is in force already.", out.Base)
		return nil
	}
	if f.Past > 0 {
		var current *policy.Policy
		if now != nil {
			if current, _ = policy.Parse([]byte(now.Text)); current == nil {
				say(g.err, "Version %d, which is in force, cannot be read by this release; nothing is run again.", now.Version)
			}
		}
		if out.Past, err = replayPast(g, l, current, parsed, time.Now().Add(-f.Past)); err != nil {
			return err
		}
		if now != nil && current == nil {
			out.Past.Resources = []replayed{} // there is nothing to compare with
		}
	}
	requests := out.Effect.held
	if out.Past != nil {
		requests = requests.plus(out.Past.held)
	}
	out.RefusesAll = requests.locksOut()
	if !g.JSON {
		if _, err := fmt.Fprint(g.out, multiline(out.Diff)); err != nil {
			return err
		}
		out.Effect.print(g.out)
		printShared(g.out, out.Pools)
		if out.Past != nil {
			out.Past.print(g.out)
		}
		if len(out.Warning) > 0 {
			say(g.out, "Warnings:")
			policyProblems(g.out, out.Warning)
		}
	}
	if f.Yes && out.RefusesAll && !f.All {
		if g.JSON {
			if err := pretty(g.out, out); err != nil {
				return err
			}
		}
		return &quit{exitProblems, errors.New("nothing was written: under this policy none of the requests that wait or came could start; with --refuse-all it is written all the same")}
	}
	if f.Yes {
		p.Who, p.Note = cmp.Or(f.Who, userName()), f.Note
		_, err := ledger.WritePolicy(g.ctx, l, out.Base, p)
		if c := (*ledger.PolicyConflictError)(nil); errors.As(err, &c) {
			return conflict(c)
		} else if err != nil {
			return fmt.Errorf("write version %d: %w; berth policy history says whether it was written", out.Version, err)
		}
		out.Written = true
	}
	switch {
	case g.JSON:
		return pretty(g.out, out)
	case f.Yes:
		prose(g.out, "Version %d is in force; every instance goes by it within a tick.", out.Version)
	case out.RefusesAll:
		prose(g.out, "Nothing was written. None of the requests that wait or came could start under this policy. With --yes and --refuse-all this becomes version %d.", out.Version)
	default:
		prose(g.out, "Nothing was written. With --yes this becomes version %d.", out.Version)
	}
	return nil
}

func conflict(c *ledger.PolicyConflictError) error {
	return &quit{exitProblems, fmt.Errorf("nothing was written: version %d of the policy is in force, and this was made from version %d; see berth policy history and diff, and apply again", c.Current, c.Base)}
}
