package deploy

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const accountUnknown = "Service account berth-run@demo-project.iam.gserviceaccount.com does not exist."

// A first run in a fresh project meets much that lags behind; it has to wait for that, and
// to stop at all else with gcloud's own text. What is printed does the same.
func TestTrouble(t *testing.T) {
	t.Parallel()
	const (
		twice  = "4 8"
		always = "4 8 12 20 32 44" // two minutes
	)
	for _, c := range []struct {
		name, at, text string
		lasts          bool
		slept          string
		says           string // in the end, "" if the run is to succeed
	}{
		{"account not known everywhere yet", "pubsub topics add-iam-policy-binding", accountUnknown, false, twice, ""},
		{"account never known", "iam service-accounts add-iam-policy-binding", accountUnknown, true, always, accountUnknown},
		{"API just enabled", "iam service-accounts describe", "Identity and Access Management (IAM) API has not been used in project 123456789 before or it is disabled.", false, twice, ""},
		{"policy changed by others too", "projects add-iam-policy-binding", "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.", false, twice, ""},
		{"rights of the build lag", "functions deploy", "Build failed with status: FAILURE. Could not build the function due to a missing permission on the build service account.", false, twice, ""},
		{"push account not known yet", "pubsub subscriptions create berth-admit", "NOT_FOUND: Service account berth-push@demo-project.iam.gserviceaccount.com does not exist.", false, twice, ""},
		{"not allowed", "projects add-iam-policy-binding", "PERMISSION_DENIED: no", true, "", "PERMISSION_DENIED: no"},
		{"not allowed to see", "iam roles describe", "PERMISSION_DENIED: You don't have permission to get the role at projects/demo-project/roles/berth_jobs.", true, "", "You don't have permission to get the role"},
		{"no network", "firestore databases describe", "gcloud crashed (ConnectionError): Max retries exceeded", true, "", "Max retries exceeded"},
		{"index refused", "firestore indexes composite create", "RESOURCE_EXHAUSTED: too many indexes", true, "", "RESOURCE_EXHAUSTED: too many indexes"},
		{"build broken", "functions deploy", "Build failed with status: FAILURE and message: no matching function found", true, "", "no matching function found"},
		{"no project", "projects describe", "NOT_FOUND: demo-project", true, "", "NOT_FOUND: demo-project"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			really, printed := newRig(t), newRig(t)
			var made [][]command
			for _, r := range []*rig{really, printed} {
				args := append([]string{script}, everything...)
				if r == printed {
					args = []string{r.print(everything...)}
				}
				if c.lasts {
					r.trouble(c.at, c.text, "LASTS")
				} else {
					r.trouble(c.at, c.text)
				}
				calls, res := r.run(args...)
				made = append(made, calls)
				if code := map[bool]int{true: 1}[c.says != ""]; res.code != code {
					t.Errorf("exit %d, want %d\n%s", res.code, code, res.stderr)
				}
				if c.says != "" {
					if last := calls[len(calls)-1]; !last.is(c.at) {
						t.Errorf("after the failure it went on: %s", last)
					}
					if !strings.Contains(res.stderr, c.says) || !strings.HasSuffix(res.stderr, "deploy.sh: stopped; fix the cause and run it again\n") {
						t.Errorf("want %q and that it stopped\n%s", c.says, res.stderr)
					}
				}
				if r.slept() != c.slept {
					t.Errorf("paused %q s, want %q", r.slept(), c.slept)
				}
				if n := strings.Count(res.stderr, " waiting "); n != len(strings.Fields(c.slept)) {
					t.Errorf("%d lines say what is waited for, want %d\n%s", n, len(strings.Fields(c.slept)), res.stderr)
				}
			}
			if diff := gocmp.Diff(made[0], made[1]); diff != "" {
				t.Errorf("calls (-run +printed):\n%s", diff)
			}
		})
	}
}

// A command that did its work and then failed, as one does whose answer is lost, must not
// keep the next run from finishing.
func TestDoneNevertheless(t *testing.T) {
	t.Parallel()
	quiet, r := newRig(t), newRig(t)
	all := append([]string{script}, everything...)
	if _, res := quiet.run(all...); res.code != 0 {
		t.Fatal(res.stderr)
	}
	for _, at := range []string{
		"iam service-accounts create", "iam roles create", "firestore databases create", "firestore backups schedules create", "firestore indexes composite create",
		"pubsub topics create", "artifacts repositories create", "functions deploy", "pubsub subscriptions create berth-admit", "scheduler jobs create", "logging sinks create",
	} {
		r.trouble(at, "DEADLINE_EXCEEDED: the answer is lost", "LASTS", "DONE")
		if calls, res := r.run(all...); res.code != 1 || !calls[len(calls)-1].is(at) {
			t.Fatalf("%s: exit %d after %s\n%s", at, res.code, calls[len(calls)-1], res.stderr)
		}
	}
	r.trouble("", "")
	if _, res := r.run(all...); res.code != 0 {
		t.Fatal(res.stderr)
	}
	if diff := gocmp.Diff(quiet.project(), r.project()); diff != "" {
		t.Errorf("what there is (-without trouble +after it):\n%s", diff)
	}
}

