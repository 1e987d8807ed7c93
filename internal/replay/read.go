package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/admission"
)

// Columns of a workload, by their names in its first row. Others are passed over.
const (
	columnID       = "job_id"
	columnSubmit   = "submit_s"
	columnReplicas = "gpus"
	columnRun      = "duration_s"
	columnTenant   = "tenant"
	columnPool     = "pool"
	columnLimit    = "limit_s"
	columnMachines = "nodes"
	columnPriority = "priority"
)

var (
	requiredColumns = []string{columnID, columnSubmit, columnReplicas, columnRun}
	optionalColumns = []string{columnTenant, columnPool, columnLimit, columnMachines, columnPriority}
)

// Bounds of a workload. Times are bounded so that sums of them stay in range: a run ends
// at maxTime, which is less than 290 years with a run time and a limit on top.
const (
	year        = 366 * 24 * 3600 // seconds
	maxSubmit   = 100 * year
	maxRun      = 10 * year
	maxTime     = 200 * year * time.Second
	maxReplicas = 1_000_000
	maxJobs     = 5_000_000
)

// Limits says which time limits the jobs of a workload have that declare none.
type Limits struct {
	// Default is the limit of a job whose limit_s is empty or 0. Zero stands for
	// [DefaultLimit].
	Default time.Duration
	// Missing says that Default also holds for a workload without the column. Else
	// each of its jobs declares the step of [admission.LimitStep] that its run time
	// falls into.
	Missing bool
	// Max is the longest limit: longer ones are lowered to it. Zero stands for none.
	Max time.Duration
}

// A reader reads the rows of a workload.
type reader struct {
	rows   *csv.Reader
	column map[string]int
	limits Limits
	row    []string
	line   int
	faults faults
}

// Read reads a workload as CSV, plain or compressed by gzip. The error names the
// first lines that are wrong, and what each of them should be.
func Read(r io.Reader, limits Limits) ([]Job, error) {
	text := bufio.NewReader(r)
	var from io.Reader = text
	if magic, _ := text.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(text)
		if err != nil {
			return nil, fmt.Errorf("decompress the workload: %w", err)
		}
		from = z
	}
	rd := &reader{rows: csv.NewReader(from), limits: limits}
	if err := rd.header(); err != nil {
		return nil, err
	}
	var jobs []Job
	for {
		row, err := rd.rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(rd.faults.err(), fmt.Errorf("read the workload: %w", err))
		}
		if len(jobs) == maxJobs {
			return nil, fmt.Errorf("the workload has more than %d jobs; split it", maxJobs)
		}
		rd.row = row
		rd.line, _ = rd.rows.FieldPos(0)
		j := rd.job()
		if len(jobs) > 0 && j.Submit < jobs[len(jobs)-1].Submit {
			rd.faults.add(rd.line, "it is submitted before the line above it; sort the workload by %s", columnSubmit)
		}
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 {
		return nil, errors.New("the workload has no jobs; want one a line below the names of the columns")
	}
	return jobs, rd.faults.err()
}

func (r *reader) header() error {
	header, err := r.rows.Read()
	if err != nil {
		return fmt.Errorf("read the workload's first line: %w; want the names of its columns", err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	r.column = map[string]int{}
	for _, name := range slices.Concat(requiredColumns, optionalColumns) {
		r.column[name] = slices.Index(header, name)
		if r.column[name] < 0 && slices.Contains(requiredColumns, name) {
			return fmt.Errorf("line 1: there is no column %s; want %s and, optionally, %s",
				name, strings.Join(requiredColumns, ", "), strings.Join(optionalColumns, ", "))
		}
		if i := r.column[name]; i >= 0 && slices.Contains(header[i+1:], name) {
			return fmt.Errorf("line 1: there are two columns %s; want one", name)
		}
	}
	return nil
}

func (r *reader) job() Job {
	j := Job{Line: r.line, ID: r.text(columnID), Tenant: r.text(columnTenant), Pool: r.text(columnPool),
		Submit: r.seconds(columnSubmit, maxSubmit), Replicas: r.number(columnReplicas, 1, maxReplicas), Run: r.seconds(columnRun, maxRun)}
	if r.text(columnMachines) != "" {
		j.Machines = r.number(columnMachines, 1, maxReplicas)
		if j.Machines > j.Replicas && j.Replicas > 0 {
			r.faults.add(r.line, "%s is more than %s: each machine has at least one", columnMachines, columnReplicas)
		}
	}
	if r.text(columnPriority) != "" {
		j.Priority = int(r.number(columnPriority, -1000, 1000))
	}
	if r.text(columnLimit) != "" {
		j.Limit = r.seconds(columnLimit, maxRun)
	}
	switch {
	case j.Limit > 0:
	case r.column[columnLimit] >= 0 || r.limits.Missing:
		if j.Limit = r.limits.Default; j.Limit <= 0 {
			j.Limit = DefaultLimit
		}
	default:
		j.Limit = max(j.Run, admission.LimitStep(j.Run))
	}
	if r.limits.Max > 0 {
		j.Limit = min(j.Limit, r.limits.Max)
	}
	return j
}

// text is a field of the row; "" if there is no such column.
func (r *reader) text(name string) string {
	if i := r.column[name]; i >= 0 {
		return r.row[i]
	}
	return ""
}

func (r *reader) number(name string, least, most int64) int64 {
	n, err := strconv.ParseInt(r.text(name), 10, 64)
	if err != nil || n < least || n > most {
		r.faults.add(r.line, "%s is not a whole number from %d to %d", name, least, most)
	}
	return n
}

func (r *reader) seconds(name string, most int64) time.Duration {
	return time.Duration(min(most, r.number(name, 0, most))) * time.Second
}

func (f *faults) err() error {
	if f.more > 0 {
		return errors.Join(append(f.list, fmt.Errorf("and %d more faults", f.more))...)
	}
	return errors.Join(f.list...)
}
