package message

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of an envelope around a job and of
// a cancel. What it refuses, [Decode] refuses; Decode refuses more, because
// the schema leaves the job itself open.
//
//go:embed request.schema.json
var Schema []byte

// EventSchema is the JSON Schema (draft 2020-12) of the data of an outcome event.
// It leaves room for fields that a later release adds.
//
//go:embed event.schema.json
var EventSchema []byte

// OperatorSchema is the JSON Schema (draft 2020-12) of a message of an operator. What it
// refuses, [DecodeOperator] refuses, and the other way round.
//
//go:embed operator.schema.json
var OperatorSchema []byte
