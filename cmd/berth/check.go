package main

import (
	"strings"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

type checkCmd struct{ jobFile }

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Prints what is wrong with the file and the options, or what the job asks for. It calls no deployment, so it cannot say whether the job fits: see explain.

Ends with 0 if a deployment would accept the message, with 3 if it would refuse it, with 2 if only the value of a flag is wrong.`
}

// A checked is what check prints with --json.
type checked struct {
	Valid              bool             `json:"valid"`
	RequestID          string           `json:"requestId,omitempty"`
	PersistentResource string           `json:"persistentResource,omitempty"`
	Ask                capacity.Ask     `json:"ask,omitempty"`
	Problems           []reason.Problem `json:"problems,omitempty"`
	Warnings           []reason.Problem `json:"warnings,omitempty"`
}

func (c *checkCmd) Run(g *globals) error {
	p, err := c.prepare(g)
	if err != nil {
		return err
	}
	if g.JSON {
		out := checked{Valid: p.refused == nil}
		if p.refused != nil {
			out.Problems = p.refused.Problems
		} else {
			out.RequestID, out.PersistentResource = p.request.RequestID, p.request.PersistentResource
			out.Ask, out.Warnings = p.request.Ask, p.request.Warnings
		}
		if err := pretty(g.out, out); err != nil {
			return err
		}
	} else {
		p.print(g)
	}
	if p.refused != nil {
		return p.exit()
	}
	return nil
}

// A prepared is a message to publish and the result of its local check: one of
// request and refused is set.
type prepared struct {
	name       string // of the file
	data       []byte
	attributes map[string]string
	request    *message.Request
	refused    *message.Refusal
}

// prepare reads the file and checks it with the options, as the deployment
// does. It makes no call.
func (j *jobFile) prepare(g *globals) (p prepared, err error) {
	if p.attributes, err = j.attributes(); err != nil {
		return p, err
	}
	if p.data, err = j.read(g); err != nil {
		return p, err
	}
	if p.name = j.File; p.name == "-" {
		p.name = "standard input"
	}
	if p.request, p.refused, err = check(p.data, p.attributes); err != nil {
		return p, err
	}
	if p.refused != nil {
		p.refused = &message.Refusal{ClaimedID: p.refused.ClaimedID, Problems: byFlag(p.refused.Problems)}
	}
	return p, nil
}

// exit is how the tool ends for a message that is refused here: with the code
// for wrong usage if only values of flags are wrong.
func (p *prepared) exit() error {
	for _, problem := range p.refused.Problems {
		if !strings.HasPrefix(problem.Path, "--") || problem.Code == reason.Conflict { // a conflict is between a flag and the file
			return &quit{code: exitRefused}
		}
	}
	return &quit{code: exitUsage}
}

// print says what was found.
func (p *prepared) print(g *globals) {
	if p.refused != nil {
		say(g.out, "%s would be refused:", p.name)
		problems(g.out, p.refused.Problems)
		return
	}
	r := p.request
	say(g.out, "%s is a valid job.", p.name)
	t := newTable(g.out)
	for _, row := range [][2]string{
		{"Asks for", asked(r.Ask)}, {"Request", r.RequestID}, {"Resource", r.PersistentResource}, {"Name", r.Job.GetDisplayName()},
	} {
		if row[1] != "" {
			t.row("  "+row[0], row[1])
		}
	}
	t.end()
	if len(r.Warnings) > 0 {
		say(g.out, "Warnings:")
		problems(g.out, r.Warnings)
	}
}

// byFlag names the flag in the place of the attribute: the tool makes the
// attributes of a message from flags.
func byFlag(list []reason.Problem) []reason.Problem {
	var named []reason.Problem
	for _, p := range list {
		if option, ok := strings.CutPrefix(p.Path, "attributes.berth-"); ok {
			p.Path = "--" + strings.NewReplacer("request-id", "id", "labels", "label").Replace(option)
		}
		named = append(named, p)
	}
	return named
}
