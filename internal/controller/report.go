package controller

// A Report says what one reconcile did. Counts, for logs and tests.
type Report struct {
	Passes    int  `json:"passes"`
	Resources int  `json:"resources"`
	Learned   int  `json:"learned"`   // moves made because of an observation
	Timers    int  `json:"timers"`    // records whose timers ran
	Started   int  `json:"started"`   // waiting requests admitted
	Orphans   int  `json:"orphans"`   // jobs of ours cancelled because no reservation names them
	Unheld    int  `json:"unheld"`    // live jobs whose requests have lost their holds
	Published int  `json:"published"` // records whose events were published late
	Waiting   int  `json:"waiting"`   // requests in the queue at the end, but on resources that are paused
	Pending   int  `json:"pending"`   // requests admitted and waiting for a submission slot, at the end
	Skipped   bool `json:"skipped"`   // another instance holds the lease
	// Unreadable are documents that were left alone because this release cannot
	// read them.
	Unreadable int `json:"unreadable"`
}
