package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"example.com/berth/internal/message"
)

// operatorFlags are the flags of the verbs of operators. They publish to the operators'
// topic, whose IAM policy decides who may.
type operatorFlags struct {
	Reason string `required:"" placeholder:"TEXT" help:"Why, for those who read of it later."`
	Who    string `env:"BERTH_WHO" placeholder:"NAME" help:"Who does it; by default the user of this machine. It is a claim."`
	Topic  string `name:"operators-topic" env:"BERTH_OPERATORS_TOPIC" default:"berth-operators" placeholder:"ID" help:"Topic of operators: id or full name, by default ${default}."`
}

type pauseCmd struct {
	operatorFlags
	answerFlags
	Pool     string `placeholder:"ID" help:"Only the machines of this pool. What is in use counts for the other pools of its shape."`
	Resource string `arg:"" optional:"" help:"Persistent resource: id or full name; none to pause --tenant."`
}

// Help is shown below the flags.
func (pauseCmd) Help() string {
	return `Nothing is admitted, submitted or started on it until a resume. Running jobs go on, and so do the longest waits of requests. berth pools shows who paused it, since when and why. With --tenant=NAME and no persistent resource nothing of that tenant starts anywhere; its requests keep their places, and no other tenant waits for them.`
}

type resumeCmd struct {
	operatorFlags
	answerFlags
	Pool     string `placeholder:"ID" help:"Only this pool."`
	Resource string `arg:"" optional:"" help:"Persistent resource: id or full name; none to resume --tenant."`
}

type drainCmd struct {
	operatorFlags
	answerFlags
	Resource string `arg:"" help:"Persistent resource: id or full name."`
}

// Help is shown below the flags.
func (drainCmd) Help() string {
	return `Like pause, and the event berth.operator.drained.v1 says when nothing runs any more, foreign jobs included. berth pools shows it too. berth resume undoes it.`
}

func (c *drainCmd) Run(g *globals) error {
	return c.operate(g, &c.answerFlags, map[string]any{"action": message.Drain, "persistentResource": c.Resource}, "The drain of "+c.Resource)
}

func (c *pauseCmd) Run(g *globals) error {
	return c.pauseOr(g, &c.answerFlags, message.Pause, c.Resource, c.Pool)
}

func (c *resumeCmd) Run(g *globals) error {
	return c.pauseOr(g, &c.answerFlags, message.Resume, c.Resource, c.Pool)
}

// pauseOr pauses or resumes a persistent resource, a pool of it, or a tenant.
func (f *operatorFlags) pauseOr(g *globals, answer *answerFlags, action message.Action, resource, pool string) error {
	fields := map[string]any{"action": action}
	what := "The " + string(action) + " of "
	switch {
	case resource != "" && g.Tenant != "" && g.Tenant != os.Getenv("BERTH_TENANT"):
		return usage("name a persistent resource or --tenant, not both")
	case resource != "":
		fields["persistentResource"] = resource
		what += resource
	case g.Tenant == "":
		return usage("name a persistent resource, or a tenant with --tenant")
	default:
		fields["tenant"] = g.Tenant
		what += "the tenant " + g.Tenant
	}
	if pool != "" {
		fields["pool"] = pool
	}
	return f.operate(g, answer, fields, what)
}

type requeueCmd struct {
	operatorFlags
	answerFlags
	requestArg
}

// A requestArg names a request of the target's tenant.
type requestArg struct {
	ID   string `arg:"" help:"Request id, or the id of the message where the request has none."`
	Kind string `enum:"request,message" default:"request" placeholder:"request|message" help:"What kind of id it is, by default ${default}. A request id also finds the request that a message of that id made without one."`
}

func (a *requestArg) fields(g *globals, action message.Action) map[string]any {
	fields := map[string]any{"action": action, "tenant": g.Tenant, "requestId": a.ID}
	if a.Kind == string(message.KindMessage) {
		delete(fields, "requestId")
		fields["messageId"] = a.ID
	}
	return fields
}

// Help is shown below the flags.
func (requeueCmd) Help() string {
	return `Its job is cancelled, and once nothing of it runs the request waits at its old place and starts again when it is its turn. A request of --tenant. To undo it, put it first: berth prioritise --front.`
}

type prioritiseCmd struct {
	operatorFlags
	answerFlags
	requestArg
	Priority *int `placeholder:"N" help:"Its new priority, -1000 to 1000; higher goes first."`
	Front    bool `help:"Put it before all others of its priority. Latest starts of others that it passes become later."`
}

// Help is shown below the flags.
func (prioritiseCmd) Help() string {
	return `A request of --tenant that waits. The answer, an event of the tenant "operators", names its former priority. Prioritising it to that, without --front, undoes it.`
}

func (c *requeueCmd) Run(g *globals) error {
	return c.operate(g, &c.answerFlags, c.fields(g, message.Requeue), "The requeue of "+c.ID)
}

func (c *prioritiseCmd) Run(g *globals) error {
	if c.Priority == nil && !c.Front {
		return usage("give --priority or --front")
	}
	fields := c.fields(g, message.Prioritise)
	if c.Priority != nil {
		fields["priority"] = *c.Priority
	}
	if c.Front {
		fields["front"] = true
	}
	return c.operate(g, &c.answerFlags, fields, "The new place of "+c.ID)
}

// operate publishes an operator's message and waits for its answer.
func (f *operatorFlags) operate(g *globals, answer *answerFlags, fields map[string]any, what string) error {
	if answer.Wait != nil && *answer.Wait < 0 {
		return usage("--wait %s: want 0s or more", *answer.Wait)
	}
	id, err := f.send(g, fields)
	if err != nil {
		return err
	}
	return answer.answer(g, what, id)
}

// send publishes an operator's message, after the checks that the deployment makes, and
// returns its id.
func (f *operatorFlags) send(g *globals, fields map[string]any) (id string, err error) {
	fields["reason"], fields["who"] = f.Reason, cmp.Or(f.Who, userName())
	data, err := json.Marshal(map[string]any{"operator": fields})
	if err != nil {
		return "", fmt.Errorf("encode an operator's message: %w", err)
	}
	_, err = message.DecodeOperator(message.Delivery{ID: "checked", Data: data})
	if r := (*message.Refusal)(nil); errors.As(err, &r) {
		p := r.Problems[0]
		return "", usage("%s: %s %s", strings.TrimPrefix(p.Path, "operator."), p.Detail, p.Fix)
	} else if err != nil {
		return "", err
	}
	if err := g.writable(); err != nil {
		return "", err
	}
	return g.publishTo(f.topic(g), data, nil)
}

func (f *operatorFlags) topic(g *globals) string {
	if strings.Contains(f.Topic, "/") {
		return f.Topic
	}
	return "projects/" + g.Project + "/topics/" + f.Topic
}

// userName is the user of this machine.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
