package replay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scored is the score of n replicas if the p95 is an hour below a size, else a minute.
func scored(enough int64, tried *[]int64) func(int64) (Score, error) {
	return func(n int64) (Score, error) {
		*tried = append(*tried, n)
		if n < enough {
			return Score{Group: Group{P95: Seconds(time.Hour)}}, nil
		}
		return Score{Group: Group{P95: Seconds(time.Minute)}}, nil
	}
}

// Wherever the search begins, it finds the size, tries none twice and none out of its
// bounds, and few of them.
func TestFindSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Search{Least: rapid.Int64Range(1, 50).Draw(t, "least"), Step: rapid.Int64Range(1, 9).Draw(t, "step"), Target: Seconds(time.Minute)}
		s.Most = s.Least + rapid.Int64Range(0, 3000).Draw(t, "range")
		s.First = rapid.Int64Range(0, 4000).Draw(t, "first")
		enough := rapid.Int64Range(1, s.Most+20).Draw(t, "enough")
		var tried []int64
		sizes, found, err := FindSize(s, scored(enough, &tried))
		last := s.Least + (s.Most-s.Least)/s.Step*s.Step
		want := s.Least + max(0, (enough-s.Least+s.Step-1)/s.Step)*s.Step
		seen := map[int64]bool{}
		for _, n := range tried {
			if seen[n] || n < s.Least || n > s.Most || (n-s.Least)%s.Step != 0 {
				t.Fatalf("tries %v", tried)
			}
			seen[n] = true
		}
		if len(tried) > 30 || err != nil {
			t.Fatalf("tries %d sizes, %v", len(tried), err)
		}
		if found != (want <= last) {
			t.Fatalf("found %t, want a size of %d up to %d", found, want, last)
		}
		if !found {
			if len(sizes) != 1 || sizes[0].Replicas != last || sizes[0].OK {
				t.Fatalf("sizes %v, want the largest, %d", sizes, last)
			}
			return
		}
		var names, wanted []string
		for _, size := range sizes {
			names = append(names, fmt.Sprint(size.Replicas, size.OK))
		}
		for _, n := range []int64{want - s.Step, want, want + s.Step} {
			if n >= s.Least && n <= last {
				wanted = append(wanted, fmt.Sprint(n, n >= enough))
			}
		}
		if fmt.Sprint(names) != fmt.Sprint(wanted) {
			t.Fatalf("sizes %v, want %v", names, wanted)
		}
	})
}

func TestFindSizeStops(t *testing.T) {
	calls := 0
	_, _, err := FindSize(Search{Least: 1, Most: 100, Step: 1}, func(int64) (Score, error) {
		if calls++; calls == 3 {
			return Score{}, ErrStopped
		}
		return Score{Group: Group{P95: Seconds(time.Hour)}}, nil
	})
	if !errors.Is(err, ErrStopped) || calls != 3 {
		t.Errorf("error %v after %d calls, want 3", err, calls)
	}
}

// A size with which the workload never ends is too small.
func TestFindSizeTooLong(t *testing.T) {
	sizes, found, err := FindSize(Search{Least: 1, Most: 8, Step: 1}, func(n int64) (Score, error) {
		if n < 4 {
			return Score{}, ErrTooLong
		}
		return Score{}, nil
	})
	if err != nil || !found || len(sizes) != 3 || sizes[0].OK || !sizes[0].TooLong || !sizes[1].OK || sizes[1].Replicas != 4 {
		t.Errorf("sizes %+v, %v", sizes, err)
	}
}
