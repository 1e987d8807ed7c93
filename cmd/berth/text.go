package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/visible"
)

// line makes one harmless line of any text: text of other users must not
// control a terminal or imitate output.
func line(s string) string {
	return visible.Text(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}

// multiline makes text of several lines harmless, and leaves line breaks and tabs as they are.
func multiline(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "\n\t")
		if i < 0 {
			b.WriteString(visible.Text(s))
			break
		}
		b.WriteString(visible.Text(s[:i]))
		b.WriteByte(s[i])
		s = s[i+1:]
	}
	return b.String()
}

// say writes one line of text.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, line(fmt.Sprintf(format, args...))) //nolint:errcheck // the reader has closed the stream
}

// prose writes a line of text that people read. On a terminal that is too narrow it goes on in
// the next line, as far indented. Words stay whole, also those that are wider than the
// terminal: they are names and addresses, which are copied.
func prose(w io.Writer, format string, args ...any) {
	text := line(fmt.Sprintf(format, args...))
	s, ok := w.(*screen)
	if !ok || s.width == 0 || columns(text) <= s.width {
		say(w, "%s", text)
		return
	}
	indent := text[:leading(text)]
	row := ""
	for _, word := range strings.Fields(text) {
		if row != "" && columns(indent+row+" "+word) > s.width {
			say(w, "%s%s", indent, row)
			row = ""
		}
		if row != "" {
			row += " "
		}
		row += word
	}
	say(w, "%s%s", indent, row)
}

// printJSON writes a value as one line of JSON.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	_, err := w.Write(visible.JSON(b.Bytes()))
	return err
}

// indent writes indented JSON.
func indent(w io.Writer, text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("indent output: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(visible.JSON(b.Bytes()))
	return err
}

// span writes a duration to the second: 3m12s.
func span(d time.Duration) string { return d.Round(time.Second).String() }

func spanOf(d statuspage.Duration) string { return span(time.Duration(d)) }

// clock writes a moment in the reader's time zone.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// asked writes what a job needs: 2 x n1-standard-4/pd-ssd:100.
func asked(a capacity.Ask) string {
	var parts []string
	for _, n := range a {
		parts = append(parts, fmt.Sprintf("%d x %s", n.Replicas, n.Shape))
	}
	return strings.Join(parts, " + ")
}

// problem writes a problem without its fix.
func problem(p *reason.Problem) string {
	if p == nil {
		return ""
	}
	s := string(p.Code) + ": "
	if p.Path != "" {
		s += p.Path + ": "
	}
	return s + p.Detail
}

// operated writes what an operator did, to what, who that was and why. The resource is
// that of the answer; of a request it is left out.
func operated(o *message.Operation, resource string) string {
	s := string(o.Action) + " "
	switch {
	case o.OnRequest():
		s += cmp.Or(o.RequestID, o.MessageID) + " of the tenant " + o.Tenant
	case o.Tenant != "":
		s += "the tenant " + o.Tenant
	case o.Pool != "":
		s += "pool " + o.Pool + " of " + short(resource)
	default:
		s += short(resource)
	}
	if o.Priority != nil && o.FormerPriority != nil {
		s += fmt.Sprintf(" to priority %d (before: %d)", *o.Priority, *o.FormerPriority)
	}
	if o.Front {
		s += ", first of its priority"
	}
	return s + ", by " + o.Who + ": " + o.Reason
}

// problems lists problems, each with how to fix it.
func problems(w io.Writer, list []reason.Problem) {
	for _, p := range list {
		prose(w, "  %s", problem(&p))
		if p.Fix != "" {
			prose(w, "    %s", p.Fix)
		}
	}
}

// word is the short name of an event type: "queued".
func word(t message.Type) string {
	parts := strings.Split(string(t), ".")
	if len(parts) < 2 {
		return string(t)
	}
	return parts[len(parts)-2]
}

// short is the last segment of a full name.
func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
