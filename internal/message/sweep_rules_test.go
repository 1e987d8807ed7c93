package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// sweepValues stand in turn for each value of a message.
var sweepValues = []string{`null`, `""`, `"x"`, `"X y"`, `"7"`, `0`, `1`, `-3`, `1.5`, `1e30`, `true`, `"false"`, `[]`, `["x","x"]`, `{}`, `{"x":1}`, `"${A}"`, `"2s"`, `"-5s"`, `"99999999999999s"`, `"x\ny"`, `"none"`}

// sweep is what becomes of a delivery, in a line.
func sweep(d Delivery) string {
	m, err := Decode(d)
	var refusal *Refusal
	var said []string
	switch {
	case errors.As(err, &refusal):
		for _, p := range refusal.Problems {
			said = append(said, p.String())
		}
		if refusal.ClaimedID != "" && refusal.ClaimedID != "id" {
			said = append(said, "claims "+refusal.ClaimedID)
		}
		return "refused: " + strings.Join(said, " | ")
	case err != nil:
		return "failed: " + err.Error()
	case m.Cancel != nil:
		return fmt.Sprintf("cancels %q %q: %q", m.Cancel.RequestID, m.Cancel.MessageID, m.Cancel.Reason)
	}
	r := m.Request
	usual := map[string]bool{}
	for _, p := range r.Warnings {
		if usualWarnings[p.String()] {
			usual[p.String()] = true
		} else {
			said = append(said, p.String())
		}
	}
	if len(usual) < len(usualWarnings) && r.RequestID != "" {
		said = append(said, fmt.Sprintf("%d of the usual warnings", len(usual)))
	}
	return fmt.Sprintf("taken as %.8s %q %q %q %d %s %s %v: %s", m.Fingerprint, r.RequestID, r.PersistentResource, r.Job.GetDisplayName(), r.Priority, r.OnFull, r.MaxWait, r.DryRun, strings.Join(said, " | "))
}

// usualWarnings are those of the whole message as it is: they are not repeated.
var usualWarnings = map[string]bool{
	"WARNING: job.jobSpec.scheduling.maxWaitDuration: Vertex AI reads this duration with FLEX_START only. The option maxWait says how long to wait in the queue; it is at most 2592000s.": true,
	"WARNING: job.jobSpec.scheduling.restartJobOnWorkerRestart: Vertex AI reads this as false, because disableRetries is true. Leave one of them out.":                                    true,
	"WARNING: maxWait: A job that is rejected when it does not fit never waits. Leave out one of the two.":                                                                                true,
}

