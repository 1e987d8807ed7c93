package bench

import (
	"fmt"
	"time"
)

// A Kind of figure says in which part of the table it stands, and whether it can
// have a band.
type Kind string

// Kinds of figures.
const (
	Count Kind = "count" // of calls, documents or messages: the same on every machine
	Speed Kind = "speed" // a time or a rate: the machine's as much as ours
	Other Kind = "other" // sizes and money
)

// A Figure is one number that was measured.
type Figure struct {
	Measurement string  `json:"measurement"`
	Case        string  `json:"case"`
	Name        string  `json:"name"`
	Kind        Kind    `json:"kind"`
	Unit        string  `json:"unit"`
	Value       float64 `json:"value"`
	Loose       bool    `json:"loose,omitempty"` // it depends on which requests happen to be decided together
	Floor       string  `json:"floor,omitempty"` // the case of the measurement "floor" that it is compared with
	Times       float64 `json:"times,omitempty"` // how many times that floor it is; of a rate, which share
}

// A sheet collects figures.
type sheet struct{ figures []Figure }

// A page is where the figures of one case go.
type page struct {
	sheet             *sheet
	measurement, name string
	loose             bool
}

// loosely is the page for counts of requests that are under way together.
func (p page) loosely() page {
	p.loose = true
	return p
}

func (s *sheet) page(measurement, format string, args ...any) page {
	return page{sheet: s, measurement: measurement, name: fmt.Sprintf(format, args...)}
}

func (p page) add(kind Kind, name, unit string, value float64) {
	p.sheet.figures = append(p.sheet.figures, Figure{Measurement: p.measurement, Case: p.name, Name: name, Kind: kind, Unit: unit, Value: value,
		Loose: p.loose && kind == Count})
}

// against adds a speed and compares it with a floor, if that was measured.
func (p page) against(floor, name, unit string, value float64) {
	f := Figure{Measurement: p.measurement, Case: p.name, Name: name, Kind: Speed, Unit: unit, Value: value}
	for _, other := range p.sheet.figures {
		if other.Measurement == "floor" && other.Case == floor && other.Name == name && other.Value > 0 {
			f.Floor, f.Times = floor, value/other.Value
		}
	}
	p.sheet.figures = append(p.sheet.figures, f)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// latencies adds what a run says of single deliveries.
func (p page) latencies(floor string, r run) {
	p.against(floor, "p50", "ms", milliseconds(r.percentile(0.50)))
	p.against(floor, "p95", "ms", milliseconds(r.percentile(0.95)))
	p.against(floor, "p99", "ms", milliseconds(r.percentile(0.99)))
	if r.failed > 0 {
		p.add(Speed, "failed", "answers", float64(r.failed))
	}
	if r.left > 0 {
		p.add(Speed, "left", "requests", float64(r.left))
	}
}

// throughput adds what a run says of all deliveries together.
func (p page) throughput(floor string, r run) {
	p.add(Speed, "n", "", float64(len(r.took)))
	p.add(Speed, "total", "s", r.total.Seconds())
	p.against(floor, "rate", "/s", r.perSecond())
}

// column is a count and its name in the table.
type column struct {
	name, legend string
	firestore    bool // cannot be seen with an embedded ledger
	of           func(Counts) int
}

// columns are the counts that the table has, in its order.
var columns = []column{
	{"gets", "Firestore calls: BatchGetDocuments", true, func(c Counts) int { return c.Firestore["BatchGetDocuments"] }},
	{"commits", "Commit, stale ones included", true, func(c Counts) int { return c.Firestore["Commit"] }},
	{"queries", "RunQuery", true, func(c Counts) int { return c.Firestore["RunQuery"] }},
	{"other", "any other", true, func(c Counts) int {
		n := 0
		for method, calls := range c.Firestore {
			if method != "BatchGetDocuments" && method != "Commit" && method != "RunQuery" {
				n += calls
			}
		}
		return n
	}},
	{"read", "documents read, as billed: found, missing, one at least per query", true, func(c Counts) int { return c.Read }},
	{"written", "documents created or changed", true, func(c Counts) int { return c.Written }},
	{"verified", "documents that a commit only checked", true, func(c Counts) int { return c.Verified }},
	{"deleted", "documents deleted", true, func(c Counts) int { return c.Deleted }},
	{"stale", "commits that found a document changed", true, func(c Counts) int { return c.Stale }},
	{"publishes", "Pub/Sub calls: Publish", false, func(c Counts) int { return c.Publishes }},
	{"messages", "messages in them", false, func(c Counts) int { return c.Messages }},
	{"creates", "Vertex AI calls: CreateCustomJob", false, func(c Counts) int { return c.Vertex["CreateCustomJob"] }},
	{"lists", "ListCustomJobs", false, func(c Counts) int { return c.Vertex["ListCustomJobs"] }},
	{"polls", "GetCustomJob", false, func(c Counts) int { return c.Vertex["GetCustomJob"] }},
	{"observations", "GetPersistentResource", false, func(c Counts) int { return c.Vertex["GetPersistentResource"] }},
	{"cancels", "CancelCustomJob", false, func(c Counts) int { return c.Vertex["CancelCustomJob"] }},
	{"errors", "calls that failed, without stale commits", false, func(c Counts) int { return c.Failed }},
}

// counts adds counts, divided by per.
func (p page) counts(s *services, c Counts, per int) {
	for _, col := range columns {
		if !col.firestore || s.stored() {
			p.add(Count, col.name, "", float64(col.of(c))/float64(per))
		}
	}
}
