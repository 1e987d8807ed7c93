package message

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// What Vertex AI refuses of any job, by the annotations and comments of its API and
// by refusals that users have reported. Berth refuses such a job first: held replicas
// would wait for a job that Vertex AI never takes.

// Sizes of boot disks, in GB, by the documentation of DiskSpec.
const (
	minDiskGB = 100
	maxDiskGB = 64000
)

var (
	containerType = descriptorOf(poolType, "container_spec")
	pythonType    = descriptorOf(poolType, "python_package_spec")
	affinityType  = descriptorOf(descriptorOf(poolType, "machine_spec"), "reservation_affinity")
	taskTypes     = map[bool]protoreflect.MessageDescriptor{false: containerType, true: pythonType} // by whether it is a Python package
)

func descriptorOf(md protoreflect.MessageDescriptor, field protoreflect.Name) protoreflect.MessageDescriptor {
	return md.Fields().ByName(field).Message()
}

// requiredFields lists the fields of every message of a job spec that the API marks
// as required; an empty value is refused as a missing one is. Jobs, specs and
// affinities have checks of their own.
var requiredFields = sync.OnceValue(func() map[protoreflect.FullName][]protoreflect.FieldDescriptor {
	all := map[protoreflect.FullName][]protoreflect.FieldDescriptor{}
	var visit func(md protoreflect.MessageDescriptor)
	visit = func(md protoreflect.MessageDescriptor) {
		if _, seen := all[md.FullName()]; seen {
			return
		}
		all[md.FullName()] = nil
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			behavior, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
			if slices.Contains(behavior, annotations.FieldBehavior_REQUIRED) && md != jobType && md != specType && md != affinityType {
				all[md.FullName()] = append(all[md.FullName()], fd)
			}
			if sub := fd.Message(); sub != nil && !fd.IsMap() && (md != jobType || !outputOnly[string(fd.Name())]) {
				visit(sub)
			}
		}
	}
	visit(jobType)
	return all
})

// requiredFixes says how to fix a missing field where its name does not say it.
var requiredFixes = map[protoreflect.FullName]string{
	"google.cloud.aiplatform.v1.EnvVar.value": "Write a value that is not empty, or leave the variable out: Vertex AI takes none without a value.",
}

// required reports the fields that a walked message needs and does not have.
func required(r *strict.Report, n *strict.Node, md protoreflect.MessageDescriptor) {
	for _, fd := range requiredFields()[md.FullName()] {
		if f := n.Field(string(fd.Name())); f == nil || !f.Bad && strict.Zero(f.Value) {
			lacks(r, n, string(fd.Name()), "This field is needed.", cmp.Or(requiredFixes[fd.FullName()], fmt.Sprintf("Add %s.", n.Spell(string(fd.Name())))))
		}
	}
}

// A form is how the text of a field has to look.
type form struct {
	pattern *regexp.Regexp
	rule    string
	fix     string
}

func nameForm(collections ...string) form {
	example := "projects/P"
	pattern := `^projects/[^/]+`
	for _, c := range collections {
		pattern += "/" + c + "/[^/]+"
		example += "/" + c + "/" + strings.ToUpper(c[:1])
	}
	return form{regexp.MustCompile(pattern + "$"), "Want the full name, " + example + ".", "Write it in full."}
}

// specForms are the forms of fields of a job spec, from the field comments.
var specForms = map[string]form{
	"network":        {regexp.MustCompile(`^projects/[^/]+/global/networks/[^/]+$`), "Want the full name of a network, projects/NUMBER/global/networks/NAME.", "Write it in full, with the number of the project."},
	"tensorboard":    nameForm("locations", "tensorboards"),
	"experiment":     nameForm("locations", "metadataStores", "contexts"),
	"experiment_run": nameForm("locations", "metadataStores", "contexts"),
	"models":         nameForm("locations", "models"),
}

var bucketForm = form{regexp.MustCompile(`^gs://[^/]+`), "Want a place in Cloud Storage, gs://BUCKET/FOLDER.", "Write it with gs:// before it."}

// checkService checks what else Vertex AI refuses in a job spec.
func checkService(s jobShape, r *report) {
	for _, name := range []string{"network", "tensorboard", "experiment", "experiment_run", "models"} {
		n := s.spec.Field(name)
		if n != nil && n.Kind == strict.List {
			for _, item := range n.List() {
				checkForm(item, specForms[name], r)
			}
		} else {
			checkForm(n, specForms[name], r)
		}
	}
	if t := s.spec.Field("tensorboard"); t.Str() != "" && s.spec.Field("service_account") == nil {
		r.lacks(s.spec, "service_account", "Vertex AI writes to a TensorBoard only as a service account that the job names.", "Name one that may write there, or leave tensorboard out.")
	}
	checkForm(s.spec.Field("base_output_directory").Field("output_uri_prefix"), bucketForm, r)
	for _, peering := range s.spec.Field("psc_interface_config").Field("dns_peering_configs").List() {
		if n := peering.Field("domain"); n.Str() != "" && !strings.HasSuffix(n.Str(), ".") {
			r.At(n, reason.InvalidValue, "The domain has to end with a dot.", strict.Exactly("Write %q.", n.Str()+".", "Put a dot after it."))
		}
	}
	for _, pool := range s.pools {
		for _, mount := range pool.Field("nfs_mounts").List() {
			if n := mount.Field("path"); n.Str() != "" && !strings.HasPrefix(n.Str(), "/") {
				r.At(n, reason.InvalidValue, "The path of an NFS export begins with a slash.", "Put a slash before it.")
			}
		}
	}
}

func checkForm(n *strict.Node, f form, r *report) {
	if n == nil || n.Bad || n.Kind != strict.Text || n.Text == "" || strict.Hole(n.Text) != "" {
		return // a template that is not filled in has its own warning
	}
	if !f.pattern.MatchString(n.Text) {
		r.At(n, reason.InvalidValue, f.rule, f.fix)
	}
}
