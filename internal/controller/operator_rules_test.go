package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// operates takes in an operator's message, as often as it is delivered, and returns what
// it is answered.
func (b *bench) operates(id, fields string) message.Outcome {
	b.Helper()
	b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1"}, "pool"
	before := len(b.out.events)
	var answers []message.Outcome
	for range 2 { // a second delivery does nothing
		b.must(b.c.Operate(b.Context(), message.Delivery{ID: id, PublishTime: noon, Data: []byte(`{"operator":{"who":"ops","reason":"a test",` + fields + `}}`)}))
	}
	for _, e := range b.out.events[before:] {
		if e.Tenant == message.Operators && e.MessageID == id {
			answers = append(answers, e)
		}
	}
	if len(answers) != 1 {
		b.Fatalf("%s: the answers are %+v", fields, answers)
	}
	return answers[0]
}

// says holds an answer against its type, and if it is a refusal its code, path and text.
func (b *bench) says(o message.Outcome, want message.Type, code reason.Code, path, text string) {
	b.Helper()
	if o.Type != want || (o.Reason != nil) != (code != "") || o.Reason != nil && (o.Reason.Code != code || o.Reason.Path != path || !strings.Contains(o.Reason.Detail+" "+o.Reason.Fix, text) || len(o.Problems) != 1) {
		b.Errorf("the answer is %s because of %+v; want %s, %s at %s: %s", o.Type.Word(), o.Reason, want.Word(), code, path, text)
	}
	if code == "" && (o.Operator == nil || o.Operator.Who != "ops" || o.Operator.Reason != "a test") {
		b.Errorf("%s does not say who has done it: %+v", o.Type.Word(), o.Operator)
	}
}

// TestTenantIsPaused: this instance knows of a pause and of its end at once, without
// another read, and another one when it reads next. What waits starts when it ends.
func TestTenantIsPaused(t *testing.T) {
	for _, read := range []bool{false, true} { // whether the instance has read the policy before
		b := newBench(t)
		b.old(0)
		if read {
			_, err := b.c.rulebook(t.Context())
			b.must(err)
		}
		b.says(b.operates("o1", `"action":"resume","tenant":"default"`), message.Refused, reason.NotPaused, "operator.tenant", "There is nothing to do.")
		b.says(b.operates("o2", `"action":"pause","tenant":"default"`), message.Paused, "", "", "")
		if _, is := b.c.tenantPause("default"); is != read {
			t.Errorf("read before %v: it knows of the pause: %v", read, is)
		}
		b.handle(`{"requestId":"a",` + fmt.Sprintf(bareJobOf("n1-standard-4"), "") + `}`)
		key := message.KeyOf("default", message.KindRequest, "a")
		rec := b.record(key)
		if rec.State != lifecycle.Waiting || rec.Why.Code != reason.TenantPaused || rec.Why.Detail != "The tenant has been paused since 2026-11-23T12:00:00Z, by ops: a test. Nothing of it starts until an operator resumes it." {
			t.Errorf("read before %v: it is %s because of %+v", read, rec.State, rec.Why)
		}
		if pause, is := b.c.tenantPause("default"); !is || pause.Who != "ops" || pause.Reason != "a test" || !pause.Since.Equal(noon) {
			t.Errorf("the pause is %+v", pause)
		}
		if _, is := b.c.tenantPause("red"); is {
			t.Error("another tenant is paused")
		}
		book := b.c.policies.latest()
		b.says(b.operates("o3", `"action":"pause","tenant":"red"`), message.Paused, "", "", "")
		if after := b.c.policies.latest(); after == book || len(book.paused) != 1 || len(after.paused) != 2 || after.pauses <= book.pauses || !after.at.Equal(book.at) {
			t.Errorf("a rulebook that others go by has changed: %+v, then %+v", book, after)
		}
		reads := b.mem.Stats().Reads
		b.says(b.operates("o4", `"action":"resume","tenant":"default"`), message.Resumed, "", "", "")
		if got := b.state(key); got != lifecycle.Submitted || b.mem.Stats().Reads == reads {
			t.Errorf("after the pause it is %s", got)
		}
	}
}

