package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"example.com/berth/internal/replay"
)

type evaluateCmd struct {
	Dir     string        `arg:"" help:"Folder with configs.json and the traces that it names."`
	Window  string        `placeholder:"TEXT" help:"Only windows (trace/window/layout) whose name contains this."`
	Seeds   int           `default:"5" help:"Runs of each window with different chance."`
	Jitter  time.Duration `default:"10m" help:"Submit each job later by a random time of up to this."`
	Fresh   bool          `help:"Judge by the wider bands for traces that the policy was not developed on."`
	Shares  bool          `name:"equal-shares" help:"Instead, compare the plan with equal shares of every pool for its tenants, and without."`
	Reclaim string        `enum:"ownersFirst,inOrder" default:"ownersFirst" help:"How shares come back, as in a policy (ownersFirst, inOrder)."`
	Publish bool          `name:"check-references" help:"Instead, compare the references with the scores in reference.json of the folder."`
}

// Help is shown below the flags.
func (evaluateCmd) Help() string {
	return `Runs the plan over the windows of a folder of traces, each on the pools of its layouts, with ratios to EASY backfill with exact run times in the flat model: ` +
		`with limits that are the step of the run time (1h 4h 12h 1d 3d 7d 30d 90d), with learned run times, and with learned run times and limits that are 0 to 2 steps too high. ` +
		`A ratio of a window is the geometric mean of its runs. A gang is a job that needs more than a machine.

With --equal-shares a ratio is what a figure is with shares in parts of what it is without, and windows with one tenant are left out. ` +
		`Within is the mean wait of the jobs that came within the share of their tenant, in parts of that of all jobs.`
}

// An evaluated is what evaluate prints with --json.
type evaluated struct {
	Windows []replay.TableRow `json:"windows"`
	Columns []string          `json:"columns"`
	Bands   []replay.Band     `json:"bands"`
	Losses  []string          `json:"losses"`
}

func (c *evaluateCmd) Run(g *globals) error {
	if c.Seeds < 1 || c.Seeds > 1000 || c.Jitter < 0 {
		return usage("--seeds %d, --jitter %s: want 1 to 1000, and no less than 0", c.Seeds, c.Jitter)
	}
	all, err := replay.Windows(os.DirFS(c.Dir))
	if err != nil {
		return usage("%s: %w", c.Dir, err)
	}
	var windows []replay.Window
	for _, w := range all {
		if strings.Contains(w.Name, c.Window) {
			windows = append(windows, w)
		}
	}
	if len(windows) == 0 {
		return usage("--window %s: no window has such a name; there are %d, such as %s", c.Window, len(all), all[0].Name)
	}
	if c.Publish {
		return c.check(g, windows)
	}
	noise := replay.Noise{Seeds: c.Seeds, Jitter: c.Jitter}
	if c.Shares {
		return c.shares(g, windows)
	}
	total := 0
	for i := range windows {
		total += replay.TableRuns(&windows[i], noise)
	}
	bar := newProgress(g, total)
	result := evaluated{Columns: replay.Columns[:], Losses: []string{}}
	for i := range windows {
		row, err := replay.TableRowOf(&windows[i], noise, bar.add)
		if err != nil {
			bar.end()
			return unfinished(fmt.Errorf("%s: %w", windows[i].Name, err))
		}
		result.Windows = append(result.Windows, row)
	}
	bar.end()
	result.Bands = replay.Bands(result.Windows, c.Fresh)
	result.Losses = append(result.Losses, replay.Losses(result.Windows)...)
	if g.JSON {
		return pretty(g.out, result)
	}
	result.print(g)
	return nil
}

func (r *evaluated) print(g *globals) {
	heads := []string{"OF EASY'S WAIT", "EASY"}
	for _, name := range r.Columns {
		heads = append(heads, strings.ToUpper(strings.TrimPrefix(name, "learned, ")))
	}
	t := newTable(g.out, append(heads, "SHORTEST", "HALF-WAY")...)
	promises, kept := 0, 0
	for _, w := range r.Windows {
		row := []any{w.Window, w.Easy.Mean}
		for _, cell := range w.Columns {
			gang := "-"
			if w.Gangs > 0 {
				gang = fraction(cell.GangMax)
			}
			row = append(row, fmt.Sprintf("%s/%s/%s", fraction(cell.Mean), gang, fraction(cell.Max)))
			promises += cell.Promises
			kept += cell.Kept
		}
		t.row(append(row, fraction(w.Shortest), map[bool]string{true: "yes", false: "no"}[w.HalfWay])...)
	}
	t.end()
	say(g.out, "Cells are mean wait/longest gang wait/longest wait, - where there are no gangs. Loose limits are for learned run times too. %d of %d promises are kept.", kept, promises)
	say(g.out, "")
	heads[0] = "BAND"
	t = newTable(g.out, append(heads[:1:1], heads[2:]...)...)
	for _, b := range r.Bands {
		row := []any{b.Name}
		for _, j := range b.Judged {
			if j == nil {
				row = append(row, "-")
			} else {
				row = append(row, j)
			}
		}
		t.row(row...)
	}
	t.end()
	say(g.out, "")
	if len(r.Losses) == 0 {
		say(g.out, "The policy loses nowhere.")
		return
	}
	say(g.out, "Where the policy loses:")
	for _, l := range r.Losses {
		say(g.out, "  %s", l)
	}
}

// A checkedScores is what evaluate --check-references prints with --json.
type checkedScores struct {
	Compared    int                 `json:"compared"`
	Differences []replay.Difference `json:"differences"`
}

// check compares the references with published scores. A difference is a problem of
// this tool or of the file, so it ends with that code.
func (c *evaluateCmd) check(g *globals, windows []replay.Window) error {
	total := 0
	for i := range windows {
		total += 7 * len(windows[i].Jobs)
	}
	bar := newProgress(g, total)
	compared, differences, err := replay.CheckPublished(os.DirFS(c.Dir), windows, bar.add)
	bar.end()
	switch {
	case err != nil:
		return usage("%s: %w", c.Dir, err)
	case g.ctx.Err() != nil:
		return unfinished(replay.ErrStopped)
	}
	if g.JSON {
		err = pretty(g.out, checkedScores{compared, append([]replay.Difference{}, differences...)})
	} else {
		for _, d := range differences {
			say(g.out, "%s, %s: %s", d.Window, d.Policy, d.Detail)
		}
		say(g.out, "%d of %d scores are the published ones, to the second.", compared-len(differences), compared)
	}
	if err == nil && len(differences) > 0 {
		return &quit{code: exitProblems}
	}
	return err
}
