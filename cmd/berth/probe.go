package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"example.com/berth/internal/gcp"
	"example.com/berth/internal/probe"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

type probeFlags struct {
	Probe        string        `group:"Probe:" placeholder:"RESOURCE" help:"Probe this persistent resource: its id, with --project and one --region, or its full name."`
	ProbePool    string        `group:"Probe:" placeholder:"ID" help:"Pool to probe; by default the first fixed one with a free replica."`
	ProbeImage   string        `group:"Probe:" default:"docker.io/library/busybox:stable" placeholder:"URI" help:"Container image that has the command sleep, by default ${default}."`
	ProbeAccount string        `group:"Probe:" placeholder:"ADDRESS" help:"Service account for the job that names one. The caller needs the right to act as it."`
	ProbeWait    time.Duration `group:"Probe:" default:"5m" help:"How long a job on the full pool is watched, by default ${default}."`
	ProbeFile    string        `group:"Probe:" default:"berth-probe.json" placeholder:"FILE" help:"Where the record is written, by default ${default}. It holds no name of a project, resource, account or image."`
	Yes          bool          `group:"Probe:" help:"Start the probe without asking."`
}

// probe probes a persistent resource.
func (c *doctorCmd) probe(g *globals) error {
	name, err := c.resource(g)
	if err != nil {
		return err
	}
	o := gcp.VertexOptions{CallDeadline: g.Timeout}
	endpoint := c.VertexEndpoint
	if g.pubsub != "" {
		endpoint = g.stack.Vertex
	}
	if endpoint != "" {
		o.Insecure, o.Endpoint = true, func(string) string { return endpoint }
	}
	v, err := gcp.NewVertex(o)
	if err != nil {
		return fmt.Errorf("make Vertex AI client: %w", err)
	}
	defer v.Close() //nolint:errcheck // every call has been answered
	return c.probeOn(g, name, v.Raw(), realClock{})
}

// resource is the full name of the resource to probe.
func (c *doctorCmd) resource(g *globals) (string, error) {
	if c.ProbeWait <= 0 || c.ProbeWait > time.Hour {
		return "", usage("--probe-wait %s: want more than 0 and at most 1h", c.ProbeWait)
	}
	if strings.TrimSpace(c.ProbeImage) == "" {
		return "", usage("--probe-image is empty: want a container image that has the command sleep")
	}
	n, full := vertex.ParseName(c.Probe)
	if full && n.IsResource() && g.Project == "" && !g.Local {
		g.Project = strings.Split(c.Probe, "/")[1]
	}
	if err := g.writable(); err != nil {
		return "", err
	}
	switch {
	case full && n.IsResource():
		return c.Probe, nil
	case strings.Contains(c.Probe, "/"):
		return "", usage("--probe %s: want an id or projects/P/locations/L/persistentResources/ID", c.Probe)
	case len(c.Region) != 1:
		return "", usage("--probe %s: also give one --region, or the full name", c.Probe)
	}
	return vertex.InRegion(g.Project, c.Region[0]).Resource(c.Probe).String(), nil
}

// probeOn plans, asks, probes and reports.
func (c *doctorCmd) probeOn(g *globals, name string, s probe.Service, clock probe.Clock) error {
	r, err := s.Resource(g.ctx, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	id := make([]byte, 5)
	_, _ = rand.Read(id) // never fails
	parent, _, _ := strings.Cut(name, "/persistentResources/")
	p, err := probe.NewPlan(r, probe.Options{ID: "p" + hex.EncodeToString(id), Parent: parent, Pool: c.ProbePool,
		Image: c.ProbeImage, Account: c.ProbeAccount, Wait: c.ProbeWait})
	if err != nil {
		return usage("--probe %s: %w", c.Probe, err)
	}
	if _, err := os.Stat(c.ProbeFile); !errors.Is(err, fs.ErrNotExist) {
		return usage("--probe-file %s exists already, or cannot be written; name another", c.ProbeFile)
	}
	for text := range strings.Lines(p.Announce()) {
		g.warn("%s", strings.TrimRight(text, "\n"))
	}
	if !c.Yes {
		g.warn("To go on, type the id of the persistent resource:")
		line, _ := bufio.NewReader(g.in).ReadString('\n')
		if strings.TrimSpace(line) != short(name) {
			return usage("not confirmed: nothing was created; --yes starts the probe without asking")
		}
	}
	seen, left, stopped := probe.Run(g.ctx, s, clock, p, g.warn)
	record := probe.NewRecord(p, seen, left, stopped, clock.Now(), versionText())
	data, err := json.MarshalIndent(record, "", "  ")
	if err == nil {
		err = os.WriteFile(c.ProbeFile, append(data, '\n'), 0o600)
	}
	if err != nil {
		g.warn("The record could not be written: %v", err)
		g.warn("%s", data)
	}
	if g.JSON {
		err = errors.Join(err, pretty(g.out, record))
	} else {
		for text := range strings.Lines(record.Text()) {
			say(g.out, "%s", strings.TrimRight(text, "\n"))
		}
		say(g.out, "The record is in %s. It names no project, resource, account or image; read it, and send it to whoever develops Berth.", c.ProbeFile)
	}
	switch {
	case len(left) > 0:
		for _, job := range left {
			g.warn("not ended: gcloud ai custom-jobs cancel %s", job)
		}
		return &quit{exitProblems, fmt.Errorf("%s could not be ended", reason.Count(len(left), "job"))}
	case g.ctx.Err() != nil:
		return g.ctx.Err()
	case stopped != nil:
		return errors.Join(fmt.Errorf("the probe stopped early: %w", stopped), err)
	}
	return err
}

// realClock is time as it passes.
type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
