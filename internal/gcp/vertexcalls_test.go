package gcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"example.com/berth/internal/vertex"
	"example.com/berth/internal/vertex/fakevertex"
)

// TestVertexCallsSayWhatFailed: the error of each call names the call, what it was
// about, the code, and the server's own words.
func TestVertexCallsSayWhatFailed(t *testing.T) {
	w := newWorld(t, VertexOptions{}, nil)
	const job1 = parent + "/customJobs/1"
	for _, test := range []struct {
		op, rpc, name string
		call          func(context.Context) error
	}{
		{"create", "CreateCustomJob", parent, func(ctx context.Context) error { _, err := w.Create(ctx, parent, job("run", 1)); return err }},
		{"get", "GetCustomJob", job1, func(ctx context.Context) error { _, err := w.Get(ctx, job1); return err }},
		{"find", "ListCustomJobs", parent, func(ctx context.Context) error { _, err := w.Find(ctx, parent, "run"); return err }},
		{"live", "ListCustomJobs", parent, func(ctx context.Context) error { _, err := w.Live(ctx, parent); return err }},
		{"cancel", "CancelCustomJob", job1, func(ctx context.Context) error { return w.Cancel(ctx, job1) }},
		{"resource", "GetPersistentResource", pool, func(ctx context.Context) error { _, err := w.Resource(ctx, pool); return err }},
		{"create", "CreateCustomJob", parent, func(ctx context.Context) error { _, err := w.Raw().Create(ctx, parent, job("run", 1)); return err }},
		{"get", "GetCustomJob", job1, func(ctx context.Context) error { _, err := w.Raw().Get(ctx, job1); return err }},
		{"list", "ListCustomJobs", parent, func(ctx context.Context) error { _, err := w.Raw().List(ctx, parent, ""); return err }},
		{"cancel", "CancelCustomJob", job1, func(ctx context.Context) error { return w.Raw().Cancel(ctx, job1) }},
		{"resource", "GetPersistentResource", pool, func(ctx context.Context) error { _, err := w.Raw().Resource(ctx, pool); return err }},
	} {
		w.FaultOnce(test.rpc, fakevertex.FailBefore(codes.OutOfRange, "out of it"))
		err := test.call(t.Context())
		e := (*vertex.Error)(nil)
		if !errors.As(err, &e) || e.Op != test.op || e.Name != test.name || e.Code != int32(codes.OutOfRange) || e.Message != "out of it" || e.Kind != vertex.Permanent {
			t.Errorf("%s: %+v", test.op, e)
		}
		if status.Code(err) != codes.OutOfRange {
			t.Errorf("%s: the cause is lost: %v", test.op, err)
		}
	}
	// What is refused here, and what has no client, says so too.
	_, err := w.Find(t.Context(), parent, "no label")
	e := (*vertex.Error)(nil)
	if !errors.As(err, &e) || e.Op != "find" || e.Name != parent || e.Kind != vertex.Permanent || e.Message == "" || e.Err == nil || e.Code != 0 {
		t.Errorf("a run that is no label: %+v", e)
	}
	if _, err := w.Live(t.Context(), "projects/my-project/locations/europe-west4"); err != nil {
		t.Fatal(err)
	}
	if err := w.Vertex.Close(); err != nil || len(w.regions) != 0 {
		t.Errorf("closed with %d regions left: %v", len(w.regions), err)
	}
	_, err = w.Live(t.Context(), parent)
	if !errors.As(err, &e) || e.Op != "live" || e.Name != parent || e.Kind != vertex.Denied || e.Message == "" || e.Err == nil {
		t.Errorf("after the end: %+v", e)
	}
}

