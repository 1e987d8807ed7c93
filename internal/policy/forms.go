package policy

import (
	"regexp"
	"strings"
	"sync"

	"github.com/distribution/reference"

	"example.com/berth/internal/strict"
)

// pattern is an expression that is compiled when it is first used: most deployments that start
// have no policy, and these take a millisecond together.
type pattern func() *regexp.Regexp

func lazily(expr string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// MatchString reports whether a text is of the form.
func (p pattern) MatchString(s string) bool { return p().MatchString(s) }

var (
	resourceID   = lazily(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	resourceName = lazily(`^projects/[a-z0-9][a-z0-9.:-]{0,127}/locations/[a-z0-9][a-z0-9-]{0,62}/persistentResources/([a-z]([a-z0-9-]{0,61}[a-z0-9])?)$`)
	account      = lazily(`^[a-z0-9][a-z0-9._-]{0,127}@[a-z0-9.-]{1,253}\.[a-z]{2,}$`)
	network      = lazily(`^projects/[^/]+/(global/networks|regions/[^/]+/networkAttachments)/[^/]+$`)
	bucket       = lazily(`^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?$`)
	variable     = lazily(`^[A-Za-z_][A-Za-z0-9_]*\*?$`)
)

func resourceForm(s string) (normal, detail, fix string) {
	if !resourceID.MatchString(s) && !resourceName.MatchString(s) {
		return s, "Want the id of a persistent resource, or projects/P/locations/L/persistentResources/ID.", "Write it so."
	}
	return s, "", ""
}

// sameResource reports whether what a policy writes, an id or a full name, is a persistent
// resource of this full name.
func sameResource(written, name string) bool {
	return written == name || !strings.Contains(written, "/") && strings.HasSuffix(name, "/persistentResources/"+written)
}

func accountForm(s string) (normal, detail, fix string) {
	if s != ServiceAgent && !account.MatchString(s) {
		return s, "Want the address of a service account, NAME@PROJECT.iam.gserviceaccount.com, or service-agent for jobs that name none.", "Write it as the job's serviceAccount has it."
	}
	return s, "", ""
}

func networkForm(s string) (normal, detail, fix string) {
	if !network.MatchString(s) {
		return s, "Want the full name of a network, projects/NUMBER/global/networks/NAME, or of a network attachment, projects/P/regions/R/networkAttachments/NAME.", "Write it in full."
	}
	return s, "", ""
}

// bucketForm makes a place in Cloud Storage end with a slash, so that it is no beginning of
// another name.
func bucketForm(s string) (normal, detail, fix string) {
	if !bucket.MatchString(s) || steps(s) {
		return s, "Want a place in Cloud Storage, gs://BUCKET or gs://BUCKET/FOLDER, without . or .. in it.", "Write it so; everything below it is allowed."
	}
	return strings.TrimRight(s, "/") + "/", "", ""
}

// steps reports whether a path has a part that a file system follows elsewhere. A job
// reaches buckets as files below /gcs/.
func steps(s string) bool {
	for _, part := range strings.Split(s, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// below reports whether a place in Cloud Storage is within another, which ends with a slash.
func below(place, within string) bool {
	return !steps(place) && strings.HasPrefix(strings.TrimRight(place, "/")+"/", within)
}

func envForm(s string) (normal, detail, fix string) {
	if !variable.MatchString(s) {
		return s, "Want the name of a variable, or the beginning of one and a *.", "Write it so."
	}
	return s, "", ""
}

func sameVariable(written, name string) bool {
	if start, open := strings.CutSuffix(written, "*"); open {
		return strings.HasPrefix(name, start)
	}
	return written == name
}

// repositoryForm normalizes a repository of images, or a registry.
func repositoryForm(s string) (normal, detail, fix string) {
	const rule = "Want a repository of images with its registry, such as us-docker.pkg.dev/PROJECT/REPOSITORY or docker.io/library."
	s = strings.TrimRight(s, "/")
	host, path, nested := strings.Cut(s, "/")
	switch {
	case strings.Contains(s, "*"):
		return s, rule, "Leave out the *: everything below a repository is allowed."
	case strings.Contains(s, "://"):
		return s, rule, strict.Exactly("Write %q.", s[strings.Index(s, "://")+3:], "Leave out what stands before the registry.")
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return s, rule + " This one names no registry.", strict.Exactly("Write %q.", "docker.io/"+map[bool]string{true: "", false: "library/"}[nested]+s, "Put the registry before it.")
	}
	name, err := reference.ParseNormalizedNamed(strings.ToLower(host) + "/" + path + map[bool]string{true: "", false: "x"}[nested])
	switch {
	case err != nil:
		return s, rule, "Write it so, in small letters."
	case !reference.IsNameOnly(name):
		return s, rule + " This one has a tag or a digest.", "Leave out the tag and the digest."
	case !nested:
		return reference.Domain(name) + "/", "", ""
	}
	return imageName(name) + "/", "", ""
}

// imageName is the full name of an image's repository. Hosts are the same in capitals.
func imageName(n reference.Named) string {
	return strings.ToLower(reference.Domain(n)) + "/" + reference.Path(n)
}

// An image is what an image URI names.
type image struct {
	repository string // with its registry, docker.io for none
	digest     bool   // it says which image exactly; a tag beside it is ignored by registries
}

// parseImage reads an image URI by the grammar of the registries. A text that does not
// follow it names nothing that can be compared.
func parseImage(uri string) (image, bool) {
	name, err := reference.ParseNormalizedNamed(uri)
	if err != nil {
		return image{}, false
	}
	_, digest := name.(reference.Digested)
	return image{imageName(name), digest}, true
}

func (i image) within(repository string) bool { return strings.HasPrefix(i.repository+"/", repository) }
