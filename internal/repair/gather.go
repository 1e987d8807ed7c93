package repair

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A Source is a deployment to examine.
type Source struct {
	Ledger Ledger
	Vertex vertex.Client
	// Parents are the locations whose jobs are listed, projects/P/locations/L,
	// in addition to those of the resources in the ledger.
	Parents []string
	Clock   func() time.Time // of this machine
}

// A Picture is everything that was read.
type Picture struct {
	invariant.Picture
	Skew  time.Duration // this machine's clock minus the ledger's
	Lease *ledger.Lease // of reconcile; nil before its first pass
	// Listed are the parents whose live jobs are in Jobs; Unlisted are the
	// others, each with its error.
	Listed   []string
	Unlisted map[string]error
	// PausedTenants are the tenants of which operators let nothing start.
	PausedTenants map[string]admission.Pause
	// Policies are the versions of the policy, and the one in force.
	Policies []*ledger.Policy
	// Unreadable are the documents that cannot be read.
	Unreadable []*ledger.UnreadableError
	// Observed are the resources that Vertex AI was asked for, each with the error,
	// nil for one that exists.
	Observed map[string]error
	// Missing are jobs that a holding reservation names and that are not live:
	// as they ended, or without a state if there is no such job.
	Missing map[message.Key]vertex.Job
}

const (
	page = 100 // documents per query
	// Calls to Vertex AI beyond the lists. Its quota belongs to the functions.
	mostGets = 50
)

// Gather reads everything. It lists jobs after the records: a job that has
// ended by then is not a job without a request, and one that was created since
// belongs to no record that was read. Errors of Vertex AI are part of the
// picture; errors of the ledger are returned.
func Gather(ctx context.Context, src Source, lease string) (Picture, error) {
	p := Picture{Unlisted: map[string]error{}, Observed: map[string]error{}, Missing: map[message.Key]vertex.Job{}}
	p.Complete = true
	before := src.Clock()
	err := ledger.Read(ctx, src.Ledger, ledger.Leases(lease), func(tx ledger.Tx) {
		p.Now, p.Lease = tx.Now(), nil
		if tx.Unreadable(ledger.LeaseRef(lease)) == nil {
			p.Lease = tx.Lease(lease)
		}
	})
	if err != nil {
		return p, fmt.Errorf("read lease %s: %w", lease, err)
	}
	p.Skew = before.Add(src.Clock().Sub(before) / 2).Sub(p.Now)
	for _, kind := range ledger.Kinds() {
		docs, bad, err := scan[ledger.Document](ctx, src.Ledger, kind)
		if err != nil {
			return p, err
		}
		p.Unreadable = append(p.Unreadable, bad...)
		p.Resources = append(p.Resources, ledger.Of[*ledger.Resource](docs)...)
		p.Records = append(p.Records, ledger.Of[*ledger.Record](docs)...)
		p.Policies = append(p.Policies, ledger.Of[*ledger.Policy](docs)...)
		for _, pauses := range ledger.Of[*ledger.Pauses](docs) {
			p.PausedTenants = pauses.Tenants
		}
	}
	p.ask(ctx, src)
	p.Complete = !slices.ContainsFunc(p.Unreadable, func(u *ledger.UnreadableError) bool {
		return u.Kind == ledger.KindRecord || u.Kind == ledger.KindResource
	})
	return p, nil
}

// scan reads all documents of a kind, without the users' large data, and returns the
// unreadable ones separately.
func scan[D ledger.Document](ctx context.Context, l Ledger, kind ledger.Kind) (all []D, bad []*ledger.UnreadableError, err error) {
	for after, more := "", true; more; {
		found, err := l.Scan(ctx, kind, after, page)
		skipped, err := ledger.Skipped(err)
		bad = append(bad, skipped...)
		if err != nil {
			return nil, nil, fmt.Errorf("list %s after %q: %w", kind, after, err)
		}
		for _, r := range ledger.Of[*ledger.Record](found) {
			r.Spec, r.Labels, r.Warnings, r.Fit = "", nil, nil, nil
		}
		all = append(all, ledger.Of[D](found)...)
		if more = len(found) == page; more {
			after = found[page-1].Ref().Name
		}
	}
	return all, once(bad), nil
}

