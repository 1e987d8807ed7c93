package message

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"example.com/berth/internal/strict"
)

var update = flag.Bool("update", false, "write what is found into testdata as what is wanted")

// A sample is one case of a corpus file: a folder of a txtar archive with the
// data, attributes one a line, and what is wanted.
type sample struct {
	name     string
	delivery Delivery
	json     bool // data is meant as JSON
	want     string
}

func samples(t testing.TB, file string) []sample {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for _, f := range a.Files {
		name, part, ok := strings.Cut(f.Name, "/")
		if !ok {
			t.Fatalf("%s: file %s is in no folder", file, f.Name)
		}
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, sample{name: name, delivery: Delivery{ID: "1"}})
		}
		s := &all[len(all)-1]
		switch part {
		case "data.json", "data.yaml":
			s.delivery.Data, s.json = f.Data, part == "data.json"
		case "attributes":
			s.delivery.Attributes = map[string]string{}
			for line := range strings.Lines(string(f.Data)) {
				key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
				if !ok {
					t.Fatalf("%s: %s: line %q", file, f.Name, line)
				}
				s.delivery.Attributes[key] = strings.TrimPrefix(value, " ")
			}
		case "want":
			s.want = string(f.Data)
		default:
			t.Fatalf("%s: what is %s?", file, f.Name)
		}
	}
	return all
}

