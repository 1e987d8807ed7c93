package statuspage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// explained is the id of a message that was never published. Pub/Sub's own ids
// are numbers, so it never equals one.
const explained = "explained"

// maxBody bounds the body of /explain in bytes: the largest data of a message
// in base64, its attributes, and the JSON around them. Twenty bodies at once
// take a fraction of a function's memory.
const maxBody = 2 * message.MaxData

// A Message is the body of /explain: a Pub/Sub message as Pub/Sub's REST API
// accepts it.
type Message struct {
	Data       []byte            `json:"data"` // base64
	Attributes map[string]string `json:"attributes,omitempty"`
}

func (d *handler) explain(r *http.Request) (any, error) {
	tenant, err := scopeOf(r).tenant()
	if err != nil {
		return nil, err
	}
	m, err := readMessage(r)
	if err != nil {
		return nil, err
	}
	o, err := d.quoter.Quote(r.Context(), tenant, message.Delivery{ID: explained, Data: m.Data, Attributes: m.Attributes})
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	o.MessageID = ""
	if o.DisplayName == explained {
		o.DisplayName = ""
	}
	return Quote{o.Type, o.Outcome, expected(o.Estimate)}, nil
}

func readMessage(r *http.Request) (m Message, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return m, &Error{http.StatusRequestEntityTooLarge, string(reason.TooLarge),
			fmt.Sprintf("The body is larger than %d bytes.", maxBody), fmt.Sprintf("A message can have %d bytes of data.", message.MaxData)}
	} else if err != nil {
		return m, &Error{http.StatusBadRequest, string(reason.Malformed), "The body could not be read completely.", ""}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err = dec.Decode(&m); err == nil && dec.More() {
		err = errors.New("there is text after the message")
	}
	if err != nil {
		return m, &Error{http.StatusBadRequest, string(reason.Malformed), "The body is not a message: " + excerpt(err.Error()) + ".",
			`Send {"data": base64, "attributes": {"name": "value"}}.`}
	}
	return m, nil
}
