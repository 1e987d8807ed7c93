package fakevertex

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
)

// A FaultRule makes some of the calls of a method fail. Of several rules that would
// break a call the first does.
type FaultRule struct {
	// Method is the short name of a method, such as CreateCustomJob; empty means every
	// method.
	Method string
	// Skip is how many calls of the method pass first.
	Skip int
	// Rate is the part of the calls after those that fail, from 0 to 1, drawn from the
	// seed; 0 means all of them.
	Rate float64
	// Count is how many calls fail at most; 0 means any number.
	Count int
	// Act is what happens to a call.
	Act FaultAct
	// After says that the call is carried out first: its answer is lost.
	After bool
	// Code and Message are the answer of ActFail. The zero Code is UNAVAILABLE.
	Code    codes.Code
	Message string
}

// A FaultAct is what happens to a call. The empty word means ActFail.
type FaultAct string

// What happens to a call.
const (
	ActFail FaultAct = "fail" // it is answered with a code
	ActDrop FaultAct = "drop" // its connection closes
	ActHang FaultAct = "hang" // it is never answered
)

// ruledFaults is a rule and what it has done.
type ruledFaults struct {
	FaultRule
	seen, done int
}

// SetFaultRules replaces the rules. They come after [Server.FaultOnce] and the hook of
// [Server.SetFault].
func (s *Server) SetFaultRules(rules []FaultRule) error {
	var list []*ruledFaults
	for i, r := range rules {
		switch {
		case !slices.Contains([]FaultAct{"", ActFail, ActDrop, ActHang}, r.Act):
			return fmt.Errorf("fault rule %d: unknown act %q", i, r.Act)
		case !(r.Rate >= 0 && r.Rate <= 1):
			return fmt.Errorf("fault rule %d: rate %v is not from 0 to 1", i, r.Rate)
		case r.Count < 0 || r.Skip < 0:
			return fmt.Errorf("fault rule %d: a negative number of calls", i)
		case r.Code > codes.Unauthenticated:
			return fmt.Errorf("fault rule %d: unknown code %d", i, r.Code)
		case r.Method != "" && !slices.Contains(Methods, r.Method):
			return fmt.Errorf("fault rule %d: unknown method %q", i, r.Method)
		}
		list = append(list, &ruledFaults{FaultRule: r})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultRules = list
	return nil
}

// FaultRules are the rules as they are, and how many calls each has broken.
func (s *Server) FaultRules() (rules []FaultRule, broken []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.faultRules {
		rules, broken = append(rules, r.FaultRule), append(broken, r.done)
	}
	return rules, broken
}

// Methods are the short names of the methods that the server has.
var Methods = []string{
	"CreateCustomJob", "GetCustomJob", "ListCustomJobs", "CancelCustomJob", "DeleteCustomJob",
	"CreatePersistentResource", "GetPersistentResource", "ListPersistentResources", "UpdatePersistentResource",
	"RebootPersistentResource", "DeletePersistentResource",
	"GetOperation", "ListOperations", "WaitOperation", "DeleteOperation", "ListLogEntries",
}

// ruledFault is what the rules do to a call.
func (s *Server) ruledFault(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := Fault{}
	for i, r := range s.faultRules {
		if r.Method != "" && r.Method != method {
			continue
		}
		r.seen++
		switch {
		case broken.act != faultNone, r.seen <= r.Skip, r.Count > 0 && r.done >= r.Count:
		case r.Rate > 0 && s.chance("fault", fmt.Sprint(i, r.Method), int64(r.seen)) >= r.Rate:
		default:
			r.done++
			broken = r.fault()
		}
	}
	return broken
}

func (r FaultRule) fault() Fault {
	f := Fault{act: faultFail, after: r.After, code: r.Code, message: r.Message}
	switch r.Act {
	case ActDrop:
		f.act = faultDrop
	case ActHang:
		f.act = faultHang
	}
	if f.code == codes.OK {
		f.code = codes.Unavailable
	}
	if f.message == "" {
		f.message = "A fault of the scenario."
		if r.After {
			f.message = "A fault of the scenario: the call was carried out."
		}
	}
	return f
}
