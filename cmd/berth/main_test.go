package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/localstack/statefile"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
	sums "example.com/berth/internal/usage"
	"example.com/berth/internal/vertex"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"berth": func() {
		os.Exit(run(os.Args[1:], os.Stdin, watched{os.Stdout}, watched{os.Stderr}))
	}})
}

// watched is an outlet of the tool in every script: it ends the process when it is to
// write the word that stands for a secret in the scripts' jobs. So each verb, a new one
// too, is held to it.
type watched struct{ io.Writer }

func (w watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("hush-hush")) {
		panic("a secret of a job is written")
	}
	return w.Writer.Write(p)
}

// TestScripts runs each script of testdata against a stack of its own. It adds
// these commands:
//
//	exits N args...   run berth and want its exit code
//	await ID STATE    wait until the request has the state in the ledger
//	job ID STATE      put the request's job into a state, and reconcile
//	used              store that four CPU machines were used by two replicas for two hours
//	                  while one request waited for them, and a GPU machine for one of them by a foreign job
//	used WHY          leave that document unreadable
//	nofile            remove the local stack's file
//	deadfile          leave the file of a process that has ended
//	deployment        name the stack by environment variables, as a deployment
//	operate N args... run berth in this process with access to the ledger of the
//	                  stack, and want its exit code
//	break WHAT ID     damage the ledger: see site_test.go
//	send ID FILE      deliver a message with this message id and no request id
//	plumb             make the topics and subscriptions of a deployment
//	bury ID FILE      leave a message in the dead letters; ID "-" for no request id
func TestScripts(t *testing.T) {
	stacks := map[string]*stack{} // by work folder
	var mu sync.Mutex
	of := func(ts *testscript.TestScript) *stack {
		mu.Lock()
		defer mu.Unlock()
		return stacks[ts.Getenv("WORK")]
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			s, err := startStack(env)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			stacks[env.WorkDir] = s
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"await":      func(ts *testscript.TestScript, _ bool, args []string) { of(ts).await(ts, args[0], args[1]) },
			"job":        func(ts *testscript.TestScript, _ bool, args []string) { of(ts).job(ts, args[0], args[1]) },
			"taught":     func(ts *testscript.TestScript, _ bool, args []string) { of(ts).taught(ts, args[0], args[1]) },
			"used":       func(ts *testscript.TestScript, _ bool, args []string) { of(ts).used(ts, args...) },
			"nofile":     func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(os.Remove(of(ts).file)) },
			"deadfile":   func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).deadfile(ts) },
			"deployment": func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).deployment(ts) },
			"operate":    func(ts *testscript.TestScript, _ bool, args []string) { of(ts).operate(ts, args[0], args[1:]) },
			"break":      func(ts *testscript.TestScript, _ bool, args []string) { of(ts).breakBy(ts, args[0], args[1]) },
			"send":       func(ts *testscript.TestScript, _ bool, args []string) { of(ts).send(ts, args[0], args[1]) },
			"plumb":      func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).plumb(ts) },
			"bury":       func(ts *testscript.TestScript, _ bool, args []string) { of(ts).bury(ts, args[0], args[1]) },
		},
	})
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, exit := 0, (*exec.ExitError)(nil)
	if err := ts.Exec("berth", args[1:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run berth: %v", err)
	}
	if got != want {
		ts.Fatalf("berth %s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// A stack is the target of the tool, in this process: a topic that feeds a real
// controller over the memory twins, and the real Status function.
type stack struct {
	ledger *ledger.Mem
	vertex *vertex.Mem
	c      *controller.Controller
	pubsub string // host:port
	admin  *pubsub.Client
	status string // URL
	locked string // URL that demands the token "letmein"
	file   string
	pools  []capacity.Pool

	mu      sync.Mutex
	changed chan struct{} // closed when something has been handled
}

type nowhere struct{}

func (nowhere) Publish(context.Context, ...message.Outcome) error { return nil }

const (
	project  = "test-project"
	poolName = "projects/" + project + "/locations/us-central1/persistentResources/pool"
)

func startStack(env *testscript.Env) (*stack, error) {
	cpu := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	l4 := capacity.Spec{MachineType: "g2-standard-12", Accelerator: "NVIDIA_L4", AcceleratorCount: 1, DiskType: "pd-standard", DiskSizeGB: 200}.Normal()
	s := &stack{ledger: ledger.NewMem(nil), vertex: vertex.NewMem(time.Now), changed: make(chan struct{}), file: env.WorkDir + "/.stack.json"}
	s.pools = []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}, {ID: "gpu", Shape: l4, Count: 1, Max: 2}}
	s.vertex.SetResource(poolName, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: s.pools})
	s.vertex.AddForeign("projects/"+project+"/locations/us-central1", "pool", capacity.Ask{{Shape: l4, Replicas: 1}})
	cfg := controller.DefaultConfig()
	cfg.Policy.Plan.StartIn = cfg.StartTimeout // no job passes another in the hour that it has to start
	cfg.Project, cfg.Regions, cfg.DefaultResource = project, []string{"us-central1"}, "pool"
	s.c = controller.New(cfg, s.ledger, s.vertex, nowhere{}, slog.New(slog.DiscardHandler), controller.RealEnv())
	status := statuspage.New(s.c, s.ledger, statuspage.Info{Project: project, Regions: cfg.Regions, Deployment: cfg.Deployment, Policy: cfg.Policy, Keep: cfg.Keep, AllTenants: true})
	narrow := statuspage.New(s.c, s.ledger, statuspage.Info{Project: project, Regions: cfg.Regions, Deployment: cfg.Deployment, Policy: cfg.Policy, Keep: cfg.Keep})
	if err := s.pull(env); err != nil {
		return nil, err
	}
	serve := func(h http.HandlerFunc) string {
		srv := httptest.NewServer(h)
		env.Defer(srv.Close)
		return srv.URL
	}
	s.status = serve(status.ServeHTTP) + "/Status"
	env.Setenv("BERTH_NARROW", serve(narrow.ServeHTTP)+"/Status") // it shows the tenant default alone
	s.locked = serve(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer letmein" || r.Header.Get("X-Serverless-Authorization") != "Bearer letmein" {
			http.Error(w, "<html>no</html>", http.StatusUnauthorized)
			return
		}
		status.ServeHTTP(w, r)
	})
	env.Setenv("BERTH_LOCALSTACK_FILE", s.file)
	env.Setenv("TZ", "UTC")
	return s, s.write(os.Getpid())
}

