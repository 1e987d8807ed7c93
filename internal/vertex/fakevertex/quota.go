package fakevertex

import (
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// submits are the methods that count as submissions; all others share the
// other rate.
var submits = map[string]bool{
	"CreateCustomJob":          true,
	"DeleteCustomJob":          true,
	"CreatePersistentResource": true,
	"DeletePersistentResource": true,
	"RebootPersistentResource": true,
}

type quotaKey struct {
	parent string // projects/N/locations/L
	submit bool
}

// A window counts the calls of one minute, which begins with its first call.
type window struct {
	began time.Time
	calls int
}

// spend takes one call from the rate that req falls under.
func (s *Server) spend(method string, req any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.playDue()
	if method == lastWord(logMethod) {
		return nil // another service, with limits of its own
	}
	key := quotaKey{s.parentOf(req), submits[method]}
	limit, unit := s.knobs.OtherPerMinute, "Resource management (CRUD) requests"
	if key.submit {
		limit, unit = s.knobs.SubmitPerMinute, "Online training and custom job submission requests"
	}
	if limit <= 0 {
		return nil
	}
	w := s.windows[key]
	if w == nil || s.now.Sub(w.began) >= time.Minute {
		w = &window{began: s.now}
		s.windows[key] = w
	}
	if w.calls >= limit {
		project := strings.Split(key.parent+"/", "/")[1]
		st := status.Newf(codes.ResourceExhausted, "Quota exceeded for quota metric '%s' and limit '%s per minute per region' "+
			"of service 'aiplatform.googleapis.com' for consumer 'project_number:%s'.", unit, unit, project)
		if with, err := st.WithDetails(&errdetails.ErrorInfo{
			Reason:   "RATE_LIMIT_EXCEEDED",
			Domain:   "googleapis.com",
			Metadata: map[string]string{"service": "aiplatform.googleapis.com", "consumer": "projects/" + project},
		}); err == nil {
			st = with
		}
		return st.Err()
	}
	w.calls++
	return nil
}

// parentOf is the project and location that a request is about, or "" when it
// names none.
func (s *Server) parentOf(req any) string {
	name := ""
	switch r := req.(type) {
	case interface{ GetParent() string }:
		name = r.GetParent()
	case interface{ GetName() string }:
		name = r.GetName()
	}
	parent, _, _ := s.splitName(name) // a bad name falls under no project
	return parent
}

// machineQuota is the refusal of a job for want of machine quota, if the knob
// asks for it.
func (s *Server) machineQuota(onResource bool) error {
	if s.knobs.MachineQuota == "" || onResource && !s.knobs.MachineQuotaOnResources {
		return nil
	}
	return status.Errorf(codes.ResourceExhausted,
		"The following quota metrics exceed quota limits: aiplatform.googleapis.com/%s", s.knobs.MachineQuota)
}
