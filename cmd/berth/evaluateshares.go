package main

import (
	"fmt"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
)

// A sharedWindow is a row of evaluate --equal-shares with --json.
type sharedWindow struct {
	Window  string               `json:"window"`
	Jobs    int                  `json:"jobs"`
	Tenants int                  `json:"tenants"`
	Figures *replay.Sharing      `json:"figures"`
	Bands   []replay.SharingBand `json:"bands"`
}

// shares compares the plan with equal shares for the tenants of each window and without.
func (c *evaluateCmd) shares(g *globals, windows []replay.Window) error {
	noise := replay.Noise{Seeds: c.Seeds, Jitter: c.Jitter}
	rows, total := []sharedWindow{}, 0
	for i := range windows {
		if tenants := replay.Tenants(windows[i].Jobs); tenants > 1 {
			rows = append(rows, sharedWindow{Window: windows[i].Name, Jobs: len(windows[i].Jobs), Tenants: tenants})
			total += 2 * c.Seeds * len(windows[i].Jobs)
		}
	}
	if len(rows) == 0 {
		return usage("none of the %s has several tenants", reason.Count(len(windows), "window"))
	}
	bar := newProgress(g, total)
	next := 0
	for i := range windows {
		if next == len(rows) || windows[i].Name != rows[next].Window {
			continue
		}
		row := &rows[next]
		next++
		figures, err := replay.CompareShares(&windows[i], noise, c.Reclaim == "inOrder", bar.add)
		if err != nil {
			bar.end()
			return unfinished(fmt.Errorf("%s: %w", row.Window, err))
		}
		row.Figures, row.Bands = figures, figures.Bands()
	}
	bar.end()
	if g.JSON {
		return pretty(g.out, map[string]any{"windows": rows})
	}
	t := newTable(g.out, "EQUAL SHARES", "JOBS", "TENANTS", "WITHIN", "MEAN WAIT", "WORST SLOWDOWN", "LONGEST GANG")
	for _, row := range rows {
		cells := []any{row.Window, row.Jobs, row.Tenants}
		for _, b := range row.Bands {
			if b.Judged == nil {
				cells = append(cells, "-")
			} else {
				cells = append(cells, fmt.Sprintf("%.2f %s", b.Judged.Value, map[bool]string{true: "pass", false: "miss"}[b.Judged.Pass]))
			}
		}
		t.row(cells...)
	}
	t.end()
	say(g.out, "The bounds are 0.50 of the mean wait for jobs within their share, and of what is without shares 1.05 for the mean wait, 1.00 for the mean slowdown of the worst tenant and 1.00 for the longest wait of a gang.")
	return nil
}
