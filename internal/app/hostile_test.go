package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sethvargo/go-envconfig"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

var update = flag.Bool("update", false, "write what is found into testdata/hostile as what is wanted")

const (
	hostileFolder = "../../testdata/hostile"
	fewestHostile = 200
	victim        = "victim" // the id of a request that runs already
	canary        = "canary" // must not come up in a log
	publishedType = "google.cloud.pubsub.topic.v1.messagePublished"
	onePool       = `{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "gcr.io/p/canary"}}`
	goodRequest   = `{"requestId": "victim", "job": [` + onePool + `]}`
)

// A hostile is one message of the corpus; testdata/hostile/README.md says more.
type hostile struct {
	class, name string
	message     message.Delivery // data and attributes
	body        []byte           // the whole HTTP body in their place
	header      http.Header
	build       func(*hostile) // makes what is too large to keep, before it is sent
	want        string
	file        string // where want stands; empty for one made by the test
}

// corpus reads the archives.
func corpus(t testing.TB) []hostile {
	t.Helper()
	files, err := filepath.Glob(hostileFolder + "/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus in %s: %v", hostileFolder, err)
	}
	var all []hostile
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			name, part, _ := strings.Cut(f.Name, "/")
			class := strings.TrimSuffix(filepath.Base(file), ".txtar")
			if n := len(all); n == 0 || all[n-1].class != class || all[n-1].name != name {
				all = append(all, hostile{class: class, name: name, file: file})
			}
			all[len(all)-1].read(t, part, string(f.Data))
		}
	}
	return all
}

func (h *hostile) read(t testing.TB, part, text string) {
	t.Helper()
	fill := strings.NewReplacer("@POOL@", onePool, "@TYPE@", publishedType,
		"@GOOD@", base64.StdEncoding.EncodeToString([]byte(goodRequest)),
		"@KEY@", string(message.KeyOf(sim.Tenant, message.KindRequest, victim))).Replace
	var literals []string
	if strings.HasSuffix(part, ".quoted") {
		for line := range strings.Lines(text) {
			for _, literal := range unquote(t, h, line) {
				literals = append(literals, fill(literal))
			}
		}
	}
	text = fill(text)
	switch part {
	case "data.json", "data.yaml":
		h.message.Data = []byte(text)
	case "data.quoted":
		h.message.Data = []byte(strings.Join(literals, ""))
	case "body.json":
		h.body = []byte(text)
	case "body.quoted":
		h.body = []byte(strings.Join(literals, ""))
	case "attributes":
		h.message.Attributes = map[string]string{}
		for line := range strings.Lines(text) {
			key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			if !ok {
				t.Fatalf("%s/%s: attribute %q", h.class, h.name, line)
			}
			h.message.Attributes[key] = strings.TrimPrefix(value, " ")
		}
	case "attributes.quoted":
		h.message.Attributes = map[string]string{}
		for pair := range slices.Chunk(literals, 2) {
			h.message.Attributes[pair[0]] = pair[1]
		}
	case "header":
		h.header = http.Header{}
		for line := range strings.Lines(text) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			h.header.Set(key, value)
		}
	case "want":
		h.want = text
	default:
		t.Fatalf("%s/%s: what is %s?", h.class, h.name, part)
	}
}

// unquote reads the Go string literals of a line.
func unquote(t testing.TB, h *hostile, line string) (all []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		literal, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%s/%s: %q is no literal: %v", h.class, h.name, line, err)
		}
		s, err := strconv.Unquote(literal)
		if err != nil {
			t.Fatal(err)
		}
		all, line = append(all, s), line[len(literal):]
	}
	return all
}

// A den is a world in which the victim runs, with its entry points, and
// everything that was written to a log.
type den struct {
	*sim.World
	app *App
	log *bytes.Buffer
}

// newDen keeps all logs at the most detailed level.
func newDen(t sim.TB) *den {
	t.Helper()
	w := &den{World: sim.New(t), log: &bytes.Buffer{}}
	cfg, err := LoadConfig(context.Background(), envconfig.MapLookuper(map[string]string{
		"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_DEFAULT_RESOURCE": "pool",
	}))
	if err != nil {
		t.Fatalf("%v", err)
	}
	log := newLogger(w.log, slog.LevelDebug)
	var runs atomic.Int64
	w.Controller = controller.New(w.Config, w.Ledger, w.Vertex, w.Out, log, controller.Env{
		Monotonic: func() time.Time { return w.Now },
		Sleep: func(_ context.Context, d time.Duration) error {
			w.Now = w.Now.Add(d)
			return nil
		},
		NewRun: func() string { return fmt.Sprintf("run%d", runs.Add(1)) },
	})
	w.app = assemble(cfg, log, w.Controller, w.Ledger)
	w.app.now = func() time.Time { return w.Now }
	w.Ask(sim.Job{ID: victim, CPU: 1})
	w.Vertex.SetJob(w.JobOf(victim), vertex.JobRunning)
	w.After(time.Minute)
	w.Expect(victim, lifecycle.Running, "reserved", "submitted", "started")
	return w
}

// post sends a body to the Admit function.
func (w *den) post(body []byte, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{"Content-Type": {"application/json"}}
	}
	answer := httptest.NewRecorder()
	w.app.admit(answer, r)
	return answer
}

// requests are the stored requests and resources: all but the answers.
func (w *den) requests() ledger.Dump {
	return slices.DeleteFunc(w.Ledger.Dump(), func(doc ledger.Document) bool {
		r, is := doc.(*ledger.Record)
		return is && r.Kind == message.KindAnswer
	})
}

// answers is how many documents there are that answer messages.
func (w *den) answers() int { return len(w.Ledger.Records()) - len(w.requests().Records()) }

