package localstack

import (
	"context"
	"fmt"
	"os"
	"strings"

	"example.com/berth/internal/app"
	"example.com/berth/internal/localstack/emulator"
)

// An OptionError lists what is wrong with the options of a stack. Nothing was
// started.
type OptionError struct{ Problems []string }

func (e *OptionError) Error() string { return strings.Join(e.Problems, "; ") }

// check finds what cannot work before anything is started: a part that fails
// late costs the reader a minute and leaves a message about something else.
func (o *Options) check(ctx context.Context) error {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if err := o.checkEnvironment(ctx); err != nil {
		bad("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	taken := map[int]string{}
	for _, p := range []struct {
		flag, given string // given: the variable that names a running emulator instead
		port        int
		embedded    bool // there is such a port with the embedded parts
	}{
		{"port", "", o.FunctionPort, true},
		{"vertex-port", "", o.VertexPort, true},
		{"pubsub-port", emulator.PubSubHostEnv, o.PubSubPort, true},
		{"firestore-port", emulator.FirestoreHostEnv, o.FirestorePort, false},
	} {
		host := ""
		if p.given != "" && !o.Embedded {
			host = os.Getenv(p.given)
		}
		switch {
		case p.port == 0:
			continue
		case p.port < 0 || p.port > 65535:
			bad("-%s %d: want 1 to 65535, or 0 for any free port", p.flag, p.port)
			continue
		case host != "":
			bad("-%s %d: %s names a running emulator, %s; unset one of the two", p.flag, p.port, p.given, host)
			continue
		case o.Embedded && !p.embedded:
			bad("-%s %d: the embedded ledger has no port", p.flag, p.port)
			continue
		case taken[p.port] != "":
			bad("-%s and -%s are both %d", taken[p.port], p.flag, p.port)
			continue
		}
		taken[p.port] = p.flag
		l, err := emulator.Listen(p.port)
		if err != nil {
			bad("-%s %d cannot be used: %v", p.flag, p.port, err)
			continue
		}
		_ = l.Close()
	}
	if problems == nil {
		return nil
	}
	return &OptionError{problems}
}

// checkEnvironment reads the function's settings as the function will: what its
// own options say, over the environment of this process.
func (o *Options) checkEnvironment(ctx context.Context) error {
	s := &Stack{Project: o.Project, PubSub: "127.0.0.1:1", Vertex: "127.0.0.1:1"}
	own := settings{}
	for _, pair := range append(s.environment(*o), o.Env...) {
		name, value, _ := strings.Cut(pair, "=")
		own[name] = value
	}
	_, err := app.LoadConfig(ctx, own)
	return err
}

// settings are variables of the function process, over those that it inherits.
type settings map[string]string

func (s settings) Lookup(name string) (string, bool) {
	if value, ok := s[name]; ok {
		return value, true
	}
	return os.LookupEnv(name)
}
