package main

import (
	"runtime/debug"

	"example.com/berth/internal/app"
)

type versionCmd struct{}

// A build is what this tool was built from.
type build struct {
	Version  string `json:"version"` // of the module, or the commit; "unknown" if neither is known
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // there were changes that are in no commit
	Go       string `json:"go"`
	System   string `json:"system"`
}

// thisBuild reads what the Go command wrote into the binary. go run records no commit.
func thisBuild(info *debug.BuildInfo, version string) build {
	b := build{Version: version, Go: info.GoVersion}
	system := map[string]string{}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "GOOS", "GOARCH":
			system[s.Key] = s.Value
		}
	}
	b.System = system["GOOS"] + "/" + system["GOARCH"]
	return b
}

func (b build) String() string {
	text := "berth " + b.Version
	if b.Commit != "" && b.Commit != b.Version {
		text += " commit " + b.Commit
	}
	if b.Modified {
		text += " modified"
	}
	return text + " " + b.Go + " " + b.System
}

func buildOfTool() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return thisBuild(info, app.Version())
}

func versionText() string { return buildOfTool().String() }

func (versionCmd) Run(g *globals) error {
	if g.JSON {
		return printJSON(g.out, buildOfTool())
	}
	say(g.out, "%s", versionText())
	return nil
}
