package message

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/strict"
)

// fixLarge says how a job becomes smaller, whatever it has too much of.
const fixLarge = "Put long arguments, scripts or environments into a file that the job reads."

// documents reads what a message carries. A job with four worker pools of a hundred
// variables and a thousand arguments each has half as many values as it takes.
var documents = strict.Reader{
	MaxDepth:  MaxDepth,
	MaxValues: 20_000,
	MaxCopied: MaxData,

	Deep:     "Send a job; none is nested so deep.",
	Large:    fixLarge,
	Missing:  "Publish a job as the data.",
	Many:     "Publish one job per message.",
	Scalar:   "Publish a CustomJob, a CustomJobSpec or a list of worker pool specs.",
	Language: "Send JSON, or YAML as gcloud --config takes it.",
}

// rules are those of a CustomJob. Vertex AI documents the bounds on lists.
var rules = strict.Rules{
	MaxItems:  map[protoreflect.Name]int{"worker_pool_specs": 4, "env": 100, "package_uris": 100},
	FreeText:  map[protoreflect.Name]bool{"args": true, "command": true, "value": true}, // programs read them
	NullEntry: map[protoreflect.Name]string{"worker_pool_specs": "Write {} for a worker pool that is not used."},
	OneOf:     "A worker pool has %s or %s, not both.",
	EnumWords: enumWords,
	Private:   private,
	Unknown:   fixUnknown,
	Enum:      fixEnum,
	Walked:    required,
}

// private are the fields of a job whose values show nowhere: no event, log, status or
// report has them. Names of machines, disks and networks show, and so do labels and
// display names.
var private = func() map[protoreflect.FullName]bool {
	all := map[protoreflect.FullName]bool{}
	for message, fields := range map[string][]string{
		"EnvVar":            {"value"},
		"ContainerSpec":     {"image_uri", "command", "args"},
		"PythonPackageSpec": {"executor_image_uri", "package_uris", "python_module", "args"},
		"GcsDestination":    {"output_uri_prefix"},
		"NfsMount":          {"server", "path", "mount_point"},
		"CustomJobSpec":     {"service_account"},
	} {
		for _, field := range fields {
			all[protoreflect.FullName("google.cloud.aiplatform.v1."+message+"."+field)] = true
		}
	}
	return all
}()

func walker(r *report) strict.Walker { return strict.Walker{R: &r.Report, Rules: &rules} }

// fixEnum says how to write that there is no accelerator, where that is meant.
func fixEnum(ed protoreflect.EnumDescriptor, n *strict.Node, otherwise string) string {
	switch strings.ToLower(n.Text) {
	case "none", "null", "no", "cpu":
		if ed.Name() == "AcceleratorType" {
			return "Leave it out, and its count, for a machine without accelerators."
		}
	}
	return otherwise
}
