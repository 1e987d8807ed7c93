// Package gcp is the deployed room with cloud clients: the ledger in Firestore
// ([Ledger]), training jobs at Vertex AI ([Vertex]) and outcome events on
// Pub/Sub ([Publisher]). Each implements a port; what its words mean is said
// there. Nothing here decides anything, and nothing runs on after a call has
// returned.
//
// # Documents
//
// There are four collections. A document's id is the resource's, lease's or
// budget's name with "/" written as "~", or the record's key.
//
//	resources   name          string      what [Ledger.Resources] orders by
//	requests    resource      string      the rest of what queries look at, each
//	            state         string      there only while it is needed: resource,
//	            order         string      state and order in records with a
//	            queues        []string    reservation; queues, the replicas needed of
//	            needs         []integer   each, and the size of the specification
//	            size          integer     in bytes while one waits; outbox while a
//	            timerAt       timestamp   outbox event is unpublished (the time of the oldest
//	            outbox        timestamp   such)
//	            recent      string      when it was received, the latest first, and
//	            status      string      its state or kind of answer, for lists
//	            job         string      number of its job
//	            expireAt      timestamp   when Firestore may delete it
//	leases
//	budgets
//	all         doc           string      the document itself, as JSON; never indexed
//	            token         string      drawn at random by the commit that wrote it
//	            layout        integer     of the release that wrote it; see [ledger.Layout]
//	            since         integer     the oldest layout whose releases may read it, where
//	                                      that is another
//
// Nothing is kept outside doc that does not follow from doc, but token. The
// indexes that the queries need are in [Indexes]; all others are to be off,
// since each index that a write changes costs time, money and, for indexed
// times, throughput.
//
// # Updates
//
// An update is two calls: one BatchGetDocuments, one Commit. The documents of a
// BatchGetDocuments are one snapshot, as of the latest read time in its answers;
// that is the transaction's Now. The commit makes each document that was read a
// condition: a written one must have the update time that was read, or not
// exist; one only read is written with an empty field mask under the same
// condition, which changes nothing, or deleted on condition that it does not
// exist. Firestore's own transactions are not used: their read locks make
// updates of one hot document wait for each other's answers.
//
// A commit is sent once. What its answer allows to conclude is the table
// commitRules; where it is nothing, the token on the documents tells.
//
// A commit that finds a document changed waits before it is made again, at random
// and longer each time, measured in how long a try takes. While commits of one
// resource are being lost, updates of it wait before their first try as well, and
// what comes meanwhile joins them ([ledger.Hints.More]); see contention.
//
// # Errors of Vertex AI
//
// Vertex AI takes no idempotency key, so the one thing that matters about a
// failed create is whether it certainly did nothing. The table createRules says
// so, answer by answer; whatever it does not list is unclear.
package gcp
