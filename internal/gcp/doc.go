// Package gcp implements the ports for a deployment, with cloud clients: the ledger in Firestore
// ([Ledger]), training jobs at Vertex AI ([Vertex]) and outcome events on
// Pub/Sub ([Publisher]). Each implements a port, whose package says what its
// words mean. Nothing here decides, and nothing runs on after a call has returned.
//
// # Documents
//
// There is a collection for each kind of document ([ledger.Kinds]). A document's id is
// its name with "/" written as "~".
//
//	resources   name          string      what [Ledger.Resources] orders by
//	requests    resource      string      fields that queries use, each there only
//	            state         string      while it is needed: resource, state and
//	            order         string      order in records with a reservation;
//	            queues        []string    queues, the replicas needed of each, and
//	            needs         []integer   the size of the specification in bytes
//	            size          integer     while one waits; outbox while an event is
//	            timerAt       timestamp   unpublished (the time of the oldest such)
//	            outbox        timestamp
//	            recent        string      when it was received, the latest first, and
//	            status        string      its state or kind of answer, for lists
//	            job           string      number of its job
//	            expireAt      timestamp   when Firestore may delete it
//	all         doc           string      the document itself, as JSON; never indexed
//	            token         string      drawn at random by the commit that wrote it
//	            layout        integer     of the release that wrote it; see [ledger.Layout]
//	            since         integer     the oldest layout whose releases may read it; layout
//	                                      itself in documents of layout 2, which lack it
//
// Every field but token follows from doc. The indexes that the queries need are in
// [Indexes]; all others are to be off, because each index that a write changes costs
// time, money and, for indexed times, throughput.
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
// A commit is sent once. The table commitRules says what its answer allows to
// conclude; where it allows nothing, the token on the documents shows whether the
// commit landed.
//
// An update whose commit finds a document changed waits before its next try, for a
// random time that grows with each, measured in how long a try takes. While commits of
// one resource are being lost, updates of it wait before their first try as well, and
// work that arrives meanwhile joins them ([ledger.Hints.More]); see contention.
//
// # Errors of Vertex AI
//
// Vertex AI takes no idempotency key, so the one thing that matters about a
// failed create is whether it certainly did nothing. The table createRules says
// so, answer by answer; an answer that it does not list is unclear.
package gcp
