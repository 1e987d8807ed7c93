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
		"one that borrows moves":     {time.Duration(borrowDelay), 6 * time.Hour},
		"one that has used moves":    {time.Duration(usedDelay), 6 * time.Hour},
		"a gang moves this part":     {gangPart, 4},
		"use is forgotten by half":   {time.Duration(halfLife), 24 * time.Hour},
		"coarser classes":            {coarsest, 6},
		"a resource that is none":    {absent, "ABSENT"},
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
