package message

import "testing"

// A reason names a field as the message writes it: an option where the message has
// its options, a field of the job in its form and style.
func TestPathsAt(t *testing.T) {
	envelope := Paths{Job: "job.", Spec: "job.jobSpec.", Pools: []string{"job.jobSpec.workerPoolSpecs[0].", "job.jobSpec.workerPoolSpecs[1]."}}
	bare := Paths{Job: "", Spec: "job_spec.", Pools: []string{"job_spec.worker_pool_specs[0]."}, Snake: true}
	spec := Paths{Form: FormSpec, Job: "", Spec: "", Pools: []string{"workerPoolSpecs."}}
	named := Paths{Job: "job.", Spec: "job.jobSpec.", Pools: []string{"p."}, Names: map[string]string{"maxWait": "attributes.berth-max-wait"}}
	for _, c := range []struct {
		paths      Paths
		path, want string
	}{
		{Paths{}, "maxWait", "maxWait"},
		{Paths{}, "jobSpec.network", "jobSpec.network"},
		{envelope, "maxWait", "maxWait"},
		{envelope, "persistentResource", "persistentResource"},
		{envelope, "displayName", "displayName"},
		{envelope, "encryptionSpec.kmsKeyName", "job.encryptionSpec.kmsKeyName"},
		{envelope, "jobSpec.network", "job.jobSpec.network"},
		{envelope, "jobSpec.workerPoolSpecs[1].machineSpec.machineType", "job.jobSpec.workerPoolSpecs[1].machineSpec.machineType"},
		{envelope, "jobSpec.workerPoolSpecs[1]", "job.jobSpec.workerPoolSpecs[1]"},
		{envelope, "jobSpec.workerPoolSpecs[2].replicaCount", "job.jobSpec.workerPoolSpecs[2].replicaCount"},
		{bare, "maxWait", "attributes.berth-max-wait"},
		{bare, "persistentResource", "attributes.berth-persistent-resource"},
		{bare, "encryptionSpec.kmsKeyName", "encryption_spec.kms_key_name"},
		{bare, "jobSpec.serviceAccount", "job_spec.service_account"},
		{bare, "jobSpec.workerPoolSpecs[0].machineSpec.machineType", "job_spec.worker_pool_specs[0].machine_spec.machine_type"},
		{spec, "jobSpec.network", "network"},
		{spec, "jobSpec.workerPoolSpecs[0].replicaCount", "workerPoolSpecs.replicaCount"},
		{named, "maxWait", "attributes.berth-max-wait"},
		{named, "priority", "priority"},
	} {
		if got := c.paths.At(c.path); got != c.want {
			t.Errorf("%s of %+v is written %s, want %s", c.path, c.paths, got, c.want)
		}
	}
	for _, c := range []struct {
		form Form
		path string
		has  bool
	}{
		{FormJob, "displayName", true}, {FormJob, "jobSpec.network", true},
		{FormSpec, "displayName", false}, {FormSpec, "jobSpec.network", true}, {FormSpec, "jobSpec.workerPoolSpecs[0].replicaCount", true},
		{FormList, "displayName", false}, {FormList, "jobSpec.network", false}, {FormList, "jobSpec.workerPoolSpecs[0].replicaCount", true},
	} {
		if got := (Paths{Form: c.form}).Has(c.path); got != c.has {
			t.Errorf("form %q has %s: %t, want %t", c.form, c.path, got, c.has)
		}
	}
}
