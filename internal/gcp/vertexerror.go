package gcp

import (
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/vertex"
)

// A rule says what one kind of answer to a create allows to conclude.
type rule struct {
	code codes.Code
	// says is a part of the message, in lower case, that the rule asks for; ""
	// for any message.
	says string
	// reason is the ErrorInfo reason that the rule asks for; "" for any.
	reason string
	kind   vertex.Kind
}

// createRules is the map of errors of CreateCustomJob; the first rule that
// applies counts. Every rule claims that the job certainly was not created; so
// an answer may be listed only if it comes from the server's decision to refuse.
// Whatever is not listed is unclear: Unavailable, DeadlineExceeded, Internal,
// Unknown, Aborted, Canceled and DataLoss can all come after the job was made,
// from the server, from a proxy or from this end of the connection. An unclear
// create keeps its replicas until the job is found, or is not found for long.
var createRules = []rule{
	// Project quota of machines is too small for this job. That lasts until a
	// person changes it; waiting would hold up the line for a job that cannot
	// start, so it fails and says why.
	{code: codes.ResourceExhausted, says: "custom_model_training_", kind: vertex.Permanent},
	{code: codes.ResourceExhausted, says: "quota metrics exceed", kind: vertex.Permanent},
	// Too many calls this minute. The job keeps its replicas and is sent again.
	{code: codes.ResourceExhausted, reason: "RATE_LIMIT_EXCEEDED", kind: vertex.RateLimited},
	{code: codes.ResourceExhausted, says: "per minute", kind: vertex.RateLimited},
	{code: codes.ResourceExhausted, says: "rate limit", kind: vertex.RateLimited},
	{code: codes.ResourceExhausted, says: "too many requests", kind: vertex.RateLimited},
	// Any other shortage is of replicas, as far as one can guess: somebody else
	// has them. Back into line.
	{code: codes.ResourceExhausted, kind: vertex.Passing},

	// The persistent resource is not running, or is full, or is missing and will
	// be made anew. Back into line.
	{code: codes.FailedPrecondition, kind: vertex.Passing},
	{code: codes.NotFound, kind: vertex.Passing},

	// What was asked is wrong, or who asks may not (act as the service account,
	// for one). The request fails, and its error is Vertex AI's.
	{code: codes.InvalidArgument, kind: vertex.Permanent},
	{code: codes.PermissionDenied, kind: vertex.Permanent},
	{code: codes.Unauthenticated, kind: vertex.Permanent},
	{code: codes.Unimplemented, kind: vertex.Permanent},
	{code: codes.OutOfRange, kind: vertex.Permanent},
	{code: codes.AlreadyExists, kind: vertex.Permanent},
}

// otherRules is the map of errors of all other calls. They may be repeated, so
// little hangs on it but NotFound: a job that is gone gives its replicas back.
var otherRules = []rule{
	{code: codes.NotFound, kind: vertex.NotFound},
	{code: codes.ResourceExhausted, kind: vertex.RateLimited},
	{code: codes.FailedPrecondition, kind: vertex.Passing},
	{code: codes.InvalidArgument, kind: vertex.Permanent},
	{code: codes.PermissionDenied, kind: vertex.Permanent},
	{code: codes.Unauthenticated, kind: vertex.Permanent},
	{code: codes.Unimplemented, kind: vertex.Permanent},
	{code: codes.OutOfRange, kind: vertex.Permanent},
}

// vertexError makes the port's error of a call's, nil for nil.
func vertexError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	e := &vertex.Error{Op: op, Name: name, Kind: vertex.Unclear, Message: err.Error(), Err: err}
	st, ok := status.FromError(err)
	if !ok {
		return e // no answer at all
	}
	e.Code, e.Message = int32(st.Code()), st.Message()
	// FromError puts the whole chain of errors in front; the server's own words
	// are wanted.
	if own := (interface{ GRPCStatus() *status.Status })(nil); errors.As(err, &own) {
		e.Message = own.GRPCStatus().Message()
	}
	rules := otherRules
	if op == "create" {
		rules = createRules
	}
	for _, r := range rules {
		if r.code == st.Code() && strings.Contains(strings.ToLower(e.Message), r.says) && (r.reason == "" || r.reason == reasonOf(st)) {
			e.Kind = r.kind
			break
		}
	}
	return e
}

func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
