package fakevertex_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"example.com/berth/internal/vertex/fakevertex"
)

// listed returns the display names that a filter finds, in the order listed.
func (w *world) listed(t *testing.T, filter string) (string, error) {
	t.Helper()
	var names []string
	it := w.jobs.ListCustomJobs(t.Context(), &aiplatformpb.ListCustomJobsRequest{Parent: parent, Filter: filter})
	for {
		j, err := it.Next()
		if err == iterator.Done {
			return strings.Join(names, " "), nil
		} else if err != nil {
			return "", err
		}
		names = append(names, j.DisplayName)
	}
}

func TestFilter(t *testing.T) {
	w := newWorld(t, nil)
	for i, labels := range [][]string{{}, {"team", "vision"}, {"team", "speech", "run", "x_1-2"}, {"run", "x_1-2"}} {
		j := onDemand(append(labels, "fake-run", "1h")...)
		j.DisplayName = []string{"my_job_1", "my_job_2", "other", "his \"job\""}[i]
		name := w.mustCreate(t, j)
		if i == 1 {
			if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.Advance(10 * time.Second)
	}
	const all = `his "job" other my_job_2 my_job_1`
	for _, c := range []struct{ filter, want string }{
		{``, all},
		{`   `, all},
		{`display_name="my_job_1"`, "my_job_1"},
		{`display_name = my_job_1`, "my_job_1"},
		{`display_name!="my_job_1"`, `his "job" other my_job_2`},
		{`display_name:"my_job_*"`, "my_job_2 my_job_1"},
		{`display_name:"*job*"`, `his "job" my_job_2 my_job_1`},
		{`display_name:my*_1`, "my_job_1"},
		{`display_name:"my_job"`, ""},
		{`display_name="my_job_*"`, ""},
		{`display_name="his \"job\""`, `his "job"`},
		{`display_name='his "job"'`, `his "job"`},
		{`state="JOB_STATE_RUNNING"`, `his "job" other my_job_1`},
		{`state!="JOB_STATE_RUNNING"`, "my_job_2"},
		{`NOT state="JOB_STATE_RUNNING"`, "my_job_2"},
		{`NOT NOT state="JOB_STATE_CANCELLED"`, "my_job_2"},
		{`create_time="2026-03-01T12:00:10Z"`, "my_job_2"},
		{`create_time!="2026-03-01T12:00:10Z"`, `his "job" other my_job_1`},
		{`create_time<"2026-03-01T12:00:10Z"`, "my_job_1"},
		{`create_time<="2026-03-01T12:00:10Z"`, "my_job_2 my_job_1"},
		{`create_time>"2026-03-01T12:00:10Z"`, `his "job" other`},
		{`create_time>="2026-03-01T13:00:10.000001+01:00"`, `his "job" other`},
		{`labels.team=vision`, "my_job_2"},
		{`labels.team="vision"`, "my_job_2"},
		{`labels.run=x_1-2`, `his "job" other`},
		{`labels.team:*`, "other my_job_2"},
		{`NOT labels.team:*`, `his "job" my_job_1`},
		{`labels.nobody=vision`, ""},
		{`labels.team:* AND labels.run:*`, "other"},
		{`labels.team=vision OR labels.run:*`, `his "job" other my_job_2`},
		{`labels.team=vision OR labels.run:* AND labels.team=speech`, "other"}, // OR binds tighter
		{`labels.team=vision OR (labels.run:* AND labels.team=speech)`, "other my_job_2"},
		{`labels.run:* AND NOT (labels.team=speech OR labels.team=vision)`, `his "job"`},
		{`(display_name="other")`, "other"},
	} {
		got, err := w.listed(t, c.filter)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.filter, got, err, c.want)
		}
	}
	for _, bad := range []string{
		`persistent_resource_id="pr"`, `job_spec.persistent_resource_id="pr"`, `update_time>"2026-03-01T12:00:10Z"`, `name="x"`,
		`labels.team!=vision`, `labels.team:vision`, `labels.team:"*"`, `labels:team`, `labels.team>a`, `labels.=x`, `labels.a`,
		`state=JOB_STATE_RUNNING`, `state="RUNNING"`, `state:"JOB_STATE_RUNNING"`, `state>"JOB_STATE_RUNNING"`,
		`create_time>2026-03-01`, `create_time>"yesterday"`, `create_time:"2026-03-01T12:00:10Z"`,
		`display_name<"a"`, `display_name`, `display_name=`, `="a"`, `display_name="a" display_name="b"`, `display_name="a" and state="x"`,
		`AND display_name="a"`, `display_name="a" OR`, `NOT`, `(display_name="a"`, `display_name="a")`, `display_name="a`, `display_name=a;b`,
	} {
		_, err := w.listed(t, bad)
		refused(t, err, codes.InvalidArgument, "1.Field: filter; Message: Invalid filter")
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.SubmitPerMinute = 0 })
	for i := range 7 {
		j := onDemand()
		j.DisplayName = string(rune('a' + i))
		w.mustCreate(t, j)
	}
	got, token := "", ""
	for page := range 4 {
		resp := w.page(t, &aiplatformpb.ListCustomJobsRequest{Parent: parent, PageSize: 2, PageToken: token})
		for _, j := range resp.CustomJobs {
			got += j.DisplayName
		}
		token = resp.NextPageToken
		if (token == "") != (page == 3) {
			t.Fatalf("page %d has token %q", page, token)
		}
		extra := onDemand() // created between the pages: not in any of those that follow
		extra.DisplayName = "X"
		w.mustCreate(t, extra)
	}
	if got != "gfedcba" {
		t.Errorf("pages hold %s", got)
	}

	token = w.page(t, &aiplatformpb.ListCustomJobsRequest{Parent: parent, PageSize: 2}).NextPageToken
	for text, req := range map[string]*aiplatformpb.ListCustomJobsRequest{
		"page_token": {Parent: parent, PageToken: "nonsense"},
		"page_size":  {Parent: parent, PageSize: -1},
		"Field: page_token; Message: Invalid page token.": {Parent: parent, PageToken: token, Filter: `display_name="a"`},
		"parent": {Parent: "here"},
	} {
		_, err := w.jobs.ListCustomJobs(t.Context(), req).Next()
		refused(t, err, codes.InvalidArgument, text)
	}
	for range 100 {
		w.mustCreate(t, onDemand())
	}
	if n := len(w.page(t, &aiplatformpb.ListCustomJobsRequest{Parent: parent}).CustomJobs); n != 100 {
		t.Errorf("a page holds %d by default", n)
	}
	if n := len(w.page(t, &aiplatformpb.ListCustomJobsRequest{Parent: numbered, PageSize: 5000}).CustomJobs); n != 111 {
		t.Errorf("%d jobs in one page", n)
	}
	if n := len(w.page(t, &aiplatformpb.ListCustomJobsRequest{Parent: "projects/my-project/locations/europe-west4"}).CustomJobs); n != 0 {
		t.Errorf("%d jobs in another location", n)
	}
}

