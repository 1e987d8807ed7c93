package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// Of two equal pools one is paused: as many jobs of the shape run as the other has
// machines, wherever they run. Jobs of another shape are not concerned.
func TestPoolPause(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, capacity.Pool{ID: "old", Shape: CPU, Count: 4}, capacity.Pool{ID: "new", Shape: CPU, Count: 2}, gpus(2))
	w.Ask(Job{ID: "a", CPU: 1})
	answer := w.Operate(message.Pause, `"pool":"old"`)
	if answer.Type != message.Paused || answer.Operator.Pool != "old" {
		t.Fatalf("it is answered %+v", answer)
	}
	since := w.Document().PausedPools["old"].Since.Format(time.RFC3339)
	w.Ask(Job{ID: "b", CPU: 1})
	w.Expect("b", lifecycle.Submitted, "reserved", "submitted")
	w.Ask(Job{ID: "c", CPU: 1})
	w.Expect("c", lifecycle.Waiting, "queued")
	o := w.Out.Last("c")
	want := fmt.Sprintf("1 replica of %s is asked for; of 6, 6 are in use or paused: pool old has been paused since %s, by ann: new drivers.", CPU, since)
	if o.Reason.Code != reason.Paused || o.Reason.Detail != want || o.StartsBy.Sub(w.Now).Round(time.Hour) != 169*time.Hour || o.Fit[0].Taken != 6 || o.Fit[0].Short != 1 {
		t.Errorf("it waits because of %v, starts by %s, %+v", o.Reason, o.StartsBy, o.Fit)
	}
	w.Ask(Job{ID: "gpu", GPU: 2})
	w.Expect("gpu", lifecycle.Submitted, "reserved", "submitted")
	w.Ask(Job{ID: "wide", CPU: 4})
	w.Expect("wide", lifecycle.Waiting, "queued") // it fits the paused pool, so it is not refused
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Second)
	w.Expect("c", lifecycle.Submitted, "queued", "reserved", "submitted")
	ticks(w, 3)
	w.Vertex.SetJob(w.JobOf("b"), vertex.JobSucceeded)
	w.Vertex.SetJob(w.JobOf("c"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("wide", lifecycle.Waiting, w.Out.Words("wide")...)
	if p := w.Operate(message.Resume); p.Type != message.Refused || p.Reason.Code != reason.NotPaused {
		t.Errorf("a resume of the whole is answered %+v", p)
	}
	if p := w.Operate(message.Resume, `"pool":"new"`); p.Type != message.Refused || p.Reason.Code != reason.NotPaused || p.Reason.Path != "operator.pool" {
		t.Errorf("a resume of the other pool is answered %+v", p)
	}
	w.Operate(message.Resume, `"pool":"old"`)
	w.Expect("wide", lifecycle.Submitted, w.Out.Words("wide")...)
}

// More is in use than the pools that are not paused have: the reason is that, and says
// what is paused. A second pause keeps since when; a pool that is not there is refused.
func TestPoolPauseThatIsNotAlone(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 4})
	w.Operate(message.Pause, `"pool":"cpu"`)
	before := w.Document().PausedPools["cpu"].Since
	w.Ask(Job{ID: "b", CPU: 2})
	if p := whyOf(w, "b"); p.Code != reason.Full || !strings.Contains(p.Detail, "4 are in use, and 2 of those have to end first. The machines of paused pools count as in use: pool cpu has been paused since ") {
		t.Errorf("it waits because of %v", p)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	ticks(w, 2)
	w.Expect("b", lifecycle.Waiting, w.Out.Words("b")...)
	if p := whyOf(w, "b"); p.Code != reason.Full && p.Code != reason.Paused {
		t.Errorf("then it waits because of %v", p)
	}
	w.Operate(message.Pause, `"pool":"cpu"`)
	if p := w.Document().PausedPools["cpu"]; !p.Since.Equal(before) {
		t.Errorf("a second pause: %+v, first at %s", p, before)
	}
	if p := w.Operate(message.Pause, `"pool":"tpu"`); p.Type != message.Refused || p.Reason.Code != reason.UnknownPool || p.Reason.Path != "operator.pool" || p.Reason.Fix != "Its pools are cpu, gpu." {
		t.Errorf("a pool that is not there: %+v", p.Reason)
	}
	w.SetPools(vertex.Running, capacity.Pool{ID: "cpu-2", Shape: CPU, Count: 4})
	w.After(time.Minute)
	w.Expect("b", lifecycle.Submitted, w.Out.Words("b")...) // another pool takes its place
	if p := w.Operate(message.Resume, `"pool":"cpu"`); p.Type != message.Resumed {
		t.Errorf("a pool that is gone is not resumed: %+v", p.Reason)
	}
	if n := len(w.Document().PausedPools); n != 0 {
		t.Errorf("%d pools are paused", n)
	}
}

// A latest start that was promised before a pool is paused is told late with that cause,
// and nothing is promised by what is paused.
func TestPoolPauseExplainsALateStart(t *testing.T) {
	w := New(t)
	limit := map[string]any{"scheduling": map[string]any{"timeout": "1200s"}}
	w.Ask(Job{ID: "runs", CPU: 4, Spec: limit})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.After(time.Second)
	w.Ask(Job{ID: "waits", CPU: 4, Spec: limit})
	ticks(w, 2)
	if w.Out.Last("waits").StartsBy.IsZero() {
		t.Fatal("nothing is promised")
	}
	w.Operate(message.Pause, `"pool":"cpu"`)
	ticks(w, 2)
	o := w.Out.Last("waits")
	if !o.StartsBy.IsZero() || !strings.Contains(o.Reason.Detail, "an operator paused the machines") {
		t.Errorf("it starts by %s: %v", o.StartsBy, o.Reason)
	}
}
