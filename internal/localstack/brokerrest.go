package localstack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/vanguard"
	"connectrpc.com/vanguard/vanguardgrpc"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
)

// restHandler serves the REST mapping of the services, which is what gcloud
// speaks. Beyond the mapping, Google's REST clients send parameters that belong
// to no message, and read errors only in an envelope.
func (b *Broker) restHandler() (http.Handler, error) {
	t, err := vanguardgrpc.NewTranscoder(b.grpc, vanguard.WithCodec(func(res vanguard.TypeResolver) vanguard.Codec {
		return &vanguard.JSONCodec{
			MarshalOptions:   protojson.MarshalOptions{Resolver: res},
			UnmarshalOptions: protojson.UnmarshalOptions{Resolver: res, DiscardUnknown: true},
		}
	}))
	if err != nil {
		return nil, fmt.Errorf("map REST to Pub/Sub: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.URL.RawQuery = withoutSystemParams(r.URL.RawQuery)
		r.Header.Del("Accept-Encoding") // so that errors can be read on their way out
		e := &errorEnvelope{ResponseWriter: w}
		t.ServeHTTP(e, r)
		e.finish()
	}), nil
}

// systemParams may be on any request to a Google API. gcloud sends alt on each.
var systemParams = []string{
	"alt", "$alt", "prettyPrint", "$prettyPrint", "key", "$key", "quotaUser", "fields", "$fields", "callback",
	"access_token", "oauth_token", "upload_protocol", "uploadType", "userIp", "$.xgafv",
}

// withoutSystemParams works on the text: the parsed form drops what holds a
// semicolon, as $alt may.
func withoutSystemParams(query string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		name, _, _ := strings.Cut(strings.ReplaceAll(pair, "%24", "$"), "=")
		return slices.Contains(systemParams, name)
	}), "&")
}

// An errorEnvelope holds an error back and sends it as {"error": {...}}.
type errorEnvelope struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer // of an error
}

func (e *errorEnvelope) WriteHeader(status int) {
	if e.status == 0 {
		e.status = status
	}
	if status < 400 {
		e.ResponseWriter.WriteHeader(status)
	}
}

func (e *errorEnvelope) Write(b []byte) (int, error) {
	if e.status >= 400 {
		return e.body.Write(b)
	}
	return e.ResponseWriter.Write(b)
}

// Flush does nothing: answers are short and whole. The transcoder wants it there.
func (e *errorEnvelope) Flush() {}

func (e *errorEnvelope) finish() {
	if e.status < 400 {
		return
	}
	var bare struct {
		Code    codes.Code `json:"code"`
		Message string     `json:"message"`
	}
	if json.Unmarshal(e.body.Bytes(), &bare) != nil || bare.Code == codes.OK {
		// Not from a service: no such path, or a body that is no message.
		bare.Code, bare.Message = codes.InvalidArgument, strings.TrimSpace(e.body.String())
		if e.status == http.StatusNotFound {
			bare.Code = codes.NotFound
		}
	}
	if e.status == http.StatusNotImplemented {
		e.status = http.StatusBadRequest // gcloud retries 5xx for half a minute
	}
	e.Header().Set("Content-Type", "application/json")
	e.Header().Del("Content-Length")
	e.ResponseWriter.WriteHeader(e.status)
	_ = json.NewEncoder(e.ResponseWriter).Encode(map[string]any{"error": map[string]any{
		"code": e.status, "message": bare.Message, "status": code.Code(bare.Code).String(),
	}})
}
