package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// apply makes a text the policy in force, and returns its version.
func (w *World) apply(text string) int64 {
	w.Helper()
	var base int64
	w.Ledger.Each(func(ref ledger.Ref, doc ledger.Document, _ int) {
		if p, is := doc.(*ledger.Policy); is && ref.Name == ledger.CurrentPolicy {
			base = p.Version
		}
	})
	p, err := ledger.WritePolicy(context.Background(), w.Ledger, base, ledger.Policy{Text: text, Who: "test"})
	if err != nil {
		w.Fatalf("apply: %v", err)
	}
	return p.Version
}

const (
	atMostTwo = "defaults: {serviceAccounts: any, maxReplicas: 2}"
	atMostOne = "defaults: {serviceAccounts: any, maxReplicas: 1}"
)

// expectRefused checks that a request was refused by a version of the policy, with this
// code, and has done nothing.
func (w *World) expectRefused(id string, code reason.Code, version int64) {
	w.Helper()
	w.Expect(id, lifecycle.Rejected, "rejected")
	rec := w.Record(id)
	if rec.Why == nil || rec.Why.Code != code || rec.PolicyVersion != version {
		w.Errorf("%s was refused for %v by version %d, want %s by %d", id, rec.Why, rec.PolicyVersion, code, version)
	}
	for _, e := range w.Out.Of(id) {
		if e.PolicyVersion != version {
			w.Errorf("the event %s of %s names version %d, want %d", e.Type, id, e.PolicyVersion, version)
		}
	}
}

// A policy that is written between two requests holds for every request that comes in a tick
// later or more; one that comes within the tick may still go by the version before. Each
// record and each of its events names its version.
func TestAPolicyHoldsATickLater(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "before", CPU: 2})
	w.apply(atMostOne)
	w.Now = w.Now.Add(w.Config.Tick - 2*time.Millisecond)
	w.Ask(Job{ID: "within", CPU: 2})
	w.Ask(Job{ID: "after", CPU: 2}) // a tick after the read, to the millisecond
	w.Ask(Job{ID: "small", GPU: 1})
	w.Expect("before", lifecycle.Submitted, "reserved", "submitted")
	w.Expect("within", lifecycle.Submitted, "reserved", "submitted")
	w.expectRefused("after", reason.PolicyLimit, 1)
	w.Expect("small", lifecycle.Submitted, "reserved", "submitted")
	for id, want := range map[string]int64{"before": 0, "within": 0, "small": 1} {
		for _, e := range w.Out.Of(id) {
			if got := w.Record(id).PolicyVersion; got != want || e.PolicyVersion != want {
				t.Errorf("%s names version %d, its event %s %d, want %d", id, got, e.Type, e.PolicyVersion, want)
			}
		}
	}
	w.apply(atMostTwo)
	w.Now = w.Now.Add(w.Config.Tick)
	w.Ask(Job{ID: "again", CPU: 3})
	w.expectRefused("again", reason.PolicyLimit, 2)
}

// reading counts the reads of the policy, and can make them fail.
type reading struct {
	*ledger.Mem
	reads int
	fail  bool
}

func (r *reading) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	if reads[0].Kind == ledger.KindPolicy {
		r.reads++
		if r.fail {
			return errors.New("the ledger does not answer")
		}
	}
	return r.Mem.Update(ctx, reads, closure, hints...)
}

