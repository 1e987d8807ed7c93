package app_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A room is a package of this module and what it may import beyond the standard
// library. Patterns end in "/..." for everything below.
type room struct {
	path    string // below the module path; "." is the module's root
	rooms   []string
	outside []string
	why     string
}

// rooms lists all packages, each below those it may import: arrows point up this
// list only. A new package has to be placed here, which is the moment to ask
// whether it is a room of its own.
var rooms = []room{
	{"internal/allocation", nil, nil,
		"the tests of several rooms measure in one way"},
	{"internal/spelling", nil, nil,
		"near names and near machines are found by one comparison, which knows of neither"},
	{"internal/visible", nil, nil,
		"reasons, logs and terminals show the text of users in one way"},
	{"internal/reason", nil, nil,
		"message, admission, controller and the pages give one code for one thing, and numbers in sentences one form, so none of them owns these"},
	{"internal/capacity", list("internal/spelling"), nil,
		"planner, memory twins and invariants share one Fit, so it depends on no other room"},
	{"internal/strict", list("internal/reason", "internal/spelling", "internal/visible"), list("google.golang.org/protobuf/reflect/protoreflect", "go.yaml.in/yaml/..."),
		"it reads any document by its descriptor; what a job or an envelope means is message's"},
	{"internal/message", list("internal/capacity", "internal/reason", "internal/spelling", "internal/strict"),
		list(wireTypes, "google.golang.org/genproto/googleapis/api/annotations", "google.golang.org/protobuf/...", "github.com/cloudevents/sdk-go/..."),
		"the public words: users send jobs in Vertex AI's own form, so its wire types are the vocabulary"},
	{"internal/lifecycle", list("internal/capacity"), nil,
		"the table of states is to be read, drawn and tested without knowing what a request looks like"},
	{"internal/admission", list("internal/capacity", "internal/message", "internal/reason"), nil,
		"a reason for waiting has the same code here and in the event; the caller makes the moves, so not lifecycle"},
	{"internal/policy", list("internal/admission", "internal/capacity", "internal/message", "internal/reason", "internal/spelling", "internal/strict"),
		list(wireTypes, "google.golang.org/protobuf/...", "cel.dev/cel-go/...", "github.com/distribution/reference"),
		"what operators write is held against what users send, so it knows both and nothing of how either is stored"},
	{"internal/estimate", list("internal/admission"), nil,
		"a deployment and a replay learn run times by one model, which knows the steps of limits and nothing else of an order"},
	{"internal/batch", nil, nil,
		"what arrives together, whatever it is"},
	{"internal/logctx", nil, nil,
		"what a log record is about is known at the entry point; what it says is for those who log"},
	{"internal/telemetry", list("internal/logctx"), list("go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/metric/...", "go.opentelemetry.io/otel/trace/..."),
		"what a trace context is, OpenTelemetry says; its API is all that the rooms which trace and count see of it"},
	{"internal/telemetry/export", list("internal/telemetry"), list("go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/exporters/otlp/...", "go.opentelemetry.io/otel/metric/...", "go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/trace/...", "google.golang.org/grpc/..."),
		"the SDK and the exporters: no room that records knows whether, how and where to it is sent"},
	{"internal/pace", nil, nil,
		"how fast to submit is arithmetic over moments and counts; whose jobs they are is of no account"},
	{"internal/usage", list("internal/capacity"), nil,
		"what is summed up of a resource decides nothing, so it knows nothing of requests"},
	{"internal/ledger", list("internal/admission", "internal/batch", "internal/capacity", "internal/estimate", "internal/lifecycle", "internal/logctx", "internal/message", "internal/pace", "internal/reason", "internal/usage"), nil,
		"the port and its memory twin; what stores it is gcp's; it makes the values of its documents that admission decides with"},
	{"internal/ledger/ledgertest", list("internal/admission", "internal/capacity", "internal/ledger", "internal/lifecycle", "internal/message", "internal/pace"), list("github.com/google/go-cmp/..."),
		"the suite runs over any ledger, so it knows none of them"},
	{"internal/vertex", list("internal/capacity", "internal/message"), list(wireTypes, "google.golang.org/protobuf/..."),
		"the port takes the job as it will be sent; translating it back and forth would lose fields that Google adds"},
	{"internal/vertex/fakevertex", nil, list(wireTypes, "cloud.google.com/go/longrunning/autogen/longrunningpb", "google.golang.org/...", "connectrpc.com/vanguard/..."),
		"its own idea of fit has to be able to disagree with ours, so it shares no code with us"},
	{"internal/vertex/fakevertex/scenario", list("internal/vertex/fakevertex"), list(wireTypes, "go.yaml.in/yaml/...", "google.golang.org/..."),
		"what a file and the admin endpoint say to the fake; what the fake does is its own"},
	{"internal/invariant", list("internal/admission", "internal/capacity", "internal/ledger", "internal/lifecycle", "internal/message", "internal/reason", "internal/vertex"), nil,
		"the promises are checked over what is stored, never over how it came to be"},
	{"internal/controller", list("internal/admission", "internal/batch", "internal/capacity", "internal/estimate", "internal/invariant", "internal/ledger", "internal/lifecycle", "internal/logctx", "internal/message", "internal/pace", "internal/policy", "internal/reason", "internal/telemetry", "internal/vertex", "internal/visible"),
		list(wireTypes, "google.golang.org/protobuf/...", "golang.org/x/sync/...", "golang.org/x/time/rate", "github.com/hashicorp/golang-lru/..."),
		"it passes jobs through from ledger to port, adding id and labels, and looks at nothing else in them"},
	{"internal/gcp", list("internal/admission", "internal/capacity", "internal/controller", "internal/ledger", "internal/lifecycle", "internal/message", "internal/telemetry", "internal/vertex"),
		list(wireTypes, "cloud.google.com/go/...", "google.golang.org/...", "github.com/googleapis/gax-go/..."),
		"the only deployed room with cloud clients: no other room handles their errors, retries and connections"},
	{"internal/identity", nil, list("google.golang.org/api/idtoken", "google.golang.org/api/option"),
		"who calls is found out by Google's library alone; what a caller may do is decided by others"},
	{"internal/identity/identitytest", nil, nil,
		"for the tests of any room, so it knows none"},
	{"internal/statuspage", list("internal/admission", "internal/capacity", "internal/controller", "internal/estimate", "internal/invariant", "internal/ledger", "internal/lifecycle", "internal/message", "internal/reason", "internal/usage", "internal/vertex", "internal/visible"), nil,
		"it reads and explains, and does not write"},
	{"internal/statuspage/html", list("internal/admission", "internal/capacity", "internal/ledger", "internal/lifecycle", "internal/message", "internal/reason", "internal/statuspage", "internal/vertex", "internal/visible"), nil,
		"a page shows what JSON says to the same caller, so it asks the JSON function and never the ledger; of other rooms it knows the types in the answers"},
	{"internal/statuspage/statuspagetest", list("internal/admission", "internal/capacity", "internal/controller", "internal/ledger", "internal/message", "internal/statuspage", "internal/vertex"), nil,
		"one busy deployment for all tests of pages, in memory; it is made by the real controller, so its documents are as they would be"},
	{"internal/app", list("internal/controller", "internal/gcp", "internal/identity", "internal/invariant", "internal/ledger", "internal/logctx", "internal/message", "internal/reason", "internal/statuspage", "internal/statuspage/html", "internal/telemetry", "internal/telemetry/export", "internal/vertex", "internal/visible"),
		list("github.com/sethvargo/go-envconfig"),
		"wiring: it knows every port's implementation, and no rule"},
	{".", list("internal/app"), list("github.com/GoogleCloudPlatform/functions-framework-go/functions"),
		"registration only; what stands here is compiled by a cloud build that no test sees"},
	{"internal/sim", list("internal/admission", "internal/capacity", "internal/controller", "internal/invariant", "internal/ledger", "internal/lifecycle", "internal/message", "internal/policy", "internal/vertex"),
		list(wireTypes),
		"the real controller under virtual time, so nothing that waits for a network; its world starts jobs, as foreign jobs do"},
	{"internal/repair", list("internal/admission", "internal/capacity", "internal/invariant", "internal/ledger", "internal/lifecycle", "internal/message", "internal/policy", "internal/reason", "internal/vertex"), nil,
		"it reads what operators wrote as an instance does, and fixes through the ports what an invariant finds broken, with the moves of the table and no others"},
	{"internal/localstack/statefile", nil, nil,
		"the command line reads it to find a running stack, and must not bring the stack along"},
	{"internal/localstack/child", nil, nil,
		"processes: how they start, end and are replaced; what they serve is elsewhere"},
	{"internal/localstack/emulator", list("internal/localstack/child"), nil,
		"jars and where they are; what talks to the emulators is elsewhere"},
	{"internal/localstack/proxy", list("internal/localstack/emulator"), list("google.golang.org/grpc/...", "github.com/googleapis/gax-go/..."),
		"it passes calls on, counts and breaks them; what they say is for those who listen"},
	{"internal/localstack/collector", nil, list("go.opentelemetry.io/proto/otlp/...", "google.golang.org/protobuf/proto"),
		"what a deployment's collector gets, seen from there: it shares no code with those who send"},
	{"internal/localstack/emulatortest", list("internal/localstack/emulator"), nil,
		"for the tests of any room, so it knows none"},
	{"internal/localstack", list(".", "internal/app", "internal/localstack/child", "internal/localstack/collector", "internal/localstack/emulator", "internal/localstack/statefile", "internal/message", "internal/vertex", "internal/vertex/fakevertex", "internal/vertex/fakevertex/scenario"),
		list(wireTypes, "cloud.google.com/go/pubsub/v2/...", "google.golang.org/...", "connectrpc.com/vanguard/...", "go.yaml.in/yaml/...",
			"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"),
		"the surroundings of the function, which it runs as it would be deployed"},
	{"internal/probe", nil, list(wireTypes, "google.golang.org/genproto/googleapis/rpc/code", "google.golang.org/grpc/...", "google.golang.org/protobuf/..."),
		"it asks what the service says, in the service's own messages, and knows no other room's opinion of it"},
	{"internal/replay", list("internal/admission", "internal/capacity", "internal/estimate", "internal/message"), nil,
		"workloads in virtual time go through the same plan, so it has no rules of its own"},
	{"cmd/berth", list("internal/replay", "internal/admission", "internal/app", "internal/capacity", "internal/controller", "internal/gcp", "internal/invariant", "internal/ledger", "internal/lifecycle", "internal/localstack/statefile", "internal/message", "internal/policy", "internal/probe", "internal/reason", "internal/repair", "internal/statuspage", "internal/vertex", "internal/visible"),
		list("cloud.google.com/go/pubsub/v2/...", "cloud.google.com/go/logging/apiv2/...", "github.com/googleapis/gax-go/...", "google.golang.org/api/iterator", "google.golang.org/api/option", "google.golang.org/api/idtoken", "google.golang.org/grpc/...", "google.golang.org/protobuf/types/known/durationpb", "github.com/alecthomas/kong", "github.com/rogpeppe/go-internal/diff", "go.yaml.in/yaml/...", "golang.org/x/..."),
		"it asks the Status function, publishes and reads Cloud Logging; only the verbs of repairs and policies open the ledger"},
	{"internal/chaos", list("internal/admission", "internal/gcp", "internal/invariant", "internal/ledger", "internal/lifecycle", "internal/localstack", "internal/localstack/child", "internal/localstack/emulator", "internal/localstack/proxy", "internal/message", "internal/reason", "internal/vertex", "internal/vertex/fakevertex"),
		list(wireTypes, "cloud.google.com/go/...", "google.golang.org/...", "github.com/googleapis/gax-go/..."),
		"it breaks the calls between real processes, so it speaks every protocol; it decides nothing again, but judges what they stored"},
	{"internal/bench", list("internal/gcp", "internal/ledger", "internal/lifecycle", "internal/localstack", "internal/localstack/child", "internal/localstack/emulator", "internal/localstack/proxy", "internal/message", "internal/vertex/fakevertex"),
		list(wireTypes, "cloud.google.com/go/...", "google.golang.org/...", "github.com/googleapis/gax-go/...", "github.com/GoogleCloudPlatform/functions-framework-go/funcframework"),
		"it counts from outside, at the wire, what a request costs; it asks the function nothing but requests"},
	{"internal/mutation", list("internal/localstack/emulator"), nil,
		"it reads the source and runs the go command; what the source says is none of its business"},
	{"deploy", nil, nil,
		"tests only: they hold the script together with the code"},
	{"cmd/sim", list("internal/gcp", "internal/sim"), list("google.golang.org/grpc/..."),
		"a main around the library, which it hands the rules by which the deployed client reads errors"},
	{"cmd/bench", list("internal/bench"), nil,
		"a main around the library"},
	{"cmd/chaos", list("internal/chaos"), nil,
		"a main around the library"},
	{"cmd/mutate", list("internal/mutation"), nil,
		"a main around the library"},
	{"cmd/fakevertex/vertextest", list("internal/vertex/fakevertex", "internal/vertex/fakevertex/scenario"), list("google.golang.org/api/option", "google.golang.org/grpc/..."),
		"the library for tests of other modules, which cannot import what is internal"},
	{"cmd/fakevertex", list("internal/vertex/fakevertex", "internal/vertex/fakevertex/scenario"), list("github.com/alecthomas/kong", "go.yaml.in/yaml/..."),
		"a main around the library"},
	{"cmd/localstack", list("internal/localstack", "internal/localstack/statefile"), nil,
		"a main around the library"},
}

