package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/visible"
)

type checkCmd struct {
	Files  []string `arg:"" optional:"" name:"file" help:"CustomJob, CustomJobSpec, worker pool specs or envelope, in JSON or YAML; - for standard input, as is none. A folder stands for the .json, .yaml and .yml files in it and below."`
	Pools  string   `placeholder:"FILE" help:"Say also whether the job can ever fit on these pools, as berth pools --json prints them."`
	Format string   `enum:"text,github" default:"text" help:"text, or github for annotations of GitHub Actions at the lines of the problems."`
	jobOptions
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Prints what is wrong with each file, with its line, or what the job asks for. It calls no deployment, so it cannot say whether the job fits: see explain, or give --pools.

Ends with 0 if a deployment would accept each message, with 3 if it would refuse one, or with --pools one can never fit, with 2 if only the value of a flag is wrong. Warnings do not count; a ${NAME} that nothing has replaced is one.`
}

// A checked is what check prints of a file with --json.
type checked struct {
	File               string         `json:"file"`
	Valid              bool           `json:"valid"` // a deployment would accept it
	RequestID          string         `json:"requestId,omitempty"`
	PersistentResource string         `json:"persistentResource,omitempty"`
	Ask                capacity.Ask   `json:"ask,omitempty"`
	Problems           []checkProblem `json:"problems,omitempty"`
	Warnings           []checkProblem `json:"warnings,omitempty"`
	Fit                *checkedFit    `json:"fit,omitempty"` // with --pools
	p                  prepared
}

// A checkProblem is a problem with its line, 0 if it is none of the file.
type checkProblem struct {
	Line int `json:"line,omitempty"`
	reason.Problem
}

func (c *checkCmd) Run(g *globals) error {
	files, err := jobFiles(c.Files)
	if err != nil {
		return err
	}
	if len(files) > 1 && c.ID != "" {
		return usage("--id: give one file; two requests with one id are one request")
	}
	var pools []statuspage.Resource
	if c.Pools != "" {
		if pools, err = readPools(c.Pools); err != nil {
			return err
		}
	}
	all := []checked{}
	var bad []error
	for _, file := range files {
		one, err := c.check(g, file, pools)
		if err != nil {
			return err
		}
		all = append(all, one)
		switch {
		case one.p.refused != nil:
			bad = append(bad, one.p.exit())
		case one.Fit != nil && one.Fit.Never:
			bad = append(bad, &quit{code: exitRefused})
		}
	}
	switch {
	case g.JSON:
		if err := pretty(g.out, map[string]any{"valid": len(bad) == 0, "files": all}); err != nil {
			return err
		}
	case c.Format == "github":
		for _, one := range all {
			one.annotate(g.out)
		}
	default:
		for _, one := range all {
			one.print(g)
		}
		if len(all) > 1 {
			say(g.out, "%s checked, %d with problems.", reason.Count(len(all), "file"), len(bad))
		}
	}
	code := 0
	for _, err := range bad {
		if q := (*quit)(nil); errors.As(err, &q) {
			code = max(code, q.code)
		}
	}
	if code > 0 {
		return &quit{code: code}
	}
	return nil
}

// jobFiles are the files that arguments stand for.
func jobFiles(args []string) (files []string, err error) {
	if len(args) == 0 {
		return []string{"-"}, nil
	}
	for _, arg := range args {
		if info, err := os.Stat(arg); arg == "-" || err != nil || !info.IsDir() {
			files = append(files, arg) // a missing file is reported where it is read
			continue
		}
		before := len(files)
		err := filepath.WalkDir(arg, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != arg:
				return fs.SkipDir
			case !e.IsDir() && slices.Contains([]string{".json", ".yaml", ".yml"}, filepath.Ext(path)):
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, usage("read the folder: %w", err)
		}
		if len(files) == before {
			return nil, usage("%s has no .json, .yaml or .yml file", arg)
		}
	}
	return files, nil
}

func (c *checkCmd) check(g *globals, file string, pools []statuspage.Resource) (checked, error) {
	j := jobFile{File: file, jobOptions: c.jobOptions}
	p, err := j.prepare(g)
	if err != nil {
		return checked{}, err
	}
	one := checked{File: p.name, Valid: p.refused == nil, p: p}
	_, problems, warnings := message.DecodeLocated(p.delivery())
	if !one.Valid {
		one.Problems = located(problems)
		return one, nil
	}
	one.Warnings = located(warnings)
	one.RequestID, one.PersistentResource, one.Ask = p.request.RequestID, p.request.PersistentResource, p.request.Ask
	if pools != nil {
		one.Fit = fitOn(pools, p.request)
	}
	return one, nil
}

func located(list []message.Located) (all []checkProblem) {
	for _, l := range list {
		all = append(all, checkProblem{l.Line, byFlag([]reason.Problem{l.Problem})[0]})
	}
	return all
}

// print says what was found in a file.
func (c *checked) print(g *globals) {
	if c.p.refused != nil {
		prose(g.out, "%s would be refused:", c.File)
		c.list(g.out, c.Problems)
		return
	}
	c.p.describe(g)
	c.Fit.print(g.out)
	if len(c.Warnings) > 0 {
		say(g.out, "Warnings:")
		c.list(g.out, c.Warnings)
	}
}

// list prints problems as compilers do, so that editors find their lines.
func (c *checked) list(w io.Writer, list []checkProblem) {
	for _, p := range list {
		at := ""
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d: ", c.File, p.Line)
		}
		prose(w, "  %s%s", at, problem(&p.Problem))
		if p.Fix != "" {
			prose(w, "    %s", p.Fix)
		}
	}
}

// annotate writes what was found as workflow commands of GitHub Actions.
func (c *checked) annotate(w io.Writer) {
	command := func(level string, line int, text string) {
		at := "file=" + property.Replace(c.File)
		if line > 0 {
			at += fmt.Sprintf(",line=%d", line)
		}
		fmt.Fprintf(w, "::%s %s::%s\n", level, at, commandText.Replace(visible.Text(text))) //nolint:errcheck // as say
	}
	for _, p := range c.Problems {
		command("error", p.Line, p.String())
	}
	for _, p := range c.Warnings {
		command("warning", p.Line, p.String())
	}
	if c.Fit != nil && c.Fit.Never {
		command("error", 0, c.Fit.Reason.String())
	}
}

// commandText and property write the text and a property of a workflow command.
var (
	commandText = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property    = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// A prepared is a message to publish and the result of its local check: one of
// request and refused is set.
type prepared struct {
	name       string // of the file
	data       []byte
	attributes map[string]string
	request    *message.Request
	refused    *message.Refusal
}

func (p *prepared) delivery() message.Delivery {
	return message.Delivery{ID: "checked", Data: p.data, Attributes: p.attributes}
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
	if p.request, p.refused, err = check(p.delivery()); err != nil {
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
	p.describe(g)
	if len(p.request.Warnings) > 0 {
		say(g.out, "Warnings:")
		problems(g.out, p.request.Warnings)
	}
}

// describe says what a valid job asks for.
func (p *prepared) describe(g *globals) {
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
