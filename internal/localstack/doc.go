// Package localstack runs Berth's surroundings on one machine: the official
// emulators where they are installed, embedded replacements where they are not.
//
// A *service* is a running server at a host:port, official or embedded. Which of
// the two it is makes no difference to those who use it: clients take the host,
// and Apply creates the same topics and subscriptions on both through the public
// API. The *topology* is that set of topics and subscriptions. The *broker* is
// the embedded Pub/Sub, and its *pump* is what pushes.
//
// Nothing here is ever deployed.
package localstack
