// Fakevertex is a Vertex AI for tests and for local use, as far as custom jobs and
// persistent resources go. It serves gRPC and REST on one port, so that Google's clients
// and gcloud work against it. Nothing is run, and everything is lost when it ends.
//
// It ends with 0 on an interrupt, with 1 if it cannot serve, and with 2 if the command line
// or the scenario is wrong; then it says in one line each what is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

// Exit codes.
const (
	exitError = 1
	exitUsage = 2
)

const description = `A fake Vertex AI: custom jobs and persistent resources over gRPC and REST on one port, the log lines of jobs, and under /admin an endpoint that shows and changes it.

Exit codes: 0 interrupted, 1 error, 2 wrong command line or scenario.`

type options struct {
	Listen    string    `default:"127.0.0.1:8095" placeholder:"HOST:PORT" help:"Address to serve at, by default ${default}. Port 0 is any free one; the first line of output says which. There is no access control: name only addresses that nobody else reaches."`
	Scenario  string    `placeholder:"FILE" help:"Resources, behaviour, jobs and faults to begin with, in YAML or JSON; - is standard input. Without it there is no persistent resource."`
	Clock     string    `enum:"real,virtual" default:"real" placeholder:"KIND" help:"real, or virtual: time moves only when POST /admin/clock moves it. By default ${default}."`
	Start     time.Time `placeholder:"TIME" help:"Where a virtual clock begins, by default 2026-01-01T00:00:00Z."`
	Project   string    `default:"fake-project" placeholder:"ID" help:"Project of resources that the scenario names by their ids only, by default ${default}. Any project is served."`
	Region    string    `default:"us-central1" placeholder:"REGION" help:"Region of the same, by default ${default}. Any region is served."`
	Seed      int64     `default:"0" placeholder:"N" help:"Varies ids and what the scenario leaves to chance. 0 means that of the scenario, and without one the clock's time."`
	Check     bool      `help:"Check the scenario and end."`
	Behaviour bool      `help:"Print the behaviour with which the scenario begins, defaults included, and end."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var o options
	ended := false
	parser, err := kong.New(&o, kong.Name("fakevertex"), kong.Description(description), kong.Writers(out, errs), kong.Exit(func(int) { ended = true }))
	if err == nil {
		if _, err = parser.Parse(args); ended {
			return 0 // --help
		}
	}
	var s *scenario.Scenario
	if err == nil {
		s, err = o.read(in)
	}
	code := exitUsage
	if err == nil {
		code, err = exitError, o.act(ctx, s, out)
	}
	if err != nil {
		_, _ = fmt.Fprintf(errs, "fakevertex: %v\n", err)
		return code
	}
	return 0
}

// defaultStart is where a virtual clock begins without --start.
var defaultStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// check finds the flags that would have no effect, or a late one.
func (o *options) check() error {
	switch _, _, err := net.SplitHostPort(o.Listen); {
	case err != nil:
		return fmt.Errorf("--listen: %w; want HOST:PORT", err)
	case !o.Start.IsZero() && o.Clock != "virtual":
		return errors.New("--start is for --clock=virtual: the real clock begins now")
	case o.Start.Year() > 2199:
		return errors.New("--start: want a time before the year 2200")
	}
	if err := fakevertex.CheckProject(o.Project); err != nil {
		return fmt.Errorf("--project: %w", err)
	}
	if err := fakevertex.CheckRegion(o.Region); err != nil {
		return fmt.Errorf("--region: %w", err)
	}
	if o.Start.IsZero() {
		o.Start = defaultStart
	}
	return nil
}

// read reads the scenario, which may be none.
func (o *options) read(in io.Reader) (*scenario.Scenario, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	data, err := []byte(nil), error(nil)
	switch o.Scenario {
	case "":
	case "-":
		data, err = io.ReadAll(in)
	default:
		data, err = os.ReadFile(o.Scenario)
	}
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	s, err := scenario.Read(o.Scenario, data, scenario.Location{Project: o.Project, Region: o.Region})
	if err != nil {
		return nil, fmt.Errorf("the scenario is wrong:\n%w", err)
	}
	return s, nil
}

// act does what the flags ask for, and serves until ctx ends.
func (o *options) act(ctx context.Context, s *scenario.Scenario, out io.Writer) error {
	if o.Behaviour {
		text, err := yaml.Dump(map[string]any{"behaviour": scenario.Behaviour(s.Behaviour())})
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	if o.Check {
		return nil
	}
	settings := fakevertex.Options{Seed: o.Seed}
	if settings.Seed == 0 {
		settings.Seed = s.Seed
	}
	var clock *fakevertex.ManualClock
	if o.Clock == "virtual" {
		clock = fakevertex.NewManualClock(o.Start)
		settings.Clock = clock
	}
	server := fakevertex.New(settings)
	if err := s.Apply(server); err != nil {
		return err // none: reading it has tried it
	}
	server.Handle(scenario.AdminPath, scenario.NewAdmin(server, clock, s, scenario.Location{Project: o.Project, Region: o.Region}))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, port)
	_, err = fmt.Fprintf(out, `Listening at %s
gcloud:  export CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM=%[1]s/ CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING=%[1]s/
         export CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_CORE_PROJECT=%[2]s CLOUDSDK_AI_REGION=%[3]s
admin:   curl %[1]s/admin
`, url, o.Project, o.Region)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	stopped := context.AfterFunc(ctx, server.Stop)
	defer stopped()
	return server.Serve(l)
}
