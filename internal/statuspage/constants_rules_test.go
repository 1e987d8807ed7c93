package statuspage

import (
	"testing"
	"time"
)

// TestBoundsAreWhatTheyWere: what one answer may cost, and the codes that clients read.
func TestBoundsAreWhatTheyWere(t *testing.T) {
	for name, bound := range map[string][2]any{
		"entries on a page":              {defaultLimit, 50},
		"most entries on a page":         {maxLimit, 200},
		"queries for a page":             {maxQueries, 64},
		"a cursor":                       {maxCursor, 8192},
		"a place in it":                  {maxOrder, 128},
		"a tenant":                       {maxKey, 256},
		"a body":                         {maxBody, 524288},
		"requests read at once to count": {queuePage, 200},
		"pages of them":                  {queuePages, 5},
		"requests with advice":           {mostAdvised, 50},
		"records read at once":           {recentRead, 20},
		"records read for a page":        {recentScan, 400},
		"requests of a job":              {maxOfJob, 10},
		"records scanned":                {maxScan, 1000},
		"and at once":                    {scanChunk, 100},
		"usage":                          {usageSince, 24 * time.Hour},
		"resources with usage":           {usageLimit, 20},
		"not found":                      {NotFound, "NOT_FOUND"},
		"method":                         {MethodNotAllowed, "METHOD_NOT_ALLOWED"},
		"forbidden":                      {Forbidden, "FORBIDDEN"},
		"nobody":                         {Unauthenticated, "UNAUTHENTICATED"},
		"unavailable":                    {Unavailable, "UNAVAILABLE"},
		"unreadable":                     {Unreadable, "UNREADABLE"},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %v, and it was %v", name, bound[0], bound[1])
		}
	}
}
