package vertex

import (
	"testing"
	"time"
)

// A job ends at the latest when it has had its time limit, or Vertex AI's, from its start
// on; before that from its creation on.
func TestLatestEnd(t *testing.T) {
	created, started := time.Unix(1000, 0), time.Unix(2000, 0)
	for _, test := range []struct {
		job  Job
		want time.Time
	}{
		{Job{}, time.Time{}},
		{Job{Timeout: time.Hour}, time.Time{}},
		{Job{CreateTime: created, Timeout: time.Hour}, created.Add(time.Hour)},
		{Job{CreateTime: created, StartTime: started, Timeout: time.Hour}, started.Add(time.Hour)},
		{Job{CreateTime: created, StartTime: started}, started.Add(7 * 24 * time.Hour)},
	} {
		if got := test.job.LatestEnd(); !got.Equal(test.want) {
			t.Errorf("%+v ends by %s, want %s", test.job, got, test.want)
		}
	}
}
