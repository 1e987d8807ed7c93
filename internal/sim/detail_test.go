package sim

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
)

// A detail is what a story's transcript leaves out: which documents each update reads,
// and every log event with all that it says.
type detail struct {
	*testing.T
	s     *story
	lines []string
	reads []string
}

func (d *detail) flush() {
	if len(d.reads) > 0 {
		slices.Sort(d.reads)
		d.lines = append(d.lines, "read "+strings.Join(d.reads, ", "))
	}
	d.reads = nil
}

var logTime = regexp.MustCompile(`^time=\S+ `)

func (d *detail) Logf(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	if strings.HasPrefix(said, "time=") {
		d.s.mu.Lock()
		defer d.s.mu.Unlock()
		d.flush()
		d.lines = append(d.lines, logTime.ReplaceAllString(said, "log "))
	}
}

// TestStoriesInDetail plays the stories again and holds what their transcripts leave out to
// testdata. An update that reads a document conflicts with every other write of it; a log
// event without what it is about helps no operator.
func TestStoriesInDetail(t *testing.T) {
	for name, play := range stories {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.quiet = true
			d := &detail{T: t, s: s}
			s.TB = d
			s.Controller = s.Instance(s.Config)
			fault := s.Ledger.Fault
			s.Ledger.Fault = func(op string) ledger.Fault {
				s.mu.Lock()
				d.flush()
				s.mu.Unlock()
				return fault(op)
			}
			s.Ledger.Saw = func(ref ledger.Ref, _ ledger.Document, _ int) {
				s.mu.Lock()
				defer s.mu.Unlock()
				d.reads = append(d.reads, ref.String())
			}
			play(s)
			d.flush()
			got := strings.Join(d.lines, "\n") + "\n"
			for key, id := range s.keys {
				got = strings.ReplaceAll(got, key, id)
			}
			got = strings.ReplaceAll(strings.ReplaceAll(got, Resource, "{pool}"), Parent, "{region}")
			golden(t, filepath.Join("testdata", "details", name+".txt"), got)
		})
	}
	files, err := filepath.Glob("testdata/details/*.txt")
	if err != nil || len(files) != len(stories) {
		t.Errorf("%d details of %d stories, %v", len(files), len(stories), err)
	}
}
