// Package identitytest makes identity tokens for tests, and serves the keys that verify
// them.
package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A Google signs tokens with keys of its own, and serves these keys in place of Google.
// It is not for several goroutines.
type Google struct {
	rsa   *rsa.PrivateKey
	ec    *ecdsa.PrivateKey
	Down  bool // the keys cannot be read
	Reads int  // of the keys
}

// New makes keys.
func New(t testing.TB) *Google {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Google{rsa: r, ec: e}
}

var b64 = base64.RawURLEncoding.EncodeToString

// RoundTrip serves the public keys.
func (g *Google) RoundTrip(r *http.Request) (*http.Response, error) {
	g.Reads++
	if g.Down {
		return nil, errors.New("no route to host")
	}
	key := map[string]string{"kid": "k", "kty": "RSA", "alg": "RS256", "n": b64(g.rsa.N.Bytes()), "e": b64(big.NewInt(int64(g.rsa.E)).Bytes())}
	if strings.Contains(r.URL.Path, "iap") {
		point, err := g.ec.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			return nil, err
		}
		key = map[string]string{"kid": "k", "kty": "EC", "alg": "ES256", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	}
	body, err := json.Marshal(map[string]any{"keys": []any{key}})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Cache-Control": {"max-age=3600"}}, Body: io.NopCloser(strings.NewReader(string(body)))}, err
}

// Claims are the body of a token.
type Claims map[string]any

// With returns the claims with another value of one.
func (c Claims) With(name string, value any) Claims {
	c = maps.Clone(c)
	c[name] = value
	return c
}

// Sign makes a token by RS256 or ES256.
func (g *Google) Sign(t testing.TB, algorithm string, c Claims) string {
	t.Helper()
	head, _ := json.Marshal(map[string]string{"alg": algorithm, "typ": "JWT", "kid": "k"})
	body, _ := json.Marshal(c)
	text := b64(head) + "." + b64(body)
	sum := sha256.Sum256([]byte(text))
	if algorithm == "ES256" {
		r, s, err := ecdsa.Sign(rand.Reader, g.ec, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, g.rsa, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(signature)
}

// IDToken returns the claims of a valid ID token.
func IDToken(audience, email string) Claims {
	now := time.Now().Unix()
	return Claims{"iss": "https://accounts.google.com", "aud": audience, "email": email, "email_verified": true, "iat": now, "exp": now + 3600}
}

// Assertion returns the claims of a valid assertion of Identity-Aware Proxy.
func Assertion(audience, email string) Claims {
	c := IDToken(audience, email).With("iss", "https://cloud.google.com/iap")
	delete(c, "email_verified") // IAP does not send it
	return c
}

// Removed is a token as Cloud Run passes it on: without its signature.
func Removed(token string) string {
	return token[:strings.LastIndexByte(token, '.')] + ".SIGNATURE_REMOVED_BY_GOOGLE"
}

// Client reads the keys.
func (g *Google) Client() *http.Client { return &http.Client{Transport: g} }
