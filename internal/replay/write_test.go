package replay

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestWrittenIsRead: what is written is read back as it was.
func TestWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var jobs []Job
		var at time.Duration
		for i := range rapid.IntRange(1, 20).Draw(t, "jobs") {
			at += time.Duration(rapid.IntRange(0, 5000).Draw(t, "gap")) * time.Second
			run := time.Duration(rapid.IntRange(1, 1e6).Draw(t, "run")) * time.Second
			jobs = append(jobs, Job{Line: i + 2, ID: rapid.StringMatching(`j[0-9]{1,4}`).Draw(t, "id"), Submit: at, Replicas: rapid.Int64Range(1, 100).Draw(t, "replicas"),
				Tenant: rapid.SampledFrom([]string{"", "t1", "a,b", `"`}).Draw(t, "tenant"), Pool: rapid.SampledFrom([]string{"", "g2-standard-12/NVIDIA_L4:1/pd-ssd:100"}).Draw(t, "pool"),
				Priority: rapid.IntRange(-1000, 1000).Draw(t, "priority"), Run: run, Limit: run + time.Hour})
		}
		var text bytes.Buffer
		if err := Write(&text, jobs); err != nil {
			t.Fatal(err)
		}
		read, err := Read(&text, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(jobs, read); diff != "" {
			t.Fatalf("(-written +read)\n%s", diff)
		}
	})
	if err := Write(fails{}, []Job{{}}); !errors.Is(err, errFull) {
		t.Errorf("a write that fails: %v", err)
	}
}

var errFull = errors.New("full")

type fails struct{}

func (fails) Write([]byte) (int, error) { return 0, errFull }
