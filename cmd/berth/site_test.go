package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/statuspage"
)

// reach opens the stack's services. Its ledger is in the memory of this
// process, so doctor and repair run in this process too.
func (s *stack) reach(g *globals, f siteFlags) (*site, error) {
	g.Project, g.StatusURL, g.pubsub = project, s.status, s.pubsub
	site := &site{ledger: s.ledger, vertex: s.vertex, out: nowhere{}, emulated: true}
	site.askStatus(g)
	site.configure(g, f)
	if err := site.pubsub.connect(g); err != nil {
		return nil, err
	}
	site.closers = append(site.closers, site.pubsub.close)
	return site, nil
}

func (s *stack) operate(ts *testscript.TestScript, code string, args []string) {
	want, err := strconv.Atoi(code)
	ts.Check(err)
	if got := runOn(s.reach, args, strings.NewReader(""), watched{ts.Stdout()}, watched{ts.Stderr()}); got != want {
		ts.Fatalf("berth %s ended with %d, want %d", strings.Join(args, " "), got, want)
	}
}

// breakBy damages the ledger as a manual edit would.
func (s *stack) breakBy(ts *testscript.TestScript, what, id string) {
	if what == "policy" { // a version that only a later release can read; id is the version in force
		base, err := strconv.ParseInt(id, 10, 64)
		ts.Check(err)
		_, err = ledger.WritePolicy(context.Background(), s.ledger, base, ledger.Policy{Text: "defaults: {serviceAccounts: any}\nfromTheFuture: 3\n"})
		ts.Check(err)
		return
	}
	r := s.find(id)
	if r == nil {
		ts.Fatalf("there is no request %s", id)
	}
	changes := map[string]func(*ledger.Resource, *ledger.Record){
		"hold":  func(res *ledger.Resource, r *ledger.Record) { delete(res.Holds, r.Key) },
		"queue": func(res *ledger.Resource, _ *ledger.Record) { res.Queue = nil },
		"wake":  func(_ *ledger.Resource, r *ledger.Record) { r.TimerAt = time.Time{} },
		"ghost": func(res *ledger.Resource, _ *ledger.Record) { res.Holds["ghost"] = ledger.Hold{Ask: r.Ask, Run: "rx"} },
		"job": func(_ *ledger.Resource, r *ledger.Record) {
			r.State, r.Job, r.Open = lifecycle.Submitting, "", true
			r.Outbox, r.Sequence = r.Outbox[:1], 1
		},
		"full": func(res *ledger.Resource, _ *ledger.Record) {
			res.Foreign = append(res.Foreign, ledger.Foreign{Job: "foreign job", Ask: capacity.Ask{{Shape: r.Ask[0].Shape, Replicas: 4}}})
		},
	}
	ts.Check(s.ledger.Update(context.Background(), ledger.Resources(poolName).And(ledger.Records(r.Key)), func(tx ledger.Tx) error {
		res, r := tx.Resource(poolName), tx.Record(r.Key)
		changes[what](res, r)
		tx.Put(res)
		tx.Put(r)
		return nil
	}))
}

// plumb makes the topics and subscriptions of a deployment that the stack
// lacks.
func (s *stack) plumb(ts *testscript.TestScript) {
	ctx := context.Background()
	topic := func(id string) string { return "projects/" + project + "/topics/" + id }
	for _, id := range []string{"berth-ticks", "berth-outcomes", "berth-dead-letters"} {
		_, err := s.admin.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topic(id)})
		ts.Check(err)
	}
	for id, on := range map[string]string{"berth-admit": "berth-requests", "berth-operators-push": "berth-operators", "berth-reconcile": "berth-ticks", "berth-dead-letters": "berth-dead-letters", "someone": "berth-outcomes"} {
		sub := &pubsubpb.Subscription{Name: "projects/" + project + "/subscriptions/" + id, Topic: topic(on), AckDeadlineSeconds: 60, ExpirationPolicy: &pubsubpb.ExpirationPolicy{}}
		if on != "berth-dead-letters" && on != "berth-outcomes" {
			sub.PushConfig = &pubsubpb.PushConfig{PushEndpoint: "http://127.0.0.1:1/"}
		}
		if on == "berth-requests" || on == "berth-operators" {
			sub.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topic("berth-dead-letters"), MaxDeliveryAttempts: 20}
		}
		_, err := s.admin.SubscriptionAdminClient.CreateSubscription(ctx, sub)
		ts.Check(err)
	}
}

