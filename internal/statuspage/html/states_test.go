package html_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
	status "example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/statuspage/statuspagetest"
)

var update = flag.Bool("update", false, "write the golden files")

// small is a deployment with one job that runs and one request that waits.
func small(t *testing.T) *statuspagetest.World {
	w := statuspagetest.Empty(t)
	w.Send(statuspagetest.Job{ID: "runs", Name: "First", Shape: statuspagetest.A100, Replicas: 3, Limit: 2 * time.Hour})
	w.Pass(time.Minute)
	w.Send(statuspagetest.Job{ID: "waits", Name: "Second", Shape: statuspagetest.A100, Replicas: 2, Priority: 7, Limit: time.Hour})
	w.Pass(time.Minute)
	return w
}

// A deployment without requests says so, part by part.
func TestEmptyDeployment(t *testing.T) {
	t.Parallel()
	h := status.New(statuspagetest.Empty(t).Handler())
	for path, want := range map[string][]string{
		"/": {"Healthy", "no persistent resource is observed yet", "No persistent resource is known yet", "No request of yours holds replicas.", "No request of yours waits.",
			"No request of yours has failed", "No request of yours has succeeded"},
		"/pools": {"No persistent resource is known yet"}, "/queue": {"No request of yours waits."}, "/requests": {"No request is in these states."},
		"/recent": {"Nothing was received that matches."}, "/usage": {"No persistent resource is known yet"}, "/health": {"Healthy.", "by no instance yet"},
	} {
		page := ask(h, "GET", path, browser)
		if page.Code != http.StatusOK || strings.Contains(page.Body.String(), "<table") {
			t.Errorf("%s: %d", path, page.Code)
		}
		says(t, path, (node{root(t, page.Body.String())}).words(), want...)
	}
	w := statuspagetest.Empty(t)
	w.Send(statuspagetest.Job{ID: "first", Shape: statuspagetest.L4, Replicas: 1})
	says(t, "one observation", (node{root(t, ask(status.New(w.Handler()), "GET", "/usage", browser).Body.String())}).words(), "Nothing is known of its machines in this time")
}

// A long queue leaves the overview short, and has the rest on its own page.
func TestLongQueue(t *testing.T) {
	t.Parallel()
	w := statuspagetest.Empty(t)
	for i := range 20 {
		w.Send(statuspagetest.Job{ID: fmt.Sprintf("r%02d", i), Shape: statuspagetest.A100, Replicas: 3, Limit: time.Hour})
	}
	h := status.New(w.Handler())
	part := element(t, ask(h, "GET", "/", browser).Body.String(), "part-queue")
	waiting := len(program[statuspage.Queue](t, h, "/queue").Waiting)
	rows := lines(part.within("table")[0])
	links := part.within("a")
	if last := links[len(links)-1].attribute("href"); len(rows) != 15 || waiting < 18 || !strings.HasSuffix(last, "/queue") {
		t.Errorf("%d of %d in the queue, and a link to %s", len(rows), waiting, last)
	}
	says(t, "/", part.words(), "the first 15")
}

