package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// An operator runs the commands of a page at night: each is one that this tool takes. A page
// that is no playbook may also name a verb without its arguments.
func TestCommandsOfPages(t *testing.T) {
	t.Parallel()
	playbooks, err := filepath.Glob("../../deploy/playbooks/*.md")
	if err != nil || len(playbooks) == 0 {
		t.Fatalf("%d playbooks, %v", len(playbooks), err)
	}
	pages, err := filepath.Glob("../../deploy/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	typed := regexp.MustCompile(`(?m)^\$ (.*(?:\\\n.*)*)$`)
	named := regexp.MustCompile("`(berth [a-z][^`]*)`")
	parts := regexp.MustCompile(`\s*(?:&&|\||>|#)\s+`)
	for _, page := range slices.Concat(playbooks, pages, []string{"../../README.md"}) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found, strict := 0, slices.Contains(playbooks, page)
		try := func(line string, strict bool) {
			if !strings.HasPrefix(line, "berth ") {
				return
			}
			found++
			parser, err := kong.New(&cli{}, kong.Name("berth"), kong.Vars{"version": versionText()}, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = parser.Parse(words(line)[1:])
			if err != nil && (strict || !strings.HasPrefix(err.Error(), "expected ") && !strings.HasPrefix(err.Error(), "missing flags")) {
				t.Errorf("%s: %s: %v", filepath.Base(page), line, err)
			}
		}
		for _, m := range typed.FindAllStringSubmatch(string(text), -1) {
			for _, line := range parts.Split(strings.ReplaceAll(m[1], "\\\n", " "), -1) {
				try(line, !strings.HasSuffix(line, " --help"))
			}
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			try(strings.Join(strings.Fields(m[1]), " "), strict)
		}
		if strict && found == 0 {
			t.Errorf("%s names no command of berth", page)
		}
	}
}

// words splits a command line as a shell does, as far as the pages need it: at spaces
// outside of quotes.
func words(line string) (all []string) {
	var open rune
	for _, w := range strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case open == 0 && (r == '"' || r == '\''):
			open = r
		case r == open:
			open = 0
		}
		return r == ' ' && open == 0
	}) {
		all = append(all, strings.NewReplacer(`"`, "", "'", "").Replace(w))
	}
	return all
}
