// Package ledger is the port for durable truth: what was asked, what is held,
// and which outcome events are not published yet.
//
// # Documents
//
//   - A [Resource] is one persistent resource: its pools as last observed, every
//     hold on them, foreign use, and its waiting requests by class. It is the unit of
//     consistency: every move that takes or gives replicas writes it.
//   - A [Record] is one request, or the answer to a message that made none. It
//     carries the reservation and all outbox events.
//   - An [OutboxEvent] is an outcome event, stored by the commit that makes the
//     change it reports. It is unpublished until a later commit marks it published.
//   - A [History] is what the jobs of one tenant have taught of run times. It orders
//     requests, and no promise rests on it.
//   - A [Usage] is what became of the machines of one persistent resource. Nothing is
//     decided by it.
//   - A [Policy] is one version of the policy of the deployment: its text, and who wrote it.
//   - A [Pauses] is the tenants of which operators let nothing start.
//   - A [Budget] is how many jobs may be submitted a minute in one region.
//   - A [Lease] keeps two instances from doing the same work. No promise rests
//     on it.
//
// The table of [Kinds] has a line for each. Whatever a ledger, its tests and an
// operator's tools do with documents of any kind follows from it, so another kind is one
// more line there, and its type in a file of its own. An update reads and writes it
// with [Get] and [Tx.Put]. Only a query for it is more work.
//
// # Contract
//
// [Ledger.Update] is the only way to write. It reads the named documents as of
// one moment, calls the closure, and commits what the closure put, if and only
// if none of the documents read has changed since; otherwise it starts again.
// So every decision rests on exactly what it read: two updates that touch one
// document behave as if one came after the other, even if the first only read
// it. An update whose closure puts nothing writes nothing and checks nothing.
//
// The closure may run any number of times. It must set all its results anew in
// each run, and do nothing outside. It runs at least once per call, and
// what it set in its last run is what was committed when Update returns nil.
//
// When a commit's answer is lost, Update reads again: if a document it wrote
// bears its own commit token, the commit landed and Update returns nil without
// running the closure again. If none does (because it did not land, or because
// others have since written over every one of them), the closure runs again on
// what is there now; so closures must recognise their own finished work, as
// they must for a redelivered message anyway.
//
// # Unreadable documents
//
// A document may be damaged, or written by a newer release. An update that uses
// such a document, to read or to write it, ends with its [UnreadableError] and
// writes nothing; [Tx.Unreadable] lets a closure that can do without it find out
// first. Queries that return documents leave such ones out, go on until they have
// as many others as were asked for, and return a [SkippedError] with them. So an
// unreadable document is never taken for an absent one, and never overwritten.
//
// # Queries
//
// Queries ([Ledger.Queue], [Ledger.Due], ...) are sources of candidates. What
// they return may be out of date when the caller has it; a caller that acts on it
// reads it again by key inside an update.
package ledger

import (
	"context"
	"errors"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// ErrBusy means that an update lost all its tries to other writers of the same
// documents. Nothing was written. Try later.
var ErrBusy = errors.New("ledger: too many others wrote the same documents")

// Hints say how an update may be made at less cost. They change nothing of its
// result.
type Hints struct {
	// Recent lets a ledger try first with records and leases as this process has
	// just written them, but for those in Fresh, which saves the read. The
	// commit checks them like any others; if they have changed, or the closure puts
	// nothing, it runs again on a fresh read. Now may then be a little behind the
	// ledger's time, so an update that gives a right until a moment must not ask
	// for it.
	Recent bool
	Fresh  ReadSet

	// More, if set, is asked for more documents whenever an update has waited: after
	// a commit that was lost to others, or because others write the same resource.
	// So work that arrives meanwhile goes with it.
	More func() ReadSet

	// The rest is for a [Group]: the tenant whose share of its commits the update
	// takes; about how many bytes it writes, 0 for not known; and the resource with
	// whose updates it goes although it does not read it.
	Tenant string
	Bytes  int
	With   string
}

// HintsOf returns the hints of an update: the first, or none. It is for
// implementations.
func HintsOf(hints []Hints) Hints {
	if len(hints) == 0 {
		return Hints{}
	}
	return hints[0]
}

// A Ledger keeps the documents. Implementations are safe for concurrent use by
// any number of processes.
type Ledger interface {
	// Update is described in the package comment. It returns the closure's error
	// as it is, [ErrBusy], an [UnreadableError], or the error of a read or commit
	// of which the outcome is not known; in the last case the update may have landed.
	// At most one Hints is used.
	Update(ctx context.Context, reads ReadSet, closure func(Tx) error, hints ...Hints) error

	// Queue returns waiting requests of one class in order, those after the given
	// order key ("" for the first). Parked requests have queues of their own
	// ([Parked], [ParkedIn]).
	Queue(ctx context.Context, resource, queue, after string, limit int) ([]admission.Head, error)
	// Due returns records in one of the states whose TimerAt is at or before now,
	// earliest first and those of one moment by key: those after the given place,
	// the zero Timed for the first.
	Due(ctx context.Context, states []lifecycle.State, now time.Time, after Timed, limit int) ([]Timed, error)
	// Unpublished returns records with an unpublished event, longest unpublished first and those
	// of one moment by key: those after the given place, the zero Timed for the first.
	Unpublished(ctx context.Context, after Timed, limit int) ([]Timed, error)
	// InState returns records of a resource in a state, in order of their order
	// key, those after the given one ("" for the first).
	InState(ctx context.Context, resource string, state lifecycle.State, after string, limit int) ([]*Record, error)
	// List returns records that pass a filter, in order of their ListKey, the
	// latest received first, those after the given one ("" for the first). A record
	// written by a release that did not keep this order is missing until it is
	// written again.
	List(ctx context.Context, f Filter, after string, limit int) ([]*Record, error)
	// OfJob returns the records whose present job has this number (see
	// [JobNumber]), in order of their keys. Jobs of two regions may share one.
	OfJob(ctx context.Context, number string, limit int) ([]message.Key, error)
	// Resources returns the resource documents with a name after the given one,
	// in order of their names.
	Resources(ctx context.Context, after string, limit int) ([]*Resource, error)
}

// Read is an update that only reads.
func Read(ctx context.Context, l Ledger, reads ReadSet, use func(Tx)) error {
	return l.Update(ctx, reads, func(tx Tx) error {
		use(tx)
		return nil
	})
}
