package admission

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// Key is the time by which a request is ordered within its priority. It is set
// once, at submission, from the expected run time: short jobs go ahead of long
// ones by at most [maxKeyDelay], and gangs, which wait longest, are moved
// forward by half of that.
func Key(submitted time.Time, expected time.Duration, gang bool) time.Time {
	delay := min(4*max(0, expected), maxKeyDelay)
	if gang {
		delay /= 2
	}
	return submitted.Add(delay)
}

// maxKeyDelay bounds the effect of an estimate, right or wrong. It is part of
// the bound on waiting.
const maxKeyDelay = 48 * time.Hour

// limitSteps are the steps of time limits that separate classes, in hours.
var limitSteps = []int{1, 4, 12, 24, 3 * 24, 7 * 24, 30 * 24, 90 * 24}

// LimitStep is the smallest step that is not shorter than a limit; the last
// step for a longer one.
func LimitStep(limit time.Duration) time.Duration {
	for _, h := range limitSteps {
		if step := time.Duration(h) * time.Hour; limit <= step {
			return step
		}
	}
	return time.Duration(limitSteps[len(limitSteps)-1]) * time.Hour
}

// A ClassID names a class of waiting requests: one tenant, one set of shapes,
// similar size and similar time limit.
type ClassID string

// ClassOf returns the class of a request. The shapes of the demand must be
// normalised.
func ClassOf(tenant string, demand capacity.Ask, limit time.Duration) ClassID {
	var shapes strings.Builder
	for i, s := range demand.Shapes() {
		if i > 0 {
			shapes.WriteByte('+')
		}
		shapes.WriteString(s.String())
	}
	size := 1
	for int64(size) < int64(demand.Replicas()) {
		size *= 2
	}
	return ClassID(fmt.Sprintf("%s|%s|%d|%dh", tenant, shapes.String(), size, int(LimitStep(limit)/time.Hour)))
}

// A Queue is what a resource document stores of its waiting requests. Its size
// is bounded, whatever their number.
type Queue map[ClassID]Class

// A Class is the waiting requests of one class.
type Class struct {
	Count int
	// Heads are the first of them in their static order: always an exact prefix
	// of the class, at most [MaxHeads].
	Heads []Head
}

// MaxHeads bounds the heads of a class. With eight, a pass starts as many
// requests as with all of them.
const MaxHeads = 8

// A Head is the part of a waiting request that a plan needs.
type Head struct {
	ID     message.Key
	Order  string        // static: priority, key, id
	Key    time.Time     // see [Key]
	Demand capacity.Ask  // of normal shapes
	Limit  time.Duration // the job's own time limit
}

// PriorityOf returns the leading digits of an order key: lower comes first.
func priorityOf(order string) int {
	n, _ := strconv.Atoi(order[:max(0, strings.IndexByte(order, '-'))])
	return n
}
