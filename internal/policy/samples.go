package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// Bounds on what [Policy.Try] does, so that a large policy takes seconds at most.
const (
	mostTexts  = 20      // of an expression, each of which is tried in jobs of its own
	mostOfRule = 2000    // evaluations of one rule
	mostTried  = 200_000 // evaluations in all
)

// Try holds a few sample jobs of every tenant against the rules in CEL. It returns a warning
// for each rule that allows none of them: it is true of no sample, or cannot be evaluated.
// Such a rule may allow no job at all, which the rule alone does not show.
func (p *Policy) Try() (found []Problem) {
	if p == nil {
		return nil
	}
	var list []*tried
	known := map[string]*tried{} // by path
	add := func(r *Rules) {
		for _, e := range r.rules {
			if known[e.place.Path] == nil {
				known[e.place.Path] = &tried{rule: e}
				list = append(list, known[e.place.Path])
			}
			known[e.place.Path].of = append(known[e.place.Path].of, r)
		}
	}
	add(p.unnamed)
	for _, name := range p.Tenants() {
		add(p.tenants[name])
	}
	left := mostTried
	for _, t := range list {
		left -= t.try(min(left, mostOfRule))
	}
	list = slices.DeleteFunc(list, func(t *tried) bool { return t.allows })
	slices.SortFunc(list, func(a, b *tried) int {
		return cmp.Or(cmp.Compare(a.place.Line, b.place.Line), cmp.Compare(a.place.Path, b.place.Path))
	})
	for _, t := range list[:min(len(list), strict.MaxProblems)] {
		detail := fmt.Sprintf("The rule %q is true of none of the sample jobs that it was tried with, so it may allow no job.", t.name)
		if t.fails {
			detail = fmt.Sprintf("The rule %q allows none of the sample jobs that it was tried with, and cannot be evaluated for some, so it may allow no job.", t.name)
		}
		found = append(found, Problem{t.place.Line, reason.Problem{Code: reason.Warning, Path: t.place.Path, Detail: detail,
			Fix: "Make sure that it is true of a job that is to be allowed; berth policy apply without --yes holds it against the requests of the last days."}})
	}
	return found
}

// A tried rule is one that sample jobs are held against.
type tried struct {
	rule
	of     []*Rules // the tenants that it holds for
	fails  bool     // it cannot be evaluated for one sample at least
	allows bool     // it allows a sample, or was not tried
}

// try evaluates the rule at most so many times, and returns how often it did. The tenants
// that the rule itself names come first.
func (t *tried) try(most int) (n int) {
	if t.never != "" {
		t.allows = true // which is reported as the policy is read
		return 0
	}
	slices.SortStableFunc(t.of, func(a, b *Rules) int {
		return cmp.Compare(slices.Index(t.texts, b.Tenant), slices.Index(t.texts, a.Tenant))
	})
	for _, r := range t.of {
		for job := range r.samples(t.texts) {
			if n == most {
				t.allows = n == 0
				return n
			}
			n++
			value, _, err := t.program.Eval(map[string]any{"job": job, "tenant": cmp.Or(r.Tenant, "any-other-tenant")})
			if t.allows = err == nil && value == types.True; t.allows {
				return n
			}
			t.fails = t.fails || err != nil
		}
	}
	return n
}

// samples are jobs as they may reach the rules of the tenant: small and large ones, with
// the labels that the policy adds and requires. The texts stand in every field of text in
// turn, because a rule often asks for one of those that it compares with.
func (r *Rules) samples(texts []string) func(func(*aiplatformpb.CustomJob) bool) {
	return func(yield func(*aiplatformpb.CustomJob) bool) {
		for _, text := range append([]string{""}, texts...) {
			for _, large := range []bool{false, true} {
				if !yield(r.sample(text, texts, large)) {
					return
				}
			}
		}
	}
}

func (r *Rules) sample(text string, texts []string, large bool) *aiplatformpb.CustomJob {
	written := cmp.Or(text, "sample")
	pool := func() *aiplatformpb.WorkerPoolSpec {
		return &aiplatformpb.WorkerPoolSpec{ReplicaCount: 1, MachineSpec: &aiplatformpb.MachineSpec{MachineType: cmp.Or(text, "n1-standard-4")},
			DiskSpec: &aiplatformpb.DiskSpec{BootDiskType: "pd-ssd", BootDiskSizeGb: 100},
			Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{
				ImageUri: cmp.Or(text, "docker.io/library/sample@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")}}}
	}
	spec := &aiplatformpb.CustomJobSpec{PersistentResourceId: written, WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{pool()}, ServiceAccount: text,
		Scheduling: &aiplatformpb.Scheduling{Timeout: durationpb.New(r.TimeoutOf(time.Hour))}}
	job := &aiplatformpb.CustomJob{DisplayName: written, JobSpec: spec}
	labels := map[string]string{}
	if text != "" {
		for _, key := range texts {
			labels[key] = text
		}
	}
	if large {
		spec.WorkerPoolSpecs = append(spec.WorkerPoolSpecs, pool())
		spec.Network, spec.ServiceAccount, spec.EnableWebAccess = written, written, !r.noWebAccess
		spec.BaseOutputDirectory = &aiplatformpb.GcsDestination{OutputUriPrefix: cmp.Or(text, "gs://sample/")}
		spec.Scheduling.DisableRetries, spec.Scheduling.RestartJobOnWorkerRestart = true, true
		for _, w := range spec.WorkerPoolSpecs {
			w.ReplicaCount = 8
			w.MachineSpec.AcceleratorType, w.MachineSpec.AcceleratorCount = aiplatformpb.AcceleratorType_NVIDIA_TESLA_T4, 8
			c := w.GetContainerSpec()
			c.Command, c.Args, c.Env = []string{written}, []string{written}, []*aiplatformpb.EnvVar{{Name: written, Value: written}}
		}
	}
	for _, key := range r.require {
		labels[key] = written
	}
	maps.Copy(labels, r.add)
	job.Labels = labels
	return job
}

// ownLabels are the keys of the labels that every job has which the rules allow.
func (r *Rules) ownLabels() map[string]bool {
	all := map[string]bool{}
	for _, key := range r.require {
		all[key] = true
	}
	for key := range r.add {
		all[key] = true
	}
	return all
}

// textsOf returns the texts that stand in an expression, without repeats.
func textsOf(a *cel.Ast) (all []string) {
	celast.PreOrderVisit(celast.NavigateAST(a.NativeRep()), celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.LiteralKind || len(all) == mostTexts {
			return
		}
		if s, is := e.AsLiteral().Value().(string); is && s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}))
	return all
}
