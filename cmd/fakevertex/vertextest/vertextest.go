// Package vertextest is the fake Vertex AI of fakevertex for the tests of any Go program: a
// server on this machine, in the process of the test, whose clock the test moves.
//
// A scenario in YAML or JSON says what the server begins with and how it behaves. Its fields
// are listed in deploy/fakevertex.md of this module. The admin endpoint of the program is
// at [Fake.URL] too.
package vertextest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

// Project and Region are where resources are that a scenario names by their ids and gives no
// other place.
const (
	Project = "fake-project"
	Region  = "us-central1"
)

// Start is the time at which the clock of a new server stands.
var Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A Fake is a running server. It may be used by many goroutines.
type Fake struct {
	server *fakevertex.Server
	clock  *fakevertex.ManualClock
	addr   string
	ended  func() error
}

// New starts a server with a scenario, which may be empty. Two servers with the same scenario
// and the same calls draw the same ids. The caller closes it.
func New(text string) (*Fake, error) {
	place := scenario.Location{Project: Project, Region: Region}
	s, err := scenario.Read("scenario", []byte(text), place)
	if err != nil {
		return nil, fmt.Errorf("vertextest: %w", err)
	}
	f := &Fake{clock: fakevertex.NewManualClock(Start)}
	f.server = fakevertex.New(fakevertex.Options{Clock: f.clock, Seed: max(s.Seed, 1)})
	if err := s.Apply(f.server); err != nil {
		return nil, fmt.Errorf("vertextest: %w", err)
	}
	f.server.Handle(scenario.AdminPath, scenario.NewAdmin(f.server, f.clock, s, place))
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening at a port of this machine does not wait
	if err != nil {
		return nil, fmt.Errorf("vertextest: %w", err)
	}
	f.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(l) }()
	f.ended = sync.OnceValue(func() error { return <-served })
	return f, nil
}

// Close stops the server. It may be called again.
func (f *Fake) Close() error {
	f.server.Stop()
	return f.ended()
}

// ClientOptions are for NewJobClient and NewPersistentResourceClient of
// cloud.google.com/go/aiplatform/apiv1.
func (f *Fake) ClientOptions() []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(f.addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
}

// URL is the base of the REST API, without a slash at the end.
func (f *Fake) URL() string { return "http://" + f.addr }

// Advance moves the clock. What comes due is carried out at its own time.
func (f *Fake) Advance(d time.Duration) { f.clock.Advance(d) }

// Now is the time on the clock.
func (f *Fake) Now() time.Time { return f.clock.Now() }

// Change applies a scenario to the running server: switches that it has are set, job rules and
// faults replaced, resources added. On an error nothing is changed.
func (f *Fake) Change(text string) error {
	s, err := scenario.Read("scenario", []byte(text), scenario.Location{Project: Project, Region: Region})
	if err == nil && s.Seed != 0 {
		err = errors.New("the seed is fixed when the server starts")
	}
	if err == nil {
		err = s.Apply(f.server)
	}
	if err != nil {
		return fmt.Errorf("vertextest: %w", err)
	}
	return nil
}

// Calls is how often each method was called, by its short name, such as CreateCustomJob.
func (f *Fake) Calls() map[string]int { return f.server.Calls() }

// States is how many jobs are in each state, such as RUNNING.
func (f *Fake) States() map[string]int { return f.server.States() }
