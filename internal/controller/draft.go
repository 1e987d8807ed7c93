package controller

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// draft makes the record that a request starts with, with the defaults of deployment and
// policy. Its Why is set if the request is refused whatever the state of the resource: it
// names none that is served here, or the deployment or the policy do not allow it.
func (c *Controller) draft(book *rulebook, tenant string, d message.Delivery, m message.Message) *ledger.Record {
	r, rules := m.Request, book.policy.Tenant(tenant)
	r.Job.Labels = rules.Labels(r.Job.GetLabels())
	rec := &ledger.Record{
		Kind: message.KindRequest, Tenant: tenant, ID: r.RequestID, MessageID: d.ID, Fingerprint: m.Fingerprint, Trace: d.Trace,
		DisplayName: r.Job.GetDisplayName(), Labels: r.Job.GetLabels(),
		Ask: message.AskOf(r.Job, c.cfg.DiskType), UnsetDisks: message.UnsetDisks(r.Job),
		Network: r.Job.GetJobSpec().GetNetwork(), EncryptionKey: r.Job.GetEncryptionSpec().GetKmsKeyName(),
		ServiceAccount: r.Job.GetJobSpec().GetServiceAccount(),
		Priority:       rules.PriorityOf(r.Priority), OnFull: r.OnFull, MaxWait: r.MaxWait, Concurrency: r.Concurrency,
		Warnings: r.Warnings, Paths: r.Paths, PolicyVersion: book.version,
	}
	if rec.ID == "" {
		rec.Kind, rec.ID = message.KindMessage, d.ID
	}
	rec.Key = message.KeyOf(tenant, rec.Kind, rec.ID)
	rec.Times.Published = d.PublishTime
	if rec.MaxWait == 0 {
		rec.MaxWait = rules.WaitOf(c.cfg.MaxWait)
	}
	rec.Family = estimate.FamilyOf(tenant, rec.DisplayName, imageOf(r.Job))
	if rec.DisplayName == "" {
		rec.DisplayName = rec.ID
	}
	rec.Resource, rec.Why = c.resolve(r.PersistentResource, r.Paths)
	rec.NamedInFull = strings.Contains(r.PersistentResource, "/")
	c.limit(rec, r.Job, rules)
	if found := rules.Check(r, rec.Resource); rec.Why == nil {
		rec.Why = oneProblem(found)
	}
	c.estimate(rec)
	spec, err := r.JobJSON()
	if err != nil { // cannot happen: Decode made it
		panic(fmt.Sprintf("controller: decoded job does not encode: %v", err))
	}
	rec.Spec = string(spec)
	return rec
}

// imageOf is the image that the first worker pool of a job runs, "" for none.
func imageOf(job *aiplatformpb.CustomJob) string {
	for _, pool := range job.GetJobSpec().GetWorkerPoolSpecs() {
		return cmp.Or(pool.GetContainerSpec().GetImageUri(), pool.GetPythonPackageSpec().GetExecutorImageUri())
	}
	return ""
}

// oneProblem is the first of some problems, with the others told after it, nil for none. A
// request with all but one of them mended would be refused again.
func oneProblem(found []reason.Problem) *reason.Problem {
	if len(found) == 0 {
		return nil
	}
	const most = 5
	one := found[0]
	for i, p := range found[1:] {
		if i == most-1 {
			one.Detail += fmt.Sprintf(" And there are %d problems more.", len(found)-most)
			break
		}
		at := ""
		if p.Path != "" {
			at = " At " + p.Path + ":"
		}
		one.Detail += at + " " + p.Detail
		one.Fix += at + " " + p.Fix
	}
	one.Detail, one.Fix = clip(one.Detail), clip(one.Fix)
	return &one
}

// limit gives a job without a time limit that of the policy or of the deployment, in the job
// that is submitted as well, and turns away one whose own is too long for the deployment:
// reservations count on the limits of the jobs that run.
func (c *Controller) limit(rec *ledger.Record, job *aiplatformpb.CustomJob, rules *policy.Rules) {
	path := rec.Paths.At("jobSpec.scheduling.timeout")
	most := cmp.Or(c.cfg.Policy.MaxLimit, math.MaxInt64)
	if rec.Timeout = job.GetJobSpec().GetScheduling().GetTimeout().AsDuration(); rec.Timeout > 0 {
		if rec.Timeout > most && rec.Why == nil {
			rec.Why = &reason.Problem{Code: reason.TimeoutTooLong, Path: path,
				Detail: fmt.Sprintf("The job may run for %s; this deployment takes jobs of at most %s.", rec.Timeout, most),
				Fix:    fmt.Sprintf("Set %s to at most \"%ds\".", path, int64(most/time.Second))}
		}
		return
	}
	usual := cmp.Or(c.cfg.DefaultTimeout, vertexTimeout)
	byRules := rules.TimeoutOf(usual)
	rec.Timeout, rec.UnsetTimeout = min(byRules, most), true
	whose := "this deployment's"
	if byRules <= most && (byRules != usual || rules != nil && rules.DefaultTimeout > 0) {
		whose = "the policy's"
	}
	if rec.Timeout == vertexTimeout || job.GetJobSpec() == nil {
		return
	}
	if job.JobSpec.Scheduling == nil {
		job.JobSpec.Scheduling = &aiplatformpb.Scheduling{}
	}
	job.JobSpec.Scheduling.Timeout = durationpb.New(rec.Timeout)
	rec.Warnings = append(slices.Clone(rec.Warnings), reason.Problem{Code: reason.Warning, Path: path,
		Detail: fmt.Sprintf("The job sets no time limit, so it gets %s: it is ended after %s.", whose, rec.Timeout),
		Fix:    "Set " + path + ". A short one lets the job start earlier."})
}

