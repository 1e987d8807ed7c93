package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/sethvargo/go-envconfig"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/app"
	"example.com/berth/internal/gcp"
	"example.com/berth/internal/probe"
	"example.com/berth/internal/vertex/fakevertex"
)

const probed = "projects/hushed-project/locations/us-central1/persistentResources/pool-1"

// A probeWorld is a fake Vertex AI whose clock moves as the prober sleeps.
type probeWorld struct {
	*fakevertex.Server
	*fakevertex.ManualClock
	addr string
}

func (w *probeWorld) Now() time.Time { return w.ManualClock.Now() }

func (w *probeWorld) Sleep(ctx context.Context, d time.Duration) error {
	w.Advance(d)
	return ctx.Err()
}

func newProbeWorld(t *testing.T) *probeWorld {
	t.Helper()
	w := &probeWorld{ManualClock: fakevertex.NewManualClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	w.Server = fakevertex.New(fakevertex.Options{Clock: w.ManualClock, Seed: 1})
	if _, err := w.AddResource(&aiplatformpb.PersistentResource{Name: probed, ResourcePools: []*aiplatformpb.ResourcePool{
		{MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: proto.Int64(1)}}}); err != nil {
		t.Fatal(err)
	}
	long := &fakevertex.Span{From: 10 * time.Minute, To: 10 * time.Minute}
	if err := w.SetJobRules([]fakevertex.JobRule{{Name: "berth-probe-tiny"}, {RunFor: long}}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.Serve(l) }()
	t.Cleanup(func() {
		w.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

// run runs doctor --probe on the world's clock. It returns what was written to both outlets.
func (w *probeWorld) run(t *testing.T, c *doctorCmd, input string, asJSON bool) (out, errs string, err error) {
	t.Helper()
	v, err := gcp.NewVertex(gcp.VertexOptions{Insecure: true, Endpoint: func(string) string { return w.addr }})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var stdout, stderr bytes.Buffer
	g := &globals{ctx: t.Context(), in: strings.NewReader(input), out: &stdout, err: &stderr, JSON: asJSON}
	g.warn = func(format string, args ...any) { say(&stderr, format, args...) }
	c.Probe, c.ProbeImage, c.ProbeWait = probed, "busybox", 2*time.Minute
	err = c.probeOn(g, probed, v.Raw(), w)
	return stdout.String(), stderr.String(), err
}

func TestProbe(t *testing.T) {
	w := newProbeWorld(t)
	file := filepath.Join(t.TempDir(), "record.json")
	command := func() *doctorCmd { return &doctorCmd{probeFlags: probeFlags{ProbeFile: file, ProbeAccount: "a@b.c"}} }
	out, errs, err := w.run(t, command(), "pool-2\n", false)
	if err == nil || !strings.Contains(err.Error(), "nothing was created") || out != "" || !strings.Contains(errs, "The probe creates 12 jobs, one after the other, on one pool of "+probed+":\n") || len(w.Jobs()) != 0 {
		t.Errorf("not confirmed: %v, %d jobs\n%s%s", err, len(w.Jobs()), out, errs)
	}
	out, errs, err = w.run(t, command(), "pool-1\n", false)
	if err != nil || !strings.Contains(out, "BERTH_DISK_TYPE=pd-ssd\n") || !strings.Contains(out, "The record is in "+file) {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	data, err := os.ReadFile(file)
	var record probe.Record
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil || record.Format != 1 || record.Left != 0 || record.Region != "us-central1" || record.Switches["fullPool"] != "queue-for-ever" || strings.Contains(string(data), "hushed") {
		t.Errorf("record %+v, %v", record, err)
	}
	// The settings that follow are settings of the functions.
	env := map[string]string{"BERTH_PROJECT": "my-project", "BERTH_REGIONS": "us-central1"}
	for _, s := range record.Settings {
		env[s.Name] = s.Value
	}
	known := map[string]bool{}
	if _, err := app.LoadConfig(t.Context(), looked{env, known}); err != nil {
		t.Errorf("settings %v: %v", record.Settings, err)
	}
	for name := range env {
		if !known[name] {
			t.Errorf("%s is no setting", name)
		}
	}
	_, _, err = w.run(t, command(), "pool-1\n", false)
	if err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a record is overwritten: %v", err)
	}
	c := command()
	c.ProbeFile, c.Yes = filepath.Join(t.TempDir(), "r"), true
	out, errs, err = w.run(t, c, "", true)
	if err != nil || json.Unmarshal([]byte(out), &record) != nil {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if err := w.SetFaultRules([]fakevertex.FaultRule{{Method: "CancelCustomJob", Code: codes.PermissionDenied}}); err != nil {
		t.Fatal(err)
	}
	c = command()
	c.ProbeFile, c.Yes = filepath.Join(t.TempDir(), "r"), true
	_, errs, err = w.run(t, c, "", false)
	if q := (*quit)(nil); !errors.As(err, &q) || q.code != exitProblems || !strings.Contains(errs, "not ended: gcloud ai custom-jobs cancel projects/") {
		t.Errorf("%v\n%s", err, errs)
	}
}

// looked says which variables are looked up.
type looked struct {
	env   map[string]string
	known map[string]bool
}

func (l looked) Lookup(name string) (string, bool) {
	l.known[name] = true
	return envconfig.MapLookuper(l.env).Lookup(name)
}

func TestProbeUsage(t *testing.T) {
	w := newProbeWorld(t)
	for args, want := range map[string]string{
		"--probe=pool-1 --project=hushed-project":                                      "also give one --region, or the full name",
		"--probe=pool-1 --project=hushed-project --region=us-central1,us-east1":        "also give one --region",
		"--probe=a/b --project=hushed-project --region=us-central1":                    "want an id or projects/P/locations/L/persistentResources/ID",
		"--probe=pool-1 --project=hushed-project --region=us-central1 --probe-wait=0s": "--probe-wait 0s",
		"--probe=pool-1 --project=hushed-project --region=us-central1 --probe-image=":  "--probe-image is empty",
		"--probe=pool-1 --project=hushed-project --region=us-central1 --probe-pool=x":  `has no pool "x"`,
		"--probe=" + probed: "not confirmed: nothing was created",
		"--probe=pool-1 --project=hushed-project --region=us-central1 --probe-file=/no/where/": "not confirmed",
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"doctor", "--vertex-endpoint=" + w.addr}, strings.Fields(args)...), strings.NewReader("no\n"), &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), want) || len(w.Jobs()) != 0 {
			t.Errorf("%s: exit %d, %s", args, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"doctor", "--vertex-endpoint=" + w.addr, "--probe=" + probed + "x"}, strings.NewReader(""), &out, &errs); code != exitError {
		t.Errorf("no such resource: exit %d, %s", code, errs.String())
	}
}