// An old observation, and a document that cannot be read, show at the head of every page,
// and where they are.
func TestDegraded(t *testing.T) {
	t.Parallel()
	w := small(t)
	h := status.New(w.Handler())
	w.Now = w.Now.Add(10 * time.Minute)
	for _, path := range []string{"/", "/queue", "/health", "/requests/waits", "/nothing"} {
		words := (node{root(t, ask(h, "GET", path, browser).Body.String())}).words()
		says(t, path, words, "Degraded", "observation of training is 10 min old, too old: nothing is admitted there")
		if strings.Contains(words, "Healthy") {
			t.Errorf("%s says that it is healthy", path)
		}
	}
	says(t, "/pools", (node{root(t, ask(h, "GET", "/pools", browser).Body.String())}).words(), "observed 10 min ago", "The last observation is too old: nothing is admitted until the next one.")
	w.Ledger.Spoil(ledger.RecordRef(message.KeyOf("default", message.KindRequest, "waits")), "it has layout 9")
	for _, path := range []string{"/", "/queue", "/requests", "/recent"} {
		says(t, path, (node{root(t, ask(h, "GET", path, browser).Body.String())}).words(), "cannot be read: it has layout 9.", "berth doctor")
	}
	page := ask(h, "GET", "/requests/waits", browser)
	if page.Code != http.StatusInternalServerError {
		t.Errorf("a request that cannot be read: %d", page.Code)
	}
	says(t, "/requests/waits", text(t, page.Body.String()), "it has layout 9", statuspage.Unreadable)
	w.Ledger.Spoil(ledger.ResourceRef(statuspagetest.Training), "it has layout 9")
	for _, path := range []string{"/", "/pools", "/usage", "/health"} {
		says(t, path, (node{root(t, ask(h, "GET", path, browser).Body.String())}).words(), "Damaged", "1 document cannot be read", "persistentResources/training cannot be read")
	}
}

// silent is a ledger that does not answer.
type silent struct{ ledger.Ledger }

var errSilent = errors.New("the ledger does not answer")

func (silent) Update(context.Context, ledger.ReadSet, func(ledger.Tx) error, ...ledger.Hints) error {
	return errSilent
}
func (silent) Resources(context.Context, string, int) ([]*ledger.Resource, error) {
	return nil, errSilent
}

// While the ledger does not answer, the overview says so in each part, and pages of one
// answer have its status.
func TestLedgerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	h := status.New(statuspage.New(nil, silent{statuspagetest.Empty(t).Ledger}, statuspage.Info{Project: "p", Deployment: "d"}))
	for path, want := range map[string]int{"/": 200, "/pools": 503, "/queue": 503, "/recent": 503, "/health": 503, "/requests/x": 503, "/usage": 503} {
		page := ask(h, "GET", path, browser)
		words := (node{root(t, page.Body.String())}).words()
		says(t, path, words, "Health unknown", "the ledger does not answer")
		if page.Code != want {
			t.Errorf("%s: %d, want %d", path, page.Code, want)
		}
		if n := strings.Count(words, statuspage.Unavailable); path == "/" && n != 6 {
			t.Errorf("the overview says in %d parts that there is no answer, want 6", n)
		}
	}
}

// A panic below is that of the server's goroutine of the request, which answers it, even in
// one of the answers that a page gathers.
func TestPanicsArePassedOn(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"/", "/queue"} {
		h := status.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == broken {
				panic("broken " + broken)
			}
		}))
		func() {
			defer func() {
				if found := recover(); found != "broken "+broken {
					t.Errorf("the caller finds %v", found)
				}
			}()
			_ = ask(h, "GET", "/", browser)
		}()
	}
}

// What a program posts is explained on a page if it asks for one.
func TestExplain(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	for body, want := range map[string][]string{
		`{"data":"e30="}`: {"REFUSE"},
		`no message`:      {"MALFORMED", "The body is not a message"},
	} {
		r := request(t, "POST", "/explain", body)
		bare := serve(busy(t).Handler(), request(t, "POST", "/explain", body))
		page := serve(h, r)
		if page.Code != bare.Code || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %v, want %d", body, page.Code, page.Header(), bare.Code)
		}
		says(t, body, text(t, page.Body.String()), want...)
	}
}

// hash is in the names of assets.
var hash = regexp.MustCompile(`-[0-9a-f]{16}\.`)

// What two small deployments look like, to be read by people.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{
		"empty":   ask(status.New(statuspagetest.Empty(t).Handler()), "GET", "/", browser).Body.String(),
		"request": ask(status.New(small(t).Handler()), "GET", "/requests/waits?refresh=15", browser).Body.String(),
	} {
		page = hash.ReplaceAllString(page, "-HASH.")
		file := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), page); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}