// resolve makes the full name of the persistent resource that a request means.
func (c *Controller) resolve(named string, paths message.Paths) (string, *reason.Problem) {
	if named == "" {
		named = c.cfg.DefaultResource
	}
	if named == "" {
		return "", &reason.Problem{Code: reason.NoResource, Path: paths.At("persistentResource"),
			Detail: "The request names no persistent resource, and the deployment has no default.",
			Fix:    "Set " + paths.At("persistentResource") + "; the id is enough."}
	}
	if !strings.Contains(named, "/") {
		return vertex.InRegion(c.cfg.Project, c.cfg.Regions[0]).Resource(named).String(), nil
	}
	name, ok := vertex.ParseName(named)
	if !ok || !name.IsResource() || name.Project() != c.cfg.Project || !slices.Contains(c.cfg.Regions, name.Region()) {
		return "", &reason.Problem{Code: reason.ForeignResource, Path: paths.At("persistentResource"),
			Detail: fmt.Sprintf("This deployment serves project %s in %s only.", c.cfg.Project, strings.Join(c.cfg.Regions, ", ")),
			Fix:    "Name a persistent resource there, by its id or with that project and region."}
	}
	return named, nil
}

// unknown is the reason to refuse a request for a persistent resource that was never there.
// That of the deployment's settings is said to be so: many requests do not name it.
func (c *Controller) unknown(draft *ledger.Record) *reason.Problem {
	p := admission.Unknown(draft.Paths)
	if byDefault, why := c.resolve("", draft.Paths); why == nil && byDefault == draft.Resource {
		p.Detail = "Vertex AI has no persistent resource of this name, which the deployment gives to requests that name none, and Berth never observed one."
		p.Fix = "Name one that there is, or have the default of the deployment corrected."
	}
	return p
}

// vertexTimeout is Vertex AI's limit for a job that sets none (field comment of
// Scheduling.timeout).
const vertexTimeout = 7 * 24 * time.Hour

// verdict of an entry, for what comes after its commit.
type verdict int

const (
	entered    verdict = iota
	duplicate          // the same request again: nothing to do
	repeated           // the same request again, by another message, after it has ended
	reused             // its id belongs to another request
	unobserved         // nothing is known of the resource, or no recent observation
	unlearned          // its tenant's history has to be read
	crowded            // what its concurrency key says has to be read
)

// known says what a request is whose id is taken.
func known(old, draft *ledger.Record) verdict {
	// Earlier releases wrote tombstones as CANCELLED records with an event of
	// their own and without a fingerprint: the request is answered already.
	if old.Fingerprint != "" && old.Fingerprint != draft.Fingerprint {
		return reused
	}
	// A fingerprint has the id of the persistent resource. A region that one of the
	// two names is content as well; that of an id alone is the deployment's.
	if old.Resource != draft.Resource && (old.NamedInFull || draft.NamedInFull) && old.Fingerprint != "" {
		return reused
	}
	// A fingerprint takes a disk type that is not set for Vertex AI's documented
	// default. Where the deployment takes another, the two are different content.
	if !slices.Equal(old.UnsetDisks, draft.UnsetDisks) && !slices.Equal(old.Ask, draft.Ask) && old.Fingerprint != "" {
		return reused
	}
	// The same holds for a time limit that is not set.
	if old.UnsetTimeout != draft.UnsetTimeout && old.Timeout != draft.Timeout && old.Fingerprint != "" {
		return reused
	}
	if old.State.Terminal() && old.Fingerprint != "" && old.MessageID != draft.MessageID {
		return repeated
	}
	return duplicate
}

// placeIn gives a request that comes in now its place in the order of a resource, nil if it
// comes to none.
func (c *Controller) placeIn(rec *ledger.Record, res *ledger.Resource, now time.Time) {
	rec.Place = admission.Place{}
	if res != nil {
		if q := c.policyOf(res.Name).Plan.Quotas; q.Shared() {
			rec.Place = q.Place(rec.Tenant, res.Asked(rec.Tenant), rec.Ask, c.gang(rec), res.Used[rec.Tenant])
		}
	}
	c.order(rec, now)
}

func (c *Controller) gang(rec *ledger.Record) bool {
	return int64(rec.Ask.Replicas()) >= int64(c.cfg.Gang)
}

// order gives a request its place in the order, for ever.
func (c *Controller) order(rec *ledger.Record, now time.Time) {
	expected := rec.Timeout
	if rec.Estimate.Jobs > 0 {
		expected = rec.Estimate.Run
	}
	// Documents keep moments to the microsecond. One that the order has more exactly than
	// the queue would be another place.
	at := admission.Key(now, expected, c.gang(rec)).Add(rec.Place.Offset).Truncate(time.Microsecond)
	rec.Order = ledger.OrderKey(rec.Priority, at, rec.Key)
}
