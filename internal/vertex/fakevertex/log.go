package fakevertex

import (
	"fmt"
	"strings"
	"time"
)

// A logEntry is one line of the log of a job, as Vertex AI writes it to Cloud Logging.
type logEntry struct {
	At       time.Time `json:"at"`
	N        int       `json:"n"`   // number among all entries
	Job      string    `json:"job"` // its name
	Task     string    `json:"task"`
	Severity string    `json:"severity"`
	State    string    `json:"state,omitempty"` // of the job, without prefix; only lines of the service have it
	Text     string    `json:"text"`
}

// service is the task whose lines Vertex AI writes itself.
const service = "service"

// say writes a line of the service.
func (s *Server) say(j *job, text string) { s.sayOf(j, service, "INFO", text) }

func (s *Server) sayOf(j *job, task, severity, text string) {
	e := &logEntry{At: s.now, Job: j.pb.Name, Task: task, Severity: severity, Text: text}
	if task == service {
		e.State = strings.TrimPrefix(j.pb.State.String(), "JOB_STATE_")
	}
	s.keepEntry(e)
}

// sayEnd writes how a job ended.
func (s *Server) sayEnd(j *job) {
	switch j.pb.State {
	case succeeded, partly:
		s.say(j, "Job completed successfully.")
	case cancelled:
		s.say(j, "Job is cancelled.")
	default:
		if text := j.pb.GetError().GetMessage(); text != "" {
			s.sayOf(j, service, "ERROR", text)
		}
		s.sayOf(j, service, "ERROR", "Job failed.")
	}
}

// keepEntry adds an entry, which is not older than those before it.
func (s *Server) keepEntry(e *logEntry) {
	e.N = len(s.log)
	s.log = append(s.log, e)
	id := lastWord(e.Job)
	s.logOf[id] = append(s.logOf[id], e)
}

// insertID orders entries of one time as they were written.
func (e *logEntry) insertID() string { return fmt.Sprintf("fake%012d", e.N) }

// json is the entry as Cloud Logging shows it to a project that calls itself so.
func (e *logEntry) json(project string) map[string]any {
	location := strings.Split(e.Job, "/")[3]
	out := map[string]any{
		"insertId":         e.insertID(),
		"logName":          "projects/" + project + "/logs/ml.googleapis.com%2F" + lastWord(e.Job),
		"timestamp":        e.stamp(),
		"receiveTimestamp": e.stamp(),
		"severity":         e.Severity,
		"resource": map[string]any{"type": "ml_job", "labels": map[string]string{
			"job_id": lastWord(e.Job), "project_id": project, "task_name": e.Task, "location": location}},
		"textPayload": e.Text,
	}
	if labels := e.labels(); labels != nil {
		out["labels"] = labels
	}
	return out
}

func (e *logEntry) stamp() string { return e.At.Format("2006-01-02T15:04:05.000000Z") }

func (e *logEntry) labels() map[string]string {
	if e.State == "" {
		return nil
	}
	return map[string]string{"ml.googleapis.com/job_state": e.State, "ml.googleapis.com/endpoint": ""}
}