const wireTypes = "cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

// pure names the rooms whose results follow from their arguments alone: they are
// run twice by updates, by the simulator under virtual time, and by /explain
// without a request. Any of these would make two runs differ, or a run wait.
var pure = list("internal/spelling", "internal/visible", "internal/reason", "internal/strict", "internal/capacity", "internal/message", "internal/lifecycle", "internal/admission", "internal/policy", "internal/estimate", "internal/pace", "internal/usage")

var impure = map[string]string{
	"context":      "there is nothing to wait for or to cancel",
	"os/...":       "files, environment and arguments belong to the edge",
	"io/ioutil":    "files belong to the edge",
	"syscall":      "files and processes belong to the edge",
	"net":          "it makes no calls",
	"net/http":     "it makes no calls",
	"math/rand":    "chance is an argument",
	"math/rand/v2": "chance is an argument",
	"crypto/rand":  "chance is an argument",
	"testing/...":  "only tests test",
}

// clock is what of package time reads the clock or waits for it.
var clock = list("Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer")

// neverDeployed must not be in the binary that runs in the cloud, by any path.
var neverDeployed = map[string]string{
	modulePath + "/internal/localstack/...":            "the local stack starts processes",
	modulePath + "/internal/vertex/fakevertex/...":     "a fake that answers in production loses every job",
	modulePath + "/internal/allocation":                "only tests test",
	modulePath + "/internal/ledger/ledgertest":         "only tests test",
	modulePath + "/internal/identity/identitytest":     "its keys sign for anybody",
	modulePath + "/internal/statuspage/statuspagetest": "only tests test",
	modulePath + "/internal/probe":                     "operators' tools: it creates jobs that no request asked for",
	modulePath + "/internal/replay":                    "it makes up requests",
	modulePath + "/internal/sim":                       "it makes up requests",
	modulePath + "/internal/chaos":                     "it kills processes",
	modulePath + "/internal/bench":                     "it starts processes",
	modulePath + "/internal/mutation":                  "it starts processes",
	modulePath + "/internal/repair":                    "operators' tools: it overrules what the table of states waits for",
	modulePath + "/cmd/...":                            "operators' tools",
	"cloud.google.com/go/pubsub/v2/pstest":             "a fake",
	"cloud.google.com/go/spanner/spannertest":          "a fake",
	"connectrpc.com/vanguard/...":                      "only fakes translate REST",
	"testing/...":                                      "it registers flags, and pulls fakes in its train",
	"pgregory.net/rapid":                               "only tests test",
	"github.com/google/go-cmp/...":                     "it panics where it cannot compare",
	"github.com/alecthomas/kong":                       "operators' tools",
	"github.com/rogpeppe/go-internal/...":              "only tests test",
	"github.com/santhosh-tekuri/jsonschema/v6/...":     "only tests test",
}

