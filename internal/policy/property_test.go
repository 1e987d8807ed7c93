package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

var (
	hosts = []string{"gcr.io", "gcr.io.evil", "GCR.io", "docker.io", "us-docker.pkg.dev", "gcr.io:443"}
	parts = []string{"a", "ab", "b", "library", "a-b", "a.b"}
	tags  = []string{"", ":1", ":latest", "@sha256:" + strings.Repeat("0123456789abcdef", 4), ":1@sha256:" + strings.Repeat("0123456789abcdef", 4)}
)

func path(t *rapid.T, label string, least int) []string {
	return rapid.SliceOfN(rapid.SampledFrom(parts), least, 3).Draw(t, label)
}

// begins reports whether a path has another as its first parts.
func begins(path, start []string) bool {
	return len(path) >= len(start) && slices.Equal(path[:len(start)], start)
}

// An image is allowed exactly if its host and the first parts of its path are those of a
// repository, and if it has a digest where that is required.
func TestImagesAreComparedByParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host, uriHost := rapid.SampledFrom(hosts).Draw(t, "host"), rapid.SampledFrom(hosts).Draw(t, "host of the image")
		repository, uri, tag := path(t, "repository", 1), path(t, "image", 1), rapid.SampledFrom(tags).Draw(t, "tag")
		pinned := rapid.Bool().Draw(t, "digest only")
		p, problems := Parse(fmt.Appendf(nil, "defaults: {serviceAccounts: any, images: {repositories: [%q], digestOnly: %v}}", host+"/"+strings.Join(repository, "/"), pinned))
		if problems != nil {
			t.Fatal(problems)
		}
		written := uriHost + "/" + strings.Join(uri, "/") + tag
		if uriHost == "docker.io" && len(uri) == 1 {
			uri = append([]string{"library"}, uri...)
		}
		if host == "docker.io" && len(repository) == 1 { // by the grammar, a name alone is one of the library
			repository = append([]string{"library"}, repository...)
		}
		want := strings.EqualFold(host, uriHost) && begins(uri, repository) && (!pinned || strings.Contains(tag, "@"))
		found := p.Tenant("x").Check(requestOf(t, fmt.Appendf(nil, `[{"machineSpec": {"machineType": "m"}, "replicaCount": 1, "containerSpec": {"imageUri": %q}}]`, written)), region+"gpu")
		if (found == nil) != want || slices.ContainsFunc(found, func(f reason.Problem) bool { return f.Code != reason.PolicyImage }) {
			t.Fatalf("%s: %v, want allowed: %v", written, found, want)
		}
	})
}

// A place in Cloud Storage is allowed exactly if its bucket and first folders are those of
// the policy.
func TestPlacesAreComparedByParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"aaa", "aaab", "bbb", "..", "."})
		within := rapid.SliceOfN(rapid.SampledFrom([]string{"aaa", "aaab", "bbb"}), 1, 3).Draw(t, "allowed")
		place := append([]string{rapid.SampledFrom([]string{"aaa", "aaab", "bbb"}).Draw(t, "bucket")}, rapid.SliceOfN(names, 0, 3).Draw(t, "folders")...)
		p, problems := Parse(fmt.Appendf(nil, "defaults: {serviceAccounts: any, outputs: [%q]}", "gs://"+strings.Join(within, "/")+strings.Repeat("/", rapid.IntRange(0, 1).Draw(t, "slash"))))
		if problems != nil {
			t.Fatal(problems)
		}
		want := begins(place, within) && !slices.Contains(place, "..") && !slices.Contains(place, ".")
		q := &message.Request{Job: jobWithOutput("gs://" + strings.Join(place, "/"))}
		if found := p.Tenant("x").Check(q, region+"gpu"); (found == nil) != want {
			t.Fatalf("%v within %v: %v, want allowed: %v", place, within, found, want)
		}
	})
}

// A tenant's field replaces that of the defaults, and what it leaves out it has of them.
func TestATenantBeginsAsTheDefaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := map[string]func(n int) any{
			"maxReplicas": func(n int) any { return n }, "maxRunning": func(n int) any { return n }, "maxWaiting": func(n int) any { return n },
			"weight": func(n int) any { return n }, "maxWait": func(n int) any { return fmt.Sprintf("%ds", n) },
		}
		draw := func(label string) map[string]any {
			of := map[string]any{}
			for name, value := range fields {
				if rapid.Bool().Draw(t, label+name) {
					of[name] = value(rapid.IntRange(1, 100).Draw(t, label+name+" is"))
				}
			}
			return of
		}
		defaults, own := draw("default "), draw("own ")
		defaults["serviceAccounts"] = "any"
		text, err := json.Marshal(map[string]any{"defaults": defaults, "tenants": map[string]any{"a": own, "b": nil}})
		if err != nil {
			t.Fatal(err)
		}
		p, problems := Parse(text)
		if problems != nil {
			t.Fatal(problems)
		}
		joined := map[string]any{"serviceAccounts": "any"}
		for name := range fields {
			if v, set := defaults[name]; set {
				joined[name] = v
			}
			if v, set := own[name]; set {
				joined[name] = v
			}
		}
		text, err = json.Marshal(map[string]any{"defaults": joined})
		if err != nil {
			t.Fatal(err)
		}
		want, problems := Parse(text)
		if problems != nil {
			t.Fatal(problems)
		}
		sums := func(r *Rules) string {
			return fmt.Sprint(r.MaxReplicas, r.MaxRunning, r.MaxWaiting, r.Weight, r.MaxWait)
		}
		if got, want := sums(p.Tenant("a")), sums(want.Tenant("a")); got != want {
			t.Errorf("the tenant has %s, want %s", got, want)
		}
		if got, want := sums(p.Tenant("b")), sums(p.Tenant("elsewhere")); got != want {
			t.Errorf("a tenant that says nothing has %s, one that is not named %s", got, want)
		}
	})
}

// Every text is either a policy or has problems, each with what is wrong and how to mend it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "defaults: {serviceAccounts: any}", "tenants: {a: {serviceAccounts: [a@b.iam.gserviceaccount.com], rules: [{name: x, expr: 'true'}]}}",
		"a: &a [*a]", "defaults: &d {serviceAccounts: any, shares: [{persistentResource: p, shape: m/pd-ssd:100, replicas: 1}]}\ntenants: {a: *d}",
		"defaults: {<<: {serviceAccounts: any}, labels: {add: {a: b}}}", "defaults: {serviceAccounts: any, priorities: {min: 1e1, max: 9999999999999999999}}",
		"defaults: {serviceAccounts: any, rules: [{name: a, expr: '" + strings.Repeat("(", 300) + "'}]}", "tenants: [a]", "{", "defaults: !!set {a}", "\xff",
	} {
		f.Add([]byte(seed))
	}
	job := jobWithOutput("gs://aaa/b")
	f.Fuzz(func(t *testing.T, text []byte) {
		p, problems := Parse(text)
		if (p == nil) == (problems == nil) {
			t.Fatalf("policy %v and problems %v", p, problems)
		}
		for _, problem := range append(problems, p.warnings()...) {
			if problem.Code == "" || problem.Detail == "" || problem.Fix == "" || problem.Line < 0 {
				t.Errorf("%+v does not say what is wrong and how to mend it", problem)
			}
		}
		for _, name := range append(p.Tenants(), "x") {
			p.Tenant(name).Check(&message.Request{Job: job}, region+"gpu")
		}
	})
}

func (p *Policy) warnings() []Problem {
	if p == nil {
		return nil
	}
	return p.Warnings
}