func (s *stack) bury(ts *testscript.TestScript, id, file string) {
	attributes := map[string]string{
		"CloudPubSubDeadLetterSourceSubscription": "berth-admit", "CloudPubSubDeadLetterSourceDeliveryCount": "20",
		"CloudPubSubDeadLetterSourceTopicPublishTime": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano),
	}
	if id != "-" {
		attributes["berth-request-id"] = id
	}
	_, err := s.admin.TopicAdminClient.Publish(context.Background(), &pubsubpb.PublishRequest{
		Topic:    "projects/" + project + "/topics/berth-dead-letters",
		Messages: []*pubsubpb.PubsubMessage{{Data: []byte(ts.ReadFile(file)), Attributes: attributes}},
	})
	ts.Check(err)
}

// TestPlumbing: each mistake in topics and subscriptions has its own finding.
func TestPlumbing(t *testing.T) {
	g := &globals{target: target{Project: project, Topic: "berth-requests", Timeout: time.Minute}}
	b := newBroker(g, "berth", false, 2*time.Minute)
	good := func() *pubsubpb.Subscription {
		return &pubsubpb.Subscription{
			Name: "projects/" + project + "/subscriptions/berth-admit", AckDeadlineSeconds: 150, ExpirationPolicy: &pubsubpb.ExpirationPolicy{},
			PushConfig: &pubsubpb.PushConfig{PushEndpoint: "https://admit.example.com", AuthenticationMethod: &pubsubpb.PushConfig_OidcToken_{
				OidcToken: &pubsubpb.PushConfig_OidcToken{ServiceAccountEmail: "berth-push@p.iam.gserviceaccount.com"}}},
			DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: b.deadTopic()},
		}
	}
	for _, c := range []struct {
		want  string
		topic string
		by    func(*pubsubpb.Subscription)
	}{
		{"", b.requestTopic, func(*pubsubpb.Subscription) {}},
		{"", b.tickTopic(), func(s *pubsubpb.Subscription) { s.DeadLetterPolicy = nil }},
		{"has no dead-letter policy", b.requestTopic, func(s *pubsubpb.Subscription) { s.DeadLetterPolicy = nil }},
		{"sends dead letters to projects/p/topics/x", b.requestTopic, func(s *pubsubpb.Subscription) { s.DeadLetterPolicy.DeadLetterTopic = "projects/p/topics/x" }},
		{"expires when it is quiet", b.requestTopic, func(s *pubsubpb.Subscription) { s.ExpirationPolicy = nil }},
		{"expires when it is quiet", b.deadTopic(), func(s *pubsubpb.Subscription) {
			s.PushConfig, s.ExpirationPolicy.Ttl = nil, durationpb.New(31*24*time.Hour)
		}},
		{"an acknowledgement deadline of 1m0s; the functions may take 2m0s", b.tickTopic(), func(s *pubsubpb.Subscription) { s.AckDeadlineSeconds = 60 }},
		{"without an identity", b.requestTopic, func(s *pubsubpb.Subscription) { s.PushConfig.AuthenticationMethod = nil }},
		{"without the wrapper", b.requestTopic, func(s *pubsubpb.Subscription) {
			s.PushConfig.Wrapper = &pubsubpb.PushConfig_NoWrapper_{NoWrapper: &pubsubpb.PushConfig_NoWrapper{}}
		}},
		{"is detached", b.requestTopic, func(s *pubsubpb.Subscription) { s.Detached = true }},
		{"topic berth-requests has no subscription that pushes", b.requestTopic, func(s *pubsubpb.Subscription) { s.PushConfig = nil }},
		{"topic berth-dead-letters has no subscription to pull from", b.deadTopic(), func(*pubsubpb.Subscription) {}},
	} {
		s := good()
		c.by(s)
		found := b.plumbing(c.topic, []*pubsubpb.Subscription{s})
		if c.want == "" {
			if len(found) > 0 {
				t.Errorf("%s: %+v", c.topic, found)
			}
			continue
		}
		if last := len(found) - 1; last < 0 || !strings.Contains(found[last].Text, c.want) || found[last].Means == "" || found[last].Do == "" {
			t.Errorf("want %q, found %+v", c.want, found)
		}
	}
	if found := b.plumbing(b.topic(b.outcomes()), nil); len(found) != 1 || found[0].Level != repair.Warn {
		t.Errorf("outcome topic without a subscription: %+v", found)
	}
}

