package fakevertex

import (
	"time"

	"google.golang.org/grpc/codes"
)

// FullPool says what becomes of a job whose shapes exist on the resource but
// whose replicas do not fit beside the jobs that are there. The empty word means
// FullQueueForEver.
type FullPool string

// What a full pool answers.
const (
	FullQueueForEver       FullPool = "queue-for-ever"      // accepted; waits, starts when room appears
	FullQueueThenFail      FullPool = "queue-then-fail"     // the same, but FAILED after QueueFailAfter
	FullFailedPrecondition FullPool = "failed-precondition" // the call fails with FAILED_PRECONDITION
	FullResourceExhausted  FullPool = "resource-exhausted"  // the call fails with RESOURCE_EXHAUSTED
	FullAcceptThenFail     FullPool = "accept-then-fail"    // accepted; FAILED after AcceptFailAfter
)

// Refusal says how a job is refused that this resource can never run. The empty word
// means RefuseInvalidArgument for Mismatch, RefuseFailedPrecondition for ResourceNotRunning
// and RefuseNotFound for ResourceAbsent.
type Refusal string

// How a job is refused.
const (
	RefuseInvalidArgument    Refusal = "invalid-argument"    // the call fails with INVALID_ARGUMENT
	RefuseFailedPrecondition Refusal = "failed-precondition" // the call fails with FAILED_PRECONDITION
	RefuseNotFound           Refusal = "not-found"           // the call fails with NOT_FOUND
	RefuseByFailing          Refusal = "accept-then-fail"    // accepted; FAILED after AcceptFailAfter
)

// WaitState is the state a waiting job shows.
type WaitState string

// States of a waiting job. The empty word means WaitPending.
const (
	WaitPending WaitState = "pending" // QUEUED and back to PENDING, like any job
	WaitQueued  WaitState = "queued"  // stays QUEUED until it holds machines
)

// CreateAnswer is what a caller of CreateCustomJob sees after the job exists.
type CreateAnswer string

// Answers to a create that was done. The empty word means CreateAnswered.
const (
	CreateAnswered         CreateAnswer = "answered"          // the job
	CreateUnavailable      CreateAnswer = "unavailable"       // UNAVAILABLE, as from a proxy that lost the answer
	CreateDeadlineExceeded CreateAnswer = "deadline-exceeded" // DEADLINE_EXCEEDED
	CreateDropped          CreateAnswer = "dropped"           // the connection closes without an answer
)

// Words are the values of the type.
func (FullPool) Words() []string {
	return []string{string(FullQueueForEver), string(FullQueueThenFail), string(FullFailedPrecondition), string(FullResourceExhausted), string(FullAcceptThenFail)}
}

// Words are the values of the type.
func (Refusal) Words() []string {
	return []string{string(RefuseInvalidArgument), string(RefuseFailedPrecondition), string(RefuseNotFound), string(RefuseByFailing)}
}

// Words are the values of the type.
func (WaitState) Words() []string { return []string{string(WaitPending), string(WaitQueued)} }

// Words are the values of the type.
func (CreateAnswer) Words() []string {
	return []string{string(CreateAnswered), string(CreateUnavailable), string(CreateDeadlineExceeded), string(CreateDropped)}
}

