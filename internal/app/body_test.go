package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/message"
)

// A feed is a body of a number of spaces, which counts its reads.
type feed struct {
	left  int64
	read  atomic.Int64
	stall func(read int64) error // called before each read; nil for none
}

func (f *feed) Read(p []byte) (int, error) {
	if f.stall != nil {
		if err := f.stall(f.read.Load()); err != nil {
			return 0, err
		}
	}
	n := min(int64(len(p)), f.left-f.read.Load())
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = ' '
	}
	f.read.Add(n)
	return int(n), nil
}

// entries are the entry points that read a body, with the most bytes they read.
var entries = map[string]struct {
	path  string
	entry func(*App) http.HandlerFunc
	most  int64
}{
	"Admit":     {"/", func(a *App) http.HandlerFunc { return a.admit }, message.MaxBody},
	"Reconcile": {"/", func(a *App) http.HandlerFunc { return a.reconcile }, message.MaxBody},
	"Status":    {"/explain", func(a *App) http.HandlerFunc { return a.answer }, 2 * message.MaxData},
}

// timedWriter records the deadlines that are set on its connection.
type timedWriter struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (w *timedWriter) SetReadDeadline(t time.Time) error {
	w.deadlines = append(w.deadlines, t)
	return nil
}

// send posts a body of unknown length, as a client does that sends none.
func send(a *App, entry string, body io.Reader) *timedWriter {
	e := entries[entry]
	w := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
	e.entry(a)(w, httptest.NewRequest(http.MethodPost, e.path, io.NopCloser(body)))
	return w
}

