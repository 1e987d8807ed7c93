package policy

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// Check returns everything in a request that the rules do not allow, in the order of its
// fields. resource is the full name of the persistent resource that the request means. The
// job is as the request brought it, or with the defaults of the rules ([Rules.Labels] and a
// time limit), which the expressions see.
func (r *Rules) Check(q *message.Request, resource string) []reason.Problem {
	if r == nil {
		return nil
	}
	c := checker{rules: r, q: q, job: q.Job}
	c.request(resource)
	c.spec()
	for i, pool := range q.Job.GetJobSpec().GetWorkerPoolSpecs() {
		c.pool(i, pool)
	}
	return append(c.found, r.checkExpressions(q.Job, resource)...)
}

// Labels returns the labels of a job with those that the rules add. A label that
// contradicts one of them stays, and [Rules.Check] refuses it.
func (r *Rules) Labels(labels map[string]string) map[string]string {
	if r == nil || len(r.add) == 0 {
		return labels
	}
	all := maps.Clone(r.add)
	maps.Copy(all, labels)
	return all
}

// PriorityOf returns the priority of a request that names this one, 0 for none.
func (r *Rules) PriorityOf(named int) int {
	if r == nil {
		return named
	}
	return cmp.Or(named, r.Priority)
}

// WaitOf returns the longest wait of a request that names none, by that of the deployment.
func (r *Rules) WaitOf(usual time.Duration) time.Duration {
	if r == nil || r.MaxWait == 0 {
		return usual
	}
	return min(usual, r.MaxWait)
}

// TimeoutOf returns the time limit of a job that sets none, by that of the deployment.
func (r *Rules) TimeoutOf(usual time.Duration) time.Duration {
	if r == nil {
		return usual
	}
	return min(cmp.Or(r.DefaultTimeout, usual), cmp.Or(r.MaxTimeout, math.MaxInt64))
}

// A checker holds one request against the rules of its tenant.
type checker struct {
	rules *Rules
	q     *message.Request
	job   *aiplatformpb.CustomJob
	found []reason.Problem
}

func (c *checker) refuse(code reason.Code, path, detail, fix string) {
	c.found = append(c.found, reason.Problem{Code: code, Path: c.q.Paths.At(path), Detail: detail, Fix: fix})
}

const askOperators = "Ask the operators who may use others."

// write is the fix that lists what a tenant may write in a field.
func write(list []string) string {
	const most = 5
	if len(list) == 0 {
		return "The policy allows this tenant none. " + askOperators
	}
	var few []string
	for _, s := range list[:min(len(list), most)] {
		few = append(few, strings.TrimSuffix(s, "/"))
	}
	rest := ""
	if n := len(list) - most; n > 0 {
		rest = " and " + reason.Count(n, "other")
	}
	return "The policy allows this tenant " + strings.Join(few, ", ") + rest + "."
}

// request checks what the request says beside the job.
func (c *checker) request(resource string) {
	r := c.rules
	if !r.resources.any(func(s string) bool { return sameResource(s, resource) }) {
		detail := "The policy does not let this tenant use the persistent resource."
		if c.q.PersistentResource == "" {
			detail = "The request names no persistent resource, and the policy does not let this tenant use the default of the deployment."
		}
		c.refuse(reason.PolicyResource, "persistentResource", detail, write(r.resources.list))
	}
	if n := r.PriorityOf(c.q.Priority); n < r.MinPriority || n > r.MaxPriority {
		c.refuse(reason.PolicyPriority, "priority", fmt.Sprintf("The priority is %d; the policy lets this tenant ask for %d to %d.", n, r.MinPriority, r.MaxPriority),
			fmt.Sprintf("Set it to at most %d and at least %d, or leave it out for %d.", r.MaxPriority, r.MinPriority, r.Priority))
	}
	if r.MaxWait > 0 && c.q.MaxWait > r.MaxWait {
		c.refuse(reason.PolicyLimit, "maxWait", fmt.Sprintf("The request may wait %s; the policy lets requests of this tenant wait %s.", seconds(c.q.MaxWait), seconds(r.MaxWait)),
			fmt.Sprintf("Set it to at most %q, or leave it out for that.", seconds(r.MaxWait)))
	}
	if n := int64(c.q.Ask.Replicas()); r.MaxReplicas > 0 && n > r.MaxReplicas {
		c.refuse(reason.PolicyLimit, "jobSpec.workerPoolSpecs", fmt.Sprintf("The job asks for %s; the policy lets a job of this tenant have %d.", reason.Count(n, "replica"), r.MaxReplicas),
			fmt.Sprintf("Ask for at most %s in all worker pools together.", reason.Count(r.MaxReplicas, "replica")))
	}
	c.labels()
}

