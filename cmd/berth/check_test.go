package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Job files of a repository, as its CI checks them.
var jobRepository = map[string]string{
	"good.yaml": "displayName: a\njobSpec:\n  scheduling: {timeout: 60s}\n  workerPoolSpecs:\n  - machineSpec: {machineType: n1-standard-4}\n    replicaCount: 1\n    containerSpec: {imageUri: gcr.io/p/i}\n",
	"bad.yaml":  "displayName: a\njobSpec:\n  workerPoolSpecs:\n  - machineSpec:\n      machineTyp: n1\n    replicaCount: many\n    containerSpec: {imageUri: gcr.io/p/i}\n",
	"bad.json":  "{\"displayName\": \"a\",\n \"jobSpec\": {\"workerPoolSpecs\": [\n  {\"machineSpec\": {\"machineType\": \"n1-standard-4\"},\n   \"replicaCount\": \"many\", \"containerSpec\": {\"imageUri\": \"gcr.io/p/i\"}}]}}\n",
	"big.yaml":  "displayName: a\njobSpec:\n  scheduling: {timeout: 60s}\n  workerPoolSpecs:\n  - machineSpec: {machineType: n1-standard-96}\n    replicaCount: 1\n    containerSpec: {imageUri: \"gcr.io/p/i:${TAG}\"}\n",
	"no.yaml":   "a: [\nb\n",
	"pools.json": `{"resources":[{"name":"projects/p/locations/l/persistentResources/pool","state":"RUNNING",
		"pools":[{"id":"cpu","shape":"n1-standard-4/pd-ssd:100","count":2,"limit":2}],"shapes":[]}]}`,
}

