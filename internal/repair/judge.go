package repair

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// Names of the checks; a check of a promise has the promise's name.
const (
	CheckLedger = "ledger"
	// CheckUnreadable names documents that this release cannot read.
	CheckUnreadable = "unreadable"

	CheckJobs         = "jobs"
	CheckTick         = "tick"
	CheckObservations = "observations"
	CheckDue          = "due"
	CheckOutbox       = "outbox events"
	CheckUse          = "use"
	CheckClock        = "clock"
	CheckPauses       = "pauses"
	CheckPolicy       = "policy" // the policy in force can be read
)

// A judge turns a picture into findings.
type judge struct {
	Picture
	Settings
	records map[message.Key]*ledger.Record
	found   []Finding
}

// Judge reports what a picture shows, at least one finding per check.
func Judge(p Picture, s Settings) []Finding {
	j := &judge{Picture: p, Settings: s, records: map[message.Key]*ledger.Record{}}
	for _, r := range p.Records {
		j.records[r.Key] = r
	}
	j.check(CheckUnreadable, "every document can be read", j.unreadable)
	j.check(CheckLedger, fmt.Sprintf("%s and %s were read", reason.Count(len(p.Resources), "persistent resource"), reason.Count(len(p.Records), "record")), j.unknown)
	j.promises()
	j.check(CheckJobs, fmt.Sprintf("%s in %s; each job of Berth is named by its request", reason.Count(len(p.Jobs), "live job"), reason.Count(len(p.Listed), "region")), j.jobs)
	j.check(CheckTick, "", j.tick)
	j.check(CheckObservations, fmt.Sprintf("every persistent resource was observed within the last %s", 2*s.Tick), j.observations)
	j.check(CheckPauses, "no operator has paused anything", j.pauses)
	j.check(CheckPolicy, "", j.policyInForce)
	j.check(CheckDue, "no timer is overdue", j.due)
	j.check(CheckOutbox, "no outcome event has been unpublished for long", j.outbox)
	j.check(CheckUse, "every use of replicas is explained and within the pools", j.use)
	j.check(CheckClock, fmt.Sprintf("this machine and the ledger differ by %s", p.Skew.Abs().Round(time.Millisecond)), j.clock)
	return j.found
}

// check makes one check, and reports that all is well if it finds nothing.
func (j *judge) check(name, fine string, look func()) {
	before := len(j.found)
	look()
	for i := range j.found[before:] {
		j.found[before+i].Check = name
	}
	if len(j.found) == before {
		j.found = append(j.found, Finding{Check: name, Level: OK, Text: fine})
	}
}

func (j *judge) add(f Finding) { j.found = append(j.found, f) }

// about makes a finding on a record.
func about(r *ledger.Record, level Level, format string, args ...any) Finding {
	return Finding{Level: level, Request: r.Key, RequestID: r.ID, Resource: r.Resource,
		Text: who(r) + " " + fmt.Sprintf(format, args...)}
}

// unreadable names the unreadable documents, and what each blocks.
func (j *judge) unreadable() {
	for _, u := range j.Unreadable {
		f := Finding{Level: Fail, Resource: u.Resource, Text: fmt.Sprintf("document %s cannot be read: %s", u.Ref, u.Why),
			Do: "Deploy the release that wrote it, or restore the document from a backup. Berth never overwrites it."}
		switch u.Kind {
		case ledger.KindResource:
			f.Resource = u.Name
			f.Means = "Berth does not serve that persistent resource: requests for it are delivered again and again, and its jobs run unobserved."
		case ledger.KindRecord:
			f.Request = message.Key(u.Name)
			f.Means = "The request stays as it is: it keeps its replicas, its job runs, and its events are not published."
		case ledger.KindBudget:
			f.Means = "Nothing is submitted in that region."
		case ledger.KindLease:
			f.Means = "Passes of reconcile run without a lease: they do all work, some of it twice."
		case ledger.KindHistory:
			f.Means = "Requests of that tenant are ordered by their time limits, and how long its jobs run is not learned."
			f.Do = "Deploy the release that wrote it, or delete the document: only what was learned is lost."
		case ledger.KindPolicy:
			f.Means = "It is a version of the policy that cannot be shown or restored; the policy in force does not depend on it."
			if u.Name == ledger.CurrentPolicy {
				f.Means = "No request is decided: messages are delivered again and again, and nothing that waits starts."
			}
		case ledger.KindPause:
			f.Means = "It is not known which tenants are paused. No request is decided: messages are delivered again and again, and nothing that waits starts."
			f.Do = "Deploy the release that wrote it, or delete the document: then no tenant is paused."
		case ledger.KindConcurrency:
			f.Means = "Requests of that concurrency key are not taken, and delivered again until it can be read."
			f.Do = "Deploy the release that wrote it, or delete the document: an earlier request of the key is then searched for."
		case ledger.KindUsage:
			f.Means = "What becomes of the machines of that persistent resource is not summed up, so berth usage cannot tell it; no request depends on it."
			f.Do = "Deploy the release that wrote it, or delete the document: only the sums of the last 31 days are lost."
		default:
			f.Means = "What needs this document waits until it can be read."
		}
		j.add(f)
	}
}

