package main

import (
	"testing"

	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
)

// What a pool has is found again from how a job that no pool fits differs from it.
func TestPoolFromItsDifferences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pool := capacity.Spec{
			MachineType:      rapid.SampledFrom([]string{"n1-standard-1", "n1-standard-4", "g2-standard-12", "ct5lp-hightpu-4t"}).Draw(t, "machine"),
			Accelerator:      rapid.SampledFrom([]string{"", "NVIDIA_L4", "NVIDIA_TESLA_T4"}).Draw(t, "accelerator"),
			AcceleratorCount: rapid.Int32Range(1, 8).Draw(t, "count"),
			TPUTopology:      rapid.SampledFrom([]string{"", "2x2x1"}).Draw(t, "topology"),
			GPUPartition:     rapid.SampledFrom([]string{"", "1g.10gb"}).Draw(t, "partition"),
			DiskType:         rapid.SampledFrom([]string{"pd-ssd", "pd-standard", "hyperdisk-balanced"}).Draw(t, "disk"),
			DiskSizeGB:       rapid.Int32Range(100, 64_000).Draw(t, "size"),
		}
		if pool.Accelerator == "" {
			pool.AcceleratorCount = 0
		}
		if got := specOf(capacity.Diff(unlike.Normal(), pool.Normal())); got.Normal() != pool.Normal() {
			t.Fatalf("%+v, want %+v", got, pool)
		}
	})
}
