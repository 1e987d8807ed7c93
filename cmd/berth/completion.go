package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is shown below the flags.
func (completionCmd) Help() string {
	return `Prints a script that completes verbs, flags and their values. For one session:

    bash: source <(berth completion bash)
    zsh:  source <(berth completion zsh)
    fish: berth completion fish | source

For every session, add that line to ~/.bashrc or ~/.zshrc, or write the output to ~/.config/fish/completions/berth.fish.`
}

// completions are scripts that ask "berth complete" for what may come next. Where it says
// nothing, the shell completes files.
var completions = map[string]string{
	"bash": `_berth() {
  local IFS=$'\n'
  COMPREPLY=($(berth complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _berth berth
`,
	"zsh": `_berth() {
  local -a list
  list=(${(f)"$(berth complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if ((${#list})); then
    list=("${(@)list//$'\t'/:}")
    _describe 'berth' list
  else
    _files
  fi
}
compdef _berth berth
`,
	"fish": `function __berth_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l list (berth complete -- $words[2..-1] 2>/dev/null)
  if test (count $list) -gt 0
    string join -- \n $list
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c berth -f -a '(__berth_complete)'
`,
}

func (c *completionCmd) Run(g *globals) error {
	_, err := io.WriteString(g.out, completions[c.Shell])
	return err
}

type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words of the command line after the name of the tool, the last one perhaps begun."`
}

func (c *completeCmd) Run(g *globals, k *kong.Context) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, s := range suggest(k.Model.Node, words) {
		text := s.word
		if s.help != "" {
			text += "\t" + line(s.help)
		}
		if _, err := fmt.Fprintln(g.out, text); err != nil {
			return err
		}
	}
	return nil
}

type suggestion struct{ word, help string }

// suggest returns what may stand in the place of the last word. Bash gives --flag=value as
// three words.
func suggest(node *kong.Node, words []string) (list []suggestion) {
	last := ""
	if n := len(words); n > 0 {
		last, words = words[n-1], words[:n-1]
	}
	if last == "=" {
		last, words = "", append(slices.Clone(words), "=")
	}
	var open *kong.Flag // waits for its value
	given := map[string]bool{}
	arguments := 0
	for _, word := range words {
		name, _, hasValue := strings.Cut(word, "=")
		switch flag := flagOf(node, name); {
		case word == "=":
		case open != nil:
			open = nil
		case flag != nil:
			given[flag.Name] = true
			if !hasValue && !flag.IsBool() {
				open = flag
			}
		default:
			if child := childOf(node, word); child != nil {
				node, arguments = child, 0
			} else {
				arguments++
			}
		}
	}
	offer := func(word, help string) {
		if strings.HasPrefix(word, last) {
			list = append(list, suggestion{word, help})
		}
	}
	name, _, hasValue := strings.Cut(last, "=")
	switch flag := flagOf(node, name); {
	case open != nil:
		for _, value := range valuesOf(open.Value, last) {
			offer(value, "")
		}
	case flag != nil && hasValue:
		for _, value := range valuesOf(flag.Value, strings.TrimPrefix(last, name+"=")) {
			offer(name+"="+value, "")
		}
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				if !given[f.Name] || f.IsSlice() || f.IsMap() {
					offer("--"+f.Name, f.Help)
				}
			}
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				offer(child.Name, child.Help)
			}
		}
		if arguments < len(node.Positional) {
			for _, value := range valuesOf(node.Positional[arguments], last) {
				offer(value, "")
			}
		}
	}
	return list
}

// flagOf is the flag of a word, of the node or of one above it; nil if there is none.
func flagOf(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func childOf(node *kong.Node, word string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == word || slices.Contains(child.Aliases, word) {
			return child
		}
	}
	return nil
}

// known are the values that a flag or argument with the tag known names. Most are not all
// that it takes, or may be written in small letters, so that they are no enum of kong's.
var known = map[string]func() []string{
	"states":     ledger.Statuses,
	"active":     func() []string { return slices.DeleteFunc(ledger.Statuses(), notActive) },
	"events":     eventWords,
	"severities": func() []string { return severities },
	"pages":      func() []string { return statusPages },
}

func notActive(status string) bool {
	s := lifecycle.State(status)
	return !s.Known() || s.Terminal()
}

// eventWords are the short names of the types of events.
func eventWords() (words []string) {
	for _, t := range message.Types() {
		if w := word(t); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// valuesOf are the values of a flag or an argument that may stand in the place of a word. In
// a list they follow what stands before its last comma.
func valuesOf(v *kong.Value, last string) (values []string) {
	all, before := v.EnumSlice(), ""
	if list := known[v.Tag.Get("known")]; list != nil {
		all = list()
	}
	if v.IsSlice() {
		before = last[:strings.LastIndexByte(last, ',')+1]
	}
	given := strings.Split(before, ",")
	for _, value := range all {
		if value != "" && !slices.Contains(given, value) {
			values = append(values, before+value)
		}
	}
	return values
}
