package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/identity/identitytest"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// A site is a deployment with settings of its own: a world behind the entry
// points of an App that was configured by variables.
type site struct {
	*sim.World
	app *App
	log *bytes.Buffer
}

// settings are variables over those that every deployment has.
func settings(t testing.TB, pairs ...string) Config {
	t.Helper()
	env := map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_DEFAULT_RESOURCE": "pool"}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
		if value == "" {
			delete(env, name)
		}
	}
	cfg, err := LoadConfig(t.Context(), envconfig.MapLookuper(env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// deployed is a site with the defaults, except for the pairs NAME=VALUE.
func deployed(t *testing.T, pairs ...string) *site {
	t.Helper()
	cfg := settings(t, pairs...)
	s := &site{World: sim.New(t), log: &bytes.Buffer{}}
	s.Config = cfg.controller()
	s.Controller = s.Instance(s.Config)
	s.app = assemble(cfg, newLogger(s.log, cfg.LogLevel), s.Controller, s.Ledger)
	s.app.now = func() time.Time { return s.Now }
	s.Deliver = func(d message.Delivery) error { return push(s.app.admit, d) }
	s.Tick = func() error {
		return push(s.app.reconcile, message.Delivery{ID: fmt.Sprint("tick", s.Now.UnixNano()), PublishTime: s.Now})
	}
	return s
}

// ask sends a request and returns the last event about it.
func (s *site) ask(j sim.Job) message.Outcome {
	s.Helper()
	s.Ask(j)
	return s.Out.Last(j.ID)
}

// get asks Status.
func (s *site) get(path string) (int, string) {
	rec := httptest.NewRecorder()
	s.app.answer(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Code, rec.Body.String()
}

// wait lets time pass with a tick in every minute. A tick takes up to a minute
// itself while something waits.
func (s *site) wait(d time.Duration) {
	s.Helper()
	for end := s.Now.Add(d); s.Now.Before(end); {
		s.After(min(end.Sub(s.Now), time.Minute))
	}
}

// passes is how many passes one tick makes while a request waits that cannot
// start.
func (s *site) passes() int {
	s.Helper()
	s.Ask(sim.Job{ID: "holder", CPU: 4})
	s.Ask(sim.Job{ID: "waiter", CPU: 4})
	before := s.Vertex.Calls()["live"]
	s.After(time.Second)
	return s.Vertex.Calls()["live"] - before
}

// jobSpec keeps the last job that Vertex AI was asked to create.
func (s *site) jobSpec() func() *aiplatformpb.CustomJob {
	var last *aiplatformpb.CustomJob
	s.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		last = proto.CloneOf(job)
		return nil
	}
	return func() *aiplatformpb.CustomJob { return last }
}

func problem(o message.Outcome) reason.Code {
	if o.Reason == nil {
		return ""
	}
	return o.Reason.Code
}

// effects are, by variable, what a setting does at the outside. Each compares a
// deployment that sets it with one that does not, or that sets it otherwise.
var effects = map[string]func(*testing.T){
	"BERTH_PROJECT": func(t *testing.T) {
		s := deployed(t, "BERTH_PROJECT=other-project")
		const home = "projects/other-project/locations/us-central1"
		s.Vertex.SetResource(home+"/persistentResources/pool", vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0),
			Pools: []capacity.Pool{{ID: "cpu", Shape: sim.CPU, Count: 4}}})
		s.Ask(oneCPU)
		if job := s.JobOf("a"); !strings.HasPrefix(job, home+"/customJobs/") {
			t.Errorf("the job is %s", job)
		}
		if o := s.ask(sim.Job{ID: "b", CPU: 1, Resource: sim.Resource}); problem(o) != reason.ForeignResource {
			t.Errorf("a resource of another project: %+v", o.Reason)
		}
		if code, text := s.get("/"); code != http.StatusOK || !strings.Contains(text, `"project":"other-project"`) {
			t.Errorf("Status says %d %s", code, text)
		}
	},
	"BERTH_REGIONS": func(t *testing.T) {
		s := deployed(t, "BERTH_REGIONS=europe-west4,us-central1")
		europe := strings.ReplaceAll(sim.Resource, "us-central1", "europe-west4")
		s.Vertex.SetResource(europe, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{{ID: "cpu", Shape: sim.CPU, Count: 4}}})
		for named, want := range map[string]string{"pool": europe, sim.Resource: sim.Resource, europe: europe} {
			o := s.ask(sim.Job{ID: "to-" + strings.ReplaceAll(named, "/", "-"), CPU: 1, Resource: named})
			if o.PersistentResource != want || o.State != string(lifecycle.Submitted) {
				t.Errorf("%s is taken for %s and %s", named, o.PersistentResource, o.State)
			}
		}
		if o := s.ask(sim.Job{ID: "far", CPU: 1, Resource: strings.ReplaceAll(sim.Resource, "us-central1", "asia-east1")}); problem(o) != reason.ForeignResource {
			t.Errorf("a region that is not served: %+v", o.Reason)
		}
	},
	"BERTH_DEFAULT_RESOURCE": func(t *testing.T) {
		if o := deployed(t).ask(oneCPU); o.PersistentResource != sim.Resource || o.State != string(lifecycle.Submitted) {
			t.Errorf("with a default: %s in %s", o.State, o.PersistentResource)
		}
		if o := deployed(t, "BERTH_DEFAULT_RESOURCE=").ask(oneCPU); problem(o) != reason.NoResource {
			t.Errorf("without: %+v", o.Reason)
		}
		if o := deployed(t, "BERTH_DEFAULT_RESOURCE="+sim.Resource).ask(oneCPU); o.State != string(lifecycle.Submitted) {
			t.Errorf("by its full name: %s", o.State)
		}
	},
	"BERTH_DEPLOYMENT": func(t *testing.T) {
		for _, pair := range []string{"BERTH_DEPLOYMENT=mine", "BERTH_DEPLOYMENT="} {
			s := deployed(t, pair)
			job := s.jobSpec()
			s.Ask(oneCPU)
			want := map[string]string{"BERTH_DEPLOYMENT=mine": "mine", "BERTH_DEPLOYMENT=": "default"}[pair]
			if got := job().GetLabels()[vertex.LabelDeployment]; got != want {
				t.Errorf("%s: the job's label is %q", pair, got)
			}
			if _, text := s.get("/"); !strings.Contains(text, `"deployment":"`+want+`"`) {
				t.Errorf("%s: Status says %s", pair, text)
			}
		}
	},
	"BERTH_OPERATORS_SUBSCRIPTION": func(t *testing.T) {
		const home = "projects/test-project/subscriptions/"
		for pair, taken := range map[string]string{"BERTH_OPERATORS_SUBSCRIPTION=berth-operators": home + "berth-operators", "BERTH_OPERATORS_SUBSCRIPTION=": ""} {
			for _, subscription := range []string{home + "berth-operators", home + "other", home, "projects/elsewhere/subscriptions/berth-operators", "berth-operators", ""} {
				s := deployed(t, pair)
				for id, data := range map[string][]byte{"o": sim.Operation(message.Pause), "r": oneCPU.Body()} {
					if w := post(s.app.admit, message.Delivery{ID: id, Subscription: subscription, PublishTime: s.Now, Data: data}.Push()); w.Code != http.StatusOK {
						t.Fatal(w.Code, w.Body)
					}
				}
				operator, request := s.Out.Last("o"), s.State("a")
				switch refused := s.Out.Last("r"); {
				case subscription == taken && taken != "":
					if operator.Type != message.Paused || request != lifecycle.None || problem(refused) != reason.WrongTopic || refused.Tenant != message.Operators {
						t.Errorf("%s, from %s: %s, the request is %q, %+v", pair, subscription, operator.Type, request, refused)
					}
				case problem(operator) != reason.WrongTopic || operator.Tenant != "default" || request != lifecycle.Submitted:
					t.Errorf("%s, from %s: %+v, the request is %s", pair, subscription, operator, request)
				}
			}
		}
		if _, err := LoadConfig(t.Context(), envconfig.MapLookuper(map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1",
			"BERTH_TENANTS": "sub:team", "BERTH_OPERATORS_SUBSCRIPTION": "sub"})); err == nil || !strings.Contains(err.Error(), "is the subscription of operators") {
			t.Errorf("one subscription of operators and of a tenant: %v", err)
		}
	},
	"BERTH_TENANTS": func(t *testing.T) {
		s := deployed(t, "BERTH_TENANTS=team-sub:team,other-sub:other")
		for subscription, want := range map[string]string{
			"projects/test-project/subscriptions/team-sub":  "team",
			"projects/test-project/subscriptions/other-sub": "other",
			"projects/test-project/subscriptions/sub":       "default",
			"projects/elsewhere/subscriptions/team-sub":     "default", // its owner may have given it any id
			"projects/test-project/topics/team-sub":         "default",
			"team-sub":                                      "default",
			"":                                              "default",
		} {
			id := "by-" + strings.NewReplacer("/", "-", "_", "-").Replace(subscription)
			body := message.Delivery{ID: id, Subscription: subscription, Data: sim.Job{ID: id, CPU: 9}.Body()}.Push()
			if w := post(s.app.admit, body); w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", subscription, w.Code, w.Body)
			}
			if o := s.Out.Last(id); o.Tenant != want || s.Record(id).Tenant != want {
				t.Errorf("by %q it is of tenant %q in the event and %q in the ledger, want %q", subscription, o.Tenant, s.Record(id).Tenant, want)
			}
			// A message that cannot be read is answered to the same tenant.
			body = message.Delivery{ID: "bad" + id, Subscription: subscription, Data: []byte("{")}.Push()
			if post(s.app.admit, body); s.Out.Last("bad"+id).Tenant != want {
				t.Errorf("by %q a bad message is of tenant %q, want %q", subscription, s.Out.Last("bad"+id).Tenant, want)
			}
		}
	},
	"BERTH_STATUS_ALL_TENANTS": func(t *testing.T) {
		for pair, want := range map[string]int{"BERTH_STATUS_ALL_TENANTS=": 403, "BERTH_STATUS_ALL_TENANTS=false": 403, "BERTH_STATUS_ALL_TENANTS=true": 404} {
			if code, text := deployed(t, pair).get("/requests/x?tenant=team"); code != want {
				t.Errorf("%s: %d %s", pair, code, text)
			}
		}
	},
	"BERTH_STATUS_OPERATORS": func(t *testing.T) {
		g := identitytest.New(t)
		for pair, want := range map[string]int{"BERTH_STATUS_OPERATORS=op@example.com": 404, "BERTH_STATUS_OPERATORS=other@example.com": 403} {
			s := known(t, g, pair, "BERTH_STATUS_AUDIENCES="+statusURL)
			if code := s.code(t, g, "op@example.com", "/requests/x?tenant=red"); code != want {
				t.Errorf("%s: %d, want %d", pair, code, want)
			}
		}
	},
	"BERTH_STATUS_CALLERS": func(t *testing.T) {
		g := identitytest.New(t)
		for pair, want := range map[string]int{"BERTH_STATUS_CALLERS=a@example.com:red": 404, "BERTH_STATUS_CALLERS=a@example.com:blue+red": 404, "BERTH_STATUS_CALLERS=a@example.com:blue": 403, "BERTH_STATUS_CALLERS=b@example.com:red": 403} {
			s := known(t, g, pair, "BERTH_STATUS_AUDIENCES="+statusURL)
			if code := s.code(t, g, "a@example.com", "/requests/x?tenant=red"); code != want {
				t.Errorf("%s: %d, want %d", pair, code, want)
			}
		}
	},
	"BERTH_STATUS_AUDIENCES": func(t *testing.T) {
		g := identitytest.New(t)
		for pair, want := range map[string]int{"BERTH_STATUS_AUDIENCES=https://x," + statusURL: 200, "BERTH_STATUS_AUDIENCES=https://x": 401} {
			s := known(t, g, pair, "BERTH_STATUS_OPERATORS=op@example.com")
			if code := s.code(t, g, "op@example.com", "/queue"); code != want {
				t.Errorf("%s: %d, want %d", pair, code, want)
			}
		}
	},
	"BERTH_STATUS_IAP": func(t *testing.T) {
		g := identitytest.New(t)
		for pair, want := range map[string]int{"BERTH_STATUS_IAP=" + statusIAP: 200, "BERTH_STATUS_IAP=/projects/2/global/backendServices/3": 401} {
			s := known(t, g, pair, "BERTH_STATUS_OPERATORS=op@example.com")
			if code, text := s.as("X-Goog-IAP-JWT-Assertion", g.Sign(t, "ES256", identitytest.Assertion(statusIAP, "op@example.com")), http.MethodGet, "/queue", ""); code != want {
				t.Errorf("%s: %d %s, want %d", pair, code, text, want)
			}
		}
	},
	"BERTH_RUN_IAM": func(t *testing.T) {
		g := identitytest.New(t)
		removed := "Bearer " + identitytest.Removed(g.Sign(t, "RS256", identitytest.IDToken(statusURL, "op@example.com")))
		for pair, want := range map[string]int{"BERTH_RUN_IAM=true": 200, "BERTH_RUN_IAM=false": 401, "BERTH_RUN_IAM=": 401} {
			s := known(t, g, pair, "BERTH_STATUS_OPERATORS=op@example.com", "BERTH_STATUS_AUDIENCES="+statusURL)
			if code, text := s.as("Authorization", removed, http.MethodGet, "/queue", ""); code != want {
				t.Errorf("%s: %d %s, want %d", pair, code, text, want)
			}
		}
	},
	"BERTH_PUSH_ACCOUNT":   TestForgedSubscription,
	"BERTH_PUSH_AUDIENCES": TestForgedSubscription,
	"BERTH_TICK": func(t *testing.T) {
		// An observation is good for two ticks.
		for pair, want := range map[string]bool{"BERTH_TICK=1m": true, "BERTH_TICK=10m": false} {
			s := deployed(t, pair)
			s.Ask(oneCPU)
			s.Now = s.Now.Add(3 * time.Minute)
			if _, text := s.get("/pools"); strings.Contains(text, `"stale":true`) != want {
				t.Errorf("%s: Status says of an observation of three minutes %s", pair, text)
			}
		}
		// The passes of a tick end before the next.
		if few, many := deployed(t, "BERTH_TICK=10s").passes(), deployed(t).passes(); few != 3 || many != 18 {
			t.Errorf("in ten seconds there are %d passes, in a minute %d; want 3 and 18", few, many)
		}
		// A tick that comes later than the next is not worth a pass.
		for age, want := range map[time.Duration]int{2 * time.Minute: 1, 2*time.Minute + time.Second: 0} {
			s := deployed(t, "BERTH_TICK=2m")
			s.Ask(oneCPU)
			before := s.Vertex.Calls()["live"]
			if err := push(s.app.reconcile, message.Delivery{ID: "old", PublishTime: s.Now.Add(-age)}); err != nil {
				t.Fatal(err)
			}
			if got := s.Vertex.Calls()["live"] - before; got != want {
				t.Errorf("a tick of %s ago makes %d passes, want %d", age, got, want)
			}
		}
	},
	"BERTH_POLL": func(t *testing.T) {
		if got := deployed(t, "BERTH_POLL=10s").passes(); got != 5 {
			t.Errorf("with ten seconds between them there are %d passes in a tick, want 5", got)
		}
	},
	"BERTH_TIMEOUT": func(t *testing.T) {
		if got := deployed(t, "BERTH_TIMEOUT=20s").passes(); got != 5 {
			t.Errorf("under a timeout of 20 s a tick makes %d passes, want 5 in 16 s", got)
		}
		for pair, want := range map[string]time.Duration{"BERTH_TIMEOUT=20s": 19 * time.Second, "BERTH_TIMEOUT=": 114 * time.Second} {
			s := deployed(t, pair)
			limit := time.Duration(0)
			s.app.controller = controller.New(s.Config, s.Ledger, asked{s.Vertex, func(ctx context.Context) {
				end, _ := ctx.Deadline()
				limit = time.Until(end)
			}}, s.Out, slog.New(slog.DiscardHandler), controller.RealEnv())
			s.Ask(oneCPU)
			if limit > want || limit < want-10*time.Second {
				t.Errorf("%s: a message may take %s, want %s", pair, limit, want)
			}
		}
	},
	"BERTH_SUBMISSIONS": func(t *testing.T) {
		for pair, want := range map[string]lifecycle.State{"BERTH_SUBMISSIONS=1": lifecycle.Reserved, "BERTH_SUBMISSIONS=": lifecycle.Submitted} {
			s := deployed(t, pair)
			s.Ask(sim.Job{ID: "first", CPU: 1})
			if o := s.ask(oneCPU); s.State("a") != want || (want == lifecycle.Reserved) != (problem(o) == reason.RateLimited) {
				t.Errorf("%s: the second request of a minute is %s because of %+v, want %s", pair, s.State("a"), o.Reason, want)
			}
		}
	},
	"BERTH_POLLS": func(t *testing.T) {
		// A pass here makes two calls.
		if got := deployed(t, "BERTH_POLLS=10").passes(); got != 5 {
			t.Errorf("with ten calls a minute a tick makes %d passes, want 5", got)
		}
	},
	"BERTH_RATE_BACKOFF": func(t *testing.T) {
		for pair, want := range map[string]lifecycle.State{"BERTH_RATE_BACKOFF=5m": lifecycle.Reserved, "BERTH_RATE_BACKOFF=": lifecycle.Submitted} {
			s := deployed(t, pair)
			fail(s.World, "create", 1, vertex.FailRate)
			s.Ask(oneCPU)
			s.wait(2 * time.Minute)
			if got := s.State("a"); got != want {
				t.Errorf("%s: two minutes after too many submissions it is %s, want %s", pair, got, want)
			}
		}
	},
	"BERTH_BACKOFF": func(t *testing.T) {
		for pair, want := range map[string]lifecycle.State{"BERTH_BACKOFF=5m": lifecycle.Waiting, "BERTH_BACKOFF=": lifecycle.Submitted} {
			s := deployed(t, pair)
			decline(s.World, vertex.Transient)
			s.Ask(oneCPU)
			s.wait(2 * time.Minute)
			if got := s.State("a"); got != want {
				t.Errorf("%s: two minutes after Vertex AI was full it is %s, want %s", pair, got, want)
			}
		}
	},
	"BERTH_MAX_WAIT": func(t *testing.T) {
		for pair, want := range map[string]lifecycle.State{"BERTH_MAX_WAIT=10m": lifecycle.Expired, "BERTH_MAX_WAIT=": lifecycle.Waiting} {
			s := deployed(t, pair)
			s.Ask(allCPU)
			s.Ask(oneCPU)
			s.Ask(sim.Job{ID: "patient", CPU: 1, MaxWait: "3600s"}) // says so itself
			s.wait(11 * time.Minute)
			if got := s.State("a"); got != want || s.State("patient") != lifecycle.Waiting {
				t.Errorf("%s: after 11 minutes it is %s, want %s; one that wants to wait an hour is %s", pair, got, want, s.State("patient"))
			}
		}
	},
	"BERTH_START_TIMEOUT": func(t *testing.T) {
		for pair, want := range map[string]lifecycle.State{"BERTH_START_TIMEOUT=10m": lifecycle.Cancelling, "BERTH_START_TIMEOUT=": lifecycle.Submitted} {
			s := deployed(t, pair)
			s.Ask(oneCPU)
			s.wait(11 * time.Minute)
			if got := s.State("a"); got != want {
				t.Errorf("%s: after 11 minutes without running it is %s, want %s", pair, got, want)
			}
		}
	},
	"BERTH_REFUSE_AFTER": func(t *testing.T) {
		for pair, want := range map[string]lifecycle.State{"BERTH_REFUSE_AFTER=10m": lifecycle.Rejected, "BERTH_REFUSE_AFTER=": lifecycle.Waiting} {
			s := deployed(t, pair)
			s.Ask(allCPU)
			s.Ask(oneCPU)
			s.SetPools(vertex.Running, capacity.Pool{ID: "gpu", Shape: sim.GPU, Count: 2})
			s.wait(12 * time.Minute)
			if got := s.State("a"); got != want {
				t.Errorf("%s: after 12 minutes on a resource without its machines it is %s, want %s", pair, got, want)
			}
		}
	},
	"BERTH_SUBMIT_TIMEOUT": func(t *testing.T) {
		for pair, want := range map[string]time.Duration{"BERTH_SUBMIT_TIMEOUT=2m": 2 * time.Minute, "BERTH_SUBMIT_TIMEOUT=": time.Minute} {
			s := deployed(t, pair)
			crash(s.World)
			began := s.Now
			s.Ask(oneCPU)
			if got := s.Record("a").ActUntil.Sub(began).Round(time.Second); got != want {
				t.Errorf("%s: an attempt may act for %s, want %s", pair, got, want)
			}
			// Vertex AI is given that long to answer.
			outside := listen(t)
			o := outside.open(t, pair)
			o.post(t, oneCPU)
			if got := outside.took("CreateCustomJob"); got > want || got < want-20*time.Second {
				t.Errorf("%s: a create may take %s, want nearly %s", pair, got, want)
			}
		}
	},
	"BERTH_RETRY_AFTER": func(t *testing.T) {
		for pair, want := range map[string]int{"BERTH_RETRY_AFTER=5m": 1, "BERTH_RETRY_AFTER=": 2} {
			s := deployed(t, pair)
			crash(s.World)
			s.Ask(oneCPU)
			s.wait(3 * time.Minute)
			if got := s.Vertex.Calls()["create"]; got != want {
				t.Errorf("%s: three minutes after a lost answer there were %d creates, want %d", pair, got, want)
			}
		}
	},
	"BERTH_UNCLEAR_TIMEOUT": func(t *testing.T) {
		for pair, want := range map[string]bool{"BERTH_UNCLEAR_TIMEOUT=1h": false, "BERTH_UNCLEAR_TIMEOUT=": true} {
			s := deployed(t, pair)
			crash(s.World)
			s.Ask(oneCPU)
			decline(s.World, vertex.Permanent) // so that it only looks from now on
			s.wait(25 * time.Minute)
			if got := s.State("a") != lifecycle.Submitting; got != want {
				t.Errorf("%s: 25 minutes after a lost answer it is %s; settled: %t, want %t", pair, s.State("a"), got, want)
			}
		}
	},
	"BERTH_PUBLISH_GRACE": func(t *testing.T) {
		for pair, want := range map[string]int{"BERTH_PUBLISH_GRACE=5m": 0, "BERTH_PUBLISH_GRACE=": 2} {
			s := deployed(t, pair)
			s.Out.Fail = func() (bool, bool) { return true, false }
			s.Ask(oneCPU)
			s.Out.Fail = nil
			s.wait(2 * time.Minute)
			if got := len(s.Out.Of("a")); got != want {
				t.Errorf("%s: two minutes after the writer failed to, %d events are published, want %d", pair, got, want)
			}
		}
	},
	"BERTH_LOG_LEVEL": func(t *testing.T) {
		for pair, want := range map[string]bool{"BERTH_LOG_LEVEL=debug": true, "BERTH_LOG_LEVEL=": false, "BERTH_LOG_LEVEL=error": false} {
			printed := captureOutput(t)
			o := listen(t).open(t, pair)
			o.app.log.Info("an info", "event", "probe")
			o.app.log.Debug("a debug", "event", "probe")
			text := printed()
			if got := strings.Contains(text, "a debug"); got != want || strings.Contains(text, "an info") != (pair != "BERTH_LOG_LEVEL=error") {
				t.Errorf("%s: the log is %q", pair, text)
			}
		}
	},
	"OTEL_EXPORTER_OTLP_ENDPOINT": func(t *testing.T) {
		if got := sent(t); got != "" {
			t.Errorf("without a collector it gets %s", got)
		}
		if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@"); got != "/v1/metrics /v1/traces" {
			t.Errorf("the collector gets %s", got)
		}
		if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@/below/"); got != "/below/v1/metrics /below/v1/traces" {
			t.Errorf("a collector below a path gets %s", got)
		}
	},
	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": func(t *testing.T) {
		if got := sent(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=@URL@/x"); got != "/x" {
			t.Errorf("the collector gets %s", got)
		}
		if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=@URL@/x"); got != "/v1/metrics /x" {
			t.Errorf("the collector gets %s", got)
		}
	},
	"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": func(t *testing.T) {
		if got := sent(t, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=@URL@/x"); got != "/x" {
			t.Errorf("the collector gets %s", got)
		}
	},
	"OTEL_EXPORTER_OTLP_PROTOCOL": func(t *testing.T) {
		o := listen(t)
		o.open(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+o.addr, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc").post(t, oneCPU)
		if !o.called("opentelemetry.proto.collector.trace.v1.TraceService") || !o.called("opentelemetry.proto.collector.metrics.v1.MetricsService") {
			t.Error("nothing comes over gRPC")
		}
		if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"); got != "/v1/metrics /v1/traces" {
			t.Errorf("the collector gets %s", got)
		}
		for endpoint, want := range map[string]bool{"http://localhost:4317": true, "http://localhost:4318": false, "https://collector": false} {
			if gRPCPort(endpoint) != want {
				t.Errorf("%s is taken for gRPC: %v", endpoint, !want)
			}
		}
	},
	"OTEL_METRIC_EXPORT_INTERVAL": func(t *testing.T) {
		for pair, want := range map[string]int{"OTEL_METRIC_EXPORT_INTERVAL=": 1, "OTEL_METRIC_EXPORT_INTERVAL=1": 2} {
			var metrics atomic.Int64
			web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/metrics" {
					metrics.Add(1)
				}
			}))
			t.Cleanup(web.Close)
			s := listen(t).open(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+web.URL, pair)
			s.post(t, oneCPU)
			for began := time.Now(); time.Since(began) <= time.Millisecond; { // so much has passed
			}
			s.post(t, oneCPU)
			if n := int(metrics.Load()); n != want {
				t.Errorf("%s: metrics are sent %d times, want %d", pair, n, want)
			}
		}
	},
	"OTEL_TRACES_SAMPLER": func(t *testing.T) {
		if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@", "OTEL_TRACES_SAMPLER=always_off"); got != "/v1/metrics" {
			t.Errorf("the collector gets %s", got)
		}
	},
	"OTEL_TRACES_SAMPLER_ARG": func(t *testing.T) {
		for arg, want := range map[string]string{"0": "/v1/metrics", "1": "/v1/metrics /v1/traces"} {
			if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@", "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG="+arg); got != want {
				t.Errorf("with the share %s the collector gets %s", arg, got)
			}
		}
	},
	"OTEL_SDK_DISABLED": func(t *testing.T) {
		if got := sent(t, "OTEL_EXPORTER_OTLP_ENDPOINT=@URL@", "OTEL_SDK_DISABLED=true"); got != "" {
			t.Errorf("the collector gets %s", got)
		}
	},
	"BERTH_LEDGER": func(t *testing.T) {
		for pair, want := range map[string]bool{"BERTH_LEDGER=memory": false, "BERTH_LEDGER=firestore": true} {
			outside := listen(t)
			outside.open(t, pair).post(t, oneCPU)
			if got := outside.called("google.firestore"); got != want {
				t.Errorf("%s: calls of Firestore: %t, want %t", pair, got, want)
			}
		}
	},
	"BERTH_DATABASE": func(t *testing.T) {
		for pair, want := range map[string]string{"BERTH_DATABASE=mine": "projects/test-project/databases/mine", "BERTH_DATABASE=": "projects/test-project/databases/berth"} {
			outside := listen(t)
			outside.open(t, pair, "BERTH_LEDGER=firestore").post(t, oneCPU)
			if got := outside.addressed("google.firestore"); !strings.Contains(got, want) || strings.Contains(got, want+"x") {
				t.Errorf("%s: Firestore is asked for %s", pair, got)
			}
		}
	},
	"BERTH_OUTCOME_TOPIC": func(t *testing.T) {
		for pair, want := range map[string]string{"BERTH_OUTCOME_TOPIC=other": "projects/test-project/topics/other", "BERTH_OUTCOME_TOPIC=": "projects/test-project/topics/berth-outcomes"} {
			outside := listen(t)
			o := outside.open(t, pair)
			o.post(t, oneCPU)
			if got := outside.addressed("google.pubsub"); !strings.Contains(got, want) {
				t.Errorf("%s: events go to %q, want %s", pair, got, want)
			}
			if _, text := o.get("/"); !strings.Contains(text, want[strings.LastIndex(want, "/")+1:]) {
				t.Errorf("%s: Status says %s", pair, text)
			}
		}
	},
	"BERTH_EMULATORS": func(t *testing.T) {
		for variable, ledger := range map[string]string{"FIRESTORE_EMULATOR_HOST": "firestore", "PUBSUB_EMULATOR_HOST": "memory"} {
			t.Setenv("FIRESTORE_EMULATOR_HOST", "")
			t.Setenv("PUBSUB_EMULATOR_HOST", "")
			t.Setenv(variable, "127.0.0.1:1")
			_, err := New(t.Context(), settings(t, "BERTH_LEDGER="+ledger, "BERTH_VERTEX_ENDPOINT=127.0.0.1:1"))
			if err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("without it, %s is taken: %v", variable, err)
			}
		}
		listen(t).open(t, "BERTH_LEDGER=firestore") // with it, both are
	},
	"BERTH_DISK_TYPE": func(t *testing.T) {
		standard := capacity.Spec{MachineType: sim.CPU.Spec().MachineType, DiskType: "pd-standard"}.Normal()
		for setting, want := range map[string]reason.Code{"pd-standard": "", "": reason.SpecMismatch} {
			s := deployed(t, "BERTH_DISK_TYPE="+setting)
			s.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: standard, Count: 4})
			spec := s.jobSpec()
			if got := problem(s.ask(oneCPU)); got != want {
				t.Errorf("BERTH_DISK_TYPE=%s: %q, want %q", setting, got, want)
			}
			if job := spec(); want == "" && job.JobSpec.WorkerPoolSpecs[0].DiskSpec.BootDiskType != "pd-standard" {
				t.Errorf("submitted with %v", job.JobSpec.WorkerPoolSpecs[0].DiskSpec)
			}
		}
	},
	"BERTH_SERVICE_ACCOUNTS": func(t *testing.T) {
		job := sim.Job{ID: "a", CPU: 1, Spec: map[string]any{"serviceAccount": "sa@p.iam.gserviceaccount.com"}}
		for setting, want := range map[string]reason.Code{"allow": "", "refuse": reason.AccountMismatch, "": reason.AccountMismatch} {
			if got := problem(deployed(t, "BERTH_SERVICE_ACCOUNTS="+setting).ask(job)); got != want {
				t.Errorf("BERTH_SERVICE_ACCOUNTS=%s: %q, want %q", setting, got, want)
			}
		}
	},
	"BERTH_RAY_CLUSTERS": func(t *testing.T) {
		for setting, want := range map[string]reason.Code{"allow": "", "refuse": reason.RayCluster, "": reason.RayCluster} {
			s := deployed(t, "BERTH_RAY_CLUSTERS="+setting)
			s.Vertex.SetResource(sim.Resource, vertex.Resource{State: vertex.Running, Ray: true, CreateTime: time.Unix(1, 0),
				Pools: []capacity.Pool{{ID: "cpu", Shape: sim.CPU, Count: 4}}})
			if got := problem(s.ask(oneCPU)); got != want {
				t.Errorf("BERTH_RAY_CLUSTERS=%s: %q, want %q", setting, got, want)
			}
		}
	},
	"BERTH_BACKFILL": func(t *testing.T) {
		for setting, want := range map[string]lifecycle.State{"": lifecycle.Submitted, "allow": lifecycle.Submitted, "refuse": lifecycle.Waiting} {
			s := deployed(t, "BERTH_BACKFILL="+setting)
			s.Ask(sim.Job{ID: "runs", CPU: 3})
			s.Ask(sim.Job{ID: "first", CPU: 2})
			s.Ask(sim.Job{ID: "beside", CPU: 1})
			if got := s.State("beside"); got != want {
				t.Errorf("BERTH_BACKFILL=%s: one that delays no other is %s, want %s", setting, got, want)
			}
		}
	},
	"BERTH_DEFAULT_TIMEOUT": func(t *testing.T) {
		for setting, want := range map[string]time.Duration{"": 7 * 24 * time.Hour, "0s": 7 * 24 * time.Hour, "3h": 3 * time.Hour} {
			s := deployed(t, "BERTH_DEFAULT_TIMEOUT="+setting)
			s.Ask(oneCPU)
			rec := s.Record("a")
			written := strings.Contains(rec.Spec, `"timeout":"10800s"`)
			told := slices.ContainsFunc(rec.Warnings, func(p reason.Problem) bool {
				return p.Path == "job.jobSpec.scheduling.timeout" && strings.Contains(p.Detail, "3h0m0s")
			})
			if rec.Timeout != want || written != (setting == "3h") || told != (setting == "3h") {
				t.Errorf("BERTH_DEFAULT_TIMEOUT=%s: it may run for %s, in the job: %t, told: %t", setting, rec.Timeout, written, told)
			}
			s.Ask(sim.Job{ID: "own", CPU: 1, Spec: map[string]any{"scheduling": map[string]any{"timeout": "60s"}}})
			if rec := s.Record("own"); rec.Timeout != time.Minute || rec.UnsetTimeout || len(rec.Warnings) != 0 {
				t.Errorf("BERTH_DEFAULT_TIMEOUT=%s: a job with its own may run for %s, %v", setting, rec.Timeout, rec.Warnings)
			}
		}
	},
	"BERTH_MAX_TIMEOUT": func(t *testing.T) {
		for setting, want := range map[string]reason.Code{"": "", "3h": "", "2h59m59s": reason.TimeoutTooLong} {
			s := deployed(t, "BERTH_MAX_TIMEOUT="+setting)
			s.Ask(sim.Job{ID: "own", CPU: 1, Spec: map[string]any{"scheduling": map[string]any{"timeout": "10800s"}}})
			rec := s.Record("own")
			got := reason.Code("")
			if rec.State == lifecycle.Rejected {
				got = rec.Why.Code
			}
			if got != want || got != "" && rec.Why.Fix != `Set job.jobSpec.scheduling.timeout to at most "10799s".` {
				t.Errorf("BERTH_MAX_TIMEOUT=%s: three hours are answered %q %v, want %q", setting, got, rec.Why, want)
			}
			s.Ask(oneCPU)
			if rec := s.Record("a"); setting != "" && (rec.State != lifecycle.Submitted || rec.Timeout > 3*time.Hour || rec.Timeout == 0) {
				t.Errorf("BERTH_MAX_TIMEOUT=%s: a job without a limit is %s and may run for %s", setting, rec.State, rec.Timeout)
			}
		}
	},
	"BERTH_ESTIMATES": func(t *testing.T) {
		for setting, want := range map[string]bool{"": true, "learn": true, "off": false} {
			s := deployed(t, "BERTH_ESTIMATES="+setting)
			week := map[string]any{"scheduling": map[string]any{"timeout": "604800s"}}
			for i := range 3 { // jobs that may run for a week run for a minute
				id := fmt.Sprint("short", i)
				s.Ask(sim.Job{ID: id, CPU: 1, Spec: week})
				s.Vertex.SetJob(s.JobOf(id), vertex.JobRunning)
				s.wait(time.Minute)
				s.Vertex.SetJob(s.JobOf(id), vertex.JobSucceeded)
			}
			s.wait(10 * time.Minute)
			s.Ask(allCPU)
			s.Ask(sim.Job{ID: "unlike", Name: "another", CPU: 1, Spec: map[string]any{"scheduling": map[string]any{"timeout": "43200s"}}})
			s.Ask(sim.Job{ID: "short", CPU: 1, Spec: week})
			if got := s.Record("short").Order < s.Record("unlike").Order; got != want {
				t.Errorf("BERTH_ESTIMATES=%s: one like those that ran for a minute comes before an earlier one like none: %t, want %t", setting, got, want)
			}
		}
	},
	"BERTH_GANG": func(t *testing.T) {
		for setting, want := range map[string]bool{"": true, "2": true, "3": false} {
			s := deployed(t, "BERTH_GANG="+setting)
			s.Ask(allCPU)
			s.Ask(sim.Job{ID: "one", CPU: 1})
			s.Ask(sim.Job{ID: "two", CPU: 2})
			if got := s.Record("two").Order < s.Record("one").Order; got != want {
				t.Errorf("BERTH_GANG=%s: two replicas come before one: %t, want %t", setting, got, want)
			}
		}
	},
	"BERTH_PATIENCE": func(t *testing.T) {
		for setting, want := range map[string]lifecycle.State{"": lifecycle.Submitted, "1m": lifecycle.Waiting} {
			s := deployed(t, "BERTH_PATIENCE="+setting)
			s.Ask(sim.Job{ID: "runs", CPU: 3})
			s.Ask(sim.Job{ID: "first", CPU: 2, Spec: map[string]any{"scheduling": map[string]any{"timeout": "60s"}}})
			s.wait(10 * time.Minute)
			for i := range 3 { // each of them passes the first, which lets two replicas pass once it has waited too long
				id := fmt.Sprint("beside", i)
				s.Ask(sim.Job{ID: id, CPU: 1, Spec: map[string]any{"scheduling": map[string]any{"timeout": "700000s"}}}) // longer than the one that runs
				if i == 2 {
					if got := s.State(id); got != want {
						t.Errorf("BERTH_PATIENCE=%s: the third that passes is %s, want %s", setting, got, want)
					}
					break
				}
				s.Vertex.SetJob(s.JobOf(id), vertex.JobSucceeded)
				s.wait(2 * time.Minute)
			}
		}
	},
	"BERTH_DECLINE_TIMEOUT": func(t *testing.T) {
		for setting, want := range map[string]time.Duration{"": 24 * time.Hour, "1h": time.Hour} {
			s := deployed(t, "BERTH_DECLINE_TIMEOUT="+setting)
			s.Vertex.Admit = refuseJobs(func() error { return &vertex.Error{Op: "create", Kind: vertex.Transient, Code: 9} })
			s.Ask(oneCPU)
			s.wait(want - 5*time.Minute)
			if got := s.State("a"); got == lifecycle.Failed {
				t.Errorf("BERTH_DECLINE_TIMEOUT=%s: it failed before %s", setting, want)
			}
			s.wait(want/5 + 10*time.Minute)
			if got := s.State("a"); got != lifecycle.Failed {
				t.Errorf("BERTH_DECLINE_TIMEOUT=%s: it is %s long after %s", setting, got, want)
			}
		}
	},
	"BERTH_VERTEX_ENDPOINT": func(t *testing.T) {
		outside := listen(t)
		outside.open(t).post(t, oneCPU)
		if !outside.called("google.cloud.aiplatform") {
			t.Error("Vertex AI is not asked there")
		}
	},
}

