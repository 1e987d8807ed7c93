package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"go.yaml.in/yaml/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/vertex/fakevertex"
)

// AdminPath is where [Admin] belongs.
const AdminPath = "/admin"

// maxBody bounds what a request sends, in bytes.
const maxBody = 4 << 20

// lastTime is where the clock stops. The longest duration is 292 years, so what is due later has
// a timestamp below the year 10000, above which none can be written.
var lastTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// An Admin shows and changes a server over HTTP:
//
//	GET   /admin                              clock, calls, jobs by state, resources, faults
//	GET   /admin/scenario                     the scenario as it is now
//	PATCH /admin/scenario                     a scenario: what it has is changed
//	GET   /admin/clock                        now, and when the next event is due
//	POST  /admin/clock                        {"advance": "5m"}, {"to": "2026-01-01T00:00:00Z"} or {"next": true}
//	POST  /admin/reset                        as it was at the start; the clock goes on
//	POST  /admin/resources:setState           {"name", "state"}
//	POST  /admin/resources:resize             {"name", "pool", "replicaCount"}
//	POST  /admin/resources:remove             {"name"}
//	POST  /admin/resources:addForeignJob      {"name", "pool", "replicaCount", "runFor"}
//
// Bodies are YAML or JSON, read as strictly as a scenario. Answers are JSON; a refusal is
// {"error": {"code", "message", "problems"}} with the HTTP status as code.
type Admin struct {
	server *fakevertex.Server
	clock  *fakevertex.ManualClock // nil: real time
	start  *Scenario
	loc    Location
	mu     sync.Mutex // changes are made one at a time
}

// NewAdmin is an Admin of a server. start is what a reset restores, and may be nil; its
// location is where resources are that a body names by their ids. clock is the server's
// own, nil if that is the real one.
func NewAdmin(server *fakevertex.Server, clock *fakevertex.ManualClock, start *Scenario, l Location) *Admin {
	if start != nil {
		l = start.location
	}
	return &Admin{server: server, clock: clock, start: start, loc: l}
}

// A refusal is an error that the caller can mend.
type refusal struct {
	code     int
	text     string
	problems []Problem
}

func (r *refusal) Error() string { return r.text }

// ServeHTTP implements [http.Handler].
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := a.answer(r)
	code := http.StatusOK
	if err != nil {
		no := &refusal{code: http.StatusBadRequest, text: reasonOf(err)}
		var bad *Error
		if errors.As(err, &bad) {
			no.problems = bad.Problems
		}
		if status.Code(err) == codes.NotFound {
			no.code = http.StatusNotFound
		}
		errors.As(err, &no)
		code = no.code
		e := map[string]any{"code": code, "message": no.text}
		if len(no.problems) > 0 {
			e["problems"] = no.problems
		}
		out = map[string]any{"error": e}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(out) // the caller may have gone
}

