package bench

import (
	"strings"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack/proxy"
)

func TestFirestoreIsCountedAsItIsBilled(t *testing.T) {
	exists := func(is bool) *firestorepb.Precondition {
		return &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: is}}
	}
	update := func() *firestorepb.Write_Update {
		return &firestorepb.Write_Update{Update: &firestorepb.Document{Name: "d"}}
	}
	commit := &firestorepb.CommitRequest{Writes: []*firestorepb.Write{
		{Operation: update()},
		{Operation: update(), CurrentDocument: exists(false)},
		{Operation: update(), UpdateMask: &firestorepb.DocumentMask{}},
		{Operation: &firestorepb.Write_Delete{Delete: "d"}, CurrentDocument: exists(false)},
		{Operation: &firestorepb.Write_Delete{Delete: "d"}, CurrentDocument: exists(true)},
	}}
	c := newCounter()
	c.firestore(proxy.Call{Method: "Commit", Request: bytesOf(t, commit)})
	c.firestore(proxy.Call{Method: "Commit", Request: bytesOf(t, commit), Code: codes.FailedPrecondition})
	c.firestore(proxy.Call{Method: "Commit", Request: bytesOf(t, commit), Code: codes.Unavailable})
	have := c.now()
	if have.Written != 2 || have.Verified != 2 || have.Deleted != 1 || have.Stale != 1 || have.Failed != 1 || have.Firestore["Commit"] != 3 {
		t.Errorf("counted %+v", have)
	}
}

func TestMessagesAreCountedAsTheyAreBilled(t *testing.T) {
	c := newCounter()
	c.pubsub(proxy.Call{Method: "Publish", Request: bytesOf(t, &pubsubpb.PublishRequest{Messages: []*pubsubpb.PubsubMessage{
		{Data: []byte("small")}, {Data: []byte(strings.Repeat("x", 3000))}}})})
	if have := c.now(); have.Publishes != 1 || have.Messages != 2 || have.Sent < 3000 || have.Sent > 3100 || have.Delivered < 4000 || have.Delivered > 4100 {
		t.Errorf("counted %+v", have)
	}
}

func TestCombine(t *testing.T) {
	a := Counts{Read: 5, Firestore: map[string]int{"Commit": 3}, Vertex: map[string]int{}}
	b := Counts{Read: 2, Firestore: map[string]int{"Commit": 1, "RunQuery": 1}}
	if d := a.plus(b).minus(b); d.Read != 5 || d.Firestore["Commit"] != 3 || d.Firestore["RunQuery"] != 0 {
		t.Errorf("a + b - b = %+v", d)
	}
}

func bytesOf(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
