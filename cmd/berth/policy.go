package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// policyCmd groups what is done with policies. All but check open the deployment's ledger.
type policyCmd struct {
	siteFlags

	Check    policyCheckCmd    `cmd:"" help:"Check policy files here, without a deployment."`
	Diff     policyDiffCmd     `cmd:"" help:"Compare a file with the policy in force."`
	Apply    policyApplyCmd    `cmd:"" help:"Put a policy in force. A dry run, which says what it would do to waiting requests, unless --yes is given."`
	Show     policyShowCmd     `cmd:"" help:"Show the policy in force, or another version."`
	History  policyHistoryCmd  `cmd:"" help:"List the versions, the latest first."`
	Rollback policyRollbackCmd `cmd:"" help:"Put an earlier version in force again, as a new version. A dry run unless --yes is given."`
}

type policyCheckCmd struct {
	File  []string `arg:"" help:"Policy files in YAML; - for standard input."`
	Pools string   `placeholder:"FILE" help:"Compare the shares with these pools, as berth pools --json prints them."`
	Live  bool     `help:"Compare the shares with the pools of the deployment."`
}

// Help is shown below the flags.
func (policyCheckCmd) Help() string {
	return `Prints everything that is wrong with each file, with line and path, and what is allowed but rarely meant. ` +
		`For each share it says how long taking it back from tenants that borrow may last: as long as the longest time limit of their jobs. Each rule in CEL is tried on a few sample jobs, and one that allows none of them is warned of. It calls no deployment, except with --live.

Ends with 0 if every file is a policy that a deployment would take, else with 3.`
}

// A checkedPolicy is what policy check prints of a file with --json.
type checkedPolicy struct {
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Problems []policy.Problem `json:"problems,omitempty"`
	Warnings []policy.Problem `json:"warnings,omitempty"`
	Tenants  []string         `json:"tenants,omitempty"`
	Shares   []checkedShare   `json:"shares,omitempty"`
	Pools    []sharedShape    `json:"pools,omitempty"` // with --pools or --live
}

type checkedShare struct {
	Tenant             string            `json:"tenant"`
	PersistentResource string            `json:"persistentResource"`
	Shape              capacity.Shape    `json:"shape"`
	Replicas           capacity.Replicas `json:"replicas"`
	Cap                capacity.Replicas `json:"cap,omitempty"`
	// TakenBackWithin is the longest time limit of a job that may borrow it; 0 for no bound.
	TakenBackWithin statuspage.Duration `json:"takenBackWithin"`
	From            string              `json:"from,omitempty"`    // whose jobs may have that limit; "" for tenants that are not named
	InOrder         bool                `json:"inOrder,omitempty"` // it comes back in the order of requests, and not by then
}

// A sharedShape compares the shares of the machines of one shape with the machines.
type sharedShape struct {
	PersistentResource string            `json:"persistentResource"`
	Shape              capacity.Shape    `json:"shape"`
	Shares             capacity.Replicas `json:"shares"` // their sum
	Tenants            int               `json:"tenants"`
	Limit              capacity.Replicas `json:"limit"` // machines, or the autoscaling maximum
}

func (c *policyCheckCmd) Run(g *globals) error {
	resources, err := c.resources(g)
	if err != nil {
		return err
	}
	all := []checkedPolicy{}
	valid := true
	for _, file := range c.File {
		text, err := readPolicy(g, file)
		if err != nil {
			return err
		}
		checked := checkPolicy(file, text, resources)
		all, valid = append(all, checked), valid && checked.Valid
	}
	if g.JSON {
		if err := pretty(g.out, map[string]any{"valid": valid, "files": all}); err != nil {
			return err
		}
	} else {
		for i := range all {
			all[i].print(g.out)
		}
	}
	if !valid {
		return &quit{code: exitRefused}
	}
	return nil
}

// readPolicy reads a file, up to one byte more than a policy can have.
func readPolicy(g *globals, file string) ([]byte, error) {
	in := g.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usage("read the policy: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policy.MaxText+1))
	if err != nil {
		return nil, usage("read the policy from %s: %w", file, err)
	}
	return text, nil
}

// resources are those whose machines the shares are compared with.
func (c *policyCheckCmd) resources(g *globals) (all []statuspage.Resource, err error) {
	switch {
	case c.Live && c.Pools != "":
		return nil, usage("--live and --pools: give one of them")
	case c.Live:
		_, err = pages(g, "pools", resourceQuery(""), 1000, func(p statuspage.Pools) (int, string) {
			all = append(all, p.Resources...)
			return len(all), p.Next
		})
		return all, err
	case c.Pools == "":
		return nil, nil
	}
	return readPools(c.Pools)
}

// readPools reads what berth pools --json has printed.
func readPools(file string) ([]statuspage.Resource, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("read the pools: %w", err)
	}
	var pools statuspage.Pools
	if err := json.Unmarshal(text, &pools); err != nil || len(pools.Resources) == 0 {
		return nil, usage("%s does not have pools as berth pools --json prints them", file)
	}
	return pools.Resources, nil
}

