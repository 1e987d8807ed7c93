package sim

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// The region that an outage of Vertex AI is in, the resource that one of
// [vertex.Client.Resource] is of, and the region where nothing fails.
const (
	struckRegion   = "asia-east1"
	struckResource = "a"
	otherRegion    = "us-central1"
)

// surroundings are Vertex AI, the ledger and the outcome topic with an outage.
type surroundings struct {
	vertex.Client
	mem   *ledger.Mem
	out   *Outbox
	rules Rules

	mu      sync.Mutex
	outage  Outage
	on      bool
	n       int // calls that the outage was asked about
	creates int
}

func (s *surroundings) set(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

// way is how a call fails, "" if it does not.
func (s *surroundings) way(call string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on || s.outage.Call != call {
		return ""
	}
	if s.n++; s.outage.Way == wayHalf && s.n%2 == 0 {
		return ""
	}
	return s.outage.Way
}

// hang waits for the caller's deadline, or its own.
func hang(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

// ask makes a call of Vertex AI go wrong: the first error is returned in place of
// the call, the second after it.
func (s *surroundings) ask(ctx context.Context, op, name, account string) (before, after error) {
	if !strings.Contains(name, "/"+struckRegion) || op == "resource" && !strings.HasSuffix(name, "/"+struckResource) {
		if !(s.outage.Call == "token" && strings.Contains(name, "/"+struckRegion)) {
			return nil, nil
		}
	}
	way := s.way(op)
	if way == "" {
		way = s.way("token")
	}
	switch way {
	case "":
		return nil, nil
	case wayHang:
		_ = hang(ctx, map[bool]time.Duration{true: 30 * time.Second, false: 15 * time.Second}[op == "create"])
		return s.rules(op, name, account, deadlineExceeded, "deadline exceeded"), nil
	case wayLost:
		return nil, s.rules(op, name, account, unavailable, "connection reset")
	case wayHalf:
		return s.rules(op, name, account, unavailable, "connection refused"), nil
	case "RESOURCE_EXHAUSTED":
		return s.rules(op, name, account, statusCodes[way], "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per region'"), nil
	}
	return s.rules(op, name, account, statusCodes[way], "injected: "+way), nil
}

func asked[T any](s *surroundings, ctx context.Context, op, name, account string, call func() (T, error)) (T, error) {
	var none T
	before, after := s.ask(ctx, op, name, account)
	if before != nil {
		return none, before
	}
	got, err := call()
	if err == nil && after != nil {
		return none, after
	}
	return got, err
}

func (s *surroundings) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (vertex.Job, error) {
	s.mu.Lock()
	s.creates++
	s.mu.Unlock()
	return asked(s, ctx, "create", parent, job.GetJobSpec().GetServiceAccount(), func() (vertex.Job, error) { return s.Client.Create(ctx, parent, job) })
}

func (s *surroundings) Get(ctx context.Context, name string) (vertex.Job, error) {
	return asked(s, ctx, "get", name, "", func() (vertex.Job, error) { return s.Client.Get(ctx, name) })
}

func (s *surroundings) Find(ctx context.Context, parent, run string) ([]vertex.Job, error) {
	return asked(s, ctx, "find", parent, "", func() ([]vertex.Job, error) { return s.Client.Find(ctx, parent, run) })
}

func (s *surroundings) Live(ctx context.Context, parent string) ([]vertex.Job, error) {
	return asked(s, ctx, "live", parent, "", func() ([]vertex.Job, error) { return s.Client.Live(ctx, parent) })
}

func (s *surroundings) Cancel(ctx context.Context, name string) error {
	_, err := asked(s, ctx, "cancel", name, "", func() (any, error) { return nil, s.Client.Cancel(ctx, name) })
	return err
}

func (s *surroundings) Resource(ctx context.Context, name string) (vertex.Resource, error) {
	return asked(s, ctx, "resource", name, "", func() (vertex.Resource, error) { return s.Client.Resource(ctx, name) })
}

// ledgerDeadline is how long the deployed ledger waits for one answer.
const ledgerDeadline = 10 * time.Second

// ledgerFaults is the fault hook of the memory ledger. What hangs does so in
// [struckLedger], which knows the caller's deadline.
func (s *surroundings) ledgerFaults(op string) ledger.Fault {
	if op != ledger.OpCommit || s.outage.Way == wayHang {
		return ledger.None
	}
	switch s.way(op) {
	case "":
		return ledger.None
	case wayLost:
		return ledger.LoseAnswerAndCheck
	}
	return ledger.FailCommit
}

var errOutage = errors.New("injected: outage")

func (s *surroundings) store(ctx context.Context, call string) error {
	switch s.way(call) {
	case "":
		return nil
	case wayHang:
		return hang(ctx, ledgerDeadline)
	}
	return errOutage
}

// struckLedger is the ledger with the outage. Queries that only the status page and
// the tools make are the memory ledger's own.
type struckLedger struct {
	ledger.Ledger
	*surroundings
}

func (l struckLedger) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	if err := l.store(ctx, "read"); err != nil {
		return err
	}
	if l.outage.Way != wayHang {
		return l.mem.Update(ctx, reads, closure, hints...)
	}
	err := l.mem.Update(ctx, reads, func(tx ledger.Tx) error {
		seen := &puts{Documents: tx.Docs}
		if err := closure(ledger.Tx{Docs: seen}); err != nil || !seen.any {
			return err
		}
		if l.way(ledger.OpCommit) == "" {
			return nil
		}
		return errHangs
	}, hints...)
	if errors.Is(err, errHangs) {
		return hang(ctx, ledgerDeadline)
	}
	return err
}

var errHangs = errors.New("injected: the commit hangs")

// puts records whether anything is put.
type puts struct {
	ledger.Documents
	any bool
}

func (p *puts) Put(doc ledger.Document) *ledger.UnreadableError {
	p.any = true
	return p.Documents.Put(doc)
}

func queried[T any](l struckLedger, ctx context.Context, query func() (T, error)) (T, error) {
	if err := l.store(ctx, "query"); err != nil {
		var none T
		return none, err
	}
	return query()
}

func (l struckLedger) Queue(ctx context.Context, resource, queue, after string, limit int) ([]admission.Head, error) {
	return queried(l, ctx, func() ([]admission.Head, error) { return l.mem.Queue(ctx, resource, queue, after, limit) })
}

func (l struckLedger) Due(ctx context.Context, states []lifecycle.State, now time.Time, after ledger.Timed, limit int) ([]ledger.Timed, error) {
	return queried(l, ctx, func() ([]ledger.Timed, error) { return l.mem.Due(ctx, states, now, after, limit) })
}

func (l struckLedger) Unpublished(ctx context.Context, after ledger.Timed, limit int) ([]ledger.Timed, error) {
	return queried(l, ctx, func() ([]ledger.Timed, error) { return l.mem.Unpublished(ctx, after, limit) })
}

func (l struckLedger) InState(ctx context.Context, resource string, state lifecycle.State, after string, limit int) ([]*ledger.Record, error) {
	return queried(l, ctx, func() ([]*ledger.Record, error) { return l.mem.InState(ctx, resource, state, after, limit) })
}

func (l struckLedger) Resources(ctx context.Context, after string, limit int) ([]*ledger.Resource, error) {
	return queried(l, ctx, func() ([]*ledger.Resource, error) { return l.mem.Resources(ctx, after, limit) })
}

// Publish is the outcome topic with the outage.
func (s *surroundings) Publish(ctx context.Context, events ...message.Outcome) error {
	switch s.way("publish") {
	case "":
		return s.out.Publish(ctx, events...)
	case wayLost:
		_ = s.out.Publish(ctx, events...)
	case wayHang:
		return hang(ctx, 10*time.Second)
	}
	return errOutage
}
