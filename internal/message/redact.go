package message

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// leastPrivate is the size in bytes from which a private value is taken out of a text.
// Shorter ones are in any text.
const leastPrivate = 4

// Redact takes the private values of a job out of a text about it, such as an error of
// Vertex AI that quotes the job: the name of the field is put in place of each. Of an
// argument NAME=VALUE the value is one by itself.
func Redact(spec, text string) string {
	if spec == "" {
		return text // there is no job
	}
	job, err := ParseJob([]byte(spec))
	if err != nil {
		return "The text is left out, because the job that it may quote cannot be read."
	}
	fields := map[string]string{}
	privateValues(job.ProtoReflect(), func(field, value string) {
		for _, v := range []string{value, strings.Trim(strconv.Quote(value), `"`)} {
			if len(v) >= leastPrivate {
				fields[v] = "[" + field + "]"
			}
		}
	})
	values := make([]string, 0, len(fields))
	for v := range fields {
		if strings.Contains(text, v) {
			values = append(values, v)
		}
	}
	// The longest first: a value may be a part of another.
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, v, fields[v])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// privateValues calls use with every value of a private field, and the field's name.
func privateValues(m protoreflect.Message, use func(field, value string)) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsMap() {
			return true // labels
		}
		one := func(v protoreflect.Value) {
			switch {
			case fd.Message() != nil:
				privateValues(v.Message(), use)
			case private[fd.FullName()]:
				use(fd.JSONName(), v.String())
				if _, value, ok := strings.Cut(v.String(), "="); ok {
					use(fd.JSONName(), value)
				}
			}
		}
		if !fd.IsList() {
			one(v)
			return true
		}
		for i := range v.List().Len() {
			one(v.List().Get(i))
		}
		return true
	})
}
