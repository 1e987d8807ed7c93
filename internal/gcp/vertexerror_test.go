package gcp

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/vertex"
	"example.com/berth/internal/vertex/fakevertex"
)

// Every code, and every wording that makes a difference: what is concluded from
// it after a create and after any other call. The test fails
// for a code that has no row here.
func TestVertexErrors(t *testing.T) {
	const account = "trainer@p.iam.gserviceaccount.com" // of the job
	type row struct {
		code          codes.Code
		message       string
		create, other vertex.Kind
	}
	rows := []row{
		{codes.Canceled, "", vertex.Unclear, vertex.Unclear},
		{codes.Unknown, "", vertex.Unclear, vertex.Unclear},
		{codes.InvalidArgument, "List of found errors:\t1.Field: job_spec; Message: no.\t", vertex.Permanent, vertex.Permanent},
		{codes.InvalidArgument, "You do not have permission to act as service_account: a", vertex.Permanent, vertex.Permanent},
		{codes.DeadlineExceeded, "", vertex.Unclear, vertex.Unclear},
		{codes.NotFound, "The PersistentResource does not exist.", vertex.Transient, vertex.NotFound},
		{codes.AlreadyExists, "", vertex.Unclear, vertex.Unclear},
		{codes.PermissionDenied, "", vertex.Denied, vertex.Denied},
		{codes.PermissionDenied, "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/projects/p/locations/l' (or it may not exist).", vertex.Denied, vertex.Denied},
		{codes.PermissionDenied, "Vertex AI API has not been used in project 7 before or it is disabled.", vertex.Denied, vertex.Denied},
		{codes.PermissionDenied, "Permission 'aiplatform.customJobs.create' denied for trainer@p.iam.gserviceaccount.com", vertex.Denied, vertex.Denied},
		{codes.PermissionDenied, "Permission 'iam.serviceAccounts.actAs' denied on service account other@p.iam.gserviceaccount.com", vertex.Permanent, vertex.Denied},
		{codes.PermissionDenied, "You do not have permission to act as service_account: other@p.iam.gserviceaccount.com", vertex.Permanent, vertex.Denied},
		{codes.PermissionDenied, "Service account Trainer@p.iam.gserviceaccount.com does not exist, or may not be used.", vertex.Permanent, vertex.Denied},
		{codes.PermissionDenied, "Service account other@p.iam.gserviceaccount.com may not be used.", vertex.Denied, vertex.Denied},
		{codes.ResourceExhausted, "The following quota metrics exceed quota limits: aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus", vertex.Permanent, vertex.RateLimited},
		{codes.ResourceExhausted, "Quota exceeded for quota metric 'Custom_Model_Training_cpus'", vertex.Permanent, vertex.RateLimited},
		{codes.ResourceExhausted, "These quota metrics exceed their limits", vertex.Permanent, vertex.RateLimited},
		{codes.ResourceExhausted, "Quota exceeded for quota metric 'Submissions' and limit 'Submissions per minute per region'", vertex.RateLimited, vertex.RateLimited},
		{codes.ResourceExhausted, "Rate limit reached", vertex.RateLimited, vertex.RateLimited},
		{codes.ResourceExhausted, "Too Many Requests", vertex.RateLimited, vertex.RateLimited},
		{codes.ResourceExhausted, "No free replica in the resource pool", vertex.Transient, vertex.RateLimited},
		{codes.FailedPrecondition, "The PersistentResource is not RUNNING", vertex.Transient, vertex.Transient},
		{codes.Aborted, "", vertex.Unclear, vertex.Unclear},
		{codes.OutOfRange, "", vertex.Permanent, vertex.Permanent},
		{codes.Unimplemented, "", vertex.Denied, vertex.Denied},
		{codes.Internal, "", vertex.Unclear, vertex.Unclear},
		{codes.Unavailable, "", vertex.Unclear, vertex.Unclear},
		{codes.DataLoss, "", vertex.Unclear, vertex.Unclear},
		{codes.Unauthenticated, "transport: per-RPC creds failed due to error: metadata server", vertex.Denied, vertex.Denied},
		{codes.Code(99), "a code of the future", vertex.Unclear, vertex.Unclear},
	}
	seen := map[codes.Code]bool{}
	for _, r := range rows {
		seen[r.code] = true
		for op, want := range map[string]vertex.Kind{"create": r.create, "get": r.other} {
			err := VertexError(op, "name", account, status.Error(r.code, r.message))
			e := (*vertex.Error)(nil)
			if !errors.As(err, &e) || e.Kind != want || e.Code != int32(r.code) || e.Message != r.message || e.Op != op || e.Name != "name" {
				t.Errorf("%s, %v %q: %+v, want %s", op, r.code, r.message, e, want)
			}
		}
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if !seen[code] {
			t.Errorf("%v is not tested", code)
		}
	}

	// The reason that the server attaches counts, whatever the words.
	st, err := status.New(codes.ResourceExhausted, "no").WithDetails(&errdetails.ErrorInfo{Reason: "RATE_LIMIT_EXCEEDED"})
	if err != nil {
		t.Fatal(err)
	}
	if got := vertex.KindOf(VertexError("create", "name", "", st.Err())); got != vertex.RateLimited {
		t.Errorf("rate limit by reason only: %s", got)
	}
	for _, err := range []error{errors.New("broken"), context.DeadlineExceeded} {
		if got := vertex.KindOf(VertexError("create", "name", "", err)); got != vertex.Unclear {
			t.Errorf("%v: %s", err, got)
		}
	}
	if VertexError("create", "name", "", nil) != nil {
		t.Error("an error of nothing")
	}
}

// The same through the wire, in the words that the fake has for each.
func TestVertexCreateErrors(t *testing.T) {
	for name, test := range map[string]struct {
		change   func(*fakevertex.Behaviour)
		replicas int64
		want     vertex.Kind
	}{
		"full, precondition": {func(b *fakevertex.Behaviour) { b.FullPool = fakevertex.FullFailedPrecondition }, 1, vertex.Transient},
		"full, exhausted":    {func(b *fakevertex.Behaviour) { b.FullPool = fakevertex.FullResourceExhausted }, 1, vertex.Transient},
		"too many replicas":  {nil, 4, vertex.Permanent},
		"rate":               {func(b *fakevertex.Behaviour) { b.SubmitPerMinute = 1 }, 1, vertex.RateLimited},
		"machine quota": {func(b *fakevertex.Behaviour) {
			b.MachineQuota, b.MachineQuotaOnResources = "custom_model_training_nvidia_l4_gpus", true
		}, 1, vertex.Permanent},
	} {
		w := newWorld(t, VertexOptions{}, nil)
		w.create(t, "first", 3)
		if test.change != nil {
			w.SetBehaviour(test.change)
		}
		_, err := w.Create(t.Context(), parent, job("second", test.replicas))
		e := (*vertex.Error)(nil)
		if !errors.As(err, &e) || e.Kind != test.want || e.Message == "" {
			t.Errorf("%s: %v, want %s with Vertex AI's words", name, err, test.want)
		}
		if n := len(w.Jobs()); n != 1 {
			t.Errorf("%s: %d jobs", name, n)
		}
	}
}
