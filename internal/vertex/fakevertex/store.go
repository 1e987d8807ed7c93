package fakevertex

import (
	"container/heap"
	"fmt"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
)

// A job is a custom job and what the server knows about it beyond that.
type job struct {
	pb     *aiplatformpb.CustomJob
	seq    int64
	parent string // projects/N/locations/L

	resource string // name of the resource it asked for, or ""
	uid      int64  // which incarnation of it; zero if the job never got onto one

	asks    string  // equal for jobs that ask for equal machines
	places  []place // of a placed job, what it takes from which pool
	holding bool    // its machines exist and are its own
	lot
}

// A lot is what becomes of a job once it has machines.
type lot struct {
	startDelay time.Duration // from having machines to RUNNING; negative means as the knobs say
	runFor     time.Duration // negative means for ever
	end        aiplatformpb.JobState
	failure    string // what the error of a job that fails says; "" for the usual text
}

// A place is what one worker pool takes of one pool.
type place struct {
	Pool     string `json:"pool"`
	Replicas int64  `json:"replicas"`
}

// A resource is a persistent resource and what the server knows beyond that.
type resource struct {
	pb     *aiplatformpb.PersistentResource
	uid    int64
	parent string
	jobs   jobList            // live, or ended and not yet released
	live   int                // of jobs, how many are live
	wait   map[string]jobList // of jobs, those without places, by what they ask for
	coming jobList            // of jobs, those that have places and do not hold them yet
	taken  map[string]int64   // replicas of all places, per pool
	held   map[string]int64   // of taken, those that jobs hold
	busy   map[string]int64   // of held, those of live jobs
	used   map[string]int64   // busy, as it was last counted
	grows  map[string]bool    // pools whose growth is due
	op     string             // operation that ends with the present transition
	halted bool               // STOPPING, and its least time is over
}

// Kinds of events. Each is guarded, when it fires, by the state it leaves, so an
// event that something else has overtaken does nothing.
const (
	evStartTime   = "start-time"
	evQueued      = "queued"
	evPending     = "pending"
	evRun         = "run"
	evEnd         = "end"
	evTimeout     = "timeout"
	evCancelled   = "cancelled"
	evFail        = "fail"
	evStarve      = "starve"
	evRelease     = "release"
	evUsed        = "used"
	evGrow        = "grow"
	evShrink      = "shrink"
	evProvisioned = "provisioned"
	evRebooted    = "rebooted"
	evHalted      = "halted"
	evResize      = "resize"
	evUpdated     = "updated"
)

// An event is something due. Its fields are exported for the saved form only.
type event struct {
	At       time.Time  `json:"at"`
	Seq      int64      `json:"seq"` // order among equals in time
	Kind     string     `json:"kind"`
	Job      string     `json:"job,omitempty"`
	Resource string     `json:"resource,omitempty"`
	UID      int64      `json:"uid,omitempty"`
	Pool     string     `json:"pool,omitempty"`
	Count    int64      `json:"count,omitempty"`
	Code     codes.Code `json:"code,omitempty"`
	Message  string     `json:"message,omitempty"`
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].At.Equal(q[j].At) {
		return q[i].At.Before(q[j].At)
	}
	return q[i].Seq < q[j].Seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// store is everything that outlives the process when a state file is kept. The
// server's mutex guards it.
type store struct {
	now       time.Time // of the event being played, or of the last touch
	seq       int64     // last sequence number given
	jobs      map[string]*job
	order     jobList              // all jobs
	index     map[string]*jobIndex // by location
	named     map[string]int64     // how many jobs were created under a display name
	resources map[string]*resource
	ops       map[string]*longrunningpb.Operation
	opsByID   map[string]*longrunningpb.Operation // by location and id
	events    eventQueue
	log       []*logEntry            // oldest first
	logOf     map[string][]*logEntry // by the ids of jobs
}

// touch plays what is due, runs f, which may change the store, and keeps the
// state file up to date.
func (s *Server) touch(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.playDue()
	s.dirty = true
	err := f()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.keep(err)
}

// whenChanged is a channel that is closed by the next call that changes the store.
func (s *Server) whenChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// read is touch for an f that changes nothing.
func (s *Server) read(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.playDue()
	return s.keep(f())
}

// keep writes the state file if there is one and the store has changed. Not being
// able to is an error, unless the call has one already.
func (s *Server) keep(err error) error {
	if s.options.StateFile != "" && s.dirty {
		if saveErr := s.writeStateFile(); saveErr != nil {
			s.fileErr = saveErr
			if err == nil {
				err = status.Error(codes.Internal, saveErr.Error())
			}
			return err
		}
	}
	s.dirty = false
	return err
}

// playDue plays the events that are due, in the order of their times.
func (s *Server) playDue() {
	now := s.clock.Now().UTC().Truncate(time.Microsecond)
	for len(s.events) > 0 && !s.events[0].At.After(now) {
		e := heap.Pop(&s.events).(*event)
		s.work++
		if e.At.After(s.now) {
			s.now = e.At
		}
		s.play(e)
		s.dirty = true
	}
	if now.After(s.now) {
		s.now = now
	}
}

// after queues an event d from now.
func (s *Server) after(d time.Duration, e event) {
	s.seq++
	e.At, e.Seq = s.now.Add(max(d, 0)).Truncate(time.Microsecond), s.seq
	heap.Push(&s.events, &e)
}

func (s *Server) stamp() *timestamppb.Timestamp { return timestamppb.New(s.now) }

// newID draws a number of 19 digits. Numbers depend on the seed and on how many
// were drawn before, and look unordered, as the real ones do.
func (s *Server) newID() string {
	for {
		s.seq++
		z := mix(uint64(s.options.Seed) + uint64(s.seq)*0x9e3779b97f4a7c15)
		id := fmt.Sprint(1_000_000_000_000_000_000 + z%8_000_000_000_000_000_000)
		if !s.ids[id] {
			s.ids[id] = true
			return id
		}
	}
}

// incarnation is the resource of that name if it is still the one with uid.
func (s *Server) incarnation(name string, uid int64) *resource {
	if r := s.resources[name]; r != nil && r.uid == uid {
		return r
	}
	return nil
}

// home is the resource that j is on, or nil.
func (s *Server) home(j *job) *resource { return s.incarnation(j.resource, j.uid) }

func isTerminal(state aiplatformpb.JobState) bool {
	switch state {
	case aiplatformpb.JobState_JOB_STATE_SUCCEEDED,
		aiplatformpb.JobState_JOB_STATE_FAILED,
		aiplatformpb.JobState_JOB_STATE_CANCELLED,
		aiplatformpb.JobState_JOB_STATE_EXPIRED,
		aiplatformpb.JobState_JOB_STATE_PARTIALLY_SUCCEEDED:
		return true
	}
	return false
}

func (j *job) live() bool { return !isTerminal(j.pb.State) }
