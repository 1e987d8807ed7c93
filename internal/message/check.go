package message

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

var (
	// words of a machine or disk spec; they become part of a shape's key
	specWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$`)
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) // a C identifier, by the comment of EnvVar.name
)

// longestTime bounds durations of a job, so that they can be added to each other
// and to a date without a thought.
const longestTime = 100 * 365 * 24 * time.Hour

// checkResource settles which persistent resource is meant, from the options
// and from the job's own field.
func checkResource(s jobShape, opts options, req *Request, r *report) {
	own := s.spec.field("persistent_resource_id")
	if own == nil || own.bad {
		return
	}
	switch {
	case !resourceID.MatchString(own.str()):
		r.at(own, reason.InvalidValue, "Want the id of a persistent resource: lowercase letters, digits and dashes.",
			"Leave it out for the default; a full name goes into the option persistentResource.")
	case !opts.resource.given:
		req.PersistentResource = own.str()
	default:
		if id, _ := resourceOf(opts.resource.value); id != own.str() {
			r.at(own, reason.Conflict, fmt.Sprintf("This contradicts %s.", opts.resource.at.path), "Keep one of them.")
		}
	}
}

func checkName(s jobShape, opts options, r *report) string {
	own := s.job.field("display_name")
	switch {
	case own == nil || own.bad || own.str() == "":
		return opts.displayName.value
	case !validName(own.str()):
		r.at(own, reason.InvalidValue, nameRule, mendNameRule)
	case opts.displayName.given && opts.displayName.value != own.str():
		r.at(own, reason.Conflict, fmt.Sprintf("This contradicts %s.", opts.displayName.at.path), "Keep one of them.")
	}
	return own.str()
}

// checkSpec looks at the fields beside the worker pools.
func checkSpec(s jobShape, r *report) {
	scheduling := s.spec.field("scheduling")
	timeout, wait := scheduling.field("timeout"), scheduling.field("max_wait_duration")
	for _, n := range []*node{timeout, wait} {
		switch d, _ := seconds(n.str()); {
		case d < 0 || strings.HasPrefix(n.str(), "-"):
			r.at(n, reason.InvalidValue, "A duration cannot be negative.", "Write a positive number of seconds, or leave it out.")
		case d > longestTime:
			r.at(n, reason.InvalidValue, fmt.Sprintf("The duration is longer than a hundred years, %.0fs.", longestTime.Seconds()), "Write a shorter one, or leave it out.")
		}
	}
	strategy := scheduling.field("strategy")
	switch strategy.str() {
	case "SPOT", "LOW_COST", "FLEX_START": // LOW_COST is the older name of SPOT
		r.at(strategy, reason.Unsupported, "A persistent resource is made of machines already paid for; "+strategy.str()+" asks for other ones.", "Leave the strategy out.")
	case "ON_DEMAND":
		r.warn(strategy.place(), "The strategy ON_DEMAND is deprecated.", "Leave it out, or write STANDARD, its newer name.")
	}
	if n := scheduling.field("restart_job_on_worker_restart"); n.bool() && scheduling.field("disable_retries").bool() {
		r.warn(n.place(), "Vertex AI reads this as false, because disableRetries is true.", "Leave one of them out.")
	}
	if d, _ := seconds(wait.str()); d > 0 && strategy.str() != "FLEX_START" {
		r.warn(wait.place(), "Vertex AI reads this duration with FLEX_START only.", "The option maxWait says how long to wait in the queue; it is at most "+fmt.Sprintf("%.0fs.", LongestWait.Seconds()))
	}
}

const mendNoPool = "Add a worker pool: {\"machineSpec\": {\"machineType\": ...}, \"replicaCount\": 1, \"containerSpec\": {\"imageUri\": ...}}."

// checkPools looks at the worker pools.
func checkPools(s jobShape, r *report) {
	if len(s.pools) == 0 {
		switch {
		case s.list != nil && !s.list.bad:
			r.at(s.list, reason.MissingField, "The job has no worker pool.", mendNoPool)
		case s.list == nil && s.spec != nil && s.spec.kind == object:
			r.lacks(s.spec, "worker_pool_specs", "The job has no worker pool.", mendNoPool)
		}
		return
	}
	for i, pool := range s.pools {
		switch {
		case pool.kind != object || pool.bad:
		case pool.hollow():
			if i == 0 {
				r.at(pool, reason.MissingField, "The first worker pool is empty.", "The first one is the primary and cannot be left out.")
			}
		default:
			checkMachine(pool, r)
			checkReplicas(i, pool, r)
			checkTask(pool, r)
		}
	}
}

func checkReplicas(i int, pool *node, r *report) {
	n := pool.field("replica_count")
	count := capacity.Replicas(n.int())
	switch {
	case n == nil:
		r.lacks(pool, "replica_count", "The worker pool does not say how many replicas it has.", "Write 1 or more.")
	case n.bad:
	case count < 1 || count > capacity.MaxReplicas:
		r.at(n, reason.InvalidValue, fmt.Sprintf("Want 1 to %d replicas.", capacity.MaxReplicas), "Write {} for a worker pool that is not used.")
	case i == 0 && count > 1:
		r.warn(n.place(), "Worker pool 0 is the primary and usually has one replica.", "Put the others into worker pool 1.")
	}
}

func checkMachine(pool *node, r *report) {
	machine, disk := pool.field("machine_spec"), pool.field("disk_spec")
	checkWord(disk.field("boot_disk_type"), r)
	if n := disk.field("boot_disk_size_gb"); n.int() != 0 && (n.int() < minDiskGB || n.int() > maxDiskGB) {
		r.at(n, reason.InvalidValue, fmt.Sprintf("Vertex AI takes boot disks of %d to %d GB.", minDiskGB, maxDiskGB), "Write the size of the pool's boot disks, or leave it out for 100.")
	}
	if machine == nil {
		r.lacks(pool, "machine_spec", "The worker pool has no machine spec.", "Write the machine spec of a pool of the persistent resource.")
		return
	}
	if machine.kind != object {
		return
	}
	checkWord(machine.field("machine_type"), r)
	checkWord(machine.field("tpu_topology"), r)
	checkWord(machine.field("gpu_partition_size"), r)
	if n := machine.field("machine_type"); n == nil || n.value == "" {
		r.lacks(machine, "machine_type", "The machine spec has no machine type.", "Write the machine type of a pool of the persistent resource.")
	}
	kind, count := machine.field("accelerator_type"), machine.field("accelerator_count")
	named := kind != nil && (kind.bad || kind.str() != "")
	counted := count != nil && (count.bad || count.int() != 0)
	switch {
	case count.int() < 0:
		r.at(count, reason.InvalidValue, "A number of accelerators cannot be negative.", "Write how many each machine has.")
	case named && !counted:
		r.lacks(machine, "accelerator_count", "The accelerator has no count.", "Write how many each machine has.")
	case counted && !named:
		r.lacks(machine, "accelerator_type", "The accelerators have no type.", "Write the type, or leave the count out.")
	}
	checkAffinity(machine, r)
}

func checkAffinity(machine *node, r *report) {
	affinity := machine.field("reservation_affinity")
	if affinity == nil || affinity.bad || affinity.kind != object {
		return
	}
	kind := affinity.field("reservation_affinity_type")
	switch kind.str() {
	case "", "NO_RESERVATION":
		if affinity.field("key").str() == "" && len(affinity.field("values").list()) == 0 {
			return
		}
	}
	if kind == nil || !kind.bad {
		r.at(affinity, reason.Unsupported, "A persistent resource takes no reservation affinity.", "Leave it out.")
	}
}

// checkWord looks at a part of a machine or disk spec.
func checkWord(n *node, r *report) {
	if n.str() != "" && !specWord.MatchString(n.str()) {
		r.at(n, reason.InvalidValue, "Want a short word of letters, digits and . + _ -.", n.mendHole("Write it as the pool of the persistent resource has it."))
	}
}

func checkTask(pool *node, r *report) {
	container, python := pool.field("container_spec"), pool.field("python_package_spec")
	if container == nil && python == nil {
		r.lacks(pool, "container_spec", "The worker pool has nothing to run.", "Add a containerSpec or a pythonPackageSpec.")
	}
	for _, task := range []*node{container, python} {
		if task != nil && task.hollow() {
			walker{r}.required(task, taskTypes[task == python])
		}
		for _, name := range []string{"image_uri", "executor_image_uri", "python_module"} {
			noSpace(task.field(name), r)
		}
		for _, v := range task.field("env").list() {
			name := v.field("name")
			if noSpace(name, r) && !envName.MatchString(name.str()) {
				r.at(name, reason.InvalidValue, "A variable's name has letters, digits and underscores, no digit first.", "Choose such a name.")
			}
		}
	}
}

// noSpace checks a text that cannot have white space; it says whether there is a
// text to look at further.
func noSpace(n *node, r *report) bool {
	if n.str() == "" || n.bad {
		return false
	}
	if strings.ContainsFunc(templateHole.ReplaceAllString(n.str(), ""), unicode.IsSpace) {
		r.at(n, reason.InvalidValue, "The text has white space.", "Leave out the white space, also at the ends.")
		return false
	}
	return true
}
