package fakevertex_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"example.com/berth/internal/vertex/fakevertex"
)

func TestSaveAndLoad(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, scalingPool("", 1, 2))
	if _, err := w.resources.CreatePersistentResource(t.Context(), createRequest("later", fixedPool("", 1))); err != nil {
		t.Fatal(err)
	}
	w.mustCreate(t, one(1, "fake-run", "1m", "fake-end", "failed"))
	w.mustCreate(t, one(1, "fake-run", "1m"))
	w.mustCreate(t, one(2))
	w.clock.Advance(3 * time.Second)
	var saved bytes.Buffer
	if err := w.Save(&saved); err != nil {
		t.Fatal(err)
	}
	twin := fakevertex.New(fakevertex.Options{Clock: w.clock, Projects: map[string]string{"my-project": "123456789012"}})
	if err := twin.Load(bytes.NewReader(saved.Bytes())); err != nil {
		t.Fatal(err)
	}
	// Both go on in the same way to the end of everything.
	for range 60 {
		w.clock.Advance(10 * time.Second)
		if d := cmp.Diff(w.Jobs(), twin.Jobs(), protocmp.Transform()) + cmp.Diff(w.Resources(), twin.Resources(), protocmp.Transform()); d != "" {
			t.Fatalf("at %v (-saved +loaded):\n%s", w.clock.Now().Sub(start), d)
		}
	}
	for i, want := range []aiplatformpb.JobState{failed, succeeded, succeeded} {
		if got := twin.Jobs()[i].State; got != want {
			t.Errorf("job %d ended %v, want %v", i, got, want)
		}
	}
	before := len(twin.Jobs())
	if err := twin.Load(strings.NewReader(`{"jobs":[{"job":{"nonsense":1}}]}`)); err == nil || len(twin.Jobs()) != before {
		t.Errorf("loaded nonsense: %v, %d jobs", err, len(twin.Jobs()))
	}
}

func TestStateFile(t *testing.T) {
	options := fakevertex.Options{Clock: fakevertex.NewManualClock(start), StateFile: filepath.Join(t.TempDir(), "vertex.json"),
		Projects: map[string]string{"my-project": "123456789012"}}
	w := openWorld(t, options)
	w.add(t, fixedPool("", 1))
	name := w.mustCreate(t, one(1, "fake-run", "1h"))
	// The first server is not stopped, as if its process had been killed.
	again := openWorld(t, options)
	again.clock.Advance(time.Minute)
	again.is(t, name, running)
	if other := again.mustCreate(t, one(1)); other == name {
		t.Error("an id was given twice")
	}
	third := openWorld(t, options)
	if n := len(third.Jobs()); n != 2 {
		t.Errorf("%d jobs after another restart", n)
	}

	if err := os.Remove(options.StateFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(options.StateFile, 0o700); err != nil { // nothing can be renamed onto it
		t.Fatal(err)
	}
	_, err := third.create(t, onDemand())
	refused(t, err, codes.Internal, "write state of fake Vertex to "+options.StateFile)
	if third.Err() == nil {
		t.Error("Err is nil after a failed write")
	}
	broken := fakevertex.New(options)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Serve(l); err == nil || !strings.Contains(err.Error(), "read state of fake Vertex from") {
		t.Errorf("served on a state file that cannot be read: %v", err)
	}
}

func TestStateFileIsWrittenOnlyOnChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vertex.json")
	w := openWorld(t, fakevertex.Options{Clock: fakevertex.NewManualClock(start), StateFile: file})
	name := w.mustCreate(t, onDemand())
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.get(t, name)
	if _, err := os.Stat(file); err == nil {
		t.Error("written by a read")
	}
	w.clock.Advance(time.Second)
	w.get(t, name) // plays what is due
	if _, err := os.Stat(file); err != nil {
		t.Error("not written when time brought a change")
	}
}
