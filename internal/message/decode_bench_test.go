package message

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"example.com/berth/internal/allocation"
)

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func operations(t testing.TB) []allocation.Operation {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile("../../testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	bare := read("jobs/cpu.json")
	envelope := fmt.Sprintf(`{"requestId": "train-42", "priority": 10, "labels": {"team": "vision"}, "job": %s}`, bare)
	// Arguments make it a request of 2 KiB, as usual.
	var args []string
	for i := 0; len(envelope)+len(strings.Join(args, ",")) < 2<<10; i++ {
		args = append(args, fmt.Sprintf(`"--flag-%d=value-%d"`, i, i))
	}
	envelope = strings.Replace(envelope, `"containerSpec": {`, `"containerSpec": {"command": [`+strings.Join(args, ",")+`],`, 1)
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	push := fmt.Sprintf(`{"subscription": "projects/p/subscriptions/s", "deliveryAttempt": 1, "message": {"messageId": "2070443601311540",
		"publishTime": "2026-03-01T12:00:00.5Z", "attributes": {"berth-priority": "10"}, "data": %q}}`,
		base64.StdEncoding.EncodeToString([]byte(envelope)))

	var all []allocation.Operation
	decode := func(name, data string, refused bool) {
		d := Delivery{ID: "1", Data: []byte(data), Attributes: map[string]string{"berth-on-full": "reject"}}
		if _, err := Decode(d); (err != nil) != refused {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		all = append(all, allocation.Operation{Name: "Decode/" + name, Do: func() { _, _ = Decode(d) }})
	}
	decode("envelope-2KiB", envelope, false)
	decode("bare-job", bare, false)
	decode("yaml", read("jobs/gpu.yaml"), false)
	decode("too-deep", deep, true)
	decode("too-deep-64KiB", strings.Repeat(deep[:MaxDepth+1], 1<<16/(MaxDepth+1)), true)
	decode("unknown-fields", `{"requestId": "a", "job": {"a": 1, "b": {"c": [1, 2]}}}`, true)

	header := func(string) string { return "" }
	if _, err := DecodeDelivery(header, []byte(push)); err != nil {
		t.Fatal(err)
	}
	all = append(all, allocation.Operation{Name: "DecodeDelivery/wrapped-2KiB", Do: func() { _, _ = DecodeDelivery(header, []byte(push)) }})
	for _, o := range sampleOutcomes() {
		switch o.Type {
		case Queued, Submitted:
			all = append(all, allocation.Operation{Name: "Outcome.PubSub/" + o.Type.Word(), Do: func() { _, _, _ = o.PubSub(testSource) }})
		}
	}
	return all
}

func TestAllocations(t *testing.T) { allocation.Hold(t, "internal/message", operations(t)) }
