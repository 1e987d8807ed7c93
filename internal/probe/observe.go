package probe

import (
	"context"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// An Observation is what the service did with one job. Times are since the create was
// sent.
type Observation struct {
	Step    string   `json:"step"`
	Code    string   `json:"code"` // of the create: OK, or the name of a google.rpc.Code
	Message string   `json:"message,omitempty"`
	Exists  bool     `json:"exists"`           // a job was created, whatever the answer
	Disk    string   `json:"disk,omitempty"`   // of the job as created: type and GB
	States  []Moment `json:"states,omitempty"` // each change that was seen
	End     *End     `json:"end,omitempty"`
	Cancel  *Seconds `json:"cancelSent,omitempty"`
	Listed  *Seconds `json:"listed,omitempty"`      // in a list by label
	Filters []Filter `json:"filters,omitempty"`     // other filters that were tried on the listed job
	Counted *Seconds `json:"counted,omitempty"`     // used_replica_count includes it
	Freed   *Seconds `json:"freed,omitempty"`       // from its end until used_replica_count left it out
	Reused  *Seconds `json:"reused,omitempty"`      // from its end until the next job got its machine
	Others  bool     `json:"others,omitempty"`      // other jobs used the pool meanwhile, or its machines may not be free yet
	Cut     bool     `json:"cut,omitempty"`         // the probe stopped while it watched the job
	Again   string   `json:"cancelAgain,omitempty"` // code of a cancel after the end
	Order   string   `json:"listOrder,omitempty"`   // of the probe's jobs in a list, at the end
	Place   int      `json:"place,omitempty"`       // which of several equal pools counted the job, from 1
	Watched Seconds  `json:"watched,omitempty"`     // how long it was looked at before it was cancelled
	Started *Seconds `json:"startTime,omitempty"`   // the job's start_time, since its create_time

	name string
	sent time.Time
}

// Seconds are how long something took, to the tenth.
type Seconds float64

func since(d time.Duration) *Seconds {
	s := Seconds(d.Round(100 * time.Millisecond).Seconds())
	return &s
}

// A Moment is a state and when it was first seen.
type Moment struct {
	State string  `json:"state"`
	After Seconds `json:"after"`
}

// An End is how a job ended.
type End struct {
	State   string  `json:"state"`
	Code    int32   `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
	After   Seconds `json:"after"`
}

// A Filter is a filter of ListCustomJobs and whether it found the job.
type Filter struct {
	Form  string `json:"form"`
	Code  string `json:"code"`
	Finds bool   `json:"finds"`
}

// note keeps what a job shows.
func (r *prober) note(o *Observation, job *aiplatformpb.CustomJob) {
	state := strings.TrimPrefix(job.GetState().String(), "JOB_STATE_")
	after := *since(r.clock.Now().Sub(o.sent))
	if n := len(o.States); n == 0 || o.States[n-1].State != state {
		o.States = append(o.States, Moment{state, after})
	}
	if t := job.GetStartTime(); t != nil && o.Started == nil {
		o.Started = since(t.AsTime().Sub(job.GetCreateTime().AsTime()))
	}
	if ended[state] && o.End == nil {
		o.End = &End{state, job.GetError().GetCode(), r.plan.clean(job.GetError().GetMessage()), after}
		r.say("  %s after %gs", state, after)
	}
}

var ended = map[string]bool{"SUCCEEDED": true, "FAILED": true, "CANCELLED": true, "EXPIRED": true, "PARTIALLY_SUCCEEDED": true}

// state is the last state seen.
func (o *Observation) state() string {
	if len(o.States) == 0 {
		return ""
	}
	return o.States[len(o.States)-1].State
}

// ran reports whether the job was seen RUNNING, or succeeded without.
func (o *Observation) ran() bool {
	for _, m := range o.States {
		if m.State == "RUNNING" || m.State == "SUCCEEDED" {
			return true
		}
	}
	return false
}

// begun is the time until the job was seen RUNNING, or had ended; 0 if neither was seen.
func (o *Observation) begun() time.Duration {
	for _, m := range o.States {
		if m.State == "RUNNING" || ended[m.State] {
			return m.After.duration()
		}
	}
	return 0
}

// pauseAt is the pause after so long a wait: a twentieth of it, within bounds, so that what
// takes long is measured as well as what is soon over, with fewer calls.
func pauseAt(waited, least time.Duration) time.Duration {
	return min(max(waited/20, least), 5*time.Second).Truncate(time.Second)
}

// watch looks at a job until enough holds, it has ended, or the limit has passed. Calls that fail
// are made again.
func (r *prober) watch(ctx context.Context, o *Observation, limit time.Duration, enough func() bool) error {
	for begin := r.clock.Now(); o.Exists && o.End == nil && !enough() && r.clock.Now().Sub(begin) < limit; {
		if err := r.clock.Sleep(ctx, pauseAt(r.clock.Now().Sub(begin), pause)); err != nil {
			return err
		}
		if job, err := r.Get(ctx, o.name); err == nil {
			r.note(o, job)
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
