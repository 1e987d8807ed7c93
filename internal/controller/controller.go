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
