package identity

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
)

// es256Signature is the size in bytes of a signature by ES256.
const es256Signature = 64

// wellFormed reports whether a token has three parts, names the algorithm, and has a
// signature of a size that the library can take.
func wellFormed(token, algorithm string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	var header struct {
		Algorithm string `json:"alg"`
	}
	if err != nil || json.Unmarshal(text, &header) != nil || header.Algorithm != algorithm {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	return err == nil && len(signature) > 0 && (algorithm != "ES256" || len(signature) == es256Signature)
}

// keysFailed is the key of a context's mark that the keys could not be read. The
// library's error does not tell that apart from an invalid token.
type keysFailed struct{}

// keys reads Google's keys.
type keys struct{ base http.RoundTripper }

func (k keys) RoundTrip(r *http.Request) (*http.Response, error) {
	base := k.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(r)
	if failed, ok := r.Context().Value(keysFailed{}).(*atomic.Bool); ok && (err != nil || resp.StatusCode != http.StatusOK) {
		failed.Store(true)
	}
	return resp, err
}
