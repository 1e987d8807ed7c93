package mutation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const scoreHead = `# How many of the drawn bugs the tests notice, by package. The command of each row
# draws the same sample again as long as the source of the package is the same; with
# -score it writes its row into this file and leaves the others as they are. "drawn"
# leaves out the accepted survivors, which are in survivors.txt with their reasons.
# "steps" is how many steps of the tests were run for each, the fastest first.
`

const scoreRow = "%-20s %8s %6s %7s %6s %9s %6s %10s %6s  %s\n"

// WriteScore puts the counts of a report into a file of scores, one row a package, and
// keeps the rows of other packages. A survey that was cut short has no score to keep.
func WriteScore(path string, r *Report, steps int, command string) error {
	if r.Cut {
		return errors.New("the survey was cut short, so its score is not that of its sample")
	}
	rows := map[string]string{}
	old, err := os.Open(path)
	if err == nil {
		err = errors.Join(readScore(old, rows), old.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the scores: %w", err)
	}
	for name, c := range r.Packages {
		if c.Run > 0 {
			rows[name] = fmt.Sprintf(scoreRow, name, fmt.Sprint(c.Mutants), fmt.Sprint(c.Run), fmt.Sprint(c.Killed), fmt.Sprint(c.Lived), fmt.Sprint(c.Accepted),
				fmt.Sprintf("%.1f", c.Score), fmt.Sprint(r.Seed), stepsRun(steps), command)
		}
	}
	var out strings.Builder
	out.WriteString(scoreHead)
	fmt.Fprintf(&out, scoreRow, "package", "mutants", "drawn", "killed", "lived", "accepted", "score", "seed", "steps", "command")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out.WriteString(rows[name])
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a folder of the checkout
		return err
	}
	return os.WriteFile(path, []byte(out.String()), 0o644) //nolint:gosec // everybody may read it
}

func stepsRun(steps int) string {
	if steps == 0 {
		return "all"
	}
	return fmt.Sprint(steps)
}

// readScore collects the rows of a file of scores by package.
func readScore(from io.Reader, rows map[string]string) error {
	in := bufio.NewScanner(from)
	for in.Scan() {
		fields := strings.Fields(in.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") || fields[0] == "package" {
			continue
		}
		rows[fields[0]] = in.Text() + "\n"
	}
	return in.Err()
}
