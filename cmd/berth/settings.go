package main

import (
	"os"
	"strings"

	"example.com/berth/internal/app"
)

type checkSettingsCmd struct {
	Setting []string `arg:"" optional:"" placeholder:"BERTH_NAME=VALUE" help:"Settings, as the functions' environment has them; by default those of this process's environment."`
}

// Help is shown below the flags.
func (checkSettingsCmd) Help() string {
	return "Ends with 2 if the functions would refuse to start, and prints each setting that is wrong."
}

func (c *checkSettingsCmd) Run(g *globals) error {
	list, unknown := c.Setting, true
	if len(list) == 0 {
		// The environment also has variables of this tool, which are not settings.
		list, unknown = os.Environ(), false
	}
	settings := map[string]string{}
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			return usage("%q: want BERTH_NAME=VALUE", pair)
		case unknown && settings[name] != "":
			return usage("%s is given twice", name)
		}
		settings[name] = value
	}
	var err error
	if unknown {
		err = app.CheckSettings(g.ctx, settings)
	} else {
		_, err = app.LoadConfig(g.ctx, lookup(settings))
	}
	if err != nil {
		return usage("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if g.JSON {
		return printJSON(g.out, map[string]bool{"valid": true})
	}
	say(g.out, "The settings are valid.")
	return nil
}

type lookup map[string]string

func (l lookup) Lookup(name string) (string, bool) {
	value, ok := l[name]
	return value, ok
}
