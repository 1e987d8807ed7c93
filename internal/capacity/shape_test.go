package capacity

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func drawSpec(t *rapid.T, name string) Spec {
	word := func(field string, values ...string) string {
		return rapid.SampledFrom(values).Draw(t, name+" "+field)
	}
	return Spec{
		MachineType:      word("machine", "n1-standard-4", "n1-standard-8", "a3-ultragpu-8g"),
		Accelerator:      word("accelerator", "", "NVIDIA_TESLA_T4", "NVIDIA_L4"),
		AcceleratorCount: int32(rapid.IntRange(0, 2).Draw(t, name+" accelerators")),
		TPUTopology:      word("topology", "", "2x2x1"),
		GPUPartition:     word("partition", "", "1g.10gb"),
		DiskType:         word("disk", "", "pd-ssd", "pd-standard", "hyperdisk-balanced"),
		DiskSizeGB:       rapid.SampledFrom([]int32{0, 100, 200}).Draw(t, name+" size"),
	}
}

func TestDiffIsEmptyExactlyWhenEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSpec(t, "a").Normal(), drawSpec(t, "b").Normal()
		if rapid.Bool().Draw(t, "same") {
			b = a
		}
		diff := Diff(a, b)
		if (len(diff) == 0) != (a == b) || a.Equal(b) != (a == b) {
			t.Fatalf("%s and %s differ in %v", a, b, diff)
		}
		for _, d := range diff {
			if d.Asked == d.Pool || d.Field == "" {
				t.Fatalf("no difference: %+v", d)
			}
		}
		if len(diff) != len(Diff(b, a)) {
			t.Fatal("the difference depends on the side")
		}
	})
}

// The type of a disk that is not set is the caller's, but for machines that take no
// persistent disk; one that is set stays.
func TestWithDisk(t *testing.T) {
	for _, c := range []struct{ machine, set, usual, want string }{
		{"n1-standard-4", "", "", "pd-ssd"},
		{"n1-standard-4", "", "pd-standard", "pd-standard"},
		{"n1-standard-4", "pd-ssd", "pd-standard", "pd-ssd"},
		{"a3-ultragpu-8g", "", "pd-standard", "hyperdisk-balanced"},
		{"a3-ultragpu-8g", "pd-ssd", "pd-standard", "pd-ssd"},
	} {
		s := Spec{MachineType: c.machine, DiskType: c.set}.WithDisk(c.usual)
		if s.DiskType != c.want || s.Normal().Spec().DiskType != c.want || s.DiskSizeGB != 0 {
			t.Errorf("%+v: %+v", c, s)
		}
	}
}

func TestShapeText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t, "s").Normal()
		if again := s.Spec().Normal(); s != again {
			t.Fatalf("the spec of %s has the shape %s", s, again)
		}
		back, err := ParseShape(s.String())
		if err != nil || back != s {
			t.Fatalf("%s reads back as %s, error %v", s, back, err)
		}
		other := drawSpec(t, "other").Normal()
		if (s.String() == other.String()) != (s == other) || (s.Compare(other) == 0) != (s == other) {
			t.Fatalf("%s and %s: text and value disagree", s, other)
		}
		text, err := json.Marshal(Use{s: 3})
		if err != nil {
			t.Fatal(err)
		}
		use := Use{}
		if err := json.Unmarshal(text, &use); err != nil || use[s] != 3 {
			t.Fatalf("%s as a key of JSON: %v, error %v", text, use, err)
		}
	})
}

func TestParseShapeRefuses(t *testing.T) {
	for _, text := range []string{"", "m", "m/", "m/d", "m/d:", "m/d:x", "m/d:99999999999", "m/T4/d:1", "m/T4:/d:1"} {
		if s, err := ParseShape(text); err == nil {
			t.Errorf("%q reads as %+v", text, s)
		}
	}
}

func TestNormal(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"n1-standard-4/:0", "n1-standard-4/pd-ssd:100"},
		{"a3-ultragpu-8g/:0", "a3-ultragpu-8g/hyperdisk-balanced:100"},
		{"n1-standard-4/pd-standard:0", "n1-standard-4/pd-standard:100"},
		{"n1-standard-4/:200", "n1-standard-4/pd-ssd:200"},
		{"n1-standard-4/NVIDIA_L4:0/:0", "n1-standard-4/pd-ssd:100"},
		{"n1-standard-4/:2/:0", "n1-standard-4/pd-ssd:100"},
	} {
		s, err := ParseShape(c.in)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: got %s, want %s, error %v", c.in, s, c.want, err)
		}
	}
}

func TestReplicasSaturate(t *testing.T) {
	for _, c := range []struct{ a, b, want Replicas }{
		{1, 2, 3}, {5, -2, 3}, {math.MaxInt64, 1, math.MaxInt64}, {math.MaxInt64 - 1, 1, math.MaxInt64}, {1, math.MaxInt64, math.MaxInt64},
	} {
		if got := c.a.Plus(c.b); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestForgedUseIsNoRoom: a sum that would wrap must not come out as free room.
func TestForgedUseIsNoRoom(t *testing.T) {
	pools := []Pool{{ID: "a", Shape: small, Count: 4}, {ID: "b", Shape: small, Count: 4}}
	for _, n := range []int{1, 2} {
		r := Check(pools[:n], Use{small: math.MaxInt64}, Ask{{Shape: small, Replicas: 1}})
		if r.Verdict != Full {
			t.Errorf("%d pools: %s", n, r.Verdict)
		}
	}
}

func TestOverdrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, 3)
		over := Overdrawn(w.Pools, w.Use)
		limits := Limits(w.Pools)
		for _, s := range shapes {
			limit, known := limits[s]
			if want := max(0, w.Use[s]-limit); known && over[s] != want || !known && over[s] != 0 {
				t.Fatalf("%s: use %d, limit %d, overdrawn by %d", s, w.Use[s], limit, over[s])
			}
		}
	})
}
