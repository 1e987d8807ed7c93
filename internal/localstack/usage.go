package localstack

import (
	"fmt"
	"os"
	"strings"
	"time"

	"example.com/berth/internal/localstack/statefile"
)

// State is what the CLI needs to find this stack.
func (s *Stack) State() statefile.State {
	return statefile.State{
		PID: os.Getpid(), Started: time.Now().UTC(), Project: s.Project, PubSub: s.PubSub, Topic: RequestTopic, OutcomeTopic: OutcomeTopic,
		Status: s.Function.URL("Status"), Vertex: s.Vertex, Firestore: s.Firestore,
	}
}

// Usage says how to use a running stack from a shell.
func (s *Stack) Usage() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("The stack is up. Ctrl-C stops all of it.")
	p("")
	p("With the CLI, from this folder:")
	p("  go run ./cmd/berth pools")
	p("  go run ./cmd/berth submit --follow --id=my-first testdata/jobs/cpu.json")
	p("  go run ./cmd/berth logs my-first")
	p("")
	p("With gcloud:")
	p("  export CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://%s/", s.PubSub)
	p("  export CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM=http://%s/", s.Vertex)
	p("  export CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING=http://%s/", s.Vertex)
	p("  export CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_CORE_PROJECT=%s", s.Project)
	p("  gcloud pubsub topics publish %s --message=\"$(cat testdata/jobs/cpu.json)\" --attribute=berth-request-id=my-job", RequestTopic)
	p("  gcloud pubsub subscriptions pull %s --auto-ack --limit=50", OutcomePull)
	p("  gcloud ai custom-jobs list --region=%s", Region)
	p("")
	p("Vertex AI: http://%s/admin shows and changes the fake (deploy/fakevertex.md)", s.Vertex)
	p("Status:    %s (pages for a browser, JSON for programs)", s.Function.URL("Status"))
	if s.Firestore == "" {
		p("Function:  process %d; the ledger is in its memory, so a kill -9 loses every request", s.Function.PID())
	} else {
		p("Function:  process %d; after a kill -9 another process replaces it and continues", s.Function.PID())
		p("Firestore: http://%s/v1/projects/%s/databases/berth/documents/resources", s.Firestore, s.Project)
	}
	return strings.TrimRight(b.String(), "\n")
}