// An instance reads the policy once a tick, however many requests come, and not at all while
// none comes.
func TestAPolicyIsReadOnceATick(t *testing.T) {
	w := New(t)
	l := &reading{Mem: w.Ledger}
	w.Controller = w.over(l, w.Config, func() time.Time { return w.Now })
	w.apply(atMostTwo)
	for i := range 50 {
		w.Ask(Job{ID: fmt.Sprint("a", i), CPU: 3})
	}
	if l.reads != 1 {
		t.Errorf("50 requests within a tick read it %d times, want once", l.reads)
	}
	w.Now = w.Now.Add(w.Config.Tick)
	for i := range 50 {
		w.Ask(Job{ID: fmt.Sprint("b", i), CPU: 3})
	}
	if l.reads != 2 {
		t.Errorf("50 more a tick later: %d reads in all, want two", l.reads)
	}
	w.Send([]byte(`{`))
	w.Cancel("a1")
	w.Now = w.Now.Add(time.Hour)
	w.Cancel("a2")
	w.Send([]byte(`{`))
	if l.reads != 2 {
		t.Errorf("what is no request reads it: %d reads in all, want two", l.reads)
	}
}

// Each instance reads the policy for itself: what one has read long ago does not keep another
// from knowing it.
func TestTwoInstancesReadThePolicy(t *testing.T) {
	w := New(t)
	other := w.Instance(w.Config)
	w.Ask(Job{ID: "a", CPU: 1})
	w.apply(atMostOne)
	mine := w.Controller
	w.Controller = other
	w.Ask(Job{ID: "b", CPU: 2}) // its first request: it reads now
	w.expectRefused("b", reason.PolicyLimit, 1)
	w.Controller = mine
	w.Ask(Job{ID: "c", CPU: 2}) // it read a moment before
	w.Expect("c", lifecycle.Submitted, "reserved", "submitted")
	w.Now = w.Now.Add(w.Config.Tick)
	w.Ask(Job{ID: "d", CPU: 2})
	w.expectRefused("d", reason.PolicyLimit, 1)
}

// A policy that cannot be read decides nothing: the message is delivered again, nothing of it
// is in the ledger, and an error is logged. Cancels and what is no request need no policy.
func TestAPolicyThatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(*World) (heal func()){
		"damaged": func(w *World) func() {
			w.apply(atMostOne)
			w.Ledger.Spoil(ledger.PolicyRef(ledger.CurrentPolicy), "damaged")
			return func() { w.Ledger.Heal(ledger.PolicyRef(ledger.CurrentPolicy)) }
		},
		"of a newer release": func(w *World) func() {
			w.apply("defaults: {serviceAccounts: any, maxReplicas: 1, fieldOfANewerRelease: 1}")
			return func() { w.apply(atMostOne) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := &listened{TB: t}
			w := New(log)
			w.Ask(Job{ID: "queued", CPU: 1})
			heal := spoil(w)
			w.Now = w.Now.Add(w.Config.Tick)
			commits := w.Ledger.Stats().DocsWritten
			for range 3 {
				if _, err := w.Try(Job{ID: "a", CPU: 1}.Body()); err == nil {
					t.Fatal("a request was taken unchecked")
				}
				if _, err := w.Try(Job{ID: "d", CPU: 1, DryRun: true}.Body()); err == nil {
					t.Fatal("a dry run was answered unchecked")
				}
			}
			if n := w.Ledger.Stats().DocsWritten - commits; n != 0 {
				t.Errorf("%d documents were written", n)
			}
			if n := log.count("event=policy_unreadable"); n != 6 {
				t.Errorf("it was logged %d times, want with each delivery", n)
			}
			w.Cancel("queued")
			if got := w.State("queued"); got != lifecycle.Cancelling {
				t.Errorf("the cancelled request is %s", got)
			}
			w.Send([]byte(`{`))
			heal()
			w.Ask(Job{ID: "a", CPU: 2})
			if rec := w.Record("a"); rec.State != lifecycle.Rejected || rec.PolicyVersion == 0 {
				t.Errorf("once it can be read the request is %s by version %d", rec.State, rec.PolicyVersion)
			}
		})
	}
}

// listened counts in a log.
type listened struct {
	TB
	lines []string
}

func (l *listened) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
	l.TB.Logf(format, args...)
}

