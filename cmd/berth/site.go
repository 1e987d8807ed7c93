package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/gcp"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/vertex"
)

// siteFlags locate the services of a deployment. Those of the local stack are
// known.
type siteFlags struct {
	Database        string        `env:"BERTH_DATABASE" group:"Deployment:" placeholder:"ID" help:"Firestore database; by default named as --prefix."`
	Deployment      string        `env:"BERTH_DEPLOYMENT" group:"Deployment:" placeholder:"NAME" help:"Name of the deployment, part of the source of its events; by default as the Status function says, or as --prefix."`
	Region          []string      `env:"BERTH_REGIONS" group:"Deployment:" placeholder:"REGION" help:"Vertex AI regions that are served; by default those of the Status function, and of the persistent resources in the ledger."`
	Prefix          string        `env:"BERTH_PREFIX" default:"berth" group:"Deployment:" placeholder:"NAME" help:"Beginning of the names of topics, by default ${default}."`
	Tick            time.Duration `env:"BERTH_TICK" group:"Deployment:" help:"Period of the reconcile tick; by default that of the Status function, or 1m."`
	StartTimeout    time.Duration `env:"BERTH_START_TIMEOUT" group:"Deployment:" help:"Longest time from submission until the job runs; 1h by default."`
	FunctionTimeout time.Duration `env:"BERTH_TIMEOUT" group:"Deployment:" help:"Request timeout of the functions; 120s by default."`
	VertexEndpoint  string        `env:"BERTH_VERTEX_ENDPOINT" group:"Deployment:" placeholder:"HOST:PORT" help:"A fake Vertex AI, without TLS."`
	Emulators       bool          `env:"BERTH_EMULATORS" group:"Deployment:" help:"Let FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST take the place of the services."`
}

// A site is a deployment's services, opened directly and not through its entry
// points.
type site struct {
	ledger   repair.Ledger // nil if it cannot be opened; ledgerErr says why
	vertex   vertex.Client
	out      repair.Publisher
	pubsub   *broker
	settings repair.Settings
	parents  []string // projects/P/locations/L
	// deployment is part of the source of events. An event that is
	// published again under another source would be another event.
	deployment string
	emulated   bool // every service is an emulator

	ledgerErr error
	statusErr error // nil also without a Status URL; then status is nil
	status    *statuspage.Index
	closers   []func() error
}

// A reach opens a site. It is a field so that tests open their stack.
type reach func(*globals, siteFlags) (*site, error)

func (s *site) close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// needLedger is for verbs that need the ledger.
func (s *site) needLedger() (repair.Ledger, error) {
	if s.ledger == nil {
		return nil, s.ledgerErr
	}
	return s.ledger, nil
}

// inProcess is the error for a stack without a Firestore emulator, whose ledger
// cannot be opened.
func inProcess(pid int) error {
	return fmt.Errorf("the ledger of the local stack (process %d) is in the memory of its function process: no other process can read or repair it, "+
		"and it is lost when that process ends. Install the official Firestore emulator and start the stack again, or use --project", pid)
}

// openSite opens the local stack or the deployment that the flags name.
func openSite(g *globals, f siteFlags) (*site, error) {
	if err := g.writable(); err != nil {
		return nil, err
	}
	s := &site{}
	stack, local := g.stack, g.pubsub != ""
	if local {
		f.VertexEndpoint = stack.Vertex
	}
	s.emulated = local || f.Emulators && os.Getenv("FIRESTORE_EMULATOR_HOST") != ""
	s.askStatus(g)
	s.configure(g, f)
	ledgerOptions := gcp.LedgerOptions{Project: g.Project, Database: cmp.Or(f.Database, f.Prefix), AllowEmulator: f.Emulators || local}
	publisherOptions := gcp.PublisherOptions{Project: g.Project, Topic: s.pubsub.outcomes(), Deployment: s.deployment, AllowEmulator: f.Emulators || local}
	if local {
		ledgerOptions.ClientOptions, publisherOptions.ClientOptions = insecureAt(stack.Firestore), insecureAt(stack.PubSub)
	}
	if local && stack.Firestore == "" {
		s.ledgerErr = inProcess(stack.PID)
	} else if l, err := gcp.OpenLedger(g.ctx, ledgerOptions); err != nil {
		s.ledgerErr = err
	} else {
		s.ledger = l
		s.closers = append(s.closers, l.Close)
	}
	vo := gcp.VertexOptions{CallDeadline: g.Timeout}
	if f.VertexEndpoint != "" {
		vo.Insecure, vo.Endpoint = true, func(string) string { return f.VertexEndpoint }
	}
	v, err := gcp.NewVertex(vo)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make Vertex AI client: %w", err), s.close())
	}
	s.vertex, s.closers = v, append(s.closers, v.Close)
	out, err := gcp.NewPublisher(g.ctx, publisherOptions)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make publisher: %w", err), s.close())
	}
	s.out, s.closers = out, append(s.closers, out.Close)
	if err := s.pubsub.connect(g); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.closers = append(s.closers, s.pubsub.close)
	return s, nil
}

// askStatus reads the configuration of the deployment from the Status function,
// if there is one.
func (s *site) askStatus(g *globals) {
	if g.StatusURL == "" {
		return
	}
	d, err := g.open()
	if err == nil {
		var index statuspage.Index
		if _, err = d.get(g.ctx, &index, nil); err == nil {
			s.status = &index
		}
	}
	s.statusErr = err
}

// configure sets what flags, the Status function and defaults say, in this
// order.
func (s *site) configure(g *globals, f siteFlags) {
	c := controller.DefaultConfig()
	regions, tick := f.Region, f.Tick
	s.deployment = cmp.Or(f.Deployment, c.Deployment)
	if f.Deployment == "" && f.Prefix != "berth" {
		s.deployment = f.Prefix // the default of deploy.sh
	}
	if s.status != nil {
		s.deployment = cmp.Or(f.Deployment, s.status.Deployment, s.deployment)
		if len(regions) == 0 {
			regions = s.status.Regions
		}
		// The policy accepts an observation that is two ticks old.
		tick = cmp.Or(tick, time.Duration(s.status.MaxAge)/2)
	}
	s.settings = repair.Settings{
		Tick: cmp.Or(tick, c.Tick), StartTimeout: cmp.Or(f.StartTimeout, c.StartTimeout),
		RetryAfter: c.RetryAfter, Keep: c.Keep, Lease: controller.ReconcileLease, Deployment: s.deployment,
	}
	for _, r := range regions {
		s.parents = append(s.parents, vertex.InRegion(g.Project, r).Parent())
	}
	timeout := f.FunctionTimeout
	if timeout == 0 && !s.emulated {
		timeout = 2 * time.Minute
	}
	s.pubsub = newBroker(g, f.Prefix, s.emulated, timeout)
	if s.status != nil && s.status.OutcomeTopic != "" {
		s.pubsub.outcomeTopic = s.status.OutcomeTopic
	}
}

func insecureAt(address string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(address), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
}
