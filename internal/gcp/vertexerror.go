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
	// account asks that the message name the job's own service account.
	account bool
	kind    vertex.Kind
}

func (r rule) applies(st *status.Status, message, account string) bool {
	return r.code == st.Code() && strings.Contains(message, r.says) && (r.reason == "" || r.reason == reasonOf(st)) &&
		(!r.account || account != "" && strings.Contains(message, strings.ToLower(account)))
}

// createRules is the table of errors of CreateCustomJob; the first rule that
// applies counts. Every rule claims that the job certainly was not created, so
// an answer may be listed only if it comes from the server's decision to refuse.
// An answer that is not listed is unclear: Unavailable, DeadlineExceeded, Internal,
// Unknown, Aborted, Canceled, DataLoss and AlreadyExists can all come after the job
// was made, from the server, from a proxy or from this end of the connection. An
// unclear create keeps its replicas until the job is found, or is not found for long.
var createRules = []rule{
	// The project's quota of machines is too small for this job. That lasts until a
	// person changes it. The request fails and says why, because waiting would block
	// its queue for a job that cannot start.
	{code: codes.ResourceExhausted, says: "custom_model_training_", kind: vertex.Permanent},
	{code: codes.ResourceExhausted, says: "quota metrics exceed", kind: vertex.Permanent},
	// Too many calls this minute. The request keeps its replicas and is submitted again.
	{code: codes.ResourceExhausted, reason: "RATE_LIMIT_EXCEEDED", kind: vertex.RateLimited},
	{code: codes.ResourceExhausted, says: "per minute", kind: vertex.RateLimited},
	{code: codes.ResourceExhausted, says: "rate limit", kind: vertex.RateLimited},
	{code: codes.ResourceExhausted, says: "too many requests", kind: vertex.RateLimited},
	// Any other shortage is most likely of replicas, which other jobs have. Back into
	// the queue.
	{code: codes.ResourceExhausted, kind: vertex.Transient},

	// The persistent resource is not running, or is full, or is missing and will
	// be made anew. Back into the queue.
	{code: codes.FailedPrecondition, kind: vertex.Transient},
	{code: codes.NotFound, kind: vertex.Transient},

	// Berth may not create jobs at all: a binding was removed, the API was disabled, or
	// there was no access token (the client library returns UNAUTHENTICATED by itself
	// before it sends anything, when the metadata server does not answer). The jobs are
	// not at fault, and failing them would empty the queue. But the permission to act
	// as the job's own service account concerns that job alone.
	{code: codes.PermissionDenied, says: "aiplatform.customjobs.", kind: vertex.Denied},
	{code: codes.PermissionDenied, says: "actas", kind: vertex.Permanent},
	{code: codes.PermissionDenied, says: "act as", kind: vertex.Permanent},
	{code: codes.PermissionDenied, account: true, kind: vertex.Permanent},
	{code: codes.PermissionDenied, kind: vertex.Denied},
	{code: codes.Unauthenticated, kind: vertex.Denied},
	{code: codes.Unimplemented, kind: vertex.Denied},

	// The job is wrong. The request fails, and its error is Vertex AI's.
	{code: codes.InvalidArgument, kind: vertex.Permanent},
	{code: codes.OutOfRange, kind: vertex.Permanent},
}

// otherRules is the table of errors of all other calls. They may be repeated, so only
// NotFound has a consequence: a job that is gone gives its replicas back.
var otherRules = []rule{
	{code: codes.NotFound, kind: vertex.NotFound},
	{code: codes.ResourceExhausted, kind: vertex.RateLimited},
	{code: codes.FailedPrecondition, kind: vertex.Transient},
	{code: codes.InvalidArgument, kind: vertex.Permanent},
	{code: codes.PermissionDenied, kind: vertex.Denied},
	{code: codes.Unauthenticated, kind: vertex.Denied},
	{code: codes.Unimplemented, kind: vertex.Denied},
	{code: codes.OutOfRange, kind: vertex.Permanent},
}

// VertexError returns the port's error for the error of a call, nil for nil. account
// is the service account of the job that a create is about, "" if it has none.
func VertexError(op, name, account string, err error) error {
	if err == nil {
		return nil
	}
	e := &vertex.Error{Op: op, Name: name, Kind: vertex.Unclear, Message: err.Error(), Err: err}
	st, ok := status.FromError(err)
	if !ok {
		return e // no answer at all
	}
	e.Code, e.Message = int32(st.Code()), st.Message()
	// FromError would put the whole chain of errors before the server's own words.
	if own := (interface{ GRPCStatus() *status.Status })(nil); errors.As(err, &own) {
		e.Message = own.GRPCStatus().Message()
	}
	rules := otherRules
	if op == "create" {
		rules = createRules
	}
	for _, r := range rules {
		if r.applies(st, strings.ToLower(e.Message), account) {
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
