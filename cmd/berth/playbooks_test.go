package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// An operator runs the commands of a page at night: each is one that this tool takes.
func TestCommandsOfPlaybooks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../deploy/playbooks/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d playbooks, %v", len(pages), err)
	}
	command := regexp.MustCompile("(?m)^\\$ (berth .*)$|`(berth [a-z][^`]*)`")
	for _, page := range append(pages, "../../deploy/terraform.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			line := strings.Join(strings.Fields(m[1]+m[2]), " ")
			found++
			parser, err := kong.New(&cli{}, kong.Name("berth"), kong.Vars{"version": versionText()}, kong.Writers(io.Discard, io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(words(line)[1:]); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(page), line, err)
			}
		}
		if found == 0 {
			t.Errorf("%s names no command of berth", page)
		}
	}
}

// words splits a command line as a shell does, as far as the pages need it: at spaces
// outside of double quotes.
func words(line string) (all []string) {
	quoted := false
	for _, w := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		all = append(all, strings.ReplaceAll(w, `"`, ""))
	}
	return all
}
