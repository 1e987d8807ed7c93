package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"example.com/berth/internal/vertex"
)

// A request may name any persistent resource, and every name that is not known costs
// a call of Vertex AI. These calls and the observations of quotes have a share of
// [Config.Polls]. Beyond it a request for an unknown name is delivered again, and a
// quote uses the last observation.

const (
	absentFor   = 10 * time.Second // how long it is remembered that a name is not there
	absentNames = 4096             // of how many names
	// failedFor is how long a failed observation is remembered. Otherwise each request
	// would ask again, and while Vertex AI hangs hold a slot of the function for 15 s
	// that requests for other regions need.
	failedFor = 10 * time.Second
	// Calls are counted by each instance. Status and Admit together have about
	// twelve (see deploy.sh), which share a third of Polls.
	observingInstances = 10
)

// errObserveLater is why a request that names an unknown resource is not answered
// yet.
var errObserveLater = errors.New("too many unknown persistent resources were asked for in the last minute")

// missingNames keeps the calls of Vertex AI that requests cause within their share.
type missingNames struct {
	share  *rate.Limiter
	burst  float64
	absent *lru.Cache[string, time.Time]  // when the last call that found nothing began, on the monotonic clock
	failed *lru.Cache[string, failedCall] // by resource, or region if its jobs could not be listed
}

// A failedCall is when an observation failed, on the monotonic clock, and why.
type failedCall struct {
	at  time.Time
	err error
}

func newMissingNames(polls int) *missingNames {
	absent, err := lru.New[string, time.Time](absentNames)
	if err != nil {
		panic(err) // of a size that is not positive
	}
	failed, err := lru.New[string, failedCall](absentNames)
	if err != nil {
		panic(err)
	}
	burst := max(6, polls/15) // two questions at least
	return &missingNames{rate.NewLimiter(rate.Limit(float64(polls)/3/observingInstances/60), burst), float64(burst), absent, failed}
}

// hasFailed returns the error of an observation of a resource, or of a list of its
// region's jobs, that failed a moment ago; nil if none did.
func (u *missingNames) hasFailed(resource string, now time.Time) error {
	for _, name := range []string{resource, vertex.NameOf(resource).Parent()} {
		if f, known := u.failed.Get(name); known && now.Sub(f.at) < failedFor {
			return f.err
		}
	}
	return nil
}

// mayCall takes calls of Vertex AI out of the share, if they are left; giveBack puts
// them back. Once half of the share is used, a name that was not there a moment ago is
// not asked for again: one name that is repeated must not take all calls from others.
func (u *missingNames) mayCall(name string, calls int, now time.Time) (giveBack func(), ok bool) {
	if u.isAbsent(name, now) && u.share.TokensAt(now) < u.burst/2 {
		return nil, false
	}
	r := u.share.ReserveN(now, calls)
	giveBack = func() { r.CancelAt(now) }
	if !r.OK() || r.DelayFrom(now) > 0 {
		giveBack()
		return nil, false
	}
	return giveBack, true
}

// isAbsent reports whether a name was not there a moment ago.
func (u *missingNames) isAbsent(name string, now time.Time) bool {
	began, known := u.absent.Get(name)
	return known && now.Sub(began) < absentFor
}

// exists asks Vertex AI whether a name that the ledger does not know is that of a
// persistent resource: one call, where an observation takes two and more.
func (c *Controller) exists(ctx context.Context, name string) (bool, error) {
	began := c.env.Monotonic()
	giveBack, ok := c.missing.mayCall(name, 1, began)
	if !ok {
		return false, errObserveLater
	}
	_, err := c.vertex.Resource(ctx, name)
	switch {
	case err == nil:
		giveBack() // it is observed at once and known from then on
		c.missing.absent.Remove(name)
		return true, nil
	case vertex.KindOf(err) == vertex.NotFound:
		c.missing.absent.Add(name, began)
		return false, nil
	}
	err = fmt.Errorf("ask for %s: %w", name, err)
	c.missing.failed.Add(name, failedCall{c.env.Monotonic(), err})
	return false, err
}
