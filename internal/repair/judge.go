package repair

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// Names of the checks, beside those that are named after their promise.
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
)

// A judge turns a picture into findings.
type judge struct {
	Picture
	Settings
	records map[message.Key]*ledger.Record
	found   []Finding
}

// Judge says what a picture shows, check by check: at least one finding each.
func Judge(p Picture, s Settings) []Finding {
	j := &judge{Picture: p, Settings: s, records: map[message.Key]*ledger.Record{}}
	for _, r := range p.Records {
		j.records[r.Key] = r
	}
	j.check(CheckUnreadable, "every document that is there can be read", j.unreadable)
	j.check(CheckLedger, fmt.Sprintf("%s and %s were read", plural(len(p.Resources), "persistent resource"), plural(len(p.Records), "record")), j.unknown)
	j.promises()
	j.check(CheckJobs, fmt.Sprintf("%s in %s; each of Berth's is one that its request names", plural(len(p.Jobs), "live job"), plural(len(p.Listed), "region")), j.jobs)
	j.check(CheckTick, "", j.tick)
	j.check(CheckObservations, fmt.Sprintf("no persistent resource was last looked at more than %s ago", 2*s.Tick), j.observations)
	j.check(CheckDue, "nobody has been waiting for a look that did not come", j.due)
	j.check(CheckOutbox, "no outcome event has been unpublished for long", j.outbox)
	j.check(CheckUse, "no more is in use than the pools have, and all of it is explained", j.use)
	j.check(CheckClock, fmt.Sprintf("this machine and the ledger differ by %s", p.Skew.Abs().Round(time.Millisecond)), j.clock)
	return j.found
}

// check makes one check, and says that all is well if it finds nothing.
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

// about starts a finding on a record.
func about(r *ledger.Record, level Level, format string, args ...any) Finding {
	return Finding{Level: level, Request: r.Key, RequestID: r.ID, Resource: r.Resource,
		Text: who(r) + " " + fmt.Sprintf(format, args...)}
}

// unreadable names the documents that cannot be read, and what that stops.
func (j *judge) unreadable() {
	for _, u := range j.Unreadable {
		f := Finding{Level: Fail, Resource: u.Resource, Text: fmt.Sprintf("document %s cannot be read: %s", u.Doc, u.Why),
			Do: "Deploy the release that wrote it, or restore the document from a backup. Nothing of Berth writes over it."}
		switch u.Kind {
		case ledger.KindResource:
			f.Resource = u.Name
			f.Means = "Nobody looks after that persistent resource: requests for it are delivered again and again, and its jobs go on unseen."
		case ledger.KindRecord:
			f.Request = message.Key(u.Name)
			f.Means = "The request stays as it is: what it holds stays held, its job goes on, and its events are not published."
		case ledger.KindBudget:
			f.Means = "Nothing is submitted in that region."
		case ledger.KindLease:
			f.Means = "Passes of reconcile run without a lease: all is done, some of it twice."
		}
		j.add(f)
	}
}

// unknown finds live requests on resources without a document. No promise of a
// resource's covers them.
func (j *judge) unknown() {
	known := map[string]bool{}
	for _, res := range j.Resources {
		known[res.Name] = true
	}
	for _, u := range j.Unreadable {
		known[u.Name] = known[u.Name] || u.Kind == ledger.KindResource // another check's
	}
	for _, r := range j.Records {
		if r.Resource == "" || r.State.Terminal() || r.Kind == message.KindAnswer || known[r.Resource] {
			continue
		}
		f := about(r, Fail, "is %s on %s, of which the ledger has no document", r.State, r.Resource)
		f.Means = "Nobody looks after that persistent resource, so the request never moves."
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
		if r == nil || r.Reservation.Job == job.Name || job.Run != r.Run && !slices.Contains(r.PastRuns, job.Run) {
			continue // named, or not ours: a label proves nothing
		}
		if elsewhere(r, job) {
			continue
		}
		old := j.Now.Sub(job.CreateTime)
		if old < j.late() {
			continue // reconcile's, at its next pass
		}
		if r.State.Holds() && r.Run == job.Run && r.Reservation.Job == "" {
			f := about(r, Fail, "is %s and names no job, but job %s carries the label of its run and has been there for %s", r.State, job.Name, age(old))
			f.Job, f.Means = job.Name, "The job runs, and nobody follows it."
			f.Do = fmt.Sprintf("berth repair adopt %s %s", name(r), job.Name)
			j.add(f)
			continue
		}
		f := about(r, Fail, "is %s and does not name job %s, which is its own and is %s, after %s", r.State, job.Name, job.State, age(old))
		f.Job, f.Means = job.Name, "It takes machines that the request is not to have; they count as foreign use until it has ended."
		f.Do = "Every pass of reconcile cancels it. If the tick runs and it stays, cancel it: gcloud ai custom-jobs cancel " + job.Name
		j.add(f)
	}
	for _, key := range slices.Sorted(maps.Keys(j.Missing)) {
		r, job := j.records[key], j.Missing[key]
		f := about(r, Warn, "is %s, but Vertex AI knows no job %s any more", r.State, job.Name)
		if job.State != "" {
			if j.Now.Sub(job.EndTime) < j.late() {
				continue
			}
			f = about(r, Fail, "is %s, but its job %s is %s since %s", r.State, job.Name, job.State, job.EndTime.UTC().Format(time.RFC3339))
		}
		f.Job, f.Means, f.Do = job.Name, "Its machines are held for nothing until a pass of reconcile learns of it.", "See the check tick."
		j.add(f)
	}
}

