package deploy

import (
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// outlives is what outlives a deployment: the requests, and what another deployment
// under the same name could not make again.
var outlives = []string{"firestore_backups_schedules_berthdaily", "firestore_databases_berth", "firestore_indexes_composite", "iam_roles_berth_jobs"}

// kept returns what there is, all composite indexes as one.
func kept(there []string) (kinds []string) {
	for _, name := range there {
		if strings.HasPrefix(name, "firestore_indexes_composite") {
			name = "firestore_indexes_composite"
		}
		kinds = append(kinds, name)
	}
	return slices.Compact(kinds)
}

func undeploy(more ...string) []string {
	return slices.Concat([]string{script}, everything, []string{"--undeploy"}, more)
}

// Without --yes it says what it would do.
func TestUndeployAsks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, args := range [][]string{undeploy(), undeploy("--yes", "--dry-run")} {
		calls, res := r.run(args...)
		if res.code != 0 || len(calls) != 0 || !strings.Contains(res.stderr, "nothing was run; --undeploy --yes does it") {
			t.Fatalf("exit %d after %v\n%s", res.code, calls, res.stderr)
		}
		if !strings.Contains(res.stdout, "\nremove gcloud scheduler jobs delete berth-tick ") {
			t.Errorf("prints\n%s", res.stdout)
		}
	}
}

// It leaves nothing but what it says, in an order in which nothing is called that has
// gone, and can be run again; so can a deployment after it.
func TestUndeploy(t *testing.T) {
	t.Parallel()
	really, printed := newRig(t), newRig(t)
	file := printed.print(undeploy()[1:]...)
	for _, r := range []*rig{really, printed} {
		if _, res := r.run(append([]string{script}, everything...)...); res.code != 0 {
			t.Fatal(res.stderr)
		}
	}
	deployment := really.project()
	for _, when := range []string{"first", "second"} {
		want, res := really.run(undeploy("--yes")...)
		if res.code != 0 || res.stdout != "" || really.slept() != "" {
			t.Fatalf("%s: exit %d, stdout %q, paused %q\n%s", when, res.code, res.stdout, really.slept(), res.stderr)
		}
		if diff := gocmp.Diff(outlives, kept(really.project())); diff != "" {
			t.Errorf("%s leaves (-want +got):\n%s", when, diff)
		}
		for _, text := range []string{
			"gcloud firestore databases update --database=berth --no-delete-protection --project=demo-project\n",
			"gcloud firestore databases delete --database=berth --project=demo-project\n",
			"gcloud iam roles delete berth_jobs --project=demo-project\n",
		} {
			if !strings.Contains(res.stderr, text) {
				t.Errorf("%s: lacks %q\n%s", when, text, res.stderr)
			}
		}
		var groups []string
		for _, c := range want {
			groups = append(groups, strings.Join(c.Words[:slices.Index(c.Words, c.Verb)+1], " "))
		}
		if diff := gocmp.Diff([]string{
			"scheduler jobs delete", "pubsub subscriptions delete", "functions delete", "logging sinks delete", "pubsub topics delete",
			"projects remove-iam-policy-binding", "iam service-accounts remove-iam-policy-binding", "iam service-accounts delete", "artifacts repositories delete",
		}, slices.Compact(groups)); diff != "" {
			t.Errorf("%s: order (-want +got):\n%s", when, diff)
		}
		got, res := printed.run(file)
		if diff := gocmp.Diff(want, got); res.code != 0 || diff != "" {
			t.Errorf("%s: what is printed ends with %d (-run +printed):\n%s\n%s", when, res.code, diff, res.stderr)
		}
	}
	if _, res := really.run(append([]string{script}, everything...)...); res.code != 0 {
		t.Fatal(res.stderr)
	}
	if diff := gocmp.Diff(deployment, really.project()); diff != "" {
		t.Errorf("deployed again (-first +again):\n%s", diff)
	}
}

// It stops where it is not allowed to go on, or does not know what was done, and is
// finished by another run.
func TestUndeployStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, res := r.run(append([]string{script}, everything...)...); res.code != 0 {
		t.Fatal(res.stderr)
	}
	for _, c := range []struct{ at, text, done string }{
		{"scheduler jobs delete", "PERMISSION_DENIED: The principal lacks IAM permission \"cloudscheduler.jobs.delete\" for the resource (or the resource may not exist).", "NO"},
		{"pubsub subscriptions delete", "UNAVAILABLE: The service was unable to fulfill your request.", "DONE"},
		{"functions delete", "OperationError: code=13, message=None", "DONE"},
		{"pubsub topics delete", "UNAVAILABLE: The service was unable to fulfill your request.", "NO"},
		{"projects remove-iam-policy-binding", "PERMISSION_DENIED: Policy update access denied.", "NO"},
		{"iam service-accounts delete", "INTERNAL: Internal error encountered.", "DONE"},
		{"artifacts repositories delete", "INTERNAL: Internal error encountered.", "NO"},
	} {
		r.trouble(c.at, c.text, "LASTS", c.done)
		calls, res := r.run(undeploy("--yes")...)
		if res.code != 1 || !calls[len(calls)-1].is(c.at) || !strings.Contains(res.stderr, c.text) {
			t.Errorf("%s: exit %d\n%s", c.at, res.code, res.stderr)
		}
		if !slices.Contains(r.project(), "firestore_databases_berth") {
			t.Fatal("the database is gone")
		}
	}
	r.trouble("projects remove-iam-policy-binding", "There were concurrent policy changes.")
	if _, res := r.run(undeploy("--yes")...); res.code != 0 || r.slept() != "4 8" {
		t.Errorf("exit %d, paused %q\n%s", res.code, r.slept(), res.stderr)
	}
	if diff := gocmp.Diff(outlives, kept(r.project())); diff != "" {
		t.Errorf("leaves (-want +got):\n%s", diff)
	}
}
