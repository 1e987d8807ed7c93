// Package app holds the entry points: it reads the configuration, makes the
// clients once, and turns HTTP requests into calls of the controller.
//
// The first request makes everything, not the start of the process: a cold
// start then costs only what its request needs, and a configuration error
// appears in an answer and in the log.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/gcp"
	"example.com/berth/internal/identity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/telemetry/export"
)

// An App is a configured controller with its entry points.
type App struct {
	cfg        Config
	log        *slog.Logger
	controller *controller.Controller
	status     http.Handler
	now        func() time.Time
	large      chan struct{} // taken while a large body is read
	// callers and pushers verify who calls Status, and who calls the other entry points.
	callers, pushers verifier
	telemetry        *telemetry.Recorder // nil if traces and metrics are off
	export           *export.Exporter    // the same
}

// A verifier is an [identity.Verifier].
type verifier interface {
	Caller(*http.Request) (string, error)
}

var (
	mu     sync.Mutex
	opened *App
)

// open returns the process's App, made from the environment on first use. A
// failure is answered, logged, and tried again at the next request.
func open(w http.ResponseWriter) (*App, bool) {
	mu.Lock()
	defer mu.Unlock()
	if opened != nil {
		return opened, true
	}
	a, err := FromEnvironment(context.Background())
	if err != nil {
		newLogger(os.Stdout, slog.LevelInfo).ErrorContext(context.Background(), "cannot start", "event", "start_failed", "error", err)
		refuse(w, http.StatusServiceUnavailable, reason.Problem{Code: statuspage.Unavailable, Detail: "The settings of the service are wrong; its log says which."})
		return nil, false
	}
	opened = a
	if a.export != nil {
		ending, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		go a.untilEnd(ending, func() {
			stop()
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Signal(syscall.SIGTERM)
			}
		})
	}
	return a, true
}

// untilEnd sends what was counted last when Cloud Run ends the instance, for which it
// leaves 10 seconds, and then ends it.
// https://cloud.google.com/run/docs/container-contract#instance-shutdown
func (a *App) untilEnd(ending context.Context, end func()) {
	<-ending.Done()
	a.export.Last(ending)
	end()
}

// FromEnvironment makes an App with the settings of the environment.
func FromEnvironment(ctx context.Context) (*App, error) {
	cfg, err := LoadConfig(ctx, envconfig.OsLookuper())
	if err != nil {
		return nil, err
	}
	return New(ctx, cfg)
}

// New makes an App. It fails on a configuration that cannot work, and makes no
// call to any service.
func New(ctx context.Context, cfg Config) (*App, error) {
	log := newLogger(os.Stdout, cfg.LogLevel)
	env := controller.RealEnv()
	recorder, exporter, err := cfg.telemetry(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("make exporter of traces and metrics: %w", err)
	}
	env.Telemetry = recorder
	var l ledger.Ledger = ledger.NewMem(time.Now)
	if cfg.Ledger == "firestore" {
		f, err := gcp.OpenLedger(ctx, gcp.LedgerOptions{Project: cfg.Project, Database: cfg.Database, AllowEmulator: cfg.Emulators, Telemetry: recorder})
		if err != nil {
			return nil, fmt.Errorf("open ledger: %w", err)
		}
		l = f
	}
	vo := gcp.VertexOptions{CreateDeadline: cfg.SubmitTimeout, DiskType: cfg.DiskType}
	if cfg.VertexEndpoint != "" {
		vo.Insecure, vo.Endpoint = true, func(string) string { return cfg.VertexEndpoint }
	}
	v, err := gcp.NewVertex(vo)
	if err != nil {
		return nil, fmt.Errorf("make Vertex AI client: %w", err)
	}
	p, err := gcp.NewPublisher(ctx, gcp.PublisherOptions{Project: cfg.Project, Topic: cfg.OutcomeTopic, Deployment: cfg.Deployment, AllowEmulator: cfg.Emulators})
	if err != nil {
		return nil, fmt.Errorf("make publisher: %w", err)
	}
	a := assemble(cfg, log, controller.New(cfg.controller(), l, v, p, log, env), l)
	a.telemetry, a.export = recorder, exporter
	return a, nil
}

// assemble makes the entry points of a controller.
func assemble(cfg Config, log *slog.Logger, c *controller.Controller, l ledger.Ledger) *App {
	a := &App{
		cfg: cfg, log: log, controller: c, now: time.Now, large: make(chan struct{}, 1),
		callers: identity.New(cfg.callers(), nil), pushers: identity.New(cfg.pushers(), nil),
	}
	a.status = statuspage.New(c, l, statuspage.Info{
		Project: cfg.Project, Regions: cfg.Regions, Deployment: cfg.Deployment, Version: Version(),
		DefaultResource: cfg.DefaultResource, Policy: cfg.controller().Policy, OutcomeTopic: cfg.OutcomeTopic,
		Keep:       cfg.controller().Keep,
		AllTenants: cfg.StatusAllTenants, Access: a.access(),
	})
	return a
}

// budget is the longest duration of one reconcile: it must end before the next
// tick, and before its own request's deadline.
func (a *App) budget() time.Duration {
	return min(a.cfg.Tick-a.cfg.Tick/10, a.cfg.Timeout-a.cfg.Timeout/5)
}

// Version is the module's version, or the commit it was built from; "unknown"
// if the build had neither, as a cloud build and go run.
func Version() string { return versionOf(debug.ReadBuildInfo()) }

func versionOf(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "unknown"
}
