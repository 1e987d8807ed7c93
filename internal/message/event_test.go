package message

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

var testSource = Source{Project: "p", Deployment: "default"}

// sampleOutcomes has one outcome of every type, with the fields that go with it.
func sampleOutcomes() []Outcome {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	observed := at.Add(-time.Minute)
	ahead := 2
	shape := capacity.Spec{MachineType: "n1-standard-8", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 2}.Normal()
	pool := capacity.Pool{ID: "t4", Shape: shape, Count: 4}
	ask := capacity.Ask{{WorkerPool: 0, Shape: shape, Replicas: 3}}
	spec := shape.Spec()
	spec.DiskType = "pd-standard"
	wrong := spec.Normal()
	full := capacity.Check([]capacity.Pool{pool}, capacity.Use{shape: 2}, ask)
	never := capacity.Check([]capacity.Pool{pool}, nil, capacity.Ask{{WorkerPool: 0, Shape: wrong, Replicas: 9}})
	const job = "projects/1/locations/us-central1/customJobs/5"
	words := map[Type]string{Queued: "WAITING", Started: "RUNNING", Requeuing: "CANCELLING"} // the other states are named as the types
	var all []Outcome
	for i, typ := range Types() {
		o := Outcome{
			EventID: fmt.Sprintf("0123456789abcdef0123456789abcdef-%d", i+1), Type: typ, Time: at,
			Tenant: "default", RequestID: "train-7", MessageID: "2070443601311540", Sequence: int64(i + 1),
			State:              cmp.Or(words[typ], strings.ToUpper(typ.Word())),
			PersistentResource: "projects/p/locations/us-central1/persistentResources/gpu-pool",
			DisplayName:        "train", Labels: map[string]string{"team": "vision"},
			Times: Times{Published: at.Add(-2 * time.Second), Received: at.Add(-time.Second)},
		}
		switch typ {
		case Queued:
			o.Reason = &reason.Problem{Code: reason.Full, Detail: "Too few machines are free."}
			o.Fit, o.Ahead, o.StartsBy, o.ObservedAt = full.Findings, &ahead, at.Add(time.Hour), &observed
			o.Times.Queued = at
		case OperatorCancelling, Requeued, Prioritised:
			o.RequestID, o.State, o.DisplayName, o.Labels, o.Tenant, o.Sequence = "", "", "", nil, Operators, 1
			o.Operator = &Operation{Action: map[Type]Action{OperatorCancelling: CancelRequest, Requeued: Requeue, Prioritised: Prioritise}[typ], Who: "ann@example.com", Reason: "new drivers", Tenant: "vision", RequestID: "train-7"}
			if typ == Prioritised {
				priority, former := 10, 0
				o.Operator.Priority, o.Operator.FormerPriority, o.Operator.Front = &priority, &former, true
			}
		case Paused, Resumed, Draining, Drained:
			o.RequestID, o.State, o.DisplayName, o.Labels, o.Tenant, o.Sequence = "", "", "", nil, Operators, 1
			o.Operator = &Operation{Action: map[Type]Action{Paused: Pause, Resumed: Resume, Draining: Drain, Drained: Drain}[typ], Who: "ann@example.com", Reason: "new drivers"}
		case Reserved:
			o.ScaleUp = true
			o.Times.Reserved = at
			o.Warnings = []reason.Problem{{Code: reason.Warning, Path: "workerPoolSpecs[0].replicaCount", Detail: "Worker pool 0 is the primary."}}
		case Submitted, Started, Succeeded:
			o.Job, o.Times.Submitted = job, at
			o.JobState = map[Type]string{Submitted: "JOB_STATE_PENDING", Started: "JOB_STATE_RUNNING", Succeeded: "JOB_STATE_SUCCEEDED"}[typ]
		case Cancelling, Cancelled:
			o.Job, o.Reason = job, &reason.Problem{Code: reason.CancelRequested, Detail: "A cancel was asked for."}
		case Requeuing:
			o.Job, o.Reason = job, &reason.Problem{Code: reason.StartOverdue, Detail: "The job was not running in time."}
		case Rejected:
			o.Reason = &reason.Problem{Code: reason.SpecMismatch, Detail: "No pool has this machine and disk spec."}
			o.Fit, o.ObservedAt = never.Findings, &observed
		case Failed:
			o.Job, o.Reason = job, &reason.Problem{Code: reason.JobEnded, Detail: "The job ended."}
			o.JobError = &JobError{Code: 3, Message: "The replica workerpool0-0 exited with a non-zero status of 1."}
			o.Times.Ended = at
		case Expired:
			o.Reason = &reason.Problem{Code: reason.WaitedTooLong, Detail: "The longest wait is over."}
		case Refused:
			o.RequestID, o.ClaimedRequestID, o.State, o.Sequence = "", "train-7", StateRefused, 1
			o.PersistentResource, o.DisplayName, o.Labels = "", "", nil
			o.Reason = &reason.Problem{Code: reason.UnknownField, Path: "jobSpec.workerPoolSpec", Detail: "No field has this name here.", Fix: "Write workerPoolSpecs."}
			o.Problems = []reason.Problem{*o.Reason}
		case Noted:
			o.RequestID, o.ClaimedRequestID, o.State, o.Sequence = "", "train-7", "", 1
			o.PersistentResource, o.DisplayName, o.Labels = "", "", nil
			o.Reason, o.CancelUntil = &reason.Problem{Code: reason.NothingMatched, Path: "cancel", Detail: "Nothing has come under this id yet."}, at.Add(time.Hour)
		case Duplicate:
			o.RequestID, o.ClaimedRequestID, o.State, o.Sequence = "", "train-7", "FAILED", 1
			o.Job, o.Reason = job, &reason.Problem{Code: reason.JobEnded, Detail: "The job ended."}
		case Quoted:
			o.RequestID, o.ClaimedRequestID, o.State, o.Sequence = "", "train-7", "", 1
			o.Reason = &reason.Problem{Code: reason.Full, Detail: "Too few machines are free."}
			o.Fit = full.Findings
		}
		all = append(all, o)
	}
	return all
}

