package bench

import "time"

// prices are list prices in US dollars, before any free allowance.
var prices = struct {
	region, date, source    string
	read, written, deleted  float64 // per document
	cpuSecond, memorySecond float64 // per vCPU-second and per GiB-second that an instance has a request
	invocation              float64
	pubsub                  float64 // per byte published or delivered
}{
	region: "us-central1", date: "2026-09-20",
	source: "the price pages of Firestore (Standard edition), Cloud Run functions (request-based billing) and Pub/Sub",
	read:   0.03 / 100_000, written: 0.09 / 100_000, deleted: 0.01 / 100_000,
	cpuSecond: 0.000024, memorySecond: 0.0000025, invocation: 0.40 / 1_000_000,
	pubsub: 40.0 / (1 << 40),
}

// memory is what a deployed function has, in GiB, beside one CPU.
const memory = 0.5

// A bill is what some requests cost, in US dollars.
type bill struct{ firestore, function, pubsub float64 }

func (b bill) total() float64 { return b.firestore + b.function + b.pubsub }

// billFor prices counts and the time for which an instance was up. What a commit
// only verifies is taken for a write, since nothing says that it is free. The
// record of each request is deleted when it expires. The messages that came in,
// requests and ticks, were published and pushed.
func billFor(c Counts, requests, ticks int, up time.Duration) bill {
	p := prices
	came := float64((requests + ticks) * leastBilled)
	return bill{
		firestore: float64(c.Read)*p.read + float64(c.Written+c.Verified)*p.written + float64(c.Deleted+requests)*p.deleted,
		function:  up.Seconds()*(p.cpuSecond+memory*p.memorySecond) + float64(requests+ticks)*p.invocation,
		pubsub:    (2*came + float64(c.Sent+c.Delivered)) * p.pubsub,
	}
}
