package reason

import "testing"

func TestProblemReadsAsOneLine(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Problem{
		"FULL: No replica is free.": {Code: Full, Detail: "No replica is free."},
		"INVALID_VALUE: jobSpec.workerPoolSpecs[0].replicaCount: It is below 0.":                                  {Code: InvalidValue, Path: "jobSpec.workerPoolSpecs[0].replicaCount", Detail: "It is below 0."},
		"TOO_LARGE: attributes: There are 101. Send at most 100.":                                                 {Code: TooLarge, Path: "attributes", Detail: "There are 101.", Fix: "Send at most 100."},
		"NO_RESOURCE: No persistent resource is named. Name one in the option persistentResource of the request.": {Code: NoResource, Detail: "No persistent resource is named.", Fix: "Name one in the option persistentResource of the request."},
	} {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
