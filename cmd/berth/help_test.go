package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// What a flag is without a value is in its help, and each verb is in a group of the list of
// verbs.
func TestHelpOfFlags(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		if leaf.ClosestGroup() == nil {
			t.Errorf("%s is in no group", leaf.Path())
		}
		for _, f := range leaf.Flags {
			says := f.Help + " " + f.FormatPlaceHolder()
			if f.HasDefault && f.Default != "" && f.Default != "-1" && !strings.Contains(says, f.Default) {
				t.Errorf("%s --%s does not say that it is %s by default: %s", leaf.Path(), f.Name, f.Default, says)
			}
			if strings.Count(f.FormatPlaceHolder(), ",...") > 1 {
				t.Errorf("%s --%s=%s", leaf.Path(), f.Name, f.FormatPlaceHolder())
			}
			if f.Help == "" || !strings.HasSuffix(f.Help, ".") {
				t.Errorf("%s --%s: the help is no sentence: %q", leaf.Path(), f.Name, f.Help)
			}
		}
	}
}

// The page of the command line has each exit code.
func TestExitCodesAreOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../deploy/commandline.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| exit code | means |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var got []string
	for row := range strings.Lines(table) {
		got = append(got, strings.TrimSpace(strings.Split(row, "|")[1]))
	}
	var want []string
	for _, code := range []int{0, exitError, exitUsage, exitRefused, exitWaits, exitEndedBadly, exitProblems, exitInterrupted} {
		want = append(want, strconv.Itoa(code))
		if code > 0 && !strings.Contains(description, want[len(want)-1]+" ") {
			t.Errorf("berth --help does not say what %d means", code)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has %v, want %v", got, want)
	}
}
