package message

import (
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	key := KeyOf("default", KindRequest, "a")
	if got, ok := ParseKey(string(key)); !ok || got != key {
		t.Errorf("ParseKey(%s) = %q, %v", key, got, ok)
	}
	for _, text := range []string{"", ".", "..", "__x__", "a/b", "~", string(key)[1:], string(key) + "0", strings.ToUpper(string(key)),
		" " + string(key)[1:], string(key)[1:] + "\n", string(key) + "\n", string(key)[1:] + "g", string(key)[1:] + "\xff", string(key)[2:] + "é", strings.Repeat("a", 2000)} {
		if got, ok := ParseKey(text); ok || got != "" {
			t.Errorf("ParseKey(%q) = %q, %v; want none", text, got, ok)
		}
	}
}

func TestResourceID(t *testing.T) {
	for text, want := range map[string]string{"pool": "pool", "projects/p/locations/l/persistentResources/pool": "pool"} {
		if id, ok := ResourceID(text); !ok || id != want {
			t.Errorf("ResourceID(%q) = %q, %v", text, id, ok)
		}
	}
	for _, text := range []string{"", ".", "..", "__x__", "a~b", "a b", "A", "a/b", "a\xff", "-a", "projects/p/locations/l/persistentResources/", "projects/p/locations/l/persistentResources/a~b",
		"projects//locations/l/persistentResources/a", "projects/../locations/l/persistentResources/a", strings.Repeat("a", 64)} {
		if _, ok := ResourceID(text); ok {
			t.Errorf("ResourceID(%q) is taken", text)
		}
	}
}
