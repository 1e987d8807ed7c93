package sim

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// An observation with the time T promises that every job which was live at T is counted:
// as a hold, or as foreign use. Nothing is admitted on an observation older than MaxAge, so
// no admission overlooks a foreign job that is older than that.

// inRegion is the name of a persistent resource beside [Resource].
func inRegion(id string) string { return Parent + "/persistentResources/" + id }

// honest fails the world's test when a commit breaks that promise. Lists of its
// Vertex AI must not lag.
func honest(w *World) {
	w.Ledger.Wrote = func(_ ledger.Ref, before, after ledger.Document) {
		res, ok := after.(*ledger.Resource)
		if !ok {
			return
		}
		use := capacity.Use{}
		for _, h := range res.Holds {
			use.Add(h.Ask)
		}
		for _, j := range w.Vertex.Jobs() {
			if j.State.Ended() || j.Run != "" || inRegion(j.PersistentResource) != res.Name {
				continue
			}
			counted := slices.ContainsFunc(res.Foreign, func(f ledger.Foreign) bool { return f.Job == j.Name })
			if j.CreateTime.Before(res.ObservedAt) && !counted {
				w.Errorf("the observation of %s is of %v, but job %s is there since %v and is not counted", res.Name, res.ObservedAt, j.Name, j.CreateTime)
			}
			if w.Now.Sub(j.CreateTime) > w.Config.Policy.MaxAge {
				use.Add(j.Ask)
			}
		}
		was, _ := before.(*ledger.Resource)
		if over := capacity.Overdrawn(res.Pools, use); len(over) > 0 && was != nil && len(res.Holds) > len(was.Holds) {
			w.Errorf("%s: admitted at %v beside foreign jobs that are older than an observation may be: %v too many", res.Name, w.Now, over)
		}
	}
}

// One list of a region's jobs serves all its resources. A foreign job starts
// between the list and the observation of the second resource. The second
// observation must not get a later time than the list, or the job is missed for
// longer than the greatest age of an observation.
func TestObservationIsAsOldAsItsList(t *testing.T) {
	for _, slow := range []time.Duration{50 * time.Second, 90 * time.Second} {
		t.Run(fmt.Sprint(slow), func(t *testing.T) {
			w := New(t)
			w.Vertex.SetResource(inRegion("first"), vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(4)}})
			w.Config.Submitters = 1 // one call at a time
			w.Controller = w.Instance(w.Config)
			for w.Now.Add(time.Minute).Unix()/60%4 != 0 {
				w.Now = w.Now.Add(time.Minute) // until a pass that begins with the first name
			}
			w.Ask(Job{ID: "a", CPU: 1, Resource: "first"})
			w.Ask(Job{ID: "b", CPU: 1})
			honest(w)
			w.Now = w.Now.Add(time.Minute)
			began, foreign := w.Now, ""
			w.Vertex.Fault = func(op, name string) vertex.Fault {
				if op == "resource" && name == inRegion("first") && foreign == "" {
					w.Now = w.Now.Add(10 * time.Second)
					foreign = w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 3}})
					w.Now = w.Now.Add(slow - 10*time.Second)
				}
				return vertex.NoFault
			}
			if err := w.Tick(); err != nil {
				t.Fatal(err)
			}
			if slow < w.Config.Policy.MaxAge/2 {
				if at := w.Document().ObservedAt; !at.Equal(began) {
					t.Errorf("the observation is of %v, its list of %v", at, began)
				}
			} else if n := len(w.Document().Foreign); n != 1 {
				t.Errorf("a list half as old as an observation may be was used again; %d foreign jobs are known", n)
			}
			w.Now = w.Now.Add(w.Config.Policy.MaxAge - 5*time.Second) // no tick comes any more
			w.Ask(Job{ID: "c", CPU: 1})
			w.Expect("c", lifecycle.Waiting, "queued")
			if why := w.Record("c").Why; why.Code != reason.Full {
				t.Errorf("it waits for %v, want FULL", why)
			}
		})
	}
}

