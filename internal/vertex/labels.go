package vertex

import (
	"regexp"

	"example.com/berth/internal/message"
)

// runText is what a run's label can be; see controller.Env.NewRun.
var runText = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Named returns the run and the request that the labels of a job name, both empty
// if either label is missing or is not of the form that ours have. A user
// who may create jobs can set labels to anything: "__x__", "..", a text of any length.
// Such a job is a foreign job, and its label never names a document.
func Named(labels map[string]string) (run string, request message.Key) {
	run = labels[LabelRun]
	request, ok := message.ParseKey(labels[LabelRequest])
	if !ok || !runText.MatchString(run) {
		return "", ""
	}
	return run, request
}