// TestSweep puts each of some values in the place of each value of a whole message, and
// leaves each value out, and holds what becomes of it: which problems are reported, where,
// in which words. A change of a rule or of a text shows as a difference.
func TestSweep(t *testing.T) {
	text, err := os.ReadFile("testdata/whole.json")
	if err != nil {
		t.Fatal(err)
	}
	var job any
	if err := json.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	whole := map[string]any{"requestId": "id", "persistentResource": "pool", "labels": map[string]any{"a": "b"}, "priority": 5, "onFull": "reject", "maxWait": "600s", "dryRun": false, "job": job}
	var lines []string
	try := func(what string, root any) {
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, what+"\t"+sweep(Delivery{ID: "m", Data: data}))
	}
	try("as it is", whole)
	try("in snake case", snaked(whole))
	try("the job alone", job)
	try("the job spec alone", job.(map[string]any)["jobSpec"])
	try("the pools alone", job.(map[string]any)["jobSpec"].(map[string]any)["workerPoolSpecs"])
	var visit func(path string, v any, set func(any), drop func())
	visit = func(path string, v any, set func(any), drop func()) {
		for _, value := range sweepValues {
			set(json.RawMessage(value))
			try(path+" = "+value, whole)
		}
		if drop != nil {
			drop()
			try(path+" left out", whole)
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				visit(path+"."+name, v[name], func(n any) { v[name] = n }, func() { delete(v, name) })
			}
			v["neverHeard"] = 1
			try(path+" with a name that there is none of", whole)
			delete(v, "neverHeard")
		case []any:
			for i := range v {
				visit(path+"["+strconv.Itoa(i)+"]", v[i], func(n any) { v[i] = n }, nil)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		visit(name, whole[name], func(n any) { whole[name] = n }, func() { delete(whole, name) })
	}
	data, _ := json.Marshal(whole)
	for _, name := range slices.Sorted(maps.Keys(optionNames)) {
		values := []string{"", "x"}
		if strings.HasPrefix(name, "berth-") {
			values = []string{"", " ", "x", "X y", "7", "-1", "true", "no", "2h", "9s", "queue", "a=b", "a=b,c=d", strings.Repeat("x", 200)}
		}
		for _, value := range values {
			d := Delivery{ID: "m", Data: []byte(`{"job":` + string(text) + `}`), Attributes: map[string]string{name: value, "other": "x"}}
			lines = append(lines, fmt.Sprintf("attribute %s = %.20q\t%s", name, value, sweep(d)))
			d.Data = data
			if !strings.Contains(name, "_") && value != "" && len(value) < 9 {
				lines = append(lines, fmt.Sprintf("attribute %s = %.20q beside the option\t%s", name, value, sweep(d)))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cancelNames)) {
		for _, value := range sweepValues {
			lines = append(lines, fmt.Sprintf("cancel with %s = %s\t%s", name, value, sweep(Delivery{ID: "m", Data: []byte(`{"cancel":{"` + name + `":` + value + `}}`)})))
			lines = append(lines, fmt.Sprintf("cancel of an id with %s = %s\t%s", name, value, sweep(Delivery{ID: "m", Data: []byte(`{"cancel":{"requestId":"id","` + name + `":` + value + `}}`)})))
		}
	}
	// A name that belongs elsewhere, in the place of what is needed there: the problem of
	// the one stands for that of the other where it names it.
	const pool = `"machineSpec":{"machineType":"m"},"replicaCount":1`
	for _, place := range [][2]string{
		{"the job", `{"requestId":"id",%s}`},
		{"jobSpec", `{"requestId":"id","job":{"displayName":"d",%s}}`},
		{"pools", `{"requestId":"id","job":{"jobSpec":{%s}}}`},
		{"machineSpec", `{"requestId":"id","job":[{"replicaCount":1,"containerSpec":{"imageUri":"i"},%s}]}`},
		{"replicas", `{"requestId":"id","job":[{"machineSpec":{"machineType":"m"},"containerSpec":{"imageUri":"i"},%s}]}`},
		{"container", `{"requestId":"id","job":[{` + pool + `,%s}]}`},
		{"imageUri", `{"requestId":"id","job":[{` + pool + `,"containerSpec":{%s}}]}`},
	} {
		for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
			_, err := Decode(Delivery{ID: "m", Data: fmt.Appendf(nil, place[1], strconv.Quote(name)+`:"x"`)})
			lines = append(lines, fmt.Sprintf("%s instead of %s\t%s", name, place[0], refusalText(t, err)))
		}
	}
	for _, action := range slices.Sorted(maps.Keys(actionFields)) {
		needed := map[string]any{"action": action, "who": "w", "reason": "r", "persistentResource": "p"}
		if slices.Contains(actionFields[action], "request_id") {
			delete(needed, "persistentResource")
			needed["requestId"] = "id"
		}
		for _, name := range slices.Sorted(maps.Keys(operatorNames)) {
			for _, value := range sweepValues {
				if strings.Contains(name, "_") {
					break
				}
				message := maps.Clone(needed)
				message[name] = json.RawMessage(value)
				data, err := json.Marshal(map[string]any{"operator": message})
				if err != nil {
					t.Fatal(err)
				}
				said := ""
				if o, err := DecodeOperator(Delivery{ID: "m", Data: data}); err != nil {
					said = "refused: " + refusalText(t, err)
				} else if data, err := json.Marshal(o); err != nil {
					t.Fatal(err)
				} else {
					said = "taken as " + string(data)
				}
				lines = append(lines, fmt.Sprintf("operator's %s with %s = %s\t%s", action, name, value, said))
			}
		}
	}
	const file = "testdata/sweep.txt"
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(strings.Split(string(want), "\n"), lines))
	}
}

// snaked is a value with the names of its members in snake case.
func snaked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		all := map[string]any{}
		for name, value := range v {
			if name == "labels" {
				all[name] = value
			} else {
				all[strict.Snake(name)] = snaked(value)
			}
		}
		return all
	case []any:
		var all []any
		for _, value := range v {
			all = append(all, snaked(value))
		}
		return all
	}
	return v
}

// A text that a template left open is said to be one, whatever becomes of the message.
func TestSweepSaysWhatIsATemplate(t *testing.T) {
	text, err := os.ReadFile("testdata/sweep.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, ` = "${A}"`) || strings.HasPrefix(line, "cancel") || strings.HasPrefix(line, "operator") { // a reason is any text, and pipelines send jobs
			continue
		}
		if found++; !strings.Contains(line, "Fill in ${") && !strings.Contains(line, "The text has ${") {
			t.Error(line)
		}
	}
	if found < 50 {
		t.Errorf("only %d lines", found)
	}
}

func TestTemplatesInKeys(t *testing.T) {
	for _, data := range []string{
		`{workerPoolSpecs: [], "${KEY}": 3}`,
		`{displayName: d, labels: {"${KEY}": a}, jobSpec: {workerPoolSpecs: []}}`,
	} {
		var refusal *Refusal
		if _, err := Decode(Delivery{ID: "1", Data: []byte(data)}); !errors.As(err, &refusal) {
			t.Fatalf("%s: %v", data, err)
		}
		if !slices.ContainsFunc(refusal.Problems, func(p reason.Problem) bool { return p.Fix == "Fill in ${KEY} before the job is published." }) {
			t.Errorf("%s: %v", data, refusal.Problems)
		}
	}
}
