package gcp

import (
	"context"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/iterator"

	"example.com/berth/internal/vertex"
)

// Raw is Vertex AI in its own messages, for a probe, which asks what the service says and
// not what Berth reads of it. Deadlines and errors are those of [Vertex].
type Raw struct{ v *Vertex }

// Raw returns the raw form of the client, which shares its connections.
func (v *Vertex) Raw() Raw { return Raw{v} }

// Resource returns a persistent resource by its full name.
func (r Raw) Resource(ctx context.Context, name string) (out *aiplatformpb.PersistentResource, err error) {
	err = r.v.call(ctx, "resource", name, vertex.Name.IsResource, r.v.options.CallDeadline, func(ctx context.Context, r *regional) (err error) {
		out, err = r.resources.GetPersistentResource(ctx, &aiplatformpb.GetPersistentResourceRequest{Name: name})
		return err
	})
	return out, err
}

// Create submits a job under projects/P/locations/L, once.
func (r Raw) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (out *aiplatformpb.CustomJob, err error) {
	err = r.v.call(ctx, "create", parent, isRegion, r.v.options.CreateDeadline, func(ctx context.Context, r *regional) (err error) {
		out, err = r.jobs.CreateCustomJob(ctx, &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: job})
		return err
	})
	return out, err
}

// Get returns a job by its full name.
func (r Raw) Get(ctx context.Context, name string) (out *aiplatformpb.CustomJob, err error) {
	err = r.v.call(ctx, "get", name, vertex.Name.IsJob, r.v.options.CallDeadline, func(ctx context.Context, r *regional) (err error) {
		out, err = r.jobs.GetCustomJob(ctx, &aiplatformpb.GetCustomJobRequest{Name: name})
		return err
	})
	return out, err
}

// List returns the jobs under projects/P/locations/L that a filter selects.
func (r Raw) List(ctx context.Context, parent, filter string) (all []*aiplatformpb.CustomJob, err error) {
	req := &aiplatformpb.ListCustomJobsRequest{Parent: parent, Filter: filter, PageSize: vertex.PageSize}
	for range maxPages {
		err := r.v.call(ctx, "list", parent, isRegion, r.v.options.CallDeadline, func(ctx context.Context, r *regional) error {
			var page []*aiplatformpb.CustomJob
			next, err := iterator.NewPager(r.jobs.ListCustomJobs(ctx, req), vertex.PageSize, req.PageToken).NextPage(&page)
			all, req.PageToken = append(all, page...), next
			return err
		})
		if err != nil {
			return nil, err
		}
		if req.PageToken == "" {
			return all, nil
		}
	}
	return nil, tooManyPages("list", parent)
}

// Cancel asks for the end of a job.
func (r Raw) Cancel(ctx context.Context, name string) error {
	return r.v.call(ctx, "cancel", name, vertex.Name.IsJob, r.v.options.CallDeadline, func(ctx context.Context, r *regional) error {
		return r.jobs.CancelCustomJob(ctx, &aiplatformpb.CancelCustomJobRequest{Name: name})
	})
}
