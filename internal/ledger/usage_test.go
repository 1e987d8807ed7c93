package ledger

import (
	"reflect"
	"testing"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/usage"
)

// What is true of a resource, by shape: two pools may have one, and a pool may be gone.
func TestLevelsOfAResource(t *testing.T) {
	shape := func(machine string) capacity.Shape { return capacity.Spec{MachineType: machine}.Normal() }
	ask := func(machine string, n capacity.Replicas) capacity.Ask {
		return capacity.Ask{{Shape: shape(machine), Replicas: n}}
	}
	res := &Resource{State: "RUNNING",
		Pools:   []capacity.Pool{{ID: "a", Shape: shape("one"), Count: 4}, {ID: "b", Shape: shape("one"), Count: 1, Max: 3}, {ID: "c", Shape: shape("two"), Count: 2}},
		Holds:   map[message.Key]Hold{"h1": {Ask: ask("one", 2)}, "h2": {Ask: ask("one", 1), Pending: true}, "h3": {Ask: ask("gone", 1)}},
		Foreign: []Foreign{{Ask: ask("two", 1)}}, ForeignRest: capacity.Use{shape("two"): 1},
		Unexplained: capacity.Use{shape("one"): 1},
		Queue:       admission.Queue{"c": {Count: 7, Heads: []admission.Head{{Demand: append(ask("one", 4), ask("two", 1)...)}}}},
	}
	want := map[capacity.Shape]usage.Level{
		shape("one"):  {Machines: 5, Limit: 7, Ours: 3, Unexplained: 1, Waiting: 7},
		shape("two"):  {Machines: 2, Limit: 2, Foreign: 2, Waiting: 7},
		shape("gone"): {Ours: 1},
	}
	if got := res.levels(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	res.State, res.Holds, res.Foreign, res.ForeignRest, res.Unexplained, res.Queue = Absent, nil, nil, nil, nil, nil
	if got := res.levels(); len(got) != 0 {
		t.Errorf("of an absent resource: %+v", got)
	}
}
