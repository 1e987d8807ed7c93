// Package fakevertex is a Vertex AI server for tests and for local use. It
// speaks the real protocol (gRPC, and REST under /v1 on the same port) for
// custom jobs, persistent resources and their long-running operations, so the
// real Go clients and the real gcloud work against it, and it keeps everything
// in one store that a program can read and change.
//
// # Words
//
//   - A resource is a persistent resource: a named group of pools.
//   - A pool is one group of equal machines in a resource. Its replica count is
//     how many machines it has now; its limit is how many it may come to have
//     (the maximum of its autoscaling, if it has that).
//   - A job is a custom job. Each of its worker pools asks for a number of
//     replicas of one shape (machine spec and disk spec, after defaults).
//   - A job is placed when every worker pool of it has been given a pool of
//     exactly its shape, within that pool's limit. It holds machines once they
//     also exist and are free. A job that is accepted but not placed waits.
//   - A knob is a field of [Behaviour]: something that the real service leaves
//     undocumented, or may do at its worst, and that a test wants to choose.
//   - A fault is a wrong answer to one call: see [Fault].
//
// # Simulated work
//
// Nothing is run. A job is RUNNING for Behaviour.RunFor and then SUCCEEDED,
// unless a [JobRule] says otherwise, or it carries one of two labels:
//
//	fake-run   how long it runs, a Go duration of one or more units without a
//	           decimal point, since labels have none: 300ms, 5s, 2m, 1h30m
//	fake-end   how it ends: succeeded, failed, expired or partially-succeeded
//
// The job's scheduling.timeout is honoured in the same time.
//
// # Time
//
// The server has no goroutine of its own. What is due is kept in a queue of
// events, and every call first plays the events that have come due, in the order
// of their times and stamped with those times. So what a client observes
// does not depend on how often it calls, and under a [ManualClock] it is the same
// in every run.
//
// # What is as in the real service
//
// Job ids are numbers of 19 digits chosen by the server, and creating is never
// idempotent. Names come back with the project number, whichever was asked with.
// A new job is PENDING, then QUEUED, PENDING again and RUNNING; its start time is
// set long before it runs. Unset disk fields become pd-ssd (unless a knob says
// otherwise) and 100 GB, each on its own. Cancelling is asynchronous and ends in CANCELLED with error
// {1, "CANCELED"}. Deleting a job needs a terminal state and is done at
// once. A RUNNING resource shows an empty error. Only Ray clusters can be updated.
// ListCustomJobs filters on display_name, state, create_time and labels only.
// Submissions and other calls have separate rates per minute for each project and
// location.
//
// # The log of a job
//
// POST /v2/entries:list on the same port is the part of Cloud Logging that gcloud ai
// custom-jobs stream-logs needs: the lines that the service writes about a job. Filters
// know timestamp, severity, insertId, textPayload, resource.type, resource.labels.job_id,
// resource.labels.task_name and labels.
//
// # Many jobs
//
// Lists of live jobs, lists of a label and pages of any list cost the same however many
// jobs have ended. What becomes due costs the same however many jobs have ended or wait.
// With Options.StateFile every call writes the whole store.
//
// # Where it differs
//
//   - No authentication, no permissions, no quota project, no other service.
//   - The texts of refusals that are not published (full pool, mismatch,
//     resource absent or not RUNNING, inconsistent network or key) are its own.
//   - A state that the real service derives from containers (restarts, retries,
//     PAUSED, UPDATING) never occurs by itself.
//   - The network, key and service account of a job are compared with those of its
//     resource for equality; the real rule is said to be "consistent".
//   - In filters, as in AIP-160, OR binds tighter than AND. Two terms without an
//     operator between them are refused.
//   - Paths under /v1beta1 are served as /v1. The system parameter fields is ignored:
//     answers over REST are whole.
//   - Pages hold 100 entries unless asked otherwise, and 1000 at most.
//   - Machine types are not checked against a catalogue. The one accelerator
//     known to be retired, NVIDIA_TESLA_K80, is refused unless a knob allows it.
//
// Everything else that is unknown about the real service is a knob, listed with
// its values at [Behaviour].
package fakevertex
