package app

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	codeWord = regexp.MustCompile(`[A-Z][A-Z_]+`)
)

// readmeTable returns the cells of README's table whose head begins with these
// words, without the head.
func readmeTable(t *testing.T, head string) (rows [][]string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "\n| "+head)
	if !found {
		t.Fatalf("README has no table with the head %q", head)
	}
	for i, line := range strings.Split(after, "\n")[2:] { // after the head and the rule
		if !strings.HasPrefix(line, "|") {
			if i == 0 {
				t.Fatalf("README's table %q is empty", head)
			}
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// sameRows compares what README's table names with what the code has.
func sameRows(t *testing.T, what string, readme, code map[string]string) {
	t.Helper()
	for name := range readme {
		if _, known := code[name]; !known {
			t.Errorf("README names the %s %s, which the code does not have", what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if of, named := readme[name]; !named {
			t.Errorf("README does not name the %s %s", what, name)
		} else if of != code[name] {
			t.Errorf("%s %s: README says %q, the code %q", what, name, of, code[name])
		}
	}
}

// Each variable with its default.
func TestReadmeListsTheSettings(t *testing.T) {
	readme, code := map[string]string{}, map[string]string{}
	for _, row := range readmeTable(t, "variable |") {
		names, defaults := quoted.FindAllStringSubmatch(row[0], -1), strings.Split(row[1], ", ")
		for i, name := range names {
			of := strings.Trim(defaults[min(i, len(defaults)-1)], "`") // one default may be that of all
			if of == "off" || of == "none" {
				of = ""
			}
			readme[name[1]] = of
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		variable, option, _ := strings.Cut(f.Tag.Get("env"), ", ")
		code[variable] = strings.TrimPrefix(option, "default=")
	}
	sameRows(t, "variable", readme, code)
}

func TestReadmeListsTheCodes(t *testing.T) {
	readme, code := map[string]string{}, map[string]string{}
	for _, row := range readmeTable(t, "code |") {
		for _, word := range codeWord.FindAllString(row[0], -1) {
			readme[word] = ""
		}
	}
	source, err := os.ReadFile("../reason/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`Code = "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		code[found[1]] = ""
	}
	if len(code) < 30 {
		t.Fatalf("only %d codes were found in the source", len(code))
	}
	sameRows(t, "code", readme, code)
}

// Each type of event with the state that it announces.
func TestReadmeListsTheEvents(t *testing.T) {
	readme, code := map[string]string{}, map[string]string{}
	for _, row := range readmeTable(t, "type (`berth.` ... `.v1`) |") {
		readme[strings.Trim(row[0], "`")] = row[2]
	}
	short := func(typ message.Type) string {
		return strings.TrimSuffix(strings.TrimPrefix(string(typ), "berth."), ".v1")
	}
	for _, typ := range message.Types() {
		code[short(typ)] = ""
	}
	for _, row := range lifecycle.Table {
		if row.Outcome != "" {
			code["request."+row.Outcome] = string(row.To)
		}
	}
	code[short(message.Refused)] = message.StateRefused
	code[short(message.Duplicate)] = "the state it ended in"
	sameRows(t, "event type", readme, code)
}

// Each option of the envelope with its attribute. Package message holds the schema
// against what it decodes.
func TestReadmeListsTheOptions(t *testing.T) {
	readme, code := map[string]string{}, map[string]string{}
	for _, row := range readmeTable(t, "envelope |") {
		fields, attributes := quoted.FindAllStringSubmatch(row[0], -1), quoted.FindAllStringSubmatch(row[1], -1)
		if strings.HasPrefix(row[0], "`cancel:") {
			for _, attribute := range attributes {
				readme[attribute[1]] = ""
			}
			continue
		}
		readme[fields[0][1]] = attributes[0][1]
	}
	var schema struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(message.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	attribute := func(option string) string {
		upper := regexp.MustCompile(`[A-Z]`)
		return "berth-" + upper.ReplaceAllStringFunc(option, func(letter string) string { return "-" + strings.ToLower(letter) })
	}
	for option := range schema.Defs["request"].Properties {
		if option != "job" && option != "cancel" && !strings.Contains(option, "_") { // the other spelling
			code[option] = attribute(option)
		}
	}
	code["berth-cancel=true"] = ""
	for option := range schema.Defs["cancel"].Properties {
		if !strings.Contains(option, "_") {
			code[attribute(option)] = ""
		}
	}
	sameRows(t, "option", readme, code)
}