// silent checks that no text of the sender is in a log, except names of
// persistent resources, which are checked addresses.
func (w *den) silent(words ...string) {
	w.Helper()
	for line := range strings.Lines(w.log.String()) {
		line = strings.ReplaceAll(line, "/persistentResources/"+canary, "")
		for _, word := range words {
			if strings.Contains(strings.ToLower(line), word) {
				w.Errorf("the log says %s: %s", word, line)
			}
		}
	}
}

// A form is a format in which Pub/Sub messages reach the entry point.
type form struct {
	name   string
	header http.Header
	wrap   string // around the push envelope
}

var forms = []form{
	{"push", nil, "%s"},
	{"binary", http.Header{"Content-Type": {"application/json"}, "Ce-Id": {"1"}, "Ce-Specversion": {"1.0"}, "Ce-Type": {publishedType}}, "%s"},
	{"structured", http.Header{"Content-Type": {"application/cloudevents+json"}}, `{"specversion":"1.0","id":"1","source":"s","type":"` + publishedType + `","data":%s}`},
}

// delivery is the body that carries the message in that form.
func (f form) delivery(t testing.TB, h hostile, published time.Time) []byte {
	t.Helper()
	d := h.message
	d.ID, d.Subscription, d.PublishTime = "by-"+f.name, "projects/test-project/subscriptions/sub", published
	return fmt.Appendf(nil, f.wrap, d.Push())
}

// lastAnswer formats an answer as the corpus does.
func lastAnswer(status int, events []message.Outcome) string {
	if status != http.StatusOK {
		return fmt.Sprintf("HTTP %d\n", status)
	}
	if len(events) == 0 {
		return "nothing\n"
	}
	var b strings.Builder
	last := events[len(events)-1]
	b.WriteString(last.Type.Word() + "\n")
	if last.ClaimedRequestID != "" {
		fmt.Fprintf(&b, "claims %s\n", last.ClaimedRequestID)
	}
	problems := last.Problems
	if len(problems) == 0 && last.Reason != nil {
		problems = []reason.Problem{*last.Reason}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %s\n", p.Code, p.Path)
	}
	return b.String()
}

// largeData is a size from which a message is sent in one form only.
const largeData = 100 << 10

func (h hostile) isLarge() bool {
	size := len(h.message.Data)
	for key, value := range h.message.Attributes {
		size += len(key) + len(value)
	}
	return size > largeData
}

