package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"example.com/berth/internal/lifecycle"
)

// A purpose says what a message is for, which determines its outcome.
type purpose string

const (
	forJob     purpose = "request"    // makes a request, or is a copy of the message that did
	forOther   purpose = "other job"  // another request under an id that is taken
	forCancel  purpose = "cancel"     // ends a request
	forQuote   purpose = "dry run"    // is answered, and starts nothing
	forNothing purpose = "nonsense"   // is refused
	byMessage          = "by message" // id of a request that its message id names
)

// An order is one request of the workload: its kind and its possible outcomes.
type order struct {
	Name string `json:"name"` // its request id; byMessage-n for one that has none of its own
	Kind string `json:"kind"`
	NoID bool   `json:"noId,omitempty"` // its message id is its id
	// Ends are the states that it may end in.
	Ends map[lifecycle.State]bool `json:"ends"`
}

// A plannedMessage is a message, when to publish it, and for which order.
type plannedMessage struct {
	at         time.Duration
	purpose    purpose
	order      *order // nil for a dry run or nonsense
	data       []byte
	attributes map[string]string
	cancels    bool // names its order's message id, which is known once that is published
}

// A workload makes up orders and planned messages from a seed.
type workload struct {
	rng      *rand.Rand
	made     int
	messages []*order
	plan     []plannedMessage
}

// wave makes up n requests, spread over some time, in order of their times.
func (c *workload) wave(n int, over time.Duration) []plannedMessage {
	c.plan = nil
	for i := range n {
		c.request(time.Duration(i) * over / time.Duration(n))
	}
	slices.SortStableFunc(c.plan, func(a, b plannedMessage) int { return int(a.at - b.at) })
	return c.plan
}

// kinds of request, with their shares.
var kinds = []struct {
	name  string
	share int
}{
	{"one machine", 26}, {"gang", 14}, {"accelerator", 12}, {"priority", 10}, {"reject when full", 8}, {"short wait", 7},
	{"program fails", 5}, {"never fits", 5}, {"too many", 3}, {"nonsense", 5}, {"dry run", 5},
}

func (c *workload) pick() string {
	total := 0
	for _, k := range kinds {
		total += k.share
	}
	x := c.rng.IntN(total)
	for _, k := range kinds {
		if x -= k.share; x < 0 {
			return k.name
		}
	}
	panic("chaos: shares do not add up")
}

// request makes up one request and everything that is published about it.
func (c *workload) request(at time.Duration) {
	c.made++
	kind := c.pick()
	switch kind {
	case "nonsense":
		c.nonsense(at)
		return
	case "dry run":
		c.post(plannedMessage{at: at, purpose: forQuote, data: c.job("dry run", nil, c.needs("gang")),
			attributes: map[string]string{"berth-dry-run": "true"}})
		return
	}
	o := &order{Name: fmt.Sprintf("chaos-%d", c.made), Kind: kind, NoID: c.chance(0.12)}
	if o.NoID {
		o.Name = fmt.Sprintf("%s-%d", byMessage, c.made)
	}
	o.may(lifecycle.Succeeded)
	labels := map[string]string{"fake-run": fmt.Sprintf("%dms", 100+c.rng.IntN(1400))}
	options := map[string]string{}
	switch kind {
	case "priority":
		options["berth-priority"] = fmt.Sprint(c.rng.IntN(2001) - 1000)
	case "reject when full":
		options["berth-on-full"] = "reject"
		o.may(lifecycle.Rejected)
	case "short wait":
		options["berth-max-wait"] = fmt.Sprintf("%ds", 1+c.rng.IntN(3))
		o.may(lifecycle.Expired)
	case "program fails":
		labels["fake-end"] = "failed"
		o.Ends = nil
		o.may(lifecycle.Failed)
	case "never fits", "too many":
		o.Ends = nil
		o.may(lifecycle.Rejected)
	}
	c.messages = append(c.messages, o)
	p := plannedMessage{at: at, purpose: forJob, order: o, data: c.job(o.Name, labels, c.needs(kind)), attributes: options}
	if !o.NoID {
		options["berth-request-id"] = o.Name
	}
	c.post(p)
	if !o.NoID && c.chance(0.25) { // the same again, as a publisher that got no answer does
		for range 1 + c.rng.IntN(4) {
			p.at = at + c.upTo(6*time.Second)
			c.post(p)
		}
	}
	if !o.NoID && c.chance(0.08) {
		other := p
		other.at, other.purpose = at+c.upTo(3*time.Second), forOther
		other.data = c.job("another job", map[string]string{"fake-run": "100ms"}, c.needs("one machine"))
		c.post(other)
		// Which of the two comes first is open, so is what it asks for.
		o.may(lifecycle.Succeeded)
		return
	}
	if c.chance(0.2) {
		c.cancel(o, at)
	}
}

