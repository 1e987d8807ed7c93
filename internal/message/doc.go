// Package message holds the public contract of Berth: the messages that it takes
// and the outcome events that it publishes. It is pure: no context, no I/O, no clock.
//
// # Words
//
//   - A [Delivery] is one Pub/Sub message as it came through the entry point.
//     [DecodeDelivery] reads it from a wrapped push or from a CloudEvent.
//   - A [Message] is what a delivery says: a [Request] for a training job, or a
//     [Cancel] of one. [Decode] reads it.
//   - A [Refusal] is the answer to what cannot be read or is not allowed: a list
//     of every [reason.Problem], each with its path as the author wrote it and with
//     how to fix it. A refusal is final, since the same bytes can never decode.
//   - An [Outcome] is one event on the outcome topic. [Outcome.PubSub] encodes
//     it, [DecodeOutcome] reads it.
//
// # What is accepted
//
// A job comes as JSON or as YAML, in camelCase, in snake_case or in both, and in
// the shape that its author has:
//
//	{"displayName": ..., "jobSpec": {...}}     a CustomJob, as the REST API takes it
//	{"workerPoolSpecs": [...], ...}            a CustomJobSpec, as gcloud --config takes it
//	[{"machine_spec": {...}, ...}, ...]        worker pool specs, as the Python SDK takes them
//
// The output of "describe" is accepted too: fields that only the server sets are
// dropped. So is what gcloud --config takes: one value in place of a list, for
// any repeated field, and YAML in the flow style, with aliases, merge keys and tags
// of the core schema. A field, an option or an attribute with the value null, "",
// [], {}, 0 or false is not set. Any of these may stand in an envelope
// with options around it,
//
//	{"requestId": "train-7", "persistentResource": "gpu-pool", "priority": 10, "job": ...}
//
// or be the data alone, with the options as attributes of the message:
//
//	option              attribute                   value
//	requestId           berth-request-id            1 to 128 letters, digits and . _ : ~ -
//	persistentResource  berth-persistent-resource   id or full name
//	displayName         berth-display-name          at most 128 characters
//	labels              berth-labels                object; as an attribute key=value,key=value
//	priority            berth-priority              -1000 to 1000
//	onFull              berth-on-full               queue or reject
//	maxWait             berth-max-wait              seconds with an s, "3600s"; at most 30 days
//	dryRun              berth-dry-run               true or false
//	concurrencyKey      berth-concurrency-key       1 to 128 letters, digits and . _ : ~ -
//	concurrencyPolicy   berth-concurrency-policy    allow, forbid or replace
//
// A cancel is {"cancel": {"requestId": ..., "reason": ...}}, with messageId in
// place of requestId for a request that had none; or a message without data and
// with the attributes berth-cancel=true, berth-request-id or berth-message-id,
// and berth-reason. [Schema] describes envelope and cancel as JSON Schema.
//
// # What is not
//
// Reading is strict, because a field that is lost on the way can start a job on
// the wrong machines. Unknown and repeated fields, two spellings of one field,
// unknown names of enums, nulls in lists, numbers where text is wanted, and two
// places that contradict each other are refused. So is everything in YAML that
// depends on its version: directives, yes and no, 0777, 1_000. So is every tag
// that is not of the core schema.
//
// What Vertex AI refuses of any job is refused here, before it is held: required
// fields that are empty, names that are not of the documented form, labels.
//
// Sizes are checked before what they bound is parsed: [MaxBody], [MaxData],
// [MaxAttributes], [MaxDepth], 20,000 values, aliases written out; 4 worker pools,
// 100 variables, 100 Python packages and 61 labels. A refusal has at most 20
// problems.
//
// # Content
//
// A request is known by its id and its content. The fingerprint is of the content
// alone: one job with the same options has the same one in JSON and YAML, in either
// case, with "1" or 1, with options in the envelope or in attributes, and with what
// Vertex AI fills in written out or not: strategy STANDARD, timeout 604800s, boot
// disk pd-ssd of 100 GB (hyperdisk-balanced for a3-ultragpu; where the deployment
// takes another type for none, the controller compares the disks), unused worker pools
// at the end. Defaults of the deployment are no part of it.
//
// # What may change
//
// Codes, types, option and attribute names, the form of the fingerprint, and the
// JSON that [Request.JobJSON] writes are stored and read by other programs. They may
// be added to, and never change their meaning.
package message
