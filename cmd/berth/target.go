package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	"example.com/berth/internal/localstack/statefile"
)

// A target is the deployment or local stack that the tool calls.
type target struct {
	Project   string        `env:"BERTH_PROJECT" group:"Target:" placeholder:"ID" help:"Project of the deployment; needed to publish."`
	Topic     string        `env:"BERTH_REQUEST_TOPIC" group:"Target:" default:"berth-requests" placeholder:"ID" help:"Request topic: id or full name, by default ${default}."`
	StatusURL string        `name:"status-url" env:"BERTH_STATUS_URL" group:"Target:" placeholder:"URL" help:"URL of the Status function; needed to read."`
	Token     string        `env:"BERTH_TOKEN" group:"Target:" placeholder:"JWT" help:"Identity token for the Status function. For https, by default that of the application default credentials."`
	Local     bool          `group:"Target:" help:"Use the local stack, even if the environment names a deployment."`
	Tenant    string        `env:"BERTH_TENANT" group:"Target:" placeholder:"NAME" help:"Tenant whose requests are read, of those that the deployment shows to you; by default your only one, or the tenant default, or in lists all. A published message gets the tenant of the subscription that delivers it."`
	Timeout   time.Duration `group:"Target:" default:"30s" help:"Limit on each call."`

	pubsub string          // host:port without TLS; "" for Google's, or $PUBSUB_EMULATOR_HOST's
	stack  statefile.State // the local stack, if pubsub is its own
	warn   func(format string, args ...any)
}

// defaultTenant is the tenant of requests whose subscription names none.
const defaultTenant = "default"

// inTenant adds the tenant that the user names, if any.
func (t *target) inTenant(query url.Values) url.Values {
	if t.Tenant != "" {
		query.Set("tenant", t.Tenant)
	}
	return query
}

// readable returns an error if there is no Status function to call.
func (t *target) readable() error { return t.resolve(t.StatusURL, "--status-url or BERTH_STATUS_URL") }

// writable returns an error if there is no project to publish in.
func (t *target) writable() error { return t.resolve(t.Project, "--project or BERTH_PROJECT") }

// resolve fills the target in from the running local stack, unless a deployment
// is named. It never mixes parts of the two: a job must not be searched for
// where it was not published.
func (t *target) resolve(needed, flag string) error {
	if t.Timeout <= 0 {
		return usage("--timeout %s: want more than 0", t.Timeout)
	}
	if t.pubsub != "" {
		return nil // already resolved
	}
	if !t.Local && (t.Project != "" || t.StatusURL != "") {
		if needed == "" {
			return usage("a deployment is named, but this verb also needs %s; --local selects the local stack", flag)
		}
		return nil
	}
	running, err := statefile.Running()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage("no target: no local stack is running (%w), and no deployment is named. "+
			"Give --project and --status-url, or start one: go run ./cmd/localstack", err)
	case errors.Is(err, statefile.ErrGone):
		return usage("no target: %w. Start it again with go run ./cmd/localstack, or give --project and --status-url", err)
	case err != nil:
		return usage("no target: %w", err)
	}
	s := running[0]
	if s.Status == "" || s.PubSub == "" || s.Project == "" || s.Topic == "" {
		return usage("the local stack's file %s does not name its services", s.File)
	}
	if len(running) > 1 {
		t.warn("%d local stacks are running; this is the latest, of process %d. The one before: %s=%s", len(running), s.PID, statefile.Variable, running[1].File)
	}
	t.Project, t.Topic, t.StatusURL, t.Token, t.pubsub = s.Project, s.Topic, s.Status, "", s.PubSub
	t.stack = s
	return nil
}

// String names the target in messages.
func (t *target) String() string {
	if t.pubsub != "" {
		return "the local stack"
	}
	if t.Project == "" {
		return t.StatusURL
	}
	return fmt.Sprintf("project %s", t.Project)
}
