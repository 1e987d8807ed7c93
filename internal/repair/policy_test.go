package repair_test

import (
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/repair"
)

// The doctor reads the policy in force as an instance does, and names the version to go back
// to.
func TestDoctorReadsThePolicy(t *testing.T) {
	w := newWorld(t, false)
	check := func(level repair.Level, text, do string) {
		t.Helper()
		src := repair.Source{Ledger: w.ledger, Vertex: w.vertex, Parents: []string{parent}, Clock: w.clock}
		_, all, err := repair.Examine(t.Context(), src, w.settings())
		if f := find(all, repair.CheckPolicy); err != nil || len(f) != 1 || f[0].Level != level || f[0].Text != text || f[0].Do != do {
			t.Errorf("%+v, %v; want %s %q %q", f, err, level, text, do)
		}
	}
	base := int64(0)
	write := func(text string) {
		t.Helper()
		if _, err := ledger.WritePolicy(t.Context(), w.ledger, base, ledger.Policy{Text: text}); err != nil {
			t.Fatal(err)
		}
		base++
	}
	const good = "defaults: {serviceAccounts: any}\n"
	const release = "Deploy the release that reads it, or put "
	check(repair.OK, "there is no policy", "")
	write(good + "fromTheFuture: 3\n")
	check(repair.Fail, "version 1, which is in force, cannot be read by this release: line 2: UNKNOWN_FIELD: fromTheFuture: A policy has no field of this name here. The names are defaults, tenants, reclaim.",
		release+"a policy in force that can be read: berth policy apply FILE --yes")
	write(good)
	check(repair.OK, "version 2 is in force and can be read", "")
	write("defaults: {x: 1}\ntenants: {Y: {}}\n")
	write("defaults: {serviceAccounts: any, maxReplicas: 0, maxRunning: 0}\n")
	check(repair.Fail, "version 4, which is in force, cannot be read by this release: line 1: INVALID_VALUE: defaults.maxReplicas: Want a whole number from 1 to 1000000. Write one, or leave the field out. (and 1 more problem)",
		release+"the last version in force that can be read: berth policy rollback 2 --yes")
	w.ledger.(*ledger.Mem).Spoil(ledger.PolicyRef(ledger.CurrentPolicy), "it has layout 9")
	check(repair.None, "not checked: its document cannot be read", "")
	if f := find(w.doctor(), repair.CheckUnreadable); len(f) != 1 || !strings.Contains(f[0].Means, "No request is decided") {
		t.Errorf("%+v", f)
	}
}
