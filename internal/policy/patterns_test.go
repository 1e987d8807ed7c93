package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A match is priced by the instructions of its pattern: what takes seconds is refused as the
// policy is checked, or cut off as it runs. Before, a pattern of 30 characters with
// repetitions within each other could take seconds for each message.
func TestPatternsAreBounded(t *testing.T) {
	rule := func(expr string) string {
		return fmt.Sprintf("defaults: {serviceAccounts: any, rules: [{name: r, expr: '%s'}]}", expr)
	}
	env := func(pattern string) string {
		return `job.jobSpec.workerPoolSpecs.all(w, w.containerSpec.env.all(e, !e.value.matches("` + pattern + `")))`
	}
	for expr, code := range map[string]reason.Code{
		env("([a-z0-9]{1,30}-?){1,30}!"):                         reason.TooLarge,
		env("(a{1,30}){1,30}b"):                                  reason.TooLarge,
		`matches(job.displayName, "((a{1,9}){1,9}){1,9}b")`:      reason.TooLarge,
		`job.displayName.matches(job.labels["pattern"])`:         reason.InvalidValue,
		`job.displayName.matches("a" + tenant)`:                  reason.InvalidValue,
		env("^[a-z0-9-]+$"):                                      "",
		`job.displayName.matches("^team-[a-z]{1,20}-[0-9]+$")`:   "",
		`matches(job.displayName, "^(dev|prod)-")`:               "",
		`job.labels.all(k, job.labels[k].matches("^[a-z_-]*$"))`: "",
	} {
		p, problems := Parse([]byte(rule(expr)))
		switch {
		case code == "" && p == nil:
			t.Errorf("%s: %v", expr, problems)
		case code != "" && (p != nil || !slices.ContainsFunc(problems, func(f Problem) bool { return f.Code == code })):
			t.Errorf("%s: %v, want %s", expr, problems, code)
		}
	}
	// One that is taken for jobs as they are is cut off on the largest.
	p := policyOf(t, rule(`job.jobSpec.workerPoolSpecs.all(w, w.containerSpec.args.all(a, !a.matches("(x[a-z]{1,20}){1,3}!")))`))
	for length, want := range map[int]int{1000: 0, 200_000: 1} {
		job, err := message.ParseJob(fmt.Appendf(nil, `{"displayName":"x","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"i","args":["%s"]}}]}}`, strings.Repeat("x", length)))
		if err != nil {
			t.Fatal(err)
		}
		if found := p.Tenant("a").Check(&message.Request{Job: job}, region+"gpu"); len(found) != want {
			t.Errorf("%d characters: %v, want %d problems", length, found, want)
		}
	}
	if n := instructions("(a{1,30}){1,30}b"); n < 900 {
		t.Errorf("%d instructions", n)
	}
	if instructions("a") > 5 || instructions("(") != 1 {
		t.Error("short patterns")
	}
}
