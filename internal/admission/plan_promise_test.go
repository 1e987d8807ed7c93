package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A planStory is a world that a test moves, minute by minute after planNow.
type planStory struct {
	planWorld
	t *testing.T
}

// story has pools of the given counts: m0, m1, ...
func story(t *testing.T, p PlanPolicy, counts ...capacity.Replicas) *planStory {
	p.Horizon = time.Hour
	w := &planStory{planWorld{s: PlanSnapshot{Now: planNow, Use: capacity.Use{}, Queue: Queue{}}, p: p}, t}
	for i, n := range counts {
		w.s.Pools = append(w.s.Pools, capacity.Pool{ID: fmt.Sprint(i), Shape: shapeOf(i), Count: n})
	}
	return w
}

func shapeOf(i int) capacity.Shape {
	return capacity.Spec{MachineType: fmt.Sprintf("m%d", i)}.Normal()
}

// ask makes the request of a name for replicas per pool, with a limit in minutes. Its
// order is that of names; a name in capitals has the higher priority.
func ask(name string, limit int, replicas ...capacity.Replicas) Head {
	priority := "1000-"
	if strings.ToUpper(name) == name {
		priority = "0999-"
	}
	h := Head{ID: message.Key(name), Order: priority + name, Key: planNow, Limit: time.Duration(limit) * time.Minute}
	for i, n := range replicas {
		if n > 0 {
			h.Demand = append(h.Demand, capacity.Need{WorkerPool: len(h.Demand), Shape: shapeOf(i), Replicas: n})
		}
	}
	return h
}

// arrive adds requests, one after another, and plans after each.
func (w *planStory) arrive(list ...Head) {
	for _, h := range list {
		w.waiting = append(w.waiting, h)
		w.queue()
		w.plan()
	}
}

func (w *planStory) plan() {
	for starts := true; starts; {
		plan := MakePlan(w.s, w.p)
		w.apply(plan)
		starts = len(plan.Starts) > 0
	}
}

// at lets jobs run to their limits until a minute, and plans at every end.
func (w *planStory) at(minute int) {
	then := planNow.Add(time.Duration(minute) * time.Minute)
	for next := w.next(); !next.IsZero() && !next.After(then); next = w.next() {
		w.s.Now = next
		for i := len(w.s.Held) - 1; i >= 0; i-- {
			if !w.s.Held[i].End.After(next) {
				w.end(i)
			}
		}
		w.plan()
	}
	w.s.Now = then
}

// want compares the running jobs, with the minutes at which they end, and the
// reservations in order, with their shapes and promised minutes.
func (w *planStory) want(runs, reserved string) {
	w.t.Helper()
	minute := func(at time.Time) string {
		if at.IsZero() {
			return "never"
		}
		return fmt.Sprint(int(at.Sub(planNow) / time.Minute))
	}
	var running, waiting []string
	for _, h := range w.s.Held {
		running = append(running, fmt.Sprintf("%s-%s", h.ID, minute(h.End)))
	}
	for _, r := range w.s.Reserved {
		s := string(r.ID)
		for _, shape := range r.Shapes {
			s += " " + shape.Spec().MachineType
		}
		waiting = append(waiting, fmt.Sprintf("%s by %s", s, minute(r.At)))
	}
	slices.Sort(running)
	if got := strings.Join(running, " "); got != runs {
		w.t.Errorf("minute %s: running are %q, want %q", minute(w.s.Now), got, runs)
	}
	if got := strings.Join(waiting, ", "); got != reserved {
		w.t.Errorf("minute %s: reserved are %q, want %q", minute(w.s.Now), got, reserved)
	}
}

// Two reservations lack one shape, which a third has. The second of them is
// promised a start after the first has run, not when the third has.
func TestTwoReservationsLackOneShape(t *testing.T) {
	for _, noBackfill := range []bool{true, false} {
		w := story(t, PlanPolicy{NoBackfill: noBackfill, Patience: 24 * time.Hour}, 1, 1, 1)
		w.arrive(ask("a", 60, 0, 1), ask("b", 20, 0, 1), ask("c", 200, 1, 1), ask("d", 700, 0, 1, 1))
		w.want("a-60", "b m1 by 60, c m0 by 80, d m2 by 280")
		w.at(60)
		w.want("b-80", "c m0 m1 by 80, d m2 by 280")
		w.at(80)
		w.want("c-280", "d m1 m2 by 280")
		w.at(280)
		w.want("d-980", "")
	}
}

// A later request of an earlier order gets the shape that two reservations lack
// after the one with the earlier promise.
func TestLaterReservationTakesNoShapeFromAnEarlierOne(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 1, 1)
	w.arrive(ask("a", 60, 0, 1), ask("b", 20, 0, 1), ask("d", 700, 0, 1, 1), ask("c", 200, 1, 1))
	w.want("a-60", "b m1 by 60, d m2 by 80, c m0 by 780")
	w.at(80)
	w.want("d-780", "c m0 m1 by 780")
	w.at(780)
	w.want("c-980", "")
}

