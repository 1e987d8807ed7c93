// Fakegcloud stands in for gcloud when the tests run the script. It keeps, in the
// folder $FAKE_GCLOUD, what has been created and granted, refuses to create a thing
// twice or to touch one that is not there, and writes down every command. Of the
// service's own rules it knows no others. A program of its own, since it is started
// about a thousand times.
//
// $FAKE_TROUBLE is the beginning of a command that fails twice, or always with
// $FAKE_TROUBLE_LASTS, with the text $FAKE_TROUBLE_TEXT on stderr; with
// $FAKE_TROUBLE_DONE it does its work nevertheless.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv("FAKE_GCLOUD"))) }

// A command is one call of gcloud.
type command struct {
	Words []string // group, verb, and what the verb applies to
	Flags map[string][]string
	Verb  string
	Thing string // group and name of what it is about
}

func parse(args []string) command {
	c := command{Flags: map[string][]string{}}
	for _, a := range args {
		if flag, ok := strings.CutPrefix(a, "--"); ok {
			name, value, _ := strings.Cut(flag, "=")
			c.Flags[name] = append(c.Flags[name], value)
			continue
		}
		c.Words = append(c.Words, a)
	}
	if v := c.verb(); v >= 0 {
		c.Verb, c.Thing = c.Words[v], strings.TrimSpace(strings.Join(c.Words[:v], " ")+" "+c.name())
	}
	return c
}

func (c command) String() string { return strings.Join(c.Words, " ") }

// is reports whether the command begins with these words.
func (c command) is(words string) bool {
	return c.String() == words || strings.HasPrefix(c.String(), words+" ")
}

// flag returns the value of a flag that is given once, "" if it is not.
func (c command) flag(name string) string {
	if v := c.Flags[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

func (c command) has(name string) bool { return len(c.Flags[name]) > 0 }

var verbs = []string{"describe", "list", "create", "update", "deploy", "enable", "delete", "add-iam-policy-binding", "remove-iam-policy-binding"}

func (c command) verb() int {
	return slices.IndexFunc(c.Words, func(w string) bool { return slices.Contains(verbs, w) })
}

// name is what the verb applies to.
func (c command) name() string {
	rest := c.Words[c.verb()+1:]
	if c.Words[0] == "scheduler" && len(rest) > 0 && rest[0] == "pubsub" {
		rest = rest[1:]
	}
	switch {
	case c.is("firestore databases"):
		return c.flag("database")
	case c.is("firestore backups schedules"):
		return fmt.Sprint(c.flag("database"), c.flag("recurrence"))
	case c.is("firestore indexes composite"):
		return fmt.Sprint(c.flag("database"), c.flag("collection-group"), c.Flags["field-config"])
	case len(rest) == 0:
		return ""
	case c.is("iam service-accounts create"):
		return rest[0] + "@" + c.flag("project") + ".iam.gserviceaccount.com"
	}
	return rest[0]
}

// A project is what has been made in it, one file a thing or binding.
type project struct{ dir string }

func (p project) file(thing string) string {
	return filepath.Join(p.dir, strings.NewReplacer("/", "~", " ", "_", "*", "+").Replace(thing))
}

func (p project) has(thing string) bool { _, err := os.Stat(p.file(thing)); return err == nil }

func (p project) put(things ...string) error {
	for _, thing := range things {
		if err := os.WriteFile(p.file(thing), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// remove removes things and, since they have the policies, bindings on them.
func (p project) remove(things ...string) error {
	var errs []error
	for _, thing := range things {
		bindings, err := filepath.Glob(p.file("binding "+thing+" ") + "*")
		errs = append(errs, err)
		for _, file := range append(bindings, p.file(thing)) {
			errs = append(errs, os.Remove(file))
		}
	}
	return errors.Join(errs...)
}

// binding is the file of a member's role on a thing, whatever its condition.
func binding(c command) string {
	return "binding " + c.Thing + " " + c.flag("role") + " " + c.flag("member")
}

func run(args []string, dir string) int {
	p, c := project{dir}, parse(args)
	err := log(c, dir)
	if err == nil {
		text, trouble, done := os.Getenv("FAKE_TROUBLE_TEXT"), os.Getenv("FAKE_TROUBLE"), os.Getenv("FAKE_TROUBLE_DONE") != ""
		// The first two tries fail, or all of them.
		fails := trouble != "" && c.is(trouble) && (!p.has("trouble 2") || os.Getenv("FAKE_TROUBLE_LASTS") != "")
		if fails {
			if p.has("trouble 1") {
				err = p.put("trouble 2")
			}
			err = errors.Join(err, p.put("trouble 1"))
		}
		if err == nil && (!fails || done) {
			err = p.do(c)
		}
		if err == nil && fails {
			err = errors.New(text)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR: (gcloud)", err)
		return 1
	}
	return 0
}

func log(c command, dir string) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

func (p project) do(c command) error {
	if !c.has("quiet") || c.flag("project") == "" {
		return fmt.Errorf("it would ask, or use another project: %s %v", c, c.Flags)
	}
	verb := c.verb()
	if verb < 0 {
		return fmt.Errorf("unknown command %s", c)
	}
	group, exists := strings.Join(c.Words[:verb], " "), p.has(c.Thing)
	missing := fmt.Errorf("NOT_FOUND: %s", c.Thing)
	foreign := group == "iam service-accounts" && strings.HasPrefix(c.name(), "job-") // not made by the script
	switch c.Words[verb] {
	case "describe":
		switch {
		case c.is("projects"):
			fmt.Println("123456789")
		case !exists:
			return missing
		case group == "run services":
			fmt.Println("https://" + c.name() + ".example.run.app")
		case group == "logging sinks":
			fmt.Println("serviceAccount:sink@example.iam.gserviceaccount.com")
		}
	case "list":
		found, err := filepath.Glob(p.file(c.Thing) + "*")
		for range found {
			fmt.Println("one")
		}
		return err
	case "create":
		if c.is("beta services identity") {
			break // it says which there is
		}
		if exists {
			return fmt.Errorf("ALREADY_EXISTS: %s already exists", c.Thing)
		}
		for _, flag := range []string{"topic", "dead-letter-topic"} {
			if name := c.flag(flag); name != "" && !p.has("pubsub topics "+name[strings.LastIndexByte(name, '/')+1:]) {
				return fmt.Errorf("NOT_FOUND: topic %s", name)
			}
		}
		return p.put(c.Thing)
	case "update":
		if !exists && group != "firestore indexes fields" && group != "firestore fields ttls" {
			return missing
		}
	case "deploy":
		for _, account := range []string{c.flag("service-account"), c.flag("build-service-account")} {
			if !p.has("iam service-accounts " + account[strings.LastIndexByte(account, '/')+1:]) {
				return fmt.Errorf("NOT_FOUND: %s", account)
			}
		}
		return p.put(c.Thing, "run services "+c.name())
	case "delete":
		switch {
		case !exists:
			return missing
		case group == "functions":
			return p.remove(c.Thing, "run services "+c.name())
		}
		return p.remove(c.Thing)
	case "add-iam-policy-binding":
		if !exists && !foreign && group != "projects" {
			return missing
		}
		return p.put(binding(c))
	case "remove-iam-policy-binding":
		if !exists && !foreign && group != "projects" {
			return missing
		}
		if !p.has(binding(c)) {
			return errors.New("Policy bindings with the specified principal and role not found!") //nolint:staticcheck // gcloud's text
		}
		return os.Remove(p.file(binding(c)))
	}
	return nil
}
