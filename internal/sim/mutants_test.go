package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"example.com/berth/internal/invariant"
)

// A mutant is a bug put into the source on purpose. The quick tests must catch
// it. One that passes them is a promise without a test.
type mutant struct {
	name     string
	file     string // from the module's root
	old, new string
	run      string         // tests of which at least one must fail
	rule     invariant.Rule // the invariant that must report it; "" for a test of its own
}

var mutants = []mutant{
	{"takes without room", "internal/admission/admission.go", "case fit.Verdict == capacity.Fits:\n\t\treturn nil", "case fit.Verdict != capacity.Never:\n\t\treturn nil", "TestExplore", invariant.OverCommit},
	{"forgets foreign use", "internal/ledger/resource.go", "for _, f := range r.Foreign {", "for _, f := range r.Foreign[:0] {", "TestRaceForeignJob", ""},
	{"keeps the hold of what has ended", "internal/controller/move.go", "case lifecycle.Give:\n\t\tres.Release(rec.Key)", "case lifecycle.Give:\n\t\tres.Version++", "TestExplore", invariant.HoldMatches},
	{"releases while submitting", "internal/lifecycle/table.go", "{Submitting, CancelAsked, \"\", Cancelling, Keep, \"cancelling\"}", "{Submitting, CancelAsked, \"\", Cancelled, Give, \"cancelled\"}", "TestExplore|TestRaceCancel", ""},
	{"creates before it searches", "internal/controller/submit.go", "if !rec.UnclearUntil.IsZero() || rec.ObserveOnly {", "if rec.ObserveOnly {", "TestRaceEndedBeforeItWasFound", ""},
	{"takes a second attempt's refusal for the run's", "internal/lifecycle/guard.go", "if !r.UnclearUntil.IsZero() {\n\t\treturn CaseUnclear\n\t}", "", "TestRaceRefusedAfterUnclear", ""},
	{"believes any attempt's refusal", "internal/lifecycle/guard.go", "return r.Job != \"\" || m.attempt != r.Attempt || !r.Open", "return r.Job != \"\"", "TestExplore|TestLateAnswers", ""},
	{"leaves an orphan job running", "internal/controller/submit.go", "if err := c.vertex.Cancel(ctx, job.Name); err != nil {", "if err := error(nil); err != nil {", "TestRaceLateAnswer", ""},
	{"sweeps no orphan jobs", "internal/controller/learn.go", "range slices.Chunk(orphans, perUpdate) {", "range slices.Chunk(orphans[:0], perUpdate) {", "TestRaceSweepMeetsTwoJobs", ""},
	{"records the younger job", "internal/controller/classify.go", "if olderThan(other, first) {", "if olderThan(first, other) {", "TestRaceSweepMeetsTwoJobs", ""},
	{"takes any job of a run as its own", "internal/controller/classify.go", "case present && h.Job == job.Name:", "case present:", "TestRaceOrphanOutlives", ""},
	{"acts after its lease", "internal/controller/submit.go", "left := end.Sub(c.env.Monotonic())", "left := end.Sub(started)", "TestRacePausedInstance", ""},
	{"uses its own clock", "internal/controller/place.go", "lifecycle.Lease(rec.Run, tx.Now().Add(", "lifecycle.Lease(rec.Run, c.env.Monotonic().Add(", "TestRaceClock", ""},
	{"ends twice", "internal/controller/move.go", "case lifecycle.AlreadySo:\n\t\treturn effect", "case lifecycle.AlreadySo:\n\t\tif rec.State == lifecycle.Succeeded {\n\t\t\trec.State = lifecycle.Failed\n\t\t\ttx.PutRecord(rec)\n\t\t}\n\t\treturn effect", "TestExplore|TestStorm", invariant.TerminalStay},
	{"skips a sequence number", "internal/ledger/record.go", "r.Sequence++\n\to.Sequence", "r.Sequence += 1 + int64(len(r.Outbox)%2)\n\to.Sequence", "TestExplore", invariant.EventPath},
	{"marks before it publishes", "internal/controller/publish.go", "if err := c.out.publish(ctx, unpublished[0].Tenant, events); err != nil {", "if err := c.out.publish(ctx, unpublished[0].Tenant, events); err != nil && len(events) > 9 {", "TestExplore", invariant.EventKept},
	{"forgets to publish after a crash", "internal/controller/pass.go", "return c.publishLate(ctx, clock(), p) })", "return nil })", "TestExplore", invariant.NothingLeft},
	{"does not leave the queue", "internal/controller/move.go", "if left && !joined {\n\t\tres.Leave(rec)\n\t}", "if left && !joined {\n\t\tres.Version++\n\t}", "TestExplore", ""},
	{"keeps no exact heads", "internal/ledger/resource.go", "if i < len(queue.Heads) || len(queue.Heads) == queue.Count {", "if i < len(queue.Heads) || len(queue.Heads) == 0 {", "TestExplore|TestStorm", invariant.QueueMatches},
	{"schedules nothing", "internal/controller/schedule.go", "next, err := c.candidates(ctx, seen)", "next, err := candidateSet{}, error(nil)", "TestExplore", invariant.NoStarvation},
	{"sets no timer", "internal/controller/move.go", "rec.TimerAt = c.nextTimer(rec, now)", "rec.TimerAt = rec.TimerAt", "TestExplore", invariant.TimerIsSet},
	{"answers a lost commit as done", "internal/controller/handle.go", "case err != nil:\n\t\treturn fmt.Errorf(\"decide message %s: %w\", d.ID, err)", "case err != nil:\n\t\treturn nil", "TestRaceCommitLanded|TestExplore", ""},
	{"commits on what has changed", "internal/ledger/mem.go", "stale = stale || m.slots[ref].commit != s.commit", "stale = stale || m.slots[ref].commit > s.commit+99", "TestExplore|TestRace", ""},
	{"no token after a lost answer", "internal/ledger/mem.go", "if m.slots[ref].commit == number {", "if m.slots[ref].commit == number+1 {", "TestRaceCommitLanded", ""},
	{"lets a live request expire", "internal/ledger/record.go", "if done && len(r.Unpublished()) == 0", "if (done || true) && len(r.Unpublished()) == 0", "TestRaceIDReused", ""},
	{"forgets the id too soon", "internal/controller/config.go", "100 * 24 * time.Hour,", "30 * 24 * time.Hour,", "TestRaceIDReused", ""},
	{"tenants share ids", "internal/message/message.go", "for _, part := range []string{tenant, string(kind), id} {", "for _, part := range []string{string(kind), id} {", "TestRaceOneIDTwoTenants", ""},
	{"no tombstone", "internal/controller/cancel.go", "\t\ttx.PutRecord(t)\n", "", "TestRaceCancelBeforeRequest", ""},
	{"a tombstone of one kind", "internal/controller/cancel.go", "for _, kind := range kinds {\n\t\tt :=", "for _, kind := range kinds[:1] {\n\t\tt :=", "TestRaceCancelByAnyID", ""},
	{"a cancel under an ended request's id ends another", "internal/controller/cancel.go", "if rec == nil && r != nil && !r.Tombstone() {", "if r != nil && !r.Tombstone() {", "TestCancelOfOneID", ""},
	{"a refused message speaks for the request", "internal/controller/answer.go", "key := message.KeyOf(tenant, message.KindAnswer, d.ID)", "key := message.KeyOf(tenant, message.KindRequest, o.ClaimedRequestID)", "TestRaceRefusalUnderRunningID", ""},
	{"a cancel under way is not sent", "internal/controller/submit.go", "c.sendCancel(ctx, after) // a cancel came", "_ = after // a cancel came", "TestRaceCancelDuringCreate", ""},
	{"takes an error for an end", "internal/controller/learn.go", "case vertex.KindOf(err) == vertex.NotFound && err != nil:", "case err != nil && job.Name == \"\":", "TestExplore", invariant.OneJob},
	{"holds vanish with their resource", "internal/controller/observe.go", "res.State, res.SteadySince = ledger.Absent, time.Time{}", "res.State, res.SteadySince, res.Holds = ledger.Absent, time.Time{}, nil", "TestRaceResourceMadeAnew", ""},
	{"does not report that the resource is gone", "internal/controller/observe.go", "res.Notice = &ledger.Notice{} // from", "res.Notice = nil // from", "TestRaceResourceMadeAnew", ""},
	{"admits where it is not running", "internal/admission/admission.go", "case s.State != running:", "case s.State == \"ERROR\":", "TestStorm|TestRace", ""},
	{"passes the queue", "internal/admission/admission.go", "case s.Ahead > 0:", "case s.Ahead > 99:", "TestExplore|TestRaceCancelledWaiter", ""},
	{"a parked request passes the queue", "internal/ledger/resource.go", "if !known && queue.beyond(i) {\n\t\t\ti = queue.Count\n\t\t\tif slices.Contains(in, s.String()) {", "if !known && i == len(queue.Heads) {\n\t\t\ti = queue.Count\n\t\t\tif len(in) > 0 || rec.Parked {", "TestParkedDoesNotPass", invariant.QueueOrder},
	{"takes a parked request for a queued one", "internal/ledger/resource.go", "if slices.Contains(in, s.String()) {", "if len(in) > 0 || rec.Parked {", "TestQueuesAgainstAModel", ""},
	{"counts down a queue for a request outside it", "internal/ledger/resource.go", "case !queue.beyond(i):\n\t\t\tcontinue", "", "TestQueuesThatWereLost", ""},
	{"stamps an observation newer than its list", "internal/controller/pass.go", "c.observeWith(ctx, name, l.at, l.jobs)", "c.observeWith(ctx, name, clock(), l.jobs)", "TestObservation", ""},
	{"continues with an old list", "internal/controller/observe.go", "now.Sub(l.at) <= c.cfg.Policy.MaxAge/2", "true", "TestObservationIsAsOld", ""},
	{"writes an older observation over a newer one", "internal/controller/classify.go", "if v.at.Before(res.ObservedAt) {", "if false {", "TestOlderObservation", ""},
	{"learns from an observation that is not written", "internal/controller/pass.go", "if !s.older {", "if true {", "TestOlderObservation", ""},
	{"refuses on an observation from before the request", "internal/controller/refresh.go", "!l.unknown || !l.began.Before(arrived)", "true || !l.began.Before(arrived)", "TestObservationIsNewer", ""},
	{"takes any label for a key", "internal/vertex/labels.go", "message.ParseKey(labels[LabelRequest])", "message.Key(labels[LabelRequest]), true", "TestHostileLabels", ""},
	{"names any document", "internal/ledger/name.go", "if why := unfit(ref.Name, ref.Kind != KindRecord); why != \"\" {", "if why := unfit(ref.Name, ref.Kind != KindRecord); ref.Name == \"\" {", "TestMem", ""},
	{"takes a job with a copied label", "internal/controller/submit.go", "j.Request == rec.Key && j.PersistentResource", "j.PersistentResource", "TestCopiedRun", ""},
	{"takes a job of another resource", "internal/controller/submit.go", " && j.PersistentResource == vertex.NameOf(rec.Resource).ID()", "", "TestHintOfACopied", ""},
	{"always classifies the same jobs", "internal/controller/classify.go", "draw.Shuffle(len(all)", "draw.Shuffle(0", "TestForgedLabels", ""},
	{"cancels what its reservation names", "internal/controller/classify.go", "case named == job.Name && rec.State.Holds():", "case false:", "TestDamagedHolds", ""},
	{"cancels orphan jobs without a check", "internal/controller/learn.go", "if !isOrphan(recs[job.Request], job) {", "if false {", "TestRaceOrphanIsRecorded", ""},
	{"releases the hold of another run", "internal/controller/learn.go", "if rec != nil && rec.State.Holds() {\n\t\t\tkept", "if rec != nil && rec.State.Holds() && res.Holding(rec) {\n\t\t\tkept", "TestOtherRun", ""},
	{"creates without a hold", "internal/controller/runtimer.go", "if unheld = creates && res != nil && !res.Holding(rec); unheld {", "if unheld = creates && res != nil && !res.Holding(rec); false {", "TestNoCreateWithoutHold", ""},
	{"rebuilds a lost document without its holds", "internal/controller/refresh.go", "if _, err := c.rebuild(ctx, name); err != nil {", "if err := error(nil); err != nil {", "TestDamagedHolds|TestLostDocument", ""},
	{"forgets a job that is live again", "internal/controller/classify.go", "if at.After(rec.Times.Ended) {", "if false {", "TestRaceEndedJobIsLive", ""},
	{"starts beside an earlier run", "internal/controller/place.go", "left && d.Verdict == admission.Admit {", "left && d.Verdict == \"\" {", "TestRestoredRecord", ""},
	{"ignores parked requests", "internal/controller/parked.go", "if !res.HasParked || now.Sub", "if true || now.Sub", "TestParkedOnADeleted", ""},
	{"leaves parked requests when pools change", "internal/controller/observe.go", "if slices.Equal(old[shape], room) {", "if slices.Equal(old[shape], room) || true {", "TestParkedRequestsFollow", ""},
	{"runs timers first come, first served", "internal/controller/due.go", "if len(first) < duePerPass {", "if true {", "TestDueTimers", ""},
	{"takes an unreadable waiting request for a queued one", "internal/controller/schedule.go", "res.Skip(key)\n", "_ = res\n", "TestUnreadableWaiter", ""},
	{"cancels the job of an unreadable request", "internal/controller/classify.go", "if s.ours[job.Request].Name == \"\" && present {", "s.orphans = append(s.orphans, job)\n\t\tif false {", "TestUnreadableRecord", ""},
	{"writes what it learned in one commit", "internal/controller/learn.go", "if bytes >= commitBytes {", "if false {", "TestLargestJobs", ""},
	{"observes every name", "internal/controller/missing.go", "if !r.OK() || r.DelayFrom(now) > 0 {", "if !r.OK() {", "TestMadeUpNames", ""},
	{"accepts a job for an ended run", "internal/lifecycle/guard.go", "r.State != None && m.run != r.Run:", "r.State == Submitted && m.run != r.Run:", "TestLateAnswers|TestBackInQueue|TestExplore", ""},
	{"submits without a slot", "internal/controller/place.go", "if res.Allowance.Take(tx.Now()) {\n\t\t\tc.move(ctx, tx, res, rec, admitted", "if res.Allowance.Take(tx.Now()) || true {\n\t\t\tc.move(ctx, tx, res, rec, admitted", "TestSlots", ""},
	{"counts no submission", "internal/pace/round.go", "b.spend(r.now, r.spent)", "b.spend(r.now, 0)", "TestSlots", ""},
	{"grants past waiting requests", "internal/pace/pace.go", "!b.YieldsTo(now, lastOrder, r.Precedence)", "true", "TestSlotsNotKeptBack", ""},
	{"grants the whole budget", "internal/pace/pace.go", "r.PerMinute/2 - b.granted(now)", "r.PerMinute", "TestAllowancesForAll", ""},
	{"a refusal slows no submission", "internal/pace/budget.go", "b.pause(now, r.RefusalPause, r.MaxPause)", "", "TestRateRefusal", ""},
	{"leaves allowances granted in a pause", "internal/controller/decline.go", "\tc.revoke(ctx, granted)\n\tc.log.InfoContext(ctx, \"declined\"", "\t_ = granted\n\tc.log.InfoContext(ctx, \"declined\"", "TestRateRefusalRevokes", ""},
	{"counts no reclaimed lease", "internal/pace/round.go", "b.spend(now, 1)\n\treturn Retry{}", "return Retry{}", "TestReclaimsCount", ""},
	{"reclaims in a pause", "internal/pace/round.go", "case b.Paused(now):", "case false:", "TestReclaimsCount", ""},
	{"keeps a hold pending after its lease", "internal/controller/move.go", "res.SetPending(rec.Key, pending, ", "res.SetPending(rec.Key, true, ", "TestExplore", invariant.HoldMatches},
	{"reads requests that cannot start", "internal/controller/schedule.go", "if free -= h.Need; free < 0 {", "if free -= h.Need; free < -99 {", "TestPassReads", ""},
	{"takes a denial for the job's fault", "internal/controller/submit.go", "return c.declined(ctx, rec, lifecycle.Denied, e)", "return c.declined(ctx, rec, lifecycle.Permanent, e)", "TestDenied", ""},
	{"a denial without an alarm", "internal/controller/decline.go", "\tif news {\n\t\tc.log.ErrorContext(ctx, \"Vertex AI does not let", "\tif news && e == nil {\n\t\tc.log.ErrorContext(ctx, \"Vertex AI does not let", "TestDenied", ""},
	{"keeps an allowance in a pause", "internal/pace/pace.go", "quiet = quiet && !b.Paused(now) && b.Refusals == 0 &&", "quiet = quiet &&", "TestAllow", ""},
	{"doubles a pause past its bound", "internal/pace/backoff.go", "if first > most/2 {", "if false {", "TestDoubleDoesNotOverflow", ""},
	{"forgets that another waits first", "internal/pace/round.go", "if r.first == \"\" || order < r.first {", "if r.first == \"\" {", "TestRound", ""},
	{"tries all at once after a pause", "internal/pace/budget.go", "perMinute = min(1, perMinute)", "perMinute = min(60, perMinute)", "TestDenied", ""},
	{"tries the same one again and again", "internal/pace/round.go", "a.DeniedAt.Compare(b.DeniedAt), ", "", "TestDeniedForOneJob", ""},
	{"fails what Vertex AI does not answer", "internal/lifecycle/table.go", "{Submitting, GivenUp, \"\", Waiting, Give, \"queued\"}", "{Submitting, GivenUp, \"\", Failed, Give, \"failed\"}", "TestLateJobOfGivenUpRun", ""},
	{"retries without end", "internal/controller/submit.go", "rec.Rounds >= maxRounds", "rec.Rounds < 0", "TestNeverAnsweredRuns", ""},
	{"an outage uses up the attempts", "internal/controller/runtimer.go", "rec.Excused++", "_ = rec.Excused", "TestOutages", ""},
	{"one wrong answer ends a job", "internal/controller/learn.go", "if job.Name == rec.Reservation.Job {\n\t\t\treturn job, nil", "if job.Name == \"\" {\n\t\t\treturn job, nil", "TestOutages", ""},
	{"asks for a list again and again", "internal/controller/observe.go", "return l, l.err", "if l.err == nil {\n\t\t\treturn l, nil\n\t\t}", "TestHangDelays", ""},
	{"an error ends the polling", "internal/controller/reconcile.go", "if p.Waiting+p.Pending == 0 && !p.more && !under ||", "if t.join() != nil || p.Waiting+p.Pending == 0 && !p.more && !under ||", "TestHangDelays|TestOutages", ""},
	{"cancels a job that it could not observe", "internal/controller/runtimer.go", "case unseenErr != nil:", "case unseenErr != nil && rec.Key == \"\":", "TestUnseenJobIsNotOverdue", ""},
	{"commits what has failed", "internal/ledger/group.go", "failed = m\n\t\t\t\t\treturn errAgain", "failed = m", "TestGroupPoison", ""},
	{"leaves behind requests that came while it lost", "internal/ledger/group.go", "late := more()", "late := more()[:0]", "TestGroupWhileConflicted", ""},
	{"submits what Vertex AI fills in", "internal/controller/submit.go", "\tmessage.SetDisks(job, rec.Ask)\n", "", "TestDiskTypeNotSet", ""},
	{"assumes one disk type", "internal/controller/draft.go", "message.AskOf(r.Job, c.cfg.DiskType)", "message.AskOf(r.Job, \"\")", "TestDiskTypeNotSet", ""},
	{"takes a Ray cluster for plain pools", "internal/controller/observe.go", "v.res.CustomAccount, v.res.Ray", "v.res.CustomAccount, false", "TestAccountAndRay", ""},
	{"never gives up a refused request", "internal/controller/decline.go", "return r.For >= c.cfg.DeclineTimeout", "return false", "TestRefusedWithoutEnd", ""},
	{"an outage counts against a request", "internal/controller/decline.go", "!res.SteadySince.After(r.Last)", "true", "TestRefusedForACause", ""},
	{"waiting counts as being refused", "internal/controller/decline.go", "r.For += min(now.Sub(r.Last), c.ownPause(*r)+2*max(c.cfg.MaxBackoff, c.cfg.Tick))", "r.For += now.Sub(r.Last)", "TestRefusedForACause", ""},
	{"tries what is refused as often as ever", "internal/controller/decline.go", "r.Alone > 0 || res.AcceptedAt.After(r.Last)", "r.Alone > 0", "TestRefusedWhileOthers|TestRefusedAndParked", ""},
	{"lets a refused request head the queue", "internal/controller/decline.go", "if pause == 0 && othersWait(res, rec) {", "if pause == 0 && false {", "TestRefusedWhileOthers", ""},
	{"asks again after an observation has just failed", "internal/controller/missing.go", "now.Sub(f.at) < failedFor {", "now.Sub(f.at) < 0 {", "TestRequestsDoNotWait", ""},
	{"searches for no lost document", "internal/controller/pass.go", "if regions[parent] == nil && c.searches", "if regions[parent] != nil && c.searches", "TestLostDocumentIsFound", ""},
	{"a shortage counts against a request", "internal/vertex/vertex.go", "return e.Code == 5 || e.Code == 9", "return true", "TestRefusedForACause", ""},
	{"one tenant takes all batches", "internal/batch/batch.go", "q.order = append(q.order[1:], tenant)", "", "TestTenantsShareBatches", ""},
}

