package sim

import (
	"context"
	"time"

	aiplatformpb "cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// declines makes Vertex AI refuse creates with an error, while on says so.
func (s *story) declines(kind vertex.Kind, code codes.Code, while func() bool) {
	s.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error {
		if !while() {
			return nil
		}
		return &vertex.Error{Op: "create", Kind: kind, Code: int32(code)}
	}
}

func times(n int) func() bool { return func() bool { n--; return n >= 0 } }

// stories are the walks of one message and of the passes after it, by name.
var stories = map[string]func(*story){
	"a-whole-life": func(s *story) {
		s.ask(Job{ID: "a", CPU: 2})
		s.runs("a", vertex.JobRunning)
		s.tick(3 * time.Second)
		s.tick(time.Minute)
		s.runs("a", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.tick(time.Minute)
	},
	"a-pause": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 3})
		s.runs("runs", vertex.JobRunning)
		s.ask(Job{ID: "waits", CPU: 2})
		s.operate(message.Pause)
		s.ask(Job{ID: "comes", CPU: 1})
		s.tick(time.Minute)
		s.runs("runs", vertex.JobSucceeded)
		s.ticks(2, time.Minute)
		s.operate(message.Resume)
		s.operate(message.Resume)
		s.tick(time.Minute)
	},
	"a-drain": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 1})
		s.operate(message.Drain)
		s.tick(time.Minute)
		s.runs("runs", vertex.JobSucceeded)
		s.ticks(2, time.Minute)
		s.operate(message.Resume)
	},
	"operators-and-requests": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 3})
		s.ask(Job{ID: "a", CPU: 4})
		s.ask(Job{ID: "b", CPU: 4})
		s.operate(message.Prioritise, `"requestId":"b"`, `"front":true`)
		s.operate(message.CancelRequest, `"requestId":"a"`)
		s.operate(message.Requeue, `"requestId":"runs"`)
		s.runs("runs", vertex.JobCancelled)
		s.ticks(2, time.Minute)
	},
	"ends-of-jobs": func(s *story) {
		for _, end := range []struct {
			id    string
			state vertex.JobState
		}{{"failed", vertex.JobFailed}, {"cancelled", vertex.JobCancelled}, {"expired", vertex.JobExpired}, {"partly", vertex.JobPartiallySucceeded}} {
			s.ask(Job{ID: end.id, CPU: 1})
			s.runs(end.id, end.state)
		}
		s.tick(time.Minute)
		s.tick(time.Minute)
	},
	"a-job-deleted-at-vertex-ai": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.runs("a", vertex.JobRunning)
		s.tick(time.Minute)
		s.step("the job is deleted")
		s.Vertex.Delete(s.JobOf("a"))
		s.ticks(4, time.Minute)
	},
	"queue-by-priority-and-age": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "wide", CPU: 3})
		s.ask(Job{ID: "late", CPU: 1})
		s.ask(Job{ID: "urgent", CPU: 2, Priority: 10})
		s.ask(Job{ID: "gpu", GPU: 1})
		s.tick(time.Minute)
		s.runs("runs", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.runs("urgent", vertex.JobFailed)
		s.tick(time.Minute)
		s.tick(time.Minute)
	},
	"a-gang-over-two-pools": func(s *story) {
		s.ask(Job{ID: "cpu", CPU: 3})
		s.ask(Job{ID: "gang", CPU: 2, GPU: 2})
		s.ask(Job{ID: "gpu", GPU: 1})
		s.ask(Job{ID: "one", CPU: 1})
		s.runs("cpu", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.runs("gang", vertex.JobSucceeded)
		s.tick(time.Minute)
	},
	"can-never-fit": func(s *story) {
		s.ask(Job{ID: "too many", CPU: 5})
		s.ask(Job{ID: "toomany", CPU: 5})
		s.ask(Job{ID: "disk", CPU: 1, Disk: "pd-standard"})
		s.ask(Job{ID: "key", CPU: 1, KMSKey: "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"})
		s.ask(Job{ID: "elsewhere", CPU: 1, Resource: "other"})
		s.ask(Job{ID: "account", CPU: 1, Spec: map[string]any{"serviceAccount": "a@p.iam.gserviceaccount.com"}})
		s.ask(Job{ID: "network", CPU: 1, Spec: map[string]any{"network": "projects/1/global/networks/n"}})
	},
	"reject-when-full": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "now or never", CPU: 1, OnFull: "reject"})
		s.ask(Job{ID: "noworneverr", CPU: 1, OnFull: "reject"})
	},
	"waits-too-long": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.runs("runs", vertex.JobRunning)
		s.ask(Job{ID: "short", CPU: 1, MaxWait: "600s"})
		s.tick(9 * time.Minute)
		s.tick(2 * time.Minute)
		s.tick(time.Minute)
	},
	"does-not-start-in-time": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.runs("a", vertex.JobPending)
		s.tick(30 * time.Minute)
		s.tick(31 * time.Minute)
		s.tick(time.Minute)
		s.runs("a", vertex.JobCancelled)
		s.tick(time.Minute)
	},
	"cancels-in-every-state": func(s *story) {
		s.cancel("nothing")
		s.ask(Job{ID: "nothing", CPU: 1})
		s.ask(Job{ID: "submitted", CPU: 1})
		s.cancel("submitted")
		s.cancel("submitted")
		s.ask(Job{ID: "running", CPU: 3})
		s.runs("running", vertex.JobRunning)
		s.tick(time.Minute)
		s.ask(Job{ID: "waiting", CPU: 4})
		s.cancel("waiting")
		s.cancel("running")
		s.tick(time.Minute)
		s.runs("running", vertex.JobCancelled)
		s.runs("submitted", vertex.JobCancelled)
		s.tick(time.Minute)
		s.cancel("running")
		s.ask(Job{ID: "running", CPU: 3})
	},
	"the-same-again": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "a", CPU: 2})
		s.runs("a", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.ask(Job{ID: "a", CPU: 1})
		s.step("the first message once more")
		s.deliverAs("m1", Job{ID: "a", CPU: 1}.Body())
	},
	"malformed": func(s *story) {
		s.send("no JSON", `{"job":`)
		s.send("an unknown field", `{"job":{"displayName":"d","jobSpec":{"workerPoolSpecs":[]}},"prio":1}`)
		s.send("a cancel without an id", `{"cancel":{}}`)
	},
	"dry-runs": func(s *story) {
		s.ask(Job{ID: "fits", CPU: 1, DryRun: true})
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "waits", CPU: 1})
		s.ask(Job{ID: "asked", CPU: 1, DryRun: true})
		s.ask(Job{ID: "never", CPU: 9, DryRun: true})
		s.ask(Job{ID: "nowhere", CPU: 1, DryRun: true, Resource: "other"})
		s.ask(Job{ID: "runs", CPU: 4, DryRun: true})
	},
	"declined-for-now": func(s *story) {
		s.declines(vertex.Transient, codes.ResourceExhausted, times(3))
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		s.ticks(3, 10*time.Second)
		s.ticks(4, time.Minute)
	},
	"refused-by-vertex-ai": func(s *story) {
		s.declines(vertex.Permanent, codes.InvalidArgument, times(1))
		s.ask(Job{ID: "a", CPU: 1})
		s.tick(time.Minute)
	},
	"denied": func(s *story) {
		s.declines(vertex.Denied, codes.PermissionDenied, times(4))
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		s.ticks(6, 30*time.Second)
		s.ticks(4, time.Minute)
	},
	"too-many-calls": func(s *story) {
		n := 2
		s.fail("vertex create", vertex.FailRate, func(string) bool { n--; return n >= 0 })
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		s.ticks(5, 30*time.Second)
	},
	"a-create-whose-answer-is-lost": func(s *story) {
		s.once("vertex create", vertex.FailAfter)
		s.ask(Job{ID: "a", CPU: 1})
		s.tick(10 * time.Second)
		s.tick(time.Minute)
		s.tick(time.Minute)
	},
	"a-create-that-did-nothing": func(s *story) {
		s.once("vertex create", vertex.FailBefore)
		s.ask(Job{ID: "a", CPU: 1})
		s.tick(10 * time.Second)
		s.ticks(3, time.Minute)
	},
	"creates-are-never-answered": func(s *story) {
		s.fail("vertex create", vertex.FailBefore, nil)
		s.ask(Job{ID: "a", CPU: 1})
		s.ticks(22, 2*time.Minute)
		s.works("vertex create")
		s.ticks(3, 2*time.Minute)
	},
	"commits-go-wrong": func(s *story) {
		s.once("ledger commit", ledger.FailCommit)
		s.ask(Job{ID: "a", CPU: 1})
		s.once("ledger commit", ledger.LoseAnswer)
		s.ask(Job{ID: "b", CPU: 1})
		s.once("ledger commit", ledger.LoseAnswerAndCheck)
		s.ask(Job{ID: "c", CPU: 1})
		s.once("ledger commit", ledger.Stale)
		s.ask(Job{ID: "d", CPU: 1})
		s.once("ledger read", ledger.FailRead)
		s.ask(Job{ID: "e", CPU: 1})
		s.tick(20 * time.Second)
		s.tick(2 * time.Minute)
	},
	"events-that-are-not-published-at-once": func(s *story) {
		s.fail("publish", vertex.FailBefore, nil)
		s.ask(Job{ID: "a", CPU: 1})
		s.tick(10 * time.Second)
		s.tick(time.Minute)
		s.fail("publish", vertex.FailAfter, nil)
		s.tick(time.Minute)
		s.works("publish")
		s.tick(time.Minute)
	},
	"rate-of-submissions": func(s *story) {
		s.Config.Submissions = 2
		s.Controller = s.Instance(s.Config)
		for _, id := range []string{"a", "b", "c", "d"} {
			s.ask(Job{ID: id, CPU: 1})
		}
		s.cancel("d")
		s.ticks(4, 20*time.Second)
	},
	"machines-of-others": func(s *story) {
		s.step("others start a job on 3 cpu machines")
		foreign := s.Vertex.AddForeign(Parent, Resource, capacity.Ask{{Shape: CPU, Replicas: 3}})
		s.tick(time.Minute)
		s.ask(Job{ID: "a", CPU: 2})
		s.step("it ends")
		s.Vertex.SetJob(foreign, vertex.JobSucceeded)
		s.tick(time.Minute)
	},
	"an-orphan-job": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.step("a second job of the run appears")
		if len(s.Vertex.Jobs()) == 0 {
			s.tick(2 * time.Minute) // a fault kept the first from being created
		}
		job := s.Vertex.Jobs()[0]
		_, _ = s.Vertex.Create(context.Background(), Parent, &aiplatformpb.CustomJob{Labels: map[string]string{
			vertex.LabelRequest: string(message.KeyOf(Tenant, message.KindRequest, "a")), vertex.LabelRun: job.Run, vertex.LabelDeployment: s.Config.Deployment,
		}, JobSpec: &aiplatformpb.CustomJobSpec{PersistentResourceId: "pool", WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
			MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: 1,
		}}}})
		s.ticks(3, time.Minute)
	},
	"a-hold-is-lost": func(s *story) {
		s.ask(Job{ID: "a", CPU: 2})
		s.runs("a", vertex.JobRunning)
		s.tick(time.Minute)
		s.step("a manual edit deletes the hold")
		s.edit(func(r *ledger.Resource) { r.Holds = nil; r.Recompute() })
		s.ticks(2, time.Minute)
		s.runs("a", vertex.JobSucceeded)
		s.tick(time.Minute)
	},
	"the-resource-document-is-lost": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 3})
		s.ask(Job{ID: "waits", CPU: 3})
		s.runs("runs", vertex.JobRunning)
		s.tick(time.Minute)
		s.step("the document of the resource is lost")
		s.loseResources()
		s.watchLedger()
		s.ticks(7, time.Minute)
		s.ask(Job{ID: "next", CPU: 1})
	},
	"the-resource-reboots": func(s *story) {
		s.pools("UPDATING", 4, 2)
		s.tick(time.Minute)
		s.ask(Job{ID: "a", CPU: 1})
		s.pools(vertex.Running, 4, 2)
		s.tick(time.Minute)
	},
	"the-resource-goes-and-comes-back": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "waits", CPU: 1})
		s.step("the resource is deleted")
		s.Vertex.SetResource(Resource, vertex.Resource{})
		s.ticks(4, time.Minute)
		s.pools(vertex.Running, 4, 2)
		s.ticks(3, time.Minute)
	},
	"pools-that-rule-a-waiting-request-out": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "wide", CPU: 3})
		s.pools(vertex.Running, 2, 2)
		s.ticks(2, time.Minute)
		s.ask(Job{ID: "after", CPU: 1})
		s.tick(12 * time.Hour)
		s.pools(vertex.Running, 4, 2)
		s.tick(time.Minute)
		s.pools(vertex.Running, 2, 2)
		s.tick(time.Minute)
		s.ticks(3, 9*time.Hour)
	},
	"vertex-ai-cannot-be-observed": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.fail("vertex live", vertex.FailBefore, nil)
		s.ticks(4, time.Minute)
		s.ask(Job{ID: "b", CPU: 1})
		s.works("vertex live")
		s.fail("vertex resource", vertex.FailBefore, nil)
		s.ticks(2, time.Minute)
		s.works("vertex resource")
		s.ticks(2, time.Minute)
	},
	"hints": func(s *story) {
		s.ask(Job{ID: "a", CPU: 4})
		s.ask(Job{ID: "b", CPU: 4})
		s.runs("a", vertex.JobRunning)
		s.step("hint")
		_ = s.Controller.Hint(context.Background(), s.JobOf("a"))
		s.runs("a", vertex.JobSucceeded)
		s.step("hint")
		_ = s.Controller.Hint(context.Background(), s.JobOf("a"))
		s.step("a hint of an unknown job")
		_ = s.Controller.Hint(context.Background(), Parent+"/customJobs/1")
		s.tick(time.Minute)
	},
	"an-unreadable-record": func(s *story) {
		s.ask(Job{ID: "a", CPU: 2})
		s.ask(Job{ID: "b", CPU: 3})
		s.step("the record of a cannot be read")
		doc := ledger.Ref{Kind: ledger.KindRecord, Name: string(message.KeyOf(Tenant, message.KindRequest, "a"))}
		s.Ledger.Spoil(doc, "it has layout 9")
		s.tick(time.Minute)
		s.ask(Job{ID: "a", CPU: 2})
		s.cancel("a")
		s.step("its job ends")
		s.Vertex.SetJob(s.Vertex.Jobs()[0].Name, vertex.JobSucceeded)
		s.tick(time.Minute)
		s.step("it can be read again")
		s.Ledger.Heal(doc)
		s.ticks(2, time.Minute)
	},
	"two-instances": func(s *story) {
		other := s.Instance(s.Config)
		s.ask(Job{ID: "a", CPU: 1})
		s.tick(time.Minute)
		s.step("another instance makes a pass under the first one's lease")
		r, err := other.Reconcile(context.Background(), "other", time.Second)
		s.line("pass %s%s", nonZero(r), errorOf(err))
		s.step("and after its end")
		s.Now = s.Now.Add(3 * time.Minute)
		r, err = other.Reconcile(context.Background(), "other", time.Second)
		s.line("pass %s%s", nonZero(r), errorOf(err))
	},
	"two-regions": func(s *story) {
		const far = "projects/test-project/locations/europe-west4"
		s.Config.Regions = []string{"us-central1", "europe-west4"}
		s.Controller = s.Instance(s.Config)
		for _, name := range []string{Parent + "/persistentResources/second", far + "/persistentResources/pool"} {
			s.Vertex.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 2}}})
		}
		s.ask(Job{ID: "first", CPU: 2})
		s.ask(Job{ID: "second", CPU: 2, Resource: "second"})
		s.ask(Job{ID: "far", CPU: 2, Resource: far + "/persistentResources/pool"})
		s.ask(Job{ID: "waits", CPU: 1, Resource: far + "/persistentResources/pool"})
		s.tick(time.Minute)
		s.fail("vertex live", vertex.FailBefore, func(name string) bool { return name == far })
		s.runs("first", vertex.JobSucceeded)
		s.runs("far", vertex.JobSucceeded)
		s.ticks(2, time.Minute)
		s.works("vertex live")
		s.tick(time.Minute)
	},
	"many-released-at-once": func(s *story) {
		s.pools(vertex.Running, 30, 1)
		s.ask(Job{ID: "runs", CPU: 30})
		for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w"} {
			s.ask(Job{ID: id, CPU: 1})
		}
		s.ask(Job{ID: "last", CPU: 9})
		s.runs("runs", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.step("the resource is deleted")
		s.Vertex.SetResource(Resource, vertex.Resource{})
		s.ticks(2, time.Minute)
	},
	"a-condition-that-comes-and-goes": func(s *story) {
		s.ask(Job{ID: "runs", CPU: 4})
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		for range 3 {
			s.pools("ERROR", 4, 2)
			s.ticks(2, time.Minute)
			s.pools(vertex.Running, 4, 2)
			s.ticks(2, time.Minute)
		}
	},
	"an-answer-that-comes-late": func(s *story) {
		first := true
		s.Controller = s.Paused(func() bool {
			if jobs := s.Vertex.Jobs(); len(jobs) > 0 && first {
				first = false
				s.step("the instance stops for three minutes after its create")
				s.Now = s.Now.Add(3 * time.Minute)
			}
			return false
		})
		s.ask(Job{ID: "a", CPU: 1})
		s.ticks(3, time.Minute)
	},
	"a-cancel-while-a-create-is-unclear": func(s *story) {
		s.fail("vertex create", vertex.FailAfter, nil)
		s.ask(Job{ID: "done", CPU: 1})
		s.cancel("done")
		s.fail("vertex create", vertex.FailBefore, nil)
		s.ask(Job{ID: "not", CPU: 1})
		s.cancel("not")
		s.works("vertex create")
		s.ticks(4, 2*time.Minute)
		s.step("the job that was created ends")
		s.Vertex.SetJob(s.Vertex.Jobs()[0].Name, vertex.JobCancelled)
		s.ticks(10, 2*time.Minute)
	},
	"a-cancel-that-cannot-be-sent": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.fail("vertex cancel", vertex.FailBefore, nil)
		s.cancel("a")
		s.ticks(2, time.Minute)
		s.works("vertex cancel")
		s.ticks(2, time.Minute)
		s.step("Vertex AI lets it end by itself")
		s.Vertex.SetJob(s.Vertex.Jobs()[0].Name, vertex.JobSucceeded)
		s.tick(time.Minute)
	},
	"options-and-forms": func(s *story) {
		s.send("a bare spec without an id", `{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"gcr.io/p/i"}}]}`)
		s.send("labels and a full name", `{"requestId":"l","labels":{"team":"vision"},"priority":-5,"maxWait":"60s","persistentResource":"`+Resource+`","job":{"displayName":"d","labels":{"own":"x"},"jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":4,"containerSpec":{"imageUri":"gcr.io/p/i"}}],"scheduling":{"timeout":"3600s"}}}}`)
		s.send("a project that is not served", `{"requestId":"f","persistentResource":"projects/other/locations/us-central1/persistentResources/p","job":{"displayName":"d","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"gcr.io/p/i"}}]}}}`)
		s.ticks(2, time.Minute)
	},
	"machines-in-use-that-no-job-explains": func(s *story) {
		s.Vertex.CountUsed, s.Vertex.UsedLag = true, 5*time.Minute
		s.ask(Job{ID: "a", CPU: 3})
		s.runs("a", vertex.JobRunning)
		s.tick(time.Minute)
		s.runs("a", vertex.JobSucceeded)
		s.tick(time.Minute)
		s.ask(Job{ID: "b", CPU: 3})
		s.ticks(6, time.Minute)
	},
	"pools-shrink-below-what-runs": func(s *story) {
		s.ask(Job{ID: "a", CPU: 4})
		s.ask(Job{ID: "g", GPU: 4})
		s.pools(vertex.Running, 2, 1)
		s.tick(time.Minute)
		s.ask(Job{ID: "b", CPU: 1})
		s.runs("a", vertex.JobSucceeded)
		s.ticks(2, time.Minute)
	},
	"a-ray-cluster-and-accounts": func(s *story) {
		pools := []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}
		s.Vertex.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: pools, Ray: true})
		s.ask(Job{ID: "ray", CPU: 1})
		s.Vertex.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(2, 0), Pools: pools, CustomAccount: true, Network: "projects/1/global/networks/n"})
		s.tick(time.Minute)
		s.ask(Job{ID: "account", CPU: 1, Spec: map[string]any{"serviceAccount": "a@p.iam.gserviceaccount.com"}})
		s.ask(Job{ID: "network", CPU: 1, Spec: map[string]any{"network": "projects/1/global/networks/other"}})
		s.ask(Job{ID: "both", CPU: 1, Spec: map[string]any{"network": "projects/1/global/networks/n", "serviceAccount": "a@p.iam.gserviceaccount.com"}})
	},
	"unreadable-documents": func(s *story) {
		s.ask(Job{ID: "a", CPU: 2})
		s.ask(Job{ID: "waits", CPU: 3})
		for _, doc := range []ledger.Ref{{Kind: ledger.KindResource, Name: Resource}, {Kind: ledger.KindBudget, Name: Parent}, {Kind: ledger.KindLease, Name: "reconcile"}} {
			s.step("%s %s cannot be read", doc.Kind, doc.Name)
			s.Ledger.Spoil(doc, "it has layout 9")
			s.tick(time.Minute)
			s.ask(Job{ID: "while-" + string(doc.Kind), CPU: 1})
			s.Ledger.Heal(doc)
			s.tick(time.Minute)
		}
	},
	"a-job-elsewhere-with-copied-labels": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		job := s.Vertex.Jobs()[0]
		s.step("a job with the labels of a on another resource, and one with labels of no form")
		s.Vertex.Strict = false
		for _, c := range [][2]string{{"other", string(job.Request)}, {"pool", "__x__"}} {
			resource, request := c[0], c[1]
			_, _ = s.Vertex.Create(context.Background(), Parent, &aiplatformpb.CustomJob{Labels: map[string]string{
				vertex.LabelRequest: request, vertex.LabelRun: job.Run, vertex.LabelDeployment: s.Config.Deployment,
			}, JobSpec: &aiplatformpb.CustomJobSpec{PersistentResourceId: resource, WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
				MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: 1,
			}}}})
			s.tick(time.Minute)
		}
		s.ticks(2, time.Minute)
	},
	"refused-while-others-are-accepted": func(s *story) {
		refusing(s.World, "a", always)
		s.ask(Job{ID: "a", CPU: 2})
		for _, id := range []string{"b", "c", "d", "e"} {
			s.ask(Job{ID: id, CPU: 1})
			s.ticks(4, time.Minute)
			if r := s.Record(id); r.Reservation.Job != "" {
				s.runs(id, vertex.JobSucceeded)
			}
		}
		s.ticks(3, time.Minute)
	},
	"creates-that-are-not-answered-pause-the-region": func(s *story) {
		s.fail("vertex create", vertex.FailBefore, nil)
		for _, id := range []string{"a", "b", "c", "d"} {
			s.ask(Job{ID: id, CPU: 1})
		}
		s.ticks(8, 30*time.Second)
		s.works("vertex create")
		s.ticks(8, 30*time.Second)
	},
	"gets-that-fail": func(s *story) {
		s.ask(Job{ID: "a", CPU: 1})
		s.ask(Job{ID: "b", CPU: 1})
		s.runs("a", vertex.JobSucceeded)
		s.runs("b", vertex.JobFailed)
		s.fail("vertex get", vertex.FailBefore, nil)
		s.ticks(4, time.Minute)
		s.works("vertex get")
		s.ticks(2, time.Minute)
	},
}
