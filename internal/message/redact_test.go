package message

import (
	"strings"
	"testing"
)

// TestRedact: an error that quotes the job loses what may be secret, in plain and as a
// quoted text, and keeps the rest.
func TestRedact(t *testing.T) {
	const spec = `{"displayName":"train","labels":{"team":"vision"},"jobSpec":{"serviceAccount":"sa@p.iam.gserviceaccount.com",
		"baseOutputDirectory":{"outputUriPrefix":"gs://bucket/out"},"workerPoolSpecs":[
		{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1","containerSpec":{"imageUri":"gcr.io/p/image:1","command":["run.sh","run.sh --all"],
		 "args":["--password=hush","-v","--key","say \"friend\"\n"],"env":[{"name":"TOKEN","value":"s3cret"},{"name":"N","value":"1"}]}},
		{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":"1","nfsMounts":[{"server":"10.0.0.1","path":"/vol","mountPoint":"data"}],
		 "pythonPackageSpec":{"executorImageUri":"gcr.io/p/exec","packageUris":["gs://pkg/a.tar.gz"],"pythonModule":"trainer.task","args":["--lr"],"env":[{"name":"K","value":"pysecret"}]}}]}}`
	for text, want := range map[string]string{
		"":                             "",
		"Quota of n1-standard-4 is 1.": "Quota of n1-standard-4 is 1.",
		"Image gcr.io/p/image:1 not found, nor gcr.io/p/exec":             "Image [imageUri] not found, nor [executorImageUri]",
		"TOKEN=s3cret and K=pysecret":                                     "TOKEN=[value] and K=[value]",
		"--password=hush failed; hush is wrong":                           "[args] failed; [args] is wrong",
		`args:"say \"friend\"\n" or say "friend"` + "\n.":                 `args:"[args]" or [args].`,
		"run.sh --all, run.sh":                                            "[command], [command]",
		"sa@p.iam.gserviceaccount.com may not write to gs://bucket/out/x": "[serviceAccount] may not write to [outputUriPrefix]/x",
		"no module trainer.task in gs://pkg/a.tar.gz":                     "no module [pythonModule] in [packageUris]",
		"cannot mount /vol of 10.0.0.1 at data":                           "cannot mount [path] of [server] at [mountPoint]",
		"train of vision":                                                 "train of vision",
	} {
		if got := Redact(spec, text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := Redact("{", "s3cret"); strings.Contains(got, "s3cret") {
		t.Errorf("of a job that cannot be read: %q", got)
	}
}
