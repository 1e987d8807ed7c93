package html

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 0: "0 s", 999 * time.Millisecond: "0 s", time.Second: "1 s", 59 * time.Second: "59 s", 60 * time.Second: "1 min", 61 * time.Second: "1 min 1 s",
		time.Hour: "1 h", time.Hour + time.Second: "1 h", 2*time.Hour + 5*time.Minute + 59*time.Second: "2 h 5 min", 24 * time.Hour: "1 d", 25 * time.Hour: "1 d 1 h", 24*time.Hour + 59*time.Minute: "1 d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 1, 2, 3, 0, time.FixedZone("", 3*3600)) // 26 November in UTC
	for text, want := range map[string]when{
		"2026-11-26T03:04:05Z":      {"2026-11-26T03:04:05Z", "03:04:05 UTC"},
		"2026-11-27T00:00:00+03:00": {"2026-11-26T21:00:00Z", "21:00:00 UTC"},
		"2026-11-27T03:04:05Z":      {"2026-11-27T03:04:05Z", "27 Nov 03:04:05 UTC"},
		"2025-11-26T03:04:05Z":      {"2025-11-26T03:04:05Z", "26 Nov 2025 03:04:05 UTC"},
		"0001-01-01T00:00:00Z":      {},
	} {
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := at(moment, now, true); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if got := at(now, now, false).Text; got != "22:02 UTC" {
		t.Errorf("without seconds: %q", got)
	}
}

// The parts of a bar are all of it, side by side, whatever the numbers are; the free ones
// are those that the answer has, on machines that are there first.
func TestBars(t *testing.T) {
	t.Parallel()
	shape := capacity.Spec{MachineType: "m"}.Normal()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) capacity.Replicas { return capacity.Replicas(rapid.IntRange(0, 9).Draw(t, name)) }
		pool := capacity.Pool{ID: "a", Shape: shape, Count: draw("machines"), Max: draw("most")}
		s := statuspage.Shape{Shape: shape, Limit: pool.Limit(), Held: draw("held"), Foreign: draw("foreign"), Unexplained: draw("unexplained")}
		s.Taken = s.Held + s.Foreign + s.Unexplained
		if rapid.Bool().Draw(t, "paused") {
			s.Paused = max(0, min(pool.Count, s.Limit-s.Taken))
		}
		s.Free, s.Overdrawn = max(0, s.Limit-s.Taken-s.Paused), max(0, s.Taken-s.Limit)
		b := (&page{}).shapeBar(statuspage.Resource{Pools: []statuspage.Pool{{Pool: pool, Limit: pool.Limit()}}}, s)
		sum, free, edge := capacity.Replicas(0), capacity.Replicas(0), 0.0
		for _, part := range b.Parts {
			sum += part.N
			if part.Kind == "free" || part.Kind == "room" {
				free += part.N
			}
			x, w := percentage(t, part.X), percentage(t, part.W)
			if math.Abs(x-edge) > 0.02 || x+w > 100.02 {
				t.Fatalf("%+v begins at %v, and the one before it ends at %v", part, x, edge)
			}
			edge = x + w
			if idle := max(0, pool.Count-s.Taken-s.Paused); part.Kind == "free" && part.N != min(idle, s.Free) {
				t.Fatalf("%d are free, of %d idle machines of %+v", part.N, idle, pool)
			}
		}
		if free != s.Free || sum != max(s.Limit, s.Taken) || (s.Overdrawn > 0) != (b.Mark != "") || sum > 0 && math.Abs(edge-100) > 0.05 {
			t.Fatalf("%+v of %+v", b, s)
		}
	})
}

func percentage(t *rapid.T, s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A chart has a step for each bucket, at the levels of the answer, and nothing where nothing
// is known.
func TestChart(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 26, 14, 0, 0, 0, time.UTC)
	bucket := func(minute int, used, foreign, limit float64, waiting int64) statuspage.UsageBucket {
		return statuspage.UsageBucket{From: from.Add(time.Duration(minute) * time.Minute), Observed: statuspage.Duration(5 * time.Minute), Machines: 4, Limit: limit, Used: used, Foreign: foreign, MaxWaiting: waiting}
	}
	u := statuspage.Usage{From: from, To: from.Add(24 * time.Hour), Observed: statuspage.Duration(20 * time.Minute), Width: statuspage.Duration(5 * time.Minute)}
	c := chartOf("x", u, statuspage.ShapeUsage{Shape: capacity.Spec{MachineType: "m"}.Normal(), MaxWaiting: 2, Buckets: []statuspage.UsageBucket{
		bucket(0, 1, 0, 4, 0), bucket(5, 1, 2, 4, 2), bucket(60, 0, 2, 8, 1), bucket(1435, 8, 0, 8, 0),
	}})
	unit := (plotHeight - headroom) / 8
	y := func(v float64) string { return strconv.FormatFloat(plotHeight-v*unit, 'f', 1, 64) }
	want := fmt.Sprintf("M0.0 %[1]sL10.0 %[1]sM60.0 %[2]sL65.0 %[2]sM1435.0 %[2]sL1440.0 %[2]s", y(4), y(8))
	if c.Limit != want {
		t.Errorf("the limit is %s, want %s", c.Limit, want)
	}
	want = fmt.Sprintf("M0.0 %[1]sL10.0 %[1]sL10.0 %[2]sL0.0 %[2]sZM60.0 %[2]sL65.0 %[2]sL65.0 %[2]sL60.0 %[2]sZM1435.0 %[3]sL1440.0 %[3]sL1440.0 %[2]sL1435.0 %[2]sZ", y(1), y(0), y(8))
	if len(c.Areas) != 2 || c.Areas[0].Kind != "ours" || c.Areas[0].Path != want || c.Areas[1].Kind != "foreign" {
		t.Errorf("areas %+v, want ours as %s", c.Areas, want)
	}
	if want := "M0.0 28.0L5.0 28.0L5.0 2.0L10.0 2.0M60.0 15.0L65.0 15.0M1435.0 28.0L1440.0 28.0"; c.Waiting != want {
		t.Errorf("waiters %s, want %s", c.Waiting, want)
	}
	if c.Machines == "" || c.Top != "8" || c.MostWaiting != "2" || c.Width != "1440" {
		t.Errorf("%+v", c)
	}
	var texts []string
	for _, tick := range c.Ticks {
		texts = append(texts, tick.Text+" at "+tick.X)
	}
	if got := strings.Join(texts, ", "); got != "18:00 at 16.67%, 27 Nov at 41.67%, 06:00 at 66.67%, 12:00 at 91.67%" {
		t.Errorf("ticks: %s", got)
	}
	if len(c.Rows) != 3 || c.Rows[0].Foreign != "1" || c.Rows[0].MostWaiting != "2" || c.Rows[0].Observed != "10 min" || c.Rows[1].Limit != "8" {
		t.Errorf("rows %+v", c.Rows)
	}
	if empty := chartOf("x", u, statuspage.ShapeUsage{}); empty.Limit != "" || empty.Areas != nil || empty.Label != "Nothing is known of this time." {
		t.Errorf("of nothing: %+v", empty)
	}
}