func (c *checker) labels() {
	r, has := c.rules, c.job.GetLabels()
	all := r.Labels(has)
	for _, key := range r.require {
		if all[key] == "" {
			c.refuse(reason.PolicyLabel, "labels", fmt.Sprintf("The policy requires the label %q.", key), fmt.Sprintf("Add it with a value: {%q: ...}.", key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.add)) {
		if value, set := has[key]; set && value != r.add[key] {
			c.refuse(reason.PolicyLabel, "labels", fmt.Sprintf("The policy gives every job of this tenant the label %q with another value.", key), fmt.Sprintf("Leave the label out, or write %q.", r.add[key]))
		}
	}
	if len(all) > message.MaxLabels {
		c.refuse(reason.PolicyLabel, "labels", fmt.Sprintf("With the labels that the policy adds the job has %d labels; at most %d are possible.", len(all), message.MaxLabels), fmt.Sprintf("Leave out %d.", len(all)-message.MaxLabels))
	}
}

// spec checks the fields of the job beside its worker pools.
func (c *checker) spec() {
	r, spec := c.rules, c.job.GetJobSpec()
	if d := spec.GetScheduling().GetTimeout().AsDuration(); r.MaxTimeout > 0 && d > r.MaxTimeout {
		c.refuse(reason.PolicyLimit, "jobSpec.scheduling.timeout", fmt.Sprintf("The job may run for %s; the policy lets a job of this tenant run for %s.", seconds(d), seconds(r.MaxTimeout)),
			fmt.Sprintf("Set it to at most %q.", seconds(r.MaxTimeout)))
	}
	account := cmp.Or(spec.GetServiceAccount(), ServiceAgent)
	if !r.accounts.any(func(s string) bool { return s == account }) {
		detail := "The policy does not let this tenant run jobs as this service account."
		if account == ServiceAgent {
			detail = "The job names no service account, and the policy does not let this tenant run jobs as Vertex AI's service agent."
		}
		c.refuse(reason.PolicyAccount, "jobSpec.serviceAccount", detail, write(r.accounts.list))
	}
	networks := func(path, name string, same func(a, b string) bool) {
		if name != "" && !r.networks.any(func(s string) bool { return same(s, name) }) {
			c.refuse(reason.PolicyNetwork, path, "The policy does not let jobs of this tenant use this network.", write(r.networks.list))
		}
	}
	// The number and the id of a project count as the same in the job's network alone: that has
	// to be the persistent resource's too, which Vertex AI decides.
	exactly := func(a, b string) bool { return a == b }
	networks("jobSpec.network", spec.GetNetwork(), admission.SameNetwork)
	networks("jobSpec.pscInterfaceConfig.networkAttachment", spec.GetPscInterfaceConfig().GetNetworkAttachment(), exactly)
	for i, peering := range spec.GetPscInterfaceConfig().GetDnsPeeringConfigs() {
		networks(fmt.Sprintf("jobSpec.pscInterfaceConfig.dnsPeeringConfigs[%d]", i), "projects/"+peering.GetTargetProject()+"/global/networks/"+peering.GetTargetNetwork(), exactly)
	}
	if place := spec.GetBaseOutputDirectory().GetOutputUriPrefix(); place != "" && !r.outputs.any(func(s string) bool { return below(place, s) }) {
		c.refuse(reason.PolicyStorage, "jobSpec.baseOutputDirectory.outputUriPrefix", "The policy does not let jobs of this tenant write here.", write(r.outputs.list))
	}
	web := func(path string, on bool) {
		if on && r.noWebAccess {
			c.refuse(reason.PolicyWebAccess, path, "The policy does not let anybody open a shell or a dashboard in jobs of this tenant.", "Leave it out.")
		}
	}
	web("jobSpec.enableWebAccess", spec.GetEnableWebAccess())
	web("jobSpec.enableDashboardAccess", spec.GetEnableDashboardAccess())
}

// pool checks what one worker pool runs.
func (c *checker) pool(i int, pool *aiplatformpb.WorkerPoolSpec) {
	at := func(field string) string { return fmt.Sprintf("jobSpec.workerPoolSpecs[%d].%s", i, field) }
	if container := pool.GetContainerSpec(); container != nil {
		c.image(at("containerSpec.imageUri"), container.GetImageUri())
		c.env(at("containerSpec.env"), container.GetEnv())
	}
	if python := pool.GetPythonPackageSpec(); python != nil {
		c.image(at("pythonPackageSpec.executorImageUri"), python.GetExecutorImageUri())
		c.env(at("pythonPackageSpec.env"), python.GetEnv())
		for k, uri := range python.GetPackageUris() {
			if !c.rules.packages.any(func(s string) bool { return below(uri, s) }) {
				c.refuse(reason.PolicyStorage, at(fmt.Sprintf("pythonPackageSpec.packageUris[%d]", k)), "The policy does not let jobs of this tenant run packages from here.", write(c.rules.packages.list))
			}
		}
	}
}

func (c *checker) image(path, uri string) {
	r := c.rules
	if !r.repositories.set && !r.digestOnly {
		return
	}
	image, ok := parseImage(uri)
	switch {
	case !ok:
		c.refuse(reason.PolicyImage, path, "The image cannot be held against the policy, because its name does not follow the grammar of registries.", "Write it as HOST/PATH:TAG or HOST/PATH@sha256:DIGEST, in small letters.")
		return
	case !r.repositories.any(image.within):
		c.refuse(reason.PolicyImage, path, "The policy does not let jobs of this tenant run images of this repository.", write(r.repositories.list))
	}
	if r.digestOnly && !image.digest {
		c.refuse(reason.PolicyImage, path, "The policy lets jobs of this tenant run images by digest only, because a tag may name another image later.", "Write the image as HOST/PATH@sha256:DIGEST.")
	}
}

func (c *checker) env(path string, env []*aiplatformpb.EnvVar) {
	for i, v := range env {
		if !c.rules.env.any(func(s string) bool { return sameVariable(s, v.GetName()) }) {
			c.refuse(reason.PolicyEnv, fmt.Sprintf("%s[%d].name", path, i), "The policy does not let jobs of this tenant set this variable.", write(c.rules.env.list))
		}
	}
}
