package controller

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/vertex"
)

// TestDefaults: what a deployment does that sets nothing. The state table's text, the
// README and the bounds of the settings go by these.
func TestDefaults(t *testing.T) {
	want := Config{
		Deployment: "default",
		Policy: admission.Policy{MaxAge: 2 * time.Minute, MaxHolds: ledger.MaxHolds, RefuseAfter: 24 * time.Hour,
			Plan: admission.PlanPolicy{Horizon: time.Hour, Margin: 5 * time.Minute, StartIn: 10 * time.Minute, StartTimeout: time.Hour, Patience: 24 * time.Hour}},
		Gang: 2, Estimates: true, Tick: time.Minute, Poll: 3 * time.Second, SubmitTimeout: time.Minute, Margin: 5 * time.Second,
		RetryAfter: 30 * time.Second, UnclearTimeout: 15 * time.Minute, MaxAttempts: 4, StartTimeout: time.Hour, MaxWait: 168 * time.Hour,
		RateBackoff: 20 * time.Second, Backoff: 15 * time.Second, MaxBackoff: time.Minute, DeclineTimeout: 24 * time.Hour,
		Submissions: 60, Polls: 300, Submitters: 8, SampleEvery: 10, Keep: 2400 * time.Hour, PublishGrace: 15 * time.Second,
	}
	if got := DefaultConfig(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("the defaults are\n%+v, want\n%+v", got, want)
	}
}

