package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/strict"
)

// Bounds on an outcome's lists, so that an event stays small however much a
// message or a persistent resource holds.
const (
	maxNearest   = 8
	maxJobError  = 1 << 13 // bytes of Vertex AI's message, which may quote the job
	maxAttribute = 1024    // bytes of a Pub/Sub attribute value
	maxEventData = MaxData // bytes
)

// googleTraceparent is where the Pub/Sub client libraries find the trace context of a
// message, if tracing is on in the subscriber (pubsub/v2, EnableOpenTelemetryTracing).
const googleTraceparent = "googclient_traceparent"

// Types lists every type of outcome.
func Types() []Type {
	return []Type{Queued, Reserved, Submitted, Started, Cancelling, Requeuing, Rejected, Succeeded, Failed, Cancelled, Expired, Refused, Quoted, Duplicate, Noted, Paused, Resumed, Draining, Drained, OperatorCancelling, Requeued, Prioritised}
}

// A Source says which deployment an event comes from. With the event id it makes
// an event unique in the world: two deployments of one project give different
// requests the same keys only under different sources.
type Source struct {
	Project    string // id
	Deployment string // name of the installation in that project
}

// Of returns the CloudEvent source of a tenant's outcomes: a URI reference with a
// path only, because no domain is Berth's.
func (s Source) Of(tenant string) string {
	return "/projects/" + s.Project + "/berth/" + s.Deployment + "/tenants/" + tenant
}

// PubSub encodes the outcome as a message of the outcome topic: a CloudEvent in
// the binary mode of the Pub/Sub protocol binding. Beside the attributes that
// every CloudEvent has, it carries what a subscription may filter by:
//
//	ce-tenant, ce-sequence (ten digits, so that it sorts as text), and where
//	the outcome has them ce-requestid, ce-state, ce-persistentresource (the id)
//
// for example with the filter attributes.ce-state = "SUCCEEDED". An answer to a
// message that owns no request has the id that the message claims in
// ce-requestid, and ce-claimed = "true" beside it: it is no event of the request
// of that id. A refused message has the state REFUSED, so that one filter on
// states finds every request that did not succeed. An outcome that lacks what a CloudEvent
// needs, or is too large, is an error.
//
// The data's media type is the attribute content-type and no other, as the
// Pub/Sub protocol binding of CloudEvents has it. In an unwrapped push every
// attribute is a header, and the CloudEvents SDK for Go refuses an event that has
// ce-datacontenttype beside content-type.
func (o Outcome) PubSub(from Source) (data []byte, attributes map[string]string, err error) {
	fail := func(what string) ([]byte, map[string]string, error) {
		return nil, nil, fmt.Errorf("encode outcome %s %s: %s", strict.Excerpt(string(o.Type)), strict.Excerpt(o.EventID), what)
	}
	switch {
	case !strings.HasPrefix(string(o.Type), typePrefix) || o.Type.Word() == "":
		return fail("not a type of Berth's") // a type of a newer release is: after a roll-back this one publishes its events
	case from.Project == "" || from.Deployment == "":
		return fail("project and deployment of its source are needed")
	case o.EventID == "" || o.Tenant == "" || o.Time.IsZero() || o.Sequence < 1:
		return fail("event id, tenant, time and sequence are needed")
	case o.Time.UTC().Year() < 1 || o.Time.UTC().Year() > 9999:
		return fail("its time has no form of text")
	case o.RequestID == "" && o.MessageID == "":
		return fail("it is about no request and no message")
	}
	o.bound()
	if o.Type == Refused {
		o.State = StateRefused
	}
	if data, err = json.Marshal(o); err != nil {
		return fail(err.Error())
	}
	if len(data) > maxEventData {
		return fail(fmt.Sprintf("%d bytes of data", len(data)))
	}
	subject := o.RequestID
	if subject == "" {
		subject = o.MessageID
	}
	resource, _ := resourceOf(o.PersistentResource)
	attributes = map[string]string{
		"ce-specversion":        "1.0",
		"ce-id":                 o.EventID,
		"ce-source":             from.Of(o.Tenant),
		"ce-type":               string(o.Type),
		"ce-time":               o.Time.UTC().Format(time.RFC3339Nano),
		"ce-subject":            subject,
		"content-type":          "application/json",
		"ce-tenant":             o.Tenant,
		"ce-sequence":           fmt.Sprintf("%010d", o.Sequence),
		"ce-requestid":          o.RequestID,
		"ce-state":              o.State,
		"ce-persistentresource": resource,
		"ce-traceparent":        o.Trace,
		googleTraceparent:       o.Trace,
	}
	if o.RequestID == "" && o.ClaimedRequestID != "" {
		attributes["ce-requestid"], attributes["ce-claimed"] = o.ClaimedRequestID, "true"
	}
	for key, value := range attributes {
		if len(value) > maxAttribute {
			return fail("attribute " + key + " is too long")
		}
		if value == "" {
			delete(attributes, key)
		}
	}
	return data, attributes, nil
}

// bound cuts the lists and the one long text of the outcome, in copies.
func (o *Outcome) bound() {
	if o.JobError != nil && len(o.JobError.Message) > maxJobError {
		e := *o.JobError
		e.Message = strings.ToValidUTF8(e.Message[:maxJobError], "") + "..."
		o.JobError = &e
	}
	o.Problems = o.Problems[:min(len(o.Problems), strict.MaxProblems)]
	o.Warnings = o.Warnings[:min(len(o.Warnings), strict.MaxProblems)]
	o.Fit = slices.Clone(o.Fit)
	for i := range o.Fit {
		near := o.Fit[i].Nearest
		o.Fit[i].Nearest = near[:min(len(near), maxNearest)]
	}
}

// DecodeOutcome reads what PubSub wrote. It is for consumers: fields and types
// that it does not know are ignored, because a newer release may send them.
func DecodeOutcome(attributes map[string]string, data []byte) (Outcome, error) {
	var o Outcome
	if attributes["ce-specversion"] != "1.0" || !strings.HasPrefix(attributes["ce-type"], typePrefix) {
		return o, errors.New("decode outcome: not an event of Berth")
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("decode outcome %s: %w", strict.Excerpt(attributes["ce-id"]), err)
	}
	o.EventID, o.Type, o.Trace = attributes["ce-id"], Type(attributes["ce-type"]), attributes["ce-traceparent"]
	at, err := time.Parse(time.RFC3339Nano, attributes["ce-time"])
	if err != nil {
		return o, fmt.Errorf("decode outcome %s: time: %w", strict.Excerpt(o.EventID), err)
	}
	o.Time = at
	if s := attributes["ce-sequence"]; s != "" && o.Sequence == 0 {
		if o.Sequence, err = strconv.ParseInt(s, 10, 64); err != nil {
			return o, fmt.Errorf("decode outcome %s: sequence: %w", strict.Excerpt(o.EventID), err)
		}
	}
	return o, nil
}
