package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/template"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

type initCmd struct {
	Resource string `arg:"" optional:"" help:"Persistent resource: id or full name; may be left out if there is only one."`
	Pool     string `placeholder:"ID" help:"Pool whose machines the job asks for; by default the only one, or the first with a free machine."`
	Replicas int32  `default:"1" help:"Replicas. With more than one, a primary and the others as workers."`
	Out      string `placeholder:"FILE" help:"Write the job to this new file; by default to standard output."`
}

// Help is shown below the flags.
func (initCmd) Help() string {
	return `Writes a job in YAML that asks for the machines and the disk of an existing pool, which a job must name exactly. It prints a line and ends; replace its image and command by yours.`
}

// firstJob is a job that runs anywhere: a public image, and a command that ends.
var firstJob = template.Must(template.New("job").Parse(`# Asks for the machines of pool {{.Pool}} of {{.Resource}}.
# Check it with berth explain, publish it with berth submit --follow.
displayName: first-job
jobSpec:
  scheduling:
    timeout: 3600s # a job with a short limit can start earlier
  workerPoolSpecs:
{{- range .Workers}}
  - machineSpec:
      machineType: {{$.Spec.MachineType}}
{{- if $.Spec.Accelerator}}
      acceleratorType: {{$.Spec.Accelerator}}
      acceleratorCount: {{$.Spec.AcceleratorCount}}
{{- end}}
{{- if $.Spec.TPUTopology}}
      tpuTopology: {{$.Spec.TPUTopology}}
{{- end}}
{{- if $.Spec.GPUPartition}}
      gpuPartitionSize: {{$.Spec.GPUPartition}}
{{- end}}
    diskSpec:
      bootDiskType: {{$.Spec.DiskType}}
      bootDiskSizeGb: {{$.Spec.DiskSizeGB}}
    replicaCount: {{.}}
    containerSpec:
      imageUri: docker.io/library/python:3.13-slim # replace it by yours
      command: [python, -c, "print('It runs.')"]
{{- end}}
`))

func (c *initCmd) Run(g *globals) error {
	if c.Replicas < 1 {
		return usage("--replicas %d: want 1 or more", c.Replicas)
	}
	r, err := c.resource(g)
	if err != nil {
		return err
	}
	pool, err := c.pool(r)
	if err != nil {
		return err
	}
	if capacity.Replicas(c.Replicas) > pool.Limit {
		return usage("--replicas %d: pool %s has %s", c.Replicas, pool.ID, reason.Count(pool.Limit, "machine"))
	}
	workers := []int32{1}
	if c.Replicas > 1 {
		workers = append(workers, c.Replicas-1)
	}
	var text bytes.Buffer
	if err := firstJob.Execute(&text, map[string]any{"Pool": pool.ID, "Resource": r.Name, "Spec": pool.Shape.Spec(), "Workers": workers}); err != nil {
		return fmt.Errorf("write the job: %w", err)
	}
	if c.Out == "" {
		_, err := fmt.Fprint(g.out, multiline(text.String()))
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usage("--out %s: the file exists already", c.Out)
	} else if err != nil {
		return usage("open the job file: %w", err)
	}
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", c.Out, err)
	}
	say(g.err, "Wrote %s for pool %s of %s. Publish it: berth submit %s --persistent-resource=%s --follow", c.Out, pool.ID, short(r.Name), c.Out, short(r.Name))
	return nil
}

// resource is the one that is named, or the only one.
func (c *initCmd) resource(g *globals) (statuspage.Resource, error) {
	var all []statuspage.Resource
	_, err := pages(g, "pools", resourceQuery(c.Resource), 20, func(p statuspage.Pools) (int, string) {
		all = append(all, p.Resources...)
		return len(all), p.Next
	})
	switch {
	case notFound(err), err == nil && len(all) == 0:
		return c.unobserved(g)
	case err != nil:
		return statuspage.Resource{}, err
	case len(all) > 1:
		var names []string
		for _, r := range all {
			names = append(names, short(r.Name))
		}
		return statuspage.Resource{}, usage("there are several persistent resources: name one of %s", strings.Join(names, ", "))
	}
	return all[0], nil
}

// pool is the one that is named, or the first with a free machine, or the first.
func (c *initCmd) pool(r statuspage.Resource) (statuspage.Pool, error) {
	free := map[capacity.Shape]capacity.Replicas{}
	for _, s := range r.Shapes {
		free[s.Shape] = s.Free
	}
	var ids []string
	first := -1
	for i, p := range r.Pools {
		if p.ID == c.Pool {
			return p, nil
		}
		ids = append(ids, p.ID)
		if first < 0 && free[p.Shape] >= capacity.Replicas(c.Replicas) {
			first = i
		}
	}
	switch {
	case c.Pool != "" || len(ids) == 0:
		return statuspage.Pool{}, usage("--pool %s: %s has the pools %s", c.Pool, short(r.Name), strings.Join(ids, ", "))
	default:
		return r.Pools[max(first, 0)], nil
	}
}
