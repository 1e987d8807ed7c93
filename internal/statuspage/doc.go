// Package statuspage is the Status function: it shows the ledger as JSON, to
// people and to the command line tool. It writes nothing.
//
// Every answer is application/json and must not be cached; package html below makes pages
// of these answers for browsers, on the same routes. A failure is
// {"error": {"code", "detail", "fix"}} with a matching HTTP status. All routes
// but /explain take GET. Each may have the prefix /Status, so that the function
// works the same at the root of a service and beside other entry points.
//
//	/               what this deployment is, and its routes
//	/health         whether the ledger can be read, and how old its observations are
//	/pools          persistent resources: pools, use per shape, foreign jobs
//	/queue          waiting requests in order, each with its reason as of now
//	/requests       requests in some states
//	/recent         requests and refused messages, the latest received first
//	/requests/{id}  one request and its history, by its id or by its job
//	/explain        POST a message: what would happen to it now
//
// # Who sees what
//
// [Info].Access decides by the caller of which tenants requests are shown; of other
// tenants there are sums only. The parameter tenant= narrows that to one tenant. What is
// another's looks as what is unknown, costs as many reads, and is in no cursor.
//
// # Live reasons
//
// A stored reason is that of the last decision. For a waiting request the
// answer shows a new decision on the present documents, by the same
// [admission.Decide]. So it can say ADMIT, which means that the next pass of
// the controller starts the request.
//
// # Pages
//
// A list comes in pages of at most limit entries (default 50, at most 200). A
// page with a next cursor has a successor, which after= reads. A page may hold
// fewer entries than limit, even none, and still have a successor. The ledger
// changes between two pages, so an entry may be missed or appear twice.
//
// The response types are exported so that clients decode into the same structs.
// Job specs are never shown, because their environment variables hold secrets.
package statuspage
