package bench

import (
	"maps"
	"sync"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack/proxy"
)

// Counts are what passed the proxies. All count calls or things in calls that
// were carried out; Stale and Failed count those that were not.
type Counts struct {
	Firestore map[string]int // calls by method
	Read      int            // documents read, as Firestore bills them: found, missing, and one at least per query
	Written   int            // documents created or changed
	Verified  int            // documents whose version a commit only checked: an update of no field, or a delete of what must not be there
	Deleted   int            // documents that were there
	Stale     int            // commits that found a document changed
	Failed    int            // other calls that were not carried out
	Publishes int            // calls
	Messages  int            // in them
	Sent      int            // bytes published, 1,000 at least per call, as Pub/Sub bills them
	Delivered int            // bytes that one push subscription would deliver of them, 1,000 at least per message
	Vertex    map[string]int // calls by method
}

// plus adds two counts.
func (c Counts) plus(o Counts) Counts { return c.combine(o, 1) }

// minus is what was added since an earlier count.
func (c Counts) minus(o Counts) Counts { return c.combine(o, -1) }

func (c Counts) combine(o Counts, sign int) Counts {
	return Counts{
		Firestore: combine(c.Firestore, o.Firestore, sign), Read: c.Read + sign*o.Read,
		Written: c.Written + sign*o.Written, Verified: c.Verified + sign*o.Verified, Deleted: c.Deleted + sign*o.Deleted,
		Stale: c.Stale + sign*o.Stale, Failed: c.Failed + sign*o.Failed,
		Publishes: c.Publishes + sign*o.Publishes, Messages: c.Messages + sign*o.Messages,
		Sent: c.Sent + sign*o.Sent, Delivered: c.Delivered + sign*o.Delivered,
		Vertex: combine(c.Vertex, o.Vertex, sign),
	}
}

func combine(a, b map[string]int, sign int) map[string]int {
	sum := maps.Clone(a)
	if sum == nil {
		sum = map[string]int{}
	}
	for method, n := range b {
		sum[method] += sign * n
	}
	return sum
}

// A counter adds up the calls that proxies report.
type counter struct {
	mu sync.Mutex
	c  Counts
}

func newCounter() *counter {
	return &counter{c: Counts{Firestore: map[string]int{}, Vertex: map[string]int{}}}
}

// now is what has been counted so far.
func (t *counter) now() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.c
	c.Firestore, c.Vertex = maps.Clone(c.Firestore), maps.Clone(c.Vertex)
	return c
}

func (t *counter) firestore(c proxy.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c.Firestore[c.Method]++
	switch {
	case c.Method == "Commit" && stale(c.Code):
		t.c.Stale++
	case c.Code != codes.OK:
		t.c.Failed++
	case c.Method == "Commit":
		t.commit(c.Request)
	case c.Method == "BatchGetDocuments":
		t.gets(c.Answers)
	case c.Method == "RunQuery":
		t.query(c.Answers)
	}
}

// stale reports whether Firestore refuses a commit with this code because of an
// earlier change.
func stale(code codes.Code) bool {
	switch code {
	case codes.Aborted, codes.FailedPrecondition, codes.AlreadyExists, codes.NotFound:
		return true
	}
	return false
}

func (t *counter) commit(request []byte) {
	var req firestorepb.CommitRequest
	if proto.Unmarshal(request, &req) != nil {
		t.c.Failed++
		return
	}
	for _, w := range req.GetWrites() {
		absent, conditional := w.GetCurrentDocument().GetConditionType().(*firestorepb.Precondition_Exists)
		switch {
		case w.GetDelete() != "" && conditional && !absent.Exists:
			t.c.Verified++
		case w.GetDelete() != "":
			t.c.Deleted++
		case w.GetUpdateMask() != nil && len(w.GetUpdateMask().GetFieldPaths()) == 0 && len(w.GetUpdateTransforms()) == 0:
			t.c.Verified++
		default:
			t.c.Written++
		}
	}
}

func (t *counter) gets(answers [][]byte) {
	for _, a := range answers {
		var r firestorepb.BatchGetDocumentsResponse
		if proto.Unmarshal(a, &r) == nil && (r.GetFound() != nil || r.GetMissing() != "") {
			t.c.Read++
		}
	}
}

func (t *counter) query(answers [][]byte) {
	found := 0
	for _, a := range answers {
		var r firestorepb.RunQueryResponse
		if proto.Unmarshal(a, &r) == nil && r.GetDocument() != nil {
			found++
		}
	}
	t.c.Read += max(found, 1)
}

// leastBilled is what Pub/Sub bills for a publish or a push at least, in bytes.
const leastBilled = 1000

func (t *counter) pubsub(c proxy.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.Method != "Publish" {
		return // nothing else is asked of Pub/Sub
	}
	t.c.Publishes++
	if c.Code != codes.OK {
		t.c.Failed++
		return
	}
	var req pubsubpb.PublishRequest
	if proto.Unmarshal(c.Request, &req) != nil {
		t.c.Failed++
		return
	}
	sent := 0
	for _, m := range req.GetMessages() {
		t.c.Messages++
		sent += proto.Size(m)
		t.c.Delivered += max(proto.Size(m), leastBilled)
	}
	t.c.Sent += max(sent, leastBilled)
}

func (t *counter) vertex(c proxy.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c.Vertex[c.Method]++
	if c.Code != codes.OK {
		t.c.Failed++
	}
}