// A reservation that lacks a shape of which there is enough for two is promised
// the start of the reservation that has the shape, because it does not get the
// shape before that. With backfill it starts earlier.
func TestPromiseOfALackedShapeWithRoom(t *testing.T) {
	for _, c := range []struct {
		noBackfill     bool
		runs, reserved string
		then           string
	}{
		{true, "a-200", "b m0 m1 by 200, c m2 by 200", "b-210 c-900"},
		{false, "a-200 c-700", "b m0 m1 by 200", "b-210 c-700"},
	} {
		w := story(t, PlanPolicy{NoBackfill: c.noBackfill, Patience: 24 * time.Hour}, 1, 2, 1)
		w.arrive(ask("a", 200, 1), ask("b", 10, 1, 1), ask("c", 700, 0, 1, 1))
		w.want(c.runs, c.reserved)
		w.at(200)
		w.want(c.then, "")
	}
}

// A request that passes a reservation leaves room for the earlier reservations
// that may still run at its start, and counts none that is over by then.
func TestBackfillLeavesRoomForReservationsThatLackTheShape(t *testing.T) {
	for _, c := range []struct {
		limitC, limitE int
		runs, reserved string
	}{
		{1000, 100, "x-60 y-70 z-70", "b m1 m3 by 60, c m0 by 70, d m2 by 80"},
		{1000, 80, "e-80 x-60 y-70 z-70", "b m1 m3 by 60, c m0 by 70, d m2 by 80"},
		{10, 100, "e-100 x-60 y-70 z-70", "b m1 m3 by 60, c m0 by 70, d m2 by 80"},
	} {
		w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 3, 1, 1)
		w.arrive(ask("x", 60, 0, 0, 0, 1), ask("y", 70, 1), ask("z", 70, 0, 0, 1))
		w.arrive(ask("b", 20, 0, 1, 0, 1), ask("c", c.limitC, 1, 1), ask("d", 10, 0, 2, 1), ask("e", c.limitE, 0, 1))
		w.want(c.runs, c.reserved)
	}
}

// A reservation that lacks a shape may pass the one that has it. The starts of
// later ones count on it already, so none of them holds it back.
func TestReservationPassesThoseBeforeItOnly(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 3, 1, 1)
	w.arrive(ask("x", 60, 0, 0, 0, 1), ask("y", 70, 1), ask("z", 70, 0, 0, 1))
	w.arrive(ask("b", 20, 0, 1, 0, 1), ask("c", 1000, 1, 1), ask("d", 10, 0, 2, 1))
	w.want("x-60 y-70 z-70", "b m1 m3 by 60, c m0 by 70, d m2 by 80")
	w.at(30)
	w.end(slices.IndexFunc(w.s.Held, func(h Held) bool { return h.ID == "y" }))
	w.plan()
	w.want("c-1030 x-60 z-70", "b m1 m3 by 60, d m2 by 80")
}

// A shape that a reservation gives up to a request of higher priority goes to that
// request, and not to a reservation of lower priority that lacks it.
func TestHigherPriorityGetsTheShapeFirst(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 1)
	w.arrive(ask("a", 60, 0, 1), ask("b", 20, 0, 1), ask("c", 200, 1, 1))
	w.want("a-60", "b m1 by 60, c m0 by 80")
	w.arrive(ask("H", 100, 0, 1))
	w.want("a-60", "H m1 by 60, c m0 by 80")
	w.at(60)
	w.want("H-160", "c m0 m1 by 80")
}

// A request of higher priority starts on the shape that a reservation gives up.
// The rest of the shape goes to the reservation that lacks it, and a start that
// is promised then counts on both.
func TestShapeIsKeptForTheReservationThatLacksIt(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 2, 1, 1)
	w.arrive(ask("a", 60, 1), ask("r", 20, 2, 0, 1), ask("p", 500, 1, 1), ask("e", 500, 2, 0, 1))
	w.want("a-60", "r m0 m2 by 60, p m1 by 80")
	w.arrive(ask("H", 100, 1))
	w.want("H-100 a-60", "p m0 m1 by 60, e m2 by 560")
	w.at(60)
	w.want("H-100 p-560", "e m0 m2 by 560")
}

// A request of the same priority, which is earlier in order and fits, does not
// start on the rest of the shape either.
func TestShapeThatAReservationLacksIsNotFree(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 3, 1)
	w.arrive(ask("a", 60, 1), ask("y", 70, 0, 1), ask("r", 20, 3), ask("p", 500, 2, 1), ask("f", 500, 1))
	w.want("a-60 y-70", "r m0 by 60, p m1 by 80")
	w.arrive(ask("H", 100, 1))
	w.want("H-100 a-60 y-70", "p m0 m1 by 70")
	w.at(70)
	w.want("H-100 p-570", "f m0 by 100")
}

// A reservation that does not fit even the empty machines has no promised
// start, nor has one that must start after it. Both get one as soon as there
// are more machines.
func TestNoMomentWithoutMachines(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 1)
	w.arrive(ask("a", 60, 0, 1), ask("b", 20, 0, 2), ask("c", 200, 1, 1))
	w.want("a-60", "b m1 by never, c m0 by never")
	w.s.Pools[1].Count = 2
	w.plan()
	w.want("a-60", "b m1 by 60, c m0 by 80")
}

// A job that outlasts its limit breaks a promise. Later promises count on what
// is known now, not on the start that has passed.
func TestPromiseBehindABrokenOne(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 1)
	w.arrive(ask("a", 60, 0, 1), ask("b", 20, 0, 1))
	w.want("a-60", "b m1 by 60")
	w.s.Now = planNow.Add(70 * time.Minute)
	w.arrive(ask("c", 200, 1, 1))
	w.want("a-60", "b m1 by 60, c m0 by 150")
}