// tick says whether reconcile runs. Its lease ends when a pass does.
func (j *judge) tick() {
	const do = "Look at the Cloud Scheduler job, at the subscription of the tick topic and at the log of Reconcile, in this order."
	f := Finding{Level: OK, Text: "a pass of reconcile is under way"}
	if j.Picture.Lease == nil {
		f = Finding{Level: Warn, Text: "reconcile has never run here", Means: "In a new deployment it comes with the first tick. Without it nothing that waits is started.", Do: do}
		if len(j.Records) > 0 {
			f.Level = Fail
		}
	} else if idle := j.Now.Sub(j.Picture.Lease.Until); idle > j.late() {
		f = Finding{Level: Fail, Text: fmt.Sprintf("the last pass of reconcile ended %s ago; the tick is every %s", age(idle), j.Tick),
			Means: "Nothing that waits is started, and nobody learns of jobs that end.", Do: do}
	} else if idle >= 0 {
		f.Text = fmt.Sprintf("the last pass of reconcile ended %s ago", age(idle))
	}
	j.add(f)
}

func (j *judge) observations() {
	for _, res := range j.Resources {
		err := j.Seen[res.Name]
		switch {
		case err != nil && vertex.KindOf(err) == vertex.NotFound && res.State != ledger.Absent:
			j.add(Finding{Level: Warn, Resource: res.Name, Text: fmt.Sprintf("%s is %s in the ledger, and Vertex AI knows no such persistent resource", res.Name, res.State),
				Means: "It was deleted; the next pass of reconcile notes it, and requests wait for one of the same name."})
		case err != nil && vertex.KindOf(err) != vertex.NotFound:
			f := Unchecked(CheckObservations, fmt.Errorf("look at %s: %w", res.Name, err), "Check that the caller may read it (aiplatform.persistentResources.get), and that Vertex AI answers.")
			f.Resource = res.Name
			j.add(f)
		}
		if old := j.Now.Sub(res.ObservedAt); tended(res) && old > 2*j.Tick {
			j.add(Finding{Level: Warn, Resource: res.Name, Text: fmt.Sprintf("%s was last looked at %s ago", res.Name, age(old)),
				Means: "Nothing is admitted there until it has been looked at again.",
				Do:    "See the check tick. If reconcile runs, its log says why it cannot ask Vertex AI."})
		}
	}
}

// due finds records whose time to be looked at is long past.
func (j *judge) due() {
	for _, r := range j.Records {
		old := j.Now.Sub(r.TimerAt)
		if waitsForNothing(r) || r.TimerAt.IsZero() || old <= j.late() {
			continue // without any time is another check's
		}
		f := about(r, Fail, "is %s and was to be looked at %s ago", r.State, age(old))
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
		f := about(r, Fail, "has %s, the oldest for %s", plural(len(unpublished), "unpublished outcome event"), age(old))
		f.Means = "Its consumers have not been told."
		f.Do = "See the check tick, and that the functions may publish to the outcome topic. berth repair events publishes them from here."
		j.add(f)
	}
}

func (j *judge) use() {
	for _, res := range j.Resources {
		if res.State == ledger.Absent {
			continue // its machines went with it: none is in use, and none too many
		}
		over := capacity.Overdrawn(res.Pools, res.Use())
		for _, s := range slices.SortedFunc(maps.Keys(over), capacity.Shape.Compare) {
			j.add(Finding{Level: Warn, Resource: res.Name, This: s.String(),
				Text:  fmt.Sprintf("%s: %d more replicas of %s are in use than its pools have", res.Name, over[s], s),
				Means: "A pool shrank, or somebody else's job came. Nothing is admitted there until that many have ended.",
				Do:    "Wait, enlarge the pool, or end jobs; berth pools shows who has what."})
		}
		for _, s := range slices.SortedFunc(maps.Keys(res.Unexplained), capacity.Shape.Compare) {
			j.add(Finding{Level: Warn, Resource: res.Name, This: s.String(),
				Text:  fmt.Sprintf("%s: %d replicas of %s are in use by no job that is listed", res.Name, res.Unexplained[s], s),
				Means: "They count as taken until Vertex AI reports them as free.",
				Do:    "Look for work that is no custom job, such as a Ray cluster or a pipeline on the same persistent resource."})
		}
	}
}

// clock compares the clocks. Berth itself goes by the ledger's.
func (j *judge) clock() {
	if skew := j.Skew.Abs(); skew > 5*time.Second {
		side := map[int]string{-1: "behind", 1: "ahead of"}[cmp.Compare(j.Skew, 0)]
		j.add(Finding{Level: Warn, Text: fmt.Sprintf("this machine's clock is %s %s the ledger's", age(skew), side),
			Means: "The deployment goes by the ledger's clock and does not mind; times shown here may look odd.", Do: "Set this machine's clock."})
	}
}
