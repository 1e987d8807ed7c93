package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"example.com/berth/internal/localstack/statefile"
)

// A target is what the tool talks to.
type target struct {
	Project   string        `env:"BERTH_PROJECT" group:"Target:" placeholder:"ID" help:"Project of the deployment, to publish in."`
	Topic     string        `env:"BERTH_REQUEST_TOPIC" group:"Target:" default:"berth-requests" placeholder:"ID" help:"Request topic: id or full name, by default ${default}."`
	StatusURL string        `name:"status-url" env:"BERTH_STATUS_URL" group:"Target:" placeholder:"URL" help:"URL of the Status function, to read from."`
	Token     string        `env:"BERTH_TOKEN" group:"Target:" placeholder:"JWT" help:"Identity token for the Status function. For https, by default that of the application default credentials."`
	Local     bool          `group:"Target:" help:"Talk to the local stack whatever the environment says."`
	Tenant    string        `env:"BERTH_TENANT" group:"Target:" default:"default" placeholder:"NAME" help:"Tenant whose requests are meant. Publishing does not choose it: the subscription does."`
	Timeout   time.Duration `group:"Target:" default:"30s" help:"Limit on each call."`

	pubsub string          // host:port without TLS; "" for Google's, or $PUBSUB_EMULATOR_HOST's
	stack  statefile.State // the local stack, where pubsub is its
	warn   func(format string, args ...any)
}

// readable makes sure that there is a Status function to ask.
func (t *target) readable() error { return t.resolve(t.StatusURL, "--status-url or BERTH_STATUS_URL") }

// writable makes sure that there is a project to publish in.
func (t *target) writable() error { return t.resolve(t.Project, "--project or BERTH_PROJECT") }

// settle fills the target in from the running local stack, unless a deployment
// is named. Parts of the two are never mixed: a job must not be looked for where
// it was not sent.
func (t *target) resolve(needed, flag string) error {
	if t.Timeout <= 0 {
		return usage("--timeout %s: want more than 0", t.Timeout)
	}
	if t.pubsub != "" {
		return nil // settled before
	}
	if !t.Local && (t.Project != "" || t.StatusURL != "") {
		if needed == "" {
			return usage("a deployment is named, but this needs %s as well; --local means the local stack", flag)
		}
		return nil
	}
	running, err := statefile.Running()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage("nothing to talk to: no local stack is running (%w), and no deployment is named. "+
			"Give --project and --status-url, or start one: go run ./cmd/localstack", err)
	case errors.Is(err, statefile.ErrGone):
		return usage("nothing to talk to: %w. Start it again with go run ./cmd/localstack, or give --project and --status-url", err)
	case err != nil:
		return usage("nothing to talk to: %w", err)
	}
	s := running[0]
	if s.Status == "" || s.PubSub == "" || s.Project == "" || s.Topic == "" {
		return usage("the local stack's file %s does not say where the stack is", s.File)
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
