// Package chaos proves, with real processes, that Berth cannot over-commit,
// start a request twice, lose one or leak what it holds.
//
// # What runs
//
// The official Firestore and Pub/Sub emulators; a fake Vertex AI in a process of
// its own, which keeps its jobs in a file; several function processes under the
// real functions framework; and here, in this process:
//
//   - *Proxies* between the functions and the three services. They pass calls on
//     as bytes and let a share of them fail, before or after they were carried
//     out: see [Fault].
//   - The *pump*, which delivers messages to any of the functions: late, out of
//     order, more than once, and again after an acknowledgement.
//   - The *workload*, which publishes a seeded mix of requests, cancels and
//     invalid messages, and records the possible outcomes of each.
//   - The *fault injector*, which kills processes as kill -9 does, makes whole services
//     unavailable for seconds, and starts foreign jobs on the machines.
//   - The *witness*, which sees every commit of the ledger in the proxy, puts
//     them into the one order that their conditions allow, and judges each: the
//     commit by what it had read, and the moment after it. Nothing is sampled
//     and no read can be torn.
//
// Then the faults stop. When everything is at rest, the *judge* compares
// what was published, the documents in the emulator, the jobs at the fake, the
// events on the outcome topic and the processes' own logs.
//
// # What a seed repeats
//
// The messages, their times, and the dice of each part. The interleaving depends on
// the machine, so a seed only makes a failure more likely to repeat.
//
// # What it does not show
//
// The emulators are not the services, the fake is not Vertex AI, and all clocks
// are one. Answers that make Berth pause a persistent resource (a full pool) are
// not injected: they have long back-offs, and the simulator has them.
package chaos