// page asks for one page and no more.
func (w *world) page(t *testing.T, req *aiplatformpb.ListCustomJobsRequest) *aiplatformpb.ListCustomJobsResponse {
	t.Helper()
	it := w.jobs.ListCustomJobs(t.Context(), req)
	if _, err := it.Next(); err != nil && err != iterator.Done {
		t.Fatal(err)
	}
	return it.Response.(*aiplatformpb.ListCustomJobsResponse)
}

func TestReadMask(t *testing.T) {
	w := newWorld(t, nil)
	name := w.mustCreate(t, onDemand("a", "b"))
	list := func(paths ...string) (*aiplatformpb.CustomJob, error) {
		return w.jobs.ListCustomJobs(t.Context(), &aiplatformpb.ListCustomJobsRequest{
			Parent: parent, ReadMask: &fieldmaskpb.FieldMask{Paths: paths}}).Next()
	}
	for _, c := range []struct {
		paths []string
		want  *aiplatformpb.CustomJob
	}{
		{[]string{"*"}, w.get(t, name)},
		{nil, w.get(t, name)},
		{[]string{"name", "labels"}, &aiplatformpb.CustomJob{Name: name, Labels: map[string]string{"a": "b"}}},
		{[]string{"state", "job_spec.service_account"}, &aiplatformpb.CustomJob{State: pending, JobSpec: &aiplatformpb.CustomJobSpec{}}},
	} {
		if got, err := list(c.paths...); err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%v: %v, %v", c.paths, got, err)
		}
	}
	_, err := list("name", "no_such_field")
	refused(t, err, codes.InvalidArgument, "read_mask")
}

