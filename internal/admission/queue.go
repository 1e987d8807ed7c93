package admission

import (
	"fmt"
	"maps"
	"slices"
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
	delay := 4 * min(max(0, expected), maxKeyDelay/4) // a limit of centuries must not wrap around
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

// class returns the class of a request. Those within the share of their tenant have classes
// of their own, so that none of them is unknown behind others.
func (h *Head) class() ClassID {
	id := ClassOf(h.Tenant, h.Demand, h.Limit)
	if h.Within {
		id += "|share"
	}
	return id
}

// Smallest is how many replicas a request of the class asks for at least.
func (id ClassID) Smallest() capacity.Replicas {
	if parts := strings.Split(string(id), "|"); len(parts) > 2 {
		if size, err := strconv.Atoi(parts[2]); err == nil {
			return capacity.Replicas(size/2 + 1)
		}
	}
	return 1
}

// largest is how many replicas a request of the class asks for at most.
func (id ClassID) largest() capacity.Replicas {
	if parts := strings.Split(string(id), "|"); len(parts) > 2 {
		if size, err := strconv.Atoi(parts[2]); err == nil {
			return capacity.Replicas(size)
		}
	}
	return capacity.MaxReplicas
}

// limit is the longest time limit of a request of the class.
func (id ClassID) limit() time.Duration {
	if parts := strings.Split(string(id), "|"); len(parts) > 3 {
		if hours, err := strconv.Atoi(strings.TrimSuffix(parts[3], "h")); err == nil {
			return time.Duration(hours) * time.Hour
		}
	}
	return time.Duration(limitSteps[len(limitSteps)-1]) * time.Hour
}

// Coarser classes have this in the place of the part that no longer separates
// them.
const anyOf = "*"

// A Queue is what a resource document stores of its waiting requests. Its size
// is bounded, whatever their number.
type Queue map[ClassID]Class

// MaxClasses bounds the classes of one queue, and tenantClasses those of one
// tenant.
const (
	MaxClasses    = 256
	tenantClasses = 64
)

// ClassFor returns the class that a request joins: its own, if the queue has it
// or has room for it. A tenant with too many classes gets coarser ones, without
// the time limit, then without the size; nothing is refused for it and the classes
// of other tenants stay as they are. Only the order in which the pass finds
// candidates depends on classes, so a coarser one costs backfill, never a promise.
func (q Queue) ClassFor(h Head) ClassID {
	id := h.class()
	if _, known := q[id]; known || len(q) < tenantClasses {
		return id
	}
	own := q.ownClasses(h.Tenant)
	parts := strings.Split(string(id), "|")
	// Each coarser level may have some classes beyond those of the finer ones.
	for level, part := range []int{-1, 3, 2, 0} {
		if part >= 0 {
			parts[part] = anyOf
		}
		id = ClassID(strings.Join(parts, "|"))
		if _, known := q[id]; known || own < tenantClasses*(4+level)/4 && len(q) < MaxClasses*(4+level)/4 {
			return id
		}
	}
	return id // of all tenants, by shapes only
}

// A Class is the waiting requests of one class.
type Class struct {
	Count int `json:"count"`
	// Heads are the first of them in their static order: always an exact prefix
	// of the class, perhaps an empty one.
	Heads []Head `json:"heads,omitempty"`
}

// MaxHeads bounds the heads of a class. With eight, a pass starts as many
// requests as with all of them.
const MaxHeads = 8

// A Head is the part of a waiting request that a plan needs.
type Head struct {
	ID     message.Key   `json:"id"`
	Tenant string        `json:"tenant,omitempty"` // "" where its class names it
	Order  string        `json:"order"`            // static: priority, key, id
	Key    time.Time     `json:"key"`              // see [Key]
	Demand capacity.Ask  `json:"demand"`           // of normal shapes
	Limit  time.Duration `json:"limit"`            // the job's own time limit
	// Slow says that Vertex AI did not start the request in time once. It then passes a
	// reservation only with the whole start timeout.
	Slow bool `json:"slow,omitempty"`
	// Within says that it came within the share of its tenant.
	Within bool `json:"within,omitempty"`
	// Bytes is the size of the request's specification. It only bounds how many
	// requests one update reads.
	Bytes int `json:"bytes,omitempty"`
}

// Same reports whether two heads are one request with the same demand and place.
func (h Head) Same(o Head) bool {
	return h.ID == o.ID && h.Order == o.Order && h.Key.Equal(o.Key) && slices.Equal(h.Demand, o.Demand) && h.Limit == o.Limit && h.Slow == o.Slow
}

func (h Head) compare(order string) int { return strings.Compare(h.Order, order) }

// With returns the class with one more request. The class stays as it is if the
// request is one of its known heads. keep is how many heads are kept.
func (c Class) With(h Head, keep int) Class {
	i, known := slices.BinarySearchFunc(c.Heads, h.Order, Head.compare)
	if known {
		return c
	}
	// Beyond the known heads there may be others between them and it.
	if i < len(c.Heads) || len(c.Heads) == c.Count {
		c.Heads = slices.Insert(slices.Clone(c.Heads), i, h)
		c.Heads = c.Heads[:min(len(c.Heads), keep)]
	}
	c.Count++
	return c
}

// Without returns the class without a request. It is false if the class cannot
// have the request: to count it down would lose another one.
func (c Class) Without(order string) (Class, bool) {
	i, known := slices.BinarySearchFunc(c.Heads, order, Head.compare)
	switch {
	case known:
		c.Heads = slices.Delete(slices.Clone(c.Heads), i, i+1)
	case i < len(c.Heads) || len(c.Heads) == c.Count:
		return c, false
	}
	c.Count--
	return c, true
}

// Before says what comes before a waiting request: other waiting requests that ask for
// one of its shapes.
type Before struct {
	Requests int `json:"requests"`
	// HigherPriority are those of them that come first by their priority.
	HigherPriority int `json:"higherPriority,omitempty"`
	// Replicas are what they ask for, all shapes together. Where a class has more
	// requests than are known, each counts as the smallest of its class.
	Replicas capacity.Replicas `json:"replicas"`
}

// Before counts what comes before a request in order. own is the class that the
// request is in, "" if it is in none.
func (q Queue) Before(order string, shapes []capacity.Shape, own ClassID) (b Before) {
	priority := priorityOf(order)
	for id, c := range q {
		if !share(c.shapes(id), shapes) {
			continue
		}
		n := 0
		for _, h := range c.Heads {
			if h.Order >= order {
				break
			}
			n++
			b.Requests, b.Replicas = b.Requests+1, b.Replicas.Plus(h.Demand.Replicas())
			if priorityOf(h.Order) < priority {
				b.HigherPriority++
			}
		}
		if n < len(c.Heads) || slices.ContainsFunc(c.Heads, func(h Head) bool { return h.Order == order }) {
			continue
		}
		rest := c.Count - n
		if id == own {
			rest-- // it is one of the rest itself
		}
		b.Requests, b.Replicas = b.Requests+rest, b.Replicas.Plus(id.Smallest()*capacity.Replicas(rest))
	}
	return b
}

// Ahead is how many waiting requests may come before one in order and ask for one
// of its shapes. Requests that are not among the known heads of their class count
// if they may come before. own is the class that the request is in, "" if it is in
// none.
func (q Queue) Ahead(order string, shapes []capacity.Shape, own ClassID) int {
	return q.Before(order, shapes, own).Requests
}

// Unsure returns a class of which more heads have to be known to tell how many
// requests come before one in order.
func (q Queue) Unsure(order string, shapes []capacity.Shape) (id ClassID, unsure bool) {
	for _, id := range slices.Sorted(maps.Keys(q)) {
		c := q[id]
		i, known := slices.BinarySearchFunc(c.Heads, order, Head.compare)
		if !known && i == len(c.Heads) && c.Count > i && share(c.shapes(id), shapes) {
			return id, true
		}
	}
	return "", false
}

// ByShape is how many requests wait for each shape. One for several counts for
// each.
func (q Queue) ByShape() map[capacity.Shape]int {
	n := map[capacity.Shape]int{}
	for id, c := range q {
		for _, s := range c.shapes(id) {
			n[s] += c.Count
		}
	}
	return n
}

// shapes are what every request of the class asks for: by its first head, or by its
// id while no head is known.
func (c Class) shapes(id ClassID) (list []capacity.Shape) {
	if len(c.Heads) > 0 {
		return shapesOf(c.Heads[0].Demand)
	}
	if parts := strings.Split(string(id), "|"); len(parts) > 1 {
		for text := range strings.SplitSeq(parts[1], "+") {
			if s, err := capacity.ParseShape(text); err == nil {
				list = append(list, s)
			}
		}
	}
	return list
}

// Waiting is how many requests wait.
func (q Queue) Waiting() (n int) {
	for _, c := range q {
		n += c.Count
	}
	return n
}

// priorityOf returns the leading digits of an order key: lower comes first.
func priorityOf(order string) int {
	n, _ := strconv.Atoi(order[:max(0, strings.IndexByte(order, '-'))])
	return n
}
