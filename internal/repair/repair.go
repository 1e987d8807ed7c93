// Package repair has the operator's tools for a broken promise: checks that
// find what is wrong with a running deployment, and fixes.
//
// No crash and no lost answer needs a fix, because reconcile recovers from
// those. Fixes are for a bug, a manual database edit, a tick that has stopped,
// and messages that no instance could accept.
//
// # Checks
//
// [Examine] reads the whole ledger and the live jobs and judges them: the
// promises of package invariant, and whether the deployment keeps up. The
// documents are not read at one moment, so a request that moves meanwhile can
// appear as a broken promise. Therefore Examine searches twice, and reports
// only what it finds both times.
//
// # Fixes
//
// A [Kit] makes fixes. Each fix is one ledger update that reads its documents
// again and changes them only if they are still wrong. A dry run is the same
// update with its writes dropped, so it reports exactly the changes that would
// be made. A change that cannot be made is reported with the reason.
//
// Users' job specs are never read into a report.
package repair

import (
	"context"
	"fmt"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A Ledger is a ledger that can be read completely.
type Ledger interface {
	ledger.Ledger
	// Scan returns records in order of their keys, those after the given key (""
	// for the first).
	Scan(ctx context.Context, kind ledger.Kind, after string, limit int) ([]ledger.Document, error)
}

// Settings are those of the deployment that checks and fixes depend on.
type Settings struct {
	Tick         time.Duration // period of the reconcile tick
	StartTimeout time.Duration // from submitted to running
	RetryAfter   time.Duration // between an attempt's end and the next create
	Keep         time.Duration // how long an ended request stays in the ledger
	Lease        string        // name of the lease that reconcile takes
	Deployment   string        // label of the deployment's jobs; "" if it is not known
}

// late is the greatest age of work that a pass of reconcile should have done. A
// pass may be skipped, and one may take most of a tick.
func (s Settings) late() time.Duration { return max(3*s.Tick, 10*time.Second) }

// A Level says how bad a finding is.
type Level string

const (
	OK   Level = "ok"
	Warn Level = "WARN" // worth knowing; no promise is broken
	Fail Level = "FAIL" // something does not work, or a promise is broken
	None Level = "-"    // not checked, because it does not apply
)

// A Finding is the result of one check, or one of several problems that it
// found.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Means string `json:"means,omitempty"` // the consequence
	Do    string `json:"do,omitempty"`
	// Unchecked says that the check could not be made.
	Unchecked bool `json:"unchecked,omitempty"`

	// The request and resource concerned, and for a broken promise the two facts
	// that disagree.
	Request   message.Key `json:"request,omitempty"`
	RequestID string      `json:"requestId,omitempty"`
	Resource  string      `json:"resource,omitempty"`
	Job       string      `json:"job,omitempty"`
	This      string      `json:"this,omitempty"`
	That      string      `json:"that,omitempty"`
}

// same is the part of a finding that a repeated check finds again: everything
// but ages.
func (f Finding) same() string {
	return fmt.Sprint(f.Check, f.Level, f.Request, f.Resource, f.Job, f.This, f.That)
}

// Unchecked is the finding of a check that could not be made.
func Unchecked(check string, err error, do string) Finding {
	return Finding{Check: check, Level: Fail, Unchecked: true, Text: "could not be checked: " + err.Error(), Do: do}
}

// name is the argument for a record in a command line: its id if that is
// unambiguous, else its key.
func name(r *ledger.Record) string {
	if r.ID == "" || r.Tenant != "default" {
		return string(r.Key)
	}
	return r.ID
}

// who names a record in a sentence.
func who(r *ledger.Record) string {
	what := "request"
	if r.Kind == message.KindAnswer {
		what = "answer to message"
	}
	return fmt.Sprintf("%s %s (key %s)", what, r.ID, r.Key)
}

// asked names an ask in a sentence.
func asked(a capacity.Ask) string {
	var parts []string
	for _, n := range a {
		parts = append(parts, fmt.Sprintf("%d x %s", n.Replicas, n.Shape))
	}
	return strings.Join(parts, " + ")
}

// age writes a duration in a sentence.
func age(d time.Duration) string { return d.Round(time.Second).String() }

// elsewhere reports whether a job is not where the jobs of a record are
// created, so its labels were copied. Projects are not compared, because Vertex
// AI writes their number and Berth their id.
func elsewhere(rec *ledger.Record, job vertex.Job) bool {
	return job.PersistentResource != vertex.NameOf(rec.Resource).ID() || vertex.NameOf(job.Name).Region() != vertex.NameOf(rec.Resource).Region()
}