// TestHostile sends every message of the corpus, twice and in every form, while
// a request of the id that they claim runs.
func TestHostile(t *testing.T) {
	printed := captureOutput(t)
	all := append(corpus(t), made()...)
	found := map[string]string{}
	classes := map[string]int{}
	slowest, slow := time.Duration(0), ""
	for _, h := range all {
		t.Run(h.class+"/"+h.name, func(t *testing.T) {
			began := time.Now()
			got := h.run(t)
			if d := time.Since(began); d > slowest {
				slowest, slow = d, h.class+"/"+h.name
			}
			found[h.file+":"+h.name+"/want"] = got
			if *update && h.file != "" {
				return
			}
			if diff := cmp.Diff(h.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
		if !strings.HasPrefix(h.want, "submitted\n") {
			classes[h.class]++
		}
	}
	if *update {
		writeWants(t, found)
	}
	if out := printed(); strings.Contains(out, canary) || strings.Contains(out, victim) {
		t.Errorf("written to the standard streams: %s", out)
	}
	total := 0
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		t.Logf("%-15s %4d", class, classes[class])
		total += classes[class]
	}
	t.Logf("%-15s %4d; the slowest took %s for all its deliveries: %s", "hostile", total, slowest.Round(time.Millisecond), slow)
	if total < fewestHostile {
		t.Errorf("%d hostile messages, want %d at least", total, fewestHostile)
	}
}

// run sends one message and says what came of it.
func (h hostile) run(t *testing.T) (got string) {
	w := newDen(t)
	var created []*aiplatformpb.CustomJob
	w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		created = append(created, proto.CloneOf(job))
		return nil
	}
	if h.build != nil {
		h.build(&h)
	}
	before, answersBefore, eventsBefore := w.requests(), w.answers(), len(w.Out.All())
	w.log.Reset()
	ways := forms
	if h.body != nil {
		ways = []form{{name: "body", header: h.header}}
	} else if h.isLarge() {
		ways = forms[:1]
	}
	owned := false // the message makes a request of its own
	ended := false // and that is refused at once: a repeat is answered with that
	answered := 0
	for i, f := range ways {
		body := h.body
		if body == nil {
			body = f.delivery(t, h, w.Now)
		}
		answer := w.post(body, f.header)
		events := w.Out.All()[eventsBefore:]
		eventsBefore += len(events)
		if i == 0 {
			got = lastAnswer(answer.Code, events)
			owned = answer.Code == http.StatusOK && len(events) > 0 && events[0].Type != message.Refused
			ended = owned && events[len(events)-1].Type.Terminal()
		} else if again := lastAnswer(answer.Code, events); ended {
			if len(events) != 1 || events[0].Type != message.Duplicate || events[0].State != string(lifecycle.Rejected) {
				t.Errorf("as %s: %s, want the answer that the request has ended", f.name, again)
			}
		} else if again := lastAnswer(answer.Code, events); owned && again != "nothing\n" || !owned && again != got {
			t.Errorf("as %s: %s, by push: %s", f.name, again, got)
		}
		switch answer.Code {
		case http.StatusOK:
			answered++
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge: // no delivery at all
		default:
			t.Errorf("answered %d: it would come again", answer.Code)
		}
		for _, e := range events {
			if _, _, err := e.PubSub(message.Source{Project: "p", Deployment: "d"}); err != nil {
				t.Errorf("the answer cannot be sent: %v", err)
			}
			if !owned && (e.Type != message.Refused || e.RequestID != "" || e.State != "" || e.Reason == nil || len(events) != 1) {
				t.Errorf("not one answer without a request: %+v", events)
			}
		}
		if answer.Code == http.StatusOK && answer.Body.Len() > 0 || answer.Body.Len() > 4096 {
			t.Errorf("the body of the answer: %s", answer.Body)
		}
		if code := w.post(body, f.header).Code; code != answer.Code {
			t.Errorf("first %d, then %d", answer.Code, code)
		}
		if more := w.Out.All()[eventsBefore:]; len(more) > 0 {
			t.Errorf("a second delivery is answered: %v", more)
		}
	}
	w.silent(canary, victim)
	if owned {
		h.checkOwned(w, before, created)
		return got
	}
	if diff := cmp.Diff(before, w.requests(), cmpopts.IgnoreUnexported(ledger.Resource{})); diff != "" {
		t.Errorf("requests or resources changed (-before +after)\n%s", diff)
	}
	if n := w.answers() - answersBefore; n != answered || len(created) > 0 {
		t.Errorf("%d answers are stored and %d jobs created, want %d and none", n, len(created), answered)
	}
	return got
}

// checkOwned is about messages that make a request: exactly one, not the
// victim's, and its job is the one that was sent.
func (h hostile) checkOwned(w *den, before ledger.Dump, created []*aiplatformpb.CustomJob) {
	w.Helper()
	old := map[message.Key]*ledger.Record{}
	for _, r := range before.Records() {
		old[r.Key] = r
	}
	var fresh []*ledger.Record
	for _, r := range w.requests().Records() {
		if old[r.Key] == nil {
			fresh = append(fresh, r)
		} else if diff := cmp.Diff(old[r.Key], r); diff != "" {
			w.Errorf("the other request changed (-before +after)\n%s", diff)
		}
	}
	if len(fresh) != 1 {
		w.Fatalf("%d requests are new, want one", len(fresh))
	}
	if fresh[0].State != lifecycle.Submitted {
		if fresh[0].State != lifecycle.Rejected || len(created) > 0 {
			w.Errorf("it is %s with %d jobs", fresh[0].State, len(created))
		}
		return
	}
	m, err := message.Decode(h.message)
	if err != nil || len(created) != 1 {
		w.Fatalf("%d jobs created, error %v", len(created), err)
	}
	sent := m.Request.Job
	if n := len(created[0].Labels) - len(sent.Labels); n != message.OwnLabels {
		w.Errorf("the job gets %d labels of Berth's, and room is kept for %d", n, message.OwnLabels)
	}
	for _, own := range []string{vertex.LabelRun, vertex.LabelRequest, vertex.LabelDeployment} {
		if created[0].Labels[own] == "" {
			w.Errorf("the job lacks the label %s", own)
		}
		delete(created[0].Labels, own)
	}
	created[0].JobSpec.PersistentResourceId = ""
	if sent.DisplayName == "" {
		sent.DisplayName = fresh[0].ID
	}
	if len(created[0].Labels) == 0 {
		created[0].Labels = nil
	}
	for _, pool := range sent.JobSpec.WorkerPoolSpecs { // the deployment's default disk is written out
		if pool.MachineSpec == nil {
			continue
		}
		if pool.DiskSpec == nil {
			pool.DiskSpec = &aiplatformpb.DiskSpec{}
		}
		if pool.DiskSpec.BootDiskType == "" {
			pool.DiskSpec.BootDiskType = "pd-ssd"
		}
		if pool.DiskSpec.BootDiskSizeGb == 0 {
			pool.DiskSpec.BootDiskSizeGb = 100
		}
	}
	if !proto.Equal(sent, created[0]) {
		w.Errorf("sent\n%s\ncreated\n%s", sent, created[0])
	}
	w.CheckHolds()
}

func writeWants(t *testing.T, found map[string]string) {
	t.Helper()
	files, _ := filepath.Glob(hostileFolder + "/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range archive.Files {
			if got, ok := found[file+":"+f.Name]; ok {
				archive.Files[i].Data = []byte(got)
			}
		}
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// captureOutput takes what is printed until the returned function is called.
func captureOutput(t *testing.T) func() string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	restore := func() { os.Stdout, os.Stderr = stdout, stderr }
	t.Cleanup(func() {
		restore()
		_ = file.Close()
	})
	return func() string {
		restore()
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// made lists the messages that are too large to be read in a file.
func made() []hostile {
	var all []hostile
	add := func(class, name, want string, build func(*hostile)) {
		all = append(all, hostile{class: class, name: name, want: want, build: build})
	}
	data := func(class, name, want string, text func() string) {
		add(class, name, "refused\n"+want+"\n", func(h *hostile) { h.message.Data = []byte(text()) })
	}
	attributes := func(name, want string, of func() map[string]string) {
		add("size", name, want+"\n", func(h *hostile) { h.message.Data, h.message.Attributes = []byte(goodRequest), of() })
	}
	body := func(name, want string, text func() string) {
		add("size", name, want+"\n", func(h *hostile) { h.body = []byte(text()) })
	}
	// full is a text of a size: first, as many units as it takes, last.
	full := func(size int, first, unit, last string) func() string {
		return func() string { return first + strings.Repeat(unit, (size-len(first)-len(last))/len(unit)) + last }
	}
	const kib, most = 1 << 10, message.MaxData
	long := strings.Repeat("c", 200*kib)
	option := func(key, value string) func() string {
		return func() string {
			return `{"requestId": "victim", "` + key + `": "` + value + `", "job": [` + onePool + `]}`
		}
	}
	pool := func(text string) func() string {
		return func() string { return `{"requestId": "victim", "job": [{` + text + `}]}` }
	}
	container := func(text string) func() string {
		return pool(`"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "i", ` + text + `}`)
	}
	list := func(n int, item string) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	numbered := func(n int, format, between string) string {
		var items []string
		for i := range n {
			items = append(items, fmt.Sprintf(format, i))
		}
		return strings.Join(items, between)
	}
	spec := func(text string) func() string {
		return func() string {
			return `{"requestId": "victim", "job": {` + text + `, "workerPoolSpecs": [` + onePool + `]}}`
		}
	}
	const claims = "claims victim\n"

	data("size", "one-byte-over", "TOO_LARGE ", full(most+1, goodRequest, " ", ""))
	data("size", "one-byte-over-yaml", "TOO_LARGE ", full(most+1, "requestId: victim\n", "#", ""))
	data("size", "megabyte-of-nothing", "TOO_LARGE ", full(1<<20, "", "\x00", ""))
	data("size", "ten-megabytes-of-job", "TOO_LARGE ", full(10_000_000, goodRequest[:len(goodRequest)-1], " ", "}"))
	data("size", "spaces", "MISSING_FIELD ", full(most, "", " ", ""))
	data("size", "lines", "MISSING_FIELD ", full(most, "", "\n", ""))
	data("size", "nul", "MALFORMED ", full(most, "", "\x00", ""))
	data("size", "id", "claims "+strings.Repeat("c", 128)+"...\nINVALID_VALUE requestId", func() string { return `{"requestId": "` + long + `", "job": [` + onePool + `]}` })
	data("size", "name", claims+"INVALID_VALUE displayName", option("displayName", long))
	data("size", "resource", claims+"INVALID_VALUE persistentResource", option("persistentResource", long))
	data("size", "project", claims+"INVALID_VALUE persistentResource", option("persistentResource", "projects/"+long+"/locations/l/persistentResources/x"))
	data("size", "wait", claims+"INVALID_VALUE maxWait", option("maxWait", strings.Repeat("1", 200*kib)+"s"))
	data("size", "word", claims+"INVALID_VALUE onFull", option("onFull", long))
	data("size", "key", claims+`UNKNOWN_FIELD ["`+strings.Repeat("c", 57)+`..."]`, option(long, ""))
	data("size", "label-key", claims+`INVALID_VALUE labels["`+strings.Repeat("c", 57)+`..."]`, option(`labels": {"`+long+`": "x"}, "priority": 0, "display_name`, "x"))
	data("size", "label-value", claims+"INVALID_VALUE labels.a", option(`labels": {"a": "`+long+`"}, "display_name`, "x"))
	data("size", "machine-type", claims+"INVALID_VALUE job[0].machineSpec.machineType", pool(`"machineSpec": {"machineType": "`+long+`"}, "replicaCount": 1, "containerSpec": {"imageUri": "i"}`))
	data("size", "accelerator", claims+"INVALID_VALUE job[0].machineSpec.acceleratorType", pool(`"machineSpec": {"machineType": "m", "acceleratorType": "`+long+`", "acceleratorCount": 1}, "replicaCount": 1, "containerSpec": {"imageUri": "i"}`))
	data("size", "number", claims+"INVALID_VALUE job[0].replicaCount", pool(`"machineSpec": {"machineType": "m"}, "replicaCount": `+strings.Repeat("9", 200*kib)+`, "containerSpec": {"imageUri": "i"}`))
	data("size", "number-of-zeros", claims+"INVALID_VALUE job[0].replicaCount", pool(`"machineSpec": {"machineType": "m"}, "replicaCount": 1.`+strings.Repeat("0", 200*kib)+`, "containerSpec": {"imageUri": "i"}`))
	data("size", "path-of-long-keys", claims+"UNKNOWN_FIELD job.jobSpec[\""+strings.Repeat("c", 57)+`..."]`, func() string {
		return `{"requestId": "victim", "job": {"jobSpec": {"` + strings.Repeat(strings.Repeat("c", 9000)+`": {"`, 20) + `x": 1` + strings.Repeat("}", 20) + `, "workerPoolSpecs": [` + onePool + `]}}}`
	})
	data("size", "cancel-reason", claims+"INVALID_VALUE cancel.reason", func() string { return `{"cancel": {"requestId": "victim", "reason": "` + long + `"}}` })
	data("size", "escapes", claims+"INVALID_VALUE displayName", option("displayName", strings.Repeat(`\u0041`, 30*kib)))
	data("size", "pairs-of-surrogates", claims+"INVALID_VALUE displayName", option("displayName", strings.Repeat(`\ud83d\ude00`, 15*kib)))
	attributes("100-attributes", "refused\n"+claims+"ID_REUSED requestId", func() map[string]string { return many(100, "x") })
	attributes("101-attributes", "refused\nTOO_LARGE attributes", func() map[string]string { return many(101, "x") })
	attributes("9000-attributes", "refused\nTOO_LARGE attributes", func() map[string]string { return many(9000, "x") })
	attributes("other-attribute-of-a-megabyte", "refused\n"+claims+"ID_REUSED requestId", func() map[string]string {
		return map[string]string{"a": strings.Repeat("c", 1<<20)}
	})
	attributes("attribute-over-the-limit", "refused\n"+claims+"TOO_LARGE attributes.berth-display-name", func() map[string]string {
		return map[string]string{"berth-display-name": strings.Repeat("c", 1025)}
	})
	attributes("id-of-a-megabyte", "refused\n"+claims+"TOO_LARGE attributes.berth-request-id", func() map[string]string {
		return map[string]string{"berth-request-id": strings.Repeat("c", 1<<20)}
	})
	attributes("attribute-name-of-a-megabyte", "refused\n"+claims+`UNKNOWN_FIELD attributes["berth-`+strings.Repeat("c", 51)+`..."]`, func() map[string]string {
		return map[string]string{"berth-" + strings.Repeat("c", 1<<20): "x"}
	})
	body("fourteen-mebibytes", "refused\nTOO_LARGE ", full(14<<20, `{"message":{"messageId":"m-1","data":"`, "AAAA", `"}}`))
	body("fourteen-mebibytes-of-no-base64", "refused\nINVALID_VALUE message.data", full(14<<20, `{"message":{"messageId":"m-1","data":"`, "!", `"}}`))
	body("two-mebibytes-of-escapes", "refused\nINVALID_VALUE message.data", full(2<<20, `{"message":{"messageId":"m-1","data":"`, `\u0021`, `"}}`))
	body("fourteen-mebibytes-of-values", "HTTP 400", full(14<<20, `{"message":{"messageId":"m-1","x":[`, "1,", `1]}}`))
	body("fourteen-mebibytes-of-brackets", "HTTP 400", full(14<<20, "", "[", ""))
	body("two-mebibytes-of-one-key", "HTTP 400", full(2<<20, `{"message":{"messageId":"m-1"`, `,"a":1`, `}}`))
	body("two-mebibytes-of-spaces", "refused\nMISSING_FIELD ", full(2<<20, `{"message":{"messageId":"m-1"}`, " ", "}"))
	body("more-than-pubsub-sends", "HTTP 413", full(message.MaxBody+1, "", " ", ""))
	body("message-id-of-a-megabyte", "HTTP 400", full(1<<20, `{"message":{"messageId":"`, "1", `"}}`))
	body("subscription-of-a-megabyte", "refused\nINVALID_VALUE subscription", full(1<<20, `{"message":{"messageId":"m-1"},"subscription":"`, "s", `"}`))
	body("ordering-key-of-a-megabyte", "refused\nMISSING_FIELD ", full(1<<20, `{"message":{"messageId":"m-1","orderingKey":"`, "k", `"}}`))

	data("counts", "pools", claims+"TOO_LARGE job", func() string { return `{"requestId": "victim", "job": ` + list(1000, onePool) + "}" })
	data("counts", "empty-pools", claims+"TOO_LARGE job", func() string { return `{"requestId": "victim", "job": ` + list(19_000, "{}") + "}" })
	data("counts", "variables", claims+"TOO_LARGE job[0].containerSpec.env", container(`"env": `+list(101, `{"name": "A", "value": "canary"}`)))
	data("counts", "variables-thousands", claims+"TOO_LARGE job[0].containerSpec.env", container(`"env": `+list(6000, `{"name": "A", "value": "canary"}`)))
	data("counts", "arguments", "TOO_LARGE ", container(`"args": `+list(20_000, `"canary"`)))
	data("counts", "arguments-of-nothing", claims+"ID_REUSED requestId", container(`"args": `+list(19_000, `""`)))
	data("counts", "null-arguments", claims+strings.TrimSuffix(numbered(20, "INVALID_VALUE job[0].containerSpec.args[%d]", "\n"), "\n"), container(`"args": `+list(1000, "null")))
	data("counts", "packages", claims+"TOO_LARGE job[0].pythonPackageSpec.packageUris", pool(`"machineSpec": {"machineType": "m"}, "replicaCount": 1, "pythonPackageSpec": {"executorImageUri": "i", "pythonModule": "m", "packageUris": `+list(101, `"gs://canary"`)+"}"))
	data("counts", "labels", claims+"TOO_LARGE labels", option(`labels": {`+numbered(62, `"k%d": "v"`, ", ")+`}, "display_name`, "x"))
	data("counts", "labels-65", claims+"TOO_LARGE labels", option(`labels": {`+numbered(65, `"k%d": "v"`, ", ")+`}, "display_name`, "x"))
	data("counts", "labels-thousands", claims+"TOO_LARGE labels", option(`labels": {`+numbered(9000, `"k%d": "v"`, ", ")+`}, "display_name`, "x"))
	data("counts", "labels-of-job-and-option", claims+"TOO_LARGE job.labels", func() string {
		return `{"requestId": "victim", "labels": {` + numbered(31, `"a%d": "v"`, ", ") + `}, "job": {"labels": {` + numbered(31, `"b%d": "v"`, ", ") + `}, "jobSpec": {"workerPoolSpecs": [` + onePool + `]}}}`
	})
	data("counts", "keys", claims+numbered(20, "UNKNOWN_FIELD k%d", "\n"), option(numbered(9000, `k%d": 1, "`, "")+"display_name", "x"))
	data("counts", "keys-of-a-job", claims+numbered(20, "UNKNOWN_FIELD job.k%d", "\n"), spec(numbered(9000, `"k%d": 1`, ", ")))
	data("counts", "one-key", "DUPLICATE_FIELD displayName"+strings.Repeat("\nDUPLICATE_FIELD displayName", 19), option(strings.Repeat(`displayName": "canary", "`, 9000)+"displayName", "x"))
	data("counts", "values", "TOO_LARGE ", full(most, `{"requestId": "victim", "x": [`, "1,", "1]}"))
	data("counts", "values-yaml", "TOO_LARGE ", full(most, "x: [", "1,", "1]"))
	data("counts", "keys-yaml", "TOO_LARGE ", func() string { return numbered(30_000, "k%d:\n", "") })
	data("counts", "one-key-yaml", "DUPLICATE_FIELD a"+strings.Repeat("\nDUPLICATE_FIELD a", 19), func() string { return strings.Repeat("a: canary\n", 9000) })
	data("counts", "aliases", "TOO_LARGE ", full(most, "a: [&a canary,", "*a,", "*a]"))
	data("counts", "anchors", "TOO_LARGE ", full(most, "a: [", "&a b,", "b]"))
	data("counts", "comments", "MISSING_FIELD ", full(most, "", "#\n", ""))
	data("counts", "documents", "MALFORMED ", full(most, "", "---\n", ""))
	data("counts", "directives", "MALFORMED ", full(most, "", "%a b\n", "---\na: b"))
	data("counts", "tag-directives", "MALFORMED ", func() string { return numbered(13_000, "%%TAG !t%d! canary\n", "") + "---\na: b" })
	data("counts", "bangs", "MISSING_FIELD jobSpec\nINVALID_VALUE a", full(most, "a: ", "!", ""))

	data("nesting", "lists-without-end", "TOO_LARGE ", full(most, "", "[", ""))
	data("nesting", "lists-closed", "TOO_LARGE ", func() string { return strings.Repeat("[", most/2) + strings.Repeat("]", most/2) })
	data("nesting", "objects-without-end", "TOO_LARGE ", full(most, "", `{"a":`, ""))
	data("nesting", "yaml-lists-without-end", "MALFORMED ", full(most, "a: ", "[", ""))
	data("nesting", "yaml-objects-without-end", "MALFORMED ", full(most, "a: ", "{a: ", ""))
	data("nesting", "yaml-dashes-without-end", "MALFORMED ", full(most, "", "- ", ""))
	data("nesting", "yaml-keys-without-end", "MALFORMED ", full(most, "", "? ", ""))
	data("nesting", "yaml-stairs", "MALFORMED ", func() string {
		var b strings.Builder
		for i := 0; b.Len() < most-kib; i++ {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
		return b.String()
	})
	return all
}

// many makes n attributes.
func many(n int, value string) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("a%d", i)] = value
	}
	return all
}

// richRequest has a string in every kind of place that a request that starts has.
const richRequest = `{
  "requestId": "fresh", "displayName": "name", "labels": {"team": "vision"}, "onFull": "queue", "maxWait": "60s", "persistentResource": "pool",
  "job": {
    "labels": {"stage": "dev"},
    "jobSpec": {
      "scheduling": {"timeout": "60s", "strategy": "STANDARD"},
      "baseOutputDirectory": {"outputUriPrefix": "gs://bucket/path"},
      "tensorboard": "projects/p/locations/l/tensorboards/1",
      "experiment": "e", "experimentRun": "r", "models": ["m"], "protectedArtifactLocationId": "l",
      "reservedIpRanges": ["range"], "pscInterfaceConfig": {"networkAttachment": "attachment"},
      "workerPoolSpecs": [
        {"machineSpec": {"machineType": "n1-standard-4"}, "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100},
         "replicaCount": "1", "nfsMounts": [{"server": "s", "path": "/p", "mountPoint": "m"}],
         "containerSpec": {"imageUri": "image", "command": ["run"], "args": ["--secret"], "env": [{"name": "TOKEN", "value": "secret"}]}},
        {"machineSpec": {"machine_type": "n1-standard-4"}, "replica_count": 1,
         "pythonPackageSpec": {"executorImageUri": "image", "packageUris": ["gs://bucket/p"], "pythonModule": "module", "args": ["a"],
           "env": [{"name": "KEY", "value": "secret"}]}}
      ]
    }
  }
}`

// spoiled returns the document once for every string and every key in it, with
// the canary in that place, and once for each of the further fields.
func spoiled(t testing.TB, text string, further map[string]string) map[string][]byte {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	keep := func(path string) {
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = data
	}
	var visit func(path string, v any, set func(any))
	visit = func(path string, v any, set func(any)) {
		switch v := v.(type) {
		case string:
			set(canary + v)
			keep(path)
			set(v)
		case []any:
			for i := range v {
				visit(fmt.Sprintf("%s[%d]", path, i), v[i], func(to any) { v[i] = to })
			}
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				value := v[key]
				delete(v, key)
				v[canary+key] = value
				keep(path + "." + key + " (key)")
				delete(v, canary+key)
				v[key] = value
				visit(path+"."+key, value, func(to any) { v[key] = to })
			}
		}
	}
	visit("", root, nil)
	for path, member := range further {
		all[path+" (added)"] = []byte(strings.Replace(text, path, path+" "+member+",", 1))
	}
	return all
}

