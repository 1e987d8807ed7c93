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
		{bare, "labels", "labels"},
		{bare, "displayName", "display_name"},
		{spec, "labels", "attributes.berth-labels"},
		{spec, "displayName", "attributes.berth-display-name"},
		{envelope, "labels", "labels"},
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

// A reason about labels names where the message has them, whatever else it has in its
// attributes.
func TestPathsOfLabels(t *testing.T) {
	const spec = `"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"gcr.io/p/i"}}]}`
	id := map[string]string{"berth-request-id": "a"}
	for _, c := range []struct {
		data       string
		attributes map[string]string
		want       string
	}{
		{`{"displayName":"d","labels":{"team":"y"},` + spec + `}`, id, "labels"},
		{`{"displayName":"d","labels":{"team":"y"},` + spec + `}`, map[string]string{"berth-labels": "stage=dev"}, "labels"},
		{`{"displayName":"d",` + spec + `}`, id, "labels"},
		{`{"displayName":"d",` + spec + `}`, map[string]string{"berth-labels": "team=y"}, "attributes.berth-labels"},
		{`{"labels":{},"displayName":"d",` + spec + `}`, map[string]string{"berth-labels": "team=y"}, "attributes.berth-labels"},
		{`{` + spec[len(`"jobSpec":{`):], id, "attributes.berth-labels"},
		{`{"requestId":"a","job":{"displayName":"d","labels":{"team":"y"},` + spec + `}}`, nil, "job.labels"},
		{`{"requestId":"a","labels":{"team":"y"},"job":{"displayName":"d",` + spec + `}}`, nil, "labels"},
		{`{"requestId":"a","job":{"displayName":"d",` + spec + `}}`, map[string]string{"berth-labels": "team=y"}, "attributes.berth-labels"},
		{`{"requestId":"a","job":{"displayName":"d",` + spec + `}}`, nil, "labels"},
	} {
		m, err := Decode(Delivery{ID: "1", Data: []byte(c.data), Attributes: c.attributes})
		if err != nil {
			t.Fatalf("%s: %v", c.data, err)
		}
		if got := m.Request.Paths.At("labels"); got != c.want {
			t.Errorf("labels of %s with %v are at %s, want %s", c.data, c.attributes, got, c.want)
		}
	}
}
