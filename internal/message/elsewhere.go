package message

import (
	"regexp"
	"strings"

	"example.com/berth/internal/spelling"
	"example.com/berth/internal/strict"
)

// foreignKinds are documents of other kinds that people send as a job,
// recognized by a member at the top. The first that fits is named.
var foreignKinds = []struct {
	member string // spelled squeezed
	kind   string
	fix    string
}{
	{"apiversion", "a Kubernetes object", "Write the pod's container as a worker pool: image as containerSpec.imageUri, command, args and env as they are, machines as machineSpec and replicaCount."},
	{"trialjobspec", "a HyperparameterTuningJob", "Send what trialJobSpec holds as a CustomJob: {\"jobSpec\": {...}}. Each trial is a request of its own."},
	{"studyspec", "a HyperparameterTuningJob", "Send one job per trial as a CustomJob: {\"jobSpec\": {...}}."},
	{"trainingtaskinputs", "a TrainingPipeline", "Send what trainingTaskInputs holds, its workerPoolSpecs and the fields beside them, as a CustomJobSpec."},
	{"trainingtaskdefinition", "a TrainingPipeline", "Send the workerPoolSpecs of its trainingTaskInputs as a CustomJobSpec."},
	{"pipelinespec", "a PipelineJob", "Send the CustomJob of one of its steps; a pipeline can publish a request to Berth's topic from a step."},
	{"pipelineinfo", "a compiled pipeline", "Send the CustomJob of one of its steps; a pipeline can publish a request to Berth's topic from a step."},
	{"deploymentspec", "a compiled pipeline", "Send the CustomJob of one of its steps; a pipeline can publish a request to Berth's topic from a step."},
	{"resourcepools", "a PersistentResource", "Create it at Vertex AI; Berth takes jobs for it."},
	{"traininginput", "a job of the older AI Platform Training", "Write masterConfig and workerConfig as workerPoolSpecs, imageUri as containerSpec.imageUri, masterType as machineSpec.machineType."},
	{"componentspec", "a call of create_custom_training_job_from_component", "Send what the component runs as workerPoolSpecs, with containerSpec, machineSpec and replicaCount."},
}

// foreignKind finds the member that shows that a document is not a job; nil if
// it may be one.
func foreignKind(n *strict.Node) (m *strict.Node, kind, fix string) {
	for _, f := range foreignKinds {
		for _, m := range n.Members {
			if spelling.Squeeze(m.Key) != f.member {
				continue
			}
			kind := f.kind
			if k := n.Member("kind"); f.member == "apiversion" && k != nil && k.Kind == strict.Text && strict.PlainKey(k.Text) {
				kind = "a Kubernetes " + k.Text
			}
			return m, kind, f.fix
		}
	}
	return nil, "", ""
}

