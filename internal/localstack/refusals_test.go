package localstack

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex/fakevertex"
)

// What Vertex AI refuses of any job is refused when a message is read, and nothing
// that it takes: each side knows the rules by its own code. A job in which one field
// is missing or wrong is refused by both or by none.
func TestBothSidesRefuseTheSameJobs(t *testing.T) {
	text, err := os.ReadFile("../message/testdata/whole.json")
	if err != nil {
		t.Fatal(err)
	}
	whole := &aiplatformpb.CustomJob{}
	if err := protojson.Unmarshal(text, whole); err != nil {
		t.Fatal(err)
	}
	create := fakeJobs(t)
	agreed := 0
	verdict := func(name string, job *aiplatformpb.CustomJob) {
		data, err := protojson.Marshal(job)
		if err != nil {
			t.Fatal(err)
		}
		m, refusal := message.Decode(message.Delivery{ID: "1", Data: data})
		sent := job
		if refusal == nil {
			sent = m.Request.Job
		}
		if sent.DisplayName == "" {
			sent.DisplayName = "named after its id"
		}
		answer := create(sent)
		if code := status.Code(answer); code != codes.OK && code != codes.InvalidArgument {
			t.Fatalf("%s: %v", name, answer)
		}
		switch {
		case (refusal == nil) != (answer == nil):
			t.Errorf("%s: Berth says %v, Vertex AI %v", name, refusal, answer)
		case refusal != nil:
			agreed++
		}
	}
	verdict("the whole job", proto.CloneOf(whole))
	var visit func(path string, of func(*aiplatformpb.CustomJob) protoreflect.Message)
	spoil := func(name string, of func(*aiplatformpb.CustomJob) protoreflect.Message, how func(protoreflect.Message)) {
		job := proto.CloneOf(whole)
		how(of(job))
		verdict(name, job)
	}
	visit = func(path string, of func(*aiplatformpb.CustomJob) protoreflect.Message) {
		of(whole).Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			at := path + "." + string(fd.Name())
			spoil("without "+at, of, func(m protoreflect.Message) { m.Clear(fd) })
			switch {
			case fd.IsMap():
			case fd.IsList() && fd.Message() != nil:
				for i := range v.List().Len() {
					visit(fmt.Sprintf("%s[%d]", at, i), func(j *aiplatformpb.CustomJob) protoreflect.Message { return of(j).Get(fd).List().Get(i).Message() })
				}
			case fd.IsList():
				spoil(at+" of x", of, func(m protoreflect.Message) { m.Mutable(fd).List().Set(0, protoreflect.ValueOf("x")) })
			case fd.Kind() == protoreflect.StringKind && fd.Name() != "boot_disk_type": // a disk of another type fits no pool
				spoil(at+" of x", of, func(m protoreflect.Message) { m.Set(fd, protoreflect.ValueOf("x")) })
			case fd.Kind() == protoreflect.Int32Kind:
				spoil(at+" of -1", of, func(m protoreflect.Message) { m.Set(fd, protoreflect.ValueOf(int32(-1))) })
			case fd.Message() != nil && fd.Message().FullName() != "google.protobuf.Duration":
				visit(at, func(j *aiplatformpb.CustomJob) protoreflect.Message { return of(j).Get(fd).Message() })
			}
			return true
		})
	}
	visit("job", (*aiplatformpb.CustomJob).ProtoReflect)
	for _, label := range []struct{ key, value string }{{"_a", "x"}, {"-a", "x"}, {"a", "X"}, {"a b", "x"}, {"a", "_-"}, {"1", ""}, {"ä", "ß"}} {
		spoil(fmt.Sprintf("label %q=%q", label.key, label.value), (*aiplatformpb.CustomJob).ProtoReflect, func(m protoreflect.Message) {
			m.Interface().(*aiplatformpb.CustomJob).Labels = map[string]string{label.key: label.value}
		})
	}
	if agreed < 40 {
		t.Errorf("only %d jobs are refused by both", agreed)
	}
}

// fakeJobs starts a fake Vertex AI and returns what creates a job there.
func fakeJobs(t *testing.T) func(*aiplatformpb.CustomJob) error {
	server := fakevertex.New(fakevertex.Options{
		Clock: fakevertex.NewManualClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), Projects: map[string]string{"p": "1"}, Seed: 1,
		Behaviour: func() *fakevertex.Behaviour {
			b := fakevertex.DefaultBehaviour()
			b.SubmitPerMinute = 1_000_000
			return &b
		}(),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client, err := aiplatform.NewJobClient(t.Context(), option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return func(job *aiplatformpb.CustomJob) error {
		_, err := client.CreateCustomJob(context.Background(), &aiplatformpb.CreateCustomJobRequest{Parent: "projects/p/locations/us-central1", CustomJob: job})
		return err
	}
}