// TestAnswers: gcloud has one exit code for all failures, so its texts decide what is waited for and what
// is taken for absent. These are texts of gcloud and of the services.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const (
		api     = "an API that has just been enabled"
		policy  = "another change of the same policy or database"
		account = "an account, role or service that has just been made"
		pushes  = "an account or topic that has just been made"
		runs    = "an account that has just been made"
		builds  = "the rights of an account that builds, which have just been given"
		stop    = ""
		deploys = "functions deploy berth-admit --gen2"
		grants  = "projects add-iam-policy-binding demo-project --member=serviceAccount:berth-run@demo-project.iam.gserviceaccount.com --role=roles/datastore.user"
		create  = "pubsub subscriptions create berth-admit --push-endpoint=https://x"
		topic   = "pubsub topics describe berth-requests"
	)
	cases := []struct {
		command, text, awaits string
		absent                bool
	}{
		{topic, "NOT_FOUND: Resource not found (resource=berth-requests).", stop, true},
		{topic, "PERMISSION_DENIED: User not authorized to perform this action.", stop, false},
		{topic, "Cloud Pub/Sub API has not been used in project 123456789 before or it is disabled. Enable it by visiting https://x then retry.", api, false},
		{topic, "PERMISSION_DENIED: x\nreason: SERVICE_DISABLED", api, false},
		{topic, "Unable to find the server at oauth2.googleapis.com", stop, false},
		{topic, "Your default credentials were not found.", stop, false},
		{topic, "You do not currently have an active account selected.", stop, false},
		{topic, "There was a problem refreshing your current auth tokens: Reauthentication failed.", stop, false},
		{topic, "", stop, false},
		{"projects describe demo-project", "NOT_FOUND: demo-project", stop, true},
		{"projects describe demo-project", "The caller does not have permission to access projects instance [demo-project] (or it may not exist)", stop, false},
		{"iam service-accounts describe x", "NOT_FOUND: Unknown service account", stop, true},
		{"iam service-accounts describe x", "Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).", stop, false},
		{"iam roles describe berth_jobs", "NOT_FOUND: The role named projects/demo-project/roles/berth_jobs was not found.", stop, true},
		{"iam roles update berth_jobs", "ABORTED: There were concurrent policy changes.", policy, false},
		{"run services describe berth-admit", "Cannot find service [berth-admit]", stop, true},
		{"functions delete berth-admit", "ResponseError: status=[404], code=[Ok], message=[Resource was not found]", stop, true},
		{"functions delete berth-admit", "ResponseError: status=[403], code=[Ok], message=[Permission 'cloudfunctions.functions.delete' denied on resource (or resource may not exist).]", stop, false},
		{"projects remove-iam-policy-binding demo-project --member=serviceAccount:x", "Policy bindings with the specified principal and role not found!", stop, true},
		{"projects remove-iam-policy-binding demo-project --member=serviceAccount:x", "There were concurrent policy changes.", policy, false},
		{"firestore databases describe", "NOT_FOUND: Project 'demo-project' or database 'berth' does not exist.", stop, true},
		{"firestore indexes composite create", "ABORTED: The operation was aborted because the underlying data changed", policy, false},
		{grants, accountUnknown, account, true},
		{grants, "Role (projects/demo-project/roles/berth_jobs) does not exist in the resource's hierarchy.", account, true},
		{grants, "NOT_FOUND: Unknown service account", account, true},
		{grants, "ABORTED: conflict", policy, false},
		{grants, "PERMISSION_DENIED: Policy update access denied.", stop, false},
		{grants, "INVALID_ARGUMENT: Condition is bad", stop, false},
		{"pubsub topics add-iam-policy-binding berth-requests --member=user:anm@example.com", "INVALID_ARGUMENT: User anm@example.com does not exist.", stop, true},
		{"run services add-iam-policy-binding berth-status --member=user:ann@example.com", "NOT_FOUND: Resource 'berth-status' of kind 'SERVICE' does not exist.", account, true},
		{create, "NOT_FOUND: Service account berth-push@demo-project.iam.gserviceaccount.com does not exist.", pushes, true},
		{create, "PERMISSION_DENIED: The principal lacks IAM permission \"iam.serviceAccounts.actAs\" for the resource berth-push", pushes, false},
		{create, "INVALID_ARGUMENT: Invalid push endpoint", stop, false},
		{"pubsub subscriptions create berth-dead-letters --topic=berth-dead-letters", "NOT_FOUND: Resource not found (resource=berth-dead-letters).", stop, true},
		{deploys, "NOT_FOUND: berth-run@demo-project.iam.gserviceaccount.com", runs, true},
		{deploys, "Permission 'iam.serviceaccounts.actAs' denied on service account berth-run@demo-project.iam.gserviceaccount.com (or it may not exist).", runs, false},
		{deploys, "Service account projects/-/serviceAccounts/berth-build@demo-project.iam.gserviceaccount.com was not found.", runs, true},
		{deploys, "Access to bucket gcf-v2-sources-1-us-central1 denied. You must grant Storage Object Viewer permission to berth-build", builds, false},
		{deploys, "berth-build does not have storage.objects.get access to the Google Cloud Storage object.", builds, false},
		{deploys, "Ensure that the Cloud Functions service account has 'artifactregistry.repositories.list' and 'artifactregistry.repositories.get' permissions.", builds, false},
		{deploys, "denied: Permission \"artifactregistry.repositories.uploadArtifacts\" denied on resource", builds, false},
		{deploys, "The service account running this build does not have permission to write logs to Cloud Logging.", builds, false},
		{deploys, "must have permission to read the image. If you just enabled the Cloud Run API, the permissions might take a few minutes to propagate.", builds, false},
		{deploys, "ResponseError: status=[403], code=[Ok], message=[Permission 'cloudfunctions.functions.create' denied on resource (or resource may not exist).]", stop, false},
		{deploys, "Build failed with status: FAILURE and message: function.go:12: undefined: x", stop, false},
		{deploys, "Container Healthcheck failed. no matching function found", stop, false},
		{deploys, "This API method requires billing to be enabled. If you enabled billing for this project recently, wait a few minutes for the action to propagate to our systems and retry.", stop, false},
	}
	functions, _, found := strings.Cut(dryRun(t, everything[:4]...), "trap stopped EXIT")
	if !found {
		t.Fatal("the printed script has no functions")
	}
	var file strings.Builder
	file.WriteString(functions)
	for _, c := range cases {
		file.WriteString("answer=$(base64 -d <<<" + base64.StdEncoding.EncodeToString([]byte("ERROR: (gcloud) "+c.text)) + ")\n" +
			"there=; ! absent || there=absent; lags gcloud " + c.command + " || :; echo \"$awaited|$there\"\n")
	}
	path := filepath.Join(t.TempDir(), "answers.sh")
	if err := os.WriteFile(path, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	res := runBash(t, os.Environ(), path)
	lines := strings.Split(strings.TrimSuffix(res.stdout, "\n"), "\n")
	if res.code != 0 || len(lines) != len(cases) {
		t.Fatalf("exit %d, %d lines\n%s", res.code, len(lines), res.stderr)
	}
	for i, c := range cases {
		awaits, absent, _ := strings.Cut(lines[i], "|")
		if awaits != c.awaits || (absent != "") != c.absent {
			t.Errorf("gcloud %s: %s\nwaits for %q, want %q; absent %t, want %t", c.command, c.text, awaits, c.awaits, absent != "", c.absent)
		}
	}
}

