package sim

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// # How schedules are explored
//
// A scenario is a list of actors: deliveries, reconciles, and external events. Each delivery and reconcile is a goroutine that runs the real
// controller and stops before every call that leaves it: a read, commit or query
// of the ledger, a call of Vertex AI, a publication. Only one runs at a time, and
// the scheduler chooses which, and the result of its call. So a run is determined
// by its scenario and its schedule.
//
// The undisturbed schedule runs the actors one after the other. A [Deviation]
// changes one decision: the call fails in a stated way, the instance crashes
// before it, or the actor is delayed, that is, goes behind all others. Enough
// delays produce every interleaving; a bound on their number is the usual bound of
// delay-bounded search. [Explore] runs every schedule with at most a
// stated number of delays and of faults.
//
// # Which schedules are skipped
//
// Two prefixes of schedules that lead to the same situation have the same
// futures. A situation is: the documents and how often each was written (which
// decides what is stale), the jobs and how often they were listed, the events
// published, the time, and for each actor every result it got so far. All of
// that is hashed; a run that reaches a known situation, with no more deviations
// left than the run before it had, is cut off there.

// An Action is the result of a call.
type Action string

const (
	Go           Action = ""
	Delay        Action = "delay"         // the other actors go first
	Crash        Action = "crash"         // the instance dies before the call
	DoNothing    Action = "fail"          // the call fails, nothing is done
	DoAndFail    Action = "done-but-fail" // it is done, and the caller gets an error
	DoAndRecheck Action = "done-but-lost" // a commit that is done, whose answer is lost, and that is found by its token
	RateLimit    Action = "rate"          // a create is refused for the rate
)

// A Deviation is a change of the undisturbed schedule at the decision of the given
// number.
type Deviation struct {
	At     int    `json:"at"`
	Action Action `json:"action"`
}

// A Schedule is the deviations of a run, in order.
type Schedule []Deviation

func (s Schedule) String() string {
	var parts []string
	for _, d := range s {
		parts = append(parts, fmt.Sprintf("%d:%s", d.At, d.Action))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// actionsFor lists the results of a call other than success.
func actionsFor(op string) []Action {
	switch op {
	case opStart:
		return []Action{Delay}
	case ledger.OpRead, ledger.OpQuery, "get", "find", "live", "resource":
		return []Action{Delay, DoNothing}
	case ledger.OpCommit:
		return []Action{Delay, Crash, DoNothing, DoAndRecheck, DoAndFail}
	case "create":
		return []Action{Delay, Crash, DoNothing, DoAndFail, RateLimit}
	case "cancel", opPublish:
		return []Action{Delay, Crash, DoNothing, DoAndFail}
	}
	return nil
}

const (
	opStart   = "start" // of an actor
	opPublish = "publish"
)

// An Actor is one delivery, reconcile or external event.
type Actor struct {
	Name string
	// Happen, if set, is an external event and happens at once.
	Happen func(*World)
	// Run, if set, is the work of one instance. After an error it is repeated, as a
	// message that was not acknowledged.
	Run func(context.Context, *World, *Instance) error
}

// A Scenario makes a world and lists the actors in it.
type Scenario struct {
	Name   string
	Setup  func(*World)
	Actors []Actor
}

// A Finding is a run that broke a promise.
type Finding struct {
	Scenario   string
	Schedule   Schedule
	Violations []invariant.Violation
	Trace      []string
}

// Counts count the work of an exploration.
type Counts struct {
	Schedules int            `json:"schedules"` // runs made
	States    int            `json:"states"`    // distinct situations
	Steps     int            `json:"steps"`     // calls scheduled
	CutOff    int            `json:"cutOff"`    // runs that reached a known situation
	Faults    map[Action]int `json:"faults"`    // deviations by kind
	// Rows counts the rows of the state table that random runs took.
	Rows map[lifecycle.Row]int `json:"-"`
}

// Add adds the counts of another exploration.
func (c *Counts) Add(d Counts) {
	c.Schedules, c.States, c.Steps, c.CutOff = c.Schedules+d.Schedules, c.States+d.States, c.Steps+d.Steps, c.CutOff+d.CutOff
	if c.Faults == nil {
		c.Faults = map[Action]int{}
	}
	for k, n := range d.Faults {
		c.Faults[k] += n
	}
	if c.Rows == nil {
		c.Rows = map[lifecycle.Row]int{}
	}
	for row, n := range d.Rows {
		c.Rows[row] += n
	}
}

// Bounds limit an exploration.
type Bounds struct {
	Delays, Faults int // deviations of each sort per schedule
	Runs           int // schedules at most; 0 for no limit
}

// Explore runs every schedule of a scenario within the bounds. It stops at the
// first finding, or when ctx ends; then the error is ctx's.
func Explore(ctx context.Context, s Scenario, b Bounds) (Counts, *Finding, error) {
	counts := Counts{Faults: map[Action]int{}}
	seen := map[uint64][]budget{}
	seed := maphash.MakeSeed()
	stack := []Schedule{nil}
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return counts, nil, err
		}
		if b.Runs > 0 && counts.Schedules >= b.Runs {
			break
		}
		schedule := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		left := budget{b.Delays, b.Faults}
		for _, d := range schedule {
			left = left.less(d.Action)
			counts.Faults[d.Action]++
		}
		r := newRun(s, schedule, seed)
		r.known = func(key uint64) bool {
			for _, other := range seen[key] {
				if other.delays >= left.delays && other.faults >= left.faults {
					return true
				}
			}
			if len(seen[key]) == 0 {
				counts.States++
			}
			seen[key] = append(slices.DeleteFunc(seen[key], func(o budget) bool {
				return o.delays <= left.delays && o.faults <= left.faults
			}), left)
			return false
		}
		r.play()
		counts.Schedules++
		counts.Steps += len(r.ops)
		if r.cut {
			counts.CutOff++
		}
		if len(r.violations) > 0 {
			return counts, &Finding{s.Name, schedule, r.violations, r.trace}, nil
		}
		from := 0
		if len(schedule) > 0 {
			from = schedule[len(schedule)-1].At + 1
		}
		for at := len(r.ops) - 1; at >= from; at-- {
			for _, a := range actionsFor(r.ops[at].op) {
				if a == Delay && (left.delays == 0 || r.ops[at].alone) || a != Delay && left.faults == 0 {
					continue
				}
				stack = append(stack, append(slices.Clone(schedule), Deviation{at, a}))
			}
		}
	}
	return counts, nil, nil
}

