package statuspagetest

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/vertex"
)

// Requests of [Busy] in states that tests look for.
const (
	RunningID  = "llm-sft-0431"     // runs on all that is left of the A100 machines
	WaitingID  = "llm-pretrain-007" // waits, first for its machines, with a reservation
	FailedID   = "tts-eval-0229"
	RejectedID = "vision-h100-001" // no pool has its machine
	ResearchID = "research-sweep-3"
	// Research is a tenant beside the default one.
	Research = "research"
)

// Busy makes a deployment in the middle of a day: see the package comment.
func Busy(t testing.TB) *World {
	w := Empty(t)
	w.Now = End.Add(-25 * time.Hour).Truncate(10 * time.Minute)
	day(w)
	now(w)
	return w
}

// day is what went on before: passes every ten minutes, with more work by day than by
// night.
func day(w *World) {
	w.Send(Job{ID: "warm-up", Name: "Warm-up", Shape: CPU, Replicas: 2, Limit: time.Hour, Runs: 25 * time.Minute, End: vertex.JobSucceeded})
	w.Send(Job{ID: "mem-warm-up", Name: "Warm-up", Resource: Batch, Shape: Memory, Replicas: 1, Limit: time.Hour, Runs: 25 * time.Minute, End: vertex.JobSucceeded})
	kinds := []struct {
		id, name, resource string
		shape              capacity.Shape
		replicas           int
		limit, runs        time.Duration
	}{
		{"tts-eval", "Speech evaluation", "", L4, 2, 2 * time.Hour, 70 * time.Minute},
		{"features", "Feature build", "", CPU, 5, 3 * time.Hour, 95 * time.Minute},
		{"llm-sft", "Supervised fine-tuning", "", A100, 1, 8 * time.Hour, 5 * time.Hour},
		{"tokenize", "Tokenize corpus", Batch, Memory, 2, 4 * time.Hour, 2 * time.Hour},
		{"rerank", "Reranker training", "", L4, 3, 4 * time.Hour, 150 * time.Minute},
		{"ocr-batch", "OCR of the archive", "", CPU, 3, 90 * time.Minute, 40 * time.Minute},
	}
	stop := End.Add(-35 * time.Minute)
	for i := 0; w.Now.Before(stop); i++ {
		hour := w.Now.Hour()
		every := 4 // passes between two requests
		if hour >= 8 && hour < 19 {
			every = 2
		}
		if i%every == 0 {
			k := kinds[(i*5/every)%len(kinds)]
			j := Job{ID: fmt.Sprintf("%s-%04d", k.id, 200+i), Name: k.name, Resource: k.resource, Shape: k.shape, Replicas: k.replicas, Limit: k.limit,
				Runs: k.runs + time.Duration(i%7)*4*time.Minute, End: vertex.JobSucceeded, Labels: map[string]string{"team": "speech", "stage": "nightly"}}
			if i%9 == 2 {
				j.End = vertex.JobFailed
			}
			w.Send(j)
		}
		switch i {
		case 30:
			w.Vertex.AddForeign(Iowa, "training", capacity.Ask{{Shape: CPU, Replicas: 2}})
		case 60:
			w.hidden[Training] = capacity.Use{L4: 1}
		case 75:
			w.Vertex.AddForeign(Iowa, "training", capacity.Ask{{Shape: A100, Replicas: 1}})
		}
		w.Pass(10 * time.Minute)
	}
}

// now is the last half hour: some jobs begin, more wait than fit, and some things fail.
func now(w *World) {
	send := func(id, name string, shape capacity.Shape, replicas, priority int, limit time.Duration) {
		w.Send(Job{ID: id, Name: name, Shape: shape, Replicas: replicas, Priority: priority, Limit: limit, Labels: map[string]string{"team": "language"}})
	}
	send(RunningID, "Supervised fine-tuning", A100, 1, 50, 10*time.Hour)
	send("tts-train-12", "Speech model", L4, 2, 0, 6*time.Hour)
	w.Send(Job{ID: FailedID, Name: "Speech evaluation", Shape: CPU, Replicas: 1, Limit: 2 * time.Hour, Runs: 8 * time.Minute, End: vertex.JobFailed, Labels: map[string]string{"team": "speech"}})
	w.Pass(10 * time.Minute)
	w.Operate(`{"operator":{"action":"pause","persistentResource":"` + Batch + `","pool":"mem-b","who":"ann@example.com","reason":"Disk firmware"}}`)
	send(WaitingID, "Pretraining, 4 nodes", A100, 4, 80, 48*time.Hour)
	send("llm-sft-0432", "Supervised fine-tuning", A100, 2, 50, 9*time.Hour)
	send("llm-sft-0433", "Supervised fine-tuning", A100, 1, 50, 9*time.Hour)
	send("rerank-0501", "Reranker training", L4, 8, 20, 4*time.Hour)
	send("rerank-0502", "Reranker training", L4, 6, 0, 4*time.Hour)
	send("tts-train-13", "Speech model, all speakers", L4, 9, 0, 7*time.Hour)
	w.Pass(9 * time.Minute)
	send("features-0511", "Feature build", CPU, 8, 0, 3*time.Hour)
	send("features-0512", "Feature build", CPU, 6, 0, 3*time.Hour)
	send("ocr-batch-0513", "OCR of the archive", CPU, 7, -10, 90*time.Minute)
	for i := range 3 {
		w.Send(Job{ID: fmt.Sprintf("research-sweep-%d", i+1), Tenant: Research, Name: "Sweep", Resource: Batch, Shape: Memory, Replicas: 3 - i/2, Limit: 5 * time.Hour})
	}
	w.Send(Job{ID: "eval-nightly", Name: "Nightly evaluation", Shape: L4, Replicas: 7, Limit: 5 * time.Hour})
	w.Send(Job{ID: RejectedID, Name: "Vision on H100", Shape: capacity.Spec{MachineType: "a3-highgpu-8g", Accelerator: "NVIDIA_H100_80GB", AcceleratorCount: 8}.Normal(), Replicas: 1, Limit: time.Hour})
	w.Send(Job{ID: "features-huge", Name: "Feature build, everything", Shape: CPU, Replicas: 40, Limit: time.Hour})
	w.Deliver("default", []byte(`{"requestId":"typo-1","job":{"displayNam":"x","jobSpec":{}}}`))
	w.Deliver("default", []byte(`{"cancel":{"requestId":"rerank-0502","reason":"Superseded"}}`))
	w.Now = End.Add(-47 * time.Second)
	w.Pass(0)
	w.Now = End
}