// TestNothingSentIsLogged puts a word into every place of a request, and makes
// each service behind the entry point fail in turn.
func TestNothingSentIsLogged(t *testing.T) {
	requests := spoiled(t, richRequest, map[string]string{
		`"job": {`:     `"encryptionSpec": {"kmsKeyName": "canary"}`,
		`"jobSpec": {`: `"network": "canary", "serviceAccount": "canary"`,
		`{`:            `"canary": "canary"`,
	})
	if len(requests) < 90 {
		t.Errorf("%d places", len(requests))
	}
	quote := func(kind vertex.Kind) func(*den) {
		return func(w *den) {
			w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
				return &vertex.Error{Op: "create", Kind: kind, Code: 3, Message: job.String(), Err: fmt.Errorf("rpc error: %s", job)}
			}
		}
	}
	calls := func(f vertex.Fault) func(*den) {
		return func(w *den) { w.Vertex.Fault = func(string, string) vertex.Fault { return f } }
	}
	ledgers := func(op string, f ledger.Fault) func(*den) {
		return func(w *den) {
			w.Ledger.Fault = func(called string) ledger.Fault {
				if called == op {
					return f
				}
				return ledger.None
			}
		}
	}
	for name, spoil := range map[string]func(*den){
		"all is well":         func(*den) {},
		"job refused":         quote(vertex.Permanent),
		"job declined":        quote(vertex.Transient),
		"too fast":            quote(vertex.RateLimited),
		"answer unclear":      quote(vertex.Unclear),
		"nothing done":        calls(vertex.FailBefore),
		"answer lost":         calls(vertex.FailAfter),
		"too many calls":      calls(vertex.FailRate),
		"not read":            ledgers(ledger.OpRead, ledger.FailRead),
		"not committed":       ledgers(ledger.OpCommit, ledger.FailCommit),
		"commit lost":         ledgers(ledger.OpCommit, ledger.LoseAnswerAndCheck),
		"stale for ever":      ledgers(ledger.OpCommit, ledger.Stale),
		"not queried":         ledgers(ledger.OpQuery, ledger.FailRead),
		"nothing published":   func(w *den) { w.Out.Fail = func() (bool, bool) { return true, false } },
		"resource not known":  func(w *den) { w.Now = w.Now.Add(time.Hour); w.Vertex.SetResource(sim.Resource, vertex.Resource{}) },
		"observation too old": func(w *den) { w.Now = w.Now.Add(time.Hour); calls(vertex.FailBefore)(w) },
	} {
		t.Run(name, func(t *testing.T) {
			printed := captureOutput(t)
			logged := 0
			for path, data := range requests {
				w := newDen(quiet{t})
				w.log.Reset()
				spoil(w)
				body := forms[0].delivery(t, hostile{message: message.Delivery{Data: data}}, w.Now)
				first := w.post(body, nil).Code
				_ = w.Tick()
				w.Vertex.Fault, w.Vertex.Admit, w.Ledger.Fault, w.Out.Fail = nil, nil, nil, nil
				second := w.post(body, nil).Code
				w.Now = w.Now.Add(20 * time.Minute)
				if err := w.Tick(); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				if second != http.StatusOK || first != second && first != http.StatusServiceUnavailable {
					t.Errorf("%s: answered %d, and %d when all was well again", path, first, second)
				}
				for _, e := range w.Out.All() {
					if _, _, err := e.PubSub(message.Source{Project: "p", Deployment: "d"}); err != nil {
						t.Errorf("%s: the event cannot be sent: %v", path, err)
					}
				}
				logged += w.log.Len()
				if w.silent(canary, "secret"); t.Failed() {
					t.Fatalf("with the word at %s", path)
				}
			}
			if logged == 0 {
				t.Error("nothing at all was logged")
			}
			if out := printed(); strings.Contains(out, canary) {
				t.Errorf("written to the standard streams: %s", out)
			}
		})
	}
}

