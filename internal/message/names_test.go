package message

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNamesThatPeopleUse publishes a job with one name of another tool or a
// colleague in each place, and holds the answer: which field is meant, and where it
// belongs. Each line of the file is "place name", "TAB" and the fix.
func TestNamesThatPeopleUse(t *testing.T) {
	const file = "testdata/names.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found strings.Builder
	lines := 0
	for line := range strings.Lines(string(data)) {
		lines++
		said, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		place, name, _ := strings.Cut(said, " ")
		fmt.Fprintf(&found, "%s %s\t%s\n", place, name, fixOf(t, place, name))
	}
	if lines < 200 {
		t.Errorf("%s has %d names, want 200 at least", file, lines)
	}
	if *update {
		if err := os.WriteFile(file, []byte(found.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(data), found.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// fixOf decodes a job with the name in a place, and returns the codes, paths and
// fixes of the problems, or what became of the job.
func fixOf(t *testing.T, place, name string) string {
	t.Helper()
	member := func(at string) string {
		if at != place {
			return ""
		}
		return fmt.Sprintf("%q: 1, ", name)
	}
	accelerator := "NVIDIA_TESLA_T4"
	if place == "accelerator" {
		accelerator = name
	}
	strategy := "STANDARD"
	if place == "strategy" {
		strategy = name
	}
	data := fmt.Sprintf(`{%s"job": {%s"displayName": "d", "jobSpec": {%s"scheduling": {%s"strategy": %q}, "workerPoolSpecs": [{%s
		"machineSpec": {%s"machineType": "n1-standard-4", "acceleratorType": %q, "acceleratorCount": 1}, "replicaCount": 1,
		"diskSpec": {%s"bootDiskSizeGb": 100}, "containerSpec": {%s"imageUri": "gcr.io/p/i"}}]}}}`,
		member("option"), member("job"), member("spec"), member("scheduling"), strategy, member("pool"), member("machine"), accelerator, member("disk"), member("container"))
	_, err := Decode(Delivery{ID: "1", Data: []byte(data)})
	var refusal *Refusal
	switch {
	case err == nil:
		return "taken"
	case !errors.As(err, &refusal):
		t.Fatalf("%s %s: %v is no refusal", place, name, err)
	}
	var all []string
	for _, p := range refusal.Problems {
		all = append(all, fmt.Sprintf("%s %s: %s", p.Code, p.Path, p.Fix))
	}
	return strings.Join(all, "; ")
}