// checkIn runs the tool in a folder with the files.
func checkIn(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("jobs/deep/.git", 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range jobRepository {
		write(name, text)
	}
	write("jobs/a.yml", jobRepository["good.yaml"])
	write("jobs/deep/b.json", jobRepository["bad.json"])
	write("jobs/deep/.git/c.json", "x")
	write("jobs/README.md", "x")
	if err := os.Mkdir("empty", 0o700); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = run(append([]string{"check"}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// Each problem is at its line of its file, whether that is YAML or JSON, and one file that
// would be refused is enough to fail.
func TestCheckFiles(t *testing.T) {
	code, out, errs := checkIn(t, "good.yaml", "bad.yaml", "bad.json", "no.yaml")
	want := `good.yaml is a valid job.
  Asks for  1 x n1-standard-4/pd-ssd:100
  Name      a
bad.yaml would be refused:
  bad.yaml:5: UNKNOWN_FIELD: jobSpec.workerPoolSpecs[0].machineSpec.machineTyp: No field has this name here.
    Did you mean machineType?
  bad.yaml:6: INVALID_VALUE: jobSpec.workerPoolSpecs[0].replicaCount: Want a whole number, found text.
    Write a whole number.
bad.json would be refused:
  bad.json:4: INVALID_VALUE: jobSpec.workerPoolSpecs[0].replicaCount: Want a whole number, found text.
    Write a whole number.
no.yaml would be refused:
  no.yaml:1: MALFORMED: `
	if code != exitRefused || errs != "" || !strings.HasPrefix(out, want) || !strings.HasSuffix(out, "\n4 files checked, 3 with problems.\n") {
		t.Errorf("%d, %s\n%s, want\n%s", code, errs, out, want)
	}
	if code, out, _ := checkIn(t, "jobs"); code != exitRefused || !strings.HasPrefix(out, "jobs/a.yml is a valid job.\n") || !strings.Contains(out, "\n  jobs/deep/b.json:4: INVALID_VALUE") || !strings.HasSuffix(out, "\n2 files checked, 1 with problems.\n") {
		t.Errorf("a folder: %d\n%s", code, out)
	}
	for name, args := range map[string][]string{"missing": {"good.yaml", "none.yaml"}, "empty": {"good.yaml", "empty"}, "id": {"good.yaml", "big.yaml", "--id=x"}, "format": {"good.yaml", "--format=xml"}} {
		if code, _, errs := checkIn(t, args...); code != exitUsage || errs == "" {
			t.Errorf("%s: %d, %s", name, code, errs)
		}
	}
	if code, out, _ := checkIn(t, "good.yaml", "big.yaml"); code != 0 || !strings.Contains(out, "  big.yaml:7: WARNING: jobSpec.workerPoolSpecs[0].containerSpec.imageUri: The text has ${...} in it") {
		t.Errorf("a placeholder: %d\n%s", code, out)
	}
}

func TestCheckJSON(t *testing.T) {
	code, out, _ := checkIn(t, "good.yaml", "bad.json", "--json")
	var answer struct {
		Valid bool
		Files []struct {
			File     string
			Valid    bool
			Problems []struct {
				Line       int
				Code, Path string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	if f := answer.Files; code != exitRefused || answer.Valid || len(f) != 2 || !f[0].Valid || f[0].File != "good.yaml" || f[1].Valid || len(f[1].Problems) != 1 || f[1].Problems[0].Line != 4 || f[1].Problems[0].Code != "INVALID_VALUE" {
		t.Errorf("%d, %+v", code, answer)
	}
	if code, out, _ := checkIn(t, "good.yaml", "--json"); code != 0 || !strings.Contains(out, "\n  \"valid\": true\n") {
		t.Errorf("%d, %s", code, out)
	}
}

// Annotations name the file and the line, and nothing in a text ends them early.
func TestCheckAnnotations(t *testing.T) {
	code, out, _ := checkIn(t, "bad.json", "big.yaml", "--format=github", "--pools=pools.json")
	want := `::error file=bad.json,line=4::INVALID_VALUE: jobSpec.workerPoolSpecs[0].replicaCount: Want a whole number, found text. Write a whole number.
::warning file=big.yaml,line=7::WARNING: jobSpec.workerPoolSpecs[0].containerSpec.imageUri: The text has ${...} in it, which neither Berth nor Vertex AI fills in. Fill it in before the job is published, if a template was meant.
::error file=big.yaml::SPEC_MISMATCH: jobSpec.workerPoolSpecs[0]: No pool has the machine and disk spec n1-standard-96/pd-ssd:100. To fit: set jobSpec.workerPoolSpecs[0].machineSpec.machineType to n1-standard-4.
`
	if code != exitRefused || out != want {
		t.Errorf("%d\n%s, want\n%s", code, out, want)
	}
	if got, want := property.Replace("a,b:c%\n"), "a%2Cb%3Ac%25%0A"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := commandText.Replace("a, b: 5%\nc"), "a, b: 5%25%0Ac"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// With saved pools it says whether a job can ever fit, whatever runs there now.
func TestCheckPools(t *testing.T) {
	code, out, _ := checkIn(t, "good.yaml", "--pools=pools.json")
	if code != 0 || !strings.HasSuffix(out, "\n  It fits on pool when its machines are free.\n") {
		t.Errorf("%d\n%s", code, out)
	}
	code, out, _ = checkIn(t, "big.yaml", "--pools=pools.json")
	if code != exitRefused || !strings.Contains(out, "\n  It can never fit on pool: SPEC_MISMATCH: jobSpec.workerPoolSpecs[0]: No pool has the machine and disk spec n1-standard-96/pd-ssd:100.\n") ||
		!strings.Contains(out, "\nTo fit:\n  set jobSpec.workerPoolSpecs[0].machineSpec.machineType to n1-standard-4\n") || strings.Count(out, "To fit") != 1 {
		t.Errorf("%d\n%s", code, out)
	}
	code, out, _ = checkIn(t, "good.yaml", "--pools=pools.json", "--persistent-resource=other")
	if code != 0 || !strings.Contains(out, "The pools are of 0 persistent resources that the job may mean") {
		t.Errorf("%d\n%s", code, out)
	}
	for _, file := range []string{"none.json", "good.yaml"} {
		if code, _, errs := checkIn(t, "good.yaml", "--pools="+file); code != exitUsage || !strings.Contains(errs, file) {
			t.Errorf("%d, %s", code, errs)
		}
	}
}
