package sim

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
)

// A tenant with a share of a minute's submissions never has more, seen by the jobs that
// Vertex AI gets from several instances. Others have what it cannot use, and all of its
// requests go in the end, in their order.
func TestSubmissionShare(t *testing.T) {
	const perMinute, each = 10, 16
	p := newRateLimited(t, perMinute)
	if _, err := ledger.WritePolicy(t.Context(), p.Ledger, 0, ledger.Policy{Text: "defaults: {serviceAccounts: any}\ntenants: {default: {submissions: 0.3}}"}); err != nil {
		t.Fatal(err)
	}
	for i := range each {
		p.Ask(Job{ID: fmt.Sprintf("a%02d", i), CPU: 1})
		if i%2 == 0 {
			p.askAs("other", Job{ID: fmt.Sprintf("b%02d", i), CPU: 1})
		}
	}
	for began := p.Now; len(p.submitted()) < each+each/2; {
		if p.Now.Sub(began) > time.Hour {
			t.Fatalf("only %d are submitted after an hour", len(p.submitted()))
		}
		p.Controller = p.Instance(p.Config)
		p.After(5 * time.Second)
	}
	p.within(perMinute)
	tenant := map[string]string{}
	for _, r := range p.Ledger.Records() {
		tenant[string(r.Key)] = r.Tenant
	}
	var own, others []time.Time
	for _, j := range p.Vertex.Jobs() {
		if tenant[string(j.Request)] == "other" {
			others = append(others, j.CreateTime)
		} else {
			own = append(own, j.CreateTime)
		}
	}
	for i, at := range own {
		n := 0
		for _, before := range own[:i+1] {
			if before.After(at.Add(-time.Minute)) {
				n++
			}
		}
		if n > 3 {
			t.Errorf("%d submissions of the tenant in the minute before %s, of 3", n, at)
		}
	}
	if took := own[len(own)-1].Sub(own[0]); took < 5*time.Minute || took > 6*time.Minute+30*time.Second {
		t.Errorf("%d submissions at 3 a minute took %s", len(own), took)
	}
	if took := others[len(others)-1].Sub(others[0]); took > 70*time.Second {
		t.Errorf("the other tenant's %d took %s, beside 3 of 10 a minute", len(others), took)
	}
	for i := range each {
		if i > 0 && p.Record(fmt.Sprintf("a%02d", i)).Times.Submitted.Before(p.Record(fmt.Sprintf("a%02d", i-1)).Times.Submitted) {
			t.Errorf("a%02d is submitted before the one ahead of it", i)
		}
	}
}
