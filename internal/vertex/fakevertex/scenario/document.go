package scenario

import (
	"encoding/json"
	"reflect"
	"time"

	codepb "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/encoding/protojson"

	"example.com/berth/internal/vertex/fakevertex"
)

// Of is the scenario that a server has now, in the form that Read reads.
func Of(server *fakevertex.Server) (map[string]any, error) {
	resources, jobs := []any{}, []any{}
	for _, m := range server.Resources() {
		data, err := protojson.Marshal(m)
		if err != nil {
			return nil, err
		}
		resources = append(resources, json.RawMessage(data))
	}
	for _, r := range server.JobRules() {
		jobs = append(jobs, jobDocument(r))
	}
	return map[string]any{"behaviour": Behaviour(server.Behaviour()), "resources": resources, "jobs": jobs, "faults": faultDocuments(server, false)}, nil
}

// Behaviour is the knobs by their names in a scenario. An empty text of a knob that takes a
// few words only means its first one, and is left out.
func Behaviour(b fakevertex.Behaviour) map[string]any {
	out := map[string]any{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[fakevertex.Behaviour]()) {
		v := reflect.ValueOf(b).FieldByIndex(f.Index)
		_, words := v.Interface().(interface{ Words() []string })
		switch {
		case v.Type() == reflect.TypeFor[time.Duration]():
			out[KnobName(f.Name)] = timeText(time.Duration(v.Int()))
		case !words || v.String() != "":
			out[KnobName(f.Name)] = v.Interface()
		}
	}
	return out
}

func timeText(d time.Duration) string {
	if d < 0 {
		return forever
	}
	return d.String()
}

func spanDocument(s *fakevertex.Span) any {
	if s.From < 0 || s.From == s.To {
		return timeText(s.From)
	}
	return map[string]string{"from": timeText(s.From), "to": timeText(s.To)}
}

func jobDocument(r fakevertex.JobRule) map[string]any {
	out := map[string]any{}
	if r.Name != "" {
		out["name"] = r.Name
	}
	if r.StartDelay != nil {
		out["startDelay"] = spanDocument(r.StartDelay)
	}
	if r.RunFor != nil {
		out["runFor"] = spanDocument(r.RunFor)
	}
	if len(r.Ends) > 0 {
		out["ends"] = r.Ends
	}
	if r.Failure != "" {
		out["failure"] = r.Failure
	}
	return out
}

// faultDocuments are the fault rules, with counts also how many calls each has broken.
func faultDocuments(server *fakevertex.Server, counts bool) []any {
	out := []any{}
	rules, broken := server.FaultRules()
	for i, r := range rules {
		d := map[string]any{}
		set := func(name string, v any, set bool) {
			if set {
				d[name] = v
			}
		}
		set("method", r.Method, r.Method != "")
		set("skip", r.Skip, r.Skip > 0)
		set("count", r.Count, r.Count > 0)
		set("rate", r.Rate, r.Rate > 0)
		set("act", r.Act, r.Act != "")
		set("after", true, r.After)
		set("code", codepb.Code_name[int32(r.Code)], r.Code != 0)
		set("message", r.Message, r.Message != "")
		set("broken", broken[i], counts)
		out = append(out, d)
	}
	return out
}
