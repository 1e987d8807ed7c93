package main

import (
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/replay"
)

// Why a past request is or is not a job of a workload.
type leftOut int

const (
	ran      leftOut = iota
	active           // it waits, holds or runs
	neverRan         // it ended without a run
	several          // it asked for several machine specs
)

// pastJob makes a job of a request that has run. Its pool is the shape of its machines.
func pastJob(state lifecycle.State, ask capacity.Ask, times message.Times, timeout time.Duration) (replay.Job, leftOut) {
	from, to := times.JobStarted, times.JobEnded
	if from.IsZero() || to.IsZero() {
		from, to = times.Started, times.Ended
	}
	shapes := ask.Shapes()
	switch {
	case !state.Terminal():
		return replay.Job{}, active
	case from.IsZero() || !to.After(from) || state == lifecycle.Rejected:
		return replay.Job{}, neverRan
	case len(shapes) != 1:
		return replay.Job{}, several
	}
	run := to.Sub(from)
	return replay.Job{Pool: shapes[0].String(), Replicas: int64(ask.Replicas()), Run: run, Limit: max(timeout, run)}, ran
}

// poolsFor are the pools of a resource by shape. One that the resource no longer has is as
// large as the largest job for it.
func poolsFor(jobs []replay.Job, limits capacity.Use) (pools []replay.Pool) {
	shapes := map[string]capacity.Shape{}
	size := map[string]int64{}
	for shape, n := range limits {
		if n > 0 {
			shapes[shape.String()], size[shape.String()] = shape, int64(n)
		}
	}
	for i := range jobs {
		size[jobs[i].Pool] = max(size[jobs[i].Pool], jobs[i].Replicas)
	}
	for _, name := range sortedKeys(size) {
		shape, known := shapes[name]
		if !known {
			shape, _ = capacity.ParseShape(name)
		}
		pools = append(pools, replay.Pool{Name: name, Replicas: size[name], Shape: shape})
	}
	return slices.Clip(pools)
}
