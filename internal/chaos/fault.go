package chaos

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/proxy"
)

// A Fault is what a proxy does to one call.
type Fault string

const (
	noFault Fault = ""

	// Not carried out.
	abortedBefore     Fault = "ABORTED, not done"
	unavailableBefore Fault = "UNAVAILABLE, not done"
	rateLimited       Fault = "RESOURCE_EXHAUSTED, not done"
	outage            Fault = "UNAVAILABLE in an outage" // of the whole service, for seconds: longer than any caller retries

	// Carried out, and answered with an error.
	unavailableAfter Fault = "UNAVAILABLE, done"
	deadlineAfter    Fault = "DEADLINE_EXCEEDED, done"

	// doneLater is answered with UNAVAILABLE at once and carried out up to
	// latest later, when the caller may already have acted on the error.
	doneLater Fault = "UNAVAILABLE, done later"

	// brokenOff passes on the first answers of a stream and then fails.
	brokenOff Fault = "UNAVAILABLE within the answers"

	// slow is carried out after a while.
	slow Fault = "slow"
)

const (
	slowest = 400 * time.Millisecond
	// latest is longer than an attempt and the pause after it, so that a job may
	// appear after another attempt has made one: an orphan job. It is shorter than the
	// unclear timeout, within which no job may appear unobserved.
	latest = 12 * time.Second
	// lateFrom is how late a create must be for a second job to be no bug: an attempt
	// makes its create while at least a quarter of its time is left, and the next
	// attempt searches first, after that time and the pause.
	lateFrom = submitTimeout/4 + retryAfter
)

// err is the answer of a fault, nil for one that lets the call's own through.
func (f Fault) err() error {
	switch f {
	case abortedBefore:
		return status.Error(codes.Aborted, "chaos: too much contention on these documents")
	case unavailableBefore, unavailableAfter, brokenOff, doneLater, outage:
		return status.Error(codes.Unavailable, "chaos: the service is currently unavailable")
	case deadlineAfter:
		return status.Error(codes.DeadlineExceeded, "chaos: deadline exceeded")
	case rateLimited:
		return status.Error(codes.ResourceExhausted, "chaos: too many requests per minute")
	}
	return nil
}

// does is what a proxy is to do to a call, with a wait for a fault that takes time.
func (f Fault) does(wait time.Duration) proxy.Fault {
	switch f {
	case abortedBefore, unavailableBefore, rateLimited, outage:
		return proxy.Fault{Sort: proxy.NotDone, Err: f.err()}
	case doneLater:
		return proxy.Fault{Sort: proxy.DoneLater, Err: f.err(), Wait: wait}
	case brokenOff:
		return proxy.Fault{Sort: proxy.BrokenOff, Err: f.err()}
	case slow:
		return proxy.Fault{Wait: wait}
	}
	return proxy.Fault{Err: f.err()}
}

// rules lists the faults of each method, used in rotation. A fault that is listed
// twice occurs twice as often.
type rules map[string][]Fault

var (
	firestoreRules = rules{
		"Commit":            {abortedBefore, unavailableBefore, unavailableAfter, unavailableAfter, deadlineAfter, slow},
		"BatchGetDocuments": {abortedBefore, unavailableBefore, deadlineAfter, brokenOff, slow},
		"RunQuery":          {abortedBefore, unavailableBefore, deadlineAfter, brokenOff, slow},
	}
	vertexRules = rules{
		// A refusal by rate makes the request pause for long, so it is rare.
		"CreateCustomJob":       {unavailableAfter, doneLater, deadlineAfter, unavailableBefore, slow, doneLater, unavailableAfter, rateLimited},
		"GetCustomJob":          {unavailableBefore, deadlineAfter, slow},
		"ListCustomJobs":        {unavailableBefore, deadlineAfter, slow},
		"GetPersistentResource": {unavailableBefore, deadlineAfter, slow},
		"CancelCustomJob":       {unavailableBefore, unavailableAfter, slow},
	}
	pubsubRules = rules{
		"Publish": {unavailableBefore, unavailableAfter, deadlineAfter, slow},
	}
)

// Dice decide which calls go wrong. One set serves all proxies, so that one
// switch stops all faults.
type dice struct {
	mu     sync.Mutex
	rng    *rand.Rand
	rate   float64              // share of calls that go wrong
	next   map[string]int       // index of the next fault, by method
	well   map[string]int       // calls that went well since the last that did not
	down   map[string]time.Time // end of an outage, by service
	counts map[string]map[Fault]int
}

func newDice(seed uint64, rate float64) *dice {
	return &dice{rng: rand.New(rand.NewPCG(seed, 0xfa017)), rate: rate, next: map[string]int{}, well: map[string]int{}, down: map[string]time.Time{}, counts: map[string]map[Fault]int{}} // #nosec G404 -- a game, not a secret
}

// createFactor makes creates go wrong more often: they matter most, and are
// among the rarest calls.
const createFactor = 10

// roll returns what befalls a call of a method, and for a fault that takes time,
// how much.
func (d *dice) roll(service, method string, faults []Fault) (Fault, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rate > 0 && time.Now().Before(d.down[service]) {
		d.count(service, outage)
		return outage, 0
	}
	share := d.rate
	if method == "CreateCustomJob" {
		share *= createFactor
	}
	if len(faults) == 0 || share == 0 {
		return noFault, 0
	}
	// No method is spared for long, so that every fault comes in a short run.
	if d.rng.Float64() >= share && float64(d.well[method]) < 2/share {
		d.well[method]++
		return noFault, 0
	}
	d.well[method] = 0
	f := faults[d.next[method]%len(faults)]
	d.next[method]++
	most := slowest
	if f == doneLater {
		most = latest
	}
	d.count(service, f)
	return f, time.Duration(d.rng.Int64N(int64(most)))
}

// judge lets the dice decide what a proxy does to the calls of a service.
func (d *dice) judge(service string, r rules) func(method string) proxy.Fault {
	return func(method string) proxy.Fault {
		f, wait := d.roll(service, method, r[method])
		return f.does(wait)
	}
}

func (d *dice) count(service string, f Fault) {
	if d.counts[service] == nil {
		d.counts[service] = map[Fault]int{}
	}
	d.counts[service][f]++
}

// breakDown lets a service answer nothing for a while.
func (d *dice) breakDown(service string, lasts time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down[service] = time.Now().Add(lasts)
}

// stopFaults lets every call pass from now on.
func (d *dice) stopFaults() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rate = 0
}

// injected is how many faults there were, by service and kind.
func (d *dice) injected() map[string]map[Fault]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]map[Fault]int{}
	for service, counts := range d.counts {
		all[service] = maps.Clone(counts)
	}
	return all
}
