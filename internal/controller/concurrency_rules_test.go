package controller

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
)

// earlier writes a request of the concurrency key "nightly" and what it holds, without the
// document of the key.
func (b *bench) earlier(s lifecycle.State, change func(*ledger.Record)) *ledger.Record {
	b.Helper()
	job := regionOfTests + "/customJobs/1"
	if s == lifecycle.Waiting || s == lifecycle.Reserved || s == lifecycle.Submitting {
		job = ""
	}
	rec := recordIn(s, job)
	b.rename(rec, nil, "earlier")
	rec.Concurrency, rec.Timeout = message.Concurrency{Key: "nightly", Policy: message.Forbid}, time.Hour
	rec.Times.Ended = time.Time{}
	if s == lifecycle.Waiting {
		rec.Run, rec.Attempt, rec.ActUntil = "", 0, time.Time{}
	}
	rec.Open = s == lifecycle.Submitting
	change(rec)
	rec.Order = ledger.OrderKey(0, noon, rec.Key)
	b.old(0)
	res := b.resource()
	if rec.Resource != resourceOfTests {
		res = &ledger.Resource{Name: rec.Resource, State: res.State, CreateTime: res.CreateTime, ObservedAt: noon, Pools: res.Pools, Holds: map[message.Key]ledger.Hold{}}
	}
	switch {
	case s == lifecycle.Waiting:
		res.Join(rec)
	case s.Holds():
		res.Holds = map[message.Key]ledger.Hold{rec.Key: {Ask: rec.Ask, Run: rec.Run, Tenant: rec.Tenant, Pending: s == lifecycle.Reserved}}
	}
	put(b.T, b.mem, rec, nil)
	put(b.T, b.mem, nil, res)
	return rec
}

// last sets the document of the key to a request, and get returns which it names.
func (b *bench) last(key message.Key) {
	b.Helper()
	name := ledger.ConcurrencyName("default", "nightly")
	b.must(b.mem.Update(b.Context(), ledger.Concurrencies(name), func(tx ledger.Tx) error {
		tx.Put(&ledger.Concurrency{Name: name, Tenant: "default", Key: "nightly", Last: key})
		return nil
	}))
}

func (b *bench) lastOf(tenant, key string) (last message.Key) {
	b.Helper()
	name := ledger.ConcurrencyName(tenant, key)
	b.must(ledger.Read(b.Context(), b.mem, ledger.Concurrencies(name), func(tx ledger.Tx) {
		last = ""
		if doc := ledger.Get[*ledger.Concurrency](tx, ledger.ConcurrencyRef(name)); doc != nil && doc.Tenant == tenant && doc.Key == key {
			last = doc.Last
		}
	}))
	return last
}

// laterOf is a request of the key with a policy, and the key of its record.
func laterOf(policy message.ConcurrencyPolicy) (string, message.Key) {
	return fmt.Sprintf(`{"requestId":"later","concurrencyKey":"nightly","concurrencyPolicy":%q,%s}`, policy, fmt.Sprintf(bareJobOf("n1-standard-4"), "")), message.KeyOf("default", message.KindRequest, "later")
}

// bareJobOf is a job that fits the pools of the tests as they are.
func bareJobOf(machine string) string {
	return `"job":{"displayName":"train","jobSpec":{%s"workerPoolSpecs":[{"machineSpec":{"machineType":"` + machine + `"},"replicaCount":"1","containerSpec":{"imageUri":"gcr.io/p/i"}}]}}`
}

