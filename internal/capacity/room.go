package capacity

import "slices"

// Room is what the pools have free at one moment. It is for deciding about many
// asks in a row: [Room.Take] makes each of them part of the use.
type Room struct {
	shapes []shapeRoom
}

type shapeRoom struct {
	shape  Shape
	limits []Replicas // of the pools of this shape
	limit  Replicas   // their sum
	used   Replicas
}

// NewRoom returns the room on some pools beside what is in use. The shapes of the
// use have to be normal.
func NewRoom(pools []Pool, use Use) Room {
	r := Room{shapes: make([]shapeRoom, 0, len(pools))}
	for _, p := range pools {
		shape := p.Shape
		i := r.index(shape)
		if i < 0 {
			i = len(r.shapes)
			r.shapes = append(r.shapes, shapeRoom{shape: shape, used: use[shape]})
		}
		r.shapes[i].limits = append(r.shapes[i].limits, p.Limit())
		r.shapes[i].limit = r.shapes[i].limit.Plus(p.Limit())
	}
	return r
}

// index finds a shape; -1 if no pool has it.
func (r *Room) index(shape Shape) int {
	for i := range r.shapes {
		if r.shapes[i].shape == shape {
			return i
		}
	}
	return -1
}

// Free is how many replicas of a shape are free on all pools together; 0 for a shape
// that no pool has.
func (r *Room) Free(shape Shape) Replicas {
	i := r.index(shape)
	if i < 0 {
		return 0
	}
	return max(0, r.shapes[i].limit-r.shapes[i].used)
}

// Fits reports whether an ask fits: what [Check] says, without the explanation.
func (r *Room) Fits(ask Ask) bool {
	if len(ask) == 1 { // nearly always
		i := r.index(ask[0].Shape)
		return i >= 0 && r.shapes[i].takes([]Replicas{ask[0].Replicas}, 0)
	}
	for k, n := range ask {
		if slices.ContainsFunc(ask[:k], func(m Need) bool { return m.Shape == n.Shape }) {
			continue
		}
		if i := r.index(n.Shape); i < 0 || !r.shapes[i].takes(items(ask, n.Shape), 0) {
			return false
		}
	}
	return true
}

// FitsBeside reports whether an ask still fits, in the shapes that it shares with
// another, once that is in use as well.
func (r *Room) FitsBeside(ask, other Ask) bool {
	for k, n := range other {
		if slices.ContainsFunc(other[:k], func(m Need) bool { return m.Shape == n.Shape }) {
			continue
		}
		own := items(ask, n.Shape)
		if len(own) == 0 {
			continue
		}
		var more Replicas
		for _, m := range items(other, n.Shape) {
			more = more.Plus(m)
		}
		i := r.index(n.Shape)
		if i < 0 {
			return false
		}
		s := r.shapes[i]
		if s.used = s.used.Plus(more); !s.takes(own, 0) {
			return false
		}
	}
	return true
}

// takes reports whether worker pools fit once some of the use has come free.
func (s *shapeRoom) takes(items []Replicas, freed Replicas) bool {
	if len(s.limits) == 1 { // the sum decides
		left := s.limit - s.used + freed
		for _, n := range items {
			if left -= n; left < 0 {
				return false
			}
		}
		return true
	}
	return placeable(s.limits, max(0, s.used-freed), items)
}

// Take counts an ask as in use, whether it fits or not.
func (r *Room) Take(ask Ask) {
	for _, n := range ask {
		if i := r.index(n.Shape); i >= 0 {
			r.shapes[i].used = r.shapes[i].used.Plus(n.Replicas)
		}
	}
}

// With returns the room with an ask in use as well.
func (r *Room) With(ask Ask) Room {
	with := Room{shapes: slices.Clone(r.shapes)}
	with.Take(ask)
	return with
}

// items are the replicas of an ask's worker pools of one shape.
func items(ask Ask, shape Shape) []Replicas {
	var list []Replicas
	for _, n := range ask {
		if n.Shape == shape {
			list = append(list, n.Replicas)
		}
	}
	return list
}
