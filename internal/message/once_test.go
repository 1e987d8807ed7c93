package message

import (
	"errors"
	"strings"
	"testing"
)

// TestEachProblemIsReportedOnce is about messages with one thing wrong.
func TestEachProblemIsReportedOnce(t *testing.T) {
	container := func(text string) string {
		return `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i",` + text + `}}]`
	}
	for name, c := range map[string]struct{ data, want string }{
		"too many variables": {container(`"env":[` + strings.TrimSuffix(strings.Repeat(`{"name":"A"},`, 101), ",") + `]`), "TOO_LARGE [0].containerSpec.env"},
		"merge of text":      {"<<: a\njob: " + plainJob, `MALFORMED ["<<"]`},
		"merge of itself":    {"&x\n<<: *x\njob: " + plainJob, `MALFORMED ["<<"]`},
		"aliases in a merge": {"job: " + plainJob + "\nx: &x {}\n<<: [*x, *x]", `UNKNOWN_FIELD x`},
		"two merge keys":     {"<<: {a: 1}\n<<: {b: 1}\njob: " + plainJob, `DUPLICATE_FIELD ["<<"], UNKNOWN_FIELD b`},
		"pools beside a job": {`{"workerPoolSpecs":[],"jobSpec":{"workerPoolSpecs":` + plainJob + `}}`, "UNKNOWN_FIELD workerPoolSpecs"},
		"key of no text":     {"1: a\njob: " + plainJob, "INVALID_VALUE 1"},
		"key in a cancel":    {"cancel: {requestId: a, 1: b}", "INVALID_VALUE cancel.1"},
		"key by a cancel":    {"cancel: {requestId: a}\n1: b", "INVALID_VALUE 1"},
		"deep keys":          {strings.Repeat("? ", 40) + "a", "TOO_LARGE "},
		"two marks":          {"\ufeff\ufeff{}", "MALFORMED "},
		"centuries":          {`{"scheduling":{"timeout":"3153600000.000000001s"},"workerPoolSpecs":` + plainJob + `}`, "INVALID_VALUE scheduling.timeout"},
	} {
		_, err := Decode(Delivery{ID: "1", Data: []byte(c.data)})
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		var got []string
		for _, p := range refusal.Problems {
			got = append(got, string(p.Code)+" "+p.Path)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s; want %s", name, s, c.want)
		}
	}
}
