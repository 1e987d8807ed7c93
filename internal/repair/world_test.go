package repair_test

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/gcp"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/vertex"
)

const (
	parent = "projects/test-project/locations/us-central1"
	pool   = parent + "/persistentResources/pool"
)

var cpu = capacity.Spec{MachineType: "n1-standard-4"}.Normal()

// A world is a ledger made by the real controller, for tests to damage.
type world struct {
	t         *testing.T
	ledger    repair.Ledger
	vertex    *vertex.Mem
	c         *controller.Controller
	cfg       controller.Config
	now       time.Time // the clock of a ledger in memory, and of Vertex AI
	real      bool      // the ledger has a clock of its own
	publisher *testPublisher
	project   string             // of the emulator
	sent      []message.Delivery // requests that were delivered
}

// A testPublisher is the outcome topic.
type testPublisher struct {
	down bool
	ids  []string
}

func (p *testPublisher) Publish(_ context.Context, events ...message.Outcome) error {
	if p.down {
		return fmt.Errorf("the outcome topic is down")
	}
	for _, e := range events {
		p.ids = append(p.ids, e.EventID)
	}
	return nil
}

func (w *world) clock() time.Time {
	if w.real {
		return time.Now()
	}
	return w.now
}

// newWorld has a pool of four machines, of which request "runs" has three; "next"
// and "last" wait for two each.
func newWorld(t *testing.T, real bool) *world {
	w := &world{t: t, real: real, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), cfg: controller.DefaultConfig(), publisher: &testPublisher{}}
	w.vertex = vertex.NewMem(w.clock)
	w.ledger = ledger.NewMem(w.clock)
	if real {
		w.project = emulatortest.Project(t)
		w.ledger = openEmulator(t, w.project)
	}
	w.vertex.SetResource(pool, vertex.Resource{State: vertex.Running, CreateTime: w.clock().Add(-time.Hour), Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}}})
	w.cfg.Project, w.cfg.Regions, w.cfg.DefaultResource = "test-project", []string{"us-central1"}, "pool"
	w.cfg.Policy.Plan.StartIn = w.cfg.StartTimeout // no job passes another in the hour that it has to start
	env := controller.RealEnv()
	env.Monotonic = w.clock
	env.Within = nil // a pass is not bound by this machine's clock
	w.c = controller.New(w.cfg, w.ledger, w.vertex, w.publisher, slog.New(slog.DiscardHandler), env)
	w.request("runs", 3)
	w.request("next", 2)
	w.request("last", 2)
	w.pass()
	w.want("runs", lifecycle.Submitted)
	w.want("next", lifecycle.Waiting)
	w.want("last", lifecycle.Waiting)
	return w
}

func openEmulator(t *testing.T, project string) *gcp.Ledger {
	t.Helper()
	l, err := gcp.OpenLedger(t.Context(), gcp.LedgerOptions{Project: project, AllowEmulator: true, ClientOptions: []option.ClientOption{
		option.WithEndpoint(emulatortest.Firestore(t)), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (w *world) request(id string, replicas int) {
	w.t.Helper()
	w.now = w.now.Add(time.Second) // the earlier request is first in the queue
	w.sent = append(w.sent, message.Delivery{ID: "m-" + id, PublishTime: w.clock(), Data: fmt.Appendf(nil,
		`{"requestId":%q,"job":{"displayName":"train","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":%d,"containerSpec":{"imageUri":"gcr.io/p/image","env":[{"name":"TOKEN","value":"hush-hush"}]}}]}}}`, id, replicas)})
	if err := w.c.Handle(w.t.Context(), "default", w.sent[len(w.sent)-1]); err != nil {
		w.t.Fatal(err)
	}
	if w.read(w.key(id)) == nil {
		w.t.Fatalf("request %s was not accepted", id)
	}
}

func (w *world) pass() {
	w.t.Helper()
	budget := 5 * time.Second
	if w.real {
		budget = 100 * time.Millisecond // a pass observes until then while requests wait
	}
	if _, err := w.c.Reconcile(w.t.Context(), "test", budget); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) key(id string) message.Key {
	return message.KeyOf("default", message.KindRequest, id)
}

func (w *world) read(key message.Key) (r *ledger.Record) {
	w.t.Helper()
	err := ledger.Read(w.t.Context(), w.ledger, ledger.Records(key), func(tx ledger.Tx) { r = tx.Record(key) })
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) want(id string, s lifecycle.State) {
	w.t.Helper()
	if r := w.read(w.key(id)); r.State != s {
		w.t.Fatalf("%s is %s, want %s", id, r.State, s)
	}
}

// hand changes a request and the resource as a manual database edit does, against
// every rule.
func (w *world) hand(id string, change func(res *ledger.Resource, r *ledger.Record)) {
	w.t.Helper()
	key := w.key(id)
	err := w.ledger.Update(w.t.Context(), ledger.Resources(pool).And(ledger.Records(key)), func(tx ledger.Tx) error {
		res, r := tx.Resource(pool), tx.Record(key)
		change(res, r)
		tx.Put(res)
		tx.Put(r)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) settings() repair.Settings {
	return repair.Settings{Tick: w.cfg.Tick, StartTimeout: w.cfg.StartTimeout, RetryAfter: w.cfg.RetryAfter, Keep: w.cfg.Keep, Lease: controller.ReconcileLease, Deployment: w.cfg.Deployment}
}

func (w *world) kit(do bool) repair.Kit {
	return repair.Kit{Ledger: w.ledger, Vertex: w.vertex, Settings: w.settings(), DryRun: !do}
}

// doctor returns the findings that are not OK.
func (w *world) doctor() []repair.Finding {
	w.t.Helper()
	src := repair.Source{Ledger: w.ledger, Vertex: w.vertex, Parents: []string{parent}, Clock: w.clock}
	_, all, err := repair.Examine(w.t.Context(), src, w.settings())
	if err != nil {
		w.t.Fatal(err)
	}
	var bad []repair.Finding
	for _, f := range all {
		if strings.Contains(fmt.Sprintf("%+v", f), "hush-hush") {
			w.t.Errorf("the finding shows the user's secrets: %+v", f)
		}
		if f.Level != repair.OK {
			bad = append(bad, f)
		}
	}
	return bad
}

// contents is everything in the ledger except leases.
func (w *world) contents() (all []any) {
	w.t.Helper()
	res, err := w.ledger.Resources(w.t.Context(), "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	recs, err := w.ledger.Scan(w.t.Context(), ledger.KindRecord, "", 100)
	if _, err = ledger.Skipped(err); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range res {
		all = append(all, r)
	}
	for _, r := range recs {
		all = append(all, r)
	}
	return all
}

func (w *world) unchangedSince(before []any) {
	w.t.Helper()
	if after := w.contents(); !reflect.DeepEqual(before, after) {
		w.t.Errorf("a dry run changed the ledger\nfrom %+v\nto   %+v", before, after)
	}
}
