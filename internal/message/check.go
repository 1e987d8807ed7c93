package message

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

var (
	// specWord is a word of a machine or disk spec; it becomes part of a shape's key.
	specWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$`)
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) // a C identifier, by the comment of EnvVar.name
)

// longestTime bounds the durations of a job, so that sums of them, and dates plus
// them, do not overflow.
const longestTime = 100 * 365 * 24 * time.Hour

// checkResource decides which persistent resource is meant, from the options
// and from the job's own field.
func checkResource(s jobShape, opts options, req *Request, r *report) {
	own := s.spec.Field("persistent_resource_id")
	if own == nil || own.Bad {
		return
	}
	switch {
	case !resourceID.MatchString(own.Str()):
		r.At(own, reason.InvalidValue, "Want the id of a persistent resource: lowercase letters, digits and dashes.",
			"Leave it out for the default; a full name goes into the option persistentResource.")
	case !opts.resource.given:
		req.PersistentResource = own.Str()
	default:
		if id, _ := resourceOf(opts.resource.value); id != own.Str() {
			r.At(own, reason.Conflict, fmt.Sprintf("This contradicts %s.", opts.resource.at.Path), "Keep one of them.")
		}
	}
}

func checkName(s jobShape, opts options, r *report) string {
	own := s.job.Field("display_name")
	switch {
	case own == nil || own.Bad || own.Str() == "":
		return opts.displayName.value
	case !validName(own.Str()):
		r.At(own, reason.InvalidValue, nameRule, fixName)
	case opts.displayName.given && opts.displayName.value != own.Str():
		r.At(own, reason.Conflict, fmt.Sprintf("This contradicts %s.", opts.displayName.at.Path), "Keep one of them.")
	}
	return own.Str()
}

// checkSpec checks the fields beside the worker pools.
func checkSpec(s jobShape, r *report) {
	scheduling := s.spec.Field("scheduling")
	timeout, wait := scheduling.Field("timeout"), scheduling.Field("max_wait_duration")
	for _, n := range []*strict.Node{timeout, wait} {
		switch d, _ := strict.Seconds(n.Str()); {
		case d < 0 || strings.HasPrefix(n.Str(), "-"):
			r.At(n, reason.InvalidValue, "A duration cannot be negative.", "Write a positive number of seconds, or leave it out.")
		case d > longestTime:
			r.At(n, reason.InvalidValue, fmt.Sprintf("The duration is longer than a hundred years, %.0fs.", longestTime.Seconds()), "Write a shorter one, or leave it out.")
		}
	}
	strategy := scheduling.Field("strategy")
	switch strategy.Str() {
	case "SPOT", "LOW_COST", "FLEX_START": // LOW_COST is the older name of SPOT
		r.At(strategy, reason.Unsupported, "A persistent resource is made of machines already paid for; "+strategy.Str()+" asks for other ones.", "Leave the strategy out.")
	case "ON_DEMAND":
		r.Warn(strategy.Place(), "The strategy ON_DEMAND is deprecated.", "Leave it out, or write STANDARD, its newer name.")
	}
	if n := scheduling.Field("restart_job_on_worker_restart"); n.Bool() && scheduling.Field("disable_retries").Bool() {
		r.Warn(n.Place(), "Vertex AI reads this as false, because disableRetries is true.", "Leave one of them out.")
	}
	if d, _ := strict.Seconds(wait.Str()); d > 0 && strategy.Str() != "FLEX_START" {
		r.Warn(wait.Place(), "Vertex AI reads this duration with FLEX_START only.", "The option maxWait says how long to wait in the queue; it is at most "+fmt.Sprintf("%.0fs.", LongestWait.Seconds()))
	}
}

const fixNoPool = "Add a worker pool: {\"machineSpec\": {\"machineType\": ...}, \"replicaCount\": 1, \"containerSpec\": {\"imageUri\": ...}}."

// checkPools checks the worker pools.
func checkPools(s jobShape, r *report) {
	if len(s.pools) == 0 {
		switch {
		case s.list != nil && !s.list.Bad:
			r.At(s.list, reason.MissingField, "The job has no worker pool.", fixNoPool)
		case s.list == nil && s.spec != nil && s.spec.Kind == strict.Object:
			r.lacks(s.spec, "worker_pool_specs", "The job has no worker pool.", fixNoPool)
		}
		return
	}
	for i, pool := range s.pools {
		switch {
		case pool.Kind != strict.Object || pool.Bad:
		case pool.Hollow():
			if i == 0 {
				r.At(pool, reason.MissingField, "The first worker pool is empty.", "The first one is the primary and cannot be left out.")
			}
		default:
			checkMachine(pool, r)
			checkReplicas(i, pool, r)
			checkTask(pool, r)
		}
	}
}

func checkReplicas(i int, pool *strict.Node, r *report) {
	n := pool.Field("replica_count")
	count := capacity.Replicas(n.Int())
	switch {
	case n == nil:
		r.lacks(pool, "replica_count", "The worker pool does not say how many replicas it has.", "Write 1 or more.")
	case n.Bad:
	case count < 1 || count > capacity.MaxReplicas:
		r.At(n, reason.InvalidValue, fmt.Sprintf("Want 1 to %d replicas.", capacity.MaxReplicas), "Write {} for a worker pool that is not used.")
	case i == 0 && count > 1:
		r.Warn(n.Place(), "Worker pool 0 is the primary and usually has one replica.", "Put the others into worker pool 1.")
	}
}

func checkMachine(pool *strict.Node, r *report) {
	machine, disk := pool.Field("machine_spec"), pool.Field("disk_spec")
	checkWord(disk.Field("boot_disk_type"), r)
	if n := disk.Field("boot_disk_size_gb"); n.Int() != 0 && (n.Int() < minDiskGB || n.Int() > maxDiskGB) {
		r.At(n, reason.InvalidValue, fmt.Sprintf("Vertex AI takes boot disks of %d to %d GB.", minDiskGB, maxDiskGB), "Write the size of the pool's boot disks, or leave it out for 100.")
	}
	if machine == nil {
		r.lacks(pool, "machine_spec", "The worker pool has no machine spec.", "Write the machine spec of a pool of the persistent resource.")
		return
	}
	if machine.Kind != strict.Object {
		return
	}
	checkWord(machine.Field("machine_type"), r)
	checkWord(machine.Field("tpu_topology"), r)
	checkWord(machine.Field("gpu_partition_size"), r)
	if n := machine.Field("machine_type"); n == nil || n.Value == "" {
		r.lacks(machine, "machine_type", "The machine spec has no machine type.", "Write the machine type of a pool of the persistent resource.")
	}
	kind, count := machine.Field("accelerator_type"), machine.Field("accelerator_count")
	named := kind != nil && (kind.Bad || kind.Str() != "")
	counted := count != nil && (count.Bad || count.Int() != 0)
	switch {
	case count.Int() < 0:
		r.At(count, reason.InvalidValue, "A number of accelerators cannot be negative.", "Write how many each machine has.")
	case named && !counted:
		r.lacks(machine, "accelerator_count", "The accelerator has no count.", "Write how many each machine has.")
	case counted && !named:
		r.lacks(machine, "accelerator_type", "The accelerators have no type.", "Write the type, or leave the count out.")
	}
	checkAffinity(machine, r)
}

func checkAffinity(machine *strict.Node, r *report) {
	affinity := machine.Field("reservation_affinity")
	if affinity == nil || affinity.Bad || affinity.Kind != strict.Object {
		return
	}
	kind := affinity.Field("reservation_affinity_type")
	switch kind.Str() {
	case "", "NO_RESERVATION":
		if affinity.Field("key").Str() == "" && len(affinity.Field("values").List()) == 0 {
			return
		}
	}
	if kind == nil || !kind.Bad {
		r.At(affinity, reason.Unsupported, "A persistent resource takes no reservation affinity.", "Leave it out.")
	}
}

// checkWord checks a part of a machine or disk spec.
func checkWord(n *strict.Node, r *report) {
	if n.Str() != "" && !specWord.MatchString(n.Str()) {
		r.At(n, reason.InvalidValue, "Want a short word of letters, digits and . + _ -.", n.FixHole("Write it as the pool of the persistent resource has it."))
	}
}

func checkTask(pool *strict.Node, r *report) {
	container, python := pool.Field("container_spec"), pool.Field("python_package_spec")
	if container == nil && python == nil {
		r.lacks(pool, "container_spec", "The worker pool has nothing to run.", "Add a containerSpec or a pythonPackageSpec.")
	}
	for _, task := range []*strict.Node{container, python} {
		if task != nil && task.Hollow() {
			required(&r.Report, task, taskTypes[task == python])
		}
		for _, name := range []string{"image_uri", "executor_image_uri", "python_module"} {
			noSpace(task.Field(name), r)
		}
		for _, v := range task.Field("env").List() {
			name := v.Field("name")
			if noSpace(name, r) && !envName.MatchString(name.Str()) {
				r.At(name, reason.InvalidValue, "A variable's name has letters, digits and underscores, no digit first.", "Choose such a name.")
			}
		}
	}
}

// noSpace checks a text that cannot have white space. It reports whether there is a
// text that further checks can read.
func noSpace(n *strict.Node, r *report) bool {
	if n.Str() == "" || n.Bad {
		return false
	}
	if strings.ContainsFunc(strict.TemplateHole.ReplaceAllString(n.Str(), ""), unicode.IsSpace) {
		r.At(n, reason.InvalidValue, "The text has white space.", "Leave out the white space, also at the ends.")
		return false
	}
	return true
}