// Observations keep their promise with calls of any duration and foreign jobs
// at any time, on several resources in one region.
func TestObservationsAreHonest(t *testing.T) {
	ids := []string{"first", "pool", "third"}
	rapid.Check(t, func(t *rapid.T) {
		w := New(t)
		w.Config.Submitters = 1 // one call at a time: what is drawn and the clock belong to one goroutine
		w.again()
		for _, id := range ids {
			w.Vertex.SetResource(inRegion(id), vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(4)}})
		}
		honest(w)
		w.Vertex.Fault = func(op, _ string) vertex.Fault {
			if rapid.IntRange(0, 3).Draw(t, "slow") == 0 {
				w.Now = w.Now.Add(time.Duration(rapid.IntRange(1, 70).Draw(t, "seconds")) * time.Second)
			}
			if (op == "resource" || op == "live") && rapid.IntRange(0, 3).Draw(t, "foreign") == 0 {
				w.Vertex.AddForeign(Parent, rapid.SampledFrom(ids).Draw(t, "on"), capacity.Ask{{Shape: CPU, Replicas: 1}})
				w.Now = w.Now.Add(time.Second)
			}
			return vertex.NoFault
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			w.Now = w.Now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pass")) * time.Second)
			if rapid.Bool().Draw(t, "tick") {
				_ = w.Tick() // it tries again with the next
				continue
			}
			_, _ = w.Try(Job{ID: fmt.Sprint("r", i), CPU: rapid.IntRange(1, 2).Draw(t, "cpu"), Resource: rapid.SampledFrom(ids).Draw(t, "at")}.Body())
		}
	})
}

// The ledger has a newer observation than a pass: the pass writes nothing of
// the older one, and asks for no job because of it.
func TestOlderObservationChangesNothing(t *testing.T) {
	w := New(t)
	w.Config.Submitters = 1 // one call at a time: the clock is moved between two of them
	w.again()
	w.Ask(one)
	w.After(time.Minute)
	w.Now = w.Now.Add(3 * time.Minute)
	other, foreign := w.Instance(w.Config), ""
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op != "resource" || foreign != "" {
			return vertex.NoFault
		}
		// The pass has its list. Meanwhile a foreign job starts, and another
		// instance observes the resource.
		foreign = "coming"
		w.Now = w.Now.Add(time.Second)
		foreign = w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 1}})
		w.Now = w.Now.Add(time.Second)
		if err := other.Handle(t.Context(), Tenant, message.Delivery{ID: "m2", Data: Job{ID: "b", CPU: 1}.Body()}); err != nil {
			t.Error(err)
		}
		return vertex.NoFault
	}
	gets := w.Vertex.Calls()["get"]
	if err := w.Tick(); err != nil {
		t.Fatal(err)
	}
	res := w.Document()
	if len(res.Foreign) != 1 || res.Foreign[0].Job != foreign {
		t.Errorf("foreign jobs are %v, want %s: an older observation was written over a newer one", res.Foreign, foreign)
	}
	if n := w.Vertex.Calls()["get"] - gets; n != 0 {
		t.Errorf("%d jobs were asked about, although nothing was seen of them", n)
	}
}

// A request joins an observation that began before the request arrived and
// finds no resource. The resource has been created since, so the request is not
// refused.
func TestObservationIsNewerThanItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t)
		made := vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(4)}}
		gate, observations := make(chan bool), 0
		w.Vertex.Fault = func(op, _ string) vertex.Fault {
			if op == "resource" {
				if observations++; observations == 1 {
					<-gate // this answer is that of a moment ago
				} else {
					w.Vertex.SetResource(inRegion("late"), made)
				}
			}
			return vertex.NoFault
		}
		var asked sync.WaitGroup
		for i := range 2 {
			w.Now = w.Now.Add(time.Second)
			asked.Go(func() {
				err := w.Controller.Handle(t.Context(), Tenant, message.Delivery{ID: fmt.Sprint("m", i), Data: Job{ID: fmt.Sprint("r", i), CPU: 1, Resource: "late"}.Body()})
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(gate)
		asked.Wait()
		w.Expect("r0", lifecycle.Rejected, "rejected")
		w.Expect("r1", lifecycle.Submitted, "reserved", "submitted")
	})
}