// A budget is how many deviations are left.
type budget struct{ delays, faults int }

func (b budget) less(a Action) budget {
	if a == Delay {
		return budget{b.delays - 1, b.faults}
	}
	return budget{b.delays, b.faults - 1}
}

// Replay runs one schedule and returns what it broke.
func Replay(s Scenario, schedule Schedule) *Finding {
	r := newRun(s, schedule, maphash.MakeSeed())
	r.play()
	if len(r.violations) == 0 {
		return nil
	}
	return &Finding{s.Name, schedule, r.violations, r.trace}
}

// Shrink removes deviations while the rest still breaks the same rule, large pieces
// first.
func Shrink(s Scenario, f *Finding) *Finding {
	same := func(g *Finding) bool { return g != nil && g.Violations[0].Rule == f.Violations[0].Rule }
	for size := (len(f.Schedule) + 1) / 2; size > 0; {
		cut := false
		for from := 0; from < len(f.Schedule); from += size {
			shorter := slices.Delete(slices.Clone(f.Schedule), from, min(from+size, len(f.Schedule)))
			if g := Replay(s, shorter); same(g) {
				f, cut = g, true
				break
			}
		}
		if !cut || size > len(f.Schedule) {
			size /= 2 // ever smaller pieces, down to single deviations
		}
	}
	return f
}

// situation hashes everything that the future of a run depends on.
func (r *run) situation() uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	add := func(v ...any) { fmt.Fprint(&h, v...) }
	add(r.w.Now.UnixNano(), r.w.runs, r.w.messages)
	r.w.Ledger.Each(func(ref ledger.Ref, doc ledger.Document, writes int) { add(ref, writes, r.hashOf(doc)) })
	for _, j := range r.w.Vertex.Jobs() {
		add(j.Name, j.State, j.Run, j.Request)
	}
	add(r.w.Vertex.Lists())
	ids := []string{}
	for id := range r.published {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	add(ids)
	for _, a := range r.queue {
		add(a.index, a.tries, a.results.Sum64(), a.op)
	}
	return h.Sum64()
}

// hashOf hashes a stored document; the same pointer is the same content.
func (r *run) hashOf(doc any) uint64 {
	if h, ok := r.hashes[doc]; ok {
		return h
	}
	h := maphash.Bytes(r.seed, encode(doc))
	r.hashes[doc] = h
	return h
}

// calmRounds is how many rounds of two minutes a run gets to come to rest after
// its faults: more than the unclear timeout and all submission attempts take.
const (
	calmRounds = 60
	calmStep   = 2 * time.Minute
)
