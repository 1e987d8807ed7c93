package fakevertex

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	"connectrpc.com/vanguard"
	"connectrpc.com/vanguard/vanguardgrpc"
	"google.golang.org/genproto/googleapis/api/annotations"
	codepb "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
)

// systemParams are query parameters that every Google API takes and no request
// message has. gcloud sends alt on every call.
var systemParams = []string{"alt", "$alt", "prettyPrint", "$prettyPrint", "key", "$key", "quotaUser", "fields", "$fields",
	"callback", "access_token", "oauth_token", "upload_protocol", "uploadType", "userIp", "$.xgafv"}

// restHandler serves the REST mapping of the services, with what clients of
// Google's REST API expect beyond it: system parameters are left out of the
// request, and errors are wrapped.
func (s *Server) restHandler() http.Handler {
	names, numbers := s.transcoder(false), s.transcoder(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached := new(atomic.Bool)
		r = r.Clone(context.WithValue(r.Context(), reachedKey{}, reached))
		if rest, ok := strings.CutPrefix(r.URL.Path, "/v1beta1/"); ok {
			r.URL.Path, r.URL.RawPath = "/v1/"+rest, ""
		}
		h := names
		// r.URL.Query would drop what holds a semicolon, as $alt may.
		if strings.Contains(r.URL.RawQuery, "enum-encoding=int") || strings.Contains(r.URL.RawQuery, "enum-encoding%3Dint") {
			h = numbers
		}
		r.URL.RawQuery = queryForTranscoder(r.URL.RawQuery)
		if strings.Contains(r.URL.Path, "/operations/") && r.ContentLength == int64(len("{}")) {
			r.Body, r.ContentLength = http.NoBody, 0 // clients send an empty object to methods without a body
		}
		ew := &errorWriter{ResponseWriter: w}
		h.ServeHTTP(ew, r)
		ew.finish(reached.Load())
	})
}

// reachedKey leads to the flag that says whether a REST request was understood:
// the interceptor sets it.
type reachedKey struct{}

// queryForTranscoder leaves system parameters out of a query, and writes the paths of field
// masks in lowerCamelCase, because the transcoder refuses the names of the fields themselves,
// which the real service takes as well. A mask of "*" selects everything, as no mask does.
func queryForTranscoder(query string) string {
	var kept []string
	for _, pair := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key = strings.Replace(key, "%24", "$", 1)
		switch {
		case slices.Contains(systemParams, key):
			continue
		case slices.Contains(maskParams, key):
			mask, err := url.QueryUnescape(value)
			if err == nil && mask == "*" {
				continue
			}
			if err == nil {
				pair = key + "=" + url.QueryEscape(camelPaths(mask))
			}
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}

// maskParams are the query parameters that hold field masks.
var maskParams = []string{"readMask", "read_mask", "updateMask", "update_mask"}

// camelPaths writes resource_pools.replica_count as resourcePools.replicaCount.
func camelPaths(mask string) string {
	var b strings.Builder
	upper := false
	for _, c := range mask {
		switch {
		case c == '_':
			upper = true
			continue
		case upper:
			c = unicode.ToUpper(c)
		}
		upper = false
		b.WriteRune(c)
	}
	return b.String()
}

// transcoder maps REST onto the services, with enums as names or numbers.
func (s *Server) transcoder(numbers bool) http.Handler {
	t, err := vanguardgrpc.NewTranscoder(s.grpc,
		vanguard.WithCodec(func(res vanguard.TypeResolver) vanguard.Codec {
			return &vanguard.JSONCodec{
				MarshalOptions:   protojson.MarshalOptions{Resolver: res, UseEnumNumbers: numbers, Multiline: true},
				UnmarshalOptions: protojson.UnmarshalOptions{Resolver: res},
			}
		}),
		vanguard.WithRules(operationRules()...))
	if err != nil { // the services and rules are fixed
		panic(fmt.Sprintf("fakevertex: map the services to REST: %v", err))
	}
	return t
}

// operationRules map google.longrunning.Operations, whose own annotations are for another
// path, as the service config of the real service does.
func operationRules() []*annotations.HttpRule {
	const of, ofResource = "/v1/{name=projects/*/locations/*", "/v1/{name=projects/*/locations/*/persistentResources/*"
	rule := func(method string, bind func(path string) *annotations.HttpRule, end string) *annotations.HttpRule {
		r := bind(of + end)
		r.Selector = "google.longrunning.Operations." + method
		r.AdditionalBindings = []*annotations.HttpRule{bind(ofResource + end)}
		return r
	}
	get := func(path string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: path}}
	}
	post := func(path string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: path}}
	}
	remove := func(path string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Delete{Delete: path}}
	}
	return []*annotations.HttpRule{
		rule("GetOperation", get, "/operations/*}"), rule("ListOperations", get, "}/operations"),
		rule("WaitOperation", post, "/operations/*}:wait"), rule("CancelOperation", post, "/operations/*}:cancel"),
		rule("DeleteOperation", remove, "/operations/*}"),
	}
}

// An errorWriter passes successes through and holds errors back, to wrap them as
// {"error":{"code":404,"message":"...","status":"NOT_FOUND"}}.
type errorWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *errorWriter) WriteHeader(status int) {
	w.status = status
	if status < 400 {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *errorWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status >= 400 {
		return w.body.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Flush does nothing: answers are short and complete.
func (w *errorWriter) Flush() {}

// httpStatus is how Google's REST API answers each code.
var httpStatus = map[codes.Code]int{
	codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504, codes.NotFound: 404,
	codes.AlreadyExists: 409, codes.PermissionDenied: 403, codes.ResourceExhausted: 429, codes.FailedPrecondition: 400,
	codes.Aborted: 409, codes.OutOfRange: 400, codes.Unimplemented: 501, codes.Internal: 500, codes.Unavailable: 503,
	codes.DataLoss: 500, codes.Unauthenticated: 401,
}

// finish writes the error, if it is one. An error of a request that reached no
// service is the transcoder's, whose codes are not the real ones.
func (w *errorWriter) finish(reached bool) {
	if w.status < 400 {
		return
	}
	var bare struct {
		Code    codes.Code        `json:"code"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details"`
	}
	switch isStatus := json.Unmarshal(w.body.Bytes(), &bare) == nil && bare.Code != codes.OK; {
	case !isStatus: // no such path, or a verb that it does not have
		bare.Code, bare.Message = codes.NotFound, "Not found: "+strings.TrimSpace(w.body.String())
	case !reached && bare.Code == codes.Unknown:
		bare.Code, bare.Message = codes.InvalidArgument, "Invalid request received. "+bare.Message
	}
	type inner struct {
		Code    int               `json:"code"`
		Message string            `json:"message"`
		Status  string            `json:"status"`
		Details []json.RawMessage `json:"details,omitempty"`
	}
	status, ok := httpStatus[bare.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	body, _ := json.Marshal(map[string]inner{"error": {status, bare.Message, codepb.Code(bare.Code).String(), bare.Details}})
	h := w.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", "application/json; charset=UTF-8")
	w.ResponseWriter.WriteHeader(status)
	_, _ = w.ResponseWriter.Write(body) // the caller may have gone
}
