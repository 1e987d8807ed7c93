// Package bench measures the whole of Berth: how long a request takes, how many
// a second go through, and what each costs in calls and documents.
//
// # What runs
//
// The function in processes of its own under the real functions framework, the
// fake Vertex AI over gRPC, and the official Firestore and Pub/Sub emulators
// where they are installed. Otherwise the embedded Pub/Sub and the ledger in the
// function's memory replace them; the report says which, and omits what cannot be
// measured then.
//
// Requests are posted to the function's entry point as a push subscription posts them,
// over connections that are kept. The emulator's own push delivers on a tick of
// 50 ms and would hide everything else.
//
// # Words
//
//   - A *figure* is one number with its unit, of a *measurement* (alone, burst,
//     queue, ...) in one *case* of it.
//   - A *timing run* has nothing between the processes. Its figures are times,
//     rates and sizes. They depend on the machine, so they are also reported as multiples
//     of a floor, and never held against a band.
//   - A *counting run* has a proxy before each service, which passes calls on and
//     counts them, the documents in them and the messages. Its figures are
//     counts: Berth reports none of them, so it cannot report too few.
//   - A *floor* is what the parts cost without Berth: a request to an empty handler,
//     a read and a commit of one document, a publish.
//   - A *band* is the range that a count has to be in, with the runs that it was
//     made from.
//   - The *pace* is BERTH_SUBMISSIONS: how many submissions a minute the function
//     allows itself. At the default of 60 the fake's quota is 60 as well, as the
//     real service's is; "full speed" is without either.
package bench