func (a *Admin) answer(r *http.Request) (any, error) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, AdminPath), "/")
	routes := map[string]map[string]func(*http.Request) (any, error){
		"":                         {http.MethodGet: a.overview},
		"/scenario":                {http.MethodGet: a.show, http.MethodPatch: a.patch},
		"/clock":                   {http.MethodGet: a.time, http.MethodPost: a.move},
		"/reset":                   {http.MethodPost: a.reset},
		"/resources:setState":      {http.MethodPost: a.setState},
		"/resources:resize":        {http.MethodPost: a.resize},
		"/resources:remove":        {http.MethodPost: a.remove},
		"/resources:addForeignJob": {http.MethodPost: a.addForeignJob},
	}
	methods, ok := routes[path]
	if !ok {
		return nil, &refusal{code: http.StatusNotFound, text: fmt.Sprintf("There is no %s%s.", AdminPath, path)}
	}
	f, ok := methods[r.Method]
	if !ok {
		return nil, &refusal{code: http.StatusMethodNotAllowed, text: fmt.Sprintf("%s%s does not take %s.", AdminPath, path, r.Method)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return f(r)
}

func (a *Admin) overview(r *http.Request) (any, error) {
	states := a.server.States()
	now, err := a.time(r)
	resources := []any{}
	for _, m := range a.server.Resources() {
		pools := []any{}
		for _, p := range m.ResourcePools {
			pools = append(pools, map[string]any{"id": p.Id, "replicaCount": p.GetReplicaCount(), "usedReplicaCount": p.UsedReplicaCount})
		}
		resources = append(resources, map[string]any{"name": m.Name, "state": m.State.String(), "pools": pools})
	}
	return map[string]any{"clock": now, "calls": a.server.Calls(), "jobs": states, "resources": resources, "faults": faultDocuments(a.server, true)}, err
}

func (a *Admin) show(*http.Request) (any, error) { return Of(a.server) }

func (a *Admin) patch(r *http.Request) (any, error) {
	data, err := body(r)
	if err != nil {
		return nil, err
	}
	s, err := Read("body", data, a.loc)
	if err != nil {
		return nil, err
	}
	if s.Seed != 0 {
		return nil, &refusal{code: http.StatusBadRequest, text: "The seed is fixed when the server starts."}
	}
	if err := s.Apply(a.server); err != nil {
		return nil, &refusal{code: http.StatusConflict, text: reasonOf(err)}
	}
	return Of(a.server)
}

func (a *Admin) reset(r *http.Request) (any, error) {
	if err := read(r, func(*reader) map[string]field { return map[string]field{} }); err != nil {
		return nil, err
	}
	a.server.Reset()
	a.server.SetBehaviour(func(b *fakevertex.Behaviour) { *b = fakevertex.DefaultBehaviour() })
	err := errors.Join(a.server.SetJobRules(nil), a.server.SetFaultRules(nil))
	if a.start != nil && err == nil {
		err = a.start.Apply(a.server)
	}
	if err != nil {
		return nil, err
	}
	return a.overview(r)
}

// body reads the body of a request.
func body(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBody {
		return nil, &refusal{code: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("The body has more than %d bytes.", maxBody)}
	}
	return data, nil
}

// read reads the body of a request by its fields, of which need must be there.
func read(r *http.Request, fields func(*reader) map[string]field, need ...string) error {
	data, err := body(r)
	if err != nil {
		return err
	}
	p, seen := &reader{}, map[string]bool{}
	n := p.document(data)
	if n == nil && len(p.problems) == 0 {
		n = &yaml.Node{Kind: yaml.MappingNode}
	}
	if n != nil {
		all := fields(p)
		for name, f := range all {
			all[name] = func(n *yaml.Node, path string) { seen[name] = true; f(n, path) }
		}
		p.object(n, "", all)
		for _, name := range need {
			if !seen[name] {
				p.bad(n, name, "This field is needed.")
			}
		}
	}
	if len(p.problems) > 0 {
		return &Error{"body", p.problems}
	}
	return nil
}

func (a *Admin) time(*http.Request) (any, error) {
	a.server.States() // plays what is due
	out := map[string]any{"kind": "real", "now": time.Now().UTC()}
	if a.clock != nil {
		out = map[string]any{"kind": "virtual", "now": a.clock.Now().UTC()}
	}
	if at, any := a.server.NextEvent(); any {
		out["nextEvent"] = at.UTC()
	}
	return out, nil
}

func (a *Admin) move(r *http.Request) (any, error) {
	var (
		advance time.Duration
		to      string
		next    bool
	)
	given := 0
	if err := read(r, func(p *reader) map[string]field {
		return map[string]field{
			"advance": func(n *yaml.Node, path string) { given++; advance = p.duration(n, path, false) },
			"next": func(n *yaml.Node, path string) {
				given++
				if next = p.boolean(n, path); !next {
					p.bad(n, path, "Only true has a meaning: leave the field out otherwise.")
				}
			},
			"to": func(n *yaml.Node, path string) {
				given++
				to, _, _ = p.scalar(n, path, "a time in RFC 3339 format")
				if _, err := time.Parse(time.RFC3339Nano, to); err != nil {
					p.bad(n, path, "%q is not a time in RFC 3339 format.", to)
				}
			},
		}
	}); err != nil {
		return nil, err
	}
	switch {
	case given != 1:
		return nil, &refusal{code: http.StatusBadRequest, text: "Give one of advance, to and next."}
	case a.clock == nil:
		return nil, &refusal{code: http.StatusConflict, text: "The clock is the real one. Start the server with --clock virtual to move it."}
	}
	now := a.clock.Now()
	at := now.Add(advance)
	if to != "" {
		if at, _ = time.Parse(time.RFC3339Nano, to); at.Before(now) { // read has tried it
			return nil, &refusal{code: http.StatusConflict, text: fmt.Sprintf("The clock is at %s already, and does not go back.", now.UTC().Format(time.RFC3339Nano))}
		}
	}
	if next {
		a.server.States()
		var any bool
		if at, any = a.server.NextEvent(); !any {
			return nil, &refusal{code: http.StatusConflict, text: "Nothing is due."}
		}
	}
	if at.After(lastTime) {
		return nil, &refusal{code: http.StatusConflict, text: fmt.Sprintf("The clock goes to %s at most.", lastTime.Format(time.RFC3339))}
	}
	a.clock.Advance(at.Sub(now))
	return a.time(r)
}

func (a *Admin) setState(r *http.Request) (any, error) {
	var name, state string
	var states []string
	for n := range len(aiplatformpb.PersistentResource_State_name) + 1 { // in order; one number is unused
		if word := aiplatformpb.PersistentResource_State_name[int32(n)]; n > 0 && word != "" {
			states = append(states, word)
		}
	}
	if err := read(r, func(p *reader) map[string]field {
		return map[string]field{"name": a.name(p, &name), "state": func(n *yaml.Node, path string) { state = p.word(n, path, states) }}
	}, "name", "state"); err != nil {
		return nil, err
	}
	if err := a.server.SetResourceState(name, aiplatformpb.PersistentResource_State(aiplatformpb.PersistentResource_State_value[state])); err != nil {
		return nil, err
	}
	return a.overview(r)
}

// name reads the full name or the id of a resource.
func (a *Admin) name(p *reader, name *string) field {
	return func(n *yaml.Node, path string) {
		if *name = p.text(n, path); !strings.Contains(*name, "/") {
			*name = "projects/" + a.loc.Project + "/locations/" + a.loc.Region + "/persistentResources/" + *name
		}
	}
}

func (a *Admin) remove(r *http.Request) (any, error) {
	var name string
	err := read(r, func(p *reader) map[string]field { return map[string]field{"name": a.name(p, &name)} }, "name")
	if err == nil {
		err = a.server.RemoveResource(name)
	}
	if err != nil {
		return nil, err
	}
	return a.overview(r)
}

func (a *Admin) resize(r *http.Request) (any, error) {
	var name, pool string
	var replicas int64
	err := read(r, func(p *reader) map[string]field {
		return map[string]field{"name": a.name(p, &name),
			"pool":         func(n *yaml.Node, path string) { pool = p.text(n, path) },
			"replicaCount": func(n *yaml.Node, path string) { replicas = p.integer(n, path, 0, 1_000_000) }}
	}, "name", "pool", "replicaCount")
	if err == nil {
		err = a.server.ResizePool(name, pool, replicas)
	}
	if err != nil {
		return nil, err
	}
	return a.overview(r)
}

func (a *Admin) addForeignJob(r *http.Request) (any, error) {
	var name, pool string
	replicas, run := int64(1), time.Duration(-1)
	err := read(r, func(p *reader) map[string]field {
		return map[string]field{"name": a.name(p, &name),
			"pool":         func(n *yaml.Node, path string) { pool = p.text(n, path) },
			"replicaCount": func(n *yaml.Node, path string) { replicas = p.integer(n, path, 1, 1_000_000) },
			"runFor":       func(n *yaml.Node, path string) { run = p.duration(n, path, true) }}
	}, "name", "pool")
	if err != nil {
		return nil, err
	}
	j, err := a.server.StartForeignJob(name, pool, replicas, run)
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": j.Name}, nil
}