func (s *stack) write(pid int) error {
	text, err := json.Marshal(statefile.State{PID: pid, Project: project, PubSub: s.pubsub, Topic: "berth-requests", Status: s.status})
	if err != nil {
		return err
	}
	return os.WriteFile(s.file, text, 0o600)
}

// pull starts Pub/Sub and delivers every message of the topic to the
// controller.
func (s *stack) pull(env *testscript.Env) error {
	srv := pstest.NewServer()
	s.pubsub = srv.Addr
	conn, err := grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	client, err := pubsub.NewClient(ctx, project, option.WithGRPCConn(conn))
	if err != nil {
		cancel()
		return err
	}
	s.admin = client
	handlers := map[string]func(context.Context, message.Delivery) error{
		"berth-requests":  func(ctx context.Context, d message.Delivery) error { return s.c.Handle(ctx, "default", d) },
		"berth-operators": func(ctx context.Context, d message.Delivery) error { return s.c.Operate(ctx, d) },
	}
	done := make(chan error, len(handlers))
	env.Defer(func() {
		cancel()
		var err error
		for range handlers {
			err = errors.Join(err, <-done)
		}
		if err := errors.Join(err, client.Close(), srv.Close()); err != nil && !errors.Is(err, io.EOF) {
			env.T().Log("stop the stack:", err)
		}
	})
	for id, handle := range handlers {
		topic, sub := "projects/"+project+"/topics/"+id, "projects/"+project+"/subscriptions/"+id
		if _, failed := client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); failed != nil {
			err = errors.Join(err, failed)
		} else if _, failed := client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{Name: sub, Topic: topic}); failed != nil {
			err = errors.Join(err, failed)
		}
		go func() {
			done <- client.Subscriber(sub).Receive(ctx, func(ctx context.Context, m *pubsub.Message) {
				d := message.Delivery{ID: m.ID, PublishTime: m.PublishTime, Attributes: m.Attributes, Data: m.Data}
				if err := handle(ctx, d); err != nil {
					m.Nack()
					return
				}
				m.Ack()
				s.wake()
			})
		}()
	}
	return err
}

// wake ends the waits for a change.
func (s *stack) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stack) find(id string) *ledger.Record {
	var known []*ledger.Record
	for _, r := range s.ledger.Records() {
		if r.ID == id {
			known = append(known, r)
		}
	}
	return ledger.Preferred(known...)
}

func (s *stack) send(ts *testscript.TestScript, id, file string) {
	ts.Check(s.c.Handle(context.Background(), "default", message.Delivery{ID: id, PublishTime: time.Now(), Data: []byte(ts.ReadFile(file))}))
}

