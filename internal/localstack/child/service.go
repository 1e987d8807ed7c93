package child

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Pauses before a process that never answered is replaced.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// A Service is a supervised process: when it dies, another takes its place. One
// that dies before it ever answered is replaced after a pause, which doubles up to
// five seconds.
type Service struct {
	spec    Spec
	answers func(context.Context) error

	mu       sync.Mutex
	process  *Process
	starts   int
	restarts func(Restart) // nil: restarts are not reported

	stopping chan struct{}
	stopOnce sync.Once
	done     chan struct{} // closed when no process is left
}

// A Restart is one process in the place of another.
type Restart struct {
	Ended, PID int    // process ids of the old and of the new one
	Why        string // how the old one ended: "signal: killed"
}

// Serve starts a service and waits until its process answers, and then until it is
// ready (nil: it is ready when it answers), while ctx lasts. An error is that of
// [Process.Await], and leaves nothing running.
func Serve(ctx context.Context, spec Spec, answers, ready func(context.Context) error) (*Service, error) {
	s := &Service{spec: spec, answers: answers, stopping: make(chan struct{}), done: make(chan struct{})}
	first, err := s.start()
	if err != nil {
		return nil, err
	}
	err = first.Await(ctx, askEvery, func(ctx context.Context) error {
		if err := answers(ctx); err != nil || ready == nil {
			return err
		}
		return ready(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, first.Stop(0))
	}
	go s.supervise(first)
	return s, nil
}

// OnRestart has a function called after each restart, with one call at a time.
func (s *Service) OnRestart(report func(Restart)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts = report
}

// PID is the process id of the present process.
func (s *Service) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.PID()
}

// Starts is how many processes there have been.
func (s *Service) Starts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

// Kill ends the present process at once, as kill -9 does. Another takes its place.
func (s *Service) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Kill()
}

var errStopping = errors.New("the service is being stopped")

func (s *Service) start() (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stopping: // Stop ends the process that it sees, so none may follow
		return nil, errStopping
	default:
	}
	p, err := Start(s.spec)
	if err != nil {
		return nil, err
	}
	s.process = p
	s.starts++
	return p, nil
}

// supervise replaces each process that ends.
func (s *Service) supervise(p *Process) {
	defer close(s.done)
	var pause time.Duration
	for {
		if p.Await(context.Background(), askEvery, s.answers) == nil {
			pause = 0
		}
		<-p.Exited()
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-s.stopping:
			}
		}
		pause = min(max(2*pause, firstPause), longestPause)
		next, err := s.start()
		if err != nil {
			return
		}
		s.mu.Lock()
		report := s.restarts
		s.mu.Unlock()
		if report != nil {
			report(Restart{Ended: p.PID(), PID: next.PID(), Why: p.Why()})
		}
		p = next
	}
}

// Stop ends the process and waits for it. Nothing is asked of it first. It may be
// called again.
func (s *Service) Stop() error {
	s.mu.Lock()
	s.stopOnce.Do(func() { close(s.stopping) })
	p := s.process
	s.mu.Unlock()
	err := p.Stop(0)
	<-s.done
	return err
}
