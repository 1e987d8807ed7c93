package probe

import (
	"slices"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"
)

// sameShape reports whether a job for one pool can be placed on the other.
func sameShape(a, b *aiplatformpb.ResourcePool) bool {
	return proto.Equal(a.GetMachineSpec(), b.GetMachineSpec()) && proto.Equal(a.GetDiskSpec(), b.GetDiskSpec())
}

// usedOf is how many replicas of the pools that are probed a resource shows in use.
func (p *Plan) usedOf(r *aiplatformpb.PersistentResource) (n int64) {
	for _, pool := range r.GetResourcePools() {
		for _, q := range p.equal {
			if pool.GetId() == q.GetId() {
				n += pool.GetUsedReplicaCount()
			}
		}
	}
	return n
}

// leave makes the disk of a worker pool larger until no pool of the resource has its shape.
func (p *Plan) leave(w *aiplatformpb.WorkerPoolSpec) {
	for p.fits(w) {
		w.DiskSpec.BootDiskSizeGb++
	}
}

func (p *Plan) fits(w *aiplatformpb.WorkerPoolSpec) bool {
	return slices.ContainsFunc(p.Resource.GetResourcePools(), func(pool *aiplatformpb.ResourcePool) bool {
		return sameShape(pool, &aiplatformpb.ResourcePool{MachineSpec: w.GetMachineSpec(), DiskSpec: w.GetDiskSpec()})
	})
}

// choose is the pool of that id, or the first fixed one with a free replica, or else the
// first.
func choose(pools []*aiplatformpb.ResourcePool, id string) *aiplatformpb.ResourcePool {
	var best *aiplatformpb.ResourcePool
	for _, p := range pools {
		free := p.GetReplicaCount() > p.GetUsedReplicaCount()
		switch {
		case id != "" && p.GetId() == id:
			return p
		case id != "":
		case best == nil, free && p.GetAutoscalingSpec() == nil && (best.GetAutoscalingSpec() != nil || best.GetReplicaCount() <= best.GetUsedReplicaCount()):
			best = p
		}
	}
	return best
}

// otherDisk is a disk type that no pool with the machines of Pool has; if they have all, it is
// one that Pool has not.
func (p *Plan) otherDisk() string {
	other := ""
	for _, kind := range []string{"pd-standard", "pd-ssd", "hyperdisk-balanced"} {
		has := slices.ContainsFunc(p.Resource.GetResourcePools(), func(pool *aiplatformpb.ResourcePool) bool {
			return proto.Equal(pool.GetMachineSpec(), p.Pool.GetMachineSpec()) && pool.GetDiskSpec().GetBootDiskType() == kind
		})
		if !has {
			return kind
		}
		if kind != p.Pool.GetDiskSpec().GetBootDiskType() {
			other = kind
		}
	}
	return other
}
