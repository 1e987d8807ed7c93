package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"example.com/berth/internal/vertex"
)

// Deadlines of [VertexOptions], unless set.
const (
	defaultCreateDeadline = 30 * time.Second
	defaultCallDeadline   = 15 * time.Second
)

const maxPages = 200 // beyond any quota on jobs; a list with more pages never ends

// VertexOptions say where Vertex AI is.
type VertexOptions struct {
	// Endpoint returns the host:port that serves a region; nil for Google's.
	Endpoint func(region string) string
	// Insecure is for a server on this machine: no TLS, no credentials. It needs
	// an Endpoint.
	Insecure bool
	// CreateDeadline and CallDeadline bound one create and any other call; 0 for
	// 30 and 15 seconds.
	CreateDeadline, CallDeadline time.Duration
	// DiskType stands for the disk type of a job or pool that shows none; "" for
	// capacity.DefaultDiskType. By recorded traffic Vertex AI always shows one.
	DiskType      string
	ClientOptions []option.ClientOption
}

// Vertex is a [vertex.Client] for all regions. It keeps one client per region,
// made when the region is first named, and is safe for concurrent use. It never
// repeats a call.
type Vertex struct {
	rpcs
	options VertexOptions

	mu      sync.Mutex
	closed  bool
	regions map[string]*regional
}

var _ vertex.Client = (*Vertex)(nil)

// A regional is the clients of one region, on one connection each.
type regional struct {
	jobs      *aiplatform.JobClient
	resources *aiplatform.PersistentResourceClient
}

// NewVertex returns a client that has not connected to anything yet.
func NewVertex(o VertexOptions) (*Vertex, error) {
	if o.Insecure && o.Endpoint == nil {
		return nil, fmt.Errorf("vertex: insecure without an endpoint would send requests to Google unencrypted")
	}
	if o.Endpoint == nil {
		o.Endpoint = func(region string) string { return region + "-aiplatform.googleapis.com:443" }
	}
	o.CreateDeadline = cmp.Or(o.CreateDeadline, defaultCreateDeadline)
	o.CallDeadline = cmp.Or(o.CallDeadline, defaultCallDeadline)
	return &Vertex{options: o, regions: map[string]*regional{}}, nil
}

// Close ends all connections. Calls made afterwards fail.
func (v *Vertex) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	var first error
	for region, r := range v.regions {
		first = cmp.Or(first, r.jobs.Close(), r.resources.Close())
		delete(v.regions, region)
	}
	return first
}

// Create implements [vertex.Client].
func (v *Vertex) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (vertex.Job, error) {
	var created *aiplatformpb.CustomJob
	err := v.callFor(ctx, "create", parent, job.GetJobSpec().GetServiceAccount(), isRegion, v.options.CreateDeadline, func(ctx context.Context, r *regional) (err error) {
		created, err = r.jobs.CreateCustomJob(ctx, &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: job})
		return err
	})
	return jobOf(created, v.options.DiskType), err
}

// Get implements [vertex.Client].
func (v *Vertex) Get(ctx context.Context, name string) (vertex.Job, error) {
	var job *aiplatformpb.CustomJob
	err := v.call(ctx, "get", name, vertex.Name.IsJob, v.options.CallDeadline, func(ctx context.Context, r *regional) (err error) {
		job, err = r.jobs.GetCustomJob(ctx, &aiplatformpb.GetCustomJobRequest{Name: name})
		return err
	})
	return jobOf(job, v.options.DiskType), err
}

// Find implements [vertex.Client].
func (v *Vertex) Find(ctx context.Context, parent, run string) ([]vertex.Job, error) {
	if !labelValue.MatchString(run) { // it goes into a filter
		return nil, refusal("find", parent, fmt.Errorf("%q is not the value of a label", run))
	}
	jobs, err := v.list(ctx, "find", parent, fmt.Sprintf("labels.%s=%q", vertex.LabelRun, run))
	slices.SortFunc(jobs, func(a, b vertex.Job) int {
		return cmp.Or(a.CreateTime.Compare(b.CreateTime), strings.Compare(a.Name, b.Name))
	})
	return jobs, err
}

// liveFilter names the states that are not wanted, so that one which is not
// known here counts as live.
var liveFilter = func() string {
	var terms []string
	for _, n := range []aiplatformpb.JobState{
		aiplatformpb.JobState_JOB_STATE_SUCCEEDED, aiplatformpb.JobState_JOB_STATE_FAILED,
		aiplatformpb.JobState_JOB_STATE_CANCELLED, aiplatformpb.JobState_JOB_STATE_EXPIRED,
		aiplatformpb.JobState_JOB_STATE_PARTIALLY_SUCCEEDED,
	} {
		terms = append(terms, fmt.Sprintf("state!=%q", n.String()))
	}
	return strings.Join(terms, " AND ")
}()

// Live implements [vertex.Client].
func (v *Vertex) Live(ctx context.Context, parent string) ([]vertex.Job, error) {
	return v.list(ctx, "live", parent, liveFilter)
}

