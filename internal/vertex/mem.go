package vertex

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// Mem is a Vertex AI in memory that keeps the contract of [Client]. Its lists can lag
// behind a create, and any call can fail before or after it had its effect. Jobs
// change state only when a test says so.
type Mem struct {
	now func() time.Time

	// Fault, if set, is asked before every call. It, Admit and Doom are called
	// without the lock.
	Fault func(op, name string) Fault
	// Lag keeps a job out of lists until so many lists have been made after its
	// creation.
	Lag int
	// Admit, if set, is asked whether a create is accepted; its error is
	// returned as it is.
	Admit func(parent string, job *aiplatformpb.CustomJob) error
	// Doom, if set, is asked whether an accepted job fails at once.
	Doom func(job *aiplatformpb.CustomJob) bool
	// CountUsed makes resources report the machines in use, those of jobs that
	// ended less than UsedLag ago included.
	CountUsed bool
	UsedLag   time.Duration
	// DiskType is what a job's disk becomes whose type is not set; "" for
	// capacity.DefaultDiskType.
	DiskType string
	// Strict holds a job against its persistent resource before Admit is asked:
	// every shape has to be a pool's, the resource has to be there and RUNNING.
	// RefuseAccounts and RefuseRay are further rules of Strict.
	Strict         bool
	RefuseAccounts bool // a job with a service account needs a resource with CustomAccount
	RefuseRay      bool // a Ray cluster takes no job
	// Refusal is the kind and code of what Strict refuses because of the job;
	// PERMANENT and INVALID_ARGUMENT if it is nil.
	Refusal *Error
	// IgnoreCancel lets cancelled jobs go on as if they were not cancelled, until a
	// test ends them.
	IgnoreCancel bool

	mu        sync.Mutex
	resources map[string]Resource
	jobs      []*memJob
	calls     map[string]int
	created   int
}

type memJob struct {
	Job
	parent string
	spec   *aiplatformpb.CustomJob
	lists  int // lists made since its creation
}

// A Fault says how a call of [Mem] goes wrong.
type Fault int

const (
	NoFault    Fault = iota
	FailBefore       // nothing is done; the error is Unclear
	FailAfter        // it is done; the error is Unclear
	FailRate         // nothing is done; RateLimited
)

// NewMem returns a Vertex AI without resources or jobs. now dates what happens.
func NewMem(now func() time.Time) *Mem {
	return &Mem{now: now, resources: map[string]Resource{}, calls: map[string]int{}}
}

// begin counts a call and asks for its fault.
func (m *Mem) begin(ctx context.Context, op, name string) (Fault, error) {
	f := NoFault
	if m.Fault != nil {
		f = m.Fault(op, name)
	}
	m.mu.Lock()
	m.calls[op]++
	m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return f, &Error{Op: op, Name: name, Kind: Unclear, Code: 4, Err: err}
	}
	switch f {
	case FailBefore:
		return f, &Error{Op: op, Name: name, Kind: Unclear, Code: 14, Err: errors.New("injected: nothing done")}
	case FailRate:
		return f, &Error{Op: op, Name: name, Kind: RateLimited, Code: 8, Err: errors.New("injected: too many calls")}
	}
	return f, nil
}

func end(f Fault, op, name string) error {
	if f == FailAfter {
		return &Error{Op: op, Name: name, Kind: Unclear, Code: 14, Err: errors.New("injected: done, answer lost")}
	}
	return nil
}

func (m *Mem) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (Job, error) {
	f, err := m.begin(ctx, "create", parent)
	if err != nil {
		return Job{}, err
	}
	if m.Strict {
		if err := m.check(parent, job); err != nil {
			return Job{}, err
		}
	}
	if m.Admit != nil {
		if err := m.Admit(parent, job); err != nil {
			return Job{}, err
		}
	}
	doomed := m.Doom != nil && m.Doom(job)
	m.mu.Lock()
	defer m.mu.Unlock()
	run, request := Named(job.GetLabels())
	j := &memJob{parent: parent, spec: proto.CloneOf(job), Job: Job{
		Name: m.name(parent), State: JobPending, CreateTime: m.now(),
		Run: run, Request: request, Deployment: job.GetLabels()[LabelDeployment],
		PersistentResource: job.GetJobSpec().GetPersistentResourceId(), Ask: message.AskOf(job, m.DiskType),
		Timeout: job.GetJobSpec().GetScheduling().GetTimeout().AsDuration(),
	}}
	if doomed {
		j.State, j.EndTime = JobFailed, m.now()
	}
	m.jobs = append(m.jobs, j)
	if err := end(f, "create", parent); err != nil {
		return Job{}, err
	}
	return j.Job, nil
}

// check is what Strict refuses.
func (m *Mem) check(parent string, job *aiplatformpb.CustomJob) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	refuse := func(kind Kind, code int32, text string) error {
		return &Error{Op: "create", Name: parent, Kind: kind, Code: code, Message: text}
	}
	wrong := func(text string) error {
		if m.Refusal != nil {
			return refuse(m.Refusal.Kind, m.Refusal.Code, text)
		}
		return refuse(Permanent, 3, text)
	}
	res, ok := m.resources[NameOf(parent).Resource(job.GetJobSpec().GetPersistentResourceId()).String()]
	account := job.GetJobSpec().GetServiceAccount()
	switch {
	case !ok:
		return refuse(Transient, 5, "The PersistentResource does not exist.")
	case res.State != Running:
		return refuse(Transient, 9, "The PersistentResource is "+res.State+".")
	case res.Ray && m.RefuseRay:
		return wrong("The PersistentResource is a Ray cluster.")
	case res.CustomAccount && account == "":
		return wrong("The PersistentResource enforces custom service accounts.")
	case !res.CustomAccount && account != "" && m.RefuseAccounts:
		return wrong("The PersistentResource allows no custom service accounts.")
	}
	for _, n := range message.AskOf(job, m.DiskType) {
		if !slices.ContainsFunc(res.Pools, func(p capacity.Pool) bool { return p.Shape == n.Shape }) {
			return wrong("No pool is " + n.Shape.String() + ".")
		}
	}
	return nil
}