func (l *listened) count(text string) (n int) {
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// While the ledger does not answer, an instance goes by what it has read for a tick, and by
// nothing after that.
func TestAPolicyThatIsNotAnswered(t *testing.T) {
	w := New(t)
	l := &reading{Mem: w.Ledger}
	w.Controller = w.over(l, w.Config, func() time.Time { return w.Now })
	w.apply(atMostOne)
	w.Ask(Job{ID: "a", CPU: 1})
	l.fail = true
	w.Now = w.Now.Add(w.Config.Tick - 2*time.Millisecond)
	w.Ask(Job{ID: "b", CPU: 2})
	w.expectRefused("b", reason.PolicyLimit, 1)
	if id, err := w.Try(Job{ID: "c", CPU: 1}.Body()); err == nil {
		t.Errorf("%s was taken by a policy that is more than a tick old", id)
	}
	l.fail = false
	w.Ask(Job{ID: "c", CPU: 1})
	w.Expect("c", lifecycle.Submitted, "reserved", "submitted")
}

// The defaults of a policy are in the job that is submitted and in the record; the content by
// which a request is known is still what was published.
func TestDefaultsOfAPolicy(t *testing.T) {
	w := New(t)
	plain := New(t)
	plain.Ask(Job{ID: "a", CPU: 1})
	w.apply(`defaults: {serviceAccounts: any, timeouts: {default: 600s, max: 3600s}, maxWait: 1800s, priorities: {min: 3, max: 9, default: 5}, labels: {add: {team: "vision"}}}`)
	w.Ask(Job{ID: "a", CPU: 1})
	rec := w.Record("a")
	if rec.Priority != 5 || rec.Timeout != 10*time.Minute || rec.MaxWait != 30*time.Minute || rec.Labels["team"] != "vision" || !strings.HasPrefix(rec.Order, "0995-") {
		t.Errorf("the record has priority %d, order %s, limit %s, wait %s, labels %v", rec.Priority, rec.Order, rec.Timeout, rec.MaxWait, rec.Labels)
	}
	if want := plain.Record("a").Fingerprint; rec.Fingerprint != want {
		t.Error("the fingerprint is of the defaults too")
	}
	job := w.Vertex.Jobs()[0]
	if !strings.Contains(rec.Spec, `"labels":{"team":"vision"}`) {
		t.Errorf("the job is submitted as %s", rec.Spec)
	}
	if got := job.Timeout; got != 10*time.Minute {
		t.Errorf("the job is submitted with the limit %s", got)
	}
	w.Ask(Job{ID: "own", CPU: 1, Priority: 9, MaxWait: "60s", Spec: map[string]any{"scheduling": map[string]any{"timeout": "60s"}}})
	if rec := w.Record("own"); rec.Priority != 9 || rec.MaxWait != time.Minute || rec.Timeout != time.Minute {
		t.Errorf("what the request says is not kept: priority %d, wait %s, limit %s", rec.Priority, rec.MaxWait, rec.Timeout)
	}
	w.Ask(Job{ID: "much", CPU: 1, Priority: 10, MaxWait: "1801s", Spec: map[string]any{"scheduling": map[string]any{"timeout": "3601s"}}})
	w.expectRefused("much", reason.PolicyPriority, 1)
	for _, part := range []string{"The priority is 10", "The request may wait 1801s", "The job may run for 3601s"} {
		if !strings.Contains(w.Record("much").Why.Detail, part) {
			t.Errorf("the reason does not say %q: %s", part, w.Record("much").Why.Detail)
		}
	}
}

// The deployment's limits hold beside those of a policy, and the shorter one counts.
func TestLimitsOfDeploymentAndPolicy(t *testing.T) {
	for _, test := range []struct {
		deployment, policy, want time.Duration
		code                     reason.Code // of a job of 90 minutes
	}{
		{time.Hour, 2 * time.Hour, time.Hour, reason.TimeoutTooLong},
		{2 * time.Hour, time.Hour, time.Hour, reason.PolicyLimit},
		{0, time.Hour, time.Hour, reason.PolicyLimit},
	} {
		w := New(t)
		w.Config.Policy.MaxLimit = test.deployment
		w.again()
		w.apply(fmt.Sprintf("defaults: {serviceAccounts: any, timeouts: {max: %.0fs}}", test.policy.Seconds()))
		w.Ask(Job{ID: "unset", CPU: 1})
		if got := w.Record("unset").Timeout; got != test.want {
			t.Errorf("%+v: a job without a limit gets %s", test, got)
		}
		w.Ask(Job{ID: "long", CPU: 1, Spec: map[string]any{"scheduling": map[string]any{"timeout": "5400s"}}})
		w.expectRefused("long", test.code, 1)
	}
}

// A request that waits keeps what it was taken with, also under a policy that would refuse it
// now; and a message that comes again after that is the same request.
func TestAWaitingRequestKeepsItsPolicy(t *testing.T) {
	w := New(t)
	w.apply(atMostTwo)
	w.Ask(Job{ID: "first", CPU: 4 - 2})
	w.Ask(Job{ID: "second", CPU: 2})
	body := Job{ID: "waits", CPU: 2, Resource: Resource}.Body()
	id := w.Send(body)
	w.Expect("waits", lifecycle.Waiting, "queued")
	w.apply("defaults: {serviceAccounts: any, maxReplicas: 1, timeouts: {default: 60s}, labels: {add: {a: b}}}")
	w.Now = w.Now.Add(w.Config.Tick)
	answers := len(w.Out.All())
	w.Again(id, body)
	if got := w.Out.All()[answers:]; len(got) != 0 {
		t.Errorf("a second delivery is answered: %+v", got)
	}
	w.Vertex.SetJob(w.JobOf("first"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("waits", lifecycle.Submitted, "queued", "reserved", "submitted")
	if rec := w.Record("waits"); rec.PolicyVersion != 1 || rec.Labels["a"] != "" || rec.Timeout != 7*24*time.Hour {
		t.Errorf("it has version %d, labels %v, limit %s", rec.PolicyVersion, rec.Labels, rec.Timeout)
	}
}

// A deployment that takes shorter limits than before knows the requests that it has taken: the
// same message again is no other request under their ids.
func TestALoweredLimitIsNoOtherRequest(t *testing.T) {
	w := New(t)
	body := Job{ID: "a", CPU: 2, Resource: Resource, Spec: map[string]any{"scheduling": map[string]any{"timeout": "7200s"}}}.Body()
	id := w.Send(body)
	w.Config.Policy.MaxLimit = time.Hour
	w.again()
	answers := len(w.Out.All())
	w.Again(id, body)
	if got := w.Out.All()[answers:]; len(got) != 0 {
		t.Errorf("a second delivery is answered: %+v", got)
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
}

// A request that is refused by a policy is known under its id: the same message again says
// nothing, and it stays refused.
func TestARefusedRequestStaysRefused(t *testing.T) {
	w := New(t)
	w.apply(atMostOne)
	body := Job{ID: "a", CPU: 2, Resource: Resource}.Body()
	id := w.Send(body)
	w.expectRefused("a", reason.PolicyLimit, 1)
	w.apply(atMostTwo)
	w.Now = w.Now.Add(w.Config.Tick)
	answers := len(w.Out.All())
	w.Again(id, body)
	if got := w.Out.All()[answers:]; len(got) != 0 {
		t.Errorf("a second delivery is answered: %+v", got)
	}
	w.expectRefused("a", reason.PolicyLimit, 1)
}

// A request goes by one version as a whole, also when another one is written while its
// commits fail and are tried again.
func TestAPolicyThatChangesWhileARequestIsDecided(t *testing.T) {
	for _, fault := range []ledger.Fault{ledger.Stale, ledger.LoseAnswer, ledger.FailCommit, ledger.LoseAnswerAndCheck} {
		for at := 1; at <= 4; at++ {
			w := New(t)
			w.apply(`defaults: {serviceAccounts: any, timeouts: {default: 600s}, labels: {add: {first: "1"}}}`)
			n, inside := 0, false
			w.Ledger.Fault = func(op string) ledger.Fault {
				if op != ledger.OpCommit || inside {
					return ledger.None
				}
				if n++; n != at {
					return ledger.None
				}
				inside = true
				w.apply(`defaults: {serviceAccounts: any, timeouts: {default: 1200s}, labels: {add: {second: "2"}}}`)
				inside = false
				return fault
			}
			body := Job{ID: "a", CPU: 1}.Body()
			if id, err := w.Try(body); err != nil {
				w.Again(id, body)
			}
			w.Ledger.Fault = nil
			w.After(2 * time.Minute)
			rec := w.Record("a")
			if rec.PolicyVersion != 1 || rec.Timeout != 10*time.Minute || rec.Labels["first"] != "1" || rec.Labels["second"] != "" {
				t.Errorf("fault %d at commit %d: version %d, limit %s, labels %v: want all of version 1", fault, at, rec.PolicyVersion, rec.Timeout, rec.Labels)
			}
			for _, e := range w.Out.Of("a") {
				if e.PolicyVersion != 1 {
					t.Errorf("fault %d at commit %d: the event %s names version %d", fault, at, e.Type, e.PolicyVersion)
				}
			}
		}
	}
}

// What a policy refuses a dry run says too, and an explanation, and neither writes a request.
func TestADryRunGoesByThePolicy(t *testing.T) {
	w := New(t)
	w.apply(atMostOne)
	w.Send(Job{ID: "a", CPU: 2, DryRun: true}.Body())
	last := w.Out.All()[len(w.Out.All())-1]
	if last.Type != message.Quoted || last.Verdict != "REFUSE" || last.Reason == nil || last.Reason.Code != reason.PolicyLimit || last.PolicyVersion != 1 {
		t.Errorf("the dry run is answered %s %s %v by version %d", last.Type, last.Verdict, last.Reason, last.PolicyVersion)
	}
	q, err := w.Controller.Quote(t.Context(), Tenant, message.Delivery{ID: "q", PublishTime: w.Now, Data: Job{ID: "a", CPU: 2}.Body()})
	if err != nil || q.Verdict != "REFUSE" || q.Reason.Code != reason.PolicyLimit || q.PolicyVersion != 1 {
		t.Errorf("explained: %s %v by version %d, error %v", q.Verdict, q.Reason, q.PolicyVersion, err)
	}
	w.Expect("a", lifecycle.None)
}

// Tenants have rules of their own; one learns nothing of another's.
func TestTenantsHaveTheirOwnRules(t *testing.T) {
	w := New(t)
	w.apply(`
defaults: {serviceAccounts: any, maxReplicas: 1}
tenants:
  default: {maxReplicas: 2, images: {repositories: [gcr.io/p]}}
  other: {maxReplicas: 3, images: {repositories: [gcr.io/secret-of-other]}}
`)
	w.Ask(Job{ID: "a", CPU: 2})
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	w.Ask(Job{ID: "b", CPU: 3})
	w.expectRefused("b", reason.PolicyLimit, 1)
	w.Deliver = func(d message.Delivery) error { return w.Controller.Handle(t.Context(), "other", d) }
	w.Ask(Job{ID: "c", CPU: 1})
	w.expectRefused("c", reason.PolicyImage, 1)
	w.Deliver = func(d message.Delivery) error { return w.Controller.Handle(t.Context(), "third", d) }
	w.Ask(Job{ID: "d", CPU: 2})
	w.expectRefused("d", reason.PolicyLimit, 1)
	for _, id := range []string{"b", "d"} {
		if why := w.Record(id).Why.String(); strings.Contains(why, "secret") || strings.Contains(why, "other") {
			t.Errorf("%s is told of another tenant: %s", id, why)
		}
	}
}
