// Package statuspage is the Status function: what the ledger knows, as JSON, for
// people and for the command line tool. It writes nothing.
//
// Every answer is application/json and may not be cached. A failure is
// {"error": {"code", "detail", "fix"}} under a status that fits. All routes
// take GET but for /explain, and each may be prefixed by /Status, so that the
// door looks the same at the root of a service and beside other entry points.
//
//	/               what this deployment is, and its routes
//	/health         whether the ledger can be read, and how old its observations are
//	/pools          persistent resources: pools, use per shape, foreign jobs
//	/queue          waiting requests in order, each with its reason as of now
//	/requests       requests in a state
//	/recent         requests and refused messages, the latest received first
//	/requests/{id}  one request and its history, by its id or by its job
//	/explain        POST a message: what would happen to it now
//
// # Live
//
// A stored reason is that of the last decision. What is shown for a waiting
// request is decided anew from the documents as they are, by the same
// [admission.Decide]; so it can say ADMIT, which means that the next look of
// the controller starts the request.
//
// # Pages
//
// Lists come in pages of at most limit entries (50 unless asked otherwise, 200
// at most). A page with a next cursor has a successor, given by after=; a page
// may hold fewer entries than limit, even none, and still have one. Pages are
// read one after the other while the world moves: an entry may be missed or
// come twice.
//
// The response types are exported so that clients decode into the same structs.
// Job specs are never shown: their environment variables hold secrets.
package statuspage