// TestTenantPausesAreBounded: no more tenants can be paused than one document holds; those
// that are can be paused again, and resumed.
func TestTenantPausesAreBounded(t *testing.T) {
	b := newBench(t)
	b.must(b.mem.Update(t.Context(), ledger.AllPauses(), func(tx ledger.Tx) error {
		p := &ledger.Pauses{Name: ledger.TenantPauses, Tenants: map[string]admission.Pause{}}
		for i := range ledger.MaxPausedTenants {
			p.Tenants[fmt.Sprint("t", i)] = admission.Pause{Who: "other"}
		}
		tx.Put(p)
		return nil
	}))
	_, err := b.c.rulebook(t.Context())
	b.must(err)
	b.says(b.operates("o1", `"action":"pause","tenant":"one"`), message.Refused, reason.TooLarge, "operator.tenant", "500 tenants are paused")
	if _, is := b.c.tenantPause("one"); is {
		t.Error("a pause that was refused holds")
	}
	b.says(b.operates("o2", `"action":"pause","tenant":"t7"`), message.Paused, "", "", "")
	if p, _ := b.c.tenantPause("t7"); p.Who != "ops" {
		t.Errorf("the second pause is %+v", p)
	}
	b.says(b.operates("o3", `"action":"resume","tenant":"t7"`), message.Resumed, "", "", "")
	b.says(b.operates("o4", `"action":"pause","tenant":"one"`), message.Paused, "", "", "")
}

// TestResumedEverywhere: what waits for a tenant starts on every resource, over pages of
// the list. If that fails, the resume holds and the next pass does the rest.
func TestResumedEverywhere(t *testing.T) {
	for _, fails := range []bool{false, true} {
		b := newBench(t)
		b.must(b.mem.Update(t.Context(), ledger.AllPauses(), func(tx ledger.Tx) error {
			p := &ledger.Pauses{Name: ledger.TenantPauses}
			p.Set(noon, "default", &admission.Pause{Who: "ops"})
			tx.Put(p)
			return nil
		}))
		_, err := b.c.rulebook(t.Context())
		b.must(err)
		var keys []message.Key
		for i := range 120 {
			res := &ledger.Resource{Name: fmt.Sprintf("%s/persistentResources/r%03d", regionOfTests, i), State: vertex.Running, CreateTime: noon.Add(-time.Hour), ObservedAt: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)}}
			if i%50 == 7 || i == 49 || i == 119 {
				rec := recordIn(lifecycle.Waiting, "")
				b.rename(rec, nil, fmt.Sprint("w", i))
				rec.Resource, rec.Run, rec.Attempt, rec.ActUntil, rec.Timeout, rec.Order = res.Name, "", 0, time.Time{}, time.Hour, ledger.OrderKey(0, noon, rec.Key)
				res.Join(rec)
				put(t, b.mem, rec, nil)
				keys = append(keys, rec.Key)
			}
			put(t, b.mem, nil, res)
		}
		if fails {
			b.mem.Fault = func(op string) ledger.Fault { return map[string]ledger.Fault{ledger.OpQuery: ledger.FailRead}[op] }
		}
		b.says(b.operates("o1", `"action":"resume","tenant":"default"`), message.Resumed, "", "", "")
		b.mem.Fault = nil
		for _, key := range keys {
			if waits := b.state(key) == lifecycle.Waiting; waits != fails {
				t.Errorf("the ledger fails: %v; %s is %s", fails, key, b.state(key))
			}
		}
		if strings.Contains(b.log.String(), `"schedule_failed"`) != fails {
			t.Errorf("the ledger fails: %v; %s", fails, &b.log)
		}
	}
}

// TestOperatorsFailures: what cannot be done is delivered again, and a document that cannot
// be read is told.
func TestOperatorsFailures(t *testing.T) {
	b := newBench(t)
	b.old(0)
	operate := func(fields string) error {
		return b.c.Operate(t.Context(), message.Delivery{ID: "o1", PublishTime: noon, Data: []byte(`{"operator":{"who":"ops","reason":"a test",` + fields + `}}`)})
	}
	all := []string{`"action":"pause","tenant":"default"`, `"action":"pause","persistentResource":"pool"`, `"action":"cancel","tenant":"default","requestId":"a"`}
	b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	for _, fields := range all {
		if err := operate(fields); !errors.Is(err, ledger.ErrInjected) || !strings.HasPrefix(err.Error(), "do what the operator's message o1 asks for: ") {
			t.Errorf("%s: %v", fields, err)
		}
	}
	if b.mem.Fault = nil; strings.Contains(b.log.String(), `"unreadable_document"`) {
		t.Errorf("what fails for a moment is told as unreadable: %s", &b.log)
	}
	b.mem.Spoil(ledger.ResourceRef(resourceOfTests), "it has layout 9")
	if err := operate(all[1]); err == nil || strings.Count(b.log.String(), `"unreadable_document"`) != 1 || len(b.out.events) != 0 {
		t.Errorf("it cannot be read: %v, %s", err, &b.log)
	}
}