// corpus runs a test over every sample of a folder. With -update, what the test
// says it found is written back.
func corpus(t *testing.T, pattern string, run func(t *testing.T, s sample) (found string)) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s", pattern)
	}
	for _, file := range files {
		found := map[string]string{}
		for _, s := range samples(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+s.name, func(t *testing.T) {
				got := run(t, s)
				found[s.name+"/want"] = got
				if diff := cmp.Diff(s.want, got); diff != "" && !*update {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
		if *update {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range a.Files {
				if got, ok := found[f.Name]; ok {
					a.Files[i].Data = []byte(got)
				}
			}
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAccept(t *testing.T) {
	corpus(t, "testdata/accept/*.txtar", func(t *testing.T, s sample) string {
		m, err := Decode(s.delivery)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(s.delivery)
		if err != nil || again.Fingerprint != m.Fingerprint || len(m.Fingerprint) != 64 {
			t.Errorf("fingerprints %s and %s, error %v", m.Fingerprint, again.Fingerprint, err)
		}
		return summary(t, m)
	})
}

func summary(t *testing.T, m Message) string {
	var b strings.Builder
	say := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-8s %s\n", key, value)
		}
	}
	if c := m.Cancel; c != nil {
		say("cancel", strings.TrimSpace(c.RequestID+" "+c.MessageID))
		say("reason", c.Reason)
		if m.Request != nil {
			t.Error("a message is both request and cancel")
		}
		return b.String()
	}
	q := m.Request
	say("id", q.RequestID)
	say("resource", q.PersistentResource)
	say("name", q.Job.DisplayName)
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(q.Job.Labels)) {
		labels = append(labels, key+"="+q.Job.Labels[key])
	}
	say("labels", strings.Join(labels, " "))
	if q.Priority != 0 {
		say("priority", fmt.Sprint(q.Priority))
	}
	if q.OnFull != Queue {
		say("on full", string(q.OnFull))
	}
	if q.MaxWait != 0 {
		say("max wait", q.MaxWait.String())
	}
	if q.DryRun {
		say("dry run", "yes")
	}
	for _, n := range q.Ask {
		say("ask", fmt.Sprintf("%d: %d x %s", n.WorkerPool, n.Replicas, n.Shape))
	}
	for _, w := range q.Warnings {
		say("warning", w.String())
	}
	job, err := q.JobJSON()
	if err != nil {
		t.Error(err)
	}
	say("job", string(job))
	return b.String()
}

func TestRefuse(t *testing.T) {
	corpus(t, "testdata/refuse/*.txtar", func(t *testing.T, s sample) string {
		m, err := Decode(s.delivery)
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("not refused: %v, error %v", m, err)
		}
		checkRefusal(t, err)
		var b strings.Builder
		if refusal.ClaimedID != "" {
			fmt.Fprintf(&b, "claims %s\n", refusal.ClaimedID)
		}
		for _, p := range refusal.Problems {
			fmt.Fprintf(&b, "%s %s\n  %s\n", p.Code, p.Path, strings.TrimSpace(p.Detail+" "+p.Fix))
		}
		return b.String()
	})
}

const plainJob = `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}]`

// TestLimits is about refusals whose samples would be too large to read.
func TestLimits(t *testing.T) {
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	job := func(container string) string {
		return `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i",` + container + `}}]`
	}
	many := map[string]string{}
	labels := []string{}
	for i := range 101 {
		many[fmt.Sprint("a", i)] = "x"
	}
	for i := range 62 {
		labels = append(labels, fmt.Sprintf("k%d=v", i))
	}
	for _, c := range []struct {
		name       string
		data       string
		attributes map[string]string
		want       string
	}{
		{"data", strings.Repeat(" ", MaxData) + "{", nil, "TOO_LARGE "},
		{"attributes", plainJob, many, "TOO_LARGE attributes"},
		{"env", job(`"env":` + list(101, `{"name":"A"}`)), nil, "TOO_LARGE [0].containerSpec.env"},
		{"packages", `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"pythonPackageSpec":{"executorImageUri":"i","pythonModule":"m","packageUris":` + list(101, `"gs://b/p"`) + `}}]`,
			nil, "TOO_LARGE [0].pythonPackageSpec.packageUris"},
		{"bytes of aliases", "workerPoolSpecs:\n- containerSpec:\n    imageUri: &i " + strings.Repeat("x", 1000) + "\n    args: " + list(263, "*i") + "\n", nil, "TOO_LARGE "},
		{"bytes of merges", "- &a {machineSpec: {machineType: " + strings.Repeat("x", 1000) + "}}\n" + strings.Repeat("- {<<: *a}\n", 263), nil, "TOO_LARGE "},
		{"bytes of keys", "a: &a " + strings.Repeat("x", 1000) + "\nb: [" + strings.Repeat("{*a : 1},", 263) + "]", nil, "TOO_LARGE "},
		{"values", list(20_000, "1"), nil, "TOO_LARGE "},
		{"yaml values", "a: " + list(20_000, "1"), nil, "TOO_LARGE "},
		{"labels", plainJob, map[string]string{"berth-labels": strings.Join(labels, ",")}, "TOO_LARGE attributes.berth-labels"},
		{"display name", plainJob, map[string]string{"berth-display-name": strings.Repeat("ü", 129)}, "INVALID_VALUE attributes.berth-display-name"},
		{"request id", plainJob, map[string]string{"berth-request-id": strings.Repeat("a", 129)}, "INVALID_VALUE attributes.berth-request-id"},
		{"label key", plainJob, map[string]string{"berth-labels": strings.Repeat("a", 64) + "=b"}, `INVALID_VALUE attributes.berth-labels["` + strings.Repeat("a", 57) + `..."]`},
		{"long attribute", plainJob, map[string]string{"berth-labels": strings.Repeat("a=b,", 300)}, "TOO_LARGE attributes.berth-labels"},
		{"not UTF-8", "{\"\xff\": 1}", nil, "MALFORMED "},
		{"not UTF-8 in YAML", "a: \xff", nil, "MALFORMED "},
		{"attribute not UTF-8", plainJob, map[string]string{"berth-display-name": "\xff"}, "INVALID_VALUE attributes.berth-display-name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(Delivery{ID: "1", Data: []byte(c.data), Attributes: c.attributes})
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v", err)
			}
			if got := string(refusal.Problems[0].Code) + " " + refusal.Problems[0].Path; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	delete(many, "a0")
	many["berth-labels"] = strings.Join(labels[1:], ",")
	delete(many, "a1")
	m, err := Decode(Delivery{ID: "1", Data: []byte(job(`"args":` + list(15_000, `"a"`))), Attributes: many})
	if err != nil || len(m.Request.Job.GetLabels()) != 61 || len(m.Request.Job.GetJobSpec().GetWorkerPoolSpecs()[0].GetContainerSpec().GetArgs()) != 15_000 {
		t.Errorf("100 attributes, 61 labels and 15,000 arguments: %v, error %v", m, err)
	}
	problems := `{"jobSpec":{` + strings.TrimSuffix(strings.Repeat(`"x":1,`, 500), ",") + `}}`
	_, err = Decode(Delivery{ID: "1", Data: []byte(problems)})
	var refusal *Refusal
	if !errors.As(err, &refusal) || len(refusal.Problems) != strict.MaxProblems {
		t.Errorf("want %d problems, got %v", strict.MaxProblems, err)
	}
	atLimit := append(bytes.Repeat([]byte(" "), MaxData-len(plainJob)), plainJob...)
	if _, err := Decode(Delivery{ID: "1", Data: atLimit}); err != nil {
		t.Errorf("data of exactly MaxData: %v", err)
	}
}