// elsewhere says where the meaning of a name that a CustomJob does not have
// belongs: names of the Python SDK, of gcloud's flags, of pipeline components
// and of Kubernetes. Keys are squeezed; "<path>" becomes the path of a field of
// this very message, "<=name>" a name as this message spells it.
var elsewhere = map[string]string{ // #nosec G101 -- names of fields, and where they belong
	"baseoutputdir":           "Write <jobSpec.baseOutputDirectory>: {\"<=outputUriPrefix>\": \"gs://...\"}.",
	"stagingbucket":           "The Python SDK derives <jobSpec.baseOutputDirectory.outputUriPrefix> from it; write that.",
	"outputuri":               "Output goes where <jobSpec.baseOutputDirectory.outputUriPrefix> says.",
	"project":                 "The persistent resource says where the job runs: give its full name as the option persistentResource.",
	"projectid":               "The persistent resource says where the job runs: give its full name as the option persistentResource.",
	"location":                "The persistent resource says where the job runs: give its full name as the option persistentResource.",
	"region":                  "The persistent resource says where the job runs: give its full name as the option persistentResource.",
	"parent":                  "The persistent resource says where the job runs: give its full name as the option persistentResource.",
	"customjob":               "Write {\"job\": {...}} with what it holds, or send that alone.",
	"request":                 "Write {\"job\": {...}} with what it holds, or send that alone.",
	"spec":                    "A CustomJob has <jobSpec>; did you mean that?",
	"customjobspec":           "A CustomJob has <jobSpec>; did you mean that?",
	"encryptionspeckeyname":   "The key belongs at <encryptionSpec.kmsKeyName>.",
	"kmskey":                  "The key belongs at <encryptionSpec.kmsKeyName>.",
	"maxrunduration":          "The field belongs at <jobSpec.scheduling.timeout>, written as seconds with an s: \"3600s\".",
	"vpc":                     "The field belongs at <jobSpec.network>, the full name of a network.",
	"subnetwork":              "A job names a network alone, at <jobSpec.network>.",
	"secretenv":               "Vertex AI fills in no secret; have the program read the secret itself.",
	"workingdir":              "The image sets its working directory; change it in <jobSpec.workerPoolSpecs[].containerSpec.command>.",
	"description":             "Such notes belong at <labels>.",
	"annotations":             "Such notes belong at <labels>.",
	"tags":                    "Such notes belong at <labels>.",
	"schedulingstrategy":      "The field belongs at <jobSpec.scheduling.strategy>.",
	"timeoutseconds":          "The field belongs at <jobSpec.scheduling.timeout>, written as seconds with an s: \"3600s\".",
	"containeruri":            "The field belongs at <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"containerimageuri":       "The field belongs at <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"imageuri":                "The field belongs at <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"image":                   "The field belongs at <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"container":               "The container belongs at <jobSpec.workerPoolSpecs[].containerSpec>.",
	"containers":              "The container belongs at <jobSpec.workerPoolSpecs[].containerSpec>.",
	"trainingcontainerspec":   "The container belongs at <jobSpec.workerPoolSpecs[].containerSpec>.",
	"resources":               "Machines are given by <jobSpec.workerPoolSpecs[].machineSpec>.",
	"nodeselector":            "Machines are given by <jobSpec.workerPoolSpecs[].machineSpec>.",
	"replicas":                "The number of machines belongs at <jobSpec.workerPoolSpecs[].replicaCount>.",
	"parallelism":             "The number of machines belongs at <jobSpec.workerPoolSpecs[].replicaCount>.",
	"nodecount":               "The number of machines belongs at <jobSpec.workerPoolSpecs[].replicaCount>.",
	"gputype":                 "The field belongs at <jobSpec.workerPoolSpecs[].machineSpec.acceleratorType>.",
	"gpucount":                "The field belongs at <jobSpec.workerPoolSpecs[].machineSpec.acceleratorCount>.",
	"disksize":                "The field belongs at <jobSpec.workerPoolSpecs[].diskSpec.bootDiskSizeGb>.",
	"disktype":                "The field belongs at <jobSpec.workerPoolSpecs[].diskSpec.bootDiskType>.",
	"localpackagepath":        "gcloud builds an image from it; publish what gcloud prints as containerSpec, with <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"script":                  "gcloud builds an image from it; publish what gcloud prints as containerSpec, with <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"requirements":            "Packages belong into the image at <jobSpec.workerPoolSpecs[].containerSpec.imageUri>.",
	"pythonmodulename":        "The field belongs at <jobSpec.workerPoolSpecs[].pythonPackageSpec.pythonModule>.",
	"pythonpackageuris":       "The field belongs at <jobSpec.workerPoolSpecs[].pythonPackageSpec.packageUris>.",
	"pythonpackageuri":        "The field belongs at <jobSpec.workerPoolSpecs[].pythonPackageSpec.packageUris>.",
	"environmentvariables":    "Variables belong at <jobSpec.workerPoolSpecs[].containerSpec.env>: [{\"name\": ..., \"value\": ...}].",
	"valuefrom":               "Vertex AI fills in no secret or field; write a value, or have the program read the secret itself.",
	"envfrom":                 "Vertex AI fills in no secret or field; write each variable into <jobSpec.workerPoolSpecs[].containerSpec.env>, or have the program read the secret itself.",
	"volumes":                 "Vertex AI mounts <jobSpec.workerPoolSpecs[].nfsMounts>, and buckets at /gcs/BUCKET.",
	"volumemounts":            "Vertex AI mounts <jobSpec.workerPoolSpecs[].nfsMounts>, and buckets at /gcs/BUCKET.",
	"envvars":                 "Variables belong at <jobSpec.workerPoolSpecs[].containerSpec.env>: [{\"name\": ..., \"value\": ...}].",
	"restartpolicy":           "Restarts are asked for by <jobSpec.scheduling.restartJobOnWorkerRestart>.",
	"backofflimit":            "Restarts are asked for by <jobSpec.scheduling.restartJobOnWorkerRestart>.",
	"activedeadlineseconds":   "The field belongs at <jobSpec.scheduling.timeout>, written as seconds with an s: \"3600s\".",
	"ttlsecondsafterfinished": "Vertex AI keeps ended jobs; there is no such setting.",
	"autoscalingspec":         "A worker pool has a fixed <jobSpec.workerPoolSpecs[].replicaCount>; autoscaling is set on the persistent resource.",
	"minreplicacount":         "A worker pool has a fixed <jobSpec.workerPoolSpecs[].replicaCount>; autoscaling is set on the persistent resource.",
	"maxreplicacount":         "A worker pool has a fixed <jobSpec.workerPoolSpecs[].replicaCount>; autoscaling is set on the persistent resource.",
	"spot":                    "A persistent resource is made of machines that are paid for; a job there is never on spot machines.",
	"preemptible":             "A persistent resource is made of machines that are paid for; a job there is never on spot machines.",
	"provisioningmodel":       "A persistent resource is made of machines that are paid for; a job there is never on spot machines.",
	"config":                  "Send what the file holds: the CustomJobSpec itself.",
}

// pathMark is a path in elsewhere.
var pathMark = regexp.MustCompile(`<[^>]*>`)

// fixElsewhere looks a name up in elsewhere, and writes the paths as this
// message would.
func fixElsewhere(m *strict.Node) string {
	return pathMark.ReplaceAllStringFunc(elsewhere[spelling.Squeeze(m.Key)], func(mark string) string {
		if name, ok := strings.CutPrefix(mark, "<="); ok {
			return m.Parent.Spell(strict.Snake(strings.TrimSuffix(name, ">")))
		}
		return written(m, strings.Trim(mark, "<>"))
	})
}

// hints says whether the problem of an unknown member names the field as well, so
// that the field is not reported as missing too.
func hints(unknown *strict.Node, name string) bool {
	key := spelling.Squeeze(unknown.Key)
	fix, known := elsewhere[key]
	if known && (strings.HasPrefix(key, spelling.Squeeze(name)) || name == "job_spec" && strings.Contains(fix, `{"job"`)) {
		return true
	}
	for _, path := range append(pathMark.FindAllString(fix, -1), homesOf(unknown.Key)...) {
		path = strings.NewReplacer("[]", "", ">", "").Replace(path)
		if strings.Contains(path+".", strict.Camel(name)+".") {
			return true
		}
	}
	near, _ := spelling.Nearest(unknown.Key, []string{strict.Camel(name)}, fieldWords)
	return len(near) > 0
}