// TestOperationsOnAResource: what each operation does to a resource, and what it is answered.
func TestOperationsOnAResource(t *testing.T) {
	pause := &admission.Pause{Since: noon.Add(-time.Hour), Who: "other", Reason: "before"}
	two := func(res *ledger.Resource) {
		res.Pools = []capacity.Pool{poolOf(small, 1, 0, 0), poolOf(large, 1, 0, 0)}
	}
	for _, test := range []struct {
		fields string
		change func(*ledger.Resource)
		want   message.Type
		code   reason.Code
		path   string
		text   string
		after  string // how the resource and its pools are paused
		starts bool   // what waits
	}{
		{`"action":"pause","persistentResource":"pool"`, two, message.Paused, "", "", "", "ops", false},
		{`"action":"pause","persistentResource":"pool","pool":"n1-standard-8"`, two, message.Paused, "", "", "", "n1-standard-8 by ops", false},
		{`"action":"pause","persistentResource":"pool","pool":"other"`, two, message.Refused, reason.UnknownPool, "operator.pool", "Its pools are n1-standard-4, n1-standard-8.", "", false},
		{`"action":"drain","persistentResource":"pool"`, two, message.Draining, "", "", "", "ops drains for o1", false},
		{`"action":"resume","persistentResource":"pool"`, func(res *ledger.Resource) { res.SetPause(pause) }, message.Resumed, "", "", "", "", true},
		{`"action":"resume","persistentResource":"pool"`, two, message.Refused, reason.NotPaused, "operator.persistentResource", "There is nothing to do. Status shows what is paused", "", false},
		{`"action":"resume","persistentResource":"pool"`, func(res *ledger.Resource) { two(res); res.SetPoolPause("n1-standard-8", pause) }, message.Refused, reason.NotPaused, "operator.persistentResource", "is not paused", "n1-standard-8 by other", false},
		{`"action":"resume","persistentResource":"pool","pool":"n1-standard-8"`, func(res *ledger.Resource) { two(res); res.SetPoolPause("n1-standard-8", pause) }, message.Resumed, "", "", "", "", true},
		{`"action":"resume","persistentResource":"pool","pool":"n1-standard-4"`, func(res *ledger.Resource) { two(res); res.SetPoolPause("n1-standard-8", pause) }, message.Refused, reason.NotPaused, "operator.pool", "The pool is not paused.", "n1-standard-8 by other", false},
		{`"action":"resume","persistentResource":"pool","pool":"n1-standard-8"`, func(res *ledger.Resource) { two(res); res.SetPause(pause); res.SetPoolPause("n1-standard-8", pause) }, message.Resumed, "", "", "", "other", false},
	} {
		b := newBench(t)
		b.old(0)
		key := b.queue("w")
		res := b.resource()
		test.change(res)
		put(t, b.mem, nil, res)
		o := b.operates("o1", test.fields)
		b.says(o, test.want, test.code, test.path, test.text)
		after, got := b.resource(), []string{}
		if p := after.Paused; p != nil {
			text := p.Who
			if p.Drain {
				text += " drains for " + p.Message
			}
			if p.Who == "ops" && (!p.Since.Equal(noon) || p.Reason != "a test") {
				t.Errorf("%s: the pause is %+v", test.fields, p)
			}
			got = append(got, text)
		}
		for pool, p := range after.PausedPools {
			got = append(got, pool+" by "+p.Who)
		}
		if strings.Join(got, ", ") != test.after || o.PersistentResource != resourceOfTests {
			t.Errorf("%s: it is paused by %q, want %q; the answer is about %s", test.fields, got, test.after, o.PersistentResource)
		}
		if started := b.state(key) != lifecycle.Waiting; started != test.starts && test.want != message.Refused {
			t.Errorf("%s: the request that waits is %s", test.fields, b.state(key))
		}
	}
}

