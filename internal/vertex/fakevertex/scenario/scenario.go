package scenario

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"go.yaml.in/yaml/v4"
	codepb "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/vertex/fakevertex"
)

// A Scenario is what a file says. A part that the file leaves out changes nothing.
type Scenario struct {
	Seed      int64
	Resources []*aiplatformpb.PersistentResource

	behaviour []func(*fakevertex.Behaviour)
	jobs      []fakevertex.JobRule
	faults    []fakevertex.FaultRule
	hasJobs   bool
	hasFaults bool
	location  Location
	nodes     []*yaml.Node // of Resources
}

// A Location is where resources are that a scenario names by their ids.
type Location struct{ Project, Region string }

// Read reads a scenario in YAML or JSON. The location holds where the file names none. An
// error is an [*Error], whose lines begin with file.
func Read(file string, data []byte, l Location) (*Scenario, error) {
	s, r := &Scenario{location: l}, &reader{}
	if n := r.document(data); n != nil && n.ShortTag() != "!!null" {
		r.object(n, "", map[string]field{
			"project":   func(n *yaml.Node, path string) { s.location.Project = r.checked(n, path, fakevertex.CheckProject) },
			"region":    func(n *yaml.Node, path string) { s.location.Region = r.checked(n, path, fakevertex.CheckRegion) },
			"seed":      func(n *yaml.Node, path string) { s.Seed = r.integer(n, path, 0, 1<<53) },
			"behaviour": func(n *yaml.Node, path string) { s.readBehaviour(r, n, path) },
			"resources": func(n *yaml.Node, path string) {
				r.list(n, path, func(n *yaml.Node, path string) {
					m := &aiplatformpb.PersistentResource{}
					r.message(n, path, m)
					s.Resources, s.nodes = append(s.Resources, m), append(s.nodes, n)
				})
			},
			"jobs": func(n *yaml.Node, path string) {
				s.hasJobs = true
				r.list(n, path, func(n *yaml.Node, path string) { s.readJob(r, n, path) })
			},
			"faults": func(n *yaml.Node, path string) {
				s.hasFaults = true
				r.list(n, path, func(n *yaml.Node, path string) { s.readFault(r, n, path) })
			},
		})
	}
	if len(r.problems) == 0 {
		s.rehearse(r)
	}
	if len(r.problems) > 0 {
		return nil, &Error{file, r.problems}
	}
	return s, nil
}

// rehearse applies the scenario to a server of its own, which finds what only a server
// knows: whether a machine is possible, or an id comes twice.
func (s *Scenario) rehearse(r *reader) {
	for _, m := range s.Resources {
		if m.Name != "" && !strings.Contains(m.Name, "/") {
			m.Name = "projects/" + s.location.Project + "/locations/" + s.location.Region + "/persistentResources/" + m.Name
		}
	}
	server := fakevertex.New(fakevertex.Options{Clock: fakevertex.NewManualClock(time.Unix(0, 0))})
	server.SetBehaviour(s.change)
	for i, m := range s.Resources {
		if m.Name == "" {
			r.bad(s.nodes[i], "resources["+strconv.Itoa(i)+"].name", "This field is needed: an id, or the full name.")
		} else if _, err := server.AddResource(m); err != nil {
			r.bad(s.nodes[i], "resources["+strconv.Itoa(i)+"]", "%s", reasonOf(err))
		}
	}
	if err := errors.Join(server.SetJobRules(s.jobs), server.SetFaultRules(s.faults)); err != nil {
		r.problems = append(r.problems, Problem{0, "", err.Error()})
	}
}

// reasonOf is the text of a refusal, without the code, in one line.
func reasonOf(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	text := err.Error()
	if errors.As(err, &s) {
		text = s.GRPCStatus().Message()
	}
	return strings.Join(strings.Fields(text), " ")
}

// Behaviour is the behaviour of a server that begins with the scenario.
func (s *Scenario) Behaviour() fakevertex.Behaviour {
	b := fakevertex.DefaultBehaviour()
	s.change(&b)
	return b
}

func (s *Scenario) change(b *fakevertex.Behaviour) {
	for _, f := range s.behaviour {
		f(b)
	}
}

// Apply changes a server: knobs that the scenario sets, its job rules and its faults if it
// has such fields, and it adds the resources. An error means that a resource could not be
// added; then nothing else has been changed.
func (s *Scenario) Apply(server *fakevertex.Server) error {
	var added []string
	for _, m := range s.Resources {
		if _, err := server.AddResource(m); err != nil {
			for _, name := range added {
				_ = server.RemoveResource(name) // it was added a moment ago
			}
			return err
		}
		added = append(added, m.Name)
	}
	server.SetBehaviour(s.change)
	var err error
	if s.hasJobs {
		err = server.SetJobRules(s.jobs)
	}
	if s.hasFaults {
		err = errors.Join(err, server.SetFaultRules(s.faults))
	}
	return err // none: Read has tried them
}

// disks are the values of the knobs JobDisk and PoolDisk.
var disks = []string{"pd-ssd", "pd-standard", "hyperdisk-balanced"}

// KnobName is the name of a field of fakevertex.Behaviour in a scenario.
func KnobName(field string) string {
	return string(unicode.ToLower(rune(field[0]))) + field[1:]
}