// quiet keeps the chatter of many worlds out of a test's own log.
type quiet struct{ *testing.T }

func (quiet) Logf(string, ...any) {}

// TestLoggedTextIsFound makes sure that a word in a log is found.
func TestLoggedTextIsFound(t *testing.T) {
	logged := &errorLog{T: t}
	w := newDen(logged)
	w.app.log.Debug("x", "spec", "a CANARY in it")
	w.silent(canary)
	if logged.errors != 1 {
		t.Errorf("%d complaints, want one", logged.errors)
	}
}

type errorLog struct {
	*testing.T
	errors int
}

func (h *errorLog) Errorf(string, ...any) { h.errors++ }

// documentLimit is Firestore's: 1 MiB.
const documentLimit = 1 << 20

// largest returns the size of the largest request's document, by Firestore's
// rule of counting.
func (w *den) largest() (size int) {
	w.Helper()
	for _, r := range w.Ledger.Records() {
		data, err := json.Marshal(r)
		if err != nil {
			w.Fatalf("%v", err)
		}
		var stored any
		if err := json.Unmarshal(data, &stored); err != nil {
			w.Fatalf("%v", err)
		}
		size = max(size, stores(stored)+1<<10) // and its name, and the fields that queries look at
	}
	return size
}

// stores counts what a value takes: texts their bytes and one more, names of
// fields too, everything else at most eight.
func stores(v any) (size int) {
	switch v := v.(type) {
	case string:
		return len(v) + 1
	case []any:
		for _, e := range v {
			size += stores(e)
		}
		return size
	case map[string]any:
		for key, e := range v {
			size += len(key) + 1 + stores(e)
		}
		return size
	}
	return 8
}

