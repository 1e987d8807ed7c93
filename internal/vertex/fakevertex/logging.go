package fakevertex

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Sizes of pages of log entries.
const (
	defaultLogPage = 50
	largestLogPage = 1000
	largestBody    = 1 << 20
)

// severities in their order.
var severities = []string{"DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"}

// A listLogEntries is the body of entries:list.
type listLogEntries struct {
	ResourceNames []string `json:"resourceNames"`
	ProjectIDs    []string `json:"projectIds"`
	Filter        string   `json:"filter"`
	OrderBy       string   `json:"orderBy"`
	PageSize      int      `json:"pageSize"`
	PageToken     string   `json:"pageToken"`
}

// logEntries answers POST /v2/entries:list of Cloud Logging: the log of jobs, in the form
// that gcloud ai custom-jobs stream-logs and a log sink read.
func (s *Server) logEntries(body []byte) (map[string]any, error) {
	var req listLogEntries
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "Invalid JSON payload received. %v", err)
	}
	var projects []string
	for _, name := range append(req.ResourceNames, req.ProjectIDs...) {
		project, ok := strings.CutPrefix(name, "projects/")
		if project, _, _ = strings.Cut(project, "/"); !ok && slices.Contains(req.ResourceNames, name) || !projectWord.MatchString(project) {
			return nil, status.Errorf(codes.InvalidArgument, "Invalid resource name %q: only projects are served.", name)
		}
		projects = append(projects, project)
	}
	if len(projects) == 0 {
		return nil, status.Error(codes.InvalidArgument, "At least one resource name is required.")
	}
	order, known := map[string]int{"": 1, "timestamp": 1, "timestamp asc": 1, "timestamp desc": -1}[req.OrderBy]
	if !known {
		return nil, status.Errorf(codes.InvalidArgument, "Unsupported order_by %q.", req.OrderBy)
	}
	selects, err := parseClauses(req.Filter, logTerm, true)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "Unparseable filter: %v.", err)
	}
	scope := fnv.New32a()
	scope.Write(fmt.Appendf(nil, "%q %q %d", projects, req.Filter, order))
	last := -1
	if req.PageToken != "" {
		var sum uint32
		raw, err := base64.RawURLEncoding.DecodeString(req.PageToken)
		if err == nil {
			_, err = fmt.Sscanf(string(raw), "%d %d", &sum, &last)
		}
		if err != nil || sum != scope.Sum32() {
			return nil, status.Error(codes.InvalidArgument, "page_token doesn't match arguments from the request.")
		}
	}
	size := min(cmp.Or(max(req.PageSize, 0), defaultLogPage), largestLogPage)
	out, entries := map[string]any{}, []any{}
	err = s.read(func() error {
		for _, e := range s.logOrdered(selects, order) {
			s.work++
			if last >= 0 && (e.N-last)*order <= 0 || !selects.holds(e) {
				continue
			}
			number := strings.Split(e.Job, "/")[1]
			i := slices.IndexFunc(projects, func(p string) bool { return s.projectNumber(p) == number })
			if i < 0 {
				continue
			}
			if len(entries) == size {
				out["nextPageToken"] = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d", scope.Sum32(), last))
				break
			}
			entries, last = append(entries, e.json(projects[i])), e.N
		}
		return nil
	})
	if len(entries) > 0 {
		out["entries"] = entries
	}
	return out, err
}

// serveLog is the one path of Cloud Logging.
func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, largestBody))
	var out any
	if err == nil {
		out, err = s.intercept(r.Context(), nil, &grpc.UnaryServerInfo{FullMethod: logMethod},
			func(context.Context, any) (any, error) { return s.logEntries(body) })
	}
	ew := &errorWriter{ResponseWriter: w}
	defer ew.finish(true)
	if err != nil {
		st := status.Convert(err)
		ew.WriteHeader(http.StatusInternalServerError) // finish knows better
		out = map[string]any{"code": st.Code(), "message": st.Message()}
	}
	_ = json.NewEncoder(ew).Encode(out) // the caller may have gone
}

const (
	logPath   = "/v2/entries:list"
	logMethod = "/google.logging.v2.LoggingServiceV2/ListLogEntries"
)

// logOrdered is every entry that the clause may select. The log of one job is found
// without the others.
func (s *Server) logOrdered(c clause[*logEntry], order int) []*logEntry {
	list := s.log
	for _, need := range c.needs {
		if id, ok := strings.CutPrefix(need, jobIDField+"="); ok {
			list = s.logOf[id]
		}
	}
	if order < 0 {
		list = slices.Clone(list)
		slices.Reverse(list)
	}
	return list
}

const jobIDField = "resource.labels.job_id"

// logTerm is what a comparison says of a log entry.
func logTerm(c comparison) (clause[*logEntry], error) {
	value, negate := c.value.text, c.op == "!="
	field, isText := logText(c.field)
	switch {
	case c.field == "timestamp" && c.op != ":":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return clause[*logEntry]{}, fmt.Errorf("timestamp %q is not in RFC 3339 format", value)
		}
		holds, err := compares(c)
		if err != nil {
			return clause[*logEntry]{}, err
		}
		return plain(func(e *logEntry) bool { return holds(e.At.Compare(at)) })
	case c.field == "severity" && c.op != ":":
		rank := slices.Index(severities, value)
		if rank < 0 {
			return clause[*logEntry]{}, fmt.Errorf("%q is not a severity", value)
		}
		holds, err := compares(c)
		if err != nil {
			return clause[*logEntry]{}, err
		}
		return plain(func(e *logEntry) bool { return holds(cmp.Compare(slices.Index(severities, e.Severity), rank)) })
	case c.field == "insertId" && (c.op == ">" || c.op == ">=" || c.op == "<" || c.op == "<="):
		holds, err := compares(c)
		if err != nil {
			return clause[*logEntry]{}, err
		}
		return plain(func(e *logEntry) bool { return holds(strings.Compare(e.insertID(), value)) })
	case isText && c.op == "=":
		return plain(func(e *logEntry) bool { text, ok := field(e); return ok && text == value }, c.field+"="+value)
	case isText && negate:
		return plain(func(e *logEntry) bool { text, ok := field(e); return ok && text != value })
	case isText && c.op == ":" && c.value == (token{'w', "*"}):
		return plain(func(e *logEntry) bool { _, ok := field(e); return ok })
	case isText && c.op == ":":
		return plain(func(e *logEntry) bool {
			text, ok := field(e)
			return ok && strings.Contains(strings.ToLower(text), strings.ToLower(value))
		})
	}
	return clause[*logEntry]{}, c.refuse()
}

// logText is how a field of text is read from an entry.
func logText(field string) (func(*logEntry) (string, bool), bool) {
	switch field {
	case "resource.type":
		return func(*logEntry) (string, bool) { return "ml_job", true }, true
	case jobIDField:
		return func(e *logEntry) (string, bool) { return lastWord(e.Job), true }, true
	case "resource.labels.task_name":
		return func(e *logEntry) (string, bool) { return e.Task, true }, true
	case "textPayload":
		return func(e *logEntry) (string, bool) { return e.Text, true }, true
	case "insertId":
		return func(e *logEntry) (string, bool) { return e.insertID(), true }, true
	}
	if key, ok := strings.CutPrefix(field, "labels."); ok && key != "" {
		return func(e *logEntry) (string, bool) { v, ok := e.labels()[key]; return v, ok }, true
	}
	return nil, false
}
