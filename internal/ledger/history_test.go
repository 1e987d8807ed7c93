package ledger_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
)

// endedOf are n ended jobs, of each tenant in turn, a second apart.
func endedOf(n int, tenants ...string) (list []ledger.Ended) {
	for i := range n {
		list = append(list, ledger.Ended{Tenant: tenants[i%len(tenants)], At: time.Unix(int64(i), 0).UTC(),
			End: estimate.End{Job: estimate.Job{Limit: 1<<62 - 1, Replicas: 1 << 40, Family: "abcdefghijkl"}, Ran: time.Duration(i), Least: true}})
	}
	return list
}

// A resource document keeps the last of the jobs that have ended, and is weighed with
// them.
func TestEndedJobsAreBounded(t *testing.T) {
	res, none := &ledger.Resource{Name: "r"}, &ledger.Resource{Name: "r"}
	for _, e := range endedOf(1000, strings.Repeat("t", 63)) {
		res.AddEnded(e)
	}
	if n := len(res.Ended); n != ledger.MaxEnded || res.Ended[0].Ran != time.Duration(1000-n) {
		t.Errorf("%d ended jobs are kept, the first is number %d", n, res.Ended[0].Ran)
	}
	weight, bytes := res.Weight()-none.Weight(), ledger.Size(res)-ledger.Size(none)
	if weight < bytes || weight > 2*bytes || bytes > 32<<10 {
		t.Errorf("they weigh %d bytes and take %d", weight, bytes)
	}
}

// Ended jobs wait until they are many, or the first is five minutes old.
func TestWhenEndedJobsAreDue(t *testing.T) {
	const half = ledger.MaxEnded / 2
	for _, test := range []struct {
		n    int
		at   time.Duration
		most int
		want []string
	}{
		{0, time.Hour, 9, nil},
		{1, 5*time.Minute - 1, 9, nil},
		{1, 5 * time.Minute, 9, []string{"a"}},
		{half - 1, time.Minute, 9, nil},
		{half, time.Minute, 9, []string{"a", "b", "c"}},
		{half, time.Minute, 2, []string{"a", "b"}},
	} {
		res := &ledger.Resource{Ended: endedOf(test.n, "a", "b", "c")}
		if got := res.DueEnded(time.Unix(0, 0).Add(test.at), test.most); !slices.Equal(got, test.want) {
			t.Errorf("%d ended jobs after %s, at most %d tenants: %q are due, want %q", test.n, test.at, test.most, got, test.want)
		}
	}
}

func TestTakeEnded(t *testing.T) {
	res := &ledger.Resource{Ended: endedOf(5, "a", "b")}
	got := res.TakeEnded("b")
	if len(got) != 2 || got[0].Ran != 1 || got[1].Ran != 3 {
		t.Errorf("taken: %+v", got)
	}
	if left := fmt.Sprint(len(res.Ended), res.TakeEnded("b")); left != "3 []" {
		t.Errorf("left: %s", left)
	}
	if res.TakeEnded("a"); res.Ended != nil {
		t.Errorf("left: %+v", res.Ended)
	}
}

// A history is one flat document: its tenant beside what was learned.
func TestHistoryAsItIsStored(t *testing.T) {
	h := &ledger.History{Tenant: "a"}
	h.Learn(estimate.End{Job: estimate.Job{Limit: time.Hour, Replicas: 3, Family: "f"}, Ran: time.Second})
	text, err := ledger.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	const m = `{"jobs":1,"weight":1,"mean":0,"variance":0`
	if want := `{"tenant":"a","levels":{"1h":` + m + `},"1h|4":` + m + `}},"families":{"f":` + m + `,"last":1}},"ends":1}`; string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	back := &ledger.History{}
	if err := json.Unmarshal(text, back); err != nil || back.Expected(estimate.Job{Limit: time.Hour, Replicas: 3}) != h.Expected(estimate.Job{Limit: time.Hour, Replicas: 3}) {
		t.Errorf("it is read as %+v, %v", back, err)
	}
}
