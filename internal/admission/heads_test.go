package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// TestHeadsAgainstAModel: whatever joins and leaves a class, and however few of its
// requests are known, the heads are an exact beginning of all of them, and the count is
// right. What cannot be in the class changes nothing.
func TestHeadsAgainstAModel(t *testing.T) {
	demand := capacity.Ask{{Shape: shapeOf(0), Replicas: 1}}
	head := func(order string) Head { return Head{Order: order, Demand: demand} }
	rapid.Check(t, func(t *rapid.T) {
		var c Class
		var all []string
		keep := rapid.IntRange(1, 4).Draw(t, "keep")
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			order := fmt.Sprintf("1000-%02d", rapid.IntRange(0, 30).Draw(t, "order"))
			in := slices.Contains(all, order)
			known := slices.ContainsFunc(c.Heads, func(h Head) bool { return h.Order == order })
			before := c
			before.Heads = slices.Clone(c.Heads)
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				if in && !known {
					continue // a request joins once
				}
				if c = c.With(head(order), keep); !in {
					all = append(all, order)
				}
			case 3, 4:
				if !in && len(c.Heads) < c.Count && (len(c.Heads) == 0 || order > c.Heads[len(c.Heads)-1].Order) {
					continue // it may be one of those that are not known
				}
				after, can := c.Without(order)
				if can != in {
					t.Fatalf("of %q with heads %v, %s can leave: %v", all, c.Heads, order, can)
				}
				if !can && (after.Count != before.Count || !slices.EqualFunc(after.Heads, before.Heads, Head.Same)) {
					t.Fatalf("%s is not in the class, and it becomes %+v of %+v", order, after, before)
				}
				c = after
				all = slices.DeleteFunc(all, func(o string) bool { return o == order })
			case 5: // a put keeps fewer
				c.Heads = c.Heads[:rapid.IntRange(0, len(c.Heads)).Draw(t, "kept")]
			}
			slices.Sort(all)
			var heads []string
			for _, h := range c.Heads {
				heads = append(heads, h.Order)
			}
			if c.Count != len(all) || !slices.Equal(heads, all[:len(heads)]) {
				t.Fatalf("the class has %d and begins %q, want %q", c.Count, heads, all)
			}
			if len(c.Heads) > max(keep, len(before.Heads)) {
				t.Fatalf("%d heads are kept, want %d", len(c.Heads), keep)
			}
		}
	})
}

// TestClassParts: a class says of its requests what its id says, and of a coarser one what
// holds of any.
func TestClassParts(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		id                ClassID
		smallest, largest capacity.Replicas
		limit             time.Duration
	}{
		{ClassOf("t", capacity.Ask{{Shape: shapeOf(0), Replicas: 1}}, time.Minute), 1, 1, time.Hour},
		{ClassOf("t", capacity.Ask{{Shape: shapeOf(0), Replicas: 2}}, 4*time.Hour), 2, 2, 4 * time.Hour},
		{ClassOf("t", capacity.Ask{{Shape: shapeOf(0), Replicas: 5}}, 2*day), 5, 8, 3 * day},
		{"t|a/pd-ssd:100|8|*", 5, 8, 90 * day},
		{"t|a/pd-ssd:100|*|*", 1, capacity.MaxReplicas, 90 * day},
		{"*|a/pd-ssd:100|*|*", 1, capacity.MaxReplicas, 90 * day},
		{"damaged", 1, capacity.MaxReplicas, 90 * day},
	} {
		if s, l, limit := c.id.Smallest(), c.id.largest(), c.id.limit(); s != c.smallest || l != c.largest || limit != c.limit {
			t.Errorf("%s: %d to %d replicas, at most %s; want %d to %d and %s", c.id, s, l, limit, c.smallest, c.largest, c.limit)
		}
	}
}

// TestSameHeads: two heads are the same request only if everything is equal that a plan
// goes by.
func TestSameHeads(t *testing.T) {
	h := ask("a", 60, 2)
	if !h.Same(ask("a", 60, 2)) {
		t.Error("a head is not itself")
	}
	for name, change := range map[string]func(*Head){
		"id":     func(h *Head) { h.ID = "b" },
		"order":  func(h *Head) { h.Order = strings.ToUpper(h.Order) },
		"key":    func(h *Head) { h.Key = h.Key.Add(1) },
		"demand": func(h *Head) { h.Demand = ask("a", 60, 3).Demand },
		"limit":  func(h *Head) { h.Limit++ },
		"slow":   func(h *Head) { h.Slow = true },
	} {
		other := ask("a", 60, 2)
		if change(&other); h.Same(other) {
			t.Errorf("heads with another %s are the same", name)
		}
	}
}

// TestNewsOfAReservation: what a publisher is told of its latest start, and when.
func TestNewsOfAReservation(t *testing.T) {
	at := func(minutes int) time.Time { return planNow.Add(time.Duration(minutes) * time.Minute) }
	old := at(-60)
	for _, c := range []struct {
		name            string
		since, told, at time.Time
		late            int // minutes; 0 for not late, -1 for not known
		delays          []Delay
		want            bool
	}{
		{"new", at(0), time.Time{}, at(60), 0, nil, false},
		{"it stands for a minute", at(-1), time.Time{}, at(60), 0, nil, true},
		{"it was told", old, at(60), at(60), 0, nil, false},
		{"a little earlier", old, at(60), at(45), 0, nil, false},
		{"earlier", old, at(60), at(44), 0, nil, true},
		{"a quarter earlier", old, at(400), at(300), 0, nil, false},
		{"more than a quarter earlier", old, at(400), at(299), 0, nil, true},
		{"not known any more", old, at(60), at(60), -1, []Delay{FewerMachines}, true},
		{"not known, and was told so", old, time.Time{}, at(60), -1, []Delay{FewerMachines}, false},
		{"late for others", old, at(60), at(60), 76, []Delay{OtherUse}, true},
		{"a little late", old, at(60), at(60), 75, []Delay{OtherUse}, false},
		{"a job overstays", old, at(-4), at(-4), 60, []Delay{Overstay}, false},
		{"a job overstays for long", old, at(-5), at(-5), 60, []Delay{Overstay}, true},
		{"a job overstays, and others come", old, at(-4), at(-4), 60, []Delay{Overstay, OtherUse}, true},
		{"late again", old, at(30), at(-10), 90, []Delay{Overstay, OtherUse}, false},
		{"later than was told late", old, at(-5), at(-10), 90, []Delay{OtherUse}, true},
		{"kept after all", old, at(90), at(20), 0, nil, true},
	} {
		r := Reservation{Head: Head{ID: "r"}, At: c.at, Since: c.since, Announced: c.told, Delays: c.delays}
		p := Plan{Reserved: []Reservation{r}}
		switch {
		case c.late > 0:
			p.Late = map[message.Key]time.Time{"r": at(c.late)}
		case c.late < 0:
			p.Late = map[message.Key]time.Time{"r": {}}
		}
		if got := p.News(r, planNow); got != c.want {
			t.Errorf("%s: it is told: %v, want %v", c.name, got, c.want)
		}
	}
}