// TestPaceOfTheSettings: package pace goes by the settings of its controller.
func TestPaceOfTheSettings(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Submissions, cfg.Policy.MaxAge, cfg.Tick, cfg.RateBackoff, cfg.Poll, cfg.MaxBackoff = 1, 2, 3, 4, 5, 6
	if got, want := benchOf(t, cfg).c.pace, (pace.Rules{PerMinute: 1, Lifetime: 2, Precedence: 3, RefusalPause: 4, SilencePause: 5, MaxPause: 6}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A use is one function that goes by a setting: what it does by the default, and what
// with another value.
type use struct {
	set       func(*Config)
	run       func(*bench) any
	byDefault string
	bySetting string
}

// heldBy are uses whose tests have other values than the defaults, by those tests.
var heldBy = map[string]string{
	"New pace": "TestPaceOfTheSettings", "pace Submissions": "TestPaceOfTheSettings", "pace Tick": "TestPaceOfTheSettings", "pace Policy": "TestPaceOfTheSettings",
	"pace RateBackoff": "TestPaceOfTheSettings", "pace Poll": "TestPaceOfTheSettings", "pace MaxBackoff": "TestPaceOfTheSettings",
	"firstOf Tick": "TestFirstOf", "draft DiskType": "TestDraft", "limit Policy": "TestLimit", "limit DefaultTimeout": "TestLimit",
	"resolve DefaultResource": "TestResolve", "resolve Project": "TestResolve", "resolve Regions": "TestResolve", "jobOf Deployment": "TestJobOf",
	"unlearned Estimates": "TestOneReadServesAll", "estimate Estimates": "TestOneReadServesAll", "addEnded Estimates": "TestEndsThatTeach",
	"getMissing Polls": "TestMissingJobsAreAskedFor", "rest Polls": "TestRestOfRegions",
	"passRegions Regions": "TestPassOverManyResources", "passRegions Project": "TestPassOverManyResources",
	"whenWaiting Policy": "TestTimers", "whenReserved StartTimeout": "TestTimers", "whenSubmitting RetryAfter": "TestTimers",
	"whatSubmitting MaxAttempts": "TestTimers", "whenSubmitted StartTimeout": "TestTimers", "whenCancelling Tick": "TestTimers",
}

// uses are the others, by function and setting.
var uses = map[string]use{
	"putTombstones Keep": {func(c *Config) { c.Keep = 50 * time.Hour }, func(b *bench) any {
		b.handle(`{"cancel":{"requestId":"none"}}`)
		return b.record(message.KeyOf("default", message.KindRequest, "none")).ExpireAt.Sub(noon)
	}, "2400h0m0s", "50h0m0s"},
	"markPublished Keep": {func(c *Config) { c.Keep = 50 * time.Hour }, func(b *bench) any {
		rec := recordIn(lifecycle.Failed, "")
		rec.Append(message.Outcome{Type: message.Failed}, noon)
		put(b.T, b.mem, rec, nil)
		b.must(b.c.publish(b.Context(), rec))
		return b.record(rec.Key).ExpireAt.Sub(noon)
	}, "2400h0m0s", "50h0m0s"},
	"publishLateOf PublishGrace": {func(c *Config) { c.PublishGrace = 40 * time.Second }, func(b *bench) any {
		rec := recordIn(lifecycle.Waiting, "")
		rec.Append(message.Outcome{Type: message.Queued}, noon)
		put(b.T, b.mem, rec, nil)
		return b.first(time.Second, func(age time.Duration) bool {
			n, err := b.c.publishLateOf(b.Context(), noon.Add(age), &progress{}, rec.Key)
			b.must(err)
			return n > 0
		})
	}, "15s", "40s"},
	"New Polls": {func(c *Config) { c.Polls = 600 }, func(b *bench) any {
		return fmt.Sprintf("%d hints at once, %g a second; %d names at once, %.4f a second", b.c.hints.Burst(), float64(b.c.hints.Limit()), b.c.missing.share.Burst(), float64(b.c.missing.share.Limit()))
	}, fmt.Sprintf("30 hints at once, %g a second; 20 names at once, 0.1667 a second", 100./60), fmt.Sprintf("60 hints at once, %g a second; 40 names at once, 0.3333 a second", 200./60)},

	// Observations and how old they may be.
	"saveObservation Policy": {func(c *Config) { c.Policy.MaxAge = 5 * time.Minute }, func(b *bench) any {
		res, _ := b.records(lifecycle.Running, 0)
		res.HasParked, res.ObservedAt = true, noon.Add(-3*time.Minute)
		put(b.T, b.mem, nil, res)
		s, err := b.c.saveObservation(b.Context(), resourceOfTests, observation{res: vertex.Resource{State: res.State, CreateTime: res.CreateTime, Pools: res.Pools}, at: noon})
		b.must(err)
		return len(s.res.Recheck) // parked requests are decided again if the observation before was too old
	}, "1", "0"},
	"decide Policy": {func(c *Config) { c.Policy.MaxAge = time.Minute }, func(b *bench) any {
		b.old(90 * time.Second)
		b.handle(fmt.Sprintf(`{"requestId":"a",`+bareJob+`}`, ""))
		return b.ai.Calls()["resource"]
	}, "0", "1"},
	"quote Policy": {func(c *Config) { c.Policy.MaxAge = time.Minute }, func(b *bench) any {
		b.old(90 * time.Second)
		d, _ := decoded(b.T, fmt.Sprintf(`{"requestId":"a",`+bareJob+`}`, ""))
		_, err := b.c.Quote(b.Context(), "default", d)
		b.must(err)
		return b.ai.Calls()["resource"]
	}, "0", "1"},
	"refreshOnce Policy": {func(c *Config) { c.Policy.MaxAge = time.Minute }, func(b *bench) any {
		b.old(90 * time.Second)
		_, err := b.c.refreshOnce(b.Context(), resourceOfTests)
		b.must(err)
		return b.ai.Calls()["resource"]
	}, "0", "1"},
	"list Policy": {func(c *Config) { c.Policy.MaxAge = 5 * time.Minute }, func(b *bench) any {
		lists := map[string]listing{regionOfTests: {at: noon}}
		return b.first(time.Second, func(age time.Duration) bool {
			_, err := b.c.list(b.Context(), regionOfTests, func() time.Time { return noon.Add(age) }, lists, &progress{})
			b.must(err)
			return b.ai.Calls()["live"] > 0
		})
	}, "1m1s", "2m31s"},
	"candidates Policy": {func(c *Config) { c.Policy.MaxAge = time.Minute }, func(b *bench) any {
		b.old(90 * time.Second)
		b.queue("w")
		next, err := b.c.candidates(b.Context(), b.resource(), noon, nil)
		b.must(err)
		return len(next.keys)
	}, "1", "0"},
	"decide Policy in a queue": {func(c *Config) { c.Policy.MaxAge = time.Minute }, func(b *bench) any {
		b.old(90 * time.Second)
		key := b.queue("w")
		done, err := b.c.decideWaiting(b.Context(), b.resource(), candidateSet{keys: []message.Key{key}}, &progress{})
		b.must(err)
		return fmt.Sprint(len(done.moved), " ", b.state(key), " ", b.record(key).Sequence)
	}, "1 RESERVED 1", "0 WAITING 0"},
	"parkedOn Tick": {func(c *Config) { c.Tick = 2 * time.Minute }, func(b *bench) any {
		rec := recordIn(lifecycle.Waiting, "")
		rec.Parked, rec.Run, rec.Order = true, "", ledger.OrderKey(0, noon, rec.Key)
		put(b.T, b.mem, rec, &ledger.Resource{Name: resourceOfTests, State: ledger.Absent, HasParked: true, ObservedAt: noon})
		return b.first(15*time.Second, func(age time.Duration) bool { return b.c.parkedOn(b.Context(), b.resource(), noon.Add(age)) })
	}, "4m30s", "9m0s"},
	"passRegions Tick": {func(c *Config) {
		c.Tick = 2 * time.Minute
	}, func(b *bench) any {
		b.c.cfg.Project, b.c.cfg.Regions = "p", []string{"us-central1"}
		return b.first(time.Minute, func(age time.Duration) bool {
			b.c.env.Monotonic = func() time.Time { return noon.Add(age) }
			b.must(b.c.passRegions(b.Context(), func() time.Time { return noon }, nil, &progress{tasks: newTasks(true)}))
			return b.ai.Calls()["live"] > 1
		})
	}, "5m0s", "10m0s"},
	"findLost Deployment": {func(c *Config) { c.Deployment = "dep" }, func(b *bench) any {
		rec := recordIn(lifecycle.Running, "j")
		rec.Order = ledger.OrderKey(0, noon, rec.Key)
		put(b.T, b.mem, rec, nil)
		b.must(b.c.findLost(b.Context(), regionOfTests, listing{at: noon, jobs: []vertex.Job{{Name: "j", Request: rec.Key, Run: "r1", Deployment: "dep", PersistentResource: "pool"}}}, nil))
		return b.resource() != nil
	}, "false", "true"},

	// What is learned of run times.
	"saveObservation Estimates": {func(c *Config) { c.Estimates = false }, func(b *bench) any {
		l := &readLog{Mem: b.mem}
		b.c.ledger = l
		res := b.ended()
		_, err := b.c.saveObservation(b.Context(), resourceOfTests, observation{res: vertex.Resource{State: res.State, CreateTime: res.CreateTime, Pools: res.Pools}, at: noon})
		b.must(err)
		return strings.Contains(strings.Join(l.lines, "; "), "histories")
	}, "true", "false"},
	"learnRunTimes Estimates": {func(c *Config) { c.Estimates = false }, func(b *bench) any {
		res := b.ended()
		b.must(ledger.Read(b.Context(), b.mem, ledger.Resources(res.Name), func(tx ledger.Tx) { b.c.learnRunTimes(b.Context(), tx, res, nil) }))
		return len(res.Ended) // with nobody to learn them they would fill the document
	}, "1", "0"},

	// New requests.
	"draft MaxWait": {func(c *Config) { c.MaxWait = 5 * time.Hour }, func(b *bench) any {
		d, m := decoded(b.T, fmt.Sprintf(`{`+bareJob+`}`, ""))
		return b.c.draft(&rulebook{}, "red", d, m).MaxWait
	}, "168h0m0s", "5h0m0s"},
	"gang Gang": {func(c *Config) { c.Gang = 4 }, func(b *bench) any {
		of := func(n capacity.Replicas) bool {
			return b.c.gang(&ledger.Record{Ask: capacity.Ask{{Shape: small, Replicas: n}}})
		}
		return []bool{of(1), of(2), of(3), of(4)}
	}, "[false true true true]", "[false false false true]"},
	"warnOfLimit Policy": {func(c *Config) { c.Policy.Plan.NoBackfill = true }, func(b *bench) any {
		rec := &ledger.Record{UnsetTimeout: true}
		b.c.warnOfLimit(rec) // where none passes another, a limit lets nothing start earlier
		return len(rec.Warnings)
	}, "1", "0"},
	"policyOf Policy": {func(c *Config) { c.Policy.RefuseAfter, c.Policy.AllowRay = 7*time.Hour, true }, func(b *bench) any {
		p, err := b.c.PolicyOf(b.Context(), resourceOfTests)
		b.must(err)
		return fmt.Sprint(p.RefuseAfter, p.AllowRay)
	}, "24h0m0s false", "7h0m0s true"},
	"rulebook Tick": {func(c *Config) { c.Tick = 8 * time.Second }, func(b *bench) any {
		var most time.Duration
		b.c.env.Within = func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
			most = d
			return ctx, func() {}
		}
		_, err := b.c.rulebook(b.Context())
		b.must(err)
		before := b.mem.Stats().Reads
		again := b.first(time.Second, func(age time.Duration) bool {
			b.c.env.Monotonic = func() time.Time { return noon.Add(age) }
			_, err := b.c.rulebook(b.Context())
			b.must(err)
			return b.mem.Stats().Reads > before
		})
		return fmt.Sprintf("within %v, again after %v", most, again)
	}, "within 10s, again after 1m0s", "within 8s, again after 8s"},

	// Submissions.
	"rateLimited Submissions": {func(c *Config) { c.Submissions = 7 }, func(b *bench) any {
		n := 0
		_, err := fmt.Sscanf(b.c.rateLimited().Detail, "Its replicas are held. %d jobs a minute", &n)
		b.must(err)
		return n
	}, "60", "7"},
	"lease SubmitTimeout": {func(c *Config) { c.SubmitTimeout = 70 * time.Second }, func(b *bench) any {
		keys := b.reserved(1, func(*ledger.Resource, []message.Key) {})
		_, err := b.c.grantSlots(b.Context(), regionOfTests, []string{resourceOfTests}, true)
		b.must(err)
		return b.record(keys[0]).ActUntil.Sub(noon)
	}, "1m0s", "1m10s"},
	"grantSlots Tick": {func(c *Config) { c.Tick = 10 * time.Second }, func(b *bench) any {
		b.reserved(1, func(*ledger.Resource, []message.Key) {})
		b.pauseUntil(noon.Add(time.Hour))
		_, err := b.c.grantSlots(b.Context(), regionOfTests, []string{resourceOfTests}, false)
		b.must(err)
		return b.first(time.Second, func(d time.Duration) bool { return !b.c.slots.noneLeft(regionOfTests, noon.Add(d)) })
	}, "1m0s", "10s"},
	"leaseSlots Policy": {func(c *Config) { c.Policy.AllowRay = true }, func(b *bench) any {
		keys := b.reserved(1, func(res *ledger.Resource, _ []message.Key) { res.Ray = true })
		_, err := b.c.grantSlots(b.Context(), regionOfTests, []string{resourceOfTests}, true)
		b.must(err)
		return b.state(keys[0])
	}, "WAITING", "SUBMITTING"},
	"submit SubmitTimeout": {func(c *Config) { c.SubmitTimeout = 70 * time.Second }, (*bench).latestCreate, "54s", "1m4s"},
	"submit Margin":        {func(c *Config) { c.Margin = 20 * time.Second }, (*bench).latestCreate, "54s", "39s"},
	"search UnclearTimeout": {func(c *Config) { c.UnclearTimeout = 20 * time.Minute }, func(b *bench) any {
		var says string
		after := b.first(time.Minute, func(age time.Duration) bool {
			rec := b.one(lifecycle.Submitting, "", func(r *ledger.Record, _ *ledger.Resource) {
				r.ObserveOnly, r.UnclearUntil, r.ActUntil = true, noon.Add(-age), noon.Add(-age)
			})
			_, err := b.c.search(b.Context(), rec)
			b.must(err)
			if got := b.record(rec.Key); got.State != lifecycle.Submitting {
				says = got.Why.Detail[strings.LastIndex(got.Why.Detail, "for "):]
				return true
			}
			return false
		})
		return fmt.Sprint(after, ", none has been found ", says)
	}, "15m0s, none has been found for 15m0s.", "20m0s, none has been found for 20m0s."},
	"declined Backoff": {func(c *Config) { c.Backoff = 25 * time.Second }, func(b *bench) any {
		b.decline(as)
		return b.resource().NotBefore.Sub(noon)
	}, "15s", "25s"},
	"declined MaxBackoff": {func(c *Config) { c.MaxBackoff = 3 * time.Minute }, func(b *bench) any {
		rec := b.decline(func(_ *ledger.Record, res *ledger.Resource) { res.Declines, res.NotBefore = 20, noon })
		return fmt.Sprint("the resource ", b.resource().NotBefore.Sub(noon), ", the request ", rec.RetryAt.Sub(noon))
	}, "the resource 1m0s, the request 1m15s", "the resource 3m0s, the request 3m15s"},
	"declined Tick":           {func(c *Config) { c.Tick = 2 * time.Minute }, func(b *bench) any { return b.decline(as).RetryAt.Sub(noon) }, "1m15s", "1m30s"},
	"countDecline MaxBackoff": {func(c *Config) { c.MaxBackoff = 5 * time.Minute }, (*bench).countsAtMost, "2m0s", "10m0s"},
	"countDecline Tick":       {func(c *Config) { c.Tick = 3 * time.Minute }, (*bench).countsAtMost, "2m0s", "6m0s"},
	"countDecline DeclineTimeout": {func(c *Config) { c.DeclineTimeout = 10 * time.Hour }, func(b *bench) any {
		return b.first(30*time.Minute, func(d time.Duration) bool {
			rec := &ledger.Record{Declined: ledger.Declined{Times: 2, Last: noon, For: d}}
			return b.c.countDecline(noon, &ledger.Resource{SteadySince: noon.Add(-time.Hour)}, rec, &vertex.Error{Code: 9})
		})
	}, "24h0m0s", "10h0m0s"},
	"ownPause MaxBackoff": {func(c *Config) { c.MaxBackoff = 7 * time.Minute }, func(b *bench) any {
		usual := b.c.ownPause(ledger.Declined{Alone: 1})
		b.c.cfg.DeclineTimeout = time.Minute // no pause is below the longest of the others
		return fmt.Sprint(usual, " ", b.c.ownPause(ledger.Declined{Alone: 1}))
	}, "2m0s 1m0s", "14m0s 7m0s"},
	"ownPause DeclineTimeout": {func(c *Config) { c.DeclineTimeout = 12 * time.Hour }, func(b *bench) any { return b.c.ownPause(ledger.Declined{Alone: 20}) }, "1h0m0s", "30m0s"},

	// Timers.
	"latestEnd StartTimeout": {func(c *Config) { c.StartTimeout = 3 * time.Hour }, func(b *bench) any {
		return b.c.latestEnd(&ledger.Record{Timeout: time.Hour}, noon).Sub(noon)
	}, "2h0m0s", "4h0m0s"},
	"whatSubmitting SubmitTimeout": {func(c *Config) { c.SubmitTimeout = 70 * time.Second }, func(b *bench) any { return b.reclaimed(lifecycle.Submitting) }, "1m0s", "1m10s"},
	"whatCancelling SubmitTimeout": {func(c *Config) { c.SubmitTimeout = 70 * time.Second }, func(b *bench) any { return b.reclaimed(lifecycle.Cancelling) }, "1m0s", "1m10s"},
	"whatSubmitting Policy": {func(c *Config) { c.Policy.Plan.Paused = map[string]admission.Pause{"default": {}} }, func(b *bench) any {
		return whatSubmitting(b.c.cfg, b.one(lifecycle.Submitting, "", as), noon, nil).retry // whether another attempt may create a job
	}, "true", "false"},
	"whatReserved Policy": {func(c *Config) { c.Policy.AllowRay = true }, func(b *bench) any {
		rec := b.one(lifecycle.Reserved, "", func(_ *ledger.Record, res *ledger.Resource) { res.Ray = true })
		return len(whatReserved(b.c.cfg, rec, noon, b.resource()).moves)
	}, "1", "0"},
	"doDue Policy": {func(c *Config) { c.Policy.AllowRay = true }, func(b *bench) any {
		return b.timed(lifecycle.Reserved, func(_ *ledger.Record, res *ledger.Resource) { res.Ray = true }).State
	}, "WAITING", "RESERVED"},
	"whatSubmitted StartTimeout": {func(c *Config) { c.StartTimeout = 2 * time.Hour }, func(b *bench) any {
		rec := &ledger.Record{StartBy: noon}
		rec.State, rec.Reservation.Job, rec.Times.Submitted = lifecycle.Submitted, "j", noon.Add(-90*time.Minute)
		passed := whatSubmitted(b.c.cfg, rec, noon, nil).moves[0].move.Event() // it waits again, or has had its time
		rec.Times.Submitted = noon.Add(-9 * time.Hour)
		return fmt.Sprint(passed, ": ", whatSubmitted(b.c.cfg, rec, noon, nil).moves[0].why.Detail)
	}, string(lifecycle.Overdue) + ": Vertex AI has had the job for 1h0m0s and has not started it.", string(lifecycle.Requeued) + ": Vertex AI has had the job for 2h0m0s and has not started it."},
	"runTimer Tick": {func(c *Config) { c.Tick = 2 * time.Minute }, func(b *bench) any {
		unheld := b.timed(lifecycle.Reserved, func(_ *ledger.Record, res *ledger.Resource) { res.Holds = nil })
		b.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
		unseen := b.timed(lifecycle.Submitted, func(r *ledger.Record, _ *ledger.Resource) { r.Reservation.Job = regionOfTests + "/customJobs/1" })
		return fmt.Sprint(unheld.TimerAt.Sub(noon), " ", unseen.TimerAt.Sub(noon))
	}, "1m0s 1m0s", "2m0s 2m0s"},
	"doDue Tick": {func(c *Config) { c.Tick = 2 * time.Minute }, func(b *bench) any {
		early := b.timed(lifecycle.Cancelling, func(r *ledger.Record, _ *ledger.Resource) { r.ActUntil = noon.Add(5 * time.Minute) })
		b.withoutPolicy()
		unruled := b.timed(lifecycle.Submitting, as)
		return fmt.Sprint(early.TimerAt.Sub(noon), " ", unruled.TimerAt.Sub(noon))
	}, "1m0s 1m0s", "2m0s 2m0s"},

	// Passes.
	"reportLate Tick": {func(c *Config) { c.Tick = 2 * time.Minute }, func(b *bench) any {
		return b.first(time.Minute, func(age time.Duration) bool {
			b.c.reportLate(b.Context(), noon.Add(age), late{event: noon})
			return strings.Contains(b.log.String(), "outbox_late")
		})
	}, "5m0s", "10m0s"},
	"sample SampleEvery": {func(c *Config) { c.SampleEvery = 4 }, func(b *bench) any {
		res, keys := b.records(lifecycle.Running, 25)
		l := &namesLog{Mem: b.mem}
		b.c.ledger = l
		slices.Sort(keys)
		var from []string
		for slot := range 12 {
			if l.names = nil; b.c.sample(b.Context(), res, slot) != nil {
				b.Fatal("the sample fails")
			}
			if l.names != nil {
				from = append(from, fmt.Sprint(slot, ":", slices.Index(keys, message.Key(l.names[0])), "+", len(l.names)))
			}
		}
		b.c.cfg.SampleEvery, l.names = 0, nil
		return fmt.Sprint(from, b.c.sample(b.Context(), res, 0), l.names)
	}, "[0:0+10 10:10+10] <nil> []", "[0:0+10 4:10+10 8:20+5] <nil> []"},
	"rest Poll": {func(c *Config) { c.Poll = 8 * time.Second }, func(b *bench) any {
		next := map[string]time.Time{}
		few := b.c.rest(map[string]int{"a": 1}, next)
		return fmt.Sprint(few, " ", next["a"].Sub(noon), " ", b.c.rest(nil, next))
	}, "3s 3s 3s", "8s 8s 8s"},
	"Reconcile Poll": {func(c *Config) { c.Poll, c.Submitters = 10*time.Second, 1 }, func(b *bench) any {
		b.c.cfg.Submitters = 1
		now := noon
		b.c.env.Monotonic = func() time.Time { return now }
		b.c.env.Within = nil
		b.c.env.Sleep = func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil }
		res, _ := b.records(lifecycle.Running, 0)
		res.Pools = []capacity.Pool{poolOf(small, 1, 0, 0)}
		put(b.T, b.mem, nil, res)
		b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: res.CreateTime, Pools: res.Pools})
		b.ai.AddForeign(regionOfTests, "pool", capacity.Ask{{Shape: small, Replicas: 1}})
		b.queue("w") // it has to wait, so one pass follows the other while there is time
		report, err := b.c.Reconcile(b.Context(), "me", 65*time.Second)
		b.must(err)
		return report.Passes
	}, "21", "6"},
	"Reconcile Submitters": {func(c *Config) { c.Submitters = 1 }, func(b *bench) any {
		two := []string{resourceOfTests, "projects/p/locations/europe-west4/persistentResources/pool"}
		for _, name := range two {
			put(b.T, b.mem, nil, &ledger.Resource{Name: name, State: vertex.Running, CreateTime: noon, ObservedAt: noon.Add(-time.Hour)})
			b.ai.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: noon})
		}
		return b.together("resource", func() {
			_, err := b.c.Reconcile(b.Context(), "me", time.Second)
			b.must(err)
		})
	}, "2", "1"},
	"runAllTimers Submitters": {func(c *Config) { c.Submitters = 3 }, func(b *bench) any {
		_, keys := b.records(lifecycle.Cancelling, 20)
		for _, key := range keys {
			rec := b.record(key)
			rec.TimerAt = noon
			put(b.T, b.mem, rec, nil)
		}
		return b.together("cancel", func() {
			b.must(b.c.runAllTimers(b.Context(), keys, &progress{tasks: newTasks(true)}))
		})
	}, "8", "3"},
	"finishAll Submitters": {func(c *Config) { c.Submitters = 3 }, func(b *bench) any {
		_, keys := b.records(lifecycle.Submitting, 20)
		var recs []*ledger.Record
		for _, key := range keys {
			rec := b.record(key)
			rec.Reservation.Job, rec.Spec = "", `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
			put(b.T, b.mem, rec, nil)
			recs = append(recs, rec)
		}
		return b.together("create", func() { b.c.finishAll(b.Context(), recs, noon) })
	}, "8", "3"},
	"pass Poll": {func(c *Config) { c.Poll = 7 * time.Second }, func(b *bench) any {
		b.c.ledger = slowToList{b.mem, time.Hour}
		return b.took(func(ctx context.Context, parts *tasks) { b.c.pass(ctx, func() time.Time { return noon }, parts, nil) })
	}, "3s", "7s"},
	"passRegion Poll": {func(c *Config) { c.Poll = 7 * time.Second }, func(b *bench) any {
		res, _ := b.records(lifecycle.Running, 0)
		b.ai.Fault = func(op, _ string) vertex.Fault {
			if op == "resource" {
				time.Sleep(time.Hour) // virtual
			}
			return vertex.NoFault
		}
		return b.took(func(ctx context.Context, parts *tasks) {
			b.must(b.c.passRegion(ctx, regionOfTests, []*ledger.Resource{res}, map[string]bool{resourceOfTests: true}, func() time.Time { return noon }, &progress{tasks: parts}))
		})
	}, "3s", "7s"},
}

// TestSettingsAreRead: each function that goes by a setting does something else with
// another value of it.
func TestSettingsAreRead(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, cfg := uses[name], DefaultConfig()
				if got := fmt.Sprint(u.run(benchOf(t, cfg))); got != u.byDefault {
					t.Errorf("by the default: %s, want %s", got, u.byDefault)
				}
				if u.set(&cfg); u.byDefault == u.bySetting {
					t.Error("the setting makes no difference")
				}
				if got := fmt.Sprint(u.run(benchOf(t, cfg))); got != u.bySetting {
					t.Errorf("by the setting: %s, want %s", got, u.bySetting)
				}
			})
		})
	}
}

// TestEveryUseOfASettingIsTested: a function that reads a setting for the first time needs
// a test with another value than the default, or nobody notices when it no longer reads it.
func TestEveryUseOfASettingIsTested(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read, tests := map[string]bool{}, map[string]bool{}
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if strings.HasSuffix(path, "_test.go") {
				tests[fn.Name.Name] = true
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && ofConfig(s.X, path) {
					read[fn.Name.Name+" "+s.Sel.Name] = true
				}
				return true
			})
		}
	}
	if len(read) < 60 {
		t.Errorf("%d uses of settings were found: the test looks for other names than the code has", len(read))
	}
	for name := range read {
		_, tested := uses[name]
		if by, held := heldBy[name]; !tested && !(held && tests[by]) {
			t.Errorf("%s is in no test with another value than the default", name)
		}
	}
	for name := range heldBy {
		if !read[name] {
			t.Errorf("%s is read no more", name)
		}
	}
	for name := range uses {
		if !read[strings.TrimSuffix(name, " in a queue")] {
			t.Errorf("%s is read no more", name)
		}
	}
}

// ofConfig reports whether an expression is the settings, by its name.
func ofConfig(x ast.Expr, path string) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "cfg" || x.Name == "c" && path == "config.go"
	case *ast.SelectorExpr:
		return x.Sel.Name == "cfg"
	}
	return false
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// handle takes in a message that names no resource.
func (b *bench) handle(data string) {
	b.Helper()
	b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1"}, "pool"
	b.must(b.c.Handle(b.Context(), "default", message.Delivery{ID: "m1", PublishTime: noon, Data: []byte(data)}))
}

// first is the first of the multiples of a step at which something is so.
func (b *bench) first(step time.Duration, is func(time.Duration) bool) time.Duration {
	b.Helper()
	for d := time.Duration(0); d < 1000*step; d += step {
		if is(d) {
			return d
		}
	}
	b.Fatal("it never is")
	return 0
}

// old writes a resource that was observed a while ago and is as it was.
func (b *bench) old(age time.Duration) {
	b.Helper()
	b.c.cfg.Project, b.c.cfg.Regions, b.c.cfg.DefaultResource = "p", []string{"us-central1"}, "pool"
	res, _ := b.records(lifecycle.Running, 0)
	res.ObservedAt = noon.Add(-age)
	put(b.T, b.mem, nil, res)
	b.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: res.CreateTime, Pools: res.Pools})
}

// ended writes a resource of which a job has ended a day ago.
func (b *bench) ended() *ledger.Resource {
	b.Helper()
	res, _ := b.records(lifecycle.Running, 0)
	res.Ended = []ledger.Ended{{Tenant: "default", At: noon.Add(-24 * time.Hour), End: estimate.End{Job: estimate.Job{Limit: time.Hour, Replicas: 1}, Ran: time.Minute}}}
	put(b.T, b.mem, nil, res)
	return res
}

// pauseUntil pauses the submissions of the region.
func (b *bench) pauseUntil(at time.Time) {
	b.Helper()
	b.must(b.mem.Update(b.Context(), ledger.Budgets(regionOfTests), func(tx ledger.Tx) error {
		budget := budgetFor(tx, resourceOfTests)
		budget.Backoff = pace.Backoff{NotBefore: at, Refusals: 1}
		tx.Put(budget)
		return nil
	}))
}

// withoutPolicy makes the policy one that cannot be read.
func (b *bench) withoutPolicy() {
	b.Helper()
	b.must(b.mem.Update(b.Context(), ledger.Policies(ledger.CurrentPolicy), func(tx ledger.Tx) error {
		tx.Put(&ledger.Policy{Name: ledger.CurrentPolicy, Version: 1, Text: "{"})
		return nil
	}))
	b.c.policies.set(nil)
}

// latestCreate is how long after the update that leased it an attempt still creates a job.
func (b *bench) latestCreate() any {
	return b.first(time.Second, func(after time.Duration) bool {
		rec := b.one(lifecycle.Submitting, "", func(r *ledger.Record, _ *ledger.Resource) {
			r.Spec = `{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1"}]}}`
		})
		before := b.ai.Calls()["create"]
		_, _ = b.c.submit(b.Context(), rec, noon.Add(-after))
		return b.ai.Calls()["create"] == before
	}) - time.Second
}