// TestVertexErrorWords: what is kept of an error that is no answer, of one that is
// wrapped, and of one with details.
func TestVertexErrorWords(t *testing.T) {
	broken := errors.New("broken pipe")
	e := (*vertex.Error)(nil)
	if err := VertexError("get", "n", "", broken); !errors.As(err, &e) || e.Message != "broken pipe" || e.Code != 0 || e.Kind != vertex.Unclear || !errors.Is(err, broken) {
		t.Errorf("no answer: %+v", e)
	}
	wrapped := fmt.Errorf("rpc to somewhere: %w", status.Error(codes.NotFound, "no such thing"))
	if err := VertexError("get", "n", "", wrapped); !errors.As(err, &e) || e.Message != "no such thing" || e.Code != 5 || e.Kind != vertex.NotFound {
		t.Errorf("wrapped: %+v", e)
	}
	// Without an account of its own a job is never the cause of a denial by it.
	if got := vertex.KindOf(VertexError("create", "n", "", status.Error(codes.PermissionDenied, "No."))); got != vertex.Denied {
		t.Errorf("a denial of a job without an account: %s", got)
	}
	info := func(reason string) *errdetails.ErrorInfo { return &errdetails.ErrorInfo{Reason: reason} }
	for name, test := range map[string]struct {
		code    codes.Code
		details []protoadapt.MessageV1
		want    vertex.Kind
	}{
		"a reason that no rule asks for":   {codes.InvalidArgument, []protoadapt.MessageV1{info("BAD")}, vertex.Permanent},
		"another reason of a shortage":     {codes.ResourceExhausted, []protoadapt.MessageV1{info("FULL")}, vertex.Transient},
		"the reason is not the first":      {codes.ResourceExhausted, []protoadapt.MessageV1{&errdetails.RetryInfo{}, info("RATE_LIMIT_EXCEEDED")}, vertex.RateLimited},
		"the reason of a rate, other code": {codes.FailedPrecondition, []protoadapt.MessageV1{info("RATE_LIMIT_EXCEEDED")}, vertex.Transient},
	} {
		st, err := status.New(test.code, "no").WithDetails(test.details...)
		if err != nil {
			t.Fatal(err)
		}
		if got := vertex.KindOf(VertexError("create", "n", "", st.Err())); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestVertexCancelThatIsRefused: a refusal counts as done only if the job is seen to
// have ended.
func TestVertexCancelThatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		ended, hidden bool
		done          bool
	}{"it runs": {false, false, false}, "it has ended": {true, false, true}, "it cannot be seen": {true, true, false}} {
		for _, code := range []codes.Code{codes.FailedPrecondition, codes.InvalidArgument} {
			w := newWorld(t, VertexOptions{}, nil)
			j := w.create(t, "run-1", 1)
			if test.ended {
				w.clock.Advance(100 * time.Hour)
			}
			w.FaultOnce("CancelCustomJob", fakevertex.FailBefore(code, "no"))
			if test.hidden {
				w.FaultOnce("GetCustomJob", fakevertex.FailBefore(codes.Unavailable, "no"))
			}
			if err := w.Cancel(t.Context(), j.Name); (err == nil) != test.done || err != nil && status.Code(err) != code {
				t.Errorf("%s, refused with %s: %v", name, code, err)
			}
		}
	}
}

// endless lists jobs for ever.
type endless struct {
	aiplatformpb.UnimplementedJobServiceServer
	asked []*aiplatformpb.ListCustomJobsRequest
}

func (s *endless) ListCustomJobs(_ context.Context, r *aiplatformpb.ListCustomJobsRequest) (*aiplatformpb.ListCustomJobsResponse, error) {
	s.asked = append(s.asked, r)
	page := slices.Repeat([]*aiplatformpb.CustomJob{{Name: parent + "/customJobs/1"}}, vertex.PageSize)
	return &aiplatformpb.ListCustomJobsResponse{CustomJobs: page, NextPageToken: fmt.Sprint("page-", len(s.asked))}, nil
}

// TestVertexListEnds: a list that never ends is an error, not a part of it. Each page
// asks for the next, for all jobs and for the fields that are read.
func TestVertexListEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, jobs := grpc.NewServer(), &endless{}
	aiplatformpb.RegisterJobServiceServer(server, jobs)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	v, err := NewVertex(VertexOptions{Endpoint: func(string) string { return listener.Addr().String() }, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	list, err := v.Live(t.Context(), parent)
	e := (*vertex.Error)(nil)
	if !errors.As(err, &e) || list != nil || e.Op != "live" || e.Name != parent || e.Kind != vertex.Unclear || e.Err == nil || e.Message != "the list has more than 200 pages" {
		t.Errorf("%d jobs, %+v", len(list), e)
	}
	if len(jobs.asked) != 200 { // of 100 jobs: beyond any quota
		t.Errorf("%d pages were asked for, want 200", len(jobs.asked))
	}
	for i, r := range jobs.asked {
		token := ""
		if i > 0 {
			token = fmt.Sprint("page-", i)
		}
		if r.GetParent() != parent || r.GetFilter() != liveFilter || r.GetPageSize() != vertex.PageSize || r.GetPageToken() != token || !slices.Equal(r.GetReadMask().GetPaths(), wanted) {
			t.Fatalf("page %d is asked for by %v", i, r)
		}
	}
}

// TestContentionIsForgotten: a resource is contended until five seconds after the last
// commit that was lost.
func TestContentionIsForgotten(t *testing.T) {
	var c contention
	c.after([]string{"r", "s"}, 1, 10*time.Millisecond, start)
	c.after([]string{"s"}, 1, 10*time.Millisecond, start.Add(time.Second))
	if got := c.before([]string{"r", "s"}, start); got != 60*time.Millisecond {
		t.Errorf("at once, the longest of the two: %v", got)
	}
	if got := c.before([]string{"r"}, start.Add(contendedFor)); got != 30*time.Millisecond {
		t.Errorf("five seconds after it: %v", got)
	}
	if got := c.before([]string{"r"}, start.Add(contendedFor+1)); got != 0 {
		t.Errorf("later: %v", got)
	}
	if got := c.before([]string{"r", "s"}, start.Add(contendedFor+1)); got != 60*time.Millisecond {
		t.Errorf("the other resource: %v", got)
	}
}