// readBehaviour reads the fields of fakevertex.Behaviour by their types.
func (s *Scenario) readBehaviour(r *reader, n *yaml.Node, path string) {
	fields := map[string]field{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[fakevertex.Behaviour]()) {
		set := func(v any) {
			s.behaviour = append(s.behaviour, func(b *fakevertex.Behaviour) {
				reflect.ValueOf(b).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(v).Convert(f.Type))
			})
		}
		fields[KnobName(f.Name)] = func(n *yaml.Node, path string) {
			zero := reflect.Zero(f.Type).Interface()
			words, isWord := zero.(interface{ Words() []string })
			switch zero.(type) {
			case time.Duration:
				set(r.duration(n, path, f.Name == "RunFor"))
			case bool:
				set(r.boolean(n, path))
			case int:
				set(r.integer(n, path, 0, 1_000_000))
			default:
				switch {
				case isWord:
					set(r.word(n, path, words.Words()))
				case strings.HasSuffix(f.Name, "Disk") && (n.Value != "" || n.Kind != yaml.ScalarNode):
					set(r.word(n, path, disks))
				default:
					set(r.text(n, path))
				}
			}
		}
	}
	r.object(n, path, fields)
}

func (s *Scenario) readJob(r *reader, n *yaml.Node, path string) {
	var rule fakevertex.JobRule
	ends := []string{"succeeded", "failed", "expired", "partially-succeeded"}
	r.object(n, path, map[string]field{
		"name":       func(n *yaml.Node, path string) { rule.Name = r.text(n, path) },
		"startDelay": func(n *yaml.Node, path string) { rule.StartDelay = readSpan(r, n, path, false) },
		"runFor":     func(n *yaml.Node, path string) { rule.RunFor = readSpan(r, n, path, true) },
		"failure":    func(n *yaml.Node, path string) { rule.Failure = r.text(n, path) },
		"ends": func(n *yaml.Node, path string) {
			rule.Ends = map[string]float64{}
			if n.Kind == yaml.ScalarNode {
				rule.Ends[r.word(n, path, ends)] = 1
				return
			}
			sum := 0.0
			r.members(n, path, func(key, value *yaml.Node, at string) {
				part := r.number(value, at, 0, 1_000_000)
				rule.Ends[r.word(key, at, ends)] = part
				sum += part
			})
			if sum == 0 {
				r.bad(n, path, "No job would have an end: give one of them a part above 0.")
			}
		},
	})
	s.jobs = append(s.jobs, rule)
}

// readSpan reads a time, or an object with the least and the longest.
func readSpan(r *reader, n *yaml.Node, path string, endless bool) *fakevertex.Span {
	span := &fakevertex.Span{}
	if n.Kind != yaml.MappingNode {
		span.From = r.duration(n, path, endless)
		span.To = span.From
		return span
	}
	r.object(n, path, map[string]field{
		"from": func(n *yaml.Node, path string) { span.From = r.duration(n, path, false) },
		"to":   func(n *yaml.Node, path string) { span.To = r.duration(n, path, false) },
	})
	if span.To < span.From {
		r.bad(n, path, "to is shorter than from.")
	}
	return span
}

func (s *Scenario) readFault(r *reader, n *yaml.Node, path string) {
	rule := fakevertex.FaultRule{}
	const most = 1_000_000_000
	codeNames := make([]string, 0, len(codepb.Code_name))
	for c := int32(codes.Canceled); c <= int32(codes.Unauthenticated); c++ {
		codeNames = append(codeNames, codepb.Code_name[c])
	}
	r.object(n, path, map[string]field{
		"method": func(n *yaml.Node, path string) {
			if rule.Method = r.word(n, path, append([]string{"*"}, fakevertex.Methods...)); rule.Method == "*" {
				rule.Method = ""
			}
		},
		"skip":  func(n *yaml.Node, path string) { rule.Skip = int(r.integer(n, path, 0, most)) },
		"count": func(n *yaml.Node, path string) { rule.Count = int(r.integer(n, path, 1, most)) },
		"rate": func(n *yaml.Node, path string) {
			before := len(r.problems)
			if rule.Rate = r.number(n, path, 0, 1); rule.Rate == 0 && len(r.problems) == before {
				r.bad(n, path, "No call would fail: leave the rule out.")
			}
		},
		"act": func(n *yaml.Node, path string) {
			rule.Act = fakevertex.FaultAct(r.word(n, path, []string{string(fakevertex.ActFail), string(fakevertex.ActDrop), string(fakevertex.ActHang)}))
		},
		"after": func(n *yaml.Node, path string) { rule.After = r.boolean(n, path) },
		"code": func(n *yaml.Node, path string) {
			rule.Code = codes.Code(codepb.Code_value[r.word(n, path, codeNames)])
		},
		"message": func(n *yaml.Node, path string) { rule.Message = r.text(n, path) },
	})
	if rule.Act != "" && rule.Act != fakevertex.ActFail && (rule.Code != 0 || rule.Message != "") {
		r.bad(n, path, "A call that is not answered has no code and no message.")
	}
	s.faults = append(s.faults, rule)
}