// TestEverySettingHasAnEffect runs the effects. A setting without one might as
// well do nothing: give it a test here that fails when it is not read.
func TestEverySettingHasAnEffect(t *testing.T) {
	variables := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		variable, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		variables[variable] = true
		effect, ok := effects[variable]
		if !ok {
			t.Errorf("%s has no test of its effect: add one to effects", variable)
			continue
		}
		t.Run(variable, effect)
	}
	for variable := range effects {
		if !variables[variable] {
			t.Errorf("there is no setting %s any more", variable)
		}
	}
}

// TestDefaults holds the defaults of the settings to those of the controller, of
// which the simulator's tests are.
func TestDefaults(t *testing.T) {
	got, want := settings(t).controller(), controller.DefaultConfig()
	want.Project, want.Regions, want.DefaultResource = "test-project", []string{"us-central1"}, "pool"
	want.DiskType = "pd-ssd" // the simulator leaves disks as they are
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the settings' defaults differ from the controller's (-want +got):\n%s", diff)
	}
}

// TestSettingsOutOfRange holds every bound at its edges.
func TestSettingsOutOfRange(t *testing.T) {
	for variable, values := range map[string][2][]string{ // good, bad
		"BERTH_PROJECT":                       {{"abcdef", "a-1234567890123456789012345678"}, {"abcde", "a-12345678901234567890123456789", "Abcdef", "123456789012", "abcdef-", "1bcdef"}},
		"BERTH_REGIONS":                       {{"us-central1", "us-central1,europe-west4"}, {"us-central", "US-CENTRAL1", "us-central1,", "us-central1/x"}},
		"BERTH_DEFAULT_RESOURCE":              {{"pool", sim.Resource}, {"a/b", sim.Resource + "/x", "projects/p/regions/l/persistentResources/x", "project/p/locations/l/persistentResources/x", "projects/p/locations/l/customJobs/x"}},
		"BERTH_DEPLOYMENT":                    {{"a", "1-a", strings.Repeat("a", 62)}, {"-a", "A", "a_b", strings.Repeat("a", 63)}},
		"BERTH_TENANTS":                       {{"sub:team", "sub:team,other:team"}, {"sub:Team", "sub:-", "sub", "sub:operators", "s-one:red,s-one:blue", "s-one:red, s-one :red"}},
		"BERTH_STATUS_AUDIENCES":              {{"https://x", "https://x,https://y"}, {"https://x,"}},
		"BERTH_STATUS_IAP":                    {{statusIAP, "/projects/1/global/backendServices/2"}, {"https://x", "projects/1/global/backendServices/2"}},
		"BERTH_TICK":                          {{"1s", "10m"}, {"999ms", "10m1s", "x"}},
		"BERTH_POLL":                          {{"100ms", "1m"}, {"99ms", "61s"}},
		"BERTH_SUBMISSIONS":                   {{"1", "1000000"}, {"0", "-1", "1000001"}},
		"BERTH_POLLS":                         {{"10", "100000"}, {"9", "100001"}},
		"BERTH_RATE_BACKOFF":                  {{"1s", "5m"}, {"999ms", "301s"}},
		"BERTH_BACKOFF":                       {{"1s", "5m"}, {"999ms", "301s"}},
		"BERTH_TIMEOUT":                       {{"5s", "9m"}, {"4s", "541s"}},
		"BERTH_MAX_WAIT":                      {{"1s", "720h"}, {"999ms", "721h"}},
		"BERTH_START_TIMEOUT":                 {{"1s", "168h"}, {"999ms", "169h"}},
		"BERTH_REFUSE_AFTER":                  {{"0s", "720h"}, {"-1s", "721h"}},
		"BERTH_DECLINE_TIMEOUT":               {{"1m", "720h"}, {"59s", "721h"}},
		"BERTH_DISK_TYPE":                     {{"pd-ssd", "pd-standard", "hyperdisk-balanced"}, {"ssd", "PD-SSD", "pd-extreme"}},
		"BERTH_SERVICE_ACCOUNTS":              {{"allow", "refuse"}, {"yes", "ALLOW"}},
		"BERTH_RAY_CLUSTERS":                  {{"allow", "refuse"}, {"yes", "ALLOW"}},
		"BERTH_BACKFILL":                      {{"allow", "refuse"}, {"yes", "ALLOW"}},
		"BERTH_DEFAULT_TIMEOUT":               {{"0s", "2160h", "1s"}, {"-1s", "2161h", "1500ms"}},
		"BERTH_MAX_TIMEOUT":                   {{"0s", "2160h", "1s"}, {"-1s", "2161h", "1500ms"}},
		"BERTH_ESTIMATES":                     {{"learn", "off"}, {"on", "OFF", "false"}},
		"BERTH_GANG":                          {{"2", "1000000"}, {"1", "0", "1000001"}},
		"BERTH_PATIENCE":                      {{"1m", "720h"}, {"59s", "721h"}},
		"BERTH_SUBMIT_TIMEOUT":                {{"2s", "5m"}, {"1s", "301s"}},
		"BERTH_RETRY_AFTER":                   {{"0s", "10m"}, {"-1s", "601s"}},
		"BERTH_UNCLEAR_TIMEOUT":               {{"91s"}, {"90s", "1m"}},
		"BERTH_PUBLISH_GRACE":                 {{"0s", "10m"}, {"-1s", "601s"}},
		"BERTH_LEDGER":                        {{"memory", "firestore"}, {"Memory", "disk"}},
		"BERTH_LOG_LEVEL":                     {{"debug", "warn"}, {"loud"}},
		"OTEL_EXPORTER_OTLP_ENDPOINT":         {{"http://localhost:4318", "https://x/y"}, {"localhost:4318", "grpc://x", "http://", "http://a b"}},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  {{"http://localhost:4318/v1/traces"}, {"localhost:4318"}},
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": {{"http://localhost:4318/v1/metrics"}, {"localhost:4318"}},
		"OTEL_EXPORTER_OTLP_PROTOCOL":         {{"grpc", "http/protobuf"}, {"http/json", "GRPC"}},
		"OTEL_METRIC_EXPORT_INTERVAL":         {{"1", "3600000"}, {"0", "-1", "3600001"}},
		"OTEL_TRACES_SAMPLER":                 {{"always_on", "parentbased_traceidratio"}, {"xray", "ALWAYS_ON"}},
		"OTEL_TRACES_SAMPLER_ARG":             {{"0", "0.5", "1"}, {"-1", "2", "half"}},

		"BERTH_VERTEX_ENDPOINT": {{"localhost:1", "[::1]:1"}, {"localhost", "http://localhost:1", "a b:1"}},

		"BERTH_OPERATORS_SUBSCRIPTION": {{"", "berth-operators", "a.b_c~d+e%f"}, {"ab", "1ab", "projects/p/subscriptions/s", "a b"}},
	} {
		env := map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1"}
		for i, want := range []string{"good", "bad"} {
			for _, v := range values[i] {
				env[variable] = v
				_, err := LoadConfig(t.Context(), envconfig.MapLookuper(env))
				if (err == nil) != (want == "good") {
					t.Errorf("%s=%s is %s, and yet: %v", variable, v, want, err)
				}
				if err != nil && i == 1 && v != "x" && v != "loud" && v != "sub" && !strings.Contains(err.Error(), variable) {
					t.Errorf("%s=%s: the error does not name the variable: %v", variable, v, err)
				}
			}
		}
	}
	// Everything that is wrong is said at once.
	_, err := LoadConfig(t.Context(), envconfig.MapLookuper(map[string]string{"BERTH_PROJECT": "1", "BERTH_REGIONS": "x", "BERTH_TICK": "0s", "BERTH_POLLS": "0"}))
	for _, variable := range []string{"BERTH_PROJECT", "BERTH_REGIONS", "BERTH_TICK", "BERTH_POLLS"} {
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s is not in %v", variable, err)
		}
	}
	for _, required := range []string{"BERTH_PROJECT", "BERTH_REGIONS"} {
		env := map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1"}
		delete(env, required)
		if _, err := LoadConfig(t.Context(), envconfig.MapLookuper(env)); err == nil || !strings.Contains(err.Error(), required) {
			t.Errorf("without %s: %v", required, err)
		}
	}
}

