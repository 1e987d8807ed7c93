package spelling

import (
	"slices"
	"testing"
)

func TestLikeness(t *testing.T) {
	for _, c := range []struct{ written, near, far string }{
		{"n1-standard4", "n1-standard-4", "e2-highmem-4"},
		{"n1-standard-4", "n1-standard-8", "e2-highmem-2"},
		{"a2-highgpu-2g", "a2-highgpu-1g", "n1-standard-4"},
		{"NVIDIA_H100_80GB", "NVIDIA_H100_MEGA_80GB", "NVIDIA_TESLA_T4"},
		{"pd_ssd", "pd-ssd", "pd-standard"},
	} {
		if Likeness(c.written, c.near) <= Likeness(c.written, c.far) {
			t.Errorf("%s is as near to %s as to %s", c.written, c.far, c.near)
		}
	}
	if Likeness("pd-ssd", "PD_SSD") != 1 || Likeness("", "") != 0 || Likeness("a", "b") != 0 {
		t.Error("its ends are not 0 and 1")
	}
}

// FuzzNearest: an answer is one of the names, and a name is nearest to itself.
func FuzzNearest(f *testing.F) {
	f.Add("NVIDIA_H100", "NVIDIA_H100_80GB", "v5e")
	f.Fuzz(func(t *testing.T, written, a, b string) {
		names := []string{a, b}
		near, sure := Nearest(written, names, Vocabulary{Noise: []string{"nvidia"}, Alias: map[string]string{"v5e": "v5 lite", "wait": "max wait"}})
		if sure && len(near) != 1 {
			t.Errorf("%q: sure of %q", written, near)
		}
		for _, n := range near {
			if !slices.Contains(names, n) {
				t.Errorf("%q: %q is not one of %q", written, n, names)
			}
		}
		if l := Likeness(written, a); l < 0 || l > 1 {
			t.Errorf("likeness of %q and %q is %v", written, a, l)
		}
	})
}
