package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

const publishedType = "google.cloud.pubsub.topic.v1.messagePublished"

const useWrapped = "Use a push subscription with the wrapped payload, or a function trigger on the topic."

// DecodeDelivery reads the HTTP request that carries one Pub/Sub message: the
// envelope of a wrapped push, or a CloudEvent of type messagePublished, binary
// or structured, whose data is that same envelope. header returns the first
// value of a request header, whatever the case of its name.
//
// An error is a *Refusal. What could be read is returned beside it: if that has an
// ID, the refusal can be published as an answer to the message.
func DecodeDelivery(header func(name string) string, body []byte) (Delivery, error) {
	return decodeDelivery(header, body, &report{})
}

func decodeDelivery(header func(name string) string, body []byte, r *report) (Delivery, error) {
	if len(body) > MaxBody {
		r.Add(strict.Place{}, reason.TooLarge, fmt.Sprintf("The request body is larger than %d bytes.", MaxBody), fixLarge)
		return Delivery{}, r.refusal()
	}
	mediaType, _, _ := strings.Cut(header("Content-Type"), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	if mediaType == "application/cloudevents-batch+json" {
		r.Add(strict.Place{}, reason.Malformed, "This is a batch of CloudEvents.", "Send one event per request.")
		return Delivery{}, r.refusal()
	}
	root := documents.JSON(body, &r.Report)
	if root == nil {
		if header("x-goog-pubsub-message-id") != "" {
			r.Add(strict.Place{}, reason.Malformed, "This is a push without its wrapper.", useWrapped)
		}
		return Delivery{}, r.refusal()
	}
	if root.Kind == strict.List {
		r.Add(strict.Place{}, reason.Malformed, "The body is a list; a CloudEvents batch is not read.", "Send one event per request.")
		return Delivery{}, r.refusal()
	}
	switch {
	case strings.HasPrefix(mediaType, "application/cloudevents"):
		if mediaType != "application/cloudevents+json" {
			r.Add(strict.Place{}, reason.Malformed, "This CloudEvent is not in the JSON format.", "Send application/cloudevents+json.")
			break
		}
		root = structured(root, r)
	case header("ce-type") != "" || header("ce-id") != "" || header("ce-specversion") != "":
		eventHead(strict.Place{Path: "ce-specversion"}, header("ce-specversion"), strict.Place{Path: "ce-type"}, header("ce-type"), r)
	}
	d := Delivery{}
	if root != nil {
		d = unwrap(root, r)
	}
	return d, r.refusal()
}

func eventHead(versionAt strict.Place, version string, typeAt strict.Place, ceType string, r *report) {
	if version != "1.0" {
		r.Add(versionAt, reason.InvalidValue, "The CloudEvents version is not 1.0.", "Send events of version 1.0.")
	}
	if ceType != publishedType {
		r.Add(typeAt, reason.InvalidValue, "The CloudEvent is not a Pub/Sub message.", "Use a trigger of type "+publishedType+".")
	}
}

// structured returns the data of a CloudEvent in the JSON format.
func structured(event *strict.Node, r *report) *strict.Node {
	in := fieldReader{event, r}
	version, ceType := in.str("specversion"), in.str("type")
	eventHead(strict.Place{Path: "specversion"}, version, strict.Place{Path: "type"}, ceType, r)
	data, coded := in.get("data"), in.get("data_base64")
	switch {
	case data != nil && coded != nil:
		r.At(coded, reason.Conflict, "The event has data and data_base64.", "Send one of them.")
	case coded != nil:
		text, err := base64.StdEncoding.DecodeString(in.str("data_base64"))
		if err != nil {
			r.At(coded, reason.InvalidValue, "The text is not base64.", "Encode it as standard base64, or send it as data.")
			return nil
		}
		return documents.JSON(text, &r.Report)
	case data == nil:
		r.Add(strict.Place{Path: "data"}, reason.MissingField, "The event has no data.", useWrapped)
	}
	return data
}

// unwrap reads the envelope. Fields that it does not know are ignored, because
// Pub/Sub adds fields.
func unwrap(envelope *strict.Node, r *report) Delivery {
	if envelope.Kind != strict.Object {
		r.At(envelope, reason.Malformed, "The push envelope is not an object.", useWrapped)
		return Delivery{}
	}
	outer := fieldReader{envelope, r}
	d := Delivery{
		Subscription: outer.name("subscription"),
		Attempt:      outer.count("deliveryAttempt"),
	}
	m := outer.get("message")
	if m == nil || m.Kind != strict.Object {
		r.Add(envelope.Missing("message"), reason.MissingField, "The body has no wrapped Pub/Sub message.", useWrapped)
		return d
	}
	inner := fieldReader{m, r}
	id := inner.either("messageId", "message_id")
	switch {
	case id != nil && id.Kind == strict.Text && requestID.MatchString(id.Text):
		d.ID = id.Text
	case id != nil:
		r.At(id, reason.InvalidValue, "The message id is not an id.", useWrapped)
	default:
		r.Add(m.Missing("message_id"), reason.MissingField, "The message has no id.", useWrapped)
	}
	if t := inner.either("publishTime", "publish_time"); t != nil {
		// In UTC and of four digits, or it could not be written as JSON again.
		at, err := time.Parse(time.RFC3339Nano, t.Text)
		if d.PublishTime = at.UTC(); err != nil || t.Kind != strict.Text || d.PublishTime.Year() < 1 || d.PublishTime.Year() > 9999 {
			d.PublishTime = time.Time{}
			r.At(t, reason.InvalidValue, "The publish time is not an RFC 3339 time.", useWrapped)
		}
	}
	if k := inner.either("orderingKey", "ordering_key"); k != nil {
		if d.OrderingKey = k.Text; k.Kind != strict.Text {
			r.At(k, reason.InvalidValue, "The ordering key is not text.", useWrapped)
		}
	}
	if a := inner.get("attributes"); a != nil {
		d.Attributes = attributes(a, r)
	}
	if c := inner.get("data"); c != nil {
		data, err := base64.StdEncoding.Strict().DecodeString(c.Text)
		if d.Data = data; err != nil || c.Kind != strict.Text {
			d.Data = nil
			r.At(c, reason.InvalidValue, "The data is not base64 text.", useWrapped)
		}
		if len(d.Data) > MaxData {
			// It will be refused for its size, and stays in memory until the refusal is
			// stored: twenty at once would take a quarter of the memory.
			d.Data = bytes.Clone(d.Data[:MaxData+1])
		}
	}
	return d
}

func attributes(n *strict.Node, r *report) map[string]string {
	if n.Kind != strict.Object {
		r.At(n, reason.InvalidValue, "The attributes are not an object.", useWrapped)
		return nil
	}
	all := map[string]string{}
	for _, m := range n.Members {
		if m.Kind != strict.Text {
			r.At(m, reason.InvalidValue, "The attribute is not text.", useWrapped)
			continue
		}
		all[m.Key] = m.Text
	}
	return all
}

// A fieldReader takes typed fields out of an object that may have others.
type fieldReader struct {
	n *strict.Node
	r *report
}

// get returns a field that is there and not null.
func (f fieldReader) get(key string) *strict.Node {
	if m := f.n.Member(key); m != nil && m.Kind != strict.Null {
		return m
	}
	return nil
}

// either returns the field under one of two spellings. Pub/Sub sends both, with
// one value.
func (f fieldReader) either(a, b string) *strict.Node {
	x, y := f.get(a), f.get(b)
	switch {
	case x == nil:
		return y
	case y != nil && (x.Kind != y.Kind || x.Text != y.Text):
		f.r.At(y, reason.Conflict, "The two spellings of this field have different values.", useWrapped)
	}
	return x
}

func (f fieldReader) str(key string) string {
	m := f.get(key)
	if m == nil {
		return ""
	}
	if m.Kind != strict.Text {
		f.r.At(m, reason.InvalidValue, "Want text, found "+m.Kind.String()+".", useWrapped)
		return ""
	}
	return m.Text
}

// name reads text that may be stored or shown.
func (f fieldReader) name(key string) string {
	s := f.str(key)
	if len(s) > 512 || bytes.ContainsFunc([]byte(s), strict.Control) {
		f.r.At(f.get(key), reason.InvalidValue, "The name is too long or has control characters.", useWrapped)
		return ""
	}
	return s
}

func (f fieldReader) count(key string) int {
	m := f.get(key)
	if m == nil {
		return 0
	}
	i, err := strconv.Atoi(m.Text)
	if err != nil || m.Kind != strict.Number || i < 0 {
		f.r.At(m, reason.InvalidValue, "Want a whole number, not negative.", useWrapped)
		return 0
	}
	return i
}