// asked records the context of calls to Vertex AI for a resource.
type asked struct {
	vertex.Client
	record func(context.Context)
}

func (a asked) Resource(ctx context.Context, name string) (vertex.Resource, error) {
	a.record(ctx)
	return a.Client.Resource(ctx, name)
}

func post(handler http.HandlerFunc, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	handler(rec, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	return rec
}

// An outside takes the place of all services: it remembers what it is called
// with, answers what Vertex AI would where that is needed, and else fails.
type outside struct {
	addr string

	mu    sync.Mutex
	calls []outsideCall
}

type outsideCall struct {
	method, address string
	left            time.Duration // until the caller's deadline
}

func listen(t *testing.T) *outside {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{addr: lis.Addr().String()}
	server := grpc.NewServer(grpc.UnknownServiceHandler(o.handle))
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(server.Stop)
	return o
}

func (o *outside) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	md, _ := metadata.FromIncomingContext(stream.Context())
	c := outsideCall{method: method}
	for _, name := range []string{"x-goog-request-params", "google-cloud-resource-prefix"} {
		for _, v := range md.Get(name) {
			if plain, err := url.QueryUnescape(v); err == nil {
				c.address += plain + " "
			}
		}
	}
	if end, ok := stream.Context().Deadline(); ok {
		c.left = time.Until(end)
	}
	var request emptypb.Empty
	if err := stream.RecvMsg(&request); err != nil && err != io.EOF {
		return err
	}
	c.address += string(request.ProtoReflect().GetUnknown())
	o.mu.Lock()
	o.calls = append(o.calls, c)
	o.mu.Unlock()
	switch method[strings.LastIndex(method, "/")+1:] {
	case "GetPersistentResource":
		return stream.SendMsg(&aiplatformpb.PersistentResource{
			Name: sim.Resource, State: aiplatformpb.PersistentResource_RUNNING,
			ResourcePools: []*aiplatformpb.ResourcePool{{Id: "cpu", ReplicaCount: proto.Int64(4),
				MachineSpec: &aiplatformpb.MachineSpec{MachineType: sim.CPU.Spec().MachineType}}},
		})
	case "ListCustomJobs":
		return stream.SendMsg(&aiplatformpb.ListCustomJobsResponse{})
	case "RunQuery":
		return nil
	case "BatchGetDocuments": // none of them is there
		var get firestorepb.BatchGetDocumentsRequest
		if err := proto.Unmarshal(request.ProtoReflect().GetUnknown(), &get); err != nil {
			return err
		}
		for _, name := range get.GetDocuments() {
			if err := stream.SendMsg(&firestorepb.BatchGetDocumentsResponse{Result: &firestorepb.BatchGetDocumentsResponse_Missing{Missing: name}, ReadTime: timestamppb.Now()}); err != nil {
				return err
			}
		}
		return nil
	}
	return status.Error(codes.PermissionDenied, "this is no service")
}

