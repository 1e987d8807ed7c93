package main

import (
	"runtime"

	"example.com/berth/internal/app"
)

type versionCmd struct{}

// versionText names the commit or release of this tool. go run records neither
// in the binary.
func versionText() string { return "berth " + app.Version() + " " + runtime.Version() }

func (versionCmd) Run(g *globals) error {
	if g.JSON {
		return printJSON(g.out, map[string]string{"version": app.Version(), "go": runtime.Version()})
	}
	say(g.out, "%s", versionText())
	return nil
}
