package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"example.com/berth/internal/visible"
)

// A logLine is what logs prints with --json.
type logLine struct {
	Time     time.Time         `json:"time"`
	Severity string            `json:"severity"`
	Task     string            `json:"task,omitempty"`
	Text     string            `json:"text,omitempty"`
	Payload  map[string]any    `json:"payload,omitempty"` // of an entry with fields
	Labels   map[string]string `json:"labels,omitempty"`
	Job      string            `json:"job"`
	InsertID string            `json:"insertId"`
}

func lineOf(job string, e *logEntry) logLine {
	l := logLine{Time: e.GetTimestamp().AsTime(), Severity: e.GetSeverity().String(), Task: e.GetResource().GetLabels()["task_name"], Text: e.GetTextPayload(),
		Labels: e.GetLabels(), Job: job, InsertID: e.GetInsertId()}
	if p := e.GetJsonPayload(); p != nil {
		l.Payload = p.AsMap()
		if text, ok := l.Payload["message"].(string); ok {
			l.Text = text
		} else if text, err := json.Marshal(l.Payload); err == nil {
			l.Text = string(text)
		}
	}
	return l
}

// line prints an entry.
func (l *logRun) line(job string, e *logEntry) error {
	line := lineOf(job, e)
	var err error
	switch {
	case l.JSON:
		return printJSON(l.out, line)
	case l.Raw:
		_, err = io.WriteString(l.out, strings.TrimSuffix(line.Text, "\n")+"\n")
	default:
		_, err = io.WriteString(l.out, line.format(l.out))
	}
	return err
}

// colours are sequences that set colours and styles (SGR of ECMA-48). Programs write them
// into their logs.
var colours = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// format is an entry as text: each of its lines with the same beginning, so that no text of
// a job looks like a line of another task.
func (l logLine) format(out io.Writer) string {
	at, severity := clock(l.Time), l.Severity
	if s, ok := out.(*screen); ok {
		if s.terminal && s.width < 80 {
			at = l.Time.Local().Format(time.TimeOnly)
		}
		if s.colour {
			severity = paints[severity].on(severity)
		}
	}
	severity += strings.Repeat(" ", max(0, len("WARNING")-len(l.Severity)))
	text := colours.ReplaceAllString(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", "    ").Replace(l.Text), "")
	var b strings.Builder
	for part := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		row := fmt.Sprintf("%s  %s  %-13s  %s", at, severity, line(l.Task), visible.Text(part))
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	return b.String()
}
