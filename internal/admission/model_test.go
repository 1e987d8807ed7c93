package admission

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// The model is the decision as a list of rules, each evaluated in the slowest
// way. It shares no code with Decide.

// A rule says whether it applies, and what its verdict is.
type rule struct {
	name    string
	applies bool
	code    reason.Code
}

// modelDecide applies the rules from the top.
func modelDecide(s Snapshot, a Ask, p Policy) (Verdict, reason.Code, bool) {
	seen := s.State == "RUNNING" && s.Now.Sub(s.ObservedAt) <= p.MaxAge
	never := []rule{
		{"no resource of this name ever was", s.State == "ABSENT" && !s.Known, reason.UnknownResource},
		{"a Ray cluster", seen && s.Ray && !p.AllowRay, reason.RayCluster},
		{"another network", seen && !modelSameNetwork(a.Network, s.Network), reason.NetworkMismatch},
		{"another key", seen && a.EncryptionKey != s.EncryptionKey, reason.KeyMismatch},
		{"an account is needed and missing", seen && s.CustomAccount && a.ServiceAccount == "", reason.AccountMismatch},
		{"an account is not possible and given", seen && !s.CustomAccount && a.ServiceAccount != "" && !p.AllowAccounts, reason.AccountMismatch},
	}
	for _, shape := range modelShapes(a.Demand) {
		limits, items := modelOf(s.Pools, a.Demand, shape)
		if len(limits) == 0 {
			never = append(never, rule{"no such machine", seen, reason.SpecMismatch})
		} else if !modelPlaces(limits, 0, items) {
			never = append(never, rule{"more than there are", seen, reason.TooManyReplicas})
		}
	}
	for _, r := range never {
		switch {
		case !r.applies:
		case r.code == reason.UnknownResource:
			return Refuse, r.code, false
		case a.Waiting && a.ContradictedSince.IsZero():
			return Wait, r.code, true // this is the first observation that contradicts it
		case a.Waiting && s.Now.Sub(a.ContradictedSince) < p.RefuseAfter:
			return Wait, r.code, true
		default:
			return Refuse, r.code, true
		}
	}
	notNow := []rule{
		{"it was deleted", s.State == "ABSENT", reason.ResourceGone},
		{"never observed", s.State == "", reason.ObservationTooOld},
		{"it does not run", s.State != "RUNNING", reason.ResourceNotReady},
		{"not observed lately", !seen, reason.ObservationTooOld},
		{"a pause after a decline", s.NotBefore.After(s.Now), reason.BackingOff},
		{"as many holds as are kept", s.Holds >= p.MaxHolds, reason.HoldLimit},
	}
	for _, shape := range modelShapes(a.Demand) {
		limits, _ := modelOf(s.Pools, a.Demand, shape)
		var all capacity.Replicas
		for _, l := range limits {
			all += l
		}
		notNow = append(notNow, rule{"more in use than there is", s.Use[shape] > all, reason.Overdrawn})
	}
	for _, shape := range modelShapes(a.Demand) {
		limits, items := modelOf(s.Pools, a.Demand, shape)
		notNow = append(notNow, rule{"no room", !modelPlaces(limits, s.Use[shape], items), reason.Full})
	}
	for _, r := range notNow {
		if r.applies {
			if a.OnFull == message.Reject && !a.Waiting {
				return Refuse, r.code, false
			}
			return Wait, r.code, false
		}
	}
	return Admit, "", false
}

// modelShapes lists the shapes asked for, in order.
func modelShapes(ask capacity.Ask) (shapes []capacity.Shape) {
	for _, n := range ask {
		if !slices.Contains(shapes, n.Shape) {
			shapes = append(shapes, n.Shape)
		}
	}
	return shapes
}

func modelOf(pools []capacity.Pool, ask capacity.Ask, shape capacity.Shape) (limits, items []capacity.Replicas) {
	for _, p := range pools {
		if p.Shape == shape {
			limits = append(limits, max(p.Count, p.Max))
		}
	}
	for _, n := range ask {
		if n.Shape == shape {
			items = append(items, n.Replicas)
		}
	}
	return limits, items
}

// modelPlaces tries all ways to spread the use, one machine at a time, and for
// each all ways to give every worker pool a pool.
func modelPlaces(limits []capacity.Replicas, used capacity.Replicas, items []capacity.Replicas) bool {
	tried := map[string]bool{}
	var spread func(free []capacity.Replicas, left capacity.Replicas) bool
	spread = func(free []capacity.Replicas, left capacity.Replicas) bool {
		key := strings.Builder{}
		for _, f := range free {
			key.WriteString(strconv.Itoa(int(f)) + " ")
		}
		if tried[key.String()] {
			return true
		}
		tried[key.String()] = true
		if !modelPacks(free, items) {
			return false
		}
		for i := range free {
			if left > 0 && free[i] > 0 {
				next := slices.Clone(free)
				next[i]--
				if !spread(next, left-1) {
					return false
				}
			}
		}
		return true
	}
	return spread(slices.Clone(limits), used)
}