func checkPolicy(file string, text []byte, resources []statuspage.Resource) checkedPolicy {
	p, problems := policy.Parse(text)
	c := checkedPolicy{File: file, Valid: p != nil, Problems: problems, Tenants: p.Tenants()}
	if p == nil {
		return c
	}
	c.Warnings = policyWarnings(p)
	for _, r := range p.Reclaims() {
		c.Shares = append(c.Shares, checkedShare{r.Tenant, r.Share.Resource, r.Share.Shape, r.Share.Replicas, r.Share.Cap, statuspage.Duration(r.Within), r.By, r.InOrder})
	}
	if resources == nil {
		return c
	}
	machines := map[string]capacity.Use{}
	for _, r := range resources {
		machines[r.Name] = capacity.Use{}
		for _, pool := range r.Pools {
			machines[r.Name][pool.Shape] = machines[r.Name][pool.Shape].Plus(pool.Limit)
		}
	}
	c.Pools = compareShares(p, machines)
	c.Warnings = append(c.Warnings, p.Unknown(sortedKeys(machines))...)
	return c
}

// policyWarnings are those of the text, and of the rules that allow no sample job.
func policyWarnings(p *policy.Policy) []policy.Problem {
	all := slices.Concat(p.Warnings, p.Try())
	slices.SortStableFunc(all, func(a, b policy.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// compareShares compares the shares of each persistent resource with its machines.
func compareShares(p *policy.Policy, machines map[string]capacity.Use) (all []sharedShape) {
	for _, name := range sortedKeys(machines) {
		sums, tenants := p.Of(name)
		for shape := range sums {
			all = append(all, sharedShape{PersistentResource: name, Shape: shape, Shares: sums[shape], Tenants: tenants[shape], Limit: machines[name][shape]})
		}
	}
	slices.SortFunc(all, func(a, b sharedShape) int {
		return strings.Compare(a.PersistentResource+" "+a.Shape.String(), b.PersistentResource+" "+b.Shape.String())
	})
	return all
}

// printShared is the table of the shares and the machines.
func printShared(w io.Writer, list []sharedShape) {
	if len(list) == 0 {
		return
	}
	say(w, "")
	t := newTable(w, "RESOURCE", "SHAPE", "TENANTS", "SHARES", "MACHINES", "")
	for _, s := range list {
		word := ""
		switch {
		case s.Limit == 0:
			word = "no pool has this shape"
		case s.Shares > s.Limit:
			word = "the shares are more than there is"
		}
		t.row(short(s.PersistentResource), s.Shape, s.Tenants, s.Shares, s.Limit, word)
	}
	t.end()
}

func (c *checkedPolicy) print(w io.Writer) {
	if !c.Valid {
		say(w, "%s is not a policy that a deployment would take:", c.File)
		policyProblems(w, c.Problems)
		return
	}
	say(w, "%s is a valid policy of %s.", c.File, reason.Count(len(c.Tenants), "tenant"))
	if len(c.Shares) > 0 {
		say(w, "")
		t := newTable(w, "TENANT", "RESOURCE", "SHAPE", "SHARE", "CAP", "TAKEN BACK WITHIN", "FROM")
		for _, s := range c.Shares {
			within, from, most := "no bound", s.From, "-"
			if s.TakenBackWithin > 0 {
				within = spanOf(s.TakenBackWithin)
			}
			switch {
			case s.InOrder:
				within, from = "in order", "-"
			case from == "":
				from = "tenants not named"
			}
			if s.Cap > 0 {
				most = fmt.Sprint(s.Cap)
			}
			t.row(s.Tenant, s.PersistentResource, s.Shape, s.Replicas, most, within, from)
		}
		t.end()
	}
	printShared(w, c.Pools)
	if len(c.Warnings) > 0 {
		say(w, "Warnings:")
		policyProblems(w, c.Warnings)
	}
}

// policyProblems lists problems with their lines, each with how to fix it.
func policyProblems(w io.Writer, list []policy.Problem) {
	for _, p := range list {
		at := ""
		if p.Line > 0 {
			at = fmt.Sprintf("line %d: ", p.Line)
		}
		prose(w, "  %s%s", at, problem(&p.Problem))
		if p.Fix != "" {
			prose(w, "    %s", p.Fix)
		}
	}
}
