package message

import (
	"bytes"
	"encoding/json"
	"fmt"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/encoding/protojson"

	"example.com/berth/internal/strict"
)

// JobJSON is the job as it is stored: the protobuf JSON form without white
// space. Equal jobs have equal bytes, in every build.
func (q *Request) JobJSON() ([]byte, error) {
	data, err := protojson.Marshal(q.Job)
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil { // protojson varies its white space on purpose
		return nil, fmt.Errorf("encode job: %w", err)
	}
	return b.Bytes(), nil
}

// ParseJob reads what JobJSON wrote. A field that this build does not know is
// an error: a job stored by a newer build must not lose a part of itself.
func ParseJob(data []byte) (*aiplatformpb.CustomJob, error) {
	job := &aiplatformpb.CustomJob{}
	if err := protojson.Unmarshal(data, job); err != nil {
		return nil, fmt.Errorf("stored job: %s", strict.Clean(err.Error(), strict.MaxText))
	}
	return job, nil
}