// code is the machine-readable part of an error.
func code(t *testing.T, w *timedWriter) string {
	t.Helper()
	var f struct {
		Error struct{ Code string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return f.Error.Code
}

// TestBodyIsBounded: no body is read beyond the limit of its entry point.
func TestBodyIsBounded(t *testing.T) {
	d := newDen(t)
	for name, e := range entries {
		body := &feed{left: 1 << 40}
		w := send(d.app, name, body)
		if w.Code != http.StatusRequestEntityTooLarge || code(t, w) != "TOO_LARGE" {
			t.Errorf("%s answers an endless body with %d %s", name, w.Code, w.Body)
		}
		// One byte more shows that it is too long; a reader may ask for a buffer of them.
		if n := body.read.Load(); n <= e.most || n > e.most+e.most/2 {
			t.Errorf("%s reads %d bytes of an endless body, want little more than %d", name, n, e.most)
		}
		fits := &feed{left: e.most}
		if w := send(d.app, name, fits); w.Code != http.StatusBadRequest || fits.read.Load() != e.most {
			t.Errorf("%s answers %d bytes of spaces with %d, after %d; want all read, and that it is no message", name, e.most, w.Code, fits.read.Load())
		}
	}
}

// TestExplainAllocations: the memory for an explained message is bounded by the
// limits of a message.
func TestExplainAllocations(t *testing.T) {
	d := newDen(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		if w := send(d.app, "Status", &feed{left: message.MaxBody}); w.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("a body of %d bytes: %d", message.MaxBody, w.Code)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 20*(4<<20) {
		t.Errorf("twenty explained bodies of %d bytes take %d MiB, want 80 at most", message.MaxBody, used>>20)
	}
}

// TestLargeBodiesAreReadOneByOne: of twenty large bodies of unknown length, one
// at a time is read beyond the common part; small bodies pass meanwhile.
func TestLargeBodiesAreReadOneByOne(t *testing.T) {
	d := newDen(t)
	synctest.Test(t, func(t *testing.T) {
		d.app.large = make(chan struct{}, cap(d.app.large)) // the bubble must own the channel
		goOn := make(chan struct{})
		var beyond, most, total atomic.Int64
		var wg sync.WaitGroup
		codes := make(chan int, 20)
		for i := range 20 {
			entry := []string{"Admit", "Reconcile"}[i%2]
			past := false
			body := &feed{left: large + 100<<10}
			body.stall = func(read int64) error {
				if read >= large && !past {
					past = true
					most.Store(max(most.Load(), beyond.Add(1)))
					<-goOn
				}
				if read == body.left {
					beyond.Add(-1)
				}
				total.Store(max(total.Load(), read))
				return nil
			}
			wg.Go(func() { codes <- send(d.app, entry, body).Code })
		}
		synctest.Wait()
		if n := beyond.Load(); n != 1 {
			t.Errorf("%d bodies are read beyond %d bytes, want one at a time", n, large)
		}
		if w := send(d.app, "Admit", &feed{left: large - 1}); w.Code != http.StatusBadRequest {
			t.Errorf("beside a large body that takes its time, a small one is answered %d", w.Code)
		}
		close(goOn)
		wg.Wait()
		close(codes)
		for c := range codes {
			if c != http.StatusBadRequest {
				t.Errorf("after its turn a large body is answered %d", c)
			}
		}
		if n := most.Load(); n != 1 {
			t.Errorf("%d large bodies were read at once", n)
		}
	})
}

// A request that waits behind an endless large body is answered with a retry.
func TestLargeBodyWaitsNoLongerThanItsRequest(t *testing.T) {
	d := newDen(t)
	synctest.Test(t, func(t *testing.T) {
		d.app.large = make(chan struct{}, cap(d.app.large)) // the bubble must own the channel
		end := make(chan struct{})
		go send(d.app, "Admit", &feed{left: 2 * large, stall: func(read int64) error {
			if read >= large {
				<-end
			}
			return nil
		}})
		synctest.Wait()
		began := time.Now()
		w := send(d.app, "Admit", &feed{left: 2 * large})
		if waited := time.Since(began); w.Code != http.StatusServiceUnavailable || code(t, w) != "TOO_LARGE" || waited != d.app.cfg.Timeout*19/20 {
			t.Errorf("after %s it is answered %d %s, want 503 TOO_LARGE after %s", waited, w.Code, w.Body, d.app.cfg.Timeout*19/20)
		}
		close(end)
	})
}

// TestSlowBody: a body has a deadline. The deadline is removed after the last
// byte, because it would end the work that follows.
func TestSlowBody(t *testing.T) {
	d := newDen(t)
	for name, e := range entries {
		began := time.Now()
		var w *timedWriter
		deadline := func() time.Duration { return w.deadlines[len(w.deadlines)-1].Sub(began) }
		post := func(body *feed) {
			w = &timedWriter{ResponseRecorder: httptest.NewRecorder()}
			e.entry(d.app)(w, httptest.NewRequest(http.MethodPost, e.path, io.NopCloser(body)))
		}
		met := time.Duration(0)
		post(&feed{left: 1000, stall: func(read int64) error {
			if read == 0 {
				met = deadline()
			}
			return nil
		}})
		if met < bodyWithin-time.Second || met > bodyWithin+10*time.Second {
			t.Errorf("%s gives a body %s, want %s", name, met, bodyWithin)
		}
		if last := w.deadlines[len(w.deadlines)-1]; !last.IsZero() {
			t.Errorf("%s leaves the deadline of a body that has been read: %s", name, last)
		}
		post(&feed{left: 1000, stall: func(read int64) error { return os.ErrDeadlineExceeded }})
		if want := map[string]int{"Status": http.StatusBadRequest}[name]; w.Code != max(want, http.StatusBadRequest) && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s answers a body that did not come with %d", name, w.Code)
		}
		if len(d.app.large) != 0 {
			t.Errorf("%s keeps the place of a large body", name)
		}
	}
	if w := send(d.app, "Admit", &feed{left: large + 1, stall: func(read int64) error {
		if read >= large {
			return errors.New("broken off")
		}
		return nil
	}}); w.Code != http.StatusServiceUnavailable || len(w.deadlines) != 3 || len(d.app.large) != 0 {
		t.Errorf("a large body that breaks off: %d after the deadlines %v, %d places kept", w.Code, w.deadlines, len(d.app.large))
	}
}

// TestDeadlineOnAConnection: the deadline of a body is the connection's, so a
// real connection has it too.
func TestDeadlineOnAConnection(t *testing.T) {
	var set error
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := inTime(w, r)
		set = b.conn.SetReadDeadline(time.Now().Add(-time.Second))
		if _, err := io.ReadAll(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a body whose time is over is read: %v", err)
		}
	}))
	defer server.Close()
	half, in := io.Pipe()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL, half)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = in.Write([]byte("half of it")) }()
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
	}
	in.Close()
	if set != nil {
		t.Errorf("the connection takes no deadline: %v", set)
	}
}
