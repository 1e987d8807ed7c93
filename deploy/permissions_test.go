package deploy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// adapterCalls are the calls of Google's services that internal/gcp makes, by client and
// method, each with the permissions that it needs. The pages on the access control of
// the services say which.
var adapterCalls = map[string][]string{
	"jobs.CreateCustomJob":            {"aiplatform.customJobs.create"},
	"jobs.GetCustomJob":               {"aiplatform.customJobs.get"},
	"jobs.ListCustomJobs":             {"aiplatform.customJobs.list"},
	"jobs.CancelCustomJob":            {"aiplatform.customJobs.cancel"},
	"resources.GetPersistentResource": {"aiplatform.persistentResources.get"},
	"client.BatchGetDocuments":        {"datastore.entities.get"},
	"client.RunQuery":                 {"datastore.entities.get", "datastore.entities.list"},
	"client.Commit":                   {"datastore.entities.create", "datastore.entities.delete", "datastore.entities.get", "datastore.entities.update"},
	"client.Publish":                  {"pubsub.topics.publish"},
}

// adapterClients are the constructors of Google's clients that internal/gcp calls, by the
// name of the field that holds the client. A new client needs a name in [adapterCalls].
var adapterClients = map[string]string{
	"aiplatform.NewJobClient": "jobs", "aiplatform.NewPersistentResourceClient": "resources",
	"firestore.NewClient": "client", "pubsub.NewTopicAdminClient": "client",
}

// roleOf is the role that has the permissions of a service.
var roleOf = map[string]string{"aiplatform": "projects/demo-project/roles/berth_jobs", "datastore": "roles/datastore.user", "pubsub": "roles/pubsub.publisher"}

