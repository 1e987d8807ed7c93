package chaos

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Fault is what a proxy does to one call.
type Fault string

const (
	noFault Fault = ""

	// Not carried out.
	abortedBefore     Fault = "ABORTED, not done"
	unavailableBefore Fault = "UNAVAILABLE, not done"
	rateLimited       Fault = "RESOURCE_EXHAUSTED, not done"

	// Carried out, and yet answered so.
	unavailableAfter Fault = "UNAVAILABLE, done"
	deadlineAfter    Fault = "DEADLINE_EXCEEDED, done"

	// doneLater is answered with UNAVAILABLE at once and carried out up to
	// latest later, when the caller may long have drawn its conclusions.
	doneLater Fault = "UNAVAILABLE, done later"

	// brokenOff hands on the first answers of a stream and then fails.
	brokenOff Fault = "UNAVAILABLE within the answers"

	// slow is carried out after a while.
	slow Fault = "slow"
)

const (
	slowest = 400 * time.Millisecond
	// latest is longer than an attempt and the pause after it, so that a job may
	// appear after another attempt has made one: a stray. It is shorter than the
	// settle time, within which no job may appear unseen.
	latest = 9 * time.Second
)

// err is the answer of a fault, nil for one that lets the call's own through.
func (f Fault) err() error {
	switch f {
	case abortedBefore:
		return status.Error(codes.Aborted, "chaos: too much contention on these documents")
	case unavailableBefore, unavailableAfter, brokenOff, doneLater:
		return status.Error(codes.Unavailable, "chaos: the service is currently unavailable")
	case deadlineAfter:
		return status.Error(codes.DeadlineExceeded, "chaos: deadline exceeded")
	case rateLimited:
		return status.Error(codes.ResourceExhausted, "chaos: too many requests per minute")
	}
	return nil
}

// rules says which faults can befall which method. A fault that stands there
// twice is twice as likely.
type rules map[string][]Fault

var (
	firestoreRules = rules{
		"Commit":            {abortedBefore, unavailableBefore, unavailableAfter, unavailableAfter, deadlineAfter, slow},
		"BatchGetDocuments": {abortedBefore, unavailableBefore, deadlineAfter, brokenOff, slow},
		"RunQuery":          {abortedBefore, unavailableBefore, deadlineAfter, brokenOff, slow},
	}
	vertexRules = rules{
		// A refusal by rate makes the request pause for long, so few of them.
		"CreateCustomJob": {
			unavailableBefore, unavailableAfter, unavailableAfter, deadlineAfter, doneLater, doneLater, slow, slow,
			unavailableBefore, unavailableAfter, unavailableAfter, deadlineAfter, doneLater, doneLater, slow, rateLimited,
		},
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
// switch calms them all.
type dice struct {
	mu     sync.Mutex
	rng    *rand.Rand
	rate   float64 // share of calls that go wrong
	counts map[string]map[Fault]int
}

func newDice(seed uint64, rate float64) *dice {
	return &dice{rng: rand.New(rand.NewPCG(seed, 0xfa017)), rate: rate, counts: map[string]map[Fault]int{}} // #nosec G404 -- a game, not a secret
}

// roll returns what befalls a call of a method, and for a fault that takes time,
// how much.
func (d *dice) roll(service, method string, faults []Fault) (Fault, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	factor := 1.0
	if method == "CreateCustomJob" {
		factor = 3 // the call that matters most, and one of the rarest
	}
	if len(faults) == 0 || d.rng.Float64() >= d.rate*factor {
		return noFault, 0
	}
	f := faults[d.rng.IntN(len(faults))]
	most := slowest
	if f == doneLater {
		most = latest
	}
	if d.counts[service] == nil {
		d.counts[service] = map[Fault]int{}
	}
	d.counts[service][f]++
	return f, time.Duration(d.rng.Int64N(int64(most)))
}

// calm ends all faults.
func (d *dice) calm() {
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