func TestPubSubGolden(t *testing.T) {
	for _, o := range sampleOutcomes() {
		name := map[bool]string{true: "operator-"}[o.Operator != nil] + o.Type.Word()
		t.Run(name, func(t *testing.T) {
			data, attributes, err := o.PubSub(testSource)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetIndent("", "  ")
			if err := enc.Encode(map[string]any{"attributes": attributes, "data": json.RawMessage(data)}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "outcomes", name+".json")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			back, err := DecodeOutcome(attributes, data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(o, back); diff != "" {
				t.Errorf("read back (-want +got)\n%s", diff)
			}
		})
	}
}

// An answer carries the id that its message claims, and says that it is a claim.
func TestAnswersClaim(t *testing.T) {
	for _, o := range sampleOutcomes() {
		data, attributes, err := o.PubSub(testSource)
		if err != nil {
			t.Fatal(err)
		}
		if o.Operator != nil {
			if id, is := attributes["ce-requestid"]; is || attributes["ce-subject"] != o.MessageID {
				t.Errorf("%s: ce-requestid is %q, the subject %q", o.Type, id, attributes["ce-subject"])
			}
			continue
		}
		answer := strings.HasPrefix(string(o.Type), typePrefix+"message.")
		if claimed := attributes["ce-claimed"] == "true"; claimed != answer || attributes["ce-requestid"] != "train-7" {
			t.Errorf("%s: ce-requestid is %q, claimed %v", o.Type, attributes["ce-requestid"], claimed)
		}
		if answer && attributes["ce-subject"] == "train-7" {
			t.Errorf("%s: its subject is a request that it is no event of", o.Type)
		}
		if o.Type == Refused && (attributes["ce-state"] != StateRefused || !bytes.Contains(data, []byte(`"state":"REFUSED"`))) {
			t.Errorf("%s: state %q, data %s", o.Type, attributes["ce-state"], data)
		}
	}
}

func TestPubSubRefuses(t *testing.T) {
	good := sampleOutcomes()[0]
	for name, spoil := range map[string]func(*Outcome){
		"type":             func(o *Outcome) { o.Type = "" },
		"another's type":   func(o *Outcome) { o.Type = "org.request.lost.v1" },
		"type of no form":  func(o *Outcome) { o.Type = typePrefix + "request.lost" },
		"id":               func(o *Outcome) { o.EventID = "" },
		"tenant":           func(o *Outcome) { o.Tenant = "" },
		"time":             func(o *Outcome) { o.Time = time.Time{} },
		"time of no form":  func(o *Outcome) { o.Time = o.Time.AddDate(8000, 0, 0) },
		"sequence":         func(o *Outcome) { o.Sequence = 0 },
		"subject":          func(o *Outcome) { o.RequestID, o.MessageID = "", "" },
		"long attribute":   func(o *Outcome) { o.RequestID = strings.Repeat("a", 1025) },
		"too large a text": func(o *Outcome) { o.DisplayName = strings.Repeat("a", maxEventData) },
	} {
		o := good
		spoil(&o)
		if _, _, err := o.PubSub(testSource); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// An event that a newer release has stored is published after a roll-back as well,
// because a record's later events, the last one among them, wait for it.
func TestPubSubTakesTypesOfANewerRelease(t *testing.T) {
	o := sampleOutcomes()[0]
	o.Type = typePrefix + "request.moved.v2"
	data, attributes, err := o.PubSub(testSource)
	if err != nil || attributes["ce-type"] != "berth.request.moved.v2" {
		t.Fatalf("%v, %v", attributes, err)
	}
	if back, err := DecodeOutcome(attributes, data); err != nil || back.Type != o.Type || back.EventID != o.EventID {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestPubSubBounds(t *testing.T) {
	o := sampleOutcomes()[0]
	for i := range 100 {
		o.Problems = append(o.Problems, reason.Problem{Code: reason.Malformed, Detail: fmt.Sprint(i)})
		o.Warnings = append(o.Warnings, reason.Problem{Code: reason.Warning, Detail: fmt.Sprint(i)})
		o.Fit[0].Nearest = append(o.Fit[0].Nearest, capacity.PoolDiff{Pool: fmt.Sprint(i)})
	}
	quoted := strings.Repeat("é", maxEventData)
	o.JobError = &JobError{Code: 3, Message: quoted}
	data, attributes, err := o.PubSub(testSource)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeOutcome(attributes, data)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(back.JobError.Message); n > maxJobError+3 || n < maxJobError || o.JobError.Message != quoted {
		t.Errorf("an error of %d bytes has %d", len(quoted), n)
	}
	if len(back.Problems) != strict.MaxProblems || len(back.Warnings) != strict.MaxProblems || len(back.Fit[0].Nearest) != maxNearest {
		t.Errorf("sent %d problems, %d warnings and %d pools", len(back.Problems), len(back.Warnings), len(back.Fit[0].Nearest))
	}
	if len(o.Problems) != 100 || len(o.Fit[0].Nearest) != 100 {
		t.Error("PubSub changed the outcome")
	}
}

func TestDecodeOutcome(t *testing.T) {
	data, attributes, err := sampleOutcomes()[0].PubSub(testSource)
	if err != nil {
		t.Fatal(err)
	}
	newer := map[string]string{}
	for key, value := range attributes {
		newer[key] = value
	}
	newer["ce-type"] = typePrefix + "request.moved.v2"
	newer["ce-shard"] = "3"
	o, err := DecodeOutcome(newer, bytes.Replace(data, []byte("{"), []byte(`{"added": [1], `), 1))
	if err != nil || o.Type != typePrefix+"request.moved.v2" || o.RequestID != "train-7" {
		t.Errorf("a newer event: %+v, %v", o, err)
	}
	for key, value := range map[string]string{"ce-type": "com.example.other", "ce-time": "noon", "ce-specversion": "0.3"} {
		spoiled := map[string]string{}
		for k, v := range attributes {
			spoiled[k] = v
		}
		spoiled[key] = value
		if _, err := DecodeOutcome(spoiled, data); err == nil {
			t.Errorf("%s %s: no error", key, value)
		}
	}
	if _, err := DecodeOutcome(attributes, []byte("[")); err == nil {
		t.Error("broken data: no error")
	}
}