// pauses names what operators have paused.
func (j *judge) pauses() {
	for _, tenant := range slices.Sorted(maps.Keys(j.PausedTenants)) {
		p := j.PausedTenants[tenant]
		n := 0
		for _, r := range j.Records {
			if r.Tenant == tenant && r.State == lifecycle.Waiting {
				n++
			}
		}
		j.add(Finding{Level: Warn, Text: fmt.Sprintf("tenant %s has been paused since %s, by %s: %s", tenant, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason),
			Means: fmt.Sprintf("Nothing of it starts. %s.", waits(n)), Do: "When its cause is over: berth resume --tenant=" + tenant})
	}
	for _, res := range j.Resources {
		for _, id := range slices.Sorted(maps.Keys(res.PausedPools)) {
			p := res.PausedPools[id]
			j.add(Finding{Level: Warn, Resource: res.Name, Text: fmt.Sprintf("pool %s of %s has been paused since %s, by %s: %s", id, res.Name, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason),
				Means: "Nothing starts on its machines.", Do: fmt.Sprintf("When its cause is over: berth resume %s --pool=%s", vertex.NameOf(res.Name).ID(), id)})
		}
		if p := res.Paused; p != nil {
			j.add(Finding{Level: Warn, Resource: res.Name, Text: fmt.Sprintf("%s has been paused since %s, by %s: %s", res.Name, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason),
				Means: fmt.Sprintf("Nothing starts there. %s in its queue.", waits(res.Queue.Waiting())), Do: "When its cause is over: berth resume " + vertex.NameOf(res.Name).ID()})
		}
	}
}

func waits(n int) string {
	return reason.Count(n, "request") + reason.Agree(n, " waits", " wait")
}

// unknown finds live requests on resources without a document, which the
// promises about resources do not cover.
func (j *judge) unknown() {
	known := map[string]bool{}
	for _, res := range j.Resources {
		known[res.Name] = true
	}
	for _, u := range j.Unreadable {
		known[u.Name] = known[u.Name] || u.Kind == ledger.KindResource // reported by another check
	}
	for _, r := range j.Records {
		if r.Resource == "" || r.State.Terminal() || r.Kind == message.KindAnswer || known[r.Resource] {
			continue
		}
		f := about(r, Fail, "is %s on %s, which has no document in the ledger", r.State, r.Resource)
		f.Means = "Berth does not serve that persistent resource, so the request never moves."
		f.Do = "berth repair leaked-holds"
		j.add(f)
	}
}

