package ledger_test

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/usage"
)

// Whatever is added to a document weighs at least what it takes there, and not
// many times that: a commit of many documents is bounded by the sum of weights.
func TestWeightOfWhatIsAdded(t *testing.T) {
	text := strings.Repeat("t", 200)
	shape := capacity.Spec{MachineType: text, Accelerator: text, AcceleratorCount: 8, TPUTopology: text, GPUPartition: text, DiskType: "hyperdisk-balanced", DiskSizeGB: 100}.Normal()
	event := func(o message.Outcome) func(*ledger.Record) {
		return func(r *ledger.Record) { r.Append(o, time.Unix(1, 0)) }
	}
	for name, add := range map[string]func(*ledger.Record){
		"specification": func(r *ledger.Record) { r.Spec = strings.Repeat("x", 10<<10) },
		"label":         func(r *ledger.Record) { r.Labels = map[string]string{text: text} },
		"warning": func(r *ledger.Record) {
			r.Warnings = []reason.Problem{{Code: "C", Path: text, Detail: text, Fix: text}}
		},
		"worker pool": func(r *ledger.Record) { r.Ask = capacity.Ask{{Shape: shape, Replicas: 1}} },
		"finding":     func(r *ledger.Record) { r.Fit = []capacity.Finding{{Shape: shape}} },
		"pools of it": func(r *ledger.Record) { r.Fit = []capacity.Finding{{Pools: []string{text, text, text, text, text}}} },
		"nearest": func(r *ledger.Record) {
			r.Fit = []capacity.Finding{{Nearest: []capacity.PoolDiff{{Pool: text}, {Pool: text}}}}
		},
		"fields of it": func(r *ledger.Record) {
			r.Fit = []capacity.Finding{{Nearest: []capacity.PoolDiff{{Fields: []capacity.FieldDiff{{Field: text, Asked: text, Pool: text}, {Field: text, Asked: text, Pool: text}}}}}}
		},
		"edits": func(r *ledger.Record) {
			r.Fit = []capacity.Finding{{Edits: []capacity.Edit{{Path: text, From: text, To: text}, {Path: text, From: text, To: text}}}}
		},
		"event":           event(message.Outcome{Type: message.Queued}),
		"event: reason":   event(message.Outcome{Type: message.Queued, Reason: &reason.Problem{Detail: strings.Repeat("d", 2000)}}),
		"event: error":    event(message.Outcome{Type: message.Failed, JobError: &message.JobError{Message: strings.Repeat("d", 2000)}}),
		"event: problems": event(message.Outcome{Type: message.Refused, Problems: []reason.Problem{{Detail: strings.Repeat("d", 2000)}}}),
		"event: warnings": event(message.Outcome{Type: message.Queued, Warnings: []reason.Problem{{Detail: strings.Repeat("d", 2000)}}}),
		"event: labels":   event(message.Outcome{Type: message.Queued, Labels: map[string]string{strings.Repeat("k", 1000): strings.Repeat("v", 1000)}}),
		"event: operator": event(message.Outcome{Type: message.Paused, Operator: &message.Operation{Action: message.Pause, Who: text, Reason: text + text}}),
		"event: fit":      event(message.Outcome{Type: message.Queued, Fit: []capacity.Finding{{Shape: shape}}}),
	} {
		before, after := &ledger.Record{Key: "k"}, &ledger.Record{Key: "k"}
		add(after)
		weigh(t, name, after.Weight()-before.Weight(), ledger.Size(after)-ledger.Size(before))
		if strings.HasPrefix(name, "event") {
			if w := after.UnpublishedWeight(); w != after.Weight()-before.Weight() {
				t.Errorf("%s: the unpublished event weighs %d of %d", name, w, after.Weight()-before.Weight())
			}
			after.Outbox[0].Published = true
			if w := after.UnpublishedWeight(); w != 0 {
				t.Errorf("%s: the published event weighs %d as an unpublished one", name, w)
			}
		}
	}
	for name, add := range map[string]func(*ledger.Resource){
		"pools": func(r *ledger.Resource) {
			r.Pools = []capacity.Pool{{ID: "pool-0", Shape: capacity.Spec{MachineType: "n1-standard-4"}.Normal(), Count: 4}}
		},
		"pause": func(r *ledger.Resource) {
			r.Paused = &admission.Pause{Since: time.Unix(1, 1000), Who: text, Reason: text + text, Drain: true, Message: "1234567890123456", EmptyAt: time.Unix(1, 1000)}
		},
		"paused pool": func(r *ledger.Resource) {
			r.PausedPools = map[string]admission.Pause{text: {Since: time.Unix(1, 1000), Who: text, Reason: text + text}}
		},
		"class": func(r *ledger.Resource) { r.Queue = admission.Queue{admission.ClassID(text): {Count: 1}} },
		"heads": func(r *ledger.Resource) { r.Queue = admission.Queue{"s": {Count: 20, Heads: heads(8)}} },
		"reserved": func(r *ledger.Resource) {
			r.Reserved = []admission.Reservation{{Head: heads(1)[0], Shapes: heads(1)[0].Demand.Shapes(), At: time.Unix(1, 0), Budget: 4, Shut: true}}
		},
		"buckets of use": func(r *ledger.Resource) {
			most := usage.Sums{Machines: 1 << 38, Room: 1 << 38, Ours: 1 << 38, Foreign: 1 << 38, Unexplained: 1 << 38, Idle: 1 << 38, IdleWaiting: 1 << 38, Waiting: 1 << 38, MaxWaiting: 1 << 24}
			shape := heads(1)[0].Demand[0].Shape
			for i := range int64(4) {
				r.Usage.Observed = append(r.Usage.Observed, usage.Bucket{Number: 1<<23 + i, Sums: usage.Sums{Seconds: 300}})
				r.Usage.Shapes = append(r.Usage.Shapes, usage.Series{Shape: shape, Buckets: []usage.Bucket{{Number: 1<<23 + i, Sums: most}}})
			}
		},
		"skipped": func(r *ledger.Resource) {
			r.Skipped = map[message.Key]bool{message.KeyOf("t", message.KindRequest, "a"): true, message.KeyOf("t", message.KindRequest, "b"): true}
		},
	} {
		before, after := &ledger.Resource{Name: "r"}, &ledger.Resource{Name: "r"}
		add(after)
		weigh(t, name, after.Weight()-before.Weight(), ledger.Size(after)-ledger.Size(before))
	}
}

func heads(n int) (list []admission.Head) {
	key := message.KeyOf("t", message.KindRequest, "a")
	a2 := capacity.Spec{MachineType: "a2-highgpu-1g", Accelerator: "NVIDIA_TESLA_A100", AcceleratorCount: 1}.Normal()
	for range n {
		list = append(list, admission.Head{ID: key, Order: ledger.OrderKey(0, time.Unix(1e9, 1e3), key), Key: time.Unix(1e9, 1e3), Limit: 7 * 24 * time.Hour, Bytes: 5000,
			Demand: capacity.Ask{{Shape: a2, Replicas: 4}, {WorkerPool: 1, Shape: a2, Replicas: 4}}})
	}
	return list
}

func weigh(t *testing.T, name string, weight, size int) {
	t.Helper()
	if weight < size-30 || weight > 3*size+1200 {
		t.Errorf("%s weighs %d more, and takes %d bytes more", name, weight, size)
	}
}
