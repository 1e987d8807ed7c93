package fakevertex

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
)

var (
	projectWord  = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*$`)
	locationWord = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`)
	numberWord   = regexp.MustCompile(`^[0-9]+$`)
	resourceWord = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// projectNumber is the number of a project given by id or number. An id that was
// not announced in Options gets a number that depends on the id alone.
func (s *Server) projectNumber(project string) string {
	if numberWord.MatchString(project) {
		return project
	}
	if n, ok := s.projects[project]; ok {
		return n
	}
	h := fnv.New64a()
	h.Write([]byte(project))
	return fmt.Sprint(100_000_000_000 + h.Sum64()%900_000_000_000)
}

// splitName takes projects/P/locations/L apart from what follows it. The parent
// it returns has the project's number.
func (s *Server) splitName(name string) (parent, rest string, err error) {
	w := strings.SplitN(name, "/", 5)
	if len(w) < 4 || w[0] != "projects" || w[2] != "locations" ||
		!projectWord.MatchString(w[1]) || !locationWord.MatchString(w[3]) {
		return "", "", fmt.Errorf("%q does not begin with projects/{project}/locations/{location}", name)
	}
	if len(w) == 5 {
		rest = w[4]
	}
	return "projects/" + s.projectNumber(w[1]) + "/locations/" + w[3], rest, nil
}

// CheckProject says what is wrong with the id or number of a project, if anything.
func CheckProject(project string) error {
	if !projectWord.MatchString(project) {
		return fmt.Errorf("%q is not the id or number of a project: lowercase letters, digits and hyphens", project)
	}
	return nil
}

// CheckRegion says what is wrong with the name of a region, if anything.
func CheckRegion(region string) error {
	if !locationWord.MatchString(region) {
		return fmt.Errorf("%q is not the name of a region, such as us-central1", region)
	}
	return nil
}

// location reads the parent of a request.
func (s *Server) location(parent string) (string, error) {
	p, rest, err := s.splitName(parent)
	if err != nil || rest != "" {
		return "", fieldError("parent", "Invalid Location resource name.")
	}
	return p, nil
}

// jobName reads the name of a custom job into the form the store uses.
func (s *Server) jobName(name string) (string, error) {
	p, rest, err := s.splitName(name)
	id, ok := strings.CutPrefix(rest, "customJobs/")
	if err != nil || !ok || !numberWord.MatchString(id) {
		return "", fieldError("name", "Invalid CustomJob resource name.")
	}
	return p + "/customJobs/" + id, nil
}

// resourceName reads the name of a persistent resource into the form the store
// uses.
func (s *Server) resourceName(name string) (string, error) {
	p, rest, err := s.splitName(name)
	id, ok := strings.CutPrefix(rest, "persistentResources/")
	if err != nil || !ok || !resourceWord.MatchString(id) {
		return "", fieldError("name", "Invalid PersistentResource resource name.")
	}
	return p + "/persistentResources/" + id, nil
}

// lastWord is the id at the end of a name.
func lastWord(name string) string { return name[strings.LastIndex(name, "/")+1:] }