// await waits until a request, or the request of a job, is in a state. ANSWERED
// means an answer under any id; TOMBSTONE means a cancel and nothing else; PAUSED and
// RESUMED mean the persistent resource; FIRST one that an operator has put first.
func (s *stack) await(ts *testscript.TestScript, id, state string) {
	limit := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if state == "ANSWERED" {
			for _, r := range s.ledger.Records() {
				if r.Kind == message.KindAnswer {
					return
				}
			}
		} else if state == "PAUSED" || state == "RESUMED" {
			var res *ledger.Resource
			ts.Check(ledger.Read(context.Background(), s.ledger, ledger.Resources(poolName), func(tx ledger.Tx) { res = tx.Resource(poolName) }))
			if res != nil && (res.Paused != nil) == (state == "PAUSED") {
				return
			}
		} else if state == "TENANT_PAUSED" {
			var pauses *ledger.Pauses
			ts.Check(ledger.Read(context.Background(), s.ledger, ledger.AllPauses(), func(tx ledger.Tx) {
				pauses = ledger.Get[*ledger.Pauses](tx, ledger.PauseRef(ledger.TenantPauses))
			}))
			if pauses != nil && len(pauses.Tenants) > 0 {
				return
			}
		} else if state == "FIRST" {
			if r := s.find(id); r != nil && strings.HasPrefix(r.Order, "1000-19") {
				return
			}
		} else if r := s.find(id); r != nil && (string(r.State) == state || r.Tombstone() && state == "TOMBSTONE") {
			return
		}
		select {
		case <-changed:
		case <-limit:
			ts.Fatalf("%s is not %s in time: %+v", id, state, s.find(id))
		}
	}
}

func (s *stack) job(ts *testscript.TestScript, id, state string) {
	r := s.find(id)
	if r == nil || r.Reservation.Job == "" {
		ts.Fatalf("%s has no job", id)
	}
	s.vertex.SetJob(r.Reservation.Job, vertex.JobState(state))
	// A budget of less than a poll makes one pass.
	if _, err := s.c.Reconcile(context.Background(), fmt.Sprint("test-", id), time.Millisecond); err != nil {
		ts.Fatalf("reconcile: %v", err)
	}
	s.wake()
}

// taught stores what so many jobs of the first request's family teach that ran for a
// time.
func (s *stack) taught(ts *testscript.TestScript, jobs, ran string) {
	n, err := strconv.Atoi(jobs)
	ts.Check(err)
	d, err := time.ParseDuration(ran)
	ts.Check(err)
	rec := s.find("first")
	h := &ledger.History{Tenant: rec.Tenant}
	for range n {
		h.Learn(estimate.End{Job: estimate.Job{Limit: rec.Timeout, Replicas: 1, Family: rec.Family}, Ran: d})
	}
	ts.Check(s.ledger.Update(context.Background(), ledger.Resources(rec.Resource).And(ledger.ReadSetOf(h)), func(tx ledger.Tx) error {
		res := tx.Resource(rec.Resource)
		res.LearnedAt = tx.Now()
		tx.Put(res)
		tx.Put(h)
		return nil
	}))
}

func (s *stack) used(ts *testscript.TestScript, why ...string) {
	if len(why) > 0 {
		s.ledger.Spoil(ledger.UsageRef(poolName), why[0])
		return
	}
	doc := &ledger.Usage{Resource: poolName}
	ts.Check(s.ledger.Update(context.Background(), ledger.Resources(poolName).And(ledger.ReadSetOf(doc)), func(tx ledger.Tx) error {
		var recent sums.Recent
		foreign := capacity.Replicas(1)
		for ago := 120 * time.Minute; ago >= 0; ago -= time.Minute {
			if ago < 60*time.Minute {
				foreign = 0
			}
			recent.Add(sums.Sample{At: tx.Now().Add(-ago), Levels: map[capacity.Shape]sums.Level{
				s.pools[0].Shape: {Machines: 4, Limit: 4, Ours: 2, Waiting: 1},
				s.pools[1].Shape: {Machines: 1, Limit: 2, Foreign: foreign},
			}})
		}
		doc.History = sums.History{}
		doc.Add(recent.Take(), tx.Now())
		tx.Put(doc)
		return nil
	}))
}

func (s *stack) deadfile(ts *testscript.TestScript) {
	child := exec.Command(os.Args[0], "-test.run=^$")
	ts.Check(child.Run())
	ts.Check(s.write(child.Process.Pid))
}

func (s *stack) deployment(ts *testscript.TestScript) {
	ts.Setenv("BERTH_LOCALSTACK_FILE", s.file+".none")
	ts.Setenv("BERTH_PROJECT", project)
	ts.Setenv("BERTH_STATUS_URL", s.locked)
	ts.Setenv("BERTH_TOKEN", "letmein")
	ts.Setenv("PUBSUB_EMULATOR_HOST", s.pubsub)
}
