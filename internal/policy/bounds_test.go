package policy

import (
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

func jobWithOutput(place string) *aiplatformpb.CustomJob {
	return &aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{
		WorkerPoolSpecs:     []*aiplatformpb.WorkerPoolSpec{{Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "i"}}}},
		BaseOutputDirectory: &aiplatformpb.GcsDestination{OutputUriPrefix: place}}}
}

func only(t *testing.T, problems []Problem, code reason.Code, path string) {
	t.Helper()
	if len(problems) != 1 || problems[0].Code != code || problems[0].Path != path {
		t.Errorf("problems %v, want one of %s at %q", problems, code, path)
	}
}

func TestBounds(t *testing.T) {
	tenants := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "  t%d: {}\n", i)
		}
		return "defaults: {serviceAccounts: any}\ntenants:\n" + b.String()
	}
	policyOf(t, tenants(MaxTenants))
	_, problems := Parse([]byte(tenants(MaxTenants + 1)))
	only(t, problems, reason.TooLarge, "tenants")

	rules := func(common, own int) string {
		list := func(name string, n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "\n  - {name: %s%d, expr: \"true\"}", name, i)
			}
			return b.String()
		}
		return "defaults:\n  serviceAccounts: any\n  rules:" + list("d", common) + "\ntenants:\n a:\n  rules:" + list("a", own)
	}
	policyOf(t, rules(MaxRules-1, 1))
	_, problems = Parse([]byte(rules(MaxRules-1, 2)))
	only(t, problems, reason.TooLarge, "tenants.a.rules")

	text := "defaults: {serviceAccounts: any}\n#"
	policyOf(t, text+strings.Repeat("x", MaxText-len(text)))
	_, problems = Parse([]byte(text + strings.Repeat("x", MaxText-len(text)+1)))
	only(t, problems, reason.TooLarge, "")

	expr := func(n int) string {
		return "defaults: {serviceAccounts: any, rules: [{name: a, expr: \"'" + strings.Repeat("x", n-len("''!=''")) + "'!=''\"}]}"
	}
	policyOf(t, expr(maxExpression))
	_, problems = Parse([]byte(expr(maxExpression + 1)))
	only(t, problems, reason.TooLarge, "defaults.rules[0].expr")
}

// Expressions of a tenant share one bound on their cost, so that a job made to be expensive
// is refused after a fraction of a second.
func TestExpressionsShareTheirCost(t *testing.T) {
	args := make([]string, 9000)
	for i := range args {
		args[i] = "0123456789012345"
	}
	job := &aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{
		{Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "i", Args: args}}}}}}
	check := func(n int) []reason.Problem {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "\n  - {name: r%d, expr: \"job.jobSpec.workerPoolSpecs.all(p, p.containerSpec.args.all(a, !a.contains('secret') && a.size() < 100))\"}", i)
		}
		p := policyOf(t, "defaults:\n  serviceAccounts: any\n  rules:"+b.String())
		return p.Tenant("a").Check(&message.Request{Job: job}, region+"gpu")
	}
	if found := check(3); found != nil {
		t.Errorf("three rules over the largest job: %v", found)
	}
	found := check(MaxRules)
	if len(found) == 0 || len(found) > MaxRules-3 || found[0].Code != reason.PolicyRule || !strings.Contains(found[0].Detail, "cannot be evaluated") {
		t.Fatalf("%d problems, want those of the rules beyond the bound", len(found))
	}
}

func TestAnErrorIsARefusalAndDoesNotQuoteTheJob(t *testing.T) {
	p := policyOf(t, `defaults: {serviceAccounts: any, rules: [{name: number, expr: "int(job.displayName) > 0"}]}`)
	found := p.Tenant("a").Check(&message.Request{Job: &aiplatformpb.CustomJob{DisplayName: "canary"}}, region+"gpu")
	want := `POLICY_RULE: The rule "number" of the policy cannot be evaluated for this job, so it does not allow it. Set the fields of the job that the rule reads, and make the job smaller if it is large; or ask the operators to test with has() whether a field is set.`
	if len(found) != 1 || found[0].String() != want {
		t.Errorf("%v, want %s", found, want)
	}
}

// Without a policy everything is allowed and nothing is set.
func TestNoPolicy(t *testing.T) {
	var p *Policy
	r := p.Tenant("a")
	if found := r.Check(&message.Request{Job: jobWithOutput("gs://x"), Priority: 1000}, region+"gpu"); found != nil {
		t.Errorf("refused: %v", found)
	}
	if r.PriorityOf(7) != 7 || r.Labels(nil) != nil || p.Tenants() != nil || p.Unnamed() != nil {
		t.Error("no policy sets something")
	}
}

// What a policy without defaults does not name cannot take what is hard to take back.
func TestTenantsThatAreNotThoughtOf(t *testing.T) {
	r := policyOf(t, "tenants: {a: {serviceAccounts: any}}").Tenant("b")
	q := func(priority int, account string) *message.Request {
		job := jobWithOutput("gs://x")
		job.JobSpec.ServiceAccount = account
		return &message.Request{Job: job, Priority: priority}
	}
	codes := func(q *message.Request) (all []reason.Code) {
		for _, f := range r.Check(q, region+"gpu") {
			all = append(all, f.Code)
		}
		return all
	}
	if got := fmt.Sprint(codes(q(0, "")), codes(q(-1000, "")), codes(q(1, "")), codes(q(0, "a@p.iam.gserviceaccount.com"))); got != "[] [] [POLICY_PRIORITY] [POLICY_ACCOUNT]" {
		t.Error(got)
	}
	if r.Tenant != "b" {
		t.Errorf("the rules are of %q", r.Tenant)
	}
}

func TestReclaims(t *testing.T) {
	p := policyOf(t, `
defaults: {serviceAccounts: any, timeouts: {max: 3600s}}
tenants:
  a:
    shares: [{persistentResource: gpu, shape: "m/pd-ssd:100", replicas: 2}, {persistentResource: cpu, shape: "m/pd-ssd:100", replicas: 1}, {persistentResource: lent, shape: "m/pd-ssd:100", replicas: 0}]
  b: {timeouts: {max: 7200s}, persistentResources: [gpu]}
  c: {timeouts: {max: 86400s}, shares: [{persistentResource: gpu, shape: "m/pd-ssd:100", replicas: 3, cap: 3}], persistentResources: [projects/p/locations/l/persistentResources/gpu]}
`)
	for _, c := range policyOf(t, "reclaim: inOrder\ndefaults: {serviceAccounts: any, timeouts: {max: 3600s}}\ntenants: {a: {shares: [{persistentResource: gpu, shape: \"m/pd-ssd:100\", replicas: 2}]}}").Reclaims() {
		if !c.InOrder || c.Within != 0 || c.By != "" {
			t.Errorf("in order: %+v", c)
		}
	}
	got := ""
	for _, c := range p.Reclaims() {
		got += fmt.Sprintf("%s %s %s by %q; ", c.Tenant, c.Share.Resource, c.Within, c.By)
	}
	if want := `a gpu 2h0m0s by "b"; a cpu 1h0m0s by ""; c gpu 2h0m0s by "b"; `; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestSharesAreOfResources(t *testing.T) {
	for written, want := range map[string]bool{"gpu": true, region + "gpu": true, "projects/p/locations/us/persistentResources/gpu": false, "pu": false, "gpu2": false} {
		if (Share{Resource: written}).Of(region+"gpu") != want {
			t.Errorf("%s: %v", written, !want)
		}
	}
}
