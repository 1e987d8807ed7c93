package message

import "encoding/json"

// pushBody is the JSON by which Pub/Sub pushes a message: under both spellings,
// and without what the message lacks.
// https://cloud.google.com/pubsub/docs/push#receive_push
type pushBody struct {
	Message struct {
		Attributes  map[string]string `json:"attributes,omitempty"`
		Data        []byte            `json:"data,omitempty"`
		MessageID   string            `json:"messageId"`
		SameID      string            `json:"message_id"`
		OrderingKey string            `json:"orderingKey,omitempty"`
		PublishTime string            `json:"publishTime"`
		SameTime    string            `json:"publish_time"`
	} `json:"message"`
	Subscription    string `json:"subscription"`
	DeliveryAttempt int    `json:"deliveryAttempt,omitempty"` // only with a dead-letter policy
}

// Push is the body of the request by which Pub/Sub pushes the message, as
// [DecodeDelivery] reads it. Its time is in UTC and in milliseconds.
func (d Delivery) Push() []byte {
	body := pushBody{Subscription: d.Subscription, DeliveryAttempt: d.Attempt}
	m := &body.Message
	m.Attributes, m.Data, m.OrderingKey = d.Attributes, d.Data, d.OrderingKey
	m.MessageID, m.SameID = d.ID, d.ID
	m.PublishTime = d.PublishTime.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	m.SameTime = m.PublishTime
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // texts, bytes and numbers encode
	}
	return text
}
