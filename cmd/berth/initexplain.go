package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/statuspage"
)

// unlike is a machine and a disk that no pool has, in all likelihood. [capacity.Diff] of it and
// a pool names what the pool has instead.
var unlike = capacity.Spec{MachineType: "n1-standard-1", DiskType: "pd-standard", DiskSizeGB: 63_999}

// unobserved asks for the pools of a resource that Berth has not observed yet, because no
// request has named it: the answer of /explain observes it, and says how a job that no pool
// fits differs from each of them. What a pool has of machines is not in it.
func (c *initCmd) unobserved(g *globals) (statuspage.Resource, error) {
	data, err := json.Marshal(map[string]any{"jobSpec": map[string]any{"workerPoolSpecs": []any{map[string]any{
		"machineSpec":   map[string]any{"machineType": unlike.MachineType},
		"diskSpec":      map[string]any{"bootDiskType": unlike.DiskType, "bootDiskSizeGb": unlike.DiskSizeGB},
		"replicaCount":  1,
		"containerSpec": map[string]any{"imageUri": "docker.io/library/python:3.13-slim"},
	}}}})
	if err != nil {
		return statuspage.Resource{}, fmt.Errorf("encode a job: %w", err)
	}
	m := statuspage.Message{Data: data}
	if c.Resource != "" {
		m.Attributes = map[string]string{"berth-persistent-resource": c.Resource}
	}
	d, err := g.open()
	if err != nil {
		return statuspage.Resource{}, err
	}
	var q statuspage.Quote
	if _, err := d.post(g.ctx, m, &q, g.inTenant(url.Values{}), "explain"); err != nil {
		return statuspage.Resource{}, err
	}
	r := statuspage.Resource{Name: q.PersistentResource}
	for _, f := range q.Fit {
		for _, pool := range f.Nearest {
			r.Pools = append(r.Pools, statuspage.Pool{Pool: capacity.Pool{ID: pool.Pool, Shape: specOf(pool.Fields).Normal()}, Limit: capacity.Replicas(c.Replicas)})
		}
	}
	switch {
	case len(r.Pools) > 0:
		return r, nil
	case q.Reason != nil:
		return r, &quit{exitError, fmt.Errorf("no pool is known yet: %s %s", problem(q.Reason), q.Reason.Fix)}
	}
	return r, &quit{exitError, errors.New("no pool is known yet; name a persistent resource: berth init RESOURCE")}
}

// specOf is the machine and disk of a pool that differs from [unlike] in these fields.
func specOf(fields []capacity.FieldDiff) capacity.Spec {
	s := unlike
	for _, f := range fields {
		number, _ := strconv.ParseInt(f.Pool, 10, 32) // 0 for a name
		switch f.Field {
		case "machineSpec.machineType":
			s.MachineType = f.Pool
		case "machineSpec.acceleratorType":
			s.Accelerator = f.Pool
		case "machineSpec.acceleratorCount":
			s.AcceleratorCount = int32(number)
		case "machineSpec.tpuTopology":
			s.TPUTopology = f.Pool
		case "machineSpec.gpuPartitionSize":
			s.GPUPartition = f.Pool
		case "diskSpec.bootDiskType":
			s.DiskType = f.Pool
		case "diskSpec.bootDiskSizeGb":
			s.DiskSizeGB = int32(number)
		}
	}
	return s
}
