package main

import (
	"io"
	"strings"

	"example.com/berth/internal/capacity"
)

// fit writes the arithmetic per shape, how the shape differs from the pools if
// no pool has it, and the smallest edits that would fit. waits says that the
// job waits for another reason than replicas even where they are free.
func fit(w io.Writer, findings []capacity.Finding, waits bool) {
	if len(findings) == 0 {
		return
	}
	say(w, "")
	t := newTable(w, "SHAPE", "ASKED", "LIMIT", "TAKEN", "FREE", "SHORT", "POOLS", "FIT")
	for _, f := range findings {
		pools := strings.Join(f.Pools, ",")
		if pools == "" {
			pools = "none"
		}
		t.row(f.Shape, f.Asked, f.Limit, f.Taken, max(0, f.Limit-f.Taken), f.Short, pools, fitWord(f, waits))
	}
	t.end()
	for _, f := range findings {
		for _, n := range f.Nearest {
			if len(n.Fields) > len(f.Nearest[0].Fields) {
				continue // only the nearest pools are worth reading
			}
			say(w, "")
			say(w, "%s is not pool %s:", f.Shape, n.Pool)
			d := newTable(w, "  FIELD", "ASKED", "POOL HAS")
			for _, field := range n.Fields {
				d.row("  "+field.Field, orDash(field.Asked), orDash(field.Pool))
			}
			d.end()
		}
	}
	var edits []string
	for _, f := range findings {
		for _, e := range f.Edits {
			edits = append(edits, e.String())
		}
	}
	if len(edits) > 0 {
		say(w, "")
		say(w, "To fit:")
		for _, e := range edits {
			say(w, "  %s", e)
		}
	}
}

func fitWord(f capacity.Finding, waits bool) string {
	switch {
	case f.Verdict == capacity.Fits && waits:
		return "has room, but waits"
	case f.Verdict == capacity.Fits && f.ScaleUp:
		return "fits after scaling up"
	case f.Verdict == capacity.Fits:
		return "fits"
	case f.Verdict == capacity.Full:
		return "full"
	}
	return "never"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
