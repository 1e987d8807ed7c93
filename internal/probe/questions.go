package probe

// Questions of a probe.
const (
	qTiny       = "starts"             // does a job that fits run, and how soon
	qStates     = "states"             // which states it shows, and when start_time is set
	qList       = "listLag"            // when a list shows a new job
	qLabels     = "filters"            // which filters find a job
	qDisk       = "defaultDisk"        // the disk of a job that names none
	qMismatch   = "mismatch"           // a job that fits no pool
	qDiskSize   = "diskSize"           // is the size of the disk compared
	qTooMany    = "tooManyReplicas"    // more replicas than the pool can have
	qAbsent     = "resourceAbsent"     // a job on a resource that does not exist
	qNotRunning = "resourceNotReady"   // a job on a resource that is not RUNNING
	qAccount    = "serviceAccount"     // a job with an account where the resource enables none
	qRay        = "rayCluster"         // a job on a Ray cluster
	qChiefs     = "firstWorkerPool"    // several replicas in the first worker pool
	qShared     = "sharedPool"         // several worker pools on one pool
	qTimeout    = "timeout"            // the end of a job over its scheduling.timeout
	qFull       = "fullPool"           // a job on a full pool
	qWaitState  = "waitState"          // the state of a job that waits
	qCancel     = "cancel"             // how a cancelled job ends, and how soon
	qUsed       = "usedCountLag"       // when used_replica_count leaves an ended job out
	qRelease    = "reuse"              // when the next job runs on a machine that was freed
	qLost       = "lostAnswers"        // creates that failed and yet created
	qBundled    = "builtInAccelerator" // may a job leave out the accelerator of a machine type that has it
	qSpot       = "spot"               // a job with the strategy SPOT
	qFlex       = "flexStart"          // a job with the strategy FLEX_START
	qEqual      = "equalPools"         // which of several equal pools takes a job
	qOrder      = "listOrder"          // how a list orders jobs
	qAgain      = "cancelAfterEnd"     // the answer to a cancel of a job that has ended
	qScale      = "autoscaling"        // when a pool grows and shrinks, and what replica_count shows
	qPageSize   = "pageSize"           // the largest page of a list
	qLogLabel   = "logLabel"           // do log entries carry the state of the job
	qReboot     = "reboot"             // what a reboot does to running jobs
	qRates      = "rates"              // how many calls a minute are allowed
)

// notProbed is the answer to a question that was left out, and unclear to one that the
// observations do not answer.
const (
	notProbed = "not probed"
	unclear   = "unclear"
)
