package replay

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Write writes jobs as the workload that [Read] reads: times in whole seconds, and a run
// of at least one.
func Write(w io.Writer, jobs []Job) error {
	rows := csv.NewWriter(w)
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	list := [][]string{{columnID, columnSubmit, columnReplicas, columnRun, columnTenant, columnPool, columnLimit, columnPriority}}
	for i := range jobs {
		j := &jobs[i]
		list = append(list, []string{j.ID, seconds(j.Submit), strconv.FormatInt(j.Replicas, 10), seconds(max(time.Second, j.Run)), j.Tenant, j.Pool,
			seconds(max(time.Second, j.Limit)), strconv.Itoa(j.Priority)})
	}
	if err := rows.WriteAll(list); err != nil {
		return fmt.Errorf("write the workload: %w", err)
	}
	return nil
}
