package html_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/statuspage"
	status "example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/statuspage/statuspagetest"
)

// program decodes what a program gets.
func program[T any](t *testing.T, h http.Handler, path string) (v T) {
	t.Helper()
	got := ask(h, "GET", path, "application/json")
	if got.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, got.Code, got.Body)
	}
	if err := json.Unmarshal(got.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// words is the text of an element, with single spaces.
func (n node) words() string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// within are the elements of a name in an element, in order.
func (n node) within(name string) (all []node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == name {
			all = append(all, node{d})
		}
	}
	return all
}

// moments are those in an element, as programs read them.
func (n node) moments() (all []string) {
	for _, m := range n.within("time") {
		all = append(all, m.attribute("datetime"))
	}
	return all
}

// element is the one with an id.
func element(t *testing.T, page, id string) node {
	t.Helper()
	for _, n := range elements(t, page) {
		if n.attribute("id") == id {
			return n
		}
	}
	t.Fatalf("no element has the id %s", id)
	return node{}
}

// A line is a row of a table, by the headings of its cells; "" is that of the row itself.
type line map[string]node

func lines(table node) (rows []line) {
	body := table.within("tbody")[0]
	for _, tr := range body.within("tr") {
		row := line{}
		for c := range tr.ChildNodes() {
			if c.Type == html.ElementNode {
				row[node{c}.attribute("data-label")] = node{c}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// stamp is a moment as pages write it for programs; none for no moment.
func stamp(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return []string{t.UTC().Format(time.RFC3339)}
}

// says fails unless a text contains others.
func says(t *testing.T, where, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if want = strings.Join(strings.Fields(want), " "); !strings.Contains(text, want) {
			t.Errorf("%s: %q does not say %q", where, text, want)
		}
	}
}

// The bars of the overview and of the page of pools have the numbers of the answer, as
// text.
func TestBarsHaveTheNumbers(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	pools := program[statuspage.Pools](t, h, "/pools")
	for _, path := range []string{"/", "/pools"} {
		page := ask(h, "GET", path, browser).Body.String()
		for _, r := range pools.Resources {
			card := element(t, page, "resource-"+strings.ReplaceAll(r.Name, "/", "-"))
			says(t, path, card.words(), r.State, r.Name[strings.LastIndex(r.Name, "/")+1:], fmt.Sprintf("%d job", r.Holds))
			bars := card.within("section")
			if len(bars) != len(r.Shapes) {
				t.Fatalf("%s: %d bars of %s, want %d", path, len(bars), r.Name, len(r.Shapes))
			}
			for i, s := range r.Shapes {
				got := legend(bars[i])
				want := map[string]int64{
					"ours": int64(s.Held), "foreign": int64(s.Foreign), "unexplained": int64(s.Unexplained), "paused": int64(s.Paused), "limit": int64(s.Limit),
					"free": got["free"], "scale-up room": int64(s.Free) - got["free"],
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s: %s: the bar says %v, the answer %v", path, s.Shape, got, want)
				}
				if s.Waiting > 0 {
					says(t, path, bars[i].words(), fmt.Sprintf("%d request", s.Waiting))
				}
			}
			for _, f := range r.Foreign {
				says(t, path, card.words(), f.Job[strings.LastIndex(f.Job, "/")+1:])
			}
			if len(r.Pools) != len(lines(card.within("table")[0])) {
				t.Errorf("%s: not all pools of %s", path, r.Name)
			}
			for i, row := range lines(card.within("table")[0]) {
				pool := r.Pools[i]
				says(t, path, row[""].words(), pool.ID)
				if row["Machine"].words() != pool.Shape.String() || row["Machines"].words() != fmt.Sprint(pool.Count) || row["In use"].words() != fmt.Sprint(pool.Used) {
					t.Errorf("%s: %v of %+v", path, row, pool)
				}
			}
		}
	}
}

// legend reads the numbers below a bar.
func legend(bar node) map[string]int64 {
	numbers := map[string]int64{}
	for _, li := range bar.within("li") {
		var n int64
		words := li.words()
		number := li.within("b")[0].words()
		if _, err := fmt.Sscan(number, &n); err != nil {
			return nil
		}
		numbers[strings.TrimSpace(strings.Replace(words, number, "", 1))] = n
	}
	return numbers
}

// The queue has every waiting request in order, with its place, reason, reservation and
// what would start it.
func TestQueueIsTheAnswer(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	queue := program[statuspage.Queue](t, h, "/queue")
	for _, path := range []string{"/", "/queue"} {
		rows := lines(element(t, ask(h, "GET", path, browser).Body.String(), "part-queue").within("table")[0])
		if len(rows) != len(queue.Waiting) || len(rows) < 12 {
			t.Fatalf("%s: %d rows, want %d", path, len(rows), len(queue.Waiting))
		}
		for i, w := range queue.Waiting {
			row := rows[i]
			where := path + " " + w.ID
			says(t, where, row["Place"].words(), fmt.Sprint(w.Position))
			if w.Priority != 0 {
				says(t, where, row["Place"].words(), fmt.Sprintf("priority %d", w.Priority))
			}
			says(t, where, row[""].words(), w.ID, w.DisplayName)
			says(t, where, row["Asks for"].words(), fmt.Sprintf("%d × %s", w.Ask[0].Replicas, w.Ask[0].Shape.Spec().MachineType))
			says(t, where, row["Why"].words(), string(w.Reason.Code), w.Reason.Detail, w.Reason.Fix, "To start:")
			if *w.Ahead > 0 {
				says(t, where, row["Why"].words(), fmt.Sprintf("%d before it", *w.Ahead))
			}
			if got := row["Waits"].moments(); !slices.Equal(got, stamp(w.Since)) {
				t.Errorf("%s waits since %v, want %v", where, got, w.Since)
			}
			if got := row["Reservation"].moments(); !slices.Equal(got, append(stamp(w.StartsBy), stamp(w.Until)...)) {
				t.Errorf("%s: reservation %v, want %v, and until %v", where, got, w.StartsBy, w.Until)
			}
		}
	}
}

// Who holds what, since when and until when: those that end first come first.
func TestHoldersAreTheAnswer(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	list := program[statuspage.Requests](t, h, "/requests?state=RESERVED,SUBMITTING,SUBMITTED,RUNNING,CANCELLING")
	rows := lines(element(t, ask(h, "GET", "/", browser).Body.String(), "part-holders").within("table")[0])
	if len(rows) != len(list.Requests) || len(rows) < 8 {
		t.Fatalf("%d rows, want %d", len(rows), len(list.Requests))
	}
	last := ""
	for _, row := range rows {
		i := slices.IndexFunc(list.Requests, func(s statuspage.Summary) bool { return strings.HasPrefix(row[""].words(), s.ID+" ") })
		if i < 0 {
			t.Fatalf("%s is not in the answer", row[""].words())
		}
		s := list.Requests[i]
		list.Requests = slices.Delete(list.Requests, i, i+1)
		says(t, s.ID, row["State"].words(), string(s.State))
		says(t, s.ID, row["Holds"].words(), fmt.Sprintf("%d × %s", s.Hold.Ask[0].Replicas, s.Hold.Ask[0].Shape.Spec().MachineType))
		says(t, s.ID, row["Job"].words(), s.Job[strings.LastIndex(s.Job, "/")+1:])
		if got := row["Since"].moments(); !slices.Equal(got, stamp(s.Times.Reserved)) {
			t.Errorf("%s holds since %v, want %v", s.ID, got, s.Times.Reserved)
		}
		got := row["Ends by"].moments()
		if !slices.Equal(got, stamp(s.Hold.LatestEnd)) || got[0] < last {
			t.Errorf("%s ends by %v, want %v, and after %s", s.ID, got, s.Hold.LatestEnd, last)
		}
		last = got[0]
	}
}

// The overview of a persistent resource, or of a tenant, has nothing of others, in any part.
func TestOverviewIsNarrowed(t *testing.T) {
	t.Parallel()
	w := busy(t)
	h, records := status.New(w.Handler()), w.Ledger.Records()
	for query, belongs := range map[string]func(resource, tenant string) bool{
		"?resource=batch":                          func(resource, _ string) bool { return resource == statuspagetest.Batch },
		"?tenant=" + statuspagetest.Research:       func(_, tenant string) bool { return tenant == statuspagetest.Research },
		"?resource=training&tenant=default":        func(resource, tenant string) bool { return resource == statuspagetest.Training && tenant == "default" },
		"?resource=batch&tenant=default&refresh=5": func(resource, tenant string) bool { return resource == statuspagetest.Batch && tenant == "default" },
	} {
		page := ask(h, "GET", "/"+query, browser)
		if page.Code != http.StatusOK {
			t.Fatalf("%s: %d", query, page.Code)
		}
		shown := 0
		for _, id := range []string{"part-holders", "part-queue", "part-outcomes"} {
			for _, table := range element(t, page.Body.String(), id).within("table") {
				for _, row := range lines(table) {
					name := row[""].within("a")[0].words()
					i := slices.IndexFunc(records, func(r *ledger.Record) bool { return r.ID == name })
					if rec := records[i]; !belongs(rec.Resource, rec.Tenant) {
						t.Errorf("%s: %s shows %s, a request of %s on %s", query, id, name, rec.Tenant, rec.Resource)
					}
					shown++
				}
			}
		}
		if shown == 0 {
			t.Errorf("%s: nothing is shown", query)
		}
		for _, n := range elements(t, page.Body.String()) {
			if strings.HasPrefix(n.attribute("id"), "history-") && n.Data == "article" && strings.Contains(query, "resource") && !strings.HasSuffix(n.attribute("id"), query[len("?resource="):strings.IndexByte(query+"&", '&')]) {
				t.Errorf("%s: %s", query, n.attribute("id"))
			}
		}
	}
}

// Lists of requests have those of the answer; of outcomes the failed ones come first.
func TestListsAreTheAnswers(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	for path, id := range map[string]string{
		"/requests": "part-requests", "/requests?state=SUCCEEDED,FAILED&limit=7": "part-requests", "/recent": "part-recent", "/recent?state=SUCCEEDED": "part-recent",
		"/recent?prefix=tts": "part-recent", "/recent?resource=" + url.QueryEscape(statuspagetest.Batch) + "&limit=3": "part-recent",
	} {
		list := program[statuspage.Requests](t, h, path)
		rows := lines(element(t, ask(h, "GET", path, browser).Body.String(), id).within("table")[0])
		failed := func(s statuspage.Summary) bool {
			return slices.Contains([]lifecycle.State{lifecycle.Failed, lifecycle.Expired, lifecycle.Rejected, "REFUSED"}, s.State)
		}
		want := list.Requests
		if id == "part-recent" {
			want = slices.DeleteFunc(slices.Clone(list.Requests), func(s statuspage.Summary) bool { return !failed(s) })
			want = append(want, slices.DeleteFunc(slices.Clone(list.Requests), failed)...)
		}
		if len(rows) != len(want) || len(rows) == 0 {
			t.Fatalf("%s: %d rows, want %d", path, len(rows), len(want))
		}
		for i, s := range want {
			says(t, path, rows[i][""].words(), s.ID, s.DisplayName)
			says(t, path, rows[i]["State"].words(), string(s.State))
			if s.Reason != nil {
				says(t, path+" "+s.ID, rows[i]["Why"].words(), string(s.Reason.Code), s.Reason.Path, s.Reason.Detail)
			}
			if id == "part-recent" && (!slices.Equal(rows[i]["Received"].moments(), stamp(s.Times.Received)) || !slices.Equal(rows[i]["Ended"].moments(), stamp(s.Times.Ended))) {
				t.Errorf("%s: %s was received %v and ended %v, want %+v", path, s.ID, rows[i]["Received"].moments(), rows[i]["Ended"].moments(), s.Times)
			}
		}
	}
	page := ask(h, "GET", "/", browser).Body.String()
	outcomes := element(t, page, "part-outcomes").within("table")
	for i, path := range []string{"/recent?state=FAILED,EXPIRED,REJECTED,REFUSED&limit=10", "/recent?state=SUCCEEDED,CANCELLED&limit=10"} {
		for j, s := range program[statuspage.Requests](t, h, path).Requests {
			says(t, path, lines(outcomes[i])[j][""].words(), s.ID)
		}
	}
}

// A request's page has its events in order, its reason, and where it differs from each pool.
func TestRequestIsTheAnswer(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	recent := program[statuspage.Requests](t, h, "/recent?limit=200").Requests
	seen := map[string]bool{}
	for _, s := range recent {
		if seen[string(s.State)] && s.ID != statuspagetest.RunningID {
			continue
		}
		seen[string(s.State)] = true
		path := "/requests/" + url.PathEscape(s.ID) + "?kind=" + string(s.Kind) + "&tenant=" + s.Tenant
		r := program[statuspage.Request](t, h, path)
		page := ask(h, "GET", path, browser).Body.String()
		says(t, s.ID, element(t, page, "part-head").words(), s.ID, string(s.State))
		if r.Reason != nil {
			says(t, s.ID, element(t, page, "part-head").words(), string(r.Reason.Code), r.Reason.Detail, r.Reason.Fix)
		}
		events := element(t, page, "part-events").within("li")
		if len(events) != len(r.Events) || len(events) == 0 {
			t.Fatalf("%s: %d events, want %d", s.ID, len(events), len(r.Events))
		}
		for i, e := range r.Events {
			says(t, s.ID, events[i].words(), strings.Split(string(e.Type), ".")[2])
			if e.Outcome.Reason != nil {
				says(t, s.ID, events[i].words(), string(e.Outcome.Reason.Code), e.Outcome.Reason.Detail)
			}
			if got := events[i].moments(); !slices.Equal(got, stamp(e.Time)) {
				t.Errorf("%s: event %d of %v, want %v", s.ID, i, got, e.Time)
			}
		}
		all := strings.Join(node{root(t, page)}.moments(), " ")
		for _, want := range []time.Time{r.Times.Published, r.Times.Received, r.Times.Queued, r.Times.Reserved, r.Times.Submitted, r.StartsBy, r.TimerAt} {
			if r.State != lifecycle.Waiting && (want.Equal(r.TimerAt) || want.Equal(r.StartsBy)) {
				continue
			}
			says(t, s.ID, all, stamp(want)...)
		}
		waited := slices.ContainsFunc(node{root(t, page)}.within("dt"), func(n node) bool { return n.words() == "Waited" })
		if want := !r.Terminal || !r.Times.Reserved.IsZero() || !r.Times.Ended.IsZero(); waited != want {
			t.Errorf("%s, which is %s, says how long it waited: %t", s.ID, s.State, waited)
		}
		for _, f := range r.Fit {
			says(t, s.ID, element(t, page, "part-fit").words(), f.Shape.String(), string(f.Verdict), fmt.Sprintf("limit %d", f.Limit), fmt.Sprintf("taken %d", f.Taken), fmt.Sprintf("have to end first %d", f.Short))
			for _, pool := range f.Nearest {
				for _, d := range pool.Fields {
					says(t, s.ID, element(t, page, "part-fit").words(), pool.Pool, d.Field, d.Asked, d.Pool)
				}
			}
			for _, e := range f.Edits {
				says(t, s.ID, element(t, page, "part-fit").words(), e.String())
			}
		}
		commands := []string{}
		for _, c := range (node{root(t, page)}).within("code") {
			if c.attribute("class") == "copy" {
				commands = append(commands, c.words())
			}
		}
		says(t, s.ID, strings.Join(commands, "\n"), "berth show", s.ID, "berth explain JOB_FILE")
		if r.Job != "" {
			number := r.Job[strings.LastIndex(r.Job, "/")+1:]
			says(t, s.ID, strings.Join(commands, "\n"), `gcloud logging read 'resource.type="ml_job" AND resource.labels.job_id="`+number+`"' --project=ml-platform`)
			says(t, s.ID, page, `href="https://console.cloud.google.com/ai/platform/locations/`)
		}
		if live := !r.Terminal; live != strings.Contains(strings.Join(commands, "\n"), "berth cancel") {
			t.Errorf("%s is live: %v; commands %v", s.ID, live, commands)
		}
	}
	for _, state := range []string{"WAITING", "RUNNING", "SUCCEEDED", "FAILED", "REJECTED", "REFUSED", "CANCELLED", "DONE"} {
		if !seen[state] {
			t.Errorf("no request in %s", state)
		}
	}
}

func root(t *testing.T, page string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The history has the sums of the answer, and a table that adds up to them.
func TestHistoryIsTheAnswer(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	u := program[statuspage.Usages](t, h, "/usage?buckets=true")
	for _, path := range []string{"/", "/usage"} {
		page := ask(h, "GET", path, browser).Body.String()
		for _, r := range u.Resources {
			card := element(t, page, "history-"+strings.ReplaceAll(r.Name, "/", "-"))
			charts := card.within("section")
			if len(charts) != len(r.Shapes) || len(charts) == 0 {
				t.Fatalf("%s: %d charts of %s, want %d", path, len(charts), r.Name, len(r.Shapes))
			}
			for i, s := range r.Shapes {
				words := charts[i].words()
				says(t, path, words, fmt.Sprintf("replica-hours %s", digit(s.Hours)), fmt.Sprintf("ours %s", digit(s.Used)), fmt.Sprintf("idle %s", digit(s.Idle)),
					fmt.Sprintf("idle while requests waited %s", digit(s.IdleWaiting)), fmt.Sprintf("waiting at most %d", s.MaxWaiting), fmt.Sprintf("in use %s %%", digit(*s.Utilisation*100)))
				rows := charts[i].within("tbody")[0].within("tr")
				if len(rows) < 24 || len(rows) > 26 {
					t.Errorf("%s: %s has %d hours", path, s.Shape, len(rows))
				}
				used, most := 0.0, 0
				for _, row := range rows {
					cells := row.within("td")
					var ours float64
					var waiting int
					fmt.Sscan(cells[0].words(), &ours)    //nolint:errcheck // 0 is then wrong
					fmt.Sscan(cells[6].words(), &waiting) //nolint:errcheck // the same
					observed, err := time.ParseDuration(strings.NewReplacer(" min", "m", " h", "h", " s", "s", " ", "").Replace(cells[7].words()))
					if err != nil {
						t.Fatal(err)
					}
					used, most = used+ours*observed.Hours(), max(most, waiting)
				}
				if used < s.Used-0.7 || used > s.Used+0.7 || int64(most) != s.MaxWaiting { // each hour is rounded to a digit
					t.Errorf("%s: %s: the hours sum up to %.1f replica-hours of %.1f, at most %d waiting of %d", path, s.Shape, used, s.Used, most, s.MaxWaiting)
				}
				drawing := charts[i].within("svg")[0]
				says(t, path, drawing.attribute("aria-label"), fmt.Sprintf("At most %d waiting", s.MaxWaiting))
				if drawing.attribute("role") != "img" || len(drawing.within("path")) < 3 {
					t.Errorf("%s: %s is not drawn", path, s.Shape)
				}
			}
		}
	}
}

// digit is a number as pages write it.
func digit(v float64) string {
	if v < 1 {
		return strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(fmt.Sprintf("%.2f", v), "0"), "0"), ".")
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

// The parts of a list lead from one to the next, and have each request once.
func TestParts(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	var got, want []string
	for _, w := range program[statuspage.Queue](t, h, "/queue?limit=200").Waiting {
		want = append(want, w.ID)
	}
	at, _ := url.Parse("https://host/queue?limit=5&refresh=15")
	for parts := 1; ; parts++ {
		page := ask(h, "GET", at.RequestURI(), browser).Body.String()
		for _, row := range lines(element(t, page, "part-queue").within("table")[0]) {
			got = append(got, row[""].within("a")[0].words())
		}
		links := map[string]string{}
		for _, n := range element(t, page, "part-queue").within("nav")[0].within("a") {
			links[n.words()] = n.attribute("href")
		}
		if _, first := links["First page"]; first != (parts > 1) {
			t.Errorf("part %d: links %v", parts, links)
		}
		next := links["Next page"]
		if next == "" || parts > 9 {
			break
		}
		var err error
		if at, err = at.Parse(next); err != nil || at.Query().Get("limit") != "5" || at.Query().Get("refresh") != "15" {
			t.Fatalf("%s: %v", next, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the parts have %v, want %v", got, want)
	}
}
