package controller

import (
	"context"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/logctx"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
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
	grouped   updater // the ledger, for updates that may meet others of this instance
	vertex    vertex.Client
	out       *outbox
	log       *slog.Logger
	env       Env
	refreshes singleflight.Group
	passes    atomic.Int64 // of this instance
	slots     *slots
	hints     *rate.Limiter
	alarms    alarms
	missing   *missingNames
	histories *histories
	policies  policies
	// hinting is how many hints are being followed.
	hinting atomic.Int64

	freed           freed
	unreadable      unreadable
	dueFrom         [len(dueClasses)]resume // where the next pass goes on with the timers
	unpublishedFrom resume
	searches        searches
}

// New returns a controller. The logger must not be nil.
func New(cfg Config, l ledger.Ledger, v vertex.Client, out Publisher, log *slog.Logger, env Env) *Controller {
	var grouped updater = ledger.NewGroup(l)
	if env.Telemetry != nil {
		grouped, v = tracedUpdates{grouped, env.Telemetry}, tracedVertex{v, env.Telemetry}
	}
	return &Controller{cfg: cfg, pace: cfg.pace(), ledger: l, grouped: grouped, vertex: v, out: newOutbox(out), log: logctx.NewLogger(log), slots: newSlots(),
		hints: rate.NewLimiter(rate.Limit(float64(cfg.Polls)/3/60), max(1, cfg.Polls/10)), missing: newMissingNames(cfg.Polls), histories: newHistories(), env: env}
}
