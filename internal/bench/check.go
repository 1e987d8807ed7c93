package bench

import (
	"fmt"
	"io"
	"path/filepath"

	"example.com/berth/internal/localstack"
)

// bandsFile is where the bands are, from the module's root.
const bandsFile = "testdata/bench/bands.json"

// inRepository calls do with the path of a file that is named from the module's
// root.
func inRepository(file string, do func(path string) error) error {
	root, err := localstack.Root()
	if err != nil {
		return fmt.Errorf("find %s: %w", file, err)
	}
	return do(filepath.Join(root, file))
}

// check prints what is outside its band, and fails if something is.
func check(file string, figures []Figure, out io.Writer) error {
	bands, err := readBands(file)
	if err != nil {
		return err
	}
	found := bands.outside(figures)
	for _, f := range found {
		if _, err := fmt.Fprintln(out, f); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%d of %d counts are outside their bands", len(found), len(counted(figures)))
	}
	_, err = fmt.Fprintf(out, "All %d counts are inside their bands.\n", len(counted(figures)))
	return err
}