func modelPacks(free, items []capacity.Replicas) bool {
	ways := 1
	for range items {
		ways *= max(1, len(free))
	}
	for way := range ways {
		left, ok := slices.Clone(free), len(free) > 0 || len(items) == 0
		for _, n := range items {
			if !ok {
				break
			}
			left[way%len(free)] -= n
			ok = left[way%len(free)] >= 0
			way /= len(free)
		}
		if ok {
			return true
		}
	}
	return false
}

// modelSameNetwork: a name with a project's number may be the same as one with
// its id.
func modelSameNetwork(a, b string) bool {
	project := func(name string) (project, rest string) {
		if parts := strings.SplitN(name, "/", 3); len(parts) == 3 && parts[0] == "projects" && strings.Count(name, "/") == 4 {
			return parts[1], parts[2]
		}
		return "", name
	}
	numeric := func(s string) bool {
		return len(s) > 0 && strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' }) < 0
	}
	p, x := project(a)
	q, y := project(b)
	return a == b || p+q != "" && x == y && strings.Count(a, "/") == strings.Count(b, "/") && numeric(p) != numeric(q)
}

// A dice makes choices from bytes; without any left it chooses the first.
type dice []byte

func (d *dice) roll(sides int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % sides
}

func pick[T any](d *dice, from ...T) T { return from[d.roll(len(from))] }

var (
	small  = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	large  = capacity.Spec{MachineType: "n1-standard-8", DiskType: "pd-ssd", DiskSizeGB: 100}.Normal()
	gpu    = capacity.Spec{MachineType: "n1-standard-8", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 1}.Normal()
	atNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	policy = Policy{MaxAge: 2 * time.Minute, MaxHolds: 3, RefuseAfter: time.Hour}
)

// mostEqual is how many pools of one shape a situation has: with more, Check is
// more cautious than the model.
const mostEqual = 3

