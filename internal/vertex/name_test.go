package vertex

import "testing"

func TestName(t *testing.T) {
	t.Parallel()
	type parts struct {
		project, region, parent, id string
		resource, job               bool
	}
	for text, want := range map[string]parts{
		"projects/p/locations/us-central1":                           {"p", "us-central1", "projects/p/locations/us-central1", "", false, false},
		"projects/example.com:p/locations/l/persistentResources/gpu": {"example.com:p", "l", "projects/example.com:p/locations/l", "gpu", true, false},
		"projects/17/locations/l2/customJobs/1234567890123456789":    {"17", "l2", "projects/17/locations/l2", "1234567890123456789", false, true},
	} {
		n, ok := ParseName(text)
		if got := (parts{n.Project(), n.Region(), n.Parent(), n.ID(), n.IsResource(), n.IsJob()}); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, ok, want)
		}
		made := InRegion(want.project, want.region)
		switch {
		case want.resource:
			made = made.Resource(want.id)
		case want.job:
			made = n.Job(want.id)
		}
		if made != n || n.String() != text {
			t.Errorf("%s: made %q, written %q", text, made, n)
		}
	}
	for _, text := range []string{
		"", "pool", "projects", "projects/p", "projects/p/locations", "projects/p/locations/", "projects//locations/l", "projects/p/q/locations/l",
		"projects/p/locations/l/", "projects/p/locations/l/customJobs", "projects/p/locations/l/customJobs/", "projects/p/locations/l/customJobs/1/2",
		"projects/p/locations/l/models/1", "projects/p/locations/evil.example/customJobs/1", "projects/p/locations/L", "project/p/locations/l", "/projects/p/locations/l",
	} {
		if n, ok := ParseName(text); ok || n != (Name{}) {
			t.Errorf("%q is taken for %q", text, n)
		}
		if n := NameOf(text); n.Parent() != text || n.ID() != "" || n.String() != text {
			t.Errorf("the name of %q is %+v", text, n)
		}
	}
	if n := (Name{}); n.Project() != "" || n.Region() != "" || n.ID() != "" || n.String() != "" || n.IsJob() || n.IsResource() {
		t.Errorf("the zero name has parts: %+v", n)
	}
}
