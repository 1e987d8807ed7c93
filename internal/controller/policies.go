package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/policy"
)

// The policy in force and the tenants that are paused are read together, by every instance at most once a tick, when the first request
// or pass of the tick needs it. So a policy that is written holds everywhere one tick later,
// and costs the requests between two reads nothing. A request is held against the version
// that its instance knows when it comes in; its record says which one that was.
//
// A policy that cannot be read decides nothing. To go on by the version before, or by none,
// would admit what the operators have forbidden.

// policyWithin is how long a read of the policy may take; never longer than a tick, because
// requests that come meanwhile share it.
const policyWithin = 10 * time.Second

// A rulebook is the policy in force, as an instance has read it.
type rulebook struct {
	version int64          // 0 for no policy
	policy  *policy.Policy // nil for no policy
	at      time.Time      // when the read began, on the monotonic clock
	quotas  *sync.Map      // *admission.Quotas by the full name of a persistent resource, made when asked for

	paused map[string]admission.Pause // tenants that operators have paused
	pauses int64                      // version of that; 0 if none has ever been paused
}

// policies is the copy of an instance.
type policies struct {
	mu    sync.Mutex
	known *rulebook // nil before the first read
	reads singleflight.Group
}

func (p *policies) latest() *rulebook {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

func (p *policies) set(known *rulebook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
}

// rulebook returns the policy in force, no older than a tick. An error means that nothing may
// be decided now.
func (c *Controller) rulebook(ctx context.Context) (*rulebook, error) {
	recent := func() *rulebook {
		if known := c.policies.latest(); known != nil && c.env.Monotonic().Sub(known.at) < c.cfg.Tick {
			return known
		}
		return nil
	}
	if known := recent(); known != nil {
		return known, nil
	}
	read, err, _ := c.policies.reads.Do("", func() (any, error) {
		if known := recent(); known != nil {
			return known, nil // read while this request came here
		}
		// The read is for all who wait for it, also if the first of them is given up.
		within, done := c.env.within(context.WithoutCancel(ctx), min(policyWithin, c.cfg.Tick))
		defer done()
		known, err := c.readPolicy(within, c.policies.latest())
		if err != nil {
			return nil, err
		}
		c.policies.set(known)
		return known, nil
	})
	if err != nil {
		c.reportPolicy(ctx, err)
		return nil, err
	}
	return read.(*rulebook), nil
}

// PolicyOf returns the settings for decisions on a persistent resource, with the quotas of
// the policy in force.
func (c *Controller) PolicyOf(ctx context.Context, resource string) (admission.Policy, error) {
	if _, err := c.rulebook(ctx); err != nil {
		return admission.Policy{}, err
	}
	return c.policyOf(resource), nil
}

// policyOf is PolicyOf by the version that this instance has read last. Updates of the ledger
// go by it, after a call of rulebook: they make no reads of their own.
func (c *Controller) policyOf(resource string) admission.Policy {
	p := c.withPauses(c.cfg.Policy)
	known := c.policies.latest()
	if known == nil || known.policy == nil {
		return p
	}
	quotas, made := known.quotas.Load(resource)
	if !made {
		quotas, _ = known.quotas.LoadOrStore(resource, known.policy.Quotas(resource))
	}
	p.Plan.Quotas = quotas.(*admission.Quotas)
	return p
}

// submissionShare is which part of a minute's submissions a tenant may use, by the policy
// that this instance has read last; 0 for no bound.
func (c *Controller) submissionShare(tenant string) float64 {
	if known := c.policies.latest(); known != nil && known.policy != nil {
		return known.policy.Tenant(tenant).Submissions
	}
	return 0
}

// withPauses adds the tenants that are paused, as this instance has read them last.
func (c *Controller) withPauses(p admission.Policy) admission.Policy {
	if known := c.policies.latest(); known != nil {
		p.Plan.Paused = known.paused
	}
	return p
}

// tenantPause is the pause of a tenant, as this instance has read it last.
func (c *Controller) tenantPause(tenant string) (pause admission.Pause, is bool) {
	if known := c.policies.latest(); known != nil {
		pause, is = known.paused[tenant]
	}
	return pause, is
}

// readPolicy reads the policy in force and the tenants that are paused. A version that is
// known is not parsed again.
func (c *Controller) readPolicy(ctx context.Context, known *rulebook) (*rulebook, error) {
	now := &rulebook{at: c.env.Monotonic(), quotas: &sync.Map{}}
	var stored *ledger.Policy
	err := ledger.Read(ctx, c.ledger, ledger.Policies(ledger.CurrentPolicy).And(ledger.AllPauses()), func(tx ledger.Tx) {
		stored = ledger.Get[*ledger.Policy](tx, ledger.PolicyRef(ledger.CurrentPolicy))
		now.paused, now.pauses = nil, 0
		if pauses := ledger.Get[*ledger.Pauses](tx, ledger.PauseRef(ledger.TenantPauses)); pauses != nil {
			now.paused, now.pauses = pauses.Tenants, pauses.Version
		}
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the policy: %w", err)
	case stored == nil:
		return now, nil
	case known != nil && known.version == stored.Version:
		now.version, now.policy, now.quotas = known.version, known.policy, known.quotas
		return now, nil
	}
	p, problems := policy.Parse([]byte(stored.Text))
	if p == nil {
		return nil, &PolicyError{stored.Version, problems[0]}
	}
	now.version, now.policy = stored.Version, p
	return now, nil
}

// A PolicyError says that the policy in force is not one that this release can read.
type PolicyError struct {
	Version int64
	Problem policy.Problem // the first
}

func (e *PolicyError) Error() string {
	return fmt.Sprintf("version %d of the policy cannot be read: line %d: %s", e.Version, e.Problem.Line, e.Problem.Code)
}

// reportPolicy logs why nothing is decided.
func (c *Controller) reportPolicy(ctx context.Context, err error) {
	var version int64
	var why string
	var text *PolicyError
	var document *ledger.UnreadableError
	switch {
	case errors.As(err, &text):
		version, why = text.Version, text.Error()
	case errors.As(err, &document) && document.Kind == ledger.KindPause:
		c.log.ErrorContext(ctx, "it cannot be read which tenants are paused, so no request is decided; see berth doctor",
			"event", "pauses_unreadable", "why", document.Why)
		return
	case errors.As(err, &document):
		why = document.Why
	default:
		c.log.WarnContext(ctx, "cannot read the policy; the message is delivered again", "event", "policy_failed", "error", err)
		return
	}
	c.log.ErrorContext(ctx, "the policy cannot be read, so no request is decided; berth policy rollback restores a version that can",
		"event", "policy_unreadable", "version", version, "why", why)
}