func (m *Mem) Get(ctx context.Context, name string) (Job, error) {
	f, err := m.begin(ctx, "get", name)
	if err != nil {
		return Job{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.find(name); j != nil {
		return j.Job, end(f, "get", name)
	}
	return Job{}, &Error{Op: "get", Name: name, Kind: NotFound, Code: 5, Message: "The CustomJob does not exist."}
}

func (m *Mem) Find(ctx context.Context, parent, run string) ([]Job, error) {
	f, err := m.begin(ctx, "find", run)
	if err != nil {
		return nil, err
	}
	return m.list(func(j *memJob) bool { return j.parent == parent && j.Run == run }), end(f, "find", run)
}

func (m *Mem) Live(ctx context.Context, parent string) ([]Job, error) {
	f, err := m.begin(ctx, "live", parent)
	if err != nil {
		return nil, err
	}
	return m.list(func(j *memJob) bool { return j.parent == parent && !j.State.Ended() }), end(f, "live", parent)
}

func (m *Mem) list(want func(*memJob) bool) []Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	var jobs []Job
	for _, j := range m.jobs {
		if j.lists++; j.lists > m.Lag && want(j) {
			jobs = append(jobs, j.Job)
		}
	}
	slices.SortFunc(jobs, func(a, b Job) int {
		return cmp.Or(a.CreateTime.Compare(b.CreateTime), cmp.Compare(a.Name, b.Name))
	})
	return jobs
}

func (m *Mem) Cancel(ctx context.Context, name string) error {
	f, err := m.begin(ctx, "cancel", name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.find(name)
	if j == nil {
		return &Error{Op: "cancel", Name: name, Kind: NotFound, Code: 5, Message: "The CustomJob does not exist."}
	}
	if !j.State.Ended() && !m.IgnoreCancel {
		j.State = JobCancelling
	}
	return end(f, "cancel", name)
}

func (m *Mem) Resource(ctx context.Context, name string) (Resource, error) {
	f, err := m.begin(ctx, "resource", name)
	if err != nil {
		return Resource{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.resources[name]
	if !ok {
		return Resource{}, &Error{Op: "resource", Name: name, Kind: NotFound, Code: 5, Message: "The PersistentResource does not exist."}
	}
	r.Pools = slices.Clone(r.Pools)
	if m.CountUsed {
		m.countUsed(name, r.Pools)
	}
	return r, end(f, "resource", name)
}

// countUsed fills in the machines in use, on the first pool of each shape.
func (m *Mem) countUsed(name string, pools []capacity.Pool) {
	use := capacity.Use{}
	for _, j := range m.jobs {
		gone := j.State.Ended() && m.now().Sub(j.EndTime) >= m.UsedLag
		if !gone && name == NameOf(j.parent).Resource(j.PersistentResource).String() {
			use.Add(j.Ask)
		}
	}
	for i := range pools {
		s := pools[i].Shape
		pools[i].Used, use[s] = use[s], 0
	}
}

// SetResource makes or replaces a persistent resource; a zero one removes it.
func (m *Mem) SetResource(name string, r Resource) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.State == "" {
		delete(m.resources, name)
		return
	}
	m.resources[name] = r
}

// Peek returns a persistent resource without a call.
func (m *Mem) Peek(name string) (Resource, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.resources[name]
	return r, ok
}

// SetJob changes the state of a job. It panics for an unknown one.
func (m *Mem) SetJob(name string, s JobState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.find(name)
	if j.State = s; s.Ran() && j.StartTime.IsZero() {
		j.StartTime = m.now()
	}
	if s.Ended() {
		j.EndTime = m.now()
	}
}

// Delete removes a job.
func (m *Mem) Delete(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = slices.DeleteFunc(m.jobs, func(j *memJob) bool { return j.Name == name })
}

// AddForeign starts a foreign job: it has none of Berth's labels.
func (m *Mem) AddForeign(parent, resource string, ask capacity.Ask) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	j := &memJob{parent: parent, Job: Job{Name: m.name(parent),
		State: JobRunning, PersistentResource: resource, Ask: ask, CreateTime: m.now()}}
	m.jobs = append(m.jobs, j)
	return j.Name
}

// Jobs returns all jobs, oldest first.
func (m *Mem) Jobs() []Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	var jobs []Job
	for _, j := range m.jobs {
		jobs = append(jobs, j.Job)
	}
	return jobs
}

// Lists returns how often each job was left out of or put into a list so far,
// in order of creation: with [Mem.Lag], what later lists will show.
func (m *Mem) Lists() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lists []int
	for _, j := range m.jobs {
		lists = append(lists, min(j.lists, m.Lag+1))
	}
	return lists
}

// Calls returns how often each operation was called.
func (m *Mem) Calls() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := map[string]int{}
	for op, n := range m.calls {
		calls[op] = n
	}
	return calls
}

// name draws a job's name. No name is given twice, deleted or not.
func (m *Mem) name(parent string) string {
	m.created++
	return NameOf(parent).Job(strconv.Itoa(999 + m.created)).String()
}

func (m *Mem) find(name string) *memJob {
	for _, j := range m.jobs {
		if j.Name == name {
			return j
		}
	}
	return nil
}
