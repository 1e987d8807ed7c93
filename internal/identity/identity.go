// Package identity finds out who calls an entry point: the verified e-mail address of
// the caller of an HTTP request. What a caller may do is decided elsewhere.
//
// # Proofs
//
// A caller proves its identity by one of these:
//
//   - The header X-Goog-IAP-JWT-Assertion, which Identity-Aware Proxy signs (ES256,
//     issuer https://cloud.google.com/iap). It is the only proof that counts where
//     audiences of IAP are configured and the header is present, because behind IAP the
//     ID token is IAP's own.
//   - An ID token of Google (RS256, issuer https://accounts.google.com) in the header
//     Authorization or X-Serverless-Authorization.
//
// Google's library verifies the signature, the audience and the expiry. This package
// compares the issuer too, because the library accepts either key set for either header.
// An ID token has no groups, so only addresses can be told apart.
//
// # Cloud Run
//
// Where IAM guards a service, Cloud Run checks one token before the service sees the
// request: that of X-Serverless-Authorization if the header is there, else that of
// Authorization. It passes this token on with SIGNATURE_REMOVED_BY_GOOGLE in place of the
// signature, and the other header unchanged. So a token without a signature proves
// something only in the header that Cloud Run checks, and only if IAM guards the service,
// which the service cannot see: [Settings].RunIAM says so. A caller with a token of its
// own could otherwise send another's, without a signature, in the header that is passed
// on unchanged.
package identity

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/api/idtoken"
	"google.golang.org/api/option"
)

// Settings say which proofs count.
type Settings struct {
	// Audiences of ID tokens, such as the URL of the service. A signed token for another
	// audience proves nothing, because its receiver could send it on.
	Audiences []string
	// IAP are the audiences of IAP's assertions: /projects/N/locations/L/services/S of a
	// Cloud Run service, or /projects/N/global/backendServices/ID.
	IAP []string
	// RunIAM says that Cloud Run checks every caller by IAM. Then a token whose signature
	// it has removed counts; so does its audience, if none are configured.
	RunIAM bool
}

// An Error says why a request proves no identity. It never quotes the request.
type Error struct {
	// Missing is set if the request carries no proof at all, and Transient if the keys
	// could not be read, so that another attempt may succeed.
	Missing, Transient bool
	Detail, Fix        string
}

func (e *Error) Error() string { return e.Detail }

// Headers that carry proofs.
const (
	headerIAP        = "X-Goog-Iap-Jwt-Assertion" // as net/http writes it
	headerServerless = "X-Serverless-Authorization"
	headerToken      = "Authorization"
)

const (
	issuerIAP = "https://cloud.google.com/iap"
	// removed is in place of a signature that Cloud Run has checked.
	removed = "SIGNATURE_REMOVED_BY_GOOGLE"
	// maxToken bounds the bytes of a token. Google's have up to 2 KiB.
	maxToken = 16 << 10
	// keysWithin is how long the read of the keys may take.
	keysWithin = 10 * time.Second
)

// A Verifier verifies the proofs of requests. It may be used by several goroutines.
type Verifier struct {
	settings  Settings
	validator *idtoken.Validator
	err       error // of making the validator
	now       func() time.Time
}

// New returns a verifier. It reads Google's keys through the client when the first
// signed token arrives, and keeps them as long as Google says. A nil client means a new
// one.
func New(s Settings, client *http.Client) *Verifier {
	if client == nil {
		client = &http.Client{Timeout: keysWithin}
	}
	watched := *client
	watched.Transport = keys{client.Transport}
	v := &Verifier{settings: s, now: time.Now}
	v.validator, v.err = idtoken.NewValidator(context.Background(), option.WithHTTPClient(&watched))
	return v
}

