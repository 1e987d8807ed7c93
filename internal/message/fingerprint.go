package message

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/berth/internal/capacity"
)

// fingerprint hashes the content of a message: what was read from it, before any
// default of the deployment. One content has one fingerprint in every form: JSON or
// YAML, camelCase or snake_case, options in an envelope or in attributes, a persistent
// resource by its id or its full name, "1" or 1, a default of Vertex AI written out or
// left out. Fingerprints are stored, so the form of what is hashed never changes.
func fingerprint(m Message) string {
	var b []byte
	if c := m.Cancel; c != nil {
		b = appendStrings(append(b, "cancel"...), c.RequestID, c.MessageID, c.Reason)
	} else {
		q := m.Request
		resource, _ := resourceOf(q.PersistentResource) // an id alone stands for a full name; the controller compares the project and region
		b = appendStrings(append(b, "request"...), q.RequestID, resource, strconv.Itoa(q.Priority),
			string(q.OnFull), q.MaxWait.String(), strconv.FormatBool(q.DryRun))
		if q.Concurrency != (Concurrency{}) { // earlier releases had none
			b = appendStrings(b, "concurrency", q.Concurrency.Key, string(q.Concurrency.Policy))
		}
		b = appendMessage(append(b, ' '), q.Job.ProtoReflect())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func appendStrings(b []byte, all ...string) []byte {
	for _, s := range all {
		b = appendText(append(b, ' '), s)
	}
	return b
}

// appendText writes a text with its length before it, so that no text can look like
// the end of itself.
func appendText(b []byte, s string) []byte {
	return append(append(strconv.AppendInt(b, int64(len(s)), 10), '='), s...)
}

// appendMessage writes the fields of a message by number, with those left out that
// have the value that Vertex AI takes without them.
func appendMessage(b []byte, m protoreflect.Message) []byte {
	if d, ok := m.Interface().(*durationpb.Duration); ok {
		return append(b, d.AsDuration().String()...)
	}
	var room [24]protoreflect.FieldDescriptor
	set := room[:0]
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, fd)
		return true
	})
	slices.SortFunc(set, func(x, y protoreflect.FieldDescriptor) int { return cmp.Compare(x.Number(), y.Number()) })
	b = append(b, '{')
	for _, fd := range set {
		if implied(m, fd) {
			continue
		}
		before := len(b)
		b = append(strconv.AppendInt(b, int64(fd.Number()), 10), ':')
		start := len(b)
		switch v := m.Get(fd); {
		case fd.Message() == diskType:
			b = appendMessage(b, ownDisk(m).ProtoReflect())
		case fd.IsMap():
			b = appendLabels(b, v.Map())
		case fd.IsList():
			b = appendList(b, fd, v.List())
		default:
			b = appendValue(b, fd, v)
		}
		if string(b[start:]) == "{}" { // a message in which nothing is set is not set
			b = b[:before]
			continue
		}
		b = append(b, ',')
	}
	return append(b, '}')
}

func appendValue(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch {
	case fd.Message() != nil:
		return appendMessage(b, v.Message())
	case fd.Kind() == protoreflect.StringKind:
		return appendText(b, v.String())
	case fd.Kind() == protoreflect.EnumKind:
		return strconv.AppendInt(b, int64(v.Enum()), 10)
	}
	return append(b, v.String()...)
}

// appendList writes a list. Worker pools that are not used are left out at its end,
// where they keep no place for others.
func appendList(b []byte, fd protoreflect.FieldDescriptor, all protoreflect.List) []byte {
	b = append(b, '[')
	end := len(b)
	for i := range all.Len() {
		start := len(b)
		b = appendValue(b, fd, all.Get(i))
		used := string(b[start:]) != "{}"
		if b = append(b, ','); used || fd.Message() != poolType {
			end = len(b)
		}
	}
	return append(b[:end], ']')
}

func appendLabels(b []byte, labels protoreflect.Map) []byte {
	sorted := map[string]string{}
	labels.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		sorted[k.String()] = v.String()
		return true
	})
	for _, key := range slices.Sorted(maps.Keys(sorted)) {
		b = appendStrings(b, key, sorted[key])
	}
	return b
}

// defaultTimeout is how long Vertex AI lets a job run that does not say it, by the
// comment of Scheduling.timeout.
const defaultTimeout = 7 * 24 * time.Hour

// implied says whether a field has the value that Vertex AI takes without it.
func implied(m protoreflect.Message, fd protoreflect.FieldDescriptor) bool {
	s, ok := m.Interface().(*aiplatformpb.Scheduling)
	switch {
	case !ok:
	case fd.Name() == "strategy": // ON_DEMAND is the older name of STANDARD
		return s.Strategy == aiplatformpb.Scheduling_STANDARD || s.Strategy.String() == "ON_DEMAND"
	case fd.Name() == "timeout":
		return s.Timeout.AsDuration() == defaultTimeout
	}
	return false
}

var diskType = descriptorOf(poolType, "disk_spec")

// ownDisk is the disk spec of a worker pool without what Vertex AI fills in.
func ownDisk(pool protoreflect.Message) *aiplatformpb.DiskSpec {
	w := pool.Interface().(*aiplatformpb.WorkerPoolSpec)
	disk := proto.CloneOf(w.GetDiskSpec())
	filled := capacity.Spec{MachineType: w.GetMachineSpec().GetMachineType()}.Normal().Spec()
	if disk.GetBootDiskType() == filled.DiskType {
		disk.BootDiskType = ""
	}
	if disk.GetBootDiskSizeGb() == filled.DiskSizeGB {
		disk.BootDiskSizeGb = 0
	}
	return disk
}
