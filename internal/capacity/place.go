package capacity

import "slices"

// placeable reports whether the items can be placed on pools of one shape
// however the replicas in use are split among the pools. All replicas of one worker pool
// run on one pool, and a job does not name it. So ten free machines in two pools hold a
// worker pool of ten only if they cannot be five and five.
//
// limits holds each pool's limit, used the replicas in use on all of them
// together, items the replicas of each worker pool of the job (each 1 or more,
// at most four items).
//
// The adversary that splits is allowed to split a job's replicas as well, which
// real use cannot do; so a yes is safe, and a no may be over-careful by less
// than one job. For several items on more than exactPools pools it is more
// careful still: it then asks for room for all items on one pool, or nothing
// in use at all.
func placeable(limits []Replicas, used Replicas, items []Replicas) bool {
	var sum Replicas
	for _, r := range items {
		sum = sum.Plus(r)
	}
	switch {
	case len(items) == 0:
		return true
	case len(limits) == 0:
		return false
	case len(limits) == 1:
		return used <= limits[0] && sum <= limits[0]-used
	case roomForOne(limits, used, sum):
		return true // all items fit side by side on one pool
	case len(items) == 1:
		return false
	case used == 0:
		return packs(largest(limits, len(items)), items)
	case len(limits) > exactPools:
		return false
	}
	return outlasts(limits, used, items)
}

// exactPools bounds the search of outlasts: at most 17 levels of use per pool,
// so fewer than 5,000 splits.
const exactPools = 3

// roomForOne says whether some pool has r machines free under every split. To
// leave fewer than r free on a pool of limit l, at least l-r+1 have to be in
// use there.
func roomForOne(limits []Replicas, used, r Replicas) bool {
	var needed Replicas
	for _, l := range limits {
		needed = needed.Plus(max(0, l-r+1))
	}
	return needed > used
}

// outlasts tries every split that could matter: on each pool either nothing is
// in use, or just enough to spoil one of the sums that the items can make there.
func outlasts(limits []Replicas, used Replicas, items []Replicas) bool {
	sums := subsetSums(items)
	free := slices.Clone(limits)
	var spoil func(pool int, left Replicas) bool
	spoil = func(pool int, left Replicas) bool {
		if pool == len(limits) {
			return !packs(free, items)
		}
		for _, s := range sums { // s = 0 spoils nothing when the pool is left alone
			u := max(0, limits[pool]-s+1)
			if s == 0 {
				u = 0
			}
			if u > left || u > limits[pool] {
				continue
			}
			free[pool] = limits[pool] - u
			if spoil(pool+1, left-u) {
				return true
			}
		}
		return false
	}
	return !spoil(0, used)
}

// packs says whether the items can be put into bins of the given sizes.
func packs(bins, items []Replicas) bool {
	if len(items) == 0 {
		return true
	}
	for i := range bins {
		if bins[i] < items[0] {
			continue
		}
		bins[i] -= items[0]
		ok := packs(bins, items[1:])
		bins[i] += items[0]
		if ok {
			return true
		}
	}
	return false
}

// largest returns a copy of the n largest limits. n items never need more bins
// than that: any packing can be moved onto the n largest.
func largest(limits []Replicas, n int) []Replicas {
	l := slices.Clone(limits)
	slices.SortFunc(l, func(a, b Replicas) int { return int(min(1, max(-1, b-a))) })
	return l[:min(n, len(l))]
}

// subsetSums lists the distinct sums of the subsets of items, 0 first.
func subsetSums(items []Replicas) []Replicas {
	sums := []Replicas{0}
	for _, r := range items {
		for _, s := range sums[:len(sums):len(sums)] {
			sums = append(sums, s.Plus(r))
		}
	}
	slices.Sort(sums)
	return slices.Compact(sums)
}
