package policy

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of a policy. What it refuses, [Parse] refuses;
// Parse refuses more, such as a share above its cap.
//
//go:embed policy.schema.json
var Schema []byte