// open makes an App over that outside, with an embedded ledger unless a pair says
// otherwise.
func (o *outside) open(t *testing.T, pairs ...string) *site {
	t.Helper()
	t.Setenv("PUBSUB_EMULATOR_HOST", o.addr)
	t.Setenv("FIRESTORE_EMULATOR_HOST", o.addr)
	cfg := settings(t, append([]string{"BERTH_LEDGER=memory", "BERTH_EMULATORS=true", "BERTH_LOG_LEVEL=error", "BERTH_VERTEX_ENDPOINT=" + o.addr}, pairs...)...)
	a, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &site{app: a}
}

// post delivers a request and ignores the result.
func (s *site) post(t *testing.T, j sim.Job) {
	t.Helper()
	post(s.app.admit, message.Delivery{ID: "1", Data: j.Body()}.Push())
}

func (o *outside) called(service string) bool { return o.addressed(service) != "" }

// addressed is what the calls of a service were about.
func (o *outside) addressed(service string) (all string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.calls {
		if strings.Contains(c.method, service) {
			all += c.method + " " + c.address + "\n"
		}
	}
	return all
}

// took is how long the first call of a method might take.
func (o *outside) took(method string) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.calls {
		if strings.HasSuffix(c.method, "/"+method) {
			return c.left
		}
	}
	return 0
}

// A key that comes twice in a setting that is a map is refused, whichever setting it is: the
// last of them would win in silence.
func TestKeysTwice(t *testing.T) {
	maps := 0
	for f := range reflect.TypeFor[Config]().Fields() {
		if f.Type.Kind() != reflect.Map {
			continue
		}
		maps++
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		err := CheckSettings(t.Context(), map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_RUN_IAM": "true",
			name: "a@example.com:red,b@example.com:red, a@example.com :blue,a@example.com:red"})
		if err == nil || strings.Count(err.Error(), name+` names "a@example.com" twice; name it once`) != 1 || strings.Contains(err.Error(), "b@example.com") {
			t.Errorf("%s with a key three times: %v", name, err)
		}
	}
	if maps < 2 {
		t.Errorf("%d settings are maps", maps)
	}
}
