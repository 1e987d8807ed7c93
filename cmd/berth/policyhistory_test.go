package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
)

// pastLedger has run four jobs of tenant big, each as large as the pool, and one of tenant
// small; a request of big was cancelled before it ran, one of small waits, and an older
// one of each has run too.
func pastLedger(t *testing.T, now time.Time) ledger.Ledger {
	t.Helper()
	cpu := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	l := ledger.NewMem(func() time.Time { return now })
	docs := []ledger.Document{&ledger.Resource{Name: poolName, State: "RUNNING", ObservedAt: now, Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}}}}
	add := func(tenant string, replicas capacity.Replicas, received time.Time, state lifecycle.State, wait time.Duration) {
		id := fmt.Sprintf("r%d", len(docs))
		started := received.Add(wait)
		rec := &ledger.Record{Key: message.KeyOf(tenant, message.KindRequest, id), Kind: message.KindRequest, Tenant: tenant, ID: id, Resource: poolName,
			Ask: capacity.Ask{{Shape: cpu, Replicas: replicas}}, Timeout: time.Hour, Times: message.Times{Received: received},
			Spec: fmt.Sprintf(`{"displayName":"secret","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":%d,"containerSpec":{"imageUri":"gcr.io/secret/i"}}]}}`, replicas)}
		if state == lifecycle.Succeeded {
			rec.Times.Started, rec.Times.JobStarted, rec.Times.JobEnded, rec.Times.Ended = started, started, started.Add(time.Hour), started.Add(time.Hour)
		}
		rec.State, rec.Order = state, ledger.OrderKey(0, received, rec.Key)
		docs = append(docs, rec)
	}
	began := now.Add(-48 * time.Hour)
	for i := range 4 {
		add("big", 4, began, lifecycle.Succeeded, time.Duration(i)*time.Hour)
	}
	add("small", 2, began.Add(time.Minute), lifecycle.Succeeded, 4*time.Hour)
	add("big", 3, began, lifecycle.Cancelled, 0)
	add("small", 1, now.Add(-time.Minute), lifecycle.Waiting, 0)
	add("big", 4, now.Add(-200*time.Hour), lifecycle.Succeeded, 0)
	add("small", 4, now.Add(-200*time.Hour), lifecycle.Succeeded, 0)
	if err := l.Update(t.Context(), ledger.ReadSetOf(docs...), func(tx ledger.Tx) error {
		for _, doc := range docs {
			tx.Put(doc)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return l
}

func parsed(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, problems := policy.Parse([]byte(text))
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

// The requests of the last days are held against the new policy, and those that ran are run
// again under it and under the one in force.
func TestReplayPast(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	l := pastLedger(t, now)
	var errs bytes.Buffer
	g := &globals{ctx: t.Context(), err: &errs}
	share := "\ntenants: {small: {shares: [{persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 2}]}}"
	past, err := replayPast(g, l, nil, parsed(t, "defaults: {serviceAccounts: any, maxReplicas: 3}"+share), now.Add(-72*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	past.window = 72 * time.Hour
	past.print(&out)
	if got, want := out.String(), `
7 requests came in the last 3.0d.
WOULD BE REFUSED  TENANT  REASON        FIELD
4                 big     POLICY_LIMIT  jobSpec.workerPoolSpecs

5 jobs of pool, run again in virtual time: mean and longest wait under the policy in force and under this one.
TENANT  IN FORCE  MEAN  LONGEST  THIS ONE  MEAN  LONGEST
big     4 jobs    90m   3.0h     -
small   1 job     4.0h  4.0h     1 job     0s    0s
all     5 jobs    120m  4.0h     1 job     0s    0s
`; got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
	if errs.Len() > 0 {
		t.Errorf("on standard error: %s", &errs)
	}
	// The other way round the share is lost, and big gets one. A cap of either policy leaves
	// its jobs out.
	capped := parsed(t, "defaults: {serviceAccounts: any, shares: [{persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 0, cap: 3}]}")
	past, err = replayPast(g, l, parsed(t, "defaults: {serviceAccounts: any}"+share), capped, now.Add(-72*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r := past.Resources[0]
	if small := groupOf(r.Now.Tenants, "small"); small == nil || small.Max != replay.Seconds(59*time.Minute) || r.Now.Refused != 0 || r.Now.All.Max != replay.Seconds(4*time.Hour) {
		t.Errorf("in force: %+v", r.Now)
	}
	if r.Jobs != 5 || r.Next.Refused != 4 || r.Next.All.Jobs != 1 || r.Next.All.Max != 0 {
		t.Errorf("this one: %+v", r.Next)
	}
	if len(past.Refused) != 0 {
		t.Errorf("refused: %v", past.Refused)
	}
	// A week holds all, and a minute nothing.
	if past, err = replayPast(g, l, nil, parsed(t, "defaults: {serviceAccounts: any}"), now.Add(-300*time.Hour)); err != nil || past.Requests != 9 || past.Resources[0].Jobs != 7 {
		t.Errorf("%+v, %v", past, err)
	}
	past, err = replayPast(g, l, nil, parsed(t, "defaults: {serviceAccounts: any}"), now)
	out.Reset()
	past.print(&out)
	if err != nil || !strings.Contains(out.String(), "No request came in the last") {
		t.Errorf("%s, %v", &out, err)
	}
}

// What was refused for another reason than a policy does not say whether a policy locks
// everybody out, and a cap counts as a refusal does.
func TestTally(t *testing.T) {
	cpu := capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	rec := func(state lifecycle.State, code reason.Code, replicas int) *ledger.Record {
		r := &ledger.Record{Tenant: "a", Resource: poolName, Ask: capacity.Ask{{Shape: cpu, Replicas: capacity.Replicas(replicas)}},
			Spec: fmt.Sprintf(`{"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":%d,"containerSpec":{"imageUri":"gcr.io/p/i"}}]}}`, replicas)}
		r.State = state
		if code != "" {
			r.Why = &reason.Problem{Code: code}
		}
		return r
	}
	few := parsed(t, "defaults: {serviceAccounts: any, maxReplicas: 3}")
	capped := parsed(t, "defaults: {serviceAccounts: any, shares: [{persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 0, cap: 3}]}")
	for name, c := range map[string]struct {
		policy *policy.Policy
		recs   []*ledger.Record
		want   tally
		locks  bool
	}{
		"none":               {few, nil, tally{}, false},
		"refused":            {few, []*ledger.Record{rec(lifecycle.Waiting, "", 4), rec(lifecycle.Succeeded, "", 5)}, tally{2, 2}, true},
		"one fits":           {few, []*ledger.Record{rec(lifecycle.Waiting, "", 4), rec(lifecycle.Succeeded, "", 3)}, tally{2, 1}, false},
		"rejected by policy": {few, []*ledger.Record{rec(lifecycle.Rejected, reason.PolicyLimit, 4), rec(lifecycle.Rejected, reason.OverQuota, 4)}, tally{2, 2}, true},
		"a wrong job too":    {few, []*ledger.Record{rec(lifecycle.Waiting, "", 4), rec(lifecycle.Rejected, reason.InvalidValue, 1)}, tally{1, 1}, true},
		"wrong jobs only":    {few, []*ledger.Record{rec(lifecycle.Rejected, reason.InvalidValue, 4)}, tally{}, false},
		"above the cap":      {capped, []*ledger.Record{rec(lifecycle.Waiting, "", 4)}, tally{1, 1}, true},
		"within the cap":     {capped, []*ledger.Record{rec(lifecycle.Waiting, "", 3), rec(lifecycle.Waiting, "", 4)}, tally{2, 1}, false},
	} {
		var got tally
		for _, r := range c.recs {
			if _, err := got.hold(c.policy, r); err != nil {
				t.Fatal(err)
			}
		}
		if got != c.want || got.locksOut() != c.locks {
			t.Errorf("%s: %+v, locks out %t", name, got, got.locksOut())
		}
	}
}
