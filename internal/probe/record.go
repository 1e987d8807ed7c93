package probe

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Format is the version of [Record]'s JSON form.
const Format = 1

// A Record is what a probe found out, in a form that can be sent to others.
type Record struct {
	Format   int            `json:"format"`
	Made     time.Time      `json:"made"`
	Version  string         `json:"version"` // of Berth
	Region   string         `json:"region"`
	State    string         `json:"state"` // of the resource
	Pools    []string       `json:"pools"`
	Pool     string         `json:"pool"` // the one that was probed
	Stopped  string         `json:"stopped,omitempty"`
	Left     int            `json:"left"` // jobs whose end was not seen
	Findings []Finding      `json:"findings"`
	Settings []Setting      `json:"settings"`
	Switches map[string]any `json:"behaviour"` // of a fake Vertex AI that behaves so
	Seen     []*Observation `json:"observations"`
}

// NewRecord judges what Run has seen. stopped is its error, if any.
func NewRecord(p *Plan, seen []*Observation, left []string, stopped error, now time.Time, version string) *Record {
	r := &Record{Format: Format, Made: now.UTC(), Version: version, Region: p.Options.Parent[strings.LastIndex(p.Options.Parent, "/")+1:],
		State: p.Resource.GetState().String(), Pools: Pools(p.Resource), Left: len(left), Seen: seen}
	for i, pool := range p.Resource.GetResourcePools() {
		if pool.GetId() == p.Pool.GetId() {
			r.Pool = r.Pools[i]
		}
	}
	if stopped != nil {
		r.Stopped = p.clean(stopped.Error())
	}
	r.Findings, r.Settings, r.Switches = Judge(p, seen)
	return r
}

var (
	address  = regexp.MustCompile(`[\w.+-]+@[\w.-]+`)
	projects = regexp.MustCompile(`projects/[^/\s"']+`)
	numbers  = regexp.MustCompile(`\b[0-9]{6,}\b`)
)

// clean cuts names out of a text of the service.
func (p *Plan) clean(text string) string {
	text = address.ReplaceAllString(text, "ADDRESS")
	text = projects.ReplaceAllString(text, "projects/PROJECT")
	text = numbers.ReplaceAllString(text, "NUMBER")
	part := strings.Split(p.Options.Parent, "/")
	name := p.Resource.GetName()
	for secret, is := range map[string]string{p.Options.Image: "IMAGE", part[1]: "PROJECT", p.Resource.GetNetwork(): "NETWORK",
		p.Resource.GetEncryptionSpec().GetKmsKeyName(): "KEY", `"` + name[strings.LastIndex(name, "/")+1:] + `"`: `"RESOURCE"`,
		"persistentResources/" + name[strings.LastIndex(name, "/")+1:]: "persistentResources/RESOURCE"} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, is)
		}
	}
	const most = 500
	if text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?"); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " ..."
	}
	return text
}

// Announce says what a plan will do and cost, before it is done.
func (p *Plan) Announce() string {
	var b strings.Builder
	all, full := p.Longest()
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f("The probe creates %d jobs, one after the other, on one pool of %s:", len(p.Steps), p.Options.Parent+p.Resource.GetName()[strings.Index(p.Resource.GetName(), "/persistentResources/"):])
	for i, pool := range p.Resource.GetResourcePools() {
		if pool.GetId() == p.Pool.GetId() {
			f("  %s: %s", pool.GetId(), Pools(p.Resource)[i])
		}
	}
	for _, s := range p.Steps {
		f("  - %s", s.Asks)
	}
	f("")
	f("Each runs %s with the command sleep, and carries the label %s=%s. It cancels every job that does not end by itself,", p.Options.Image, LabelProbe, p.Options.ID)
	f("and each ends by its own time limit of %s if the probe cannot.", jobLimit)
	f("It takes some minutes, %s at most.", all.Round(time.Minute))
	if full > 0 {
		f("For a part of that, %s at most, it keeps every free replica of the pool busy (%d): other jobs wait or are refused.", full.Round(time.Minute), p.Free)
	}
	f("Cost: the machines of a persistent resource are paid for whether they work or not; jobs on it cost nothing beyond that. Should the")
	f("service run the job whose persistent resource does not exist on a machine of its own, that machine costs until the probe cancels it.")
	return b.String()
}

// Text is the record for people.
func (r *Record) Text() string {
	var b strings.Builder
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f("Compatibility record of %s, %s", r.Region, r.Made.Format(time.RFC3339))
	for _, x := range r.Findings {
		f("  %-17s %s", x.Question, x.Answer)
		if x.Detail != "" {
			f("  %-17s   %s", "", x.Detail)
		}
	}
	if len(r.Settings) > 0 {
		f("Settings that follow:")
		for _, s := range r.Settings {
			f("  %s=%s", s.Name, s.Value)
			f("      %s", s.Why)
		}
	}
	if r.Stopped != "" {
		f("The probe stopped early: %s", r.Stopped)
	}
	return b.String()
}
