package mutation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How the tests met a mutant.
const (
	Killed  = "killed"    // a test failed
	TimeOut = "timed out" // a test did not end: noticed too
	Lived   = "lived"
	Broken  = "broken" // it does not compile; it counts for neither side
)

// A Runner runs tests over the checkout at Root.
type Runner struct {
	Root string
	// Limit is how long one step may take at most, when no baseline says.
	Limit time.Duration
	// Env is added to the environment of the tests.
	Env []string

	took map[string]time.Duration // by Step, unchanged source
}

// Baseline runs the steps on the source as it is. Each has to pass: a failure
// that is there anyway would kill every mutant. Afterwards a step may take ten
// times as long as it took, but 20 seconds at least.
func (r *Runner) Baseline(ctx context.Context, steps []Step, progress func(Step, time.Duration)) error {
	if r.took == nil {
		r.took = map[string]time.Duration{}
	}
	for _, s := range steps {
		if _, done := r.took[s.name()]; done {
			continue
		}
		began := time.Now()
		word, out, err := r.step(ctx, s, "")
		if err != nil {
			return err
		}
		if word != Lived {
			return fmt.Errorf("%s fails without any change:\n%s", s.name(), tail(out))
		}
		r.took[s.name()] = time.Since(began)
		progress(s, time.Since(began))
	}
	return nil
}

func (s Step) name() string {
	name := strings.Join(s.Packages, " ")
	if s.Run != "" {
		name += " -run " + s.Run
	}
	if s.Skip != "" {
		name += " -skip " + s.Skip
	}
	return name
}

// Run runs the steps on a mutant until one notices it. by names the tests that
// failed, or the step that did not end.
func (r *Runner) Run(ctx context.Context, m Mutant, steps []Step) (word, by string, err error) {
	text, err := os.ReadFile(m.path)
	if err != nil {
		return "", "", err
	}
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a leftover of the temporary folder
	changed, overlay := filepath.Join(folder, "mutant.go"), filepath.Join(folder, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {m.path: changed}})
	if err != nil {
		return "", "", err
	}
	if err := errors.Join(os.WriteFile(changed, m.apply(text), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil { //nolint:gosec // names in a folder made here
		return "", "", err
	}
	for _, s := range steps {
		word, out, err := r.step(ctx, s, overlay)
		switch {
		case err != nil:
			return "", "", err
		case word == Killed:
			return word, failed(out), nil
		case word != Lived:
			return word, s.name(), nil
		}
	}
	return Lived, "", nil
}

// step runs one step, with an overlay or without.
func (r *Runner) step(ctx context.Context, s Step, overlay string) (word, output string, err error) {
	limit := r.Limit
	if took := r.took[s.name()]; took > 0 {
		limit = min(limit, max(10*took, 20*time.Second))
	}
	// The go command's own limit is for the tests alone; this one is for compiling too.
	ctx, cancel := context.WithTimeout(ctx, limit+2*time.Minute)
	defer cancel()
	args := []string{"test", "-vet=off", "-failfast", "-count=1", "-timeout=" + limit.String()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if s.Run != "" {
		args = append(args, "-run", s.Run)
	}
	if s.Skip != "" {
		args = append(args, "-skip", s.Skip)
	}
	for _, p := range s.Packages {
		args = append(args, "./"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	// A property that kills the mutant would leave a file of its draws in the source.
	cmd.Dir, cmd.Env = r.Root, slices.Concat(os.Environ(), []string{"RAPID_NOFAILFILE=true"}, r.Env)
	// A test binary outlives a go command that is killed; its own limit ends it.
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	output = out.String()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return Lived, output, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded), strings.Contains(output, "panic: test timed out"):
		return TimeOut, output, nil
	case ctx.Err() != nil:
		return "", output, ctx.Err()
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]"):
		return Broken, output, nil
	case errors.As(err, &exit):
		return Killed, output, nil
	}
	return "", output, fmt.Errorf("go test: %w", err)
}

// failed names the first tests that failed.
func failed(output string) string {
	var names []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "a crash"
	}
	return strings.Join(names[:min(3, len(names))], " ")
}

func tail(output string) string { return output[max(0, len(output)-4000):] }
