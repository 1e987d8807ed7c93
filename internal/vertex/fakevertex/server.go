package fakevertex

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
)

// Options make a server. The zero Options are a server with the default knobs,
// on the machine's clock, with nothing in it.
type Options struct {
	Clock     Clock      // nil: the machine's
	Behaviour *Behaviour // nil: DefaultBehaviour; copied

	// Projects gives the numbers (digits only) of projects by their ids. A project
	// that is missing gets a number of twelve digits made from its id.
	Projects map[string]string

	// Seed varies the ids that the server draws. Zero: the clock's time at New.
	Seed int64

	// StateFile, if not empty, is where the store is kept: New reads it if it
	// exists, and it is replaced after every call, before the call is answered. It
	// survives the death of the process, not of the machine. Knobs, faults, counts
	// of calls and rates are not in it. A call that could not be kept fails with
	// INTERNAL, although it was carried out.
	StateFile string
}

// A Server is a fake Vertex AI. It may be used before it serves, and by many
// goroutines.
type Server struct {
	options  Options
	clock    Clock
	projects map[string]string

	mu         sync.Mutex      // guards what follows, down to fileErr
	store                      // all that a state file keeps
	changed    chan struct{}   // closed and replaced when a call changes the store
	dirty      bool            // the store is not as the state file has it
	ids        map[string]bool // given to jobs and operations
	knobs      Behaviour
	windows    map[quotaKey]*window
	calls      map[string]int
	work       int // jobs looked at and events played, for tests of what a call costs
	faultHook  func(method string, req any) Fault
	faultsOnce map[string][]Fault
	faultRules []*ruledFaults
	jobRules   []JobRule
	fileErr    error // the last failure with the state file

	grpc   *grpc.Server
	http   *http.Server
	beside map[string]http.Handler // by the beginning of the path; fixed before Serve

	gate    sync.Mutex // guards stopped and every Add to active
	stopped bool
	active  sync.WaitGroup // requests being answered
}

// New makes a server. A state file that exists and cannot be read is reported by
// Err at once and by Serve before it accepts anything.
func New(o Options) *Server {
	s := &Server{
		options:    o,
		clock:      o.Clock,
		projects:   maps.Clone(o.Projects),
		changed:    make(chan struct{}),
		ids:        map[string]bool{},
		knobs:      DefaultBehaviour(),
		windows:    map[quotaKey]*window{},
		calls:      map[string]int{},
		faultsOnce: map[string][]Fault{},
		beside:     map[string]http.Handler{},
	}
	if s.clock == nil {
		s.clock = RealClock{}
	}
	if o.Behaviour != nil {
		s.knobs = *o.Behaviour
	}
	s.store = emptyStore()
	s.now = s.clock.Now().UTC().Truncate(time.Microsecond)
	if s.options.Seed == 0 {
		s.options.Seed = s.now.UnixMicro()
	}
	if o.StateFile != "" {
		s.fileErr = s.readStateFile()
	}
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	aiplatformpb.RegisterJobServiceServer(s.grpc, jobService{Server: s})
	aiplatformpb.RegisterPersistentResourceServiceServer(s.grpc, resourceService{Server: s})
	longrunningpb.RegisterOperationsServer(s.grpc, operationService{Server: s})

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:     s.handler(),
		Protocols:   protocols,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	return s
}

// Err is the last failure to read or write the state file, or nil.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fileErr
}

// Serve answers gRPC (without TLS) and REST on l until Stop, and then returns
// nil. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if err := s.Err(); err != nil {
		l.Close()
		return err
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve fake Vertex on %s: %w", l.Addr(), err)
	}
	return nil
}

// Stop closes all listeners and connections and waits for the calls under way to
// notice. A stopped server cannot serve again, but what it holds can be read.
func (s *Server) Stop() {
	s.gate.Lock()
	s.stopped = true
	s.gate.Unlock()
	s.http.Close()
	s.active.Wait()
	s.grpc.Stop()
}

// handler parts gRPC from REST.
func (s *Server) handler() http.Handler {
	rest := s.restHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.gate.Lock()
		if s.stopped {
			s.gate.Unlock()
			panic(http.ErrAbortHandler)
		}
		s.active.Add(1)
		s.gate.Unlock()
		defer s.active.Done()
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			s.grpc.ServeHTTP(w, r)
			return
		}
		for prefix, h := range s.beside {
			if strings.HasPrefix(r.URL.Path, prefix) {
				h.ServeHTTP(w, r)
				return
			}
		}
		if r.Method == http.MethodPost && r.URL.Path == logPath {
			s.serveLog(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// Handle lets another handler answer the HTTP requests whose path begins with prefix, on
// the same port. It must be called before Serve.
func (s *Server) Handle(prefix string, h http.Handler) { s.beside[prefix] = h }

// intercept surrounds every call of either protocol: it counts the call, applies
// faults and charges the call to its rate.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := lastWord(info.FullMethod)
	if reached, ok := ctx.Value(reachedKey{}).(*atomic.Bool); ok {
		reached.Store(true)
	}
	s.mu.Lock()
	s.calls[method]++
	s.mu.Unlock()

	fault := s.faultFor(method, req)
	if fault.act != faultNone && !fault.after {
		return nil, fault.commit(ctx)
	}
	if err := s.spend(method, req); err != nil {
		return nil, err
	}
	out, err := handle(ctx, req)
	if fault.act == faultNone && err == nil && method == "CreateCustomJob" {
		fault = s.Behaviour().CreateAnswer.fault()
	}
	if fault.act != faultNone {
		return nil, fault.commit(ctx)
	}
	return out, err
}

// Calls is how often each method (by its short name) was called, failed calls
// included.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// NextEvent is when the next event is due, if there is one.
func (s *Server) NextEvent() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		return time.Time{}, false
	}
	return s.events[0].At, true
}
