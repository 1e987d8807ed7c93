// Package replay runs a workload through the plan of package admission in virtual
// time, beside references that bound it from both sides: EASY backfill and
// shortest job first, both with exact run times, which no scheduler knows in advance.
//
// The model is flat: one pool of equal replicas, each job takes some of them for
// its run time and is never preempted. Scheduling takes no time.
package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"example.com/berth/internal/admission"
)

// A Job is one row of a workload.
type Job struct {
	ID       string
	Tenant   string
	Submit   time.Duration // since the start of the workload
	Replicas int64
	Run      time.Duration // how long it runs
	Limit    time.Duration // how long it may run, as declared; never less than Run
}

// Columns of a workload, by their names in its first row. Others are passed over.
const (
	columnID       = "job_id"
	columnSubmit   = "submit_s"
	columnReplicas = "gpus"
	columnRun      = "duration_s"
	columnTenant   = "tenant"
)

// maxSeconds bounds times in a workload, so that sums of them stay in range: a
// hundred years.
const maxSeconds = 100 * 366 * 24 * 3600

// Read reads a workload as CSV. A job's limit is the step of [admission.LimitStep]
// that its run time falls into. The error names every line that is wrong, at most
// twenty.
func Read(r io.Reader) ([]Job, error) {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("read the workload's first line: %w", err)
	}
	column := map[string]int{}
	for _, name := range []string{columnID, columnSubmit, columnReplicas, columnRun, columnTenant} {
		if column[name] = slices.Index(header, name); column[name] < 0 && name != columnTenant {
			return nil, fmt.Errorf("line 1: there is no column %s; want %s, %s, %s and %s, and optionally %s",
				name, columnID, columnSubmit, columnReplicas, columnRun, columnTenant)
		}
	}
	var jobs []Job
	var wrong []error
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the workload: %w", err)
		}
		line, _ := rows.FieldPos(0)
		number := func(name string, least int64) int64 {
			n, err := strconv.ParseInt(row[column[name]], 10, 64)
			if err != nil || n < least || n > maxSeconds {
				wrong = append(wrong, fmt.Errorf("line %d: %s is not a whole number from %d to %d", line, name, least, int64(maxSeconds)))
			}
			return n
		}
		j := Job{ID: row[column[columnID]], Submit: time.Duration(number(columnSubmit, 0)) * time.Second,
			Replicas: number(columnReplicas, 1), Run: time.Duration(number(columnRun, 0)) * time.Second}
		if i := column[columnTenant]; i >= 0 {
			j.Tenant = row[i]
		}
		if len(jobs) > 0 && j.Submit < jobs[len(jobs)-1].Submit {
			wrong = append(wrong, fmt.Errorf("line %d: it is submitted before the line above it; sort the workload by %s", line, columnSubmit))
		}
		if len(wrong) >= 20 {
			break
		}
		j.Limit = max(j.Run, admission.LimitStep(j.Run))
		jobs = append(jobs, j)
	}
	return jobs, errors.Join(wrong...)
}
