package message

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// Limits on what is read from a message. Each is checked before the part that
// it bounds is parsed.
const (
	// MaxBody bounds an HTTP body that carries one message, in bytes: 10 MB of
	// data, the most that Pub/Sub takes, in base64, and room for the rest. A
	// message far over MaxData is read all the same, because only then can Berth
	// publish its refusal.
	MaxBody       = 15 << 20
	MaxData       = 1 << 18 // bytes of decoded message data, which is stored in the record of its request
	MaxAttributes = 100     // attributes of a message, the most that Pub/Sub takes
	MaxDepth      = 32      // nesting of JSON or YAML
)

// A Delivery is one Pub/Sub message as an entry point received it.
type Delivery struct {
	ID           string // message id, given by Pub/Sub; never empty
	Subscription string // full name of the subscription; empty where the sender does not say. It selects the tenant.
	PublishTime  time.Time
	Attempt      int // delivery attempt, 0 when the sender does not count
	OrderingKey  string
	Attributes   map[string]string
	Data         []byte // cut after MaxData and one byte
	// Trace is the trace context that what is made of the message keeps, as a traceparent;
	// "" without one. It is not read from the message but set by who has checked it.
	Trace string
}

// OnFull says what to do with a job that cannot start now.
type OnFull string

const (
	Queue  OnFull = "queue"  // wait in the queue (the default)
	Reject OnFull = "reject" // refuse at once
)

// A ConcurrencyPolicy says what to do with a request whose concurrency key an earlier
// request of the same tenant has that has not ended.
type ConcurrencyPolicy string

const (
	Allow   ConcurrencyPolicy = "allow"   // take it: the key has no effect
	Forbid  ConcurrencyPolicy = "forbid"  // refuse it
	Replace ConcurrencyPolicy = "replace" // cancel the earlier one and take it
)

// A Concurrency is what a request says of others of its kind, as the policies of
// Kubernetes CronJobs do: a nightly job that overruns meets its successor.
type Concurrency struct {
	Key    string            `json:"key,omitempty"` // of the tenant; "" for none
	Policy ConcurrencyPolicy `json:"policy,omitempty"`
}

// Exclusive reports whether at most one request of the key may be active.
func (c Concurrency) Exclusive() bool { return c.Key != "" && c.Policy != Allow }

// A Request asks for one training job.
type Request struct {
	RequestID          string // the idempotency key; empty when the message's own id is to serve
	PersistentResource string // id or full name; empty for the configured default
	Priority           int    // -1000 to 1000, higher first; 0 by default
	OnFull             OnFull
	MaxWait            time.Duration // longest wait in the queue; 0 for the configured default
	DryRun             bool          // decide and answer, write and start nothing
	Concurrency        Concurrency

	// Job is what to submit: display name and labels merged in, output-only
	// fields and empty reservation affinities removed, persistentResourceId
	// cleared (the controller sets it). Its display name is empty when the
	// message gives none.
	Job *aiplatformpb.CustomJob
	// Ask is what Job needs, one entry per worker pool that is not an empty
	// placeholder, with [capacity.DefaultDiskType] where no disk type is set; a
	// deployment with another default type calls AskOf. Never empty.
	Ask capacity.Ask
	// Paths says how the message writes the fields of the job.
	Paths Paths
	// Warnings do not stop the job, for example of more than one replica in worker
	// pool 0. Their code is [reason.Warning].
	Warnings []reason.Problem
}

// A Cancel asks for the end of one request of the same tenant. Exactly one of
// the ids is set.
type Cancel struct {
	RequestID string // the request's own id
	MessageID string // for a request that had none: the id of its message
	Reason    string // for people; at most 256 characters
}

// A Message is what a delivery says: exactly one of Request and Cancel is set.
type Message struct {
	Request *Request
	Cancel  *Cancel
	// Fingerprint is the hex SHA-256 of the content: of what was read, before any
	// default of the deployment was applied. The form in which it came makes no
	// difference. Two deliveries with one id and one fingerprint are one request.
	Fingerprint string
}

// A Key names the document of a request or of an answer. It is a hash: ids that
// count up would make a hot spot of Firestore, and an id with a slash another path.
type Key string

// A Kind keeps ids of different origin apart, so that a chosen request id can
// never collide with a message id.
type Kind string

const (
	KindRequest Kind = "request" // id chosen by the producer
	KindMessage Kind = "message" // id of the message, where the producer chose none
	KindAnswer  Kind = "answer"  // id of a message that owns no reservation
)

// KeyOf hashes tenant, kind and id to a key: 32 hex digits.
func KeyOf(tenant string, kind Kind, id string) Key {
	h := sha256.New()
	for _, part := range []string{tenant, string(kind), id} {
		fmt.Fprintf(h, "%d:%s,", len(part), part) // lengths keep ("a","bc") and ("ab","c") apart
	}
	return Key(hex.EncodeToString(h.Sum(nil)[:16]))
}
