// Fakegcloud stands in for gcloud when the tests run the script. It keeps, in the
// folder $FAKE_GCLOUD, what has been created, refuses to create a thing twice or to
// touch one that is not there, and writes down every command. Of the service's
// own rules it knows no others. A program of its own, since it is started about
// a thousand times.
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

var verbs = []string{"describe", "create", "update", "deploy", "enable", "add-iam-policy-binding"}

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
	case c.is("firestore indexes composite"):
		return fmt.Sprint(c.flag("database"), c.flag("collection-group"), c.Flags["field-config"])
	case len(rest) == 0:
		return ""
	case c.is("iam service-accounts create"):
		return rest[0] + "@" + c.flag("project") + ".iam.gserviceaccount.com"
	}
	return rest[0]
}

func run(args []string, dir string) int {
	refuse := func(format string, a ...any) int {
		fmt.Fprintf(os.Stderr, "ERROR: (gcloud) "+format+"\n", a...)
		return 1
	}
	c := parse(args)
	line, err := json.Marshal(c)
	if err != nil {
		return refuse("%v", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return refuse("%v", err)
	}
	_, err = log.Write(append(line, '\n'))
	if err := errors.Join(err, log.Close()); err != nil {
		return refuse("%v", err)
	}
	file := func(thing string) string {
		return filepath.Join(dir, strings.NewReplacer("/", "~", " ", "_", "*", "+").Replace(thing))
	}
	there := func(thing string) bool { _, err := os.Stat(file(thing)); return err == nil }
	put := func(things ...string) int {
		for _, thing := range things {
			if err := os.WriteFile(file(thing), nil, 0o644); err != nil {
				return refuse("%v", err)
			}
		}
		return 0
	}
	if trouble := os.Getenv("FAKE_TROUBLE"); trouble != "" && c.is(trouble) {
		// The first two tries fail, or all of them.
		text := os.Getenv("FAKE_TROUBLE_TEXT")
		if !there("trouble 2") || os.Getenv("FAKE_TROUBLE_LASTS") != "" {
			if there("trouble 1") {
				put("trouble 2")
			}
			put("trouble 1")
			return refuse("%s", text)
		}
	}
	if !c.has("quiet") || c.flag("project") == "" {
		return refuse("it would ask, or use another project: %v", args)
	}
	verb := c.verb()
	if verb < 0 {
		return refuse("unknown command %v", args)
	}
	group, exists := strings.Join(c.Words[:verb], " "), there(c.Thing)
	switch c.Words[verb] {
	case "describe":
		switch {
		case c.is("projects"):
			fmt.Println("123456789")
		case !exists:
			return refuse("NOT_FOUND: %s", c.Thing)
		case group == "run services":
			fmt.Println("https://" + c.name() + ".example.run.app")
		case group == "logging sinks":
			fmt.Println("serviceAccount:sink@example.iam.gserviceaccount.com")
		}
	case "create":
		if c.is("beta services identity") {
			break // it says which there is
		}
		if exists {
			return refuse("ALREADY_EXISTS: %s already exists", c.Thing)
		}
		for _, flag := range []string{"topic", "dead-letter-topic"} {
			if name := c.flag(flag); name != "" && !there("pubsub topics "+name[strings.LastIndexByte(name, '/')+1:]) {
				return refuse("NOT_FOUND: topic %s", name)
			}
		}
		return put(c.Thing)
	case "update":
		if !exists && group != "firestore indexes fields" && group != "firestore fields ttls" {
			return refuse("NOT_FOUND: %s", c.Thing)
		}
	case "deploy":
		for _, account := range []string{c.flag("service-account"), c.flag("build-service-account")} {
			if !there("iam service-accounts " + account[strings.LastIndexByte(account, '/')+1:]) {
				return refuse("NOT_FOUND: %s", account)
			}
		}
		return put(c.Thing, "run services "+c.name())
	case "add-iam-policy-binding":
		foreign := strings.HasPrefix(c.name(), "job-") // a job's account is not made by the script
		if !exists && !foreign && group != "projects" {
			return refuse("NOT_FOUND: %s", c.Thing)
		}
	}
	return 0
}