// unnamed are names that say what is in a package: anything.
var unnamed = list("base", "common", "helper", "helpers", "lib", "misc", "shared", "type", "types", "util", "utils")

func TestImports(t *testing.T) {
	t.Parallel()
	placed := map[string]int{}
	for i, r := range rooms {
		if _, twice := placed[r.path]; twice {
			t.Errorf("%s is in the table twice", r.path)
		}
		placed[r.path] = i
		for _, below := range r.rooms {
			if j, ok := placed[below]; !ok || j == i {
				t.Errorf("the table lets %s import %s, which is not above it: arrows would make a circle", r.path, below)
			}
		}
	}
	for _, p := range modulePackages(t) {
		where := "."
		if p.ImportPath != modulePath {
			where = strings.TrimPrefix(p.ImportPath, modulePath+"/")
		}
		if slices.Contains(unnamed, path.Base(where)) {
			t.Errorf("%s: the name says nothing of what is in there", where)
		}
		i, ok := placed[where]
		if !ok {
			t.Errorf("%s has no place in the table: say what it may import, and why it is a room", where)
			continue
		}
		r := rooms[i]
		for _, imported := range p.Imports {
			if !r.allows(imported) {
				t.Errorf("%s imports %s: not foreseen for it (%s)", where, imported, r.why)
			}
			if slices.Contains(pure, where) {
				if why, match := find(impure, imported); match {
					t.Errorf("%s imports %s: it is a pure room, and %s", where, imported, why)
				}
			}
		}
		if slices.Contains(pure, where) {
			checkClock(t, p)
		}
	}
}