// decline has Vertex AI refuse a request for now, while another waits for the same machines.
func (b *bench) decline(change func(*ledger.Record, *ledger.Resource)) *ledger.Record {
	b.Helper()
	rec := b.one(lifecycle.Submitting, "", change)
	b.queue("behind")
	_, err := b.c.declined(b.Context(), rec, lifecycle.Transient, &vertex.Error{Op: "create", Code: 9, Kind: vertex.Transient})
	b.must(err)
	return b.record(rec.Key)
}

// countsAtMost is how much one refusal counts at most.
func (b *bench) countsAtMost() any {
	rec := &ledger.Record{Declined: ledger.Declined{Times: 1, Last: noon.Add(-9 * time.Hour)}}
	b.c.countDecline(noon, &ledger.Resource{SteadySince: noon.Add(-24 * time.Hour)}, rec, &vertex.Error{Code: 9})
	return rec.Declined.For
}

// reclaimed is how long the attempt may act that the timer of a state begins.
func (b *bench) reclaimed(s lifecycle.State) time.Duration {
	b.Helper()
	rec := b.one(s, "", as)
	next, _, _ := lifecycle.Next(rec.Reservation, timers[s].what(b.c.cfg, rec, noon, b.resource()).moves[0].move)
	return next.ActUntil.Sub(noon)
}

