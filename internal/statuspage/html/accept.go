package html

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// prefersHTML reports whether a request's Accept header prefers text/html to
// application/json (RFC 9110, section 12.5.1). A tie, no header and */* mean a program,
// as does a header that allows neither.
func prefersHTML(h http.Header) bool {
	accept := strings.Join(h.Values("Accept"), ",")
	return quality(accept, "text", "html") > quality(accept, "application", "json")
}

// quality is how much a media type is wanted, 0 to 1: what the most specific range that
// includes it says. A range that cannot be read counts as not there.
func quality(accept, typ, subtype string) float64 {
	best, found := 0.0, -1
	for _, entry := range strings.Split(accept, ",") {
		name, parameters, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		specific := -1
		switch name {
		case typ + "/" + subtype:
			specific = 2
		case typ + "/*":
			specific = 1
		case "*/*":
			specific = 0
		}
		q := 1.0
		if text, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		if specific > found || specific == found && q > best {
			best, found = q, specific
		}
	}
	if found < 0 {
		return 0
	}
	return best
}
