package sim

import (
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// lastMessage is the id of the message that was sent last.
func lastMessage(w *World) string {
	all := w.Out.All()
	return all[len(all)-1].MessageID
}

// A drain starts nothing more, and says once that nothing runs any more: when the last
// job of Berth's, the last foreign job and the last machine in use are gone. A resume
// undoes it, and another drain says it anew.
func TestDrain(t *testing.T) {
	w := New(t)
	w.Vertex.CountUsed = true
	w.Ask(Job{ID: "runs", CPU: 2})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	foreign := w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 1}})
	w.After(time.Minute)
	if answer := w.Operate(message.Drain); answer.Type != message.Draining || answer.Operator.Action != message.Drain {
		t.Fatalf("a drain is answered %+v", answer)
	}
	drain := lastMessage(w)
	w.Ask(Job{ID: "waits", CPU: 1})
	w.Expect("waits", lifecycle.Waiting, "queued")
	if p := whyOf(w, "waits"); p.Code != reason.Paused {
		t.Errorf("it waits because of %v", p)
	}
	ticks(w, 2)
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	ticks(w, 2)
	if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining"}) {
		t.Errorf("while a foreign job runs: %v", words)
	}
	w.Vertex.SetJob(foreign, vertex.JobSucceeded)
	w.After(time.Minute)
	last := w.Out.Last(drain)
	if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining", "drained"}) || last.Tenant != message.Operators || last.PersistentResource != Resource ||
		*last.Operator != (message.Operation{Action: message.Drain, Who: "ann", Reason: "new drivers"}) {
		t.Errorf("when it is empty: %v, %+v", words, last)
	}
	if p := w.Document().Paused; p == nil || p.EmptyAt.IsZero() {
		t.Errorf("the pause is %+v", p)
	}
	w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: GPU, Replicas: 1}})
	ticks(w, 2)
	w.Vertex.SetJob(w.Vertex.Jobs()[len(w.Vertex.Jobs())-1].Name, vertex.JobSucceeded)
	ticks(w, 5)
	if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining", "drained"}) {
		t.Errorf("later: %v", words)
	}
	w.Expect("waits", lifecycle.Waiting, "queued")
	w.Operate(message.Resume)
	w.Expect("waits", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("waits"), vertex.JobSucceeded)
	w.Operate(message.Drain)
	again := lastMessage(w)
	ticks(w, 3)
	if words := w.Out.Words(again); !slices.Equal(words, []string{"draining", "drained"}) {
		t.Errorf("another drain: %v", words)
	}
}

// A drain that is resumed before the resource is empty says nothing more. One that
// becomes a pause does neither.
func TestDrainThatIsUndone(t *testing.T) {
	for _, action := range []message.Action{message.Resume, message.Pause} {
		w := New(t)
		w.Ask(Job{ID: "runs", CPU: 1})
		w.Operate(message.Drain)
		drain := lastMessage(w)
		w.Operate(action)
		w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
		ticks(w, 4)
		if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining"}) {
			t.Errorf("after a %s: %v", action, words)
		}
	}
}

// A request that waits for a submission slot gives its replicas back under a drain, and
// keeps its place.
func TestDrainGivesBackWhatWaitsForASlot(t *testing.T) {
	w := New(t)
	w.Config.Submissions = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Ask(Job{ID: "b", CPU: 1})
	order := w.Record("b").Order
	w.Expect("b", lifecycle.Reserved, "reserved")
	w.Operate(message.Drain)
	drain := lastMessage(w)
	w.After(time.Second)
	w.Expect("b", lifecycle.Waiting, "reserved", "queued")
	if p := whyOf(w, "b"); p.Code != reason.Paused {
		t.Errorf("it waits because of %v", p)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	ticks(w, 2)
	if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining", "drained"}) {
		t.Errorf("it is not empty: %v", words)
	}
	w.Operate(message.Resume)
	if r := w.Record("b"); r.State != lifecycle.Submitted || r.Order != order {
		t.Errorf("after the resume it is %s at %s", r.State, r.Order)
	}
}

// A resource that is deleted while it is drained is empty, and is observed until then.
func TestDrainOfADeletedResource(t *testing.T) {
	w := New(t)
	w.Vertex.CountUsed = true
	w.Ask(Job{ID: "runs", CPU: 1})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.After(time.Minute)
	w.Operate(message.Drain)
	drain := lastMessage(w)
	w.Vertex.SetResource(Resource, vertex.Resource{})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobCancelled)
	ticks(w, 3)
	if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining", "drained"}) {
		t.Errorf("%v, %+v", words, w.Document().Paused)
	}
}

// While the answer to the drain cannot be read, its event is not written. It is once it
// can be.
func TestDrainWhoseAnswerCannotBeRead(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 1})
	w.Operate(message.Drain)
	drain := lastMessage(w)
	ref := ledger.RecordRef(message.KeyOf(message.Operators, message.KindAnswer, drain))
	w.Ledger.Spoil(ref, "damaged")
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	ticks(w, 3)
	if p := w.Document().Paused; !p.EmptyAt.IsZero() {
		t.Errorf("it is called empty although the event cannot be written: %+v", p)
	}
	w.Ledger.Heal(ref)
	ticks(w, 2)
	if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining", "drained"}) {
		t.Errorf("%v", words)
	}
}

// The observation that finds a drained resource empty, while ended jobs and use are due to
// go into their documents, moves each of them once.
func TestDrainLearnsOnce(t *testing.T) {
	for _, foreignFor := range []int{3, 5, 6, 14, 15, 16} { // minutes: run times are due after 5, use after 15
		w := New(t)
		w.Ask(Job{ID: "a", CPU: 1})
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
		foreign := w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 1}})
		w.After(time.Minute)
		w.Operate(message.Drain)
		drain := lastMessage(w)
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
		ticks(w, foreignFor)
		w.Vertex.SetJob(foreign, vertex.JobSucceeded)
		for range 20 {
			w.After(time.Minute)
			ends := int64(len(w.Document().Ended))
			if h := w.history(Tenant); h != nil {
				ends += h.Ends
			}
			if ends != 1 {
				t.Fatalf("foreign for %d minutes: one job has ended, and %d ends are learned or noted", foreignFor, ends)
			}
		}
		if words := w.Out.Words(drain); !slices.Equal(words, []string{"draining", "drained"}) {
			t.Errorf("foreign for %d minutes: %v", foreignFor, words)
		}
	}
}
