package admission

import (
	"testing"
	"time"
)

// TestBoundsAreWhatTheyWere: the bounds of an order and of a queue; stored places in the order rest on them.
func TestBoundsAreWhatTheyWere(t *testing.T) {
	for name, bound := range map[string][2]any{
		"a bound":                    {time.Duration(boundMost), 87600 * time.Hour},
		"announced after":            {time.Duration(announceAfter), time.Minute},
		"by steps of":                {time.Duration(announceStep), 15 * time.Minute},
		"grace":                      {time.Duration(overstayGrace), 5 * time.Minute},
		"a place in the order moves": {time.Duration(maxKeyDelay), 48 * time.Hour},
		"classes":                    {MaxClasses, 256},
		"classes of a tenant":        {tenantClasses, 64},
		"heads":                      {MaxHeads, 8},
		"admit":                      {string(Admit), "ADMIT"},
		"wait":                       {string(Wait), "WAIT"},
		"refuse":                     {string(Refuse), "REFUSE"},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %v, and it was %v", name, bound[0], bound[1])
		}
	}
}
