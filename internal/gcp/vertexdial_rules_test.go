package gcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"testing"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"

	"example.com/berth/internal/vertex"
)

// vertexOverWire is a client whose calls a function answers.
func vertexOverWire(t *testing.T, w *wire) *Vertex {
	t.Helper()
	v, err := NewVertex(VertexOptions{Endpoint: func(string) string { return "127.0.0.1:1" }, Insecure: true, ClientOptions: w.options()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// TestRawCallsOnTheWire: the raw form asks for what it is given, returns what the server
// says as it says it, and an error as it is, with no part of an answer.
func TestRawCallsOnTheWire(t *testing.T) {
	const job1 = parent + "/customJobs/1"
	given, made, resource := &aiplatformpb.CustomJob{DisplayName: "given"}, &aiplatformpb.CustomJob{Name: job1, DisplayName: "made"}, &aiplatformpb.PersistentResource{Name: pool}
	for _, test := range []struct {
		method  string
		request proto.Message
		answer  proto.Message
		call    func(context.Context, Raw) (proto.Message, error)
		within  string
	}{
		{"GetPersistentResource", &aiplatformpb.GetPersistentResourceRequest{Name: pool}, resource, func(ctx context.Context, r Raw) (proto.Message, error) { return r.Resource(ctx, pool) }, "15s"},
		{"CreateCustomJob", &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: given}, made, func(ctx context.Context, r Raw) (proto.Message, error) { return r.Create(ctx, parent, given) }, "30s"},
		{"GetCustomJob", &aiplatformpb.GetCustomJobRequest{Name: job1}, made, func(ctx context.Context, r Raw) (proto.Message, error) { return r.Get(ctx, job1) }, "15s"},
		{"CancelCustomJob", &aiplatformpb.CancelCustomJobRequest{Name: job1}, &emptypb.Empty{}, func(ctx context.Context, r Raw) (proto.Message, error) { return &emptypb.Empty{}, r.Cancel(ctx, job1) }, "15s"},
	} {
		for _, fails := range []bool{false, true} {
			w := &wire{answer: func(int, string, proto.Message) ([]proto.Message, error) {
				if fails {
					return nil, status.Error(codes.NotFound, "no")
				}
				return []proto.Message{test.answer}, nil
			}}
			got, err := test.call(t.Context(), vertexOverWire(t, w).Raw())
			if len(w.calls) != 1 || w.calls[0].method != test.method || w.calls[0].within.String() != test.within || !proto.Equal(w.calls[0].req, test.request) {
				t.Errorf("%s sends %+v, want %v within %s", test.method, w.calls, test.request, test.within)
			}
			if (vertex.KindOf(err) == vertex.NotFound || vertex.KindOf(err) == vertex.Transient) != fails || (err != nil) != fails {
				t.Errorf("%s, which fails: %t: %v", test.method, fails, err)
			}
			if diff := cmp.Diff(test.answer, got, protocmp.Transform()); !fails && diff != "" {
				t.Errorf("%s (-answered +returned):\n%s", test.method, diff)
			}
		}
	}
}

// TestRawListOnTheWire: a list has the jobs of all its pages, whole, in order; or is an error.
func TestRawListOnTheWire(t *testing.T) {
	for name, test := range map[string]struct {
		pages, fails int // the page that fails, 0 for none
		jobs         int
		kind         vertex.Kind // "" for no error
	}{
		"one page": {1, 0, vertex.PageSize, ""}, "three pages": {3, 0, 3 * vertex.PageSize, ""}, "a page that fails": {3, 2, 0, vertex.Unclear}, "a list that never ends": {1 << 30, 0, 0, vertex.Unclear},
	} {
		w := &wire{}
		w.answer = func(n int, _ string, _ proto.Message) ([]proto.Message, error) {
			if n == test.fails {
				return nil, status.Error(codes.Unavailable, "no")
			}
			page := &aiplatformpb.ListCustomJobsResponse{}
			for i := range vertex.PageSize {
				page.CustomJobs = append(page.CustomJobs, &aiplatformpb.CustomJob{Name: fmt.Sprint(parent, "/customJobs/", (n-1)*vertex.PageSize+i), DisplayName: "shown"})
			}
			if n < test.pages {
				page.NextPageToken = fmt.Sprint("page-", n)
			}
			return []proto.Message{page}, nil
		}
		all, err := vertexOverWire(t, w).Raw().List(t.Context(), parent, "the filter")
		if len(all) != test.jobs || (err == nil) != (test.kind == "") || err != nil && vertex.KindOf(err) != test.kind {
			t.Errorf("%s: %d jobs, %v", name, len(all), err)
		}
		for i, j := range all {
			if path.Base(j.GetName()) != fmt.Sprint(i) || j.GetDisplayName() != "shown" {
				t.Errorf("%s: job %d is %v", name, i, j)
			}
		}
		if want := min(test.pages, maxPages); len(w.calls) != want && test.fails == 0 || test.fails != 0 && len(w.calls) != test.fails {
			t.Errorf("%s: %d calls", name, len(w.calls))
		}
		for i, c := range w.calls {
			want := &aiplatformpb.ListCustomJobsRequest{Parent: parent, Filter: "the filter", PageSize: vertex.PageSize}
			if i > 0 {
				want.PageToken = fmt.Sprint("page-", i)
			}
			if !proto.Equal(c.req, want) || c.within.String() != "15s" {
				t.Fatalf("%s: call %d asks for %v within %s", name, i, c.req, c.within)
			}
		}
		if e := (*vertex.Error)(nil); test.pages > maxPages && (!errors.As(err, &e) || e.Op != "list" || e.Name != parent || e.Err == nil || e.Message != "the list has more than 200 pages") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestNoClientForTheRegion: where no client can be made, as without credentials, nothing has
// been sent: Berth may not call, and no job is at fault.
func TestNoClientForTheRegion(t *testing.T) {
	v, err := NewVertex(VertexOptions{Endpoint: func(string) string { return "127.0.0.1:1" }, ClientOptions: []option.ClientOption{option.WithAuthCredentialsFile(option.ServiceAccount, t.TempDir()+"/none.json")}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := v.Create(t.Context(), parent, job("run", 1))
		if e := (*vertex.Error)(nil); !errors.As(err, &e) || e.Op != "create" || e.Name != parent || e.Kind != vertex.Denied || e.Message != "no client for the region" || e.Err == nil {
			t.Errorf("%v", err)
		}
	}
	if len(v.RPCs()) != 0 || len(v.regions) != 0 {
		t.Errorf("calls %v, clients %v", v.RPCs(), v.regions)
	}
}

// unavailable is a Vertex AI that answers its first create with an error.
type unavailable struct {
	aiplatformpb.UnimplementedJobServiceServer
	creates []string
}

func (s *unavailable) CreateCustomJob(_ context.Context, r *aiplatformpb.CreateCustomJobRequest) (*aiplatformpb.CustomJob, error) {
	s.creates = append(s.creates, r.GetCustomJob().GetLabels()[vertex.LabelRun])
	if len(s.creates) == 1 {
		return nil, status.Error(codes.Unavailable, "not now")
	}
	return &aiplatformpb.CustomJob{Name: parent + "/customJobs/1"}, nil
}

// TestNoPolicyRepeatsACall: neither gRPC's own retries, nor a policy that a name server
// sends, repeats or ends a call: a create that is repeated makes a second job.
func TestNoPolicyRepeatsACall(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, jobs := grpc.NewServer(), &unavailable{}
	aiplatformpb.RegisterJobServiceServer(server, jobs)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	names := manual.NewBuilderWithScheme("berthtest")
	names.BuildCallback = func(_ resolver.Target, c resolver.ClientConn, _ resolver.BuildOptions) {
		names.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: listener.Addr().String()}},
			ServiceConfig: c.ParseServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"0.000000001s"}]}`)})
	}
	const again = `{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":5,"initialBackoff":"0.001s","maxBackoff":"0.001s","backoffMultiplier":1,"retryableStatusCodes":["UNAVAILABLE"]}}]}`
	v, err := NewVertex(VertexOptions{Endpoint: func(string) string { return "berthtest:///vertex" }, Insecure: true, ClientOptions: []option.ClientOption{
		option.WithGRPCDialOption(grpc.WithResolvers(names)), option.WithGRPCDialOption(grpc.WithDefaultServiceConfig(again))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	for i, want := range []vertex.Kind{vertex.Unclear, ""} {
		run := fmt.Sprint("run", i)
		if _, err := v.Create(t.Context(), parent, job(run, 1)); (err == nil) != (want == "") || err != nil && (vertex.KindOf(err) != want || status.Code(err) != codes.Unavailable) {
			t.Errorf("create %s: %v, want %s", run, err, want)
		}
	}
	if !slices.Equal(jobs.creates, []string{"run0", "run1"}) {
		t.Errorf("the server has got the creates %q, want each once", jobs.creates)
	}
}