func TestValidation(t *testing.T) {
	w := newWorld(t, nil)
	long := strings.Repeat("ä", 129)
	w.mustCreate(t, func() *aiplatformpb.CustomJob { // everything at its limit
		j := onDemand(strings.Repeat("ä", 63), strings.Repeat("é", 63), "1a_b-1", "_-")
		j.DisplayName = long[2:]
		j.JobSpec.WorkerPoolSpecs = []*aiplatformpb.WorkerPoolSpec{workers(2), {}, workers(1), workers(1)}
		j.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: "hyperdisk-balanced", BootDiskSizeGb: 64000}
		return j
	}())
	for _, c := range []struct {
		text  string
		spoil func(*aiplatformpb.CustomJob)
	}{
		{"display_name; Message: Required", func(j *aiplatformpb.CustomJob) { j.DisplayName = "" }},
		{"display_name; Message: Must be at most 128", func(j *aiplatformpb.CustomJob) { j.DisplayName = long }},
		{"job_spec; Message: Required", func(j *aiplatformpb.CustomJob) { j.JobSpec = nil }},
		{"worker_pool_specs; Message: At least the first", func(j *aiplatformpb.CustomJob) { j.JobSpec.WorkerPoolSpecs = nil }},
		{"worker_pool_specs; Message: At least the first", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs = []*aiplatformpb.WorkerPoolSpec{{}, workers(1)}
		}},
		{"At most 4", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs = slices.Repeat([]*aiplatformpb.WorkerPoolSpec{workers(1)}, 5)
		}},
		{"worker_pool_specs[0].replica_count", func(j *aiplatformpb.CustomJob) { j.JobSpec.WorkerPoolSpecs[0].ReplicaCount = 0 }},
		{"worker_pool_specs[1].replica_count", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs = append(j.JobSpec.WorkerPoolSpecs, workers(-1))
		}},
		{"machine_type; Message: Required", func(j *aiplatformpb.CustomJob) { j.JobSpec.WorkerPoolSpecs[0].MachineSpec = nil }},
		{"One of container_spec and python_package_spec", func(j *aiplatformpb.CustomJob) { j.JobSpec.WorkerPoolSpecs[0].Task = nil }},
		{"container_spec.image_uri", func(j *aiplatformpb.CustomJob) { j.JobSpec.WorkerPoolSpecs[0].GetContainerSpec().ImageUri = "" }},
		{"environment variables", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].GetContainerSpec().Env = slices.Repeat([]*aiplatformpb.EnvVar{{Name: "A", Value: "x"}}, 101)
		}},
		{"python_package_spec.executor_image_uri", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].Task = &aiplatformpb.WorkerPoolSpec_PythonPackageSpec{PythonPackageSpec: &aiplatformpb.PythonPackageSpec{}}
		}},
		{"accelerator_type; Message: Unknown value 99", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].MachineSpec.AcceleratorType = 99
			j.JobSpec.WorkerPoolSpecs[0].MachineSpec.AcceleratorCount = 1
		}},
		{"accelerator_count", func(j *aiplatformpb.CustomJob) { j.JobSpec.WorkerPoolSpecs[0].MachineSpec.AcceleratorCount = 1 }},
		{"boot_disk_type", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: "pd-balanced"}
		}},
		{"boot_disk_size_gb", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskSizeGb: 99}
		}},
		{"strategy; Message: Unknown value 5", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.Scheduling = &aiplatformpb.Scheduling{Strategy: 5}
		}},
		{"persistent_resource_id", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.PersistentResourceId = "projects/p/locations/l/persistentResources/x"
		}},
		{`Invalid label key "Upper"`, func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"Upper": "x"} }},
		{`Invalid label key ""`, func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"": "x"} }},
		{"Invalid value", func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"a": "x.y"} }},
		{"Invalid value", func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"a": strings.Repeat("x", 64)} }},
		{"Invalid value", func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"a": strings.Repeat("中", 43)} }},
		{"Invalid label key", func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{strings.Repeat("中", 43): "a"} }},
		{`Invalid label key "_a"`, func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"_a": "x"} }},
		{`Invalid label key "-a"`, func(j *aiplatformpb.CustomJob) { j.Labels = map[string]string{"-a": "x"} }},
		{"env[0].value; Message: Required", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].GetContainerSpec().Env = []*aiplatformpb.EnvVar{{Name: "A"}}
		}},
		{"env[0].name; Message: \"1\" is not a valid C identifier", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs[0].GetContainerSpec().Env = []*aiplatformpb.EnvVar{{Name: "1", Value: "x"}}
		}},
		{"service_account; Message: Required when tensorboard", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.Tensorboard = "projects/p/locations/l/tensorboards/t"
		}},
	} {
		j := onDemand()
		c.spoil(j)
		_, err := w.create(t, j)
		refused(t, err, codes.InvalidArgument, c.text)
		refused(t, err, codes.InvalidArgument, "List of found errors:\t1.Field: custom_job.")
	}
	_, err := w.create(t, &aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{}})
	refused(t, err, codes.InvalidArgument, "List of found errors:\t1.Field: custom_job.display_name; Message: Required field is not set.\t"+
		"2.Field: custom_job.job_spec.worker_pool_specs; Message: At least the first worker pool must be set.\t")
	if n := len(w.Jobs()); n != 1 {
		t.Errorf("%d jobs", n)
	}
}

func TestOutputFieldsOfARequestAreIgnored(t *testing.T) {
	w := newWorld(t, nil)
	old := w.mustCreate(t, onDemand())
	w.clock.Advance(time.Minute)
	again := w.mustCreate(t, w.get(t, old))
	if j := w.is(t, again, pending); again == old || j.EndTime != nil || j.StartTime != nil || !j.CreateTime.AsTime().Equal(start.Add(time.Minute)) {
		t.Errorf("created %v", j)
	}
}
