package replay

import (
	"fmt"
	"time"

	"example.com/berth/internal/admission"
)

// The columns of a table: what is known of run times.
const (
	byLimits  = iota // limits are the step that a run time falls into
	byLearned        // as byLimits, and run times are learned
	byLoose          // as byLearned, with limits 0 to 2 steps higher
	columns
)

// Columns are the names of the columns.
var Columns = [columns]string{"limits", "learned", "learned, loose limits"}

// looseSteps is how much too high loose limits are, at most.
const looseSteps = 2

// A TableRow is one window: what each column has of EASY with exact run times.
type TableRow struct {
	Window  string        `json:"window"`
	Jobs    int           `json:"jobs"`
	Gangs   int           `json:"gangs"`
	Easy    Group         `json:"easy"`
	Columns [columns]Cell `json:"columns"`
	// Shortest is the mean wait of shortest first with exact run times.
	Shortest float64 `json:"shortest"`
	// HalfWay says that the mean wait by learned run times is at most half-way from EASY
	// to shortest first.
	HalfWay bool `json:"halfWay"`
}

// A Cell is one column of a window.
type Cell struct {
	Ratios
	// Over is how much longer than under EASY the longest wait is, at most, in one run.
	Over     Seconds `json:"longestWaitOverEasySeconds"`
	Promises int     `json:"promises"`
	Kept     int     `json:"promisesKept"`
}

// TablePlan is the policy of a table: nothing is delayed, so a job has no time to start.
var TablePlan = admission.PlanPolicy{Horizon: time.Hour, Patience: 24 * time.Hour}

// tablePolicies are run with exact limits, and loosePolicies with loose ones.
var (
	tablePolicies = []Policy{Plan, PlanLearned, EasyExact, ShortestExact}
	loosePolicies = []Policy{PlanLearned, EasyExact}
)

// TableRuns is how many jobs the runs of a window have in all.
func TableRuns(w *Window, noise Noise) int {
	return len(w.Jobs) * max(1, noise.Seeds) * (len(tablePolicies) + len(loosePolicies))
}

// TableRowOf runs a window in every column. The error is that of a [Result].
func TableRowOf(w *Window, noise Noise, progress func(int) bool) (TableRow, error) {
	o := Options{Pools: w.Pools, Plan: TablePlan, Gang: w.Gang(), Progress: progress}
	exact, err := Compare(w.Jobs, tablePolicies, noise, o)
	if err != nil {
		return TableRow{}, err
	}
	noise.Loose = looseSteps
	loose, err := Compare(w.Jobs, loosePolicies, noise, o)
	if err != nil {
		return TableRow{}, err
	}
	easy := &exact.Policies[2]
	row := TableRow{Window: w.Name, Jobs: len(w.Jobs), Gangs: easy.Gangs.Jobs, Easy: easy.Group, Shortest: exact.Policies[3].OfEasy.Mean}
	row.Columns = [columns]Cell{cell(&exact.Policies[0], easy), cell(&exact.Policies[1], easy), cell(&loose.Policies[0], easy)}
	row.HalfWay = 2*exact.Policies[1].Mean <= easy.Mean+exact.Policies[3].Mean
	return row, nil
}

// runs are the scores of all runs.
func (c *Compared) runs() []Score {
	if len(c.Runs) == 0 {
		return []Score{c.Score}
	}
	return c.Runs
}

func cell(c, easy *Compared) Cell {
	s := Cell{Ratios: c.OfEasy, Promises: c.Promises, Kept: c.Kept}
	for i, run := range c.runs() {
		if over := run.Max - easy.runs()[i].Max; i == 0 || over > s.Over {
			s.Over = over
		}
	}
	return s
}

// A Band is a bound on a figure of a table, by column.
type Band struct {
	Name   string           `json:"name"`
	Judged [columns]*Judged `json:"columns"` // nil where there is no bound
}

// A Judged is a figure and its bound.
type Judged struct {
	Value float64 `json:"value"`
	Bound float64 `json:"bound"`
	Least bool    `json:"atLeast,omitempty"` // the bound is a least value
	Pass  bool    `json:"pass"`
	Unit  string  `json:"unit,omitempty"` // "" for a ratio, % of the windows, or h
}

func (j *Judged) String() string {
	sign, verdict := "<=", "miss"
	if j.Least {
		sign = ">="
	}
	if j.Pass {
		verdict = "pass"
	}
	if j.Unit == "" {
		return fmt.Sprintf("%.2f %s %.2f %s", j.Value, sign, j.Bound, verdict)
	}
	return fmt.Sprintf("%.0f %s %s %.0f %s %s", j.Value, j.Unit, sign, j.Bound, j.Unit, verdict)
}

