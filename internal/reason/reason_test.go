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

// TestNumbersInSentences: the noun and the verb follow their number.
func TestNumbersInSentences(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0 replicas are":   Count(0, "replica") + Agree(0, " is", " are"),
		"1 replica is":     Count(1, "replica") + Agree(1, " is", " are"),
		"2 replicas are":   Count(2, "replica") + Agree(2, " is", " are"),
		"21 replicas are":  Count(int64(21), "replica") + Agree(int64(21), " is", " are"),
		"1 story has":      Count(1, "story") + Agree(1, " has", " have"),
		"3 stories have":   Count(3, "story") + Agree(3, " has", " have"),
		"2 days":           Count(2, "day"),
		"2 keys":           Count(2, "key"),
		"1 more tenant":    Count(1, "more tenant"),
		"12 more tenants":  Count(12, "more tenant"),
		"-1 replicas have": Count(-1, "replica") + Agree(-1, " has", " have"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
