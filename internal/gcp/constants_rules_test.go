package gcp

import (
	"testing"
	"time"
)

// TestBoundsAreWhatTheyWere: how long calls may take and how often they are made, within the limits of the services.
func TestBoundsAreWhatTheyWere(t *testing.T) {
	for name, bound := range map[string][2]any{
		"first pause":               {time.Duration(firstPause), 10 * time.Millisecond},
		"longest pause":             {time.Duration(longestPause), 2 * time.Second},
		"shortest wait":             {time.Duration(shortestWait), 2 * time.Millisecond},
		"longest wait":              {time.Duration(longestWait), time.Second},
		"contended":                 {time.Duration(contendedFor), 5 * time.Second},
		"tries of an update":        {updateTries, 12},
		"of a read":                 {readTries, 3},
		"a read":                    {time.Duration(readDeadline), 5 * time.Second},
		"a commit":                  {time.Duration(commitDeadline), 10 * time.Second},
		"a check":                   {time.Duration(checkDeadline), 5 * time.Second},
		"a query":                   {time.Duration(queryDeadline), 10 * time.Second},
		"events of a call":          {publishCount, 1000},
		"bytes of a call":           {publishBytes, 3500000},
		"tries to publish":          {publishTries, 6},
		"a publication":             {time.Duration(publishDeadline), 10 * time.Second},
		"remembered":                {time.Duration(recentFor), 2 * time.Minute},
		"bytes remembered":          {recentBytes, 8388608},
		"a create":                  {time.Duration(defaultCreateDeadline), 30 * time.Second},
		"another call":              {time.Duration(defaultCallDeadline), 15 * time.Second},
		"pages":                     {maxPages, 200},
		"the field of a TTL policy": {ExpireField, "expireAt"},
		"resources":                 {Resources, "resources"},
		"requests":                  {Requests, "requests"},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %v, and it was %v", name, bound[0], bound[1])
		}
	}
}
