package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/strict"
)

// A rule that allows no sample job is warned of, and one that demands what a job may have is
// not.
func TestTry(t *testing.T) {
	for expr, want := range map[string]string{
		`tenant == "nobody"`:                                 "is true of none",
		`job.jobSpec.workerPoolSpecs.size() == 0`:            "is true of none",
		`job.displayName != job.displayName`:                 "is true of none",
		`!("fake" in job.labels)`:                            "is true of none",
		`job.labels["fake"] == "y"`:                          "is true of none",
		`job.labels["a" + job.displayName] == "x"`:           "cannot be evaluated for some",
		`job.jobSpec.scheduling.timeout > duration("7200s")`: "is true of none",

		`tenant == "vision"`:               "",
		`tenant != "vision"`:               "",
		`job.labels["fake"] == "x"`:        "",
		`job.labels.team != ""`:            "",
		`job.displayName.startsWith("x-")`: "",
		`"cost-centre" in job.labels && job.labels["cost-centre"].startsWith("c")`:                     "",
		`job.jobSpec.workerPoolSpecs.all(p, p.containerSpec.imageUri.contains("@sha256:"))`:            "",
		`job.jobSpec.workerPoolSpecs.size() > 1`:                                                       "",
		`job.jobSpec.workerPoolSpecs[0].replicaCount == 1`:                                             "",
		`job.jobSpec.workerPoolSpecs[0].machineSpec.acceleratorCount >= 1`:                             "",
		`job.displayName == "a" && job.jobSpec.serviceAccount == "b"`:                                  "is true of none", // it demands two texts at once
		`!job.jobSpec.scheduling.disableRetries && job.jobSpec.serviceAccount.endsWith("@x.org")`:      "",
		`job.jobSpec.workerPoolSpecs.all(p, p.machineSpec.machineType.matches("n1-.*"))`:               "",
		`job.jobSpec.workerPoolSpecs.exists(p, p.containerSpec.env.exists(e, e.name == "WANDB_MODE"))`: "",
		`true`: "",
	} {
		p := policyOf(t, fmt.Sprintf("defaults:\n  serviceAccounts: any\n  timeouts: {max: 7200s}\n  labels: {add: {fake: x}, require: [team]}\n  rules: [{name: one, expr: %q}]\ntenants: {vision: {}, speech: {weight: 2}}", expr))
		found := p.Try()
		switch {
		case want == "" && found != nil:
			t.Errorf("%s: %v", expr, found)
		case want != "" && (len(found) != 1 || found[0].Line != 5 || found[0].Path != "defaults.rules[0].expr" || !strings.Contains(found[0].Detail, want)):
			t.Errorf("%s: %v, want one that says %q", expr, found, want)
		}
	}
	// Rules of tenants, in the order of the text; and no policy has none.
	p := policyOf(t, "tenants:\n  b:\n    serviceAccounts: any\n    rules: [{name: x, expr: 'tenant == \"a\"'}]\n  a:\n    serviceAccounts: any\n    rules: [{name: x, expr: 'tenant == \"b\"'}, {name: y, expr: 'tenant == \"a\"'}]\n")
	if found := p.Try(); len(found) != 2 || found[0].Path != "tenants.b.rules[0].expr" || found[1].Path != "tenants.a.rules[0].expr" || found[1].Line != 7 {
		t.Errorf("%v", found)
	}
	if found := (*Policy)(nil).Try(); found != nil {
		t.Errorf("%v", found)
	}
	teams, err := os.ReadFile("../../testdata/policies/teams.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if found := policyOf(t, string(teams)).Try(); found != nil {
		t.Errorf("%v", found)
	}
}

// The largest policy is tried in seconds.
func TestTryIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("defaults:\n  serviceAccounts: any\n  rules:\n")
	fmt.Fprintf(&b, "  - {name: named, expr: 'tenant == \"t990\"'}\n")
	for i := range 30 {
		fmt.Fprintf(&b, "  - {name: r%d, expr: 'tenant == \"nobody\" && job.displayName in [\"a\", \"b\", \"c\", \"d\", \"e%d\"]'}\n", i, i)
	}
	b.WriteString("tenants:\n")
	for i := range MaxTenants - 1 {
		fmt.Fprintf(&b, "  t%d:\n", i)
	}
	fmt.Fprintf(&b, "  last: {rules: [{name: own, expr: 'tenant == \"last\"'}, {name: not-own, expr: 'tenant != \"last\"'}]}\n")
	began := time.Now()
	found := policyOf(t, b.String()).Try()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if len(found) != strict.MaxProblems || found[0].Path != "defaults.rules[1].expr" {
		t.Errorf("%d rules are warned of: %v", len(found), found)
	}
}
