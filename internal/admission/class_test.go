package admission

import (
	"testing"
	"time"

	"example.com/berth/internal/capacity"
)

// TestLimitSteps: a class takes the smallest step that is not shorter than a
// limit, and the last one for every longer limit.
func TestLimitSteps(t *testing.T) {
	const day = 24 * time.Hour
	steps := []time.Duration{time.Hour, 4 * time.Hour, 12 * time.Hour, day, 3 * day, 7 * day, 30 * day, 90 * day}
	for i, step := range steps {
		next := step
		if i+1 < len(steps) {
			next = steps[i+1]
		}
		for limit, want := range map[time.Duration]time.Duration{step - 1: step, step: step, step + 1: next} {
			if got := LimitStep(limit); got != want {
				t.Errorf("the step of %v is %v, want %v", limit, got, want)
			}
		}
	}
	if LimitStep(0) != time.Hour || LimitStep(1000*day) != 90*day {
		t.Errorf("the steps of none and of 1000 days are %v and %v", LimitStep(0), LimitStep(1000*day))
	}
}

// TestClassOf: requests of one class have one tenant, one set of shapes, sizes
// that round up to one power of two, and limits of one step.
func TestClassOf(t *testing.T) {
	a, b := capacity.Spec{MachineType: "a"}.Normal(), capacity.Spec{MachineType: "b"}.Normal()
	ask := func(n int, shapes ...capacity.Shape) (list capacity.Ask) {
		for _, s := range shapes {
			list = append(list, capacity.Need{Shape: s, Replicas: capacity.Replicas(n)})
		}
		return list
	}
	base := ClassOf("t", ask(3, a), time.Hour)
	for name, same := range map[string]ClassID{
		"another size up to 4":       ClassOf("t", ask(4, a), time.Hour),
		"a shorter limit":            ClassOf("t", ask(3, a), time.Minute),
		"two pools of the one shape": ClassOf("t", ask(2, a, a), time.Hour),
	} {
		if same != base {
			t.Errorf("%s: class %s, want %s", name, same, base)
		}
	}
	seen := map[ClassID]string{base: "the first"}
	for name, other := range map[string]ClassID{
		"another tenant":  ClassOf("u", ask(3, a), time.Hour),
		"another shape":   ClassOf("t", ask(3, b), time.Hour),
		"both shapes":     ClassOf("t", ask(2, a, b), time.Hour),
		"size 5":          ClassOf("t", ask(5, a), time.Hour),
		"size 2":          ClassOf("t", ask(2, a), time.Hour),
		"size 1":          ClassOf("t", ask(1, a), time.Hour),
		"a longer limit":  ClassOf("t", ask(3, a), time.Hour+1),
		"a limit of days": ClassOf("t", ask(3, a), 48*time.Hour),
	} {
		if was, ok := seen[other]; ok {
			t.Errorf("%s and %s are one class, %s", name, was, other)
		}
		seen[other] = name
	}
}
