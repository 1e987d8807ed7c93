// Package probe finds out what Vertex AI does in a project where its documentation is
// silent: on a full pool, on a job that fits nowhere, with a disk or an account that a job
// does not name, after a create, after a cancel.
//
// [NewPlan] says before anything is done which jobs will be created on one pool of one
// persistent resource, and what they need. [Run] creates them one after the other, keeps
// what it observes, and ends every job that it created, under every failure. [Judge]
// turns observations into a [Record]: an answer to each question, the settings of Berth
// that follow, and the switches of the fake Vertex AI that behaves so. Plan and judgement
// are functions of their arguments; only Run calls anything, through the ports [Service]
// and [Clock].
//
// A record can be sent to others: names of projects, resources, accounts and images are
// left out, and cut out of the texts of the service.
package probe
