package app

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/policy"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// table returns the cells of a page's table whose head begins with these words, without
// the head.
func table(t *testing.T, page, head string) (rows [][]string) {
	t.Helper()
	_, after, found := strings.Cut(readPage(t, page), "\n| "+head)
	if !found {
		t.Fatalf("%s has no table with the head %q", page, head)
	}
	for i, line := range strings.Split(after, "\n")[2:] { // after the head and the rule
		if !strings.HasPrefix(line, "|") {
			if i == 0 {
				t.Fatalf("%s: the table %q is empty", page, head)
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

// sameRows compares what a page's table names with what the code has.
func sameRows(t *testing.T, what string, page, code map[string]string) {
	t.Helper()
	for name := range page {
		if _, known := code[name]; !known {
			t.Errorf("the page names the %s %s, which the code does not have", what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if of, named := page[name]; !named {
			t.Errorf("the page does not name the %s %s", what, name)
		} else if of != code[name] {
			t.Errorf("%s %s: the page says %q, the code %q", what, name, of, code[name])
		}
	}
}

// Each type of event with the state that it announces.
func TestEventsPageListsTheTypes(t *testing.T) {
	page, code := map[string]string{}, map[string]string{}
	for _, row := range table(t, "deploy/events.md", "type (`berth.` ... `.v1`) |") {
		page[strings.Trim(row[0], "`")] = row[2]
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
	sameRows(t, "event type", page, code)
}

// Each attribute of an event.
func TestEventsPageListsTheAttributes(t *testing.T) {
	page, code := map[string]string{}, map[string]string{}
	for _, row := range table(t, "deploy/events.md", "attribute |") {
		for _, name := range quoted.FindAllStringSubmatch(row[0], -1) {
			page[name[1]] = ""
		}
	}
	for _, o := range []message.Outcome{
		{Type: message.Queued, Trace: publisherSpan, RequestID: "a", State: "WAITING", PersistentResource: "projects/p-project/locations/us-central1/persistentResources/pool"},
		{Type: message.Refused, MessageID: "m", ClaimedRequestID: "a"},
	} {
		o.EventID, o.Tenant, o.Sequence, o.Time = "e", "t", 1, time.Unix(1e9, 0)
		_, attributes, err := o.PubSub(message.Source{Project: "p", Deployment: "d"})
		if err != nil {
			t.Fatal(err)
		}
		for name := range attributes {
			code[name] = ""
		}
	}
	sameRows(t, "attribute", page, code)
}

// Each option of the envelope with its attribute. Package message holds the schema
// against what it decodes.
func TestPublishingPageListsTheOptions(t *testing.T) {
	page, code := map[string]string{}, map[string]string{}
	for _, row := range table(t, "deploy/publishing.md", "envelope |") {
		fields, attributes := quoted.FindAllStringSubmatch(row[0], -1), quoted.FindAllStringSubmatch(row[1], -1)
		if strings.HasPrefix(row[0], "`cancel:") {
			for _, attribute := range attributes {
				page[attribute[1]] = ""
			}
			continue
		}
		page[fields[0][1]] = attributes[0][1]
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
	sameRows(t, "option", page, code)
}

// Each field of a tenant. Package policy holds the schema against what it reads.
func TestPoliciesPageListsTheFields(t *testing.T) {
	page, code := map[string]string{}, map[string]string{}
	refusals := map[string]bool{}
	for _, head := range []string{"share |", "bound |", "field | allows |"} {
		for _, row := range table(t, "deploy/policies.md", head) {
			for _, name := range quoted.FindAllStringSubmatch(row[0], -1) {
				field, _, _ := strings.Cut(name[1], ":")
				page[field] = ""
			}
			if len(row) > 2 {
				refusals[strings.Trim(row[2], "`")] = true
			}
		}
	}
	var schema struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(policy.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for field := range schema.Defs["tenant"].Properties {
		code[field] = ""
	}
	sameRows(t, "field of a policy", page, code)
	for _, row := range table(t, "deploy/events.md", "code |") {
		if code := row[0]; strings.HasPrefix(code, "POLICY_") && !refusals[code] && !strings.Contains(readPage(t, "deploy/policies.md"), "`"+code+"`") {
			t.Errorf("the page does not name the refusal %s", code)
		}
	}
}