// once drops repeats, because pages overlap.
func once(bad []*ledger.UnreadableError) (all []*ledger.UnreadableError) {
	for _, u := range bad {
		if !slices.ContainsFunc(all, func(known *ledger.UnreadableError) bool { return known.Ref == u.Ref }) {
			all = append(all, u)
		}
	}
	return all
}

// ask reads jobs and resources from Vertex AI.
func (p *Picture) ask(ctx context.Context, src Source) {
	parents := slices.Clone(src.Parents)
	for _, res := range p.Resources {
		parents = append(parents, vertex.NameOf(res.Name).Parent())
	}
	slices.Sort(parents)
	live := map[string]bool{}
	p.Jobs = []vertex.Job{}
	for _, parent := range slices.Compact(parents) {
		jobs, err := src.Vertex.Live(ctx, parent)
		if err != nil {
			p.Unlisted[parent] = err
			continue
		}
		p.Listed = append(p.Listed, parent)
		for _, j := range jobs {
			live[j.Name] = true
			p.Jobs = append(p.Jobs, j)
		}
	}
	for _, res := range p.Resources {
		if tended(res) && len(p.Observed) < mostGets {
			_, err := src.Vertex.Resource(ctx, res.Name)
			p.Observed[res.Name] = err
		}
	}
	for _, r := range p.Records {
		if !r.State.Holds() || r.Reservation.Job == "" || live[r.Reservation.Job] || len(p.Missing) >= mostGets ||
			!slices.Contains(p.Listed, vertex.NameOf(r.Resource).Parent()) {
			continue
		}
		job, err := src.Vertex.Get(ctx, r.Reservation.Job)
		switch {
		case err == nil && job.State.Ended():
			p.Missing[r.Key] = job
		case err != nil && vertex.KindOf(err) == vertex.NotFound:
			p.Missing[r.Key] = vertex.Job{Name: r.Reservation.Job}
		}
	}
}

// tended reports whether reconcile observes a resource: a deleted one that is
// not in use is left alone.
func tended(res *ledger.Resource) bool {
	return res.State != ledger.Absent || len(res.Holds) > 0 || len(res.Queue) > 0
}

// Examine gathers and judges, a second time if there is a finding, and reports
// the findings of the second time that the first has too.
func Examine(ctx context.Context, src Source, s Settings) (Picture, []Finding, error) {
	p, err := Gather(ctx, src, s.Lease)
	if err != nil {
		return p, nil, err
	}
	first := Judge(p, s)
	if !slices.ContainsFunc(first, wrong) {
		return p, first, nil
	}
	if p, err = Gather(ctx, src, s.Lease); err != nil {
		return p, nil, err
	}
	return p, confirmed(first, Judge(p, s)), nil
}

// confirmed keeps the second findings that the first have too. A check without
// any left is OK.
func confirmed(first, second []Finding) []Finding {
	known := map[string]bool{}
	for _, f := range first {
		known[f.same()] = true
	}
	var kept []Finding
	for i, f := range second {
		if !wrong(f) || known[f.same()] {
			kept = append(kept, f)
			continue
		}
		last := i+1 == len(second) || second[i+1].Check != f.Check
		if last && !slices.ContainsFunc(kept, func(k Finding) bool { return k.Check == f.Check }) {
			kept = append(kept, Finding{Check: f.Check, Level: OK, Text: "nothing that lasts (some requests were just moving)"})
		}
	}
	return kept
}

func wrong(f Finding) bool { return f.Level == Warn || f.Level == Fail }

// holding reports whether a record holds replicas of a resource.
func holding(r *ledger.Record, resource string) bool {
	return r != nil && r.Resource == resource && r.State.Holds()
}

// waitsForNothing reports whether a record needs no timer: it has ended, it is
// an answer or a tombstone, or every pass of reconcile asks for its job.
func waitsForNothing(r *ledger.Record) bool {
	return r.Kind == message.KindAnswer || r.Tombstone() || r.State.Terminal() || r.State == lifecycle.Running
}