// TestEarlierOfAKey: what a request of a concurrency key meets, and what becomes of both,
// whether the document of the key is there or was lost. The document names the one that
// was taken last.
func TestEarlierOfAKey(t *testing.T) {
	const elsewhere = regionOfTests + "/persistentResources/two"
	same := func(*ledger.Record) {}
	for _, test := range []struct {
		name     string
		state    lifecycle.State
		change   func(*ledger.Record)
		met      bool            // it is an earlier one
		replaced lifecycle.State // what it is after a replacement
		searched bool            // the search of the resource finds it as well
	}{
		{"waits", lifecycle.Waiting, same, true, lifecycle.Cancelled, true},
		{"is admitted", lifecycle.Reserved, same, true, lifecycle.Cancelled, true},
		{"is being submitted", lifecycle.Submitting, same, true, lifecycle.Cancelling, true},
		{"is submitted", lifecycle.Submitted, same, true, lifecycle.Cancelling, true},
		{"runs", lifecycle.Running, same, true, lifecycle.Cancelling, true},
		{"is being cancelled", lifecycle.Cancelling, same, true, lifecycle.Cancelling, true},
		{"has failed", lifecycle.Failed, same, false, lifecycle.Failed, true},
		{"has succeeded", lifecycle.Succeeded, same, false, lifecycle.Succeeded, true},
		{"waits elsewhere", lifecycle.Waiting, func(r *ledger.Record) { r.Resource = elsewhere }, true, lifecycle.Cancelled, false},
		{"runs elsewhere", lifecycle.Running, func(r *ledger.Record) { r.Resource = elsewhere }, true, lifecycle.Cancelling, false},
		{"has another key", lifecycle.Running, func(r *ledger.Record) { r.Concurrency.Key = "hourly" }, true, lifecycle.Cancelling, false}, // the document says which it is
		{"minds no other", lifecycle.Running, func(r *ledger.Record) { r.Concurrency.Policy = message.Allow }, true, lifecycle.Cancelling, false},
		{"is of another tenant", lifecycle.Running, func(r *ledger.Record) { r.Tenant = "red" }, true, lifecycle.Cancelling, false},
	} {
		for _, lost := range []bool{false, true} {
			for _, policy := range []message.ConcurrencyPolicy{message.Forbid, message.Replace, message.Allow} {
				if policy == message.Allow && test.state == lifecycle.Reserved {
					continue // it gets its submission slot beside the later one
				}
				name := fmt.Sprintf("it %s, %s, document lost: %v", test.name, policy, lost)
				b := newBench(t)
				rec := b.earlier(test.state, test.change)
				if !lost {
					b.last(rec.Key)
				}
				met := test.met && (test.searched || !lost)
				data, key := laterOf(policy)
				commits := b.mem.Stats().Commits
				d, _ := decoded(t, data)
				q, err := b.c.Quote(t.Context(), "default", d)
				if policy != message.Allow { // a question writes nothing
					warned := len(q.Warnings) > 0 && strings.HasPrefix(q.Warnings[len(q.Warnings)-1].Detail, "The request earlier of the same concurrency key would be cancelled: it is "+string(test.state)+".")
					forbids := q.Reason != nil && q.Reason.Code == reason.AlreadyActive
					if err != nil || forbids != (met && policy == message.Forbid) || warned != (met && policy == message.Replace && test.state != lifecycle.Cancelling) || b.mem.Stats().Commits != commits {
						t.Errorf("%s: quoted as %s because of %v, warned %v, %v", name, q.Verdict, q.Reason, q.Warnings, err)
					}
				}
				b.handle(data)
				later, after := b.record(key), b.record(rec.Key)
				refused := met && policy == message.Forbid
				if (later.State == lifecycle.Rejected) != refused || refused && (later.Why.Code != reason.AlreadyActive || later.Why.Path != "concurrencyPolicy" ||
					later.Why.Detail != "The request earlier of the same concurrency key has not ended: it is "+string(test.state)+"." || !strings.HasPrefix(later.Why.Fix, "Send this one again under a new id when that one has ended")) {
					t.Errorf("%s: the later one is %s because of %+v", name, later.State, later.Why)
				}
				want := test.state
				if met && policy == message.Replace {
					want = test.replaced
				}
				replaced := want != test.state
				if after.State != want || replaced && (after.Why.Code != reason.Replaced || after.Why.Detail != "The request later of the same concurrency key took its place." || len(after.Cancels) != 1 || after.Cancels[0] != "m1") {
					t.Errorf("%s: the earlier one is %s because of %+v, want %s", name, after.State, after.Why, want)
				}
				if cancels, sends := b.ai.Calls()["cancel"], replaced && want == lifecycle.Cancelling && rec.Reservation.Job != ""; (cancels == 1) != sends || replaced && len(after.Unpublished()) > 0 {
					t.Errorf("%s: %d cancels, %d events are not published", name, cancels, len(after.Unpublished()))
				}
				wantLast := key
				if refused || policy == message.Allow {
					if wantLast = rec.Key; lost {
						wantLast = ""
					}
				}
				if got := b.lastOf("default", "nightly"); got != wantLast {
					t.Errorf("%s: the document names %q, want %q", name, got, wantLast)
				}
			}
		}
	}
}

