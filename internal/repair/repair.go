// Package repair is what an operator reaches for when a promise does not hold:
// checks that find what is wrong with a running deployment, and fixes.
//
// No crash and no lost answer needs any of it; reconcile gets over those by
// itself. It is for what nobody foresees: a bug, a hand in the database, a tick
// that has stopped, messages that nobody could take in.
//
// # Checks
//
// [Examine] reads the whole ledger and the live jobs and judges them: the
// promises of package invariant, and whether the deployment keeps up. Reading
// everything is not reading one moment, and a request that moves meanwhile looks
// like a broken promise. So what is found is looked for a second time, and only
// what is found twice is reported.
//
// # Fixes
//
// A [Kit] fixes. Each fix is one ledger update that reads what it is about
// again and changes it only if it is still wrong. A dry run is that same update
// with its writes dropped, so what it says is what would be done. What a fix
// finds and cannot put right it reports as left, with the reason.
//
// Specs of jobs, which are the users' own, are never read into a report.
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

// A Ledger is a ledger that can be read whole.
type Ledger interface {
	ledger.Ledger
	// Scan returns records in order of their keys, those after the given one ("" for
	// the first).
	Scan(ctx context.Context, after message.Key, limit int) ([]*ledger.Record, error)
}

// Settings are the deployment's own, as far as checks and fixes depend on them.
type Settings struct {
	Tick        time.Duration // period of the reconcile tick
	StartWithin time.Duration // from submitted to running
	RetryAfter  time.Duration // between an attempt's end and the next create
	Keep        time.Duration // how long an ended request stays in the ledger
	Lease       string        // name of the lease that reconcile takes
}

// late is how old something may be that one pass of reconcile should have dealt
// with. A pass may be skipped, and one may take most of a tick.
func (s Settings) late() time.Duration { return max(3*s.Tick, 10*time.Second) }

// A Level says how bad a finding is.
type Level string

const (
	OK   Level = "ok"
	Warn Level = "WARN" // worth knowing; no promise is broken
	Fail Level = "FAIL" // something does not work, or a promise is broken
	None Level = "-"    // not checked, and it does not matter here
)

// A Finding is the result of one check, or one of several problems that it
// found.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Means string `json:"means,omitempty"` // what follows from it
	Do    string `json:"do,omitempty"`
	// Unchecked says that the check could not be made.
	Unchecked bool `json:"unchecked,omitempty"`

	// Whom it concerns, and for a broken promise the two facts that disagree.
	Request   message.Key `json:"request,omitempty"`
	RequestID string      `json:"requestId,omitempty"`
	Resource  string      `json:"resource,omitempty"`
	Job       string      `json:"job,omitempty"`
	This      string      `json:"this,omitempty"`
	That      string      `json:"that,omitempty"`
}

// same is what a finding has in common with the same finding a moment later:
// all but how old things are.
func (f Finding) same() string {
	return fmt.Sprint(f.Check, f.Level, f.Request, f.Resource, f.Job, f.This, f.That)
}

// Unchecked is the finding of a check that could not be made.
func Unchecked(check string, err error, do string) Finding {
	return Finding{Check: check, Level: Fail, Unchecked: true, Text: "could not be checked: " + err.Error(), Do: do}
}

// name is what a record is called in a command line: its id where that says
// which is meant, else its key.
func name(r *ledger.Record) string {
	if r.ID == "" || r.Tenant != "default" {
		return string(r.Key)
	}
	return r.ID
}

// who is a record in a sentence.
func who(r *ledger.Record) string {
	what := "request"
	if r.Kind == message.KindAnswer {
		what = "answer to message"
	}
	return fmt.Sprintf("%s %s (key %s)", what, r.ID, r.Key)
}

// asked is an ask in a sentence.
func asked(a capacity.Ask) string {
	var parts []string
	for _, n := range a {
		parts = append(parts, fmt.Sprintf("%d x %s", n.Replicas, n.Shape.Normal()))
	}
	return strings.Join(parts, " + ")
}

// plural is a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// age is a duration in a sentence.
func age(d time.Duration) string { return d.Round(time.Second).String() }

// parentOf returns projects/P/locations/L of a full name.
func parentOf(name string) string {
	part := strings.SplitN(name, "/", 5)
	return strings.Join(part[:min(4, len(part))], "/")
}

// locationOf returns the region in a full name, "" if it names none.
func locationOf(name string) string {
	if part := strings.SplitN(name, "/", 5); len(part) > 3 {
		return part[3]
	}
	return ""
}

// elsewhere reports whether a job is not where the jobs of a record are created, so
// that its labels were copied. Projects are not compared: Vertex AI writes their number
// where Berth writes their id.
func elsewhere(rec *ledger.Record, job vertex.Job) bool {
	return job.PersistentResource != idOf(rec.Resource) || locationOf(job.Name) != locationOf(rec.Resource)
}

// idOf returns the last segment of a full name.
func idOf(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
