package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// A checkedFit says whether a job can ever fit on saved pools.
type checkedFit struct {
	Never    bool               `json:"never"`              // no pool can ever fit it
	Resource string             `json:"resource,omitempty"` // full name; "" if the pools have none that the job may mean
	Reason   *reason.Problem    `json:"reason,omitempty"`
	Findings []capacity.Finding `json:"findings,omitempty"`
}

// fitOn decides as a deployment does, on pools with nothing in use. What is not in the file
// counts as right: the encryption key and the service account of the persistent resource.
func fitOn(resources []statuspage.Resource, r *message.Request) *checkedFit {
	var meant []statuspage.Resource
	for _, res := range resources {
		if name := r.PersistentResource; name == "" || name == res.Name || name == short(res.Name) {
			meant = append(meant, res)
		}
	}
	if len(meant) != 1 {
		p := &reason.Problem{Code: reason.Warning, Detail: fmt.Sprintf("The pools are of %s that the job may mean, so it was not compared.", reason.Count(len(meant), "persistent resource")),
			Fix: "Name a persistent resource of the file in the job, or give --persistent-resource."}
		return &checkedFit{Reason: p}
	}
	res, now := meant[0], time.Now()
	s := admission.Snapshot{Now: now, State: "RUNNING", ObservedAt: now, Known: true, Network: res.Network}
	for _, p := range res.Pools {
		s.Pools = append(s.Pools, p.Pool)
	}
	a := admission.Ask{Head: admission.Head{Demand: r.Ask}, Network: r.Job.GetJobSpec().GetNetwork(), UnsetDisks: message.UnsetDisks(r.Job), Paths: r.Paths}
	d := admission.Decide(s, a, admission.Policy{MaxAge: time.Hour, MaxHolds: 1, AllowAccounts: true, AllowRay: true})
	return &checkedFit{Never: d.Verdict == admission.Refuse, Resource: res.Name, Reason: d.Reason, Findings: d.Fit}
}

func (f *checkedFit) print(w io.Writer) {
	switch {
	case f == nil:
	case f.Resource == "":
		say(w, "  %s", f.Reason.Detail)
		say(w, "    %s", f.Reason.Fix)
	case !f.Never:
		say(w, "  It fits on %s when its machines are free.", short(f.Resource))
	default:
		say(w, "  It can never fit on %s: %s", short(f.Resource), problem(f.Reason))
		fix, _, _ := strings.Cut(f.Reason.Fix, "To fit: ") // the edits are listed below
		if fix = strings.TrimSpace(fix); fix != "" {
			say(w, "    %s", fix)
		}
		fit(w, f.Findings, false)
	}
}
