package probe

import (
	"cmp"
	"fmt"
	"regexp"
	"sort"
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
	id := p.Resource.GetName()[strings.LastIndex(p.Resource.GetName(), "/")+1:]
	network := p.Resource.GetNetwork()
	image, _, _ := strings.Cut(p.Options.Image, "@")
	names := []struct {
		name, is string
		word     bool // short, perhaps: a part of another word is not meant
	}{
		{p.Options.Image, "IMAGE", false}, {image, "IMAGE", false}, {image[:cmp.Or(max(strings.LastIndex(image, ":"), 0), len(image))], "IMAGE", false},
		{network, "NETWORK", false}, {network[strings.LastIndex(network, "/")+1:], "NETWORK", true},
		{p.Resource.GetEncryptionSpec().GetKmsKeyName(), "KEY", false}, {strings.Split(p.Options.Parent, "/")[1], "PROJECT", false},
		{p.Resource.GetDisplayName(), "RESOURCE", true}, {id, "RESOURCE", true},
	}
	sort.SliceStable(names, func(a, b int) bool { return len(names[a].name) > len(names[b].name) }) // what holds another comes first
	for _, n := range names {
		switch {
		case n.name == "":
		case n.word:
			whole := regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(n.name) + `($|[^\w-])`)
			for range 2 { // a character between two of them belongs to the first
				text = whole.ReplaceAllString(text, "${1}"+n.is+"${2}")
			}
		default:
			text = strings.ReplaceAll(text, n.name, n.is)
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
	f("and each ends by its own time limit of %s if the probe cannot.", p.jobLimit().Round(time.Minute))
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
