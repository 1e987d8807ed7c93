package replay

import (
	"cmp"
	"slices"
)

// Machines is a pool of equal machines, each with room for some replicas. A job
// takes replicas on as many machines as it asks for, as evenly as possible, all at
// once. It goes to the machines with the least room that suffices.
type Machines struct{ Count, Each int64 }

// Flat is a pool without machine boundaries: one machine with all replicas.
func Flat(replicas int64) Machines { return Machines{1, replicas} }

// Fits reports whether a job fits the empty pool.
func (m Machines) Fits(j *Job) bool {
	p := m.parts(j)
	return p.machines <= m.Count && p.big <= m.Each
}

// parts are the replicas of a job by machine: bigs machines get big replicas each,
// and the rest of the machines get small.
type parts struct{ big, bigs, small, machines int64 }

func (m Machines) parts(j *Job) parts {
	n := j.Machines
	if m.Count == 1 {
		n = 1
	} else if n == 0 {
		n = (j.Replicas + m.Each - 1) / m.Each
	}
	p := parts{big: (j.Replicas + n - 1) / n, bigs: j.Replicas % n, small: j.Replicas / n, machines: n}
	if p.bigs == 0 {
		p.bigs = n
	}
	return p
}

// A share is what a job has of one machine.
type share struct{ machine, replicas int64 }

// A floor is the machines of a pool with what is free on each.
type floor struct {
	free    []int64
	atLeast []int64 // how many machines have at least so many free
}

func newFloor(m Machines) floor {
	f := floor{free: make([]int64, m.Count), atLeast: make([]int64, m.Each+1)}
	for i := range f.free {
		f.free[i] = m.Each
	}
	for i := range f.atLeast {
		f.atLeast[i] = m.Count
	}
	return f
}

func (f *floor) full() bool { return len(f.atLeast) < 2 || f.atLeast[1] == 0 }

// fits reports whether a job fits. One that is larger than a machine never does.
func (f *floor) fits(p parts) bool {
	return p.big < int64(len(f.atLeast)) && f.atLeast[p.big] >= p.bigs && f.atLeast[p.small] >= p.machines
}

func (f *floor) take(list []share) {
	for _, s := range list {
		had := f.free[s.machine]
		f.free[s.machine] -= s.replicas
		for k := had; k > had-s.replicas; k-- {
			f.atLeast[k]--
		}
	}
}

func (f *floor) release(list []share) {
	for _, s := range list {
		had := f.free[s.machine]
		f.free[s.machine] += s.replicas
		for k := had + 1; k <= had+s.replicas; k++ {
			f.atLeast[k]++
		}
	}
}

// choose returns the machines for a job, by what is free on each: those with the
// least room that suffices, the larger parts first. It is nil if the job does not fit.
func choose(free []int64, p parts) []share {
	if len(free) == 1 {
		if free[0] < p.big {
			return nil
		}
		return []share{{0, p.big}}
	}
	taken := make([]share, 0, p.machines)
	fill := func(part, count int64) bool {
		var fit []int64
		for m, n := range free {
			if n >= part && !slices.ContainsFunc(taken, func(s share) bool { return s.machine == int64(m) }) {
				fit = append(fit, int64(m))
			}
		}
		if int64(len(fit)) < count {
			return false
		}
		slices.SortStableFunc(fit, func(a, b int64) int { return cmp.Compare(free[a], free[b]) })
		for _, m := range fit[:count] {
			taken = append(taken, share{m, part})
		}
		return true
	}
	if !fill(p.big, p.bigs) || !fill(p.small, p.machines-p.bigs) {
		return nil
	}
	return taken
}