// TestRights: a right that no work has shown is not reported as shown.
func TestRights(t *testing.T) {
	s := &site{}
	if f := s.rights(repair.Picture{}, nil); f.Level != repair.Warn || strings.Count(f.Text, ",") != 6 {
		t.Errorf("with nothing done: %+v", f)
	}
	p := repair.Picture{Listed: []string{"projects/p/locations/l"}, Observed: map[string]error{"r": nil}}
	p.Records = []*ledger.Record{{Outbox: []ledger.OutboxEvent{{}}}}
	var found []repair.Finding
	for _, check := range []string{repair.CheckIndexes, repair.CheckObservations, repair.CheckTick, repair.CheckOutbox, checkTopics} {
		found = append(found, repair.Finding{Check: check, Level: repair.OK})
	}
	if f := s.rights(p, found); f.Level != repair.OK {
		t.Errorf("with everything done: %+v", f)
	}
	found[2].Level = repair.Fail
	if f := s.rights(p, found); f.Level != repair.Warn || strings.Contains(f.Text, "the caller") || strings.Count(f.Text, "the functions") != 3 {
		t.Errorf("without a tick: %+v", f)
	}
}

// TestConfiguration: a Status function of another deployment is reported.
func TestConfiguration(t *testing.T) {
	g := &globals{target: target{Project: "mine"}}
	s := &site{status: &statuspage.Index{Project: "theirs"}, parents: []string{"projects/mine/locations/us-central1"}}
	if f := s.configuration(g); f.Level != repair.Fail || !strings.Contains(f.Text, "project theirs") {
		t.Errorf("another project's entry point: %+v", f)
	}
	if f := (&site{}).configuration(g); f.Level != repair.Warn || !strings.Contains(f.Do, "--region") {
		t.Errorf("no region: %+v", f)
	}
}

// TestEmulators runs the tool against both official emulators.
func TestEmulators(t *testing.T) {
	firestore, broker := emulatortest.Firestore(t), emulatortest.PubSub(t)
	id := emulatortest.Project(t)
	for name, value := range map[string]string{"FIRESTORE_EMULATOR_HOST": firestore, "PUBSUB_EMULATOR_HOST": broker, "BERTH_LOCALSTACK_FILE": t.TempDir() + "/none"} {
		t.Setenv(name, value)
	}
	berth := func(args ...string) (int, string) {
		var out strings.Builder
		code := run(append(args, "--project="+id, "--region=us-central1", "--emulators", "--vertex-endpoint=127.0.0.1:1", "--timeout=20s"), os.Stdin, &out, &out)
		return code, out.String()
	}
	code, out := berth("doctor")
	for _, want := range []string{"0 persistent resources and 0 records were read", "there is no topic projects/" + id + "/topics/berth-requests",
		"WARN  tick: reconcile has never run here", "-     indexes: not checked on an emulator", "could not be checked: list the live jobs of projects/" + id} {
		if code != exitProblems || !strings.Contains(out, want) {
			t.Errorf("doctor ended with %d, want %q in\n%s", code, want, out)
		}
	}
	if code, out := berth("repair", "leaked-holds", "--yes"); code != 0 || !strings.Contains(out, "There is nothing to do") {
		t.Errorf("repair leaked-holds ended with %d\n%s", code, out)
	}
	if code, out := berth("repair", "run-timer", "unknown"); code != exitError || !strings.Contains(out, "no such request") {
		t.Errorf("repair run-timer ended with %d\n%s", code, out)
	}
}