// timed runs the timer of a record in a state.
func (b *bench) timed(s lifecycle.State, change func(*ledger.Record, *ledger.Resource)) *ledger.Record {
	b.Helper()
	rec := b.one(s, "", change)
	b.must(b.c.runTimer(b.Context(), rec.Key, &progress{tasks: newTasks(true)}))
	return b.record(rec.Key)
}

// together is how many calls of a kind are made at one time at most. Each takes a second.
func (b *bench) together(kind string, do func()) int {
	var mu sync.Mutex
	now, most := 0, 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most = max(most, now)
	}
	b.ai.Fault = func(op, _ string) vertex.Fault {
		if op == kind {
			count(1)
			time.Sleep(time.Second) // virtual
			count(-1)
		}
		return vertex.NoFault
	}
	do()
	return most
}

// took is how long something takes whose parts run side by side, without the end of those.
func (b *bench) took(do func(context.Context, *tasks)) time.Duration {
	parts, start := newTasks(false), time.Now()
	do(b.Context(), parts)
	took := time.Since(start)
	parts.all.Wait()
	return took
}

// namesLog notes the records that updates read.
type namesLog struct {
	*ledger.Mem
	names []string
}

func (l *namesLog) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	l.names = append(l.names, reads.Names(ledger.KindRecord)...)
	return l.Mem.Update(ctx, reads, closure, hints...)
}