func TestDeployedBuildHasNoFakes(t *testing.T) {
	t.Parallel()
	deps := strings.Fields(output(t, goTool(moduleRoot, "list", "-deps", ".")))
	if !slices.Contains(deps, modulePath+"/internal/gcp") {
		t.Fatal("the deployed build has no cloud clients; this test looks at the wrong package")
	}
	checkDeployed(t, deps)
}

func checkDeployed(t *testing.T, deps []string) {
	t.Helper()
	for _, d := range deps {
		if why, match := find(neverDeployed, d); match {
			t.Errorf("%s would be deployed: %s", d, why)
		}
	}
}

// checkClock finds reads of the clock. The import of package time says nothing,
// since moments and durations are values like others.
func checkClock(t *testing.T, p listed) {
	t.Helper()
	for _, f := range p.GoFiles {
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		name := ""
		for _, i := range parsed.Imports {
			if i.Path.Value == `"time"` {
				if name = "time"; i.Name != nil {
					name = i.Name.Name
				}
			}
		}
		if name == "." {
			t.Errorf("%s imports time by a dot", f)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && name != "" && x.Name == name && slices.Contains(clock, s.Sel.Name) {
				t.Errorf("%s: time.%s in a pure room: time is an argument", files.Position(s.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}

func (r room) allows(imported string) bool {
	if imported == "C" || imported == "unsafe" {
		return false
	}
	if imported == modulePath {
		return slices.Contains(r.rooms, ".")
	}
	if inner, ok := strings.CutPrefix(imported, modulePath+"/"); ok {
		return slices.Contains(r.rooms, inner)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // standard library
	}
	return slices.ContainsFunc(r.outside, func(pattern string) bool { return matches(pattern, imported) })
}

func matches(pattern, imported string) bool {
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return imported == above || strings.HasPrefix(imported, above+"/")
	}
	return imported == pattern
}

func find(rules map[string]string, imported string) (why string, ok bool) {
	for pattern, why := range rules {
		if matches(pattern, imported) {
			return why, true
		}
	}
	return "", false
}

func list(s ...string) []string { return s }

type listed struct {
	ImportPath, Dir  string
	GoFiles, Imports []string
	Error            *struct{ Err string }
}

func modulePackages(t *testing.T) []listed {
	t.Helper()
	out := output(t, goTool(moduleRoot, "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,Error", "./..."))
	var all []listed
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
