package message

import (
	"fmt"
	"strings"
	"sync"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/spelling"
	"example.com/berth/internal/strict"
)

var (
	jobType  = (&aiplatformpb.CustomJob{}).ProtoReflect().Descriptor()
	specType = (&aiplatformpb.CustomJobSpec{}).ProtoReflect().Descriptor()
	poolType = (&aiplatformpb.WorkerPoolSpec{}).ProtoReflect().Descriptor()
)

// outputOnly are the fields of a CustomJob that only the server sets. They come
// with what "describe" prints, and are dropped.
var outputOnly = map[string]bool{
	"name": true, "state": true, "create_time": true, "start_time": true, "end_time": true, "update_time": true,
	"error": true, "web_access_uris": true, "satisfies_pzs": true, "satisfies_pzi": true,
}

// fixUnknown says what an unknown name may have been meant to be: a field of
// this object in another spelling, one of another object, what another tool
// calls it, or a typing error.
func fixUnknown(md protoreflect.MessageDescriptor, m *strict.Node) string {
	var names []string
	snakes := m.Parent.Snakes()
	for i := range md.Fields().Len() {
		switch fd := md.Fields().Get(i); {
		case md == jobType && outputOnly[string(fd.Name())]:
		case snakes:
			names = append(names, string(fd.Name()))
		default:
			names = append(names, fd.JSONName())
		}
	}
	near, sure := spelling.Nearest(m.Key, names, fieldWords)
	homes := homesOf(m.Key)
	switch {
	case sure:
	case strings.HasPrefix(m.Key, "x-"), strings.HasPrefix(m.Key, "."): // names that stand in YAML files for an anchor alone
		return "Put the YAML anchor (&) where its value is used first, and leave this out."
	case md == jobType && optionNames[m.Key] != "":
		return fmt.Sprintf("Put the job beside it: {%q: ..., \"job\": {...}}.", m.Key)
	case md == specType && strict.FieldOf(jobType, m.Key) != nil:
		return fmt.Sprintf("Send {%q: ..., %q: {...}}.", m.Key, m.Parent.Spell("job_spec"))
	case len(homes) > 0:
		return fmt.Sprintf("The field belongs at %s.", strict.Either(writtenAll(m, homes)))
	case fixElsewhere(m) != "":
		return fixElsewhere(m)
	}
	return strict.FixName(near, sure, names)
}

// jobFields maps the squeezed name of every field of a CustomJob to the paths
// where it can stand.
var jobFields = sync.OnceValue(func() map[string][]string {
	homes := map[string][]string{}
	var visit func(md protoreflect.MessageDescriptor, prefix string)
	visit = func(md protoreflect.MessageDescriptor, prefix string) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if md == jobType && outputOnly[string(fd.Name())] {
				continue
			}
			path := prefix + fd.JSONName()
			key := spelling.Squeeze(fd.JSONName())
			homes[key] = append(homes[key], path)
			if sub := fd.Message(); sub != nil && !fd.IsMap() && sub.ParentFile().Package() == jobType.ParentFile().Package() {
				if fd.IsList() {
					path += "[]"
				}
				visit(sub, path+".")
			}
		}
	}
	visit(jobType, "")
	for key, paths := range homes { // names such as "name" or "value" stand in too many places to help
		if len(paths) > 2 {
			delete(homes, key)
		}
	}
	return homes
})

// homesOf returns the paths of a CustomJob at which a field of this name can
// stand, one or two of them; a plural may be missing or too many.
func homesOf(key string) []string {
	plain := spelling.Squeeze(key)
	for _, k := range []string{plain, plain + "s", strings.TrimSuffix(plain, "s")} {
		if homes := jobFields()[k]; len(homes) > 0 {
			return homes
		}
	}
	return nil
}
