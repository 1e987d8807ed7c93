package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/identity/identitytest"
)

const (
	service = "https://status.example"
	iap     = "/projects/1/locations/us-central1/services/status"
)

func ann() identitytest.Claims { return identitytest.IDToken(service, "Ann@Example.com") }

func throughIAP() identitytest.Claims { return identitytest.Assertion(iap, "Ann@Example.com") }

var b64 = base64.RawURLEncoding.EncodeToString

func bearer(token string) string { return "Bearer " + token }

// TestCaller: which proofs name which caller, under each setting.
func TestCaller(t *testing.T) {
	g, forger := identitytest.New(t), identitytest.New(t)
	client := g.Client()
	signed := Settings{Audiences: []string{"https://other", service}}
	both := Settings{Audiences: []string{service}, IAP: []string{iap}}
	guarded := Settings{RunIAM: true}
	guardedFor := Settings{RunIAM: true, Audiences: []string{service}}
	token := func(c identitytest.Claims) string { return bearer(g.Sign(t, "RS256", c)) }
	cut := func(c identitytest.Claims) string { return bearer(identitytest.Removed(g.Sign(t, "RS256", c))) }
	bob := ann().With("email", "bob@example.com")
	old := time.Now().Unix() - 7200
	for name, c := range map[string]struct {
		settings Settings
		header   http.Header
		want     string // "" for none
		missing  bool
	}{
		"signed":                    {signed, http.Header{headerToken: {token(ann())}}, "ann@example.com", false},
		"lower-case scheme":         {signed, http.Header{headerToken: {"b" + token(ann())[1:]}}, "ann@example.com", false},
		"the other header":          {signed, http.Header{headerServerless: {token(ann())}}, "ann@example.com", false},
		"without a token":           {signed, http.Header{}, "", true},
		"without one, guarded":      {guarded, http.Header{}, "", true},
		"old issuer":                {signed, http.Header{headerToken: {token(ann().With("iss", "accounts.google.com"))}}, "ann@example.com", false},
		"verified as text":          {signed, http.Header{headerToken: {token(ann().With("email_verified", "true"))}}, "ann@example.com", false},
		"other keys":                {signed, http.Header{headerToken: {bearer(forger.Sign(t, "RS256", ann()))}}, "", false},
		"other audience":            {signed, http.Header{headerToken: {token(ann().With("aud", "https://elsewhere"))}}, "", false},
		"no audience":               {signed, http.Header{headerToken: {token(ann().With("aud", ""))}}, "", false},
		"no audience accepted":      {Settings{}, http.Header{headerToken: {token(ann().With("aud", ""))}}, "", false},
		"expired":                   {signed, http.Header{headerToken: {token(ann().With("exp", old))}}, "", false},
		"from the future":           {signed, http.Header{headerToken: {token(ann().With("iat", time.Now().Unix()+600))}}, "", false},
		"other issuer":              {signed, http.Header{headerToken: {token(ann().With("iss", "https://evil.example"))}}, "", false},
		"IAP's issuer":              {signed, http.Header{headerToken: {token(ann().With("iss", issuerIAP))}}, "", false},
		"not verified":              {signed, http.Header{headerToken: {token(ann().With("email_verified", false))}}, "", false},
		"not said to be verified":   {signed, http.Header{headerToken: {token(ann().With("email_verified", nil))}}, "", false},
		"without an address":        {signed, http.Header{headerToken: {token(ann().With("email", nil))}}, "", false},
		"address of another type":   {signed, http.Header{headerToken: {token(ann().With("email", []string{"ann@example.com"}))}}, "", false},
		"no algorithm":              {signed, http.Header{headerToken: {bearer(b64([]byte(`{"alg":"none","kid":"k"}`)) + "." + strings.Split(token(ann()), ".")[1] + ".")}}, "", false},
		"twice":                     {signed, http.Header{headerToken: {token(ann()), token(ann())}}, "", false},
		"basic":                     {signed, http.Header{headerToken: {"Basic YTpi"}}, "", false},
		"no text":                   {signed, http.Header{headerToken: {""}}, "", false},
		"null":                      {signed, http.Header{headerToken: {bearer("bnVsbA.bnVsbA.bnVsbA")}}, "", false},
		"too long":                  {signed, http.Header{headerToken: {bearer(strings.Repeat("a", maxToken))}}, "", false},
		"short EC signature":        {both, http.Header{headerIAP: {b64([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + strings.Split(g.Sign(t, "ES256", throughIAP()), ".")[1] + ".AAAA"}}, "", false},
		"EC in a bearer token":      {both, http.Header{headerToken: {bearer(g.Sign(t, "ES256", ann()))}}, "", false},
		"assertion":                 {both, http.Header{headerIAP: {g.Sign(t, "ES256", throughIAP())}}, "ann@example.com", false},
		"assertion before token":    {both, http.Header{headerIAP: {g.Sign(t, "ES256", throughIAP())}, headerToken: {token(bob)}}, "ann@example.com", false},
		"bad assertion, good token": {both, http.Header{headerIAP: {g.Sign(t, "ES256", throughIAP()) + "A"}, headerToken: {token(bob)}}, "", false},
		"assertion by RSA":          {both, http.Header{headerIAP: {g.Sign(t, "RS256", throughIAP())}}, "", false},
		"assertion of Google":       {both, http.Header{headerIAP: {g.Sign(t, "ES256", throughIAP().With("iss", "https://accounts.google.com"))}}, "", false},
		"assertion for another":     {both, http.Header{headerIAP: {g.Sign(t, "ES256", throughIAP().With("aud", service))}}, "", false},
		"assertion without IAP":     {signed, http.Header{headerIAP: {g.Sign(t, "ES256", throughIAP())}}, "", true},
		"unsigned IAP header":       {both, http.Header{"X-Goog-Authenticated-User-Email": {"accounts.google.com:ann@example.com"}}, "", true},

		"without signature":                    {signed, http.Header{headerToken: {cut(ann())}}, "", false},
		"without signature, guarded":           {guarded, http.Header{headerToken: {cut(ann())}}, "ann@example.com", false},
		"its audience is IAM's":                {guarded, http.Header{headerToken: {cut(ann().With("aud", "https://x"))}}, "ann@example.com", false},
		"its audience is configured":           {guardedFor, http.Header{headerToken: {cut(ann().With("aud", "https://x"))}}, "", false},
		"for this audience":                    {guardedFor, http.Header{headerToken: {cut(ann())}}, "ann@example.com", false},
		"expired without signature":            {guarded, http.Header{headerToken: {cut(ann().With("exp", old))}}, "", false},
		"other issuer without signature":       {guarded, http.Header{headerToken: {cut(ann().With("iss", issuerIAP))}}, "", false},
		"not verified without signature":       {guarded, http.Header{headerToken: {cut(ann().With("email_verified", false))}}, "", false},
		"in the header that IAM checks":        {guarded, http.Header{headerServerless: {cut(ann())}, headerToken: {cut(bob)}}, "ann@example.com", false},
		"signed in the one that it passes on":  {guardedFor, http.Header{headerServerless: {cut(ann())}, headerToken: {token(bob)}}, "ann@example.com", false},
		"empty header that IAM checks":         {guarded, http.Header{headerServerless: {""}, headerToken: {cut(bob)}}, "", false},
		"signed by anybody, guarded":           {guardedFor, http.Header{headerToken: {bearer(forger.Sign(t, "RS256", ann()))}}, "", false},
		"signed, guarded":                      {guardedFor, http.Header{headerToken: {token(ann())}}, "ann@example.com", false},
		"signed, guarded, without audiences":   {guarded, http.Header{headerToken: {token(ann())}}, "", false},
		"both headers of berth, not guarded":   {signed, http.Header{headerServerless: {cut(ann())}, headerToken: {token(ann())}}, "ann@example.com", false},
		"word in the middle":                   {guarded, http.Header{headerToken: {bearer(removed + ".e30." + removed)}}, "", false},
		"assertion without signature, guarded": {Settings{RunIAM: true, IAP: []string{iap}}, http.Header{headerIAP: {identitytest.Removed(g.Sign(t, "ES256", throughIAP()))}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := New(c.settings, client).Caller(&http.Request{Header: c.header})
			e := (*Error)(nil)
			if got != c.want || (err == nil) != (c.want != "") || err != nil && (!errors.As(err, &e) || e.Missing != c.missing || e.Transient || e.Detail == "" || e.Fix == "") {
				t.Errorf("caller %q, %+v; want %q, missing %v", got, err, c.want, c.missing)
			}
			if err != nil && strings.Contains(fmt.Sprint(err), "example.com") {
				t.Errorf("the error quotes the request: %v", err)
			}
		})
	}
}

// TestKeys: the keys are read once, and that they cannot be read is not the caller's
// fault.
func TestKeys(t *testing.T) {
	g := identitytest.New(t)
	v := New(Settings{Audiences: []string{service}}, g.Client())
	r := &http.Request{Header: http.Header{headerToken: {bearer(g.Sign(t, "RS256", ann()))}}}
	g.Down = true
	e := (*Error)(nil)
	if _, err := v.Caller(r); !errors.As(err, &e) || !e.Transient {
		t.Fatalf("without keys: %v", err)
	}
	g.Down, g.Reads = false, 0
	for range 3 {
		if got, err := v.Caller(r); err != nil || got != "ann@example.com" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	// A token that is wrong before its signature costs no read.
	r.Header.Set(headerToken, bearer(g.Sign(t, "RS256", ann().With("aud", "x"))))
	if _, err := v.Caller(r); err == nil || g.Reads != 1 {
		t.Errorf("%v after %d reads of the keys, want 1", err, g.Reads)
	}
}

func TestLower(t *testing.T) {
	if got := Lower("Ann.\u212Aelvin@X.com"); got != "ann.\u212Aelvin@x.com" {
		t.Errorf("%q: the Kelvin sign became a letter", got)
	}
}