// needed returns the permissions on one service that the calls of internal/gcp need.
func needed(t *testing.T, service string) []string {
	t.Helper()
	calls, clients := called(t, "../internal/gcp")
	if diff := gocmp.Diff(slices.Sorted(maps.Keys(adapterCalls)), calls); diff != "" {
		t.Errorf("calls of internal/gcp (-adapterCalls +code); a new one needs a permission:\n%s", diff)
	}
	if diff := gocmp.Diff(slices.Sorted(maps.Keys(adapterClients)), clients); diff != "" {
		t.Errorf("clients of internal/gcp (-adapterClients +code):\n%s", diff)
	}
	var all []string
	for _, permissions := range adapterCalls {
		for _, p := range permissions {
			if strings.HasPrefix(p, service+".") {
				all = append(all, p)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// called returns the methods that a package calls on the clients that it holds, as
// "field.Method", and the constructors of clients that it calls.
func called(t *testing.T, dir string) (calls, clients []string) {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseDir(files, dir, func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, parser.SkipObjectResolution) //nolint:staticcheck // one package, without build tags
	if err != nil {
		t.Fatal(err)
	}
	fields := slices.Collect(maps.Values(adapterClients))
	for _, p := range parsed {
		ast.Inspect(p, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			on := ""
			switch x := s.X.(type) {
			case *ast.Ident:
				on = x.Name
			case *ast.SelectorExpr:
				on = x.Sel.Name
			}
			switch {
			case strings.HasPrefix(s.Sel.Name, "New") && strings.HasSuffix(s.Sel.Name, "Client"):
				clients = append(clients, on+"."+s.Sel.Name)
			case slices.Contains(fields, on) && s.Sel.Name != "Close":
				calls = append(calls, on+"."+s.Sel.Name)
			}
			return true
		})
	}
	slices.Sort(calls)
	slices.Sort(clients)
	return slices.Compact(calls), slices.Compact(clients)
}

// Terraform gives the rights that the script gives, and no others.
func TestTerraformGrants(t *testing.T) {
	t.Parallel()
	want := append(slices.Clone(grants),
		// Terraform puts the source into a bucket of its own.
		"storage buckets demo-project-berth-source: roles/storage.objectViewer to "+buildAs)
	p := configuration(t, "terraform", sameAsScript)
	var got []string
	add := func(kind, thing string) {
		for addr, g := range p.all(t, kind) {
			members, _ := g.at("members").([]any)
			if members == nil {
				members = []any{g.text("member")}
			}
			of := g.text(thing)
			if kind == "google_project_iam_member" {
				of = "demo-project"
			}
			group := map[string]string{
				"google_project_iam_member": "projects", "google_artifact_registry_repository_iam_member": "artifacts repositories",
				"google_service_account_iam_member": "iam service-accounts", "google_service_account_iam_binding": "iam service-accounts",
				"google_pubsub_topic_iam_member": "pubsub topics", "google_pubsub_subscription_iam_member": "pubsub subscriptions",
				"google_cloud_run_v2_service_iam_member": "run services", "google_storage_bucket_iam_member": "storage buckets",
			}[kind]
			for _, member := range members {
				if role := g.text("role"); strings.HasSuffix(role, ".admin") || slices.Contains([]string{"roles/owner", "roles/editor", "roles/viewer"}, role) {
					t.Errorf("%s: %s is never needed", addr, role)
				}
				line := group + " " + of[strings.LastIndexByte(of, '/')+1:] + ": " + g.text("role") + " to " + member.(string)
				switch condition := g.text("condition.0.expression"); {
				case condition != "":
					line += " if expression=" + condition + ",title=" + g.text("condition.0.title")
				case strings.HasPrefix(group, "projects"), strings.HasPrefix(group, "iam"), strings.HasPrefix(group, "run"):
					line += " if None"
				}
				got = append(got, line)
			}
		}
	}
	for kind, thing := range map[string]string{
		"google_project_iam_member": "", "google_artifact_registry_repository_iam_member": "repository", "google_service_account_iam_member": "service_account_id",
		"google_service_account_iam_binding": "service_account_id", "google_pubsub_topic_iam_member": "topic", "google_pubsub_subscription_iam_member": "subscription",
		"google_cloud_run_v2_service_iam_member": "name", "google_storage_bucket_iam_member": "bucket",
	} {
		add(kind, thing)
	}
	for _, b := range p.blocks {
		if kind := b.Labels[0]; b.Type == "resource" && strings.Contains(kind, "_iam_") && kind != "google_project_iam_custom_role" && !slices.Contains([]string{
			"google_project_iam_member", "google_artifact_registry_repository_iam_member", "google_service_account_iam_member", "google_service_account_iam_binding",
			"google_pubsub_topic_iam_member", "google_pubsub_subscription_iam_member", "google_cloud_run_v2_service_iam_member", "google_storage_bucket_iam_member",
		}, kind) {
			t.Errorf("this test does not know %s", kind)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +Terraform):\n%s", diff)
	}
	for service, role := range roleOf {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, ": "+role+" to "+runAs) }) {
			t.Errorf("the functions need %v, and have no %s", needed(t, service), role)
		}
	}
	for _, r := range p.all(t, "google_project_iam_custom_role") {
		var permissions []string
		list, _ := r.at("permissions").([]any)
		for _, each := range list {
			permissions = append(permissions, each.(string))
		}
		slices.Sort(permissions)
		if want := needed(t, "aiplatform"); !slices.Equal(permissions, want) {
			t.Errorf("the custom role permits %v, the calls of internal/gcp need %v", permissions, want)
		}
	}
	// Least variables give no member outside anything.
	for _, kind := range []string{"google_pubsub_topic_iam_member", "google_cloud_run_v2_service_iam_member", "google_service_account_iam_member"} {
		for addr, g := range configuration(t, "terraform", leastVariables).all(t, kind) {
			if member := g.text("member"); !slices.Contains([]string{runAs, pushAs, pubsubAs, "serviceAccount:sink@example.iam.gserviceaccount.com"}, member) {
				t.Errorf("%s: no variable asked for %s", addr, member)
			}
		}
	}
}
