package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"google.golang.org/api/idtoken"

	"example.com/berth/internal/statuspage"
)

// maxAnswer bounds the bytes of an answer.
const maxAnswer = 64 << 20

// A statusClient calls the Status function.
type statusClient struct {
	base   *url.URL
	target *target
	tokens oauth2.TokenSource // nil where no token is sent
}

// open returns the Status function of the target.
func (g *globals) open() (*statusClient, error) {
	if err := g.readable(); err != nil {
		return nil, err
	}
	base, err := g.statusBase()
	if err != nil {
		return nil, err
	}
	d := &statusClient{base: base, target: &g.target}
	switch {
	case g.Token != "" && base.Scheme == "http" && !loopback(base.Hostname()):
		return nil, usage("--status-url %s: a token is sent by https only", base)
	case g.Token != "":
		d.tokens = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: strings.TrimSpace(g.Token)})
	case base.Scheme == "https":
		origin := base.Scheme + "://" + base.Host
		if d.tokens, err = idtoken.NewTokenSource(g.ctx, origin); err != nil {
			return nil, noToken(origin, err)
		}
	}
	return d, nil
}

// statusBase is the address of the Status function.
func (t *target) statusBase() (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(t.StatusURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usage("--status-url %q: want http(s)://host/path", t.StatusURL)
	}
	return base, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func noToken(origin string, err error) error {
	return fmt.Errorf("no identity token for %s: %w. Application default credentials of a user cannot make one; "+
		`give one with --token "$(gcloud auth print-identity-token)" or in BERTH_TOKEN`, origin, err)
}

// get asks a route and decodes its answer into out. It also returns the
// answer's bytes.
func (d *statusClient) get(ctx context.Context, out any, query url.Values, path ...string) ([]byte, error) {
	return d.call(ctx, http.MethodGet, nil, out, query, path...)
}

// post sends a body to a route.
func (d *statusClient) post(ctx context.Context, body, out any, query url.Values, path ...string) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode the body for /%s: %w", path[0], err)
	}
	return d.call(ctx, http.MethodPost, text, out, query, path...)
}

func (d *statusClient) call(ctx context.Context, method string, body []byte, out any, query url.Values, path ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, d.target.Timeout)
	defer cancel()
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	u := d.base.JoinPath(path...)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", u, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if d.tokens != nil {
		token, err := d.tokens.Token()
		if err != nil {
			return nil, noToken(d.base.Scheme+"://"+d.base.Host, err)
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
		// Cloud Run checks this one if it is there, removes its signature, and passes the
		// other on as it is, so that the Status function can verify it.
		req.Header.Set("X-Serverless-Authorization", "Bearer "+token.AccessToken)
	}
	text, status, err := readAnswer(http.DefaultClient, req)
	if err != nil {
		return nil, fmt.Errorf("ask the Status function of %s: %w", d.target, err)
	}
	if status != http.StatusOK {
		return nil, failure(u, status, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("%s is not a Status function: %w", u, err)
	}
	return text, nil
}

// readAnswer sends a request and reads the whole answer.
func readAnswer(client *http.Client, req *http.Request) (text []byte, status int, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // the body has been read
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return text, resp.StatusCode, err
}

// A refusal is an error answer of the Status function, or of a proxy in front
// of it.
type refusal struct {
	url    *url.URL
	answer int
	status *statuspage.Error // nil if another server answered
}

func (r *refusal) Error() string {
	if r.status != nil {
		return r.status.Error()
	}
	s := fmt.Sprintf("%s answered %d %s", r.url, r.answer, http.StatusText(r.answer))
	switch r.answer {
	case http.StatusUnauthorized:
		s += `; the identity token is missing, for another audience, or has expired: try --token "$(gcloud auth print-identity-token)"`
	case http.StatusForbidden:
		s += "; the caller needs the role roles/run.invoker on the Status service"
	case http.StatusNotFound:
		s += "; is it the URL of a Status function?"
	}
	return s
}

// transient reports whether another attempt may succeed.
func transient(err error) bool {
	r := (*refusal)(nil)
	return !errors.As(err, &r) || r.answer >= 500 || r.answer == http.StatusTooManyRequests
}

// notFound reports whether the Status function answered that an id is unknown.
func notFound(err error) bool {
	r := (*refusal)(nil)
	return errors.As(err, &r) && r.status != nil && r.status.Code == statuspage.NotFound
}

func failure(u *url.URL, status int, text []byte) error {
	var f statuspage.Failure
	if err := json.Unmarshal(text, &f); err != nil || f.Error == nil || f.Error.Code == "" {
		return &refusal{url: u, answer: status}
	}
	r := &refusal{u, status, f.Error}
	if status == http.StatusBadRequest {
		return &quit{exitUsage, r} // an argument that the Status function does not accept
	}
	return r
}
