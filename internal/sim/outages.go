package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// # The outage matrix
//
// An [Outage] is one thing that the controller depends on, one way in which it
// fails, and for how long. [Outage.Play] runs the real controller through it, with
// a queue, running jobs and a cancel under way on two resources in each of two
// regions, and judges what became of each request. Time is virtual: Play has to run in
// a bubble of package testing/synctest, where deadlines, pauses and hangs take their
// time and none of ours.

// An Outage is one cell of the matrix.
type Outage struct {
	Call   string        `json:"call"`   // "create", ..., "token" (all calls of Vertex AI), "read", "commit", "query", "publish"
	Way    string        `json:"way"`    // a gRPC code, or "hang", "lost", "half"
	Length time.Duration `json:"length"` // in nanoseconds
}

func (o Outage) String() string { return fmt.Sprintf("%s, %s, %v", o.Call, o.Way, o.Length) }

// Rules makes the error that the deployed client makes of a gRPC status. account is
// the service account of the job that a create is about.
type Rules func(op, name, account string, code int, message string) error

// Ways that are no gRPC code.
const (
	wayHang = "hang" // no answer until the caller's deadline
	wayLost = "lost" // it is done, and the answer is lost
	wayHalf = "half" // every second call is UNAVAILABLE
)

// statusCodes are the gRPC codes by name. INVALID_ARGUMENT and OUT_OF_RANGE speak of what
// was asked, so they are no outage.
var statusCodes = map[string]int{
	"CANCELLED": 1, "UNKNOWN": 2, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7,
	"RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14,
	"DATA_LOSS": 15, "UNAUTHENTICATED": 16,
}

const (
	unavailable      = 14
	deadlineExceeded = 4
)

// calls are those that can fail, by what they are calls of.
var (
	vertexCalls = []string{"create", "cancel", "get", "live", "find", "resource"}
	ledgerCalls = []string{"read", "commit", "query"}
)

// Lengths are those of the matrix.
var Lengths = []time.Duration{time.Minute, 10 * time.Minute, 10 * time.Hour}

// Matrix returns all outages. thin leaves those that stand for the others.
func Matrix(thin bool) (all []Outage) {
	lengths := Lengths
	if thin {
		lengths = Lengths[1:2]
	}
	add := func(call string, ways ...string) {
		for _, way := range ways {
			for _, l := range lengths {
				all = append(all, Outage{call, way, l})
			}
		}
	}
	if thin {
		add("create", "PERMISSION_DENIED", "UNAVAILABLE", wayHang, wayLost)
		add("cancel", "UNAVAILABLE")
		add("get", "NOT_FOUND")
		add("live", "UNAVAILABLE", wayHang)
		add("resource", wayHang)
		add("token", "UNAUTHENTICATED")
		add("read", wayHang)
		add("commit", wayHang, wayLost)
		add("query", "UNAVAILABLE")
		add("publish", wayHang, wayHalf)
		return all
	}
	var names []string
	for name := range statusCodes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(statusCodes[a], statusCodes[b]) })
	for _, call := range vertexCalls {
		add(call, append(slices.Clone(names), wayHang, wayLost, wayHalf)...)
	}
	add("token", "UNAUTHENTICATED", wayHang)
	for _, call := range ledgerCalls {
		add(call, "UNAVAILABLE", wayHang, wayHalf)
	}
	add("commit", wayLost)
	add("publish", "UNAVAILABLE", wayHang, wayLost, wayHalf)
	return all
}

// A Verdict says what an outage did.
type Verdict struct {
	Outage
	HandOver  time.Duration `json:"handOver"`  // the longest from a job's end to the next one's creation where nothing fails
	Longest   time.Duration `json:"longest"`   // of all reconciles
	Recovered time.Duration `json:"recovered"` // from the outage's end until nothing is left of it
	Alarms    int           `json:"alarms"`    // log events about the outage
	Creates   int           `json:"creates"`   // calls of create
	Problems  []string      `json:"problems,omitempty"`
}

func (v *Verdict) bad(format string, args ...any) {
	if len(v.Problems) < 12 {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}
