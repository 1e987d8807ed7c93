// Package controller is the shell around the decision: it reads, decides,
// writes, submits and publishes in the one order that survives a crash at any
// line. It owns no rule of its own. What may follow what is
// [lifecycle.Next]'s; who goes first and what fits is [admission.Decide]'s.
//
// # The walk of one message
//
//  1. Decode. What cannot be read is answered, not retried: the same bytes will
//     never decode.
//  2. One ledger update reads the request's record and the resource, decides,
//     and writes record, hold and outcome outbox event together. Here responsibility
//     changes hands: before this commit Pub/Sub delivers again; after it the
//     entry point says yes whatever follows, and [Controller.Reconcile] goes on.
//  3. If the update admitted and there was a token of the submission budget at
//     hand, the record says SUBMITTING, with the run's label, an attempt number
//     and a moment until which this attempt may act. Create the job, or learn
//     that it was not created, or learn nothing. Without a token the record stays
//     RESERVED until it gets a submission slot (slots.go).
//  4. A guarded update records the job's name and the next outbox event. A crash
//     before it leaves a job that is found by its label.
//  5. Publish the unpublished events, wait for the server's word, mark them sent. A
//     crash before the mark publishes them again under the same event ids.
//
// Reconcile repairs whatever a crash left between these steps, and learns what
// Vertex AI never announces: jobs started, ended, gone, started by others.
//
// # Together
//
// Updates of one resource and of the requests on it that meet in one instance are
// one commit ([ledger.Group]), and their events one publication. Nothing waits for
// company: whoever finds nobody under way goes at once.
//
// # Time
//
// Moments that instances compare with each other come from the ledger
// ([ledger.Tx].Now). What an instance may still do in its own attempt is
// measured on its own monotonic clock from before the read that granted it, so
// a wrong wall clock can only make it give up early.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/logctx"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A Publisher sends outcome events. It returns nil only when the server has all
// of them; after an error it may have some.
type Publisher interface {
	Publish(ctx context.Context, events ...message.Outcome) error
}

// A Controller is safe for concurrent use, in one process and across many.
type Controller struct {
	cfg       Config
	pace      pace.Rules
	ledger    ledger.Ledger
	grouped   *ledger.Group // the ledger, for updates that may meet others of this instance
	vertex    vertex.Client
	out       *outbox
	log       *slog.Logger
	env       Env
	refreshes singleflight.Group
	passes    atomic.Int64 // of this instance
	slots     *slots
	hints     *rate.Limiter
	alarms    alarms
	unseen    *missingNames
	// hinting is how many hints are being followed.
	hinting atomic.Int64

	unreadable unreadable
	dueFrom    [len(dueClasses)]resume // where the next pass goes on with the timers
	unsentFrom resume
	searches   searches
}

// New returns a controller. The logger must not be nil.
func New(cfg Config, l ledger.Ledger, v vertex.Client, out Publisher, log *slog.Logger, env Env) *Controller {
	return &Controller{cfg: cfg, pace: cfg.pace(), ledger: l, grouped: ledger.NewGroup(l), vertex: v, out: newOutbox(out), log: logctx.NewLogger(log), slots: newSlots(),
		hints: rate.NewLimiter(rate.Limit(float64(cfg.Polls)/3/60), max(1, cfg.Polls/10)), unseen: newMissingNames(cfg.Polls), env: env}
}

// resolve makes the full name of the persistent resource that a request means.
func (c *Controller) resolve(named string, paths message.Paths) (string, *reason.Problem) {
	if named == "" {
		named = c.cfg.DefaultResource
	}
	if named == "" {
		return "", &reason.Problem{Code: reason.NoResource, Path: paths.At("persistentResource"),
			Detail: "The request names no persistent resource, and the deployment has no default.",
			Fix:    "Set " + paths.At("persistentResource") + "; the id is enough."}
	}
	if !strings.Contains(named, "/") {
		return vertex.InRegion(c.cfg.Project, c.cfg.Regions[0]).Resource(named).String(), nil
	}
	name, ok := vertex.ParseName(named)
	if !ok || !name.IsResource() || name.Project() != c.cfg.Project || !slices.Contains(c.cfg.Regions, name.Region()) {
		return "", &reason.Problem{Code: reason.ForeignResource, Path: paths.At("persistentResource"),
			Detail: fmt.Sprintf("This deployment serves project %s in %s only.", c.cfg.Project, strings.Join(c.cfg.Regions, ", ")),
			Fix:    "Name a persistent resource there, by its id or with that project and region."}
	}
	return named, nil
}
