package controller

import (
	"testing"
	"time"
)

// TestBoundsAreWhatTheyWere: how much one pass, one commit and one instance take on; deploy.sh and the documents count on them.
func TestBoundsAreWhatTheyWere(t *testing.T) {
	for name, bound := range map[string][2]any{
		"reconciles until an alarm":   {alarmAfter, 3},
		"until it is over":            {quietAfter, 10},
		"an alarm is told again":      {time.Duration(loggedFor), time.Hour},
		"an answer":                   {answerWeight, 8192},
		"records of an update":        {perUpdate, 20},
		"records of a commit":         {commitRecords, 100},
		"bytes of a commit":           {commitBytes, 4194304},
		"pause of one request":        {time.Duration(maxOwnPause), time.Hour},
		"outdone":                     {maxOutdone, 3},
		"runs":                        {maxRounds, 50},
		"time limit of Vertex AI":     {time.Duration(vertexTimeout), 168 * time.Hour},
		"timers of a pass":            {duePerPass, 200},
		"a history is read again":     {time.Duration(historyFor), 5 * time.Minute},
		"a read of it":                {time.Duration(historyWithin), 2 * time.Second},
		"histories of an observation": {learnTenants, 16},
		"hints at one time":           {maxHinting, 4},
		"ticks between searches":      {searchEvery, 5},
		"a name is absent":            {time.Duration(absentFor), 10 * time.Second},
		"absent names":                {absentNames, 4096},
		"a call has failed":           {time.Duration(failedFor), 10 * time.Second},
		"instances":                   {observingInstances, 10},
		"an error":                    {maxError, 2048},
		"notices of a pass":           {notifyMost, 200},
		"parked of a pass":            {parkedPerPass, 200},
		"ticks between observations":  {observeParkedEvery, 5},
		"unpublished events":          {maxUnpublished, 20},
		"bytes of them":               {maxUnpublishedBytes, 65536},
		"new reasons":                 {maxRetold, 20},
		"an event":                    {eventWeight, 2048},
		"the first pass":              {time.Duration(leastBudget), 5 * time.Second},
		"a sample":                    {sampleSize, 10},
		"a note":                      {time.Duration(noteWithin), 5 * time.Second},
		"resources side by side":      {sideBySide, 16},
		"requeues":                    {maxRequeues, 10},
		"one run":                     {time.Duration(maxSubmitting), 24 * time.Hour},
		"unreadable":                  {time.Duration(unreadableFor), 10 * time.Minute},
		"unreadable documents":        {maxUnreadable, 10000},
		"live requests of a tenant":   {mostLive, 100},
		"of them are read":            {liveRead, 20},
		"sent back":                   {maxSentBack, 20},
		"ticks until it is late":      {lateAfter, 5},
		"a policy is read":            {time.Duration(policyWithin), 10 * time.Second},
		"the lease":                   {ReconcileLease, "reconcile"},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %v, and it was %v", name, bound[0], bound[1])
		}
	}
}