// situation makes a situation from bytes. Most choices are weighted towards a
// healthy resource, so that admissions occur.
func situation(bytes []byte) (Snapshot, Ask) {
	d := dice(bytes)
	s := Snapshot{
		Now:        atNoon,
		State:      pick(&d, "RUNNING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "REBOOTING", "ABSENT", "PROVISIONING", ""),
		ObservedAt: atNoon.Add(-pick(&d, 0, time.Second, time.Minute, policy.MaxAge, policy.MaxAge+1, time.Hour, -time.Second)),
		Known:      d.roll(4) > 0, CustomAccount: d.roll(6) == 5,
		Network:       pick(&d, "", "", "", "projects/1/global/networks/n", "projects/p/global/networks/n", "n"),
		EncryptionKey: pick(&d, "", "", "", "k"),
		Holds:         d.roll(5), NotBefore: atNoon.Add(pick(&d, -time.Hour, -1, 0, 1, time.Minute)),
		Use: capacity.Use{},
	}
	if d.roll(3) > 0 {
		s.Holds, s.NotBefore = 0, time.Time{}
	}
	a := Ask{
		Network: pick(&d, s.Network, s.Network, s.Network, "", "projects/2/global/networks/n", "projects/q/global/networks/n", "projects/p/global/networks/m"), EncryptionKey: pick(&d, s.EncryptionKey, s.EncryptionKey, s.EncryptionKey, "", "k"),
		OnFull: pick(&d, message.Queue, message.Reject, ""), Waiting: d.roll(3) == 2,
		ContradictedSince: pick(&d, time.Time{}, atNoon.Add(-policy.RefuseAfter), atNoon.Add(1-policy.RefuseAfter), atNoon),
	}
	if s.CustomAccount != (d.roll(8) == 7) {
		a.ServiceAccount = "a@p"
	}
	equal := map[capacity.Shape]int{}
	asked := []capacity.Shape{small, large, gpu, small}
	for i := range d.roll(6) {
		p := capacity.Pool{ID: "pool-" + strconv.Itoa(i), Shape: pick(&d, small, small, large, gpu), Count: capacity.Replicas(d.roll(8))}
		asked = append(asked, p.Shape, p.Shape)
		if d.roll(3) == 2 {
			p.Max = capacity.Replicas(d.roll(7))
		}
		if equal[p.Shape]++; equal[p.Shape] <= mostEqual {
			s.Pools = append(s.Pools, p)
		}
	}
	for _, shape := range []capacity.Shape{small, large, gpu} {
		if n := capacity.Replicas(d.roll(8) - 2); n > 0 {
			s.Use[shape] = n
		}
	}
	for i := range 1 + pick(&d, 0, 0, 0, 1, 1, 2, 3) {
		a.Demand = append(a.Demand, capacity.Need{WorkerPool: i, Shape: pick(&d, asked...), Replicas: 1 + capacity.Replicas(d.roll(3))})
	}
	s.Ray = d.roll(8) == 7
	if d.roll(3) == 2 {
		a.UnsetDisks = []int{0, 2}
	}
	return s, a
}

// check compares a decision with the model and with the promises of every
// decision.
func check(t *testing.T, bytes []byte) Verdict {
	t.Helper()
	s, a := situation(bytes)
	p := policy
	if n := len(bytes); n > 0 {
		p.AllowRay, p.AllowAccounts = bytes[n-1]&1 != 0, bytes[n-1]&2 != 0
	}
	d := Decide(s, a, p)
	complain := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s, %+v for\n%+v\n%+v: "+format, append([]any{d.Verdict, d.Reason, s, a}, args...)...)
	}
	verdict, code, contradicted := modelDecide(s, a, p)
	if d.Verdict != verdict || d.Contradicted != contradicted || d.Reason != nil && d.Reason.Code != code {
		complain("the model says %s %s, contradicted %v", verdict, code, contradicted)
	}
	fresh, again := situation(bytes)
	if !reflect.DeepEqual(d, Decide(fresh, again, p)) || !reflect.DeepEqual(s, fresh) || !reflect.DeepEqual(a, again) {
		complain("asked twice, two answers, or an argument changed")
	}
	stale := s.Now.Sub(s.ObservedAt) > p.MaxAge
	if d.Contradicted && (s.State != "RUNNING" || stale || d.Verdict == Admit) {
		complain("contradicted by what is not known")
	}
	if d.Verdict != Admit {
		if d.Reason == nil || d.Reason.Code == "" || d.Reason.Detail == "" || strings.Contains(d.Reason.Detail, "%!") {
			complain("no reason")
		}
		if d.Contradicted != (d.Reason.Path != "") && d.Reason.Code != reason.UnknownResource {
			complain("a path exactly where the request itself is at fault")
		}
		edits(t, s, a, d)
		return d.Verdict
	}
	if d.Reason != nil {
		complain("admitted with a reason")
	}
	over := capacity.Overdrawn(s.Pools, s.Use)
	for _, shape := range a.Demand.Shapes() {
		if over[shape] > 0 {
			complain("admitted where %s is overdrawn", shape)
		}
	}
	if s.State != "RUNNING" || stale || s.Now.Before(s.NotBefore) || s.Holds >= p.MaxHolds {
		complain("admitted")
	}
	for name, more := range roomier(s) {
		if got := Decide(more, a, p); got.Verdict != Admit {
			complain("%s, and then it is %s %+v", name, got.Verdict, got.Reason)
		}
	}
	return d.Verdict
}

// roomier makes situations with more free machines of one kind.
func roomier(s Snapshot) map[string]Snapshot {
	all := map[string]Snapshot{}
	for shape, n := range s.Use {
		more := s
		more.Use = capacity.Use{}
		for other, m := range s.Use {
			more.Use[other] = m
		}
		more.Use[shape] = n - 1
		all["one "+shape.String()+" fewer in use"] = more
	}
	equal := map[capacity.Shape]int{}
	for i, p := range s.Pools {
		more := s
		more.Pools = slices.Clone(s.Pools)
		more.Pools[i].Count++
		all["one machine more in "+p.ID] = more
		more.Pools = slices.Clone(s.Pools)
		more.Pools[i].Max = p.Limit() + 1
		all["one machine more allowed in "+p.ID] = more
		equal[p.Shape]++
	}
	for shape, n := range equal {
		if n < mostEqual {
			more := s
			more.Pools = append(slices.Clone(s.Pools), capacity.Pool{ID: "more", Shape: shape, Count: 1})
			all["one pool more of "+shape.String()] = more
		}
	}
	return all
}