// TestMutants puts each mutant into the source, by an overlay, and runs the
// quick tests. It takes minutes of compiling, so it runs where it is asked for.
func TestMutants(t *testing.T) {
	if os.Getenv("BERTH_MUTANTS") == "" {
		t.Skip("set BERTH_MUTANTS=1 to run the seeded bugs")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	proved := map[invariant.Rule]bool{}
	t.Cleanup(func() { // after the last of them
		for _, r := range invariant.Rules {
			if !proved[r] {
				t.Errorf("no mutant proves that %s can fail", r)
			}
		}
	})
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(root, m.file)
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("the source has %d places like %q, want 1: bring the mutant up to date", n, m.old)
			}
			dir := t.TempDir()
			bad := filepath.Join(dir, "mutant.go")
			if err := os.WriteFile(bad, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: bad}})
			if err != nil {
				t.Fatal(err)
			}
			list := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(list, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", "test", "-vet=off", "-failfast", "-count=1", "-timeout=120s", "-overlay", list, "-run", m.run,
				"./internal/sim", "./internal/lifecycle", "./internal/ledger/...", "./internal/pace", "./internal/batch", "./internal/repair")
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			text := string(out)
			switch {
			case strings.Contains(text, "[build failed]"):
				t.Fatalf("the mutant does not compile:\n%s", text)
			case err == nil:
				t.Errorf("not caught: %s passed", m.run)
			case m.rule != "" && !strings.Contains(text, string(m.rule)+":"):
				t.Errorf("it was caught, but not by %s:\n%s", m.rule, text[:min(len(text), 2000)])
			case m.rule != "":
				mu.Lock()
				proved[m.rule] = true
				mu.Unlock()
			}
		})
	}
}