// jobs compares the live jobs with the reservations that should name them.
func (j *judge) jobs() {
	for _, parent := range slices.Sorted(maps.Keys(j.Unlisted)) {
		j.add(Unchecked(CheckJobs, fmt.Errorf("list the live jobs of %s: %w", parent, j.Unlisted[parent]),
			"Check that the caller may list custom jobs there (aiplatform.customJobs.list), and that Vertex AI answers."))
	}
	for _, job := range j.Jobs {
		r := j.records[job.Request]
		if r == nil {
			j.unknownRequest(job)
			continue
		}
		if r.Reservation.Job == job.Name || elsewhere(r, job) {
			continue
		}
		if job.Run != r.Run && !slices.Contains(r.PastRuns, job.Run) {
			j.unknownRun(r, job)
			continue
		}
		old := j.Now.Sub(job.CreateTime)
		if old < j.late() {
			continue // the next pass of reconcile deals with it
		}
		if r.State.Holds() && r.Run == job.Run && r.Reservation.Job == "" {
			f := about(r, Fail, "is %s and names no job, but job %s carries the label of its run and has been there for %s", r.State, job.Name, age(old))
			f.Job, f.Means = job.Name, "The job runs, and Berth does not follow it."
			f.Do = fmt.Sprintf("berth repair adopt %s %s", name(r), job.Name)
			j.add(f)
			continue
		}
		f := about(r, Fail, "is %s and does not name its job %s, which is %s, after %s", r.State, job.Name, job.State, age(old))
		f.Job, f.Means = job.Name, "It uses replicas that the request does not hold; they count as foreign use until it has ended."
		f.Do = "Every pass of reconcile cancels it. If the tick runs and the job stays, cancel it: gcloud ai custom-jobs cancel " + job.Name
		j.add(f)
	}
	for _, key := range slices.Sorted(maps.Keys(j.Missing)) {
		r, job := j.records[key], j.Missing[key]
		f := about(r, Warn, "is %s, but Vertex AI no longer has its job %s", r.State, job.Name)
		if job.State != "" {
			if j.Now.Sub(job.EndTime) < j.late() {
				continue
			}
			f = about(r, Fail, "is %s, but its job %s is %s since %s", r.State, job.Name, job.State, job.EndTime.UTC().Format(time.RFC3339))
		}
		f.Job, f.Means, f.Do = job.Name, "Its replicas stay held until a pass of reconcile learns of the end.", "See the check tick."
		j.add(f)
	}
}

// unknownRequest reports a live job of this deployment whose request the ledger does not
// have. Jobs of other deployments carry the name of theirs.
func (j *judge) unknownRequest(job vertex.Job) {
	if job.Request == "" || j.Deployment == "" || job.Deployment != j.Deployment || slices.ContainsFunc(j.Unreadable, func(u *ledger.UnreadableError) bool {
		return u.Ref == ledger.RecordRef(job.Request)
	}) {
		return
	}
	j.add(Finding{Level: Warn, Request: job.Request, Job: job.Name,
		Text:  fmt.Sprintf("job %s carries the labels of this deployment and of request %s, which is not in the ledger", job.Name, job.Request),
		Means: "The ledger was restored from a backup that is older than the request, or the document was deleted. The job counts as foreign use, and no event will tell its end.",
		Do:    "Let it end or cancel it. After a restore, deliver the messages since the backup again before that, as deploy/upgrading.md says."})
}

// unknownRun reports a live job under the label of a waiting request that has never
// heard of its run. A user can copy the label, so this alone proves nothing.
func (j *judge) unknownRun(r *ledger.Record, job vertex.Job) {
	if r.State != lifecycle.Waiting || job.Run == "" || !slices.Equal(job.Ask, r.Ask) {
		return
	}
	f := about(r, Warn, "is %s, but job %s carries its label, for a run that the ledger does not know", r.State, job.Name)
	f.Job = job.Name
	f.Means = "The ledger was restored from a backup that is older than the job, or the label was copied. Berth will submit the request once more."
	f.Do = fmt.Sprintf("After a restore, before the tick runs again: berth repair adopt %s %s", name(r), job.Name)
	j.add(f)
}

// tick reports whether reconcile runs. Its lease ends when a pass does.
func (j *judge) tick() {
	const do = "Check the Cloud Scheduler job, the subscription of the tick topic and the log of Reconcile, in this order."
	f := Finding{Level: OK, Text: "a pass of reconcile is under way"}
	if j.Picture.Lease == nil {
		f = Finding{Level: Warn, Text: "reconcile has never run here", Means: "In a new deployment the first tick starts it. Without it no waiting request is started.", Do: do}
		if len(j.Records) > 0 {
			f.Level = Fail
		}
	} else if idle := j.Now.Sub(j.Picture.Lease.Until); idle > j.late() {
		f = Finding{Level: Fail, Text: fmt.Sprintf("the last pass of reconcile ended %s ago; the tick is every %s", age(idle), j.Tick),
			Means: "No waiting request is started, and the end of a job is not learned.", Do: do}
	} else if idle >= 0 {
		f.Text = fmt.Sprintf("the last pass of reconcile ended %s ago", age(idle))
	}
	j.add(f)
}

