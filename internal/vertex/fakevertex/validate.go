package fakevertex

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var (
	labelKey   = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}][\p{Ll}\p{Lo}\p{M}\p{N}_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{M}\p{N}_-]{0,63}$`)
)

// problems collects what is wrong with a request, so that the refusal names all of it.
type problems []string

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, fmt.Sprintf("%d.Field: %s; Message: %s\t", len(*p)+1, field, fmt.Sprintf(format, args...)))
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return status.Error(codes.InvalidArgument, "List of found errors:\t"+strings.Join(p, ""))
}

// fieldError is the refusal of a request for one field.
func fieldError(field, message string) error {
	var p problems
	p.add(field, "%s", message)
	return p.err()
}

// isPlaceholder reports whether a worker pool is there only to keep the roles of
// those after it.
func isPlaceholder(w *aiplatformpb.WorkerPoolSpec) bool { return w == nil || proto.Size(w) == 0 }

// bindsReservation reports whether a reservation is asked for.
func bindsReservation(a *aiplatformpb.ReservationAffinity) bool {
	switch a.GetReservationAffinityType() {
	case aiplatformpb.ReservationAffinity_TYPE_UNSPECIFIED, aiplatformpb.ReservationAffinity_NO_RESERVATION:
		return false
	}
	return true
}

// validateJob makes the checks of a job that need no resource, and decides what becomes
// of it by the rules and its labels.
func (s *Server) validateJob(j *aiplatformpb.CustomJob) (lot, error) {
	var p problems
	p.displayName("custom_job.display_name", j.GetDisplayName(), true)
	p.labels("custom_job.labels", j.GetLabels())
	spec := j.GetJobSpec()
	if spec == nil {
		p.add("custom_job.job_spec", "Required field is not set.")
	}
	pools := spec.GetWorkerPoolSpecs()
	if spec != nil && (len(pools) == 0 || isPlaceholder(pools[0])) {
		p.add("custom_job.job_spec.worker_pool_specs", "At least the first worker pool must be set.")
	}
	if len(pools) > 4 {
		p.add("custom_job.job_spec.worker_pool_specs", "At most 4 worker pools are allowed, got %d.", len(pools))
	}
	for i, w := range pools {
		if !isPlaceholder(w) {
			p.workerPool(fmt.Sprintf("custom_job.job_spec.worker_pool_specs[%d]", i), w, s.knobs)
		}
	}
	if len(pools) > 0 && pools[0].GetReplicaCount() > 1 && s.knobs.RejectManyChiefs {
		p.add("custom_job.job_spec.worker_pool_specs[0].replica_count", "The first worker pool must have exactly 1 replica, got %d.", pools[0].ReplicaCount)
	}
	if id := spec.GetPersistentResourceId(); id != "" && !resourceWord.MatchString(id) {
		p.add("custom_job.job_spec.persistent_resource_id", "%q is not a valid PersistentResource ID.", id)
	}
	sched := spec.GetScheduling()
	if _, known := aiplatformpb.Scheduling_Strategy_name[int32(sched.GetStrategy())]; !known {
		p.add("custom_job.job_spec.scheduling.strategy", "Unknown value %d.", sched.GetStrategy())
	}
	if t := sched.GetTimeout(); t != nil && (!t.IsValid() || t.AsDuration() < 0) {
		p.add("custom_job.job_spec.scheduling.timeout", "Must not be negative.")
	}
	p.surroundings("custom_job.job_spec", spec)
	if k := j.GetEncryptionSpec(); k != nil {
		p.needs("custom_job.encryption_spec.kms_key_name", k.GetKmsKeyName())
	}
	lot := s.draw(j.GetDisplayName())
	p.fakeLabels(j.GetLabels(), &lot)
	return lot, p.err()
}

// fakeLabels reads the two labels that this server gives a meaning.
func (p *problems) fakeLabels(labels map[string]string, l *lot) {
	if text, ok := labels["fake-run"]; ok {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			p.add("custom_job.labels", "fake-run %q is not a duration such as 300ms, 5s or 2m.", text)
		}
		l.runFor = d
	}
	if text, ok := labels["fake-end"]; ok {
		end, known := ends[text]
		if !known {
			p.add("custom_job.labels", "fake-end %q is none of succeeded, failed, expired, partially-succeeded.", text)
		}
		l.end = end
	}
}

func (p *problems) displayName(field, name string, required bool) {
	if required && name == "" {
		p.add(field, "Required field is not set.")
	}
	if utf8.RuneCountInString(name) > 128 {
		p.add(field, "Must be at most 128 characters, got %d.", utf8.RuneCountInString(name))
	}
}

func (p *problems) labels(field string, labels map[string]string) {
	if len(labels) > 64 {
		p.add(field, "At most 64 labels are allowed, got %d.", len(labels))
	}
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !labelKey.MatchString(k) || len(k) >= 128 {
			p.add(field, "Invalid label key %q.", k)
		}
		if !labelValue.MatchString(labels[k]) || len(labels[k]) >= 128 {
			p.add(field, "Invalid value %q of label %q.", labels[k], k)
		}
	}
}

func (p *problems) workerPool(field string, w *aiplatformpb.WorkerPoolSpec, knobs Behaviour) {
	p.machine(field+".machine_spec", w.GetMachineSpec(), knobs.AllowK80)
	p.disk(field+".disk_spec", w.GetDiskSpec())
	if w.ReplicaCount < 1 {
		p.add(field+".replica_count", "Must be at least 1, got %d.", w.ReplicaCount)
	}
	var env []*aiplatformpb.EnvVar
	switch task := w.Task.(type) {
	case *aiplatformpb.WorkerPoolSpec_ContainerSpec:
		if task.ContainerSpec.GetImageUri() == "" {
			p.add(field+".container_spec.image_uri", "Required field is not set.")
		}
		env = task.ContainerSpec.GetEnv()
	case *aiplatformpb.WorkerPoolSpec_PythonPackageSpec:
		t := task.PythonPackageSpec
		if t.GetExecutorImageUri() == "" {
			p.add(field+".python_package_spec.executor_image_uri", "Required field is not set.")
		}
		if n := len(t.GetPackageUris()); n < 1 || n > 100 {
			p.add(field+".python_package_spec.package_uris", "Must hold 1 to 100 URIs, got %d.", n)
		}
		if t.GetPythonModule() == "" {
			p.add(field+".python_package_spec.python_module", "Required field is not set.")
		}
		env = t.GetEnv()
	default:
		p.add(field, "One of container_spec and python_package_spec must be set.")
	}
	p.mounts(field, w)
	for i, v := range env {
		p.needs(fmt.Sprintf("%s.env[%d].name", field, i), v.GetName())
		p.needs(fmt.Sprintf("%s.env[%d].value", field, i), v.GetValue())
		if v.GetName() != "" && !identifier.MatchString(v.GetName()) {
			p.add(fmt.Sprintf("%s.env[%d].name", field, i), "%q is not a valid C identifier.", v.GetName())
		}
	}
	if len(env) > 100 {
		p.add(field+".env", "At most 100 environment variables are allowed, got %d.", len(env))
	}
}

func (p *problems) machine(field string, m *aiplatformpb.MachineSpec, allowK80 bool) {
	if m.GetMachineType() == "" {
		p.add(field+".machine_type", "Required field is not set.")
	}
	kind := m.GetAcceleratorType()
	if _, known := aiplatformpb.AcceleratorType_name[int32(kind)]; !known {
		p.add(field+".accelerator_type", "Unknown value %d.", kind)
	}
	if kind == aiplatformpb.AcceleratorType_NVIDIA_TESLA_K80 && !allowK80 {
		p.add(field+".accelerator_type", "Accelerator %q is not supported for machine type %q.", kind, m.GetMachineType())
	}
	if n := m.GetAcceleratorCount(); n < 0 || (n > 0) != (kind != 0) {
		p.add(field+".accelerator_count", "Must be positive with an accelerator_type and unset without, got %d.", n)
	}
	if a := m.GetReservationAffinity(); a != nil {
		if _, known := aiplatformpb.ReservationAffinity_Type_name[int32(a.ReservationAffinityType)]; !known {
			p.add(field+".reservation_affinity", "Unknown value %d.", a.ReservationAffinityType)
		}
	}
}

func (p *problems) disk(field string, d *aiplatformpb.DiskSpec) {
	switch t := d.GetBootDiskType(); t {
	case "", "pd-ssd", "pd-standard", "hyperdisk-balanced":
	default:
		p.add(field+".boot_disk_type", "Unsupported boot disk type %q.", t)
	}
	if n := d.GetBootDiskSizeGb(); n != 0 && (n < 100 || n > 64000) {
		p.add(field+".boot_disk_size_gb", "Must be between 100 and 64000, got %d.", n)
	}
}

// validateResource checks a resource that is to be created.
func (s *Server) validateResource(id string, r *aiplatformpb.PersistentResource) error {
	var p problems
	if !resourceWord.MatchString(id) {
		p.add("persistent_resource_id", "%q is not a valid PersistentResource ID.", id)
	}
	p.displayName("persistent_resource.display_name", r.GetDisplayName(), false)
	p.labels("persistent_resource.labels", r.GetLabels())
	if len(r.GetResourcePools()) == 0 {
		p.add("persistent_resource.resource_pools", "Required field is not set.")
	}
	ids := map[string]bool{}
	for i, pool := range r.GetResourcePools() {
		field := fmt.Sprintf("persistent_resource.resource_pools[%d]", i)
		p.machine(field+".machine_spec", pool.GetMachineSpec(), s.knobs.AllowK80)
		p.disk(field+".disk_spec", pool.GetDiskSpec())
		if bindsReservation(pool.GetMachineSpec().GetReservationAffinity()) {
			p.add(field+".machine_spec.reservation_affinity", "Reservation affinity is not supported yet for persistent clusters")
		}
		if pool.GetId() != "" && ids[pool.Id] {
			p.add(field+".id", "Duplicate ID %q.", pool.Id)
		}
		ids[pool.GetId()] = true
		p.poolSize(field, pool, r.GetResourceRuntimeSpec().GetRaySpec() != nil)
	}
	return p.err()
}

func (p *problems) poolSize(field string, pool *aiplatformpb.ResourcePool, ray bool) {
	a := pool.GetAutoscalingSpec()
	if a == nil {
		if pool.GetReplicaCount() < 1 {
			p.add(field+".replica_count", "Must be at least 1 without autoscaling_spec, got %d.", pool.GetReplicaCount())
		}
		return
	}
	low, high := a.GetMinReplicaCount(), a.GetMaxReplicaCount()
	if low < 0 || low == 0 && !ray {
		p.add(field+".autoscaling_spec.min_replica_count", "Must be greater than 0, got %d.", low)
	}
	if low >= high || high > 1000 {
		p.add(field+".autoscaling_spec.max_replica_count", "Must be greater than min_replica_count and at most 1000, got %d.", high)
	}
	if n := pool.GetReplicaCount(); pool.ReplicaCount != nil && (n < low || n > high) {
		p.add(field+".replica_count", "Must be between min_replica_count and max_replica_count, got %d.", n)
	}
}
