// Package controller is the shell around the decision: it reads, decides, writes,
// submits and publishes in the one order that survives a crash at any line. It owns
// no rule of its own. Which state follows is [lifecycle.Next]'s, what fits and in
// which order is [admission.Decide]'s, how fast jobs are submitted is package pace's.
//
// # One message
//
//  1. [Controller.Handle] decodes it. A message that cannot be decoded is answered and
//     not retried: the same bytes will never decode.
//  2. One ledger update reads the request's record and the resource, decides (place),
//     and writes record, hold and outbox event together. Here responsibility changes
//     hands. Before this commit Pub/Sub delivers again. After it the message is
//     acknowledged whatever follows, and [Controller.Reconcile] goes on.
//  3. If the update admitted the request and the resource had an allowance, the record
//     says SUBMITTING, with the run's label, an attempt number and the time until
//     which this attempt may act. submit creates the job, or learns that it was not
//     created, or learns nothing. Without an allowance the record stays RESERVED until
//     it gets a submission slot (requestSlot, and dispatch in a pass).
//  4. A guarded update records the job's name and the next outbox event (accepted). A
//     crash before it leaves a job that is found by its label.
//  5. publish sends the unpublished events, waits until the server has them, and marks
//     them published. A crash before the mark publishes them again under the same ids.
//
// # One pass
//
// Reconcile repairs what a crash left between these steps, and learns what Vertex AI
// does not announce: jobs started, ended, gone, started by others. While requests wait
// it makes a pass every few seconds. The parts of a pass run side by side:
//
//  1. publishLate publishes events that their instance has not published in time.
//  2. runTimers makes the moves of records whose time has come.
//  3. passRegions goes through the resources by region. Each is observed (one list of live
//     jobs a region, one call a resource), the observation is saved, what it says of
//     jobs is learned, parked requests are decided again, and the queue is scheduled.
//  4. dispatch gives submission slots to admitted requests of the region.
//
// # Files
//
// In this order; each uses only those after it, which a test holds.
//
//   - controller.go: the controller and what it is made of
//   - handle.go: a message comes in; the update that decides a new request
//   - quote.go: what would happen to a message now
//   - concurrency.go: requests of one concurrency key
//   - operate.go: an operator's message comes in
//   - tenantpause.go: a tenant is paused and resumed
//   - direct.go: what an operator asks for is done to a request
//   - hint.go: a job may have changed
//   - reconcile.go: the passes of one tick, and the lease
//   - pass.go: one pass, one region, one resource
//   - lost.go: searches for resource documents that were lost
//   - due.go, runtimer.go: records whose timers are due, and what is done for one
//   - cancel.go: a cancel comes in
//   - draft.go: the record that a request starts with, and whether its id is taken
//   - answer.go: outcomes that belong to no reservation
//   - refresh.go: a message needs an observation
//   - learn.go: what an observation says of jobs
//   - schedule.go, parked.go: waiting requests, queued and parked, are decided again
//   - announce.go: waiting requests get another latest start
//   - notify.go: waiting requests get the condition of their resource as reason
//   - slots.go: submission slots for admitted requests
//   - decided.go: what a decision says, for those who follow and count
//   - finish.go: submits and publishes what an update has moved
//   - submit.go, decline.go: one attempt to create a job; what a refusal means
//   - apply.go: the moves that a job's state calls for
//   - place.go: one decision of admission becomes moves
//   - classify.go: an observation is saved; which live jobs are ours, foreign, orphans
//   - drain.go: an observation shows that a drain is over
//   - observe.go: an observation of one resource
//   - missing.go: names that Vertex AI does not know, and calls that failed
//   - update.go, rebuild.go: the update of one record; a document that was lost
//   - move.go: one move of the state table, the only writer of a reservation
//   - timers.go: when each state is due, and what is done then
//   - budget.go: the documents of package pace
//   - estimates.go: run times of ended jobs are learned, and expected of new ones
//   - policies.go: the policy in force, as this instance has read it
//   - usage.go: what became of the machines is moved into a document of its own
//   - publish.go: outbox events are published and marked
//   - trace.go: steps of a request for those who follow it
//   - commits.go: bounds of updates, and queries that go on where they ended
//   - unreadable.go: documents that this release cannot read
//   - tasks.go: the parts of a pass, and its working state
//   - report.go: the log record of a pass
//   - sample.go, alarm.go, late.go, logs.go: what an operator has to know
//   - config.go, env.go: settings, and the part of the world that tests replace
//
// The tests of all this are in internal/sim, which runs real controllers in virtual
// time: scenarios, races, outages, an explorer, and seeded bugs that the tests must
// catch. Those of the pure rules are in their rooms.
//
// # Together
//
// Updates of one resource and of the requests on it that meet in one instance are one
// commit ([ledger.Group]), and their events one publication. An update that meets no
// other goes at once.
//
// # Time
//
// Moments that instances compare with each other come from the ledger
// ([ledger.Tx].Now). What an instance may still do in its own attempt is measured on
// its own monotonic clock from before the read that granted it, so a wrong wall clock
// can only make it give up early.
package controller