// wanted are the fields that jobOf reads. Whole fields only: the job spec's
// worker pools are most of an answer, and are needed.
var wanted = []string{"name", "state", "labels", "job_spec", "create_time", "start_time", "end_time", "error"}

// list returns all pages, or an error: never the pages before one that failed.
func (v *Vertex) list(ctx context.Context, op, parent, filter string) ([]vertex.Job, error) {
	req := &aiplatformpb.ListCustomJobsRequest{
		Parent: parent, Filter: filter, PageSize: vertex.PageSize, ReadMask: &fieldmaskpb.FieldMask{Paths: wanted},
	}
	var jobs []vertex.Job
	for range maxPages {
		err := v.call(ctx, op, parent, isRegion, v.options.CallDeadline, func(ctx context.Context, r *regional) error {
			// One page at a time, so that each has a deadline of its own.
			var page []*aiplatformpb.CustomJob
			next, err := iterator.NewPager(r.jobs.ListCustomJobs(ctx, req), vertex.PageSize, req.PageToken).NextPage(&page)
			for _, j := range page {
				jobs = append(jobs, jobOf(j, v.options.DiskType))
			}
			req.PageToken = next
			return err
		})
		if err != nil {
			return nil, err
		}
		if req.PageToken == "" {
			return jobs, nil
		}
	}
	return nil, tooManyPages(op, parent)
}

// tooManyPages is the error of a list that has more than [maxPages] pages.
func tooManyPages(op, parent string) error {
	err := fmt.Errorf("the list has more than %d pages", maxPages)
	return &vertex.Error{Op: op, Name: parent, Kind: vertex.Unclear, Message: err.Error(), Err: err}
}

// Cancel implements [vertex.Client].
func (v *Vertex) Cancel(ctx context.Context, name string) error {
	err := v.call(ctx, "cancel", name, vertex.Name.IsJob, v.options.CallDeadline, func(ctx context.Context, r *regional) error {
		return r.jobs.CancelCustomJob(ctx, &aiplatformpb.CancelCustomJobRequest{Name: name})
	})
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.InvalidArgument:
		// What Vertex AI says about a job that has ended is not documented, so ask
		// whether it has.
		if job, getErr := v.Get(ctx, name); getErr == nil && job.State.Ended() {
			return nil
		}
	}
	return err
}

// Resource implements [vertex.Client].
func (v *Vertex) Resource(ctx context.Context, name string) (vertex.Resource, error) {
	var resource *aiplatformpb.PersistentResource
	err := v.call(ctx, "resource", name, vertex.Name.IsResource, v.options.CallDeadline, func(ctx context.Context, r *regional) (err error) {
		resource, err = r.resources.GetPersistentResource(ctx, &aiplatformpb.GetPersistentResourceRequest{Name: name})
		return err
	})
	return resourceOf(resource, v.options.DiskType), err
}

var labelValue = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)

// isRegion reports whether a name is that of a region, the parent of jobs.
func isRegion(n vertex.Name) bool { return !n.IsJob() && !n.IsResource() }

// call makes one call to the region of a name of the given kind.
func (v *Vertex) call(ctx context.Context, op, name string, is func(vertex.Name) bool, deadline time.Duration, do func(context.Context, *regional) error) error {
	return v.callFor(ctx, op, name, "", is, deadline, do)
}

// callFor is call about a job that is to run under a service account.
func (v *Vertex) callFor(ctx context.Context, op, name, account string, is func(vertex.Name) bool, deadline time.Duration, do func(context.Context, *regional) error) error {
	parsed, ok := vertex.ParseName(name)
	if !ok || !is(parsed) {
		return refusal(op, name, errors.New("the name has another form"))
	}
	r, err := v.region(ctx, parsed.Region())
	if err != nil { // credentials, most likely; nothing has been sent
		return &vertex.Error{Op: op, Name: name, Kind: vertex.Denied, Message: "no client for the region", Err: err}
	}
	err = once(ctx, deadline, func(ctx context.Context) error { return do(ctx, r) })
	return VertexError(op, name, account, err)
}

func refusal(op, name string, err error) error {
	return &vertex.Error{Op: op, Name: name, Kind: vertex.Permanent, Message: err.Error(), Err: err}
}

// region returns the clients of a region.
func (v *Vertex) region(ctx context.Context, region string) (*regional, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, fmt.Errorf("vertex: closed")
	}
	if r, ok := v.regions[region]; ok {
		return r, nil
	}
	endpoint := v.options.Endpoint(region)
	options := append(v.option(), option.WithEndpoint(endpoint))
	if v.options.Insecure {
		options = append(options, local(endpoint)...)
	}
	options = append(options, v.options.ClientOptions...)
	// The clients outlive this call; what the context holds is for finding
	// credentials.
	ctx = context.WithoutCancel(ctx)
	jobs, err := aiplatform.NewJobClient(ctx, options...)
	if err != nil {
		return nil, err
	}
	resources, err := aiplatform.NewPersistentResourceClient(ctx, options...)
	if err != nil {
		return nil, cmp.Or(err, jobs.Close())
	}
	r := &regional{jobs, resources}
	v.regions[region] = r
	return r, nil
}