// TestKeyWithoutItsRequest: a document whose request is gone, or that names the new one,
// keeps nobody back; that of the resource of the earlier one is made again if it was lost.
func TestKeyWithoutItsRequest(t *testing.T) {
	data, key := laterOf(message.Forbid)
	for name, last := range map[string]message.Key{"gone": "none", "itself": key, "nobody": ""} {
		b := newBench(t)
		b.old(0)
		b.last(last)
		b.handle(data)
		if rec := b.record(key); rec.State.Terminal() || b.lastOf("default", "nightly") != key {
			t.Errorf("%s: it is %s because of %v", name, rec.State, rec.Why)
		}
	}
	b := newBench(t)
	b.old(0)
	rec := recordIn(lifecycle.Waiting, "")
	b.rename(rec, nil, "earlier")
	rec.Resource, rec.Concurrency = regionOfTests+"/persistentResources/two", message.Concurrency{Key: "nightly", Policy: message.Forbid}
	rec.Run, rec.Attempt, rec.ActUntil, rec.Order = "", 0, time.Time{}, ledger.OrderKey(0, noon, rec.Key)
	put(t, b.mem, rec, nil)
	b.last(rec.Key)
	data, key = laterOf(message.Replace)
	b.handle(data)
	if b.state(rec.Key) != lifecycle.Cancelled || b.state(key).Terminal() || !strings.Contains(b.log.String(), `"resource_lost"`) {
		t.Errorf("the earlier one is %s, the later one %s; %s", b.state(rec.Key), b.state(key), &b.log)
	}
}

// TestSearchForAKey: where the document of a key is missing, the hundred latest requests of
// the resource that have not ended are searched, twenty at a time, and no more.
func TestSearchForAKey(t *testing.T) {
	for at, want := range map[int]struct {
		queries int
		found   bool
	}{0: {1, true}, 19: {1, true}, 20: {2, true}, 59: {3, true}, 99: {5, true}, 100: {5, false}, 129: {5, false}} {
		b := newBench(t)
		_, keys := b.records(lifecycle.Running, 130)
		for i, key := range keys {
			rec := b.record(key)
			rec.Times.Received = noon.Add(-time.Duration(i) * time.Second)
			put(t, b.mem, rec, nil)
		}
		list, err := b.mem.List(t.Context(), ledger.Filter{Resource: resourceOfTests, Statuses: []string{"RUNNING"}}, "", 130)
		if err != nil || len(list) != 130 {
			t.Fatal(len(list), err)
		}
		one := b.record(list[at].Key)
		one.Concurrency = message.Concurrency{Key: "nightly", Policy: message.Replace}
		put(t, b.mem, one, nil)
		draft := recordIn(lifecycle.None, "")
		draft.Concurrency = message.Concurrency{Key: "nightly", Policy: message.Forbid}
		before := b.mem.Stats().Queries
		got, err := b.c.searchEarlier(t.Context(), draft)
		if queries := b.mem.Stats().Queries - before; err != nil || (got == one.Key) != want.found || (got != "") != want.found || queries != want.queries {
			t.Errorf("it is the %dth: %q is found by %d queries, %v; want %+v", at+1, got, queries, err, want)
		}
		if draft.Key = one.Key; want.found {
			if got, err := b.c.searchEarlier(t.Context(), draft); got != "" || err != nil {
				t.Errorf("it is found as earlier than itself: %q, %v", got, err)
			}
		}
		b.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
		if _, err := b.c.searchEarlier(t.Context(), draft); !errors.Is(err, ledger.ErrInjected) || !strings.HasPrefix(err.Error(), "search for an earlier request of a concurrency key: ") {
			t.Errorf("without the ledger: %v", err)
		}
	}
}

// taken is a ledger in which another instance takes the key before each update that reads
// its document.
type taken struct {
	*ledger.Mem
	n     int
	times int
}

func (k *taken) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	if names := reads.Names(ledger.KindConcurrency); len(names) == 1 && k.n < k.times {
		k.n++
		err := k.Mem.Update(ctx, ledger.Concurrencies(names...), func(tx ledger.Tx) error {
			tx.Put(&ledger.Concurrency{Name: names[0], Tenant: "default", Key: "nightly", Last: message.Key(fmt.Sprint("gone", k.n))})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return k.Mem.Update(ctx, reads, closure, hints...)
}

// TestKeyThatIsTakenAgain: a request whose key others take at each of its reads is decided
// once they leave it alone, or is delivered again.
func TestKeyThatIsTakenAgain(t *testing.T) {
	data, key := laterOf(message.Forbid)
	for times, want := range map[int]bool{1: true, 6: true, 7: true, 8: false, 20: false} {
		b := newBench(t)
		b.old(0)
		l := &taken{Mem: b.mem, times: times}
		b.c.ledger, b.c.grouped = l, ledger.NewGroup(l)
		err := b.c.Handle(t.Context(), "default", message.Delivery{ID: "m1", PublishTime: noon, Data: []byte(data)})
		if (err == nil) != want || !want && (!errors.Is(err, ledger.ErrBusy) || !strings.Contains(err.Error(), "requests of one concurrency key: ")) {
			t.Errorf("taken %d times: %v after %d", times, err, l.n)
		}
		if rec := b.record(key); (rec != nil) != want {
			t.Errorf("taken %d times: %+v", times, rec)
		}
	}
}