// edits makes the proposed edits, after which the request can fit.
func edits(t *testing.T, s Snapshot, a Ask, d Decision) {
	t.Helper()
	edited, any := a, false
	edited.Demand = slices.Clone(a.Demand)
	specs := make([]capacity.Spec, len(a.Demand))
	for i := range a.Demand {
		specs[i] = a.Demand[i].Shape.Spec()
	}
	for _, f := range d.Fit {
		for _, e := range f.Edits {
			any = true
			if d.Reason.Code == reason.SpecMismatch || d.Reason.Code == reason.TooManyReplicas {
				if !strings.Contains(d.Reason.Fix, e.String()) {
					t.Fatalf("%+v does not tell to %s", d.Reason, e)
				}
			}
			index, field, _ := strings.Cut(strings.TrimPrefix(e.Path, "jobSpec.workerPoolSpecs["), "].")
			i, err := strconv.Atoi(index)
			if err != nil {
				t.Fatal(err)
			}
			number, _ := strconv.ParseInt(e.To, 10, 64)
			switch s := &specs[i]; field {
			case "replicaCount":
				edited.Demand[i].Replicas = capacity.Replicas(number)
			case "machineSpec.machineType":
				s.MachineType = e.To
			case "machineSpec.acceleratorType":
				s.Accelerator = e.To
			case "machineSpec.acceleratorCount":
				s.AcceleratorCount = int32(number)
			default:
				t.Fatalf("edit %s", e)
			}
		}
	}
	if !any {
		return
	}
	for i, s := range specs {
		edited.Demand[i].Shape = s.Normal()
	}
	if fit := capacity.Check(s.Pools, nil, edited.Demand); fit.Verdict != capacity.Fits {
		t.Fatalf("after %v it is %s on empty pools", d.Reason.Fix, fit.Verdict)
	}
	if after := Decide(s, edited, policy); after.Reason != nil && (after.Reason.Code == reason.SpecMismatch || after.Reason.Code == reason.TooManyReplicas) {
		t.Fatalf("after %v it is %+v", d.Reason.Fix, after.Reason)
	}
}

// TestDecideAgreesWithModel tries many situations, the same in every run.
func TestDecideAgreesWithModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	verdicts, codes := map[Verdict]int{}, map[reason.Code]int{}
	for range 10_000 {
		bytes := make([]byte, 60)
		for i := range bytes {
			bytes[i] = byte(random.UintN(256))
		}
		verdicts[check(t, bytes)]++
		s, a := situation(bytes)
		if r := Decide(s, a, policy).Reason; r != nil {
			codes[r.Code]++
		}
	}
	for _, v := range []Verdict{Admit, Wait, Refuse} {
		if verdicts[v] < 300 {
			t.Errorf("%s came up %d times: %v", v, verdicts[v], verdicts)
		}
	}
	for _, c := range []reason.Code{reason.UnknownResource, reason.NetworkMismatch, reason.KeyMismatch, reason.AccountMismatch,
		reason.SpecMismatch, reason.TooManyReplicas, reason.ResourceGone, reason.ResourceNotReady, reason.ObservationTooOld,
		reason.BackingOff, reason.HoldLimit, reason.Overdrawn, reason.Full} {
		if codes[c] < 20 {
			t.Errorf("%s came up %d times: %v", c, codes[c], codes)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte(nil))
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		bytes := make([]byte, 60)
		for i := range bytes {
			bytes[i] = byte(random.UintN(256))
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) { check(t, bytes) })
}

// TestReasonsMakeSense checks texts that a model cannot judge.
func TestReasonsMakeSense(t *testing.T) {
	s := Snapshot{Now: atNoon, State: "RUNNING", ObservedAt: atNoon, Known: true,
		Pools: []capacity.Pool{{ID: "a", Shape: small, Count: 4}, {ID: "b", Shape: small, Count: 4}}}
	ask := func(n capacity.Replicas) Ask {
		return Ask{Head: Head{Demand: capacity.Ask{{Shape: small, Replicas: n}}}}
	}
	split := Decide(s, ask(6), policy).Reason
	if split == nil || split.Code != reason.TooManyReplicas || !strings.Contains(split.Detail, "only together") {
		t.Errorf("six of four and four: %+v", split)
	}
	if r := Decide(s, ask(9), policy).Reason; r == nil || strings.Contains(r.Detail, "only together") || !strings.Contains(r.Detail, "room for 8") {
		t.Errorf("nine of four and four: %+v", r)
	}
	unseen := Decide(Snapshot{Now: atNoon}, ask(1), policy)
	if unseen.Verdict != Wait || unseen.Reason.Code != reason.ObservationTooOld || strings.Contains(unseen.Reason.Detail, "ago") {
		t.Errorf("never looked at: %s %+v", unseen.Verdict, unseen.Reason)
	}
}
