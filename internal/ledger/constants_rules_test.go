package ledger

import (
	"testing"
	"time"
)

// TestBoundsAreWhatTheyWere: what a document and a commit take, by the limits of Firestore, and what stored documents are read by.
func TestBoundsAreWhatTheyWere(t *testing.T) {
	for name, bound := range map[string][2]any{
		"updates of a group": {groupUpdates, 100},
		"its bytes":          {groupBytes, 4194304},
		"waiting":            {groupWaiting, 2000},
		"their bytes":        {groupMemory, 67108864},
		"an unknown update":  {unknownWeight, 524288},
		"quiet commits":      {quietCommits, 8},
		"ended jobs":         {MaxEnded, 128},
		"ended jobs are due": {time.Duration(endedFor), 5 * time.Minute},
		"many of them":       {manyEnded, 64},
		"tries":              {memTries, 12},
		"a name":             {MaxName, 1500},
		"events kept":        {keepEvents, 40},
		"bytes kept":         {keepBytes, 98304},
		"parked":             {Parked, "parked"},
		"absent":             {Absent, "ABSENT"},
		"holds":              {MaxHolds, 2000},
		"grace":              {time.Duration(overstayGrace), 5 * time.Minute},
		"a document":         {MaxDocument, 1048576},
		"a commit":           {MaxCommit, 10485760},
		"beside the text":    {besideText, 1024},
		"room":               {roomNeeded, 163840},
		"few classes":        {fewClasses, 32},
		"foreign jobs":       {MaxForeign, 100},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %v, and it was %v", name, bound[0], bound[1])
		}
	}
}