// What a user does next is in the last lines, of a run as of what is printed.
func TestWhatToDoNext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	args := append(append([]string{}, everything...), "--prefix=night-shift")
	_, run := r.run(append([]string{script}, args...)...)
	_, printed := r.run(r.print(args...))
	for _, stderr := range []string{run.stderr, printed.stderr} {
		for _, text := range []string{
			"Status: https://night-shift-status.example.run.app\n",
			"requests: publish to projects/demo-project/topics/night-shift-requests\n",
			"requests of red: publish to projects/demo-project/topics/night-shift-requests-red\n",
			"projects/demo-project/topics/night-shift-outcomes", "projects/demo-project/topics/night-shift-operators", "projects/demo-project/subscriptions/night-shift-dead-letters",
			"export BERTH_PROJECT=demo-project BERTH_REGIONS=us-central1,europe-west4,us-east1 BERTH_STATUS_URL=https://night-shift-status.example.run.app\n",
			"export BERTH_PREFIX=night-shift BERTH_REQUEST_TOPIC=night-shift-requests BERTH_OPERATORS_TOPIC=night-shift-operators\n",
			"berth doctor --project=demo-project --region=us-central1,europe-west4,us-east1 --status-url=https://night-shift-status.example.run.app --prefix=night-shift\n",
		} {
			if !strings.Contains(stderr, text) {
				t.Errorf("lacks %q\n%s", text, stderr)
			}
		}
	}
}