// Bounds of the figures. Those of mean waits are wider for traces that the policy was
// not developed on.
var (
	meanBounds    = [columns]float64{.60, .55, .60}
	newMeanBounds = [columns]float64{.80, .75, .80}
	worstBounds   = [columns]float64{1.0, 1.0, 0}
	newWorst      = [columns]float64{1.1, 1.0, 0}
	gangBounds    = [columns]float64{.75, .75, .90}
)

const (
	gangEach   = 1.15 // of the longest gang wait, on gangPart of the windows
	gangPart   = 85
	maxBound   = 1.25
	overBound  = 48 // hours
	halfWayMin = 75 // % of the windows
)

// Bands judges a table. fresh says that the policy was not developed on its traces.
func Bands(rows []TableRow, fresh bool) []Band {
	mean, worst := meanBounds, worstBounds
	if fresh {
		mean, worst = newMeanBounds, newWorst
	}
	most := func(bound float64, value float64, unit string) *Judged {
		return &Judged{Value: value, Bound: bound, Pass: value <= bound, Unit: unit}
	}
	least := func(bound float64, part func(TableRow) bool, of []TableRow) *Judged {
		n := 0
		for _, r := range of {
			if part(r) {
				n++
			}
		}
		value := 100 * float64(n) / float64(len(of))
		return &Judged{Value: value, Bound: bound, Least: true, Pass: value >= bound, Unit: "%"}
	}
	var gangs []TableRow
	for _, r := range rows {
		if r.Gangs > 0 {
			gangs = append(gangs, r)
		}
	}
	bands := []Band{{Name: "mean wait"}, {Name: "mean wait, worst window"}, {Name: "longest gang wait"}, {Name: fmt.Sprintf("windows with one of %.2f or less", gangEach)},
		{Name: "longest wait"}, {Name: "longest wait over EASY's"}, {Name: "windows half-way to shortest"}}
	for c := range columns {
		all, ok := geometric(rows, c), geometric(gangs, c)
		bands[0].Judged[c] = most(mean[c], all.Mean, "")
		if worst[c] > 0 {
			bands[1].Judged[c] = most(worst[c], largest(rows, func(r TableRow) float64 { return r.Columns[c].Mean }), "")
		}
		if len(gangs) > 0 {
			bands[2].Judged[c] = most(gangBounds[c], ok.GangMax, "")
			if c != byLoose {
				bands[3].Judged[c] = least(gangPart, func(r TableRow) bool { return r.Columns[c].GangMax <= gangEach }, gangs)
			}
		}
		bands[4].Judged[c] = most(maxBound, all.Max, "")
		bands[5].Judged[c] = most(overBound, largest(rows, func(r TableRow) float64 { return time.Duration(r.Columns[c].Over).Hours() }), "h")
	}
	bands[6].Judged[byLearned] = least(halfWayMin, func(r TableRow) bool { return r.HalfWay }, rows)
	return bands
}

func geometric(rows []TableRow, column int) Ratios {
	var list []Ratios
	for _, r := range rows {
		list = append(list, r.Columns[column].Ratios)
	}
	return Geometric(list)
}

func largest(rows []TableRow, of func(TableRow) float64) float64 {
	most := of(rows[0])
	for _, r := range rows[1:] {
		most = max(most, of(r))
	}
	return most
}

// Losses say where a column is worse than EASY with exact run times, or misses a bound
// that holds for each window.
func Losses(rows []TableRow) (list []string) {
	for _, r := range rows {
		for c, name := range Columns {
			cell := r.Columns[c]
			if cell.Mean > 1 {
				list = append(list, fmt.Sprintf("%s, %s: the mean wait is %.2f of EASY's", r.Window, name, cell.Mean))
			}
			if r.Gangs > 0 && cell.GangMax > gangEach {
				list = append(list, fmt.Sprintf("%s, %s: the longest gang wait is %.2f of EASY's", r.Window, name, cell.GangMax))
			}
			if cell.Max > maxBound {
				list = append(list, fmt.Sprintf("%s, %s: the longest wait is %.2f of EASY's, at most %s longer", r.Window, name, cell.Max, cell.Over))
			}
		}
		if !r.HalfWay {
			list = append(list, fmt.Sprintf("%s, %s: the mean wait is %.2f of EASY's, and shortest first has %.2f", r.Window, Columns[byLearned], r.Columns[byLearned].Mean, r.Shortest))
		}
	}
	return list
}
