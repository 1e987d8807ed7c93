package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/child"
	"example.com/berth/internal/localstack/emulator"
)

// cold measures a function process as it is deployed, from its start to its
// first answer, and its size and memory.
func cold(ctx context.Context, b *bench) error {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "main")
	err = build(ctx, binary)
	if err == nil {
		err = b.in(ctx, setting{runs: timing, replicas: 2000, pace: fullSpeed}, func(w *world) error { return coldStarts(ctx, b, w, binary) })
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// deployedMain is what a cloud build makes around the function.
const deployedMain = `package main

import (
	"log"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "example.com/berth"
)

func main() {
	if err := funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT")); err != nil {
		log.Fatal(err)
	}
}
`

// build makes the binary of a deployment.
func build(ctx context.Context, binary string) error {
	root, err := localstack.Root()
	if err != nil {
		return fmt.Errorf("find the module to build: %w", err)
	}
	source := binary + ".go"
	if err := os.WriteFile(source, []byte(deployedMain), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, source)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

func coldStarts(ctx context.Context, b *bench, w *world, binary string) error {
	if err := w.prime(ctx); err != nil {
		return err
	}
	p := b.sheet.page("cold", "deployed main")
	if info, err := os.Stat(binary); err == nil {
		p.add(Other, "binary", "MiB", float64(info.Size())/(1<<20))
	}
	const starts = 5
	var r run
	for i := range starts {
		d, took, err := w.startDeployed(ctx, binary, b.services.log)
		if err != nil {
			return err
		}
		r.took = append(r.took, took)
		if i == starts-1 {
			err = afterStart(ctx, w, p, d)
		}
		if err = errors.Join(err, d.Stop(0)); err != nil {
			return err
		}
	}
	slices.Sort(r.took)
	p.add(Speed, "n", "", starts)
	p.against(commitAlone, "p50", "ms", milliseconds(r.percentile(0.5)))
	return nil
}

// afterStart measures memory, at rest and under a burst.
func afterStart(ctx context.Context, w *world, p page, d *deployed) error {
	loaded := w.functions
	w.functions = []target{d}
	defer func() { w.functions = loaded }()
	const n = 1000
	rest := w.usage()
	if _, err := w.burst(ctx, 64, w.requests(n)); err != nil {
		return err
	}
	p.usage(w.usage().minus(rest), n)
	return nil
}

// A deployed process is the function with one entry point, as in the cloud.
type deployed struct {
	*child.Process
	port int
}

func (d *deployed) URL(string) string { return fmt.Sprintf("http://127.0.0.1:%d/", d.port) }

// startDeployed starts the binary and returns how long it took until a request
// was answered.
func (w *world) startDeployed(ctx context.Context, binary string, log io.Writer) (*deployed, time.Duration, error) {
	port, err := emulator.FreePort()
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	env := append(w.environment(addresses{w.firestore, w.pubsub, w.vertex}), "FUNCTION_TARGET=Admit", "PORT="+strconv.Itoa(port))
	first := w.request(0, 1)
	began := time.Now()
	process, err := child.Start(child.Spec{Path: binary, Env: env, Log: log})
	if err != nil {
		return nil, 0, err
	}
	d := &deployed{process, port}
	err = d.Await(ctx, time.Millisecond, func(ctx context.Context) error { return w.post(ctx, d, first, nil) })
	took := time.Since(began)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("no answer within %s of its start: %w", took, err), d.Stop(0))
	}
	return d, took, nil
}
