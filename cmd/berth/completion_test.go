package main

import (
	"bytes"
	"strings"
	"testing"
)

// What may come next: verbs, verbs below verbs, flags that are not given yet, and the values
// of flags and arguments. Where nothing is known the shell completes files.
func TestComplete(t *testing.T) {
	for line, want := range map[string]struct{ some, none string }{
		"que":                       {"queue", "list"},
		"policy |":                  {"rollback", "queue"},
		"policy roll":               {"rollback", "apply"},
		"wait some-id --unt":        {"--until", "--every"},
		"wait --until st":           {"started", "ended"},
		"wait --until=e":            {"--until=ended", "--until=started"},
		"wait --until = e":          {"ended", "started"},
		"wait --until =":            {"submitted", "--until"},
		"completion |":              {"fish", "queue"},
		"list --json --js":          {"", "--json"},
		"submit ./":                 {"", "submit"},
		"list -w --eve":             {"--every", "--watch"},
		"|":                         {"submit", "complete"},
		"":                          {"submit", "complete"},
		"wait --every 3s --un":      {"--until", "--every"},
		"submit --label a=b --l":    {"--label", "--json"},
		"list --state W":            {"WAITING", "QUEUED"},
		"list --state FAILED,RE":    {"FAILED,REJECTED", "REJECTED"},
		"list --state=FAILED,":      {"--state=FAILED,EXPIRED", "--state=FAILED,FAILED"},
		"cancel-matching --state |": {"RUNNING", "FAILED"},
		"tail --type |":             {"submitted", "berth.request.submitted.v1"},
		"logs --severity W":         {"WARNING", "ERROR"},
		"open q":                    {"queue", "pools"},
	} {
		words := strings.Fields(line)
		for i := range words {
			words[i] = strings.TrimSuffix(words[i], "|") // an empty word
		}
		var out, errs bytes.Buffer
		if code := run(append([]string{"complete", "--"}, words...), nil, &out, &errs); code != 0 {
			t.Errorf("%q ends with %d: %s", line, code, &errs)
		}
		got := map[string]bool{}
		for row := range strings.Lines(out.String()) {
			word, _, _ := strings.Cut(strings.TrimSuffix(row, "\n"), "\t")
			got[word] = true
		}
		if want.some != "" && !got[want.some] || want.some == "" && len(got) > 0 || got[want.none] {
			t.Errorf("%q: %v, want %q and not %q", line, got, want.some, want.none)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"complete", "--", "open", "qu"}, nil, &out, &errs); code != 0 || out.String() != "queue\n" {
		t.Errorf("a word without a help text: %d, %q: zsh would list what follows its tab", code, &out)
	}
	for shell, want := range map[string]string{"bash": "complete -o default -F _berth berth", "zsh": "compdef _berth berth", "fish": "complete -c berth"} {
		var out, errs bytes.Buffer
		if code := run([]string{"completion", shell}, nil, &out, &errs); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d, %s%s", shell, code, &out, &errs)
		}
	}
}
