// Package capacity knows machines: what shape they have, how many a pool
// holds, and whether an ask fits in what is left.
//
// # Words
//
//   - A [Spec] is a machine spec and a disk spec as they were written, a [Shape]
//     is one with the server's defaults filled in. Shapes are compared with ==;
//     Vertex AI requires that a job's spec matches its pool's exactly.
//   - A [Pool] is one resource pool of a persistent resource: a shape and a
//     number of machines. A machine runs one replica.
//   - A [Need] is what one worker pool of a job asks for: a shape and replicas.
//     An [Ask] is the whole job, one need per worker pool, placed all or nothing.
//   - [Use] counts machines in use per shape. It is kept per shape, not per
//     pool, because a job never names a pool: where two pools have one shape,
//     Vertex AI does not show which of them a replica went to.
//
// [Check] is the only judge of fit. The planner, the memory twins and the
// invariants all ask it.
package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The values that the server stores for an unset disk spec, on jobs and on
// pools alike, by recorded API traffic and the field comments of DiskSpec. The
// page on creating a persistent resource says pd-standard, so code that knows the
// deployment's setting fills the type in first, by [Spec.WithDisk].
const (
	DefaultDiskType   = "pd-ssd"
	DefaultDiskSizeGB = 100
	// a3UltraDiskType is the default for A3 Ultra machines, which take no
	// persistent disk (field comment of DiskSpec.boot_disk_type).
	a3UltraDiskType = "hyperdisk-balanced"
)

// A Spec is a machine and a disk as a job or a pool describes them. The zero value of
// a field means that it is not set, so two specs can differ and mean one machine:
// they are compared as [Shape]s.
type Spec struct {
	MachineType      string // for example "n1-standard-4"
	Accelerator      string // enum name, for example "NVIDIA_TESLA_T4"
	AcceleratorCount int32  // per machine
	TPUTopology      string // for example "2x2x1"
	GPUPartition     string // MIG partition size, for example "1g.10gb"
	DiskType         string // "pd-ssd", "pd-standard" or "hyperdisk-balanced"
	DiskSizeGB       int32
}

// WithDisk returns the spec with the disk type that an unset one stands for: usual,
// except for machines that take no persistent disk. An empty usual is
// [DefaultDiskType].
func (s Spec) WithDisk(usual string) Spec {
	switch {
	case s.DiskType != "":
	case strings.HasPrefix(s.MachineType, "a3-ultragpu-"):
		s.DiskType = a3UltraDiskType
	default:
		s.DiskType = cmp.Or(usual, DefaultDiskType)
	}
	return s
}

// A Shape is everything about a machine that has to match exactly: a [Spec] as the
// server stores it. Only [Spec.Normal] and [ParseShape] make one, so == on shapes
// never compares a default with the same value written out. The zero Shape is no
// machine's.
type Shape struct{ spec Spec }

// Normal returns the shape of a spec: unset disk fields get their defaults, each on
// its own, and an accelerator with a count of zero (or a count with no accelerator)
// is no accelerator. The spec of a shape has that shape.
func (s Spec) Normal() Shape {
	s = s.WithDisk(DefaultDiskType)
	if s.DiskSizeGB == 0 {
		s.DiskSizeGB = DefaultDiskSizeGB
	}
	if s.Accelerator == "" || s.AcceleratorCount == 0 {
		s.Accelerator, s.AcceleratorCount = "", 0
	}
	return Shape{s}
}

// Spec returns the fields of a shape, with every default written out.
func (s Shape) Spec() Spec { return s.spec }

// Equal is ==, for packages that compare by a method.
func (s Shape) Equal(t Shape) bool { return s == t }

// String is the shape's key in stored documents and its name in messages to
// people: machine type, accelerator, topology and disk, divided by slashes,
// parts that are not set left out. [ParseShape] is its inverse.
//
//	n1-standard-4/NVIDIA_TESLA_T4:1/pd-ssd:100
func (s Shape) String() string {
	m := s.spec
	var room [96]byte // enough for the machines there are
	b := append(room[:0], m.MachineType...)
	if m.Accelerator != "" {
		b = appendCount(b, m.Accelerator, m.AcceleratorCount)
	}
	if m.TPUTopology != "" {
		b = append(append(b, "/tpu="...), m.TPUTopology...)
	}
	if m.GPUPartition != "" {
		b = append(append(b, "/gpu="...), m.GPUPartition...)
	}
	return string(appendCount(b, m.DiskType, m.DiskSizeGB))
}

func appendCount(b []byte, name string, count int32) []byte {
	b = append(append(b, '/'), name...)
	return strconv.AppendInt(append(b, ':'), int64(count), 10)
}

// MarshalText lets a shape be a key of a JSON object.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *Shape) UnmarshalText(text []byte) error {
	p, err := ParseShape(string(text))
	if err == nil {
		*s = p
	}
	return err
}

// ParseShape reads what [Shape.String] wrote. A text of defaults left open gets them.
func ParseShape(text string) (Shape, error) {
	machine, rest, ok := strings.Cut(text, "/")
	if !ok {
		return Shape{}, fmt.Errorf("capacity: %q is not a shape: want machine/disk:size", text)
	}
	s := Spec{MachineType: machine}
	for {
		part, after, more := strings.Cut(rest, "/")
		if !more { // the last part is the disk
			if s.DiskType, s.DiskSizeGB, ok = cutCount(part); !ok {
				return Shape{}, fmt.Errorf("capacity: %q is not a shape: disk %q is not type:size", text, part)
			}
			return s.Normal(), nil
		}
		rest = after
		if v, found := strings.CutPrefix(part, "tpu="); found {
			s.TPUTopology = v
		} else if v, found := strings.CutPrefix(part, "gpu="); found {
			s.GPUPartition = v
		} else if s.Accelerator, s.AcceleratorCount, ok = cutCount(part); !ok {
			return Shape{}, fmt.Errorf("capacity: %q is not a shape: part %q is not name:count", text, part)
		}
	}
}

func cutCount(part string) (string, int32, bool) {
	name, count, ok := strings.Cut(part, ":")
	n, err := strconv.ParseInt(count, 10, 32)
	return name, int32(n), ok && err == nil
}

// Compare orders shapes by their fields, for stable output.
func (s Shape) Compare(t Shape) int { return cmp.Compare(s.String(), t.String()) }

// A FieldDiff is one field in which an ask and a pool differ.
type FieldDiff struct {
	Field string `json:"field"` // JSON path in a worker pool spec, for example "machineSpec.machineType"
	Asked string `json:"asked"` // "" means not set
	Pool  string `json:"pool"`  // what would match
}

// Diff lists the fields in which asked and pool differ, in a fixed order. It is
// empty exactly when they are equal.
func Diff(asked, pool Shape) []FieldDiff {
	a, p := asked.spec, pool.spec
	num := func(n int32) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(int(n))
	}
	fields := []FieldDiff{
		{"machineSpec.machineType", a.MachineType, p.MachineType},
		{"machineSpec.acceleratorType", a.Accelerator, p.Accelerator},
		{"machineSpec.acceleratorCount", num(a.AcceleratorCount), num(p.AcceleratorCount)},
		{"machineSpec.tpuTopology", a.TPUTopology, p.TPUTopology},
		{"machineSpec.gpuPartitionSize", a.GPUPartition, p.GPUPartition},
		{"diskSpec.bootDiskType", a.DiskType, p.DiskType},
		{"diskSpec.bootDiskSizeGb", num(a.DiskSizeGB), num(p.DiskSizeGB)},
	}
	return slices.DeleteFunc(fields, func(d FieldDiff) bool { return d.Asked == d.Pool })
}
