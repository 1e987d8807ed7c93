package ledgertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"example.com/berth/internal/ledger"
)

// Of several who write a policy at once from one version, exactly one does, the others are told
// which version they did not know, and the two documents of a version say the same.
func testPolicies(t *testing.T, l ledger.Ledger) {
	for base := range int64(3) {
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = ledger.WritePolicy(t.Context(), l, base, ledger.Policy{Text: fmt.Sprintf("%d of %d", i, base), Who: "ann", Note: "why"})
			})
		}
		wg.Wait()
		written := ""
		for i, err := range errs {
			conflict := (*ledger.PolicyConflictError)(nil)
			switch {
			case err == nil && written == "":
				written = fmt.Sprintf("%d of %d", i, base)
			case err == nil:
				t.Errorf("two policies were written from version %d", base)
			case !errors.As(err, &conflict) || conflict.Base != base || conflict.Current != base+1:
				t.Errorf("from version %d: error %v, want a conflict with version %d", base, err, base+1)
			}
		}
		current, one := &ledger.Policy{Name: ledger.CurrentPolicy}, &ledger.Policy{Name: ledger.PolicyName(base + 1)}
		docs := read(t, l, current, one)
		current, one = docs[0].(*ledger.Policy), docs[1].(*ledger.Policy)
		if current.Text != written || one.Text != written || current.Version != base+1 || one.Version != base+1 || current.Who != "ann" || one.Note != "why" || current.At.IsZero() || !current.At.Equal(one.At) {
			t.Errorf("in force is %+v, its own document is %+v, want the text %q as version %d", current, one, written, base+1)
		}
	}
}
