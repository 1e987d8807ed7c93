package message

import "regexp"

var keyText = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ParseKey returns the key that a text is. Every text from outside (a job's label, an
// argument, a cursor) becomes a key here and nowhere else: a text that is not exactly
// what [KeyOf] makes is none, so it never becomes the name of a document. Firestore refuses some names, and one refused name fails the whole
// read in which it stands.
func ParseKey(text string) (Key, bool) {
	if !keyText.MatchString(text) {
		return "", false
	}
	return Key(text), true
}

// ResourceID returns the id in a text that names a persistent resource: an id, or
// projects/P/locations/L/persistentResources/ID. It reports false for every other
// text, which must not become the name of a document or go to Vertex AI.
func ResourceID(text string) (id string, ok bool) { return resourceOf(text) }
