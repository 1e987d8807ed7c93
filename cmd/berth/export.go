package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
	"example.com/berth/internal/statuspage"
)

type exportCmd struct {
	Resource string `arg:"" optional:"" help:"Persistent resource: id or full name; may be left out if there is only one."`
	Since    string `default:"30d" placeholder:"TIME" help:"Only requests received since: 90m, 24h, 7d, a date (2006-01-31, local time) or a time of RFC 3339; by default ${default}."`
	Out      string `placeholder:"FILE" help:"Write the workload to this file; by default to standard output."`
}

// Help is shown below the flags.
func (exportCmd) Help() string {
	return `Writes the requests whose jobs have run as a workload (CSV) for berth simulate and berth size, and says on standard error what
is left out and how to run it. The workload has no names, ids, labels or images: tenants are t1, t2, ..., and a pool is a machine and
disk spec. With --json the counts are written as JSON; this needs --out.`
}

// exported is what an export has found.
type exported struct {
	Resource string    `json:"resource"`
	Since    time.Time `json:"since"`
	Jobs     int       `json:"jobs"`
	Tenants  int       `json:"tenants"`
	// The others are left out: requests that wait, hold or run, that ended without a
	// run, and that asked for several machine specs.
	Active   int           `json:"active"`
	NeverRan int           `json:"neverRan"`
	Several  int           `json:"several"`
	Pools    []replay.Pool `json:"pools"`

	limits capacity.Use // replicas of the resource by shape
}

func (c *exportCmd) Run(g *globals) error {
	if g.JSON && c.Out == "" {
		return usage("--json writes the counts, and standard output has the workload: give --out FILE")
	}
	list := listCmd{Resource: c.Resource, Since: c.Since}
	query, err := list.query(time.Now())
	if err != nil {
		return err
	}
	e := exported{}
	if e.Since, err = time.Parse(time.RFC3339, query.Get("since")); err != nil {
		return usage("--since is empty; want a time or a duration")
	}
	if err := e.pools(g, c.Resource); err != nil {
		return err
	}
	query.Set("resource", e.Resource)
	g.inTenant(query)
	jobs, err := e.read(g, query)
	if err != nil {
		return err
	}
	if err := c.write(g, jobs); err != nil {
		return err
	}
	if g.JSON {
		return pretty(g.out, e)
	}
	e.print(g.err, c.Out)
	return nil
}

// pools finds the resource, and its replicas by machine and disk spec.
func (e *exported) pools(g *globals, resource string) error {
	var all []statuspage.Resource
	_, err := pages(g, "pools", resourceQuery(resource), 2, func(p statuspage.Pools) (int, string) {
		all = append(all, p.Resources...)
		return len(all), p.Next
	})
	switch {
	case err != nil:
		return err
	case len(all) == 0:
		return &quit{exitError, errors.New("the deployment has observed no persistent resource yet")}
	case len(all) > 1:
		return usage("there are several persistent resources, such as %s and %s: name one", short(all[0].Name), short(all[1].Name))
	}
	e.Resource = all[0].Name
	e.limits = capacity.Use{}
	for _, s := range all[0].Shapes {
		e.limits[s.Shape] = s.Limit
	}
	return nil
}

// read returns the jobs of the requests that have run, by the time they came.
func (e *exported) read(g *globals, query url.Values) ([]replay.Job, error) {
	var requests []statuspage.Summary
	const most = 5_000_000
	_, err := pages(g, "recent", query, most, func(p statuspage.Requests) (int, string) {
		requests = append(requests, p.Requests...)
		return len(requests), p.Next
	})
	if err != nil {
		return nil, err
	}
	requests = slices.DeleteFunc(requests, func(s statuspage.Summary) bool { return s.Kind == message.KindAnswer })
	slices.SortStableFunc(requests, func(a, b statuspage.Summary) int { return a.Times.Received.Compare(b.Times.Received) })
	var jobs []replay.Job
	tenants := map[string]string{}
	for _, s := range requests {
		job, left := pastJob(s.State, s.Ask, s.Times, time.Duration(s.Timeout))
		switch left {
		case active:
			e.Active++
			continue
		case neverRan:
			e.NeverRan++
			continue
		case several:
			e.Several++
			continue
		}
		if tenants[s.Tenant] == "" {
			tenants[s.Tenant] = fmt.Sprintf("t%d", len(tenants)+1)
		}
		if len(jobs) == 0 {
			e.Since = s.Times.Received
		}
		job.ID, job.Tenant, job.Submit, job.Priority = fmt.Sprintf("j%d", len(jobs)+1), tenants[s.Tenant], s.Times.Received.Sub(e.Since), s.Priority
		jobs = append(jobs, job)
	}
	e.Jobs, e.Tenants, e.Pools = len(jobs), len(tenants), poolsFor(jobs, e.limits)
	if len(jobs) == 0 {
		return nil, &quit{exitError, fmt.Errorf("no request of %s has run since %s: %s", short(e.Resource), clock(e.Since), e.left())}
	}
	return jobs, nil
}

func (c *exportCmd) write(g *globals, jobs []replay.Job) (err error) {
	if c.Out == "" {
		return replay.Write(g.out, jobs)
	}
	file, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return usage("open the file of the workload: %w", err)
	}
	if err = replay.Write(file, jobs); err != nil {
		_ = file.Close()
		return err
	}
	if err = file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", c.Out, err)
	}
	return nil
}

// left says what is left out.
func (e *exported) left() string {
	counts := map[string]int{"active": e.Active, "that never ran": e.NeverRan, "for several machine specs": e.Several}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[why]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, why))
		}
	}
	if parts == nil {
		return "nothing is left out"
	}
	return "left out are " + strings.Join(parts, ", ")
}

func (e *exported) print(w io.Writer, file string) {
	say(w, "%s of %s since %s; %s.", reason.Count(e.Jobs, "job"), reason.Count(e.Tenants, "tenant"), clock(e.Since), e.left())
	if file == "" {
		file = "FILE"
	}
	command := []string{"berth simulate", file}
	for _, p := range e.Pools {
		command = append(command, fmt.Sprintf("--pool '%s=%d'", p.Name, p.Replicas))
	}
	say(w, "%s", strings.Join(command, " "))
}