// TestOperationOnAnUnknownResource: a name that is not there is refused without a document;
// one that is there and was never observed is observed first.
func TestOperationOnAnUnknownResource(t *testing.T) {
	b := newBench(t)
	b.says(b.operates("o1", `"action":"pause","persistentResource":"none"`), message.Refused, reason.UnknownResource, "operator.persistentResource", "")
	b.says(b.operates("o2", `"action":"pause","persistentResource":"projects/q/locations/us-central1/persistentResources/x"`), message.Refused, reason.ForeignResource, "operator.persistentResource", "serves project p")
	if all, err := b.mem.Resources(t.Context(), "", 10); err != nil || len(all) != 0 {
		t.Errorf("there are %d documents, %v", len(all), err)
	}
	b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)}})
	b.says(b.operates("o3", `"action":"pause","persistentResource":"pool"`), message.Paused, "", "", "")
	if res := b.resource(); res == nil || res.Paused == nil || len(res.Pools) != 1 {
		t.Errorf("it is %+v", res)
	}
	b.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	err := b.c.Operate(t.Context(), message.Delivery{ID: "o4", Data: []byte(`{"operator":{"who":"ops","reason":"a test","action":"pause","persistentResource":"new"}}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "observe what the operator's message o4 names: ") {
		t.Errorf("Vertex AI does not answer: %v", err)
	}
	b.must(b.c.Operate(t.Context(), message.Delivery{ID: "o5", Data: []byte(`{"operator":{}}`)}))
	if last := b.out.events[len(b.out.events)-1]; last.Type != message.Refused || last.Tenant != message.Operators || last.MessageID != "o5" {
		t.Errorf("a message that is none: %+v", last)
	}
}

// TestOperationsOnARequest: what an operator does to a request in each state, and what the
// message is answered.
func TestOperationsOnARequest(t *testing.T) {
	const wrong = reason.WrongState
	done := map[string]message.Type{"cancel": message.OperatorCancelling, "requeue": message.Requeued, "prioritise": message.Prioritised}
	for _, test := range []struct {
		action string
		from   lifecycle.State
		change func(*ledger.Record)
		to     lifecycle.State
		code   reason.Code // of the refusal; "" if it is done
		text   string
		why    reason.Code // of the request after it
	}{
		{"cancel", lifecycle.Waiting, nil, lifecycle.Cancelled, "", "", reason.CancelRequested},
		{"cancel", lifecycle.Running, nil, lifecycle.Cancelling, "", "", reason.CancelRequested},
		{"cancel", lifecycle.Cancelling, nil, lifecycle.Cancelling, wrong, "is being cancelled already", ""},
		{"cancel", lifecycle.Failed, nil, lifecycle.Failed, reason.AlreadyEnded, "The request has ended: it is FAILED.", ""},
		{"requeue", lifecycle.Waiting, nil, lifecycle.Waiting, wrong, "The request is WAITING.", ""},
		{"requeue", lifecycle.Cancelling, nil, lifecycle.Cancelling, wrong, "The request is CANCELLING.", ""},
		{"requeue", lifecycle.Reserved, func(r *ledger.Record) { r.SentBack = 19 }, lifecycle.Waiting, "", "", reason.RequeueRequested},
		{"requeue", lifecycle.Reserved, func(r *ledger.Record) { r.SentBack = 20 }, lifecycle.Reserved, wrong, "wait again 20 times, the most that they can. Cancel it", ""},
		{"requeue", lifecycle.Submitted, nil, lifecycle.Cancelling, "", "", reason.RequeueRequested},
		{"prioritise", lifecycle.Waiting, nil, lifecycle.Waiting, "", "", ""},
		{"prioritise", lifecycle.Running, nil, lifecycle.Running, wrong, "The request is RUNNING. Only a request that waits has a place", ""},
	} {
		b := newBench(t)
		b.old(0)
		job := ""
		if test.from == lifecycle.Running || test.from == lifecycle.Submitted || test.from == lifecycle.Cancelling {
			job = b.ai.AddForeign(regionOfTests, "pool", capacity.Ask{{Shape: small, Replicas: 1}})
		}
		var rec *ledger.Record
		if test.from == lifecycle.Waiting {
			rec = b.record(b.queue("a"))
			res := b.resource()
			res.Paused = &admission.Pause{Who: "ops"} // so that it goes on waiting
			put(t, b.mem, nil, res)
		} else {
			rec = b.one(test.from, job, func(r *ledger.Record, res *ledger.Resource) {
				b.rename(r, res, "a")
				res.Paused = &admission.Pause{Who: "ops"}
				if test.change != nil {
					test.change(r)
				}
			})
		}
		order := rec.Order
		fields := `"action":"` + test.action + `","tenant":"default","requestId":"a"`
		if test.action == "prioritise" {
			fields += `,"priority":7`
		}
		o := b.operates("o1", fields)
		want := done[test.action]
		if test.code != "" {
			want = message.Refused
		}
		b.says(o, want, test.code, map[bool]string{true: "operator"}[test.code != ""], test.text)
		after := b.record(rec.Key)
		if after.State != test.to || test.why != "" && (after.Why == nil || after.Why.Code != test.why || !strings.HasPrefix(after.Why.Detail, "ops ") || !strings.HasSuffix(after.Why.Detail, "as an operator: a test")) {
			t.Errorf("%s of one that is %s: it is %s because of %+v, want %s", test.action, test.from, after.State, after.Why, test.to)
		}
		if cancels := b.ai.Calls()["cancel"]; (cancels > 0) != (test.code == "" && test.to == lifecycle.Cancelling) {
			t.Errorf("%s of one that is %s: %d cancels", test.action, test.from, cancels)
		}
		if test.code != "" && o.ClaimedRequestID != "a" || test.code == "" && o.PersistentResource != resourceOfTests || len(after.Unpublished()) > 0 {
			t.Errorf("%s of one that is %s: the answer is %+v, %d events are not published", test.action, test.from, o, len(after.Unpublished()))
		}
		if prioritised := want == message.Prioritised; prioritised != (after.Order != order) && test.action == "prioritise" || prioritised && (after.Priority != 7 || *o.Operator.Priority != 7 || *o.Operator.FormerPriority != 0) {
			t.Errorf("%s of one that is %s: its priority is %d, the answer says %+v", test.action, test.from, after.Priority, o.Operator)
		}
		if held := b.resource().Holding(after); held != test.to.Holds() && test.code == "" {
			t.Errorf("%s of one that is %s: it holds %v", test.action, test.from, held)
		}
	}
	b := newBench(t)
	b.old(0)
	b.says(b.operates("o1", `"action":"cancel","tenant":"default","requestId":"none"`), message.Refused, reason.NothingMatched, "operator", "There is no such request of this tenant. Check the id and the tenant.")
}

// TestNothingIsDecidedWithoutThePolicy: while the policy cannot be read no request is
// admitted and no attempt begins; what ends a wait, and what only searches, goes on.
func TestNothingIsDecidedWithoutThePolicy(t *testing.T) {
	for name, test := range map[string]struct {
		from   lifecycle.State
		change func(*ledger.Record, *ledger.Resource)
		to     lifecycle.State
		timer  time.Duration // from noon; -1 for any
		tries  int           // the attempt it is at then
	}{
		"a parked request is due":           {lifecycle.Waiting, func(r *ledger.Record, res *ledger.Resource) { r.Parked, res.Holds = true, nil }, lifecycle.Waiting, time.Minute, 0},
		"a wait is over":                    {lifecycle.Waiting, func(r *ledger.Record, res *ledger.Resource) { r.MaxWait, res.Holds = 0, nil }, lifecycle.Expired, -1, 0},
		"another attempt is due":            {lifecycle.Submitting, as, lifecycle.Submitting, time.Minute, 1},
		"only a search is due":              {lifecycle.Submitting, func(r *ledger.Record, _ *ledger.Resource) { r.Attempt = 9 }, lifecycle.Submitting, -1, 10},
		"a reservation is over":             {lifecycle.Reserved, func(r *ledger.Record, _ *ledger.Resource) { r.MaxWait = 0 }, lifecycle.Expired, -1, 1},
		"a reservation has lost its pool":   {lifecycle.Reserved, func(_ *ledger.Record, res *ledger.Resource) { res.State = ledger.Absent }, lifecycle.Waiting, -1, 0},
		"a search of one that is cancelled": {lifecycle.Cancelling, as, lifecycle.Cancelling, -1, 2},
	} {
		b := newBench(t)
		rec := b.one(test.from, "", func(r *ledger.Record, res *ledger.Resource) {
			if test.from == lifecycle.Waiting {
				r.Run, r.Attempt, r.ActUntil = "", 0, time.Time{}
			}
			test.change(r, res)
		})
		b.withoutPolicy()
		b.must(b.c.runTimer(t.Context(), rec.Key, &progress{tasks: newTasks(true)}))
		after := b.record(rec.Key)
		if after.State != test.to || test.timer >= 0 && after.TimerAt.Sub(noon) != test.timer || !after.State.Terminal() && after.Attempt != test.tries || b.ai.Calls()["create"] != 0 {
			t.Errorf("%s: it is %s, due in %v, at attempt %d, after %v; want %s, %v, %d", name, after.State, after.TimerAt.Sub(noon), after.Attempt, b.ai.Calls(), test.to, test.timer, test.tries)
		}
	}
}

// TestWhyNothingIsDecided: what the log says of a policy that cannot be read, so that an
// alert can tell a text that is wrong from a ledger that fails.
func TestWhyNothingIsDecided(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*bench)
		event string
		says  []string
	}{
		"the ledger fails":  {func(b *bench) { b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead } }, "policy_failed", []string{`"level":"WARN"`}},
		"its text is wrong": {(*bench).withoutPolicy, "policy_unreadable", []string{`"level":"ERROR"`, `"version":1`, "version 1 of the policy cannot be read: line "}},
		"its document is of a newer": {func(b *bench) {
			b.withoutPolicy()
			b.mem.Spoil(ledger.PolicyRef(ledger.CurrentPolicy), "it has layout 9")
		}, "policy_unreadable", []string{`"level":"ERROR"`, `"version":0`, `"why":"it has layout 9"`}},
		"that of the pauses is": {func(b *bench) {
			b.operates("o1", `"action":"pause","tenant":"red"`)
			b.log.Reset()
			b.mem.Spoil(ledger.PauseRef(ledger.TenantPauses), "it has layout 8")
		}, "pauses_unreadable", []string{`"level":"ERROR"`, `"why":"it has layout 8"`}},
	} {
		b := newBench(t)
		b.old(0)
		test.spoil(b)
		err := b.c.Handle(t.Context(), "default", message.Delivery{ID: "m1", PublishTime: noon, Data: []byte(`{"requestId":"a",` + fmt.Sprintf(bareJobOf("n1-standard-4"), "") + `}`)})
		if err == nil || !strings.HasPrefix(err.Error(), "decide message m1: ") || !strings.Contains(b.log.String(), `"event":"`+test.event+`"`) {
			t.Errorf("%s: %v, %s", name, err, &b.log)
		}
		for _, text := range test.says {
			if !strings.Contains(b.log.String(), text) {
				t.Errorf("%s: the log does not say %s: %s", name, text, &b.log)
			}
		}
		if _, err := b.c.PolicyOf(t.Context(), resourceOfTests); err == nil {
			t.Errorf("%s: and yet there are rules", name)
		}
		b.mem.Fault = nil
		if rec := b.record(message.KeyOf("default", message.KindRequest, "a")); rec != nil {
			t.Errorf("%s: it is %s", name, rec.State)
		}
	}
}

// TestProblemsAreToldTogether: the first with up to four more after it, each at its path,
// and how many there are beyond.
func TestProblemsAreToldTogether(t *testing.T) {
	of := func(n int) (list []reason.Problem) {
		for i := range n {
			list = append(list, reason.Problem{Code: reason.Code(fmt.Sprint("C", i)), Path: map[bool]string{true: fmt.Sprint("p", i)}[i != 2], Detail: fmt.Sprint("d", i, "."), Fix: fmt.Sprint("f", i, ".")})
		}
		return list
	}
	if got := oneProblem(nil); got != nil {
		t.Errorf("of none: %+v", got)
	}
	for n, want := range map[int][2]string{
		1: {"d0.", "f0."}, 2: {"d0. At p1: d1.", "f0. At p1: f1."}, 3: {"d0. At p1: d1. d2.", "f0. At p1: f1. f2."},
		5: {"d0. At p1: d1. d2. At p3: d3. At p4: d4.", "f0. At p1: f1. f2. At p3: f3. At p4: f4."},
		6: {"d0. At p1: d1. d2. At p3: d3. At p4: d4. And there are 1 problems more.", "f0. At p1: f1. f2. At p3: f3. At p4: f4."},
		9: {"d0. At p1: d1. d2. At p3: d3. At p4: d4. And there are 4 problems more.", "f0. At p1: f1. f2. At p3: f3. At p4: f4."},
	} {
		list := of(n)
		if got := oneProblem(list); got.Code != "C0" || got.Path != "p0" || got.Detail != want[0] || got.Fix != want[1] || list[0].Detail != "d0." {
			t.Errorf("of %d: %+v, want %q, %q", n, got, want[0], want[1])
		}
	}
	long := of(2)
	long[1].Detail, long[1].Fix = strings.Repeat("x", 3*maxError), strings.Repeat("y", 3*maxError)
	if got := oneProblem(long); len(got.Detail) > maxError+3 || len(got.Fix) > maxError+3 {
		t.Errorf("%d and %d bytes", len(got.Detail), len(got.Fix))
	}
}
