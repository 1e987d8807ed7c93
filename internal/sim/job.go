package sim

import (
	"cmp"
	"encoding/json"
	"maps"

	"example.com/berth/internal/capacity"
)

// A Job is a request in a few words. The zero value of a field leaves it out.
type Job struct {
	ID       string
	Name     string // display name; "job" if it is empty
	CPU, GPU int    // replicas; the first of them is worker pool 0
	Priority int
	OnFull   string
	MaxWait  string
	Resource string
	DryRun   bool
	Spec     map[string]any // further fields of the job spec
	KMSKey   string
	Disk     string // boot disk type of every worker pool
	Key      string // concurrency key, with Policy
	Policy   string
}

// Body is the message.
func (j Job) Body() []byte {
	pool := func(shape capacity.Shape, n int) map[string]any {
		s := shape.Spec()
		m := map[string]any{"machineType": s.MachineType}
		if s.Accelerator != "" {
			m["acceleratorType"], m["acceleratorCount"] = s.Accelerator, s.AcceleratorCount
		}
		p := map[string]any{"machineSpec": m, "replicaCount": n, "containerSpec": map[string]any{"imageUri": "gcr.io/p/image"}}
		if j.Disk != "" {
			p["diskSpec"] = map[string]any{"bootDiskType": j.Disk}
		}
		return p
	}
	var pools []any
	if j.CPU > 0 {
		pools = append(pools, pool(CPU, j.CPU))
	}
	if j.GPU > 0 {
		pools = append(pools, pool(GPU, j.GPU))
	}
	spec := map[string]any{"workerPoolSpecs": pools}
	maps.Copy(spec, j.Spec)
	job := map[string]any{"displayName": cmp.Or(j.Name, "job"), "jobSpec": spec}
	if j.KMSKey != "" {
		job["encryptionSpec"] = map[string]any{"kmsKeyName": j.KMSKey}
	}
	body := map[string]any{"job": job}
	for k, v := range map[string]string{"requestId": j.ID, "onFull": j.OnFull, "maxWait": j.MaxWait, "persistentResource": j.Resource, "concurrencyKey": j.Key, "concurrencyPolicy": j.Policy} {
		if v != "" {
			body[k] = v
		}
	}
	if j.Priority != 0 {
		body["priority"] = j.Priority
	}
	if j.DryRun {
		body["dryRun"] = true
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // a test's own Spec does not encode
	}
	return data
}