// cancel makes up one or two cancels: before the request, with it, while it
// waits or runs, after it.
func (c *workload) cancel(o *order, at time.Duration) {
	o.may(lifecycle.Cancelled)
	shifts := []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 12 * time.Second}
	if !o.NoID {
		shifts = append(shifts, -500*time.Millisecond, -2*time.Second)
	}
	p := plannedMessage{at: max(0, at+shifts[c.rng.IntN(len(shifts))]), purpose: forCancel, order: o, cancels: o.NoID}
	if !o.NoID {
		if c.chance(0.5) {
			p.data = encode(map[string]any{"cancel": map[string]string{"requestId": o.Name, "reason": "chaos"}})
		} else {
			p.attributes = map[string]string{"berth-cancel": "true", "berth-request-id": o.Name}
		}
	}
	c.post(p)
	if c.chance(0.3) {
		p.at += c.upTo(5 * time.Second)
		c.post(p)
	}
}

// nonsense makes up a message that is refused. Some claim the id of a request, which
// the message must not change.
func (c *workload) nonsense(at time.Duration) {
	p := plannedMessage{at: at, purpose: forNothing, attributes: map[string]string{}}
	switch c.rng.IntN(5) {
	case 0:
		p.data = []byte(`{"jobSpec": {`)
	case 1:
		p.data = []byte("\xff\xfe\x00")
	case 2:
		p.data = encode(map[string]any{"workerPoolSpecs": []any{map[string]any{"machineSpec": map[string]any{"machineType": cpuMachine,
			"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}, "replicaCount": 1, "containerSpec": map[string]any{"imageUri": "x"}}}})
	case 3:
		p.data = c.job("forged", map[string]string{"berth-run": "mine"}, c.needs("one machine"))
	case 4:
		p.data = c.job("reservation", nil, c.needs("one machine"))
		p.attributes["berth-priority"] = "highest"
	}
	if len(c.messages) > 0 && c.chance(0.5) {
		p.attributes["berth-request-id"] = c.messages[c.rng.IntN(len(c.messages))].Name
	}
	c.post(p)
}

func (c *workload) post(p plannedMessage) {
	p.attributes = maps.Clone(p.attributes)
	c.plan = append(c.plan, p)
}

func (o *order) may(s lifecycle.State) {
	if o.Ends == nil {
		o.Ends = map[lifecycle.State]bool{}
	}
	o.Ends[s] = true
}

func (c *workload) chance(share float64) bool { return c.rng.Float64() < share }

func (c *workload) upTo(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }

// A need is a worker pool of a job.
type need struct {
	machine, accelerator, disk string
	replicas                   int
}

// needs makes up the worker pools of a job of a kind.
func (c *workload) needs(kind string) []need {
	cpu := need{machine: cpuMachine, replicas: 1 + c.rng.IntN(3)}
	gpu := need{machine: gpuMachine, accelerator: "NVIDIA_TESLA_T4", replicas: 1 + c.rng.IntN(3)}
	big := need{machine: bigMachine, accelerator: "NVIDIA_L4", disk: "pd-standard", replicas: 1 + c.rng.IntN(2)}
	switch kind {
	case "gang":
		if c.chance(0.3) {
			return []need{cpu, gpu, big}
		}
		return []need{cpu, gpu}
	case "accelerator":
		if c.chance(0.5) {
			return []need{big}
		}
		return []need{gpu}
	case "never fits":
		big.disk = ""
		return []need{big}
	case "too many":
		big.replicas = bigCount + 1
		return []need{big}
	}
	return []need{cpu}
}

// job writes a job as the REST API takes it.
func (c *workload) job(name string, labels map[string]string, needs []need) []byte {
	var workers []any
	for _, n := range needs {
		machine := map[string]any{"machineType": n.machine}
		if n.accelerator != "" {
			machine["acceleratorType"], machine["acceleratorCount"] = n.accelerator, 1
		}
		worker := map[string]any{"machineSpec": machine, "replicaCount": n.replicas, "containerSpec": map[string]any{"imageUri": "example/train:1"}}
		if n.disk != "" {
			worker["diskSpec"] = map[string]any{"bootDiskType": n.disk, "bootDiskSizeGb": 200}
		}
		workers = append(workers, worker)
	}
	job := map[string]any{"displayName": name, "jobSpec": map[string]any{"workerPoolSpecs": workers}}
	if labels != nil {
		job["labels"] = labels
	}
	return encode(job)
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("chaos: %v", err)) // maps, lists and text only
	}
	return data
}
