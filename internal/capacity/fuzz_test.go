package capacity

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"testing"
)

// A case is read from bytes: first whether it is small enough for the model or
// has numbers as large as a forger would write, then pools, use and ask.
type caseReader []byte

func (c *caseReader) below(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// count reads a number of machines: up to small, or any that is not negative.
func (c *caseReader) count(huge bool, small int) Replicas {
	if !huge || c.below(2) == 0 {
		return Replicas(c.below(small + 1))
	}
	var b [8]byte
	copy(b[:], *c)
	*c = (*c)[min(8, len(*c)):]
	n := binary.BigEndian.Uint64(b[:]) >> (c.below(63) + 1)
	if c.below(8) == 7 {
		n = math.MaxInt64 - n%4
	}
	return Replicas(n)
}

// mostMachines bounds a pool: five of them together still have a number. Use is
// not bounded, since sums of it saturate.
const mostMachines = 1 << 60

func readCase(bytes []byte) (w world, huge bool) {
	c := caseReader(bytes)
	huge = c.below(3) == 2
	w.Use = Use{}
	from := []Shape{small, small, large, gpu}
	for i := range c.below(exactPools + 3) {
		p := Pool{ID: "pool-" + strconv.Itoa(i), Shape: from[c.below(len(from))], Count: c.count(huge, 5) % mostMachines}
		if c.below(2) == 1 {
			p.Max = c.count(huge, 6) % mostMachines
		}
		w.Pools = append(w.Pools, p)
	}
	for _, s := range shapes {
		if u := c.count(huge, 9); u > 0 {
			w.Use[s] = u
		}
	}
	for i := range c.below(5) {
		n := Need{WorkerPool: i, Shape: from[c.below(len(from))], Replicas: 1 + Replicas(c.below(5))}
		if huge && c.below(2) == 1 {
			n.Replicas = 1 + c.count(huge, 5)%MaxReplicas
		}
		w.Ask = append(w.Ask, n)
	}
	return w, huge
}

// FuzzCheck holds Check against the model where that can be asked, and against
// plain arithmetic where the numbers are too large to be tried out.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(nil))
	for seed := range 60 {
		bytes := make([]byte, 40)
		for i := range bytes {
			bytes[i] = byte((seed*7919 + i*i*31 + i*seed) >> 2)
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		w, huge := readCase(bytes)
		result := Check(w.Pools, w.Use, w.Ask)
		worst := Fits
		for _, f := range result.Findings {
			limits, items := w.of(f.Shape)
			used := w.Use[f.Shape]
			switch {
			case huge:
				checkHuge(t, f, limits, used, items)
			case exact(limits, items):
				want := Never
				if modelFits(limits, 0, items) {
					want = Full
				}
				if modelFits(limits, used, items) {
					want = Fits
				}
				if f.Verdict != want {
					t.Fatalf("%+v: %s is %s, the model says %s", w, f.Shape, f.Verdict, want)
				}
			default:
				if f.Verdict == Fits && !modelFits(limits, used, items) || (f.Verdict == Never) == modelFits(limits, 0, items) {
					t.Fatalf("%+v: %s is %s", w, f.Shape, f.Verdict)
				}
			}
			if (f.Verdict == Full) != (f.Short > 0) || f.Short > f.Taken || f.Verdict != Never && len(f.Edits) > 0 {
				t.Fatalf("%+v: %+v", w, f)
			}
			if f.Verdict == Never || f.Verdict == Full && worst == Fits {
				worst = f.Verdict
			}
		}
		if result.Verdict != worst || len(result.Findings) != len(w.Ask.Shapes()) {
			t.Fatalf("%+v: %+v", w, result)
		}
		edited := slices.Clone(w.Ask)
		edits := 0
		for _, f := range result.Findings {
			apply(t, edited, f.Edits)
			edits += len(f.Edits)
		}
		if edits > 0 {
			if after := Check(w.Pools, nil, edited); after.Verdict != Fits {
				t.Fatalf("%+v: after the edits %s", w, after.Verdict)
			}
		}
	})
}

// checkHuge knows what is true of every answer: machines are never counted
// twice, and a sum that does not fit into 64 bits is no free room.
func checkHuge(t *testing.T, f Finding, limits []Replicas, used Replicas, items []Replicas) {
	t.Helper()
	var all, asked Replicas
	widest := Replicas(0)
	for _, l := range limits {
		all, widest = all.Plus(l), max(widest, l)
	}
	for _, n := range items {
		asked = asked.Plus(n)
	}
	if f.Asked != asked || f.Limit != all || f.Taken != used {
		t.Fatalf("%+v: want %d asked, %d taken of %d", f, asked, used, all)
	}
	switch most := slices.Max(items); {
	case f.Verdict == Fits && (used > all-asked || most > widest):
		t.Fatalf("%d of %v in use, room for %v: %+v", used, limits, items, f)
	case f.Verdict != Never && (asked > all || most > widest):
		t.Fatalf("%v on %v: %+v", items, limits, f)
	case f.Verdict == Never && asked <= widest:
		t.Fatalf("%v on %v, all on one pool: %+v", items, limits, f)
	case f.Verdict == Full && used == 0:
		t.Fatalf("nothing in use: %+v", f)
	case len(limits) == 1 && (f.Verdict == Fits) != (asked <= all && used <= all-asked):
		t.Fatalf("one pool of %d, %d in use, %d asked for: %+v", all, used, asked, f)
	}
}

// A failer is a test of either kind.
type failer interface {
	Fatalf(format string, args ...any)
}
