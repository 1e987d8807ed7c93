//go:build unix

package emulator_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/berth/internal/localstack/emulator"
)

func TestStartAndStop(t *testing.T) {
	t.Setenv(emulator.PubSubHostEnv, "")
	var out bytes.Buffer
	e, err := emulator.StartPubSub(t.Context(), emulator.Options{Output: &out})
	if errors.Is(err, emulator.ErrNotInstalled) && os.Getenv("BERTH_REQUIRE_EMULATORS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop() })
	if !e.Started() || !strings.HasPrefix(e.Host(), "127.0.0.1:") {
		t.Errorf("%v: not started by us on 127.0.0.1", e)
	}
	for range 2 {
		if err := e.Stop(); err != nil {
			t.Errorf("stop %v: %v", e, err)
		}
	}
	<-e.Exited()
	if err := syscall.Kill(e.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal 0 to process %d after Stop: %v, want %v", e.PID(), err, syscall.ESRCH)
	}
	if out.Len() == 0 {
		t.Error("no output was passed on")
	}
}

func TestGiven(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	t.Setenv(emulator.FirestoreHostEnv, host)
	e, err := emulator.StartFirestore(t.Context(), emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Started() || e.Host() != host || e.PID() != 0 {
		t.Errorf("given %s, got %v", host, e)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(srv.URL); err != nil {
		t.Errorf("a given emulator was stopped: %v", err)
	}
}

func TestGivenButSilent(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	t.Setenv(emulator.PubSubHostEnv, strings.TrimPrefix(srv.URL, "http://"))
	_, err := emulator.StartPubSub(t.Context(), emulator.Options{})
	if err == nil || !strings.Contains(err.Error(), emulator.PubSubHostEnv) {
		t.Errorf("error %v does not name the variable", err)
	}
	if errors.Is(err, emulator.ErrNotInstalled) {
		t.Errorf("%v counts as not installed", err)
	}
}

// A sandbox is a made-up machine: a folder as PATH, an SDK and a java.
type sandbox struct {
	t    *testing.T
	root string
}

func newSandbox(t *testing.T) sandbox {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(emulator.FirestoreHostEnv, "")
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", filepath.Join(root, "bin"))
	return sandbox{t, root}
}

func (s sandbox) file(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// sdk installs a gcloud as a link, and a Firestore jar whose class has the given
// format version (44 more than the Java release).
func (s sandbox) sdk(class byte) {
	s.t.Helper()
	s.file("sdk/bin/gcloud", "#!/bin/sh\nexit 1\n")
	s.file("bin/.keep", "")
	if err := os.Symlink(filepath.Join(s.root, "sdk/bin/gcloud"), filepath.Join(s.root, "bin/gcloud")); err != nil {
		s.t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	f, err := z.Create("com/google/cloud/datastore/emulator/firestore/CloudFirestore.class")
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = f.Write([]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, class})
	if err := z.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.file("sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar", jar.String())
}

// java installs a java that knows its version and otherwise runs a script.
func (s sandbox) java(version, script string) {
	s.file("bin/java", "#!/bin/sh\nif [ \"$1\" = -version ]; then echo 'openjdk version \""+version+"\"' >&2; exit; fi\n"+script+"\n")
}

func (s sandbox) start() error {
	s.t.Helper()
	e, err := emulator.StartFirestore(s.t.Context(), emulator.Options{})
	if err == nil {
		e.Stop()
		s.t.Fatalf("%v started in an empty sandbox", e)
	}
	return err
}

func TestNotInstalled(t *testing.T) {
	for what, c := range map[string]struct {
		setUp func(sandbox)
		want  string
	}{
		"nothing":      {func(sandbox) {}, "no gcloud on PATH"},
		"gcloud alone": {func(s sandbox) { s.file("bin/gcloud", "#!/bin/sh\nexit 1\n") }, "no Google Cloud SDK folder"},
		"no jar": {func(s sandbox) {
			s.sdk(55)
			os.RemoveAll(filepath.Join(s.root, "sdk/platform/cloud-firestore-emulator"))
		}, "cloud-firestore-emulator*.jar below"},
		"no java":        {func(s sandbox) { s.sdk(55) }, "no java"},
		"old java":       {func(s sandbox) { s.sdk(55); s.java("1.8.0_391", "exit 9") }, "is Java 8"},
		"newer SDK":      {func(s sandbox) { s.sdk(65); s.java("17.0.15", "exit 9") }, "needs 21 or newer"},
		"java that jibs": {func(s sandbox) { s.sdk(55); s.file("bin/java", "#!/bin/sh\necho no runtime; exit 1\n") }, "no runtime"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSandbox(t)
			c.setUp(s)
			err := s.start()
			if !errors.Is(err, emulator.ErrNotInstalled) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want ErrNotInstalled with %q", err, c.want)
			}
		})
	}
}

// Where gcloud is a wrapper that lies far from its SDK, it is asked.
func TestFindSDKAsksGcloud(t *testing.T) {
	s := newSandbox(t)
	s.sdk(55)
	if err := os.Remove(filepath.Join(s.root, "bin/gcloud")); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(s.root, "sdk")
	s.file("bin/gcloud", "#!/bin/sh\n[ \"$1\" = info ] && echo "+want+"\n")
	if got, err := emulator.FindSDK(t.Context()); err != nil || got != want {
		t.Errorf("FindSDK = %q, %v, want %q", got, err, want)
	}
}

func TestStartFails(t *testing.T) {
	s := newSandbox(t)
	s.sdk(55)
	s.java("21-ea", "echo boom; exit 3")
	err := s.start()
	if errors.Is(err, emulator.ErrNotInstalled) {
		t.Errorf("%v counts as not installed", err)
	}
	for _, want := range []string{"boom", "exit status 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not tell of %q: %v", want, err)
		}
	}
}

// Exit status 1 is the sign of a taken port, so another port is tried.
func TestStartTriesOtherPorts(t *testing.T) {
	s := newSandbox(t)
	s.sdk(55)
	s.java("17", "echo \"$@\"; exit 1")
	err := s.start()
	ports := map[string]bool{}
	for _, word := range strings.Fields(err.Error()) {
		if port, ok := strings.CutPrefix(word, "--port="); ok {
			ports[port] = true
		}
	}
	if len(ports) != 3 {
		t.Errorf("tried the ports %v, want three: %v", ports, err)
	}
}