// extreme makes a request that is as large as allowed in one respect.
func extreme(id, options, job string) []byte {
	return []byte(`{"requestId": "` + id + `"` + options + `, "job": ` + job + `}`)
}

// TestLargestRequests takes requests at every limit from the message to the end
// of the job.
func TestLargestRequests(t *testing.T) {
	label := strings.Repeat("𞤢", 31) // four bytes each; lowercase of a script with case
	var labels []string
	for i := range 61 {
		labels = append(labels, fmt.Sprintf(`"%s%02d": "%s"`, label, i, label))
	}
	allLabels := `, "labels": {` + strings.Join(labels, ", ") + `}, "displayName": "` + strings.Repeat("𝔘", 128) + `"`
	pool := func(machine, replicas, container string) string {
		return `{"machineSpec": ` + machine + `, "replicaCount": ` + replicas + `, "containerSpec": {"imageUri": "i"` + container + `}}`
	}
	cpu, gpu := `{"machineType": "n1-standard-4"}`, `{"machineType": "g2-standard-12", "acceleratorType": 11, "acceleratorCount": 1}`
	// filled is a job of as many bytes as there may be, whose one argument is
	// made of a unit.
	filled := func(id, unit string) []byte {
		data := extreme(id, allLabels, "["+pool(cpu, "1", `, "args": ["@"]`)+"]")
		return []byte(strings.Replace(string(data), "@", strings.Repeat(unit, (message.MaxData-len(data))/len(unit)), 1))
	}
	variables := make([]string, 100)
	for i := range variables {
		variables[i] = fmt.Sprintf(`{"name": "V%03d%s", "value": "%s"}`, i, strings.Repeat("N", 252), strings.Repeat("v", 200))
	}
	arguments := "[" + strings.TrimSuffix(strings.Repeat(`"",`, 2400), ",") + "]"
	wide := `, "args": ` + arguments + `, "command": ` + arguments
	yaml := "requestId: fresh\njob:\n- machineSpec: {machineType: n1-standard-4}\n  replicaCount: 1\n  containerSpec:\n    imageUri: i\n    args:\n    - |-\n      x"
	for _, c := range []struct {
		name string
		data []byte
		end  lifecycle.State
	}{
		{"four pools", extreme("fresh", allLabels, "["+pool(cpu, "1", "")+","+pool(cpu, "1", "")+","+pool(gpu, "3", "")+","+pool(gpu, "1", "")+"]"), lifecycle.Succeeded},
		{"four wide pools", extreme("fresh", "", "["+pool(cpu, "1", wide)+","+pool(cpu, "1", wide)+","+pool(gpu, "3", wide)+","+pool(gpu, "1", wide)+"]"), lifecycle.Succeeded},
		{"four pools of a million", extreme("fresh", allLabels, "["+strings.Join([]string{pool(cpu, "1000000", ""), pool(cpu, "1000000", ""), pool(gpu, "1000000", ""), pool(gpu, "1000000", "")}, ",")+"]"), lifecycle.Rejected},
		{"four strange pools", extreme("fresh", allLabels, "["+strings.Repeat(pool(`{"machineType": "`+strings.Repeat("m", 64)+`", "tpuTopology": "`+strings.Repeat("t", 64)+`", "gpuPartitionSize": "`+strings.Repeat("g", 64)+`", "acceleratorType": 18, "acceleratorCount": 2147483647}`, "999999", "")+",", 3)+pool(cpu, "999999", "")+"]"), lifecycle.Rejected},
		{"three placeholders", extreme("fresh", "", "["+pool(cpu, "1", "")+",{},{},{}]"), lifecycle.Succeeded},
		{"variables", extreme("fresh", allLabels, "["+pool(cpu, "1", `, "env": [`+strings.Join(variables, ",")+"]")+"]"), lifecycle.Succeeded},
		{"one argument", filled("fresh", "a"), lifecycle.Succeeded},
		{"quotes", filled("fresh", `\"`), lifecycle.Succeeded},
		{"control characters", filled("fresh", `\u0001`), lifecycle.Succeeded},
		{"angle brackets", filled("fresh", "<"), lifecycle.Succeeded},
		{"line separators", filled("fresh", "\u2028"), lifecycle.Succeeded},
		{"emoji", filled("fresh", "😀"), lifecycle.Succeeded},
		{"short escapes", filled("fresh", `\t`), lifecycle.Succeeded},
		{"YAML lines", []byte(yaml + strings.Repeat("\n", message.MaxData-len(yaml)-8) + "      y"), lifecycle.Succeeded},
		{"YAML quotes", []byte(yaml + strings.Repeat(`"`, message.MaxData/2)), lifecycle.Succeeded},
		// Each is escaped twice where it is stored, and takes four bytes: more than a
		// document has.
		{"only YAML quotes", []byte(yaml + strings.Repeat(`"`, message.MaxData-len(yaml))), lifecycle.None},
		{"highest priority, longest wait", extreme("fresh", `, "priority": 1000, "maxWait": "2592000s"`, "["+pool(cpu, "1", "")+"]"), lifecycle.Succeeded},
		{"lowest priority, shortest wait", extreme("fresh", `, "priority": -1000, "maxWait": "0.000000001s"`, "["+pool(cpu, "1", "")+"]"), lifecycle.Succeeded},
		{"longest id", extreme("f"+strings.Repeat("~", 127), "", "["+pool(cpu, "1", "")+"]"), lifecycle.Succeeded},
		{"longest and shortest timeout", extreme("fresh", "", `{"scheduling": {"timeout": "3153600000s", "maxWaitDuration": "0.000000001s"}, "workerPoolSpecs": [`+pool(cpu, "1", "")+`]}`), lifecycle.Succeeded},
		{"every option twice", extreme("fresh", `, "priority": 0, "dryRun": false, "onFull": "queue", "labels": {}, "persistentResource": "projects/test-project/locations/us-central1/persistentResources/pool"`, `{"persistentResourceId": "pool", "workerPoolSpecs": [`+pool(cpu, "1", "")+`]}`), lifecycle.Succeeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newDen(quiet{t})
			body := forms[0].delivery(t, hostile{message: message.Delivery{Data: c.data}}, w.Now)
			if answer := w.post(body, nil); answer.Code != http.StatusOK {
				t.Fatalf("answered %d: %s", answer.Code, answer.Body)
			}
			var rec *ledger.Record
			for _, r := range w.Ledger.Records() {
				if r.ID != victim {
					rec = r
				}
			}
			if c.end == lifecycle.None {
				if rec == nil || rec.Kind != message.KindAnswer || rec.Why == nil || rec.Why.Code != reason.TooLarge {
					t.Errorf("it was not refused as too large: %+v", rec)
				}
				return
			}
			if rec == nil || rec.Kind == message.KindAnswer {
				t.Fatalf("not taken: %+v", w.Out.All())
			}
			if c.end == lifecycle.Succeeded {
				for _, s := range []vertex.JobState{vertex.JobRunning, vertex.JobSucceeded} {
					w.Vertex.SetJob(w.JobOf(rec.ID), s)
					w.After(time.Minute)
				}
			}
			if got := w.State(rec.ID); got != c.end {
				t.Errorf("it is %s, want %s: %v", got, c.end, w.Record(rec.ID).Why)
			}
			w.CheckHolds()
			for _, e := range w.Out.All() {
				if data, _, err := e.PubSub(message.Source{Project: "p", Deployment: "d"}); err != nil {
					t.Errorf("%s cannot be sent: %v", e.Type, err)
				} else if len(data) > 100<<10 {
					t.Errorf("%s has %d bytes", e.Type, len(data))
				}
			}
			if size := w.largest(); size > documentLimit*9/10 {
				t.Errorf("the document has about %d bytes of at most %d", size, documentLimit)
			} else {
				t.Logf("%d bytes of message, about %d of document", len(c.data), size)
			}
		})
	}
}
