package message

import "regexp"

const maxID = 128

var (
	requestID    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}$`)
	resourceID   = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	resourceName = regexp.MustCompile(`^projects/[a-z0-9][a-z0-9.:-]{0,127}/locations/[a-z0-9][a-z0-9-]{0,62}/persistentResources/([a-z]([a-z0-9-]{0,61}[a-z0-9])?)$`)
)

// resourceOf is the id in a persistent resource's id or full name; ok is false
// when it is neither.
func resourceOf(s string) (id string, ok bool) {
	if m := resourceName.FindStringSubmatch(s); m != nil {
		return m[1], true
	}
	return s, resourceID.MatchString(s)
}
