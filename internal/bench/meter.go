package bench

import (
	"sync"
	"time"
)

// A meter adds up the time for which an instance is billed: as long as it has a
// request under way, each such time rounded up to billedStep. It is right for
// one function.
type meter struct {
	mu       sync.Mutex
	underWay int
	since    time.Time
	billed   time.Duration
}

// billedStep is what Cloud Run rounds up to.
const billedStep = 100 * time.Millisecond

// begin records the start of a request; what it returns records the end.
func (m *meter) begin() (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.underWay++; m.underWay == 1 {
		m.since = time.Now()
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.underWay--; m.underWay == 0 {
			m.billed += (time.Since(m.since) + billedStep - 1).Truncate(billedStep)
		}
	}
}

func (m *meter) now() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.billed
}
