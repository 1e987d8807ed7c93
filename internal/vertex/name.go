package vertex

import "strings"

// A Name is the full name of a persistent resource, of a job, or of the region that
// is their parent:
//
//	projects/P/locations/L
//	projects/P/locations/L/persistentResources/ID
//	projects/P/locations/L/customJobs/ID
//
// P is a project's id or its number: Vertex AI writes the number, users the id, so
// two names of one thing can differ in it. The zero Name names nothing, and all its
// parts are empty.
type Name struct{ parent, collection, id string }

const (
	resources = "persistentResources"
	jobs      = "customJobs"
)

// ParseName takes a full name apart. It reports false for any other text. The region
// has letters, digits and dashes alone, because it becomes a part of a host's name.
func ParseName(text string) (Name, bool) {
	project, ok := strings.CutPrefix(text, "projects/")
	project, region, cut := strings.Cut(project, "/locations/")
	region, rest, below := strings.Cut(region, "/")
	if !ok || !cut || project == "" || strings.Contains(project, "/") || region == "" || strings.ContainsFunc(region, notInRegion) {
		return Name{}, false
	}
	if !below {
		return Name{parent: text}, true
	}
	n := Name{parent: text[:len(text)-len("/")-len(rest)]}
	n.collection, n.id, cut = strings.Cut(rest, "/")
	if !cut || n.collection != resources && n.collection != jobs || n.id == "" || strings.Contains(n.id, "/") {
		return Name{}, false
	}
	return n, true
}

func notInRegion(c rune) bool {
	return c != '-' && !('a' <= c && c <= 'z') && !('0' <= c && c <= '9')
}

// NameOf is ParseName for a name that was checked when it came in. The parent of any
// other text is that text: a document is never named by an empty one.
func NameOf(text string) Name {
	if n, ok := ParseName(text); ok {
		return n
	}
	return Name{parent: text}
}

// InRegion names a region of a project.
func InRegion(project, region string) Name {
	return Name{parent: "projects/" + project + "/locations/" + region}
}

// Resource names a persistent resource in the region of the name.
func (n Name) Resource(id string) Name { return Name{n.parent, resources, id} }

// Job names a job in the region of the name.
func (n Name) Job(id string) Name { return Name{n.parent, jobs, id} }

// Parent is projects/P/locations/L, as [Client.Create] and [Client.Live] take it.
func (n Name) Parent() string { return n.parent }

// Project is the project's id or number, as the name has it.
func (n Name) Project() string {
	project, _, _ := strings.Cut(strings.TrimPrefix(n.parent, "projects/"), "/")
	return project
}

// Region is the region, for example "us-central1".
func (n Name) Region() string { return n.parent[strings.LastIndexByte(n.parent, '/')+1:] }

// ID is the last part of the name of a persistent resource or of a job, else empty.
func (n Name) ID() string { return n.id }

// IsResource reports whether a persistent resource is named.
func (n Name) IsResource() bool { return n.collection == resources }

// IsJob reports whether a job is named.
func (n Name) IsJob() bool { return n.collection == jobs }

// String is the full name.
func (n Name) String() string {
	if n.collection == "" {
		return n.parent
	}
	return n.parent + "/" + n.collection + "/" + n.id
}
