package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEveryVerbIsInAScript: each verb is run by a script, where what it writes is watched.
func TestEveryVerbIsInAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	all := ""
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304 -- of this package
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	parser, err := kong.New(&cli{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		verb, _, _ := strings.Cut(leaf.Path(), " <")
		words := []string{"exec berth " + verb, "exits 0 " + verb, "operate 0 " + verb, "operate 6 " + verb}
		found := false
		for _, w := range words {
			found = found || strings.Contains(all, "\n"+w+" ") || strings.Contains(all, "\n"+w+"\n")
		}
		if !found {
			t.Errorf("no script runs %s", verb)
		}
	}
}
