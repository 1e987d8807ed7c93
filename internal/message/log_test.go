package message

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestNothingLeaksIntoLogs writes the types in every way that log code does, and
// looks for words of the user in it.
func TestNothingLeaksIntoLogs(t *testing.T) {
	const canary = "canary"
	job := strings.NewReplacer("IMG", canary+"-image", "SECRET", canary+"-secret").Replace(
		`[{"machineSpec":{"machineType":"m"},"replicaCount":2,"containerSpec":{"imageUri":"IMG","env":[{"name":"A","value":"SECRET"}],"args":["SECRET"]}}]`)
	d := Delivery{ID: "17", Data: []byte(job), OrderingKey: canary, Attributes: map[string]string{
		"berth-request-id": canary, "berth-display-name": canary, "berth-labels": "a=" + canary, "berth-persistent-resource": canary,
	}}
	m, err := Decode(d)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(Delivery{ID: "18", Data: []byte(`{"cancel":{"requestId":"` + canary + `","reason":"` + canary + `"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{d, &d, m, &m, *m.Request, m.Request, c, *c.Cancel, c.Cancel} {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", v)
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprint([]byte(canary)[0:3])) {
			t.Errorf("%T leaks: %s", v, out.String())
		}
		if !strings.Contains(out.String(), "17") && !strings.Contains(out.String(), "requestIdHash") && !strings.Contains(out.String(), "fingerprint") {
			t.Errorf("%T shows nothing: %s", v, out.String())
		}
	}
}