// Text is readable on its ground in both themes: 4.5 to 1 for words, 3 to 1 for edges and
// lines (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	dark, _, ok2 := strings.Cut(rest, "\n}")
	if !ok || !ok2 {
		t.Fatal("the stylesheet has no two themes")
	}
	for name, theme := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(theme, -1) {
			colours[m[1]] = m[2]
		}
		for pair, least := range map[string]float64{
			"text ground": 4.5, "text raised": 4.5, "muted ground": 4.5, "muted raised": 4.5, "link ground": 4.5, "link raised": 4.5, "text neutral-ground": 4.5, "ok ok-ground": 4.5,
			"warning warning-ground": 4.5, "error error-ground": 4.5, "error ground": 4.5, "ok ground": 4.5,
			"edge ground": 3, "edge free": 3, "ours ground": 3, "foreign ground": 3, "unexplained ground": 3, "limit ground": 3, "waiters ground": 3,
		} {
			front, back, _ := strings.Cut(pair, " ")
			if colours[front] == "" || colours[back] == "" {
				t.Fatalf("%s: no colours for %s", name, pair)
			}
			a, b := luminance(t, colours[front]), luminance(t, colours[back])
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
				t.Errorf("%s: %s has a contrast of %.2f, want %v", name, pair, ratio, least)
			}
		}
	}
}

func luminance(t *testing.T, colour string) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// What would start a waiting request, by the decision of now.
func TestStarters(t *testing.T) {
	t.Parallel()
	shape := capacity.Spec{MachineType: "m"}.Normal()
	full := []capacity.Finding{{Shape: shape, Short: 0, Taken: 3}, {Shape: shape, Short: 2, Taken: 5}}
	for _, c := range []struct {
		live statuspage.Live
		want string
	}{
		{statuspage.Live{Verdict: admission.Admit}, "It fits, and starts at the next pass."},
		{statuspage.Live{Verdict: admission.Admit, ScaleUp: true}, "It fits, and starts at the next pass; the autoscaler adds machines."},
		{statuspage.Live{Verdict: admission.Refuse, Reason: &reason.Problem{Fix: "Change it."}}, "It can never fit, and is refused at the next pass."},
		{statuspage.Live{Verdict: admission.Wait, Reason: &reason.Problem{Fix: "Ask for less."}, Fit: full}, "Ask for less."},
		{statuspage.Live{Verdict: admission.Wait, Reason: &reason.Problem{}, Fit: full}, "2 of the 5 replicas in use of m have to end."},
		{statuspage.Live{Verdict: admission.Wait}, ""},
	} {
		if got := starter(c.live); got != c.want {
			t.Errorf("%+v: %q, want %q", c.live, got, c.want)
		}
	}
}

// A redirection is passed on.
func TestRedirections(t *testing.T) {
	t.Parallel()
	h := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/pools", http.StatusMovedPermanently)
	}))
	r := httptest.NewRequest("GET", "/old", nil)
	r.Header.Set("Accept", "text/html")
	rr := httptest.NewRecorder()
	h.ServeHTTP(rr, r)
	if rr.Code != http.StatusMovedPermanently || rr.Header().Get("Location") != "/pools" || rr.Header().Get("Vary") != "Accept" {
		t.Errorf("%d %v", rr.Code, rr.Header())
	}
}

// An answer that cannot be decoded is a fault that the page says, and no empty page.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	h := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode([]int{1}) //nolint:errcheck // a recorder takes everything
	}))
	r := httptest.NewRequest("GET", "/queue", nil)
	r.Header.Set("Accept", "text/html")
	rr := httptest.NewRecorder()
	h.ServeHTTP(rr, r)
	if !strings.Contains(rr.Body.String(), "The answer cannot be decoded.") {
		t.Errorf("%d %s", rr.Code, rr.Body)
	}
}
