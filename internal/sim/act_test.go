package sim

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// recorder is a Vertex AI that reports the creates and their deadlines to a
// test.
type recorder struct {
	vertex.Client
	create func(ctx context.Context, parent string, job *aiplatformpb.CustomJob)
}

func (h recorder) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (vertex.Job, error) {
	h.create(ctx, parent, job)
	return h.Client.Create(ctx, parent, job)
}

// recording is a world whose controller reports its creates.
func recording(t *testing.T, create func(ctx context.Context, parent string, job *aiplatformpb.CustomJob)) *World {
	w := New(t)
	runs := 0
	w.Controller = controller.New(w.Config, w.Ledger, recorder{w.Vertex, create}, w.Out, slog.New(slog.DiscardHandler), controller.Env{
		Monotonic: func() time.Time { return w.Now },
		Sleep: func(_ context.Context, d time.Duration) error {
			w.Now = w.Now.Add(d)
			return nil
		},
		NewRun: func() string { runs++; return fmt.Sprintf("run%d", runs) },
	})
	return w
}

// A create is given what is left of its attempt's time, less the margin, counted
// from before the read that granted it: one that went on longer could make a job
// when another instance has taken over.
func TestCreateHasWhatIsLeft(t *testing.T) {
	for _, slow := range []time.Duration{0, 10 * time.Second, 54 * time.Second, 55 * time.Second, time.Hour} {
		var left []time.Duration
		w := recording(t, func(ctx context.Context, _ string, _ *aiplatformpb.CustomJob) {
			end, ok := ctx.Deadline()
			if !ok {
				t.Error("a create has no deadline")
			}
			left = append(left, time.Until(end))
		})
		w.Ask(Job{ID: "first", GPU: 1}) // so that there is an observation
		left = nil
		w.Ledger.Fault = func(op string) ledger.Fault {
			if op == ledger.OpCommit && w.State("a") == lifecycle.None {
				w.Now = w.Now.Add(slow) // the commit that admits takes that long
			}
			return ledger.None
		}
		_, _ = w.Try(Job{ID: "a", CPU: 1}.Body())
		want := w.Config.SubmitTimeout - w.Config.Margin - slow
		switch {
		case want <= 0 && len(left) != 0:
			t.Errorf("after a commit of %s a job is created, with %s", slow, left)
		case want <= 0:
		case len(left) != 1 || left[0] > want || left[0] < want-2*time.Second:
			t.Errorf("after a commit of %s a create is given %s, want %s", slow, left, want)
		}
	}
}

// The job that is created is the one that was asked for, on the resource that
// holds its machines, with our labels beside the user's and nothing else changed.
func TestCreatedJobIsTheOneAskedFor(t *testing.T) {
	var got *aiplatformpb.CustomJob
	var at string
	w := recording(t, func(_ context.Context, parent string, job *aiplatformpb.CustomJob) {
		at, got = parent, proto.CloneOf(job)
	})
	const spec = `{"displayName":"mine","labels":{"team":"a"},"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"2","diskSpec":{"bootDiskType":"pd-ssd","bootDiskSizeGb":100},
		"containerSpec":{"imageUri":"gcr.io/p/i","command":["c"],"args":["--x=1"],"env":[{"name":"A","value":"b"}]}}],
		"scheduling":{"timeout":"3600s"},"baseOutputDirectory":{"outputUriPrefix":"gs://b/o"},"enableWebAccess":true}}`
	w.Send([]byte(`{"requestId":"a","labels":{"run":"7"},"job":` + spec + `}`))
	want := &aiplatformpb.CustomJob{}
	if err := protojson.Unmarshal([]byte(spec), want); err != nil {
		t.Fatal(err)
	}
	rec := w.Record("a")
	want.JobSpec.PersistentResourceId = "pool"
	want.Labels = map[string]string{"team": "a", "run": "7", vertex.LabelRun: rec.Run, vertex.LabelRequest: string(rec.Key), vertex.LabelDeployment: w.Config.Deployment}
	if at != Parent || !proto.Equal(want, got) {
		t.Errorf("created in %s:\n%v\nwant\n%v", at, got, want)
	}
	if rec.Run == "" || rec.Attempt != 1 || rec.Key != message.KeyOf(Tenant, message.KindRequest, "a") {
		t.Errorf("the record says run %s, attempt %d, key %s", rec.Run, rec.Attempt, rec.Key)
	}
	// One without a name of its own has that of its request.
	w.Send([]byte(`{"requestId":"b","job":{"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1","containerSpec":{"imageUri":"i"}}]}}}`))
	if got.GetDisplayName() != "b" || got.GetLabels()[vertex.LabelRun] == rec.Run {
		t.Errorf("without a name it is created as %q, run %q", got.GetDisplayName(), got.GetLabels()[vertex.LabelRun])
	}
}

// Each kind of answer to a create has its outcome, its reason, and its effect on
// the others: who waits, and for how long.
func TestAnswersToACreate(t *testing.T) {
	for kind, want := range map[vertex.Kind]struct {
		state  lifecycle.State
		code   reason.Code
		holds  int
		second lifecycle.State // of a request that comes after it; "" for any
	}{
		vertex.Permanent:   {lifecycle.Failed, reason.VertexDeclined, 1, lifecycle.Submitted},
		vertex.Transient:   {lifecycle.Waiting, reason.VertexDeclined, 0, lifecycle.Waiting},
		vertex.RateLimited: {lifecycle.Reserved, reason.RateLimited, 2, lifecycle.Reserved},
		vertex.Unclear:     {lifecycle.Submitting, "", 2, ""}, // how many others it slows down is for the budget to say
	} {
		w := New(t)
		n := 0
		w.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error {
			if n++; n == 1 {
				return &vertex.Error{Op: "create", Kind: kind, Code: 9, Message: "as the test says"}
			}
			return nil
		}
		w.Ask(Job{ID: "a", CPU: 1})
		w.Ask(Job{ID: "b", CPU: 1})
		if got := w.State("a"); got != want.state {
			t.Errorf("%s: it is %s, want %s", kind, got, want.state)
		}
		if got := w.State("b"); want.second != "" && got != want.second {
			t.Errorf("%s: the next one is %s, want %s", kind, got, want.second)
		}
		if got := len(w.Document().Holds); got != want.holds {
			t.Errorf("%s: %d hold machines, want %d", kind, got, want.holds)
		}
		if why := w.Record("a").Why; want.code != "" && (why == nil || why.Code != want.code || why.Detail == "") {
			t.Errorf("%s: its reason is %+v, want %s", kind, why, want.code)
		}
		w.CheckHolds()
	}
}

// An id that is used again for another job is refused where it stands, to the
// message that did so, and the first request goes on.
func TestReusedIDIsRefusedByName(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	id := w.Ask(Job{ID: "a", CPU: 2})
	for _, e := range w.Out.All() {
		if e.MessageID != id {
			continue
		}
		if e.Type != message.Refused || e.Reason == nil || e.Reason.Code != reason.IDReused || e.Reason.Path != "requestId" || e.Reason.Detail == "" || e.Reason.Fix == "" || e.ClaimedRequestID != "a" {
			t.Errorf("the answer is %+v because of %+v", e, e.Reason)
		}
		w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
		return
	}
	t.Errorf("message %s was not answered", id)
}
