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
)

// What Vertex AI refuses of any job, by the annotations and comments of its API and
// by refusals that people have reported. A job that is held first and refused then
// has kept replicas from others for nothing.

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
// as required; an empty value is refused as a missing one is. What a job, its spec
// and an affinity need is looked at elsewhere.
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

// requiredMends says how to fix a missing field where its name does not say it.
var requiredFixes = map[protoreflect.FullName]string{
	"google.cloud.aiplatform.v1.EnvVar.value": "Write a value that is not empty, or leave the variable out: Vertex AI takes none without a value.",
}

// required reports the fields that a walked message needs and does not have.
func (w walker) required(n *node, md protoreflect.MessageDescriptor) {
	for _, fd := range requiredFields()[md.FullName()] {
		if f := n.field(string(fd.Name())); f == nil || !f.bad && zero(f.value) {
			w.r.lacks(n, string(fd.Name()), "This field is needed.", cmp.Or(requiredFixes[fd.FullName()], fmt.Sprintf("Add %s.", n.spell(string(fd.Name())))))
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

// checkService looks at what else Vertex AI refuses in a job spec.
func checkService(s jobShape, r *report) {
	for _, name := range []string{"network", "tensorboard", "experiment", "experiment_run", "models"} {
		n := s.spec.field(name)
		if n != nil && n.kind == list {
			for _, item := range n.list() {
				checkForm(item, specForms[name], r)
			}
		} else {
			checkForm(n, specForms[name], r)
		}
	}
	if t := s.spec.field("tensorboard"); t.str() != "" && s.spec.field("service_account") == nil {
		r.lacks(s.spec, "service_account", "Vertex AI writes to a TensorBoard only as a service account that the job names.", "Name one that may write there, or leave tensorboard out.")
	}
	checkForm(s.spec.field("base_output_directory").field("output_uri_prefix"), bucketForm, r)
	for _, peering := range s.spec.field("psc_interface_config").field("dns_peering_configs").list() {
		if n := peering.field("domain"); n.str() != "" && !strings.HasSuffix(n.str(), ".") {
			r.at(n, reason.InvalidValue, "The domain has to end with a dot.", exactly("Write %q.", n.str()+".", "Put a dot after it."))
		}
	}
	for _, pool := range s.pools {
		for _, mount := range pool.field("nfs_mounts").list() {
			if n := mount.field("path"); n.str() != "" && !strings.HasPrefix(n.str(), "/") {
				r.at(n, reason.InvalidValue, "The path of an NFS export begins with a slash.", exactly("Write %q.", "/"+n.str(), "Put a slash before it."))
			}
		}
	}
}

func checkForm(n *node, f form, r *report) {
	if n == nil || n.bad || n.kind != text || n.text == "" || hole(n.text) != "" {
		return // of a template nobody knows what it becomes; it is warned of
	}
	if !f.pattern.MatchString(n.text) {
		r.at(n, reason.InvalidValue, f.rule, f.fix)
	}
}

// template warns of a text in which something was to be filled in, as ${NAME} or
// {{name}}: neither Berth nor Vertex AI does. $(NAME) is Vertex AI's own.
func (r *report) template(n *node) {
	if hole := hole(n.text); hole != "" {
		r.warn(n.place(), fmt.Sprintf("The text has %s in it, which nobody fills in.", excerpt(hole)), "Fill it in before the job is published, if a template was meant.")
	}
}

// mendHole says what to do about a text that is no value of its field: fill in what
// a template left open, else what fix says.
func (n *node) mendHole(fix string) string {
	if hole := hole(n.text); hole != "" && n.kind == text {
		return fmt.Sprintf("Fill in %s before the job is published.", excerpt(hole))
	}
	return fix
}

// hole is the first part of a text that a template left open, "" if there is none.
// A text may be a megabyte long, which the expression alone reads slowly.
func hole(text string) string {
	if !strings.Contains(text, "${") && !strings.Contains(text, "{{") {
		return ""
	}
	return templateHole.FindString(text)
}

var templateHole = regexp.MustCompile(`\$\{[^{}]+\}|\{\{[^{}]+\}\}`)