// A Behaviour is the set of knobs. Start from [DefaultBehaviour]: in a zero
// Behaviour all delays are zero and all rates unlimited. Change it at any time
// with [Server.SetBehaviour]; it then holds for what happens from that moment
// on, while events that are already due at a set time keep it.
//
// Durations must not be negative; zero means at once (that is, by the next call), unless the field says otherwise.
type Behaviour struct {
	// Life of a job, counted from its creation. The order of the first three is
	// that of the real service; a job that had to wait becomes RUNNING as long
	// after it got its machines as RunningAfter exceeds PendingAfter.
	StartTimeAfter time.Duration // start_time is set, counted from creation, as the next three
	QueuedAfter    time.Duration // PENDING becomes QUEUED
	PendingAfter   time.Duration // QUEUED becomes PENDING again
	RunningAfter   time.Duration // PENDING becomes RUNNING
	RunFor         time.Duration // RUNNING lasts, without a label fake-run; negative means for ever
	CancelAfter    time.Duration // from cancelling to CANCELLED

	// Full pools and jobs that can never run.
	FullPool           FullPool      // what becomes of a job whose pools have it all in use
	QueueState         WaitState     // the state of a job that waits
	QueueFailAfter     time.Duration // how long a job waits under queue-then-fail
	AcceptFailAfter    time.Duration // how long a job lasts under accept-then-fail
	Mismatch           Refusal       // how a job is refused that fits no pool even when all are free, or has another network, key or account
	ResourceNotRunning Refusal       // how a job is refused whose resource is not RUNNING
	ResourceAbsent     Refusal       // how a job is refused whose resource does not exist

	// Machines of A3 Ultra have hyperdisk-balanced in any case.
	JobDisk  string // what an unset disk type of a job becomes; empty: pd-ssd
	PoolDisk string // what an unset disk type of a resource pool becomes; empty: pd-ssd

	// What a resource refuses beside that, in the way of Mismatch.
	RefuseAccounts bool // a job with a service account, where enable_custom_service_account is not set
	RefuseRay      bool // any job, where the resource is a Ray cluster

	// Fit.
	FirstPool        bool // take the first pool that fits, not the tightest
	IgnoreDiskSize   bool // compare the type of the disk only
	RejectSharedPool bool // no two worker pools of a job on one pool
	RejectManyChiefs bool // refuse more than one replica in worker pool 0
	AllowK80         bool // accept NVIDIA_TESLA_K80

	// Capacity over time.
	ReleaseLag     time.Duration // from a job's end until its machines can be given again
	UsedCountLag   time.Duration // used_replica_count is that much behind
	ScaleUpAfter   time.Duration // a pool grows that much after a job needs it
	ScaleUpDenied  bool          // no pool grows; its limit is what it has
	ScaleDownAfter time.Duration // a pool shrinks that much after machines fall idle; zero: never

	// Life of a resource.
	ProvisionAfter time.Duration // PROVISIONING to RUNNING
	ProvisionFails bool          // PROVISIONING to ERROR instead
	RebootAfter    time.Duration // REBOOTING to RUNNING
	RebootKills    bool          // a reboot fails the jobs on the resource
	StopAfter      time.Duration // STOPPING lasts that much at least, and until its jobs have ended
	UpdateAfter    time.Duration // UPDATING to RUNNING, with the new replica counts
	AllowUpdate    bool          // update the replica counts of any resource, not of Ray clusters only

	// Listing and creating.
	ListLag      time.Duration // ListCustomJobs leaves out younger jobs
	CreateAnswer CreateAnswer  // what the caller of CreateCustomJob gets after the job exists

	// Endings.
	TimeoutFails    bool // a job over its scheduling.timeout is FAILED, not CANCELLED
	CancelIsIgnored bool // a cancelled job ends SUCCEEDED

	// Rates per project and location; a breach fails with RESOURCE_EXHAUSTED.
	SubmitPerMinute int // creates, deletes and reboots; 0 means any number
	OtherPerMinute  int // all other calls; 0 means any number

	MachineQuota            string // a metric such as custom_model_training_nvidia_l4_gpus that is used up: creating a job fails with RESOURCE_EXHAUSTED, naming it
	MachineQuotaOnResources bool   // that holds for jobs on a resource, too
}

// DefaultBehaviour is what is recorded or documented of the real service, and
// where nothing is, the gentlest choice.
func DefaultBehaviour() Behaviour {
	return Behaviour{
		StartTimeAfter:     150 * time.Millisecond,
		QueuedAfter:        300 * time.Millisecond,
		PendingAfter:       2500 * time.Millisecond,
		RunningAfter:       4 * time.Second,
		RunFor:             2 * time.Second,
		CancelAfter:        2500 * time.Millisecond,
		FullPool:           FullQueueForEver,
		QueueState:         WaitPending,
		QueueFailAfter:     10 * time.Minute,
		AcceptFailAfter:    time.Second,
		Mismatch:           RefuseInvalidArgument,
		ResourceNotRunning: RefuseFailedPrecondition,
		ResourceAbsent:     RefuseNotFound,
		ScaleUpAfter:       2 * time.Minute,
		ScaleDownAfter:     10 * time.Minute,
		ProvisionAfter:     5 * time.Minute,
		RebootAfter:        2 * time.Minute,
		UpdateAfter:        2 * time.Minute,
		CreateAnswer:       CreateAnswered,
		SubmitPerMinute:    60,
		OtherPerMinute:     600,
	}
}

// fault is the lie that the knob asks for after a create that was done.
func (a CreateAnswer) fault() Fault {
	switch a {
	case CreateUnavailable:
		return FailAfter(codes.Unavailable, "The service is currently unavailable.")
	case CreateDeadlineExceeded:
		return FailAfter(codes.DeadlineExceeded, "Deadline expired before operation could complete.")
	case CreateDropped:
		return DropAfter()
	}
	return Fault{}
}

// SetBehaviour plays what is due under the old knobs and then lets change edit
// them; change must not call the server. Jobs that wait get another chance at
// once.
func (s *Server) SetBehaviour(change func(*Behaviour)) {
	_ = s.touch(func() error {
		change(&s.knobs)
		for _, r := range s.byAge() {
			s.pump(r)
		}
		return nil
	})
}

// Behaviour is a copy of the knobs as they are.
func (s *Server) Behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}
