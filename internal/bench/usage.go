package bench

import "time"

// A usage is what the functions of a world use together, and what the Firestore
// emulator does for them.
type usage struct {
	rss, peak float64       // MiB, now and at most so far
	cpu       time.Duration // used so far
	emulator  time.Duration // CPU time used by the emulator so far
}

// usage is that of all loaded functions; zero where it cannot be read.
func (w *world) usage() usage {
	var sum usage
	for _, f := range w.functions {
		u, err := usageOf(f.PID())
		if err != nil {
			return usage{}
		}
		sum.rss, sum.peak, sum.cpu = sum.rss+u.rss, sum.peak+u.peak, sum.cpu+u.cpu
	}
	if w.emulator != nil && w.emulator.Started() {
		if u, err := usageOf(w.emulator.PID()); err == nil {
			sum.emulator = u.cpu
		}
	}
	return sum
}

// minus is what was used since an earlier moment; its rss is that of the
// earlier moment.
func (u usage) minus(before usage) usage {
	return usage{before.rss, u.peak, u.cpu - before.cpu, u.emulator - before.emulator}
}

// plus adds what was used later.
func (u usage) plus(later usage) usage {
	return usage{max(u.rss, later.rss), max(u.peak, later.peak), u.cpu + later.cpu, u.emulator + later.emulator}
}

// usage adds what was used for n requests.
func (p page) usage(u usage, n int) {
	if u.peak == 0 {
		return
	}
	p.add(Other, "RSS before", "MiB", u.rss)
	p.add(Other, "RSS peak", "MiB", u.peak)
	p.add(Other, "CPU", "ms", milliseconds(u.cpu)/float64(n))
	if u.emulator > 0 {
		p.add(Other, "emulator CPU", "ms", milliseconds(u.emulator)/float64(n))
	}
}
