package sim

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/message"
)

// struckStories are those in which each call fails once, in both ways. They are short
// and between them make every kind of call.
var struckStories = []string{
	"a-whole-life", "a-gang-over-two-pools", "a-create-whose-answer-is-lost", "hints", "a-pause", "a-drain",
}

// TestOneFaultInAStory plays each story twice for each of its calls, and lets that call
// fail: having done nothing, and (marked by a star) having done it all. The file lists
// each result, the one without a fault first, after the numbers of the calls that lead
// to it: what became of each request, after how long, and what was created for it. A
// fault may cost time; it changes no outcome that it does not have to.
func TestOneFaultInAStory(t *testing.T) {
	for _, name := range struckStories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newStory(t)
			whole.quiet = true
			stories[name](whole)
			results, calls := []string{whole.rest()}, map[string][]string{}
			for strike := 1; strike <= whole.calls; strike++ {
				for _, after := range []bool{false, true} {
					s := newStory(t)
					s.strike, s.after, s.quiet = strike, after, true
					stories[name](s)
					result := s.rest()
					if calls[result] == nil && result != results[0] {
						results = append(results, result)
					}
					calls[result] = append(calls[result], fmt.Sprint(strike)+map[bool]string{false: "", true: "*"}[after])
				}
			}
			var got strings.Builder
			for _, result := range results {
				fmt.Fprintf(&got, "%s:\n%s\n", strings.Join(calls[result], " "), result)
			}
			file := "testdata/faults/" + name + ".txt"
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// rest lets twelve quiet minutes pass, and says what became of everything.
func (s *story) rest() string {
	for range 4 {
		s.Now = s.Now.Add(3 * time.Minute)
		_ = s.Tick()
	}
	s.CheckHolds()
	var parts []string
	records, resources := stored(s.Ledger)
	for _, r := range records {
		if r.Kind == message.KindAnswer && r.Tenant == message.Operators {
			parts = append(parts, "  operators: "+strings.Join(s.Out.Words(r.ID), " "))
		}
		if r.Kind == message.KindAnswer {
			continue
		}
		since := func(at time.Time) string {
			if at.IsZero() || r.Times.Received.IsZero() {
				return "-"
			}
			return at.Sub(r.Times.Received).Round(time.Second).String()
		}
		parts = append(parts, fmt.Sprintf("  %s %s, attempt %d, submitted %s, ended %s: %s", r.ID, r.State, r.Attempt, since(r.Times.Submitted), since(r.Times.Ended), strings.Join(s.Out.Words(r.ID), " ")))
	}
	slices.Sort(parts)
	for _, res := range resources {
		parts = append(parts, fmt.Sprintf("  %s: %d holds, %d foreign jobs", res.Name[strings.LastIndex(res.Name, "/")+1:], len(res.Holds), res.ForeignJobs))
	}
	calls := s.Vertex.Calls()
	return strings.Join(append(parts, fmt.Sprintf("  %d creates, %d cancels", calls["create"], calls["cancel"])), "\n")
}
