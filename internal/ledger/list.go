package ledger

import (
	"fmt"
	"math"
	"strings"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A Filter says which records [Ledger.List] returns.
type Filter struct {
	Resource string   // full name; "" for all, and for records without one
	Statuses []string // of [Record.Status], at most 30; none for all
}

// Statuses are all that [Record.Status] returns.
func Statuses() (all []string) {
	for _, s := range lifecycle.States {
		all = append(all, string(s))
	}
	return append(all, refused, quoted, noted, repeated, done)
}

// What stands for the state of an answer, which has none.
const (
	refused  = "REFUSED"   // the message made no request
	quoted   = "QUOTED"    // a dry run
	noted    = "NOTED"     // a cancel under whose id nothing has come yet
	repeated = "DUPLICATE" // a request sent again after it has ended
	done     = "DONE"      // an operator's message
)

// Status is the record's state, or what kind of answer it is.
func (r *Record) Status() string {
	switch {
	case r.Kind != message.KindAnswer:
		return string(r.State)
	case len(r.Outbox) > 0 && r.Outbox[0].Type == message.Quoted:
		return quoted
	case len(r.Outbox) > 0 && r.Outbox[0].Type == message.Noted:
		return noted
	case len(r.Outbox) > 0 && r.Outbox[0].Type == message.Duplicate:
		return repeated
	case len(r.Outbox) > 0 && r.Outbox[0].Type.Operated():
		return done
	}
	return refused
}

// ListKey orders records by when they were received, the latest first, and then
// by key. It never changes. It is "" for a record that is in no list: a tombstone,
// because no request has come under its id yet.
func (r *Record) ListKey() string {
	if r.Times.Received.IsZero() || r.Tombstone() {
		return ""
	}
	return fmt.Sprintf("%019d-%s", math.MaxInt64-r.Times.Received.UnixMicro(), r.Key)
}

// JobNumber is the last part of a job's full name, by which [Ledger.OfJob] finds
// its record. The whole name would not do: Vertex AI writes the project of a job
// sometimes as its id and sometimes as its number.
func JobNumber(job string) string { return job[strings.LastIndexByte(job, '/')+1:] }