func (j *judge) observations() {
	for _, res := range j.Resources {
		err := j.Observed[res.Name]
		switch {
		case err != nil && vertex.KindOf(err) == vertex.NotFound && res.State != ledger.Absent:
			j.add(Finding{Level: Warn, Resource: res.Name, Text: fmt.Sprintf("%s is %s in the ledger, and Vertex AI has no such persistent resource", res.Name, res.State),
				Means: "It was deleted; the next pass of reconcile records that, and requests wait for one of the same name."})
		case err != nil && vertex.KindOf(err) != vertex.NotFound:
			f := Unchecked(CheckObservations, fmt.Errorf("observe %s: %w", res.Name, err), "Check that the caller may read it (aiplatform.persistentResources.get), and that Vertex AI answers.")
			f.Resource = res.Name
			j.add(f)
		}
		if old := j.Now.Sub(res.ObservedAt); tended(res) && old > 2*j.Tick {
			j.add(Finding{Level: Warn, Resource: res.Name, Text: fmt.Sprintf("%s was last observed %s ago", res.Name, age(old)),
				Means: "Nothing is admitted there until the next observation.",
				Do:    "See the check tick. If reconcile runs, its log says why it cannot observe it."})
		}
	}
}

// due finds records whose timer is long overdue.
func (j *judge) due() {
	for _, r := range j.Records {
		old := j.Now.Sub(r.TimerAt)
		if waitsForNothing(r) || r.TimerAt.IsZero() || old <= j.late() {
			continue // a missing timer is reported by another check
		}
		f := about(r, Fail, "is %s, and its timer is overdue by %s", r.State, age(old))
		f.Means, f.Do = "Its next step is overdue.", "See the check tick. If reconcile runs, its log says what is wrong with this record."
		j.add(f)
	}
}

func (j *judge) outbox() {
	for _, r := range j.Records {
		unpublished := r.Unpublished()
		if len(unpublished) == 0 {
			continue
		}
		old := j.Now.Sub(unpublished[0].Time)
		if old <= j.late() {
			continue
		}
		f := about(r, Fail, "has %s, the oldest for %s", reason.Count(len(unpublished), "unpublished outcome event"), age(old))
		f.Means = "Its subscribers have not received them."
		f.Do = "See the check tick, and that the functions may publish to the outcome topic. berth repair events publishes them from this machine."
		j.add(f)
	}
}

func (j *judge) use() {
	for _, res := range j.Resources {
		if res.State == ledger.Absent {
			continue // an absent resource has no machines in use
		}
		if n := overstaying(res); n > 0 {
			j.add(Finding{Level: Warn, Resource: res.Name,
				Text:  fmt.Sprintf("%s: %s still live well after the latest end", res.Name, reason.Count(n, "job")),
				Means: "When it ends is not known, so requests may start later than they were told.",
				Do:    "Look at the jobs with berth list --state RUNNING, and cancel those that hang."})
		}
		over := capacity.Overdrawn(res.Pools, res.Use())
		for _, s := range slices.SortedFunc(maps.Keys(over), capacity.Shape.Compare) {
			j.add(Finding{Level: Warn, Resource: res.Name, This: s.String(),
				Text:  fmt.Sprintf("%s: %s of %s %s in use than its pools have", res.Name, reason.Count(over[s], "more replica"), s, reason.Agree(over[s], "is", "are")),
				Means: "A pool shrank, or a foreign job started. Nothing is admitted there until that many replicas are free.",
				Do:    "Wait, enlarge the pool, or end jobs; berth pools shows the jobs."})
		}
		for _, s := range slices.SortedFunc(maps.Keys(res.Unexplained), capacity.Shape.Compare) {
			j.add(Finding{Level: Warn, Resource: res.Name, This: s.String(),
				Text:  fmt.Sprintf("%s: %s of %s %s in use, and no listed job uses %s", res.Name, reason.Count(res.Unexplained[s], "replica"), s, reason.Agree(res.Unexplained[s], "is", "are"), reason.Agree(res.Unexplained[s], "it", "them")),
				Means: "They count as taken until Vertex AI reports them as free.",
				Do:    "Search for work that is not a custom job, such as a Ray cluster or a pipeline on the same persistent resource."})
		}
	}
}

func overstaying(res *ledger.Resource) (n int) {
	for _, h := range res.Holds {
		if h.Overstays {
			n++
		}
	}
	return n
}

// clock compares this machine's clock with the ledger's, by which Berth goes.
func (j *judge) clock() {
	if skew := j.Skew.Abs(); skew > 5*time.Second {
		side := map[int]string{-1: "behind", 1: "ahead of"}[cmp.Compare(j.Skew, 0)]
		j.add(Finding{Level: Warn, Text: fmt.Sprintf("this machine's clock is %s %s the ledger's", age(skew), side),
			Means: "The deployment uses the ledger's clock and is not affected; ages shown here may be wrong.", Do: "Set this machine's clock."})
	}
}
