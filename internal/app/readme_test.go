package app

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"example.com/berth/internal/message"
)

// TestReadmeNamesEverything holds README's tables against the code: a variable,
// code or event type that it does not name might as well not be there.
func TestReadmeNamesEverything(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../reason/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	named := func(what, word string) {
		t.Helper()
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`).Match(readme) {
			t.Errorf("README does not name the %s %s", what, word)
		}
	}
	codes := regexp.MustCompile(`Code = "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(codes) < 30 {
		t.Fatalf("only %d codes were found in the source", len(codes))
	}
	for _, c := range codes {
		named("code", c[1])
	}
	for _, typ := range message.Types() {
		word := strings.TrimSuffix(strings.TrimPrefix(string(typ), "berth."), ".v1")
		named("event type", word)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		variable, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		named("variable", variable)
	}
}