// Caller returns the verified address of the caller, in lower case. An error is an
// *Error.
func (v *Verifier) Caller(r *http.Request) (string, error) {
	if values := r.Header.Values(headerIAP); len(v.settings.IAP) > 0 && len(values) > 0 {
		token, err := single(headerIAP, values)
		if err != nil {
			return "", err
		}
		return v.signed(r.Context(), token, "ES256", v.settings.IAP, issuerIAP)
	}
	name, values := headerToken, r.Header.Values(headerToken)
	// Without IAM both are texts of the caller, and its own signed token counts in either.
	if other := r.Header.Values(headerServerless); len(other) > 0 && (v.settings.RunIAM || len(values) == 0) {
		name, values = headerServerless, other
	}
	if len(values) == 0 {
		return "", &Error{Missing: true, Detail: "The request carries no identity token.",
			Fix: `Send one in the header Authorization: berth does, with --token "$(gcloud auth print-identity-token)" or application default credentials.`}
	}
	text, err := single(name, values)
	if err != nil {
		return "", err
	}
	scheme, token, _ := strings.Cut(text, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &Error{Detail: "The header " + name + " is not a bearer token.", Fix: "Send Bearer and an identity token."}
	}
	token = strings.TrimSpace(token)
	if strings.HasSuffix(token, "."+removed) {
		return v.checked(token)
	}
	return v.signed(r.Context(), token, "RS256", v.settings.Audiences, issuers...)
}

var issuers = []string{"https://accounts.google.com", "accounts.google.com"}

func single(name string, values []string) (string, error) {
	if len(values) > 1 || len(values[0]) > maxToken {
		return "", &Error{Detail: "The header " + name + " is there more than once, or is longer than any token of Google.", Fix: "Send it once."}
	}
	return values[0], nil
}

// signed verifies a token that has its signature.
func (v *Verifier) signed(ctx context.Context, token, algorithm string, audiences []string, from ...string) (string, error) {
	invalid := &Error{Detail: "The identity token is invalid: not for this service, expired, or not signed by Google.",
		Fix: "Get a new one for one of the audiences that the deployment accepts: BERTH_STATUS_AUDIENCES or BERTH_STATUS_IAP."}
	// The library slices an ES256 signature without looking at its length.
	if !wellFormed(token, algorithm) {
		return "", invalid
	}
	payload, err := idtoken.ParsePayload(token)
	if err != nil || !slices.Contains(audiences, payload.Audience) {
		return "", invalid
	}
	failed := &atomic.Bool{}
	if v.err != nil {
		failed.Store(true)
	} else {
		payload, err = v.validator.Validate(context.WithValue(ctx, keysFailed{}, failed), token, payload.Audience)
	}
	switch {
	case failed.Load():
		return "", &Error{Transient: true, Detail: "Google's keys cannot be read, so no identity can be verified.", Fix: "Try again in a moment."}
	case err != nil || payload.IssuedAt > v.now().Add(skew).Unix():
		return "", invalid
	}
	return address(payload, from)
}

// checked reads a token whose signature Cloud Run has removed.
func (v *Verifier) checked(token string) (string, error) {
	if !v.settings.RunIAM {
		return "", &Error{Detail: "Cloud Run has removed the signature of the identity token, so it cannot be verified.",
			Fix: "Send the token in both headers Authorization and X-Serverless-Authorization, as berth does; or set BERTH_RUN_IAM=true if IAM guards this service."}
	}
	payload, err := idtoken.ParsePayload(token)
	if err != nil || payload.Expires < v.now().Add(-skew).Unix() || len(v.settings.Audiences) > 0 && !slices.Contains(v.settings.Audiences, payload.Audience) {
		return "", &Error{Detail: "The identity token is invalid: not for this service, or expired.", Fix: "Get a new one for one of the audiences of BERTH_STATUS_AUDIENCES."}
	}
	return address(payload, issuers)
}

// skew is how far the clocks of this instance and of Google may disagree.
const skew = time.Minute

// address returns the verified address of a payload from one of these issuers.
func address(p *idtoken.Payload, from []string) (string, error) {
	email, _ := p.Claims["email"].(string)
	verified := p.Claims["email_verified"]
	switch {
	case !slices.Contains(from, p.Issuer):
		return "", &Error{Detail: "The identity token is of another issuer.", Fix: "Send an ID token of Google, or come through Identity-Aware Proxy."}
	case email == "":
		return "", &Error{Detail: "The identity token has no e-mail address.", Fix: "Ask for it: gcloud auth print-identity-token --include-email, or format=full of the metadata server."}
	case p.Issuer != issuerIAP && verified != true && verified != "true":
		return "", &Error{Detail: "The e-mail address of the identity token is not verified.", Fix: "Use an account of Google."}
	}
	return Lower(email), nil
}

// Lower returns an address with ASCII letters in lower case. Other letters stay: the
// lower case of the Kelvin sign is k, and an address with it is another's.
func Lower(email string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, email)
}
