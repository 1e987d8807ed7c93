package ledger

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A field that is added to what admission decides with, and not taken from the
// documents, fails here.
func TestSnapshotAndRequestAreComplete(t *testing.T) {
	res, rec := &Resource{}, &Record{}
	filler{normal: true}.fill(reflect.ValueOf(res).Elem())
	filler{normal: true}.fill(reflect.ValueOf(rec).Elem())
	rec.State = lifecycle.Waiting
	for i := range MaxHolds {
		res.Holds[message.Key(fmt.Sprint(i))] = Hold{Ask: rec.Ask}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	snapshot, request := res.Snapshot(now), rec.Request()
	for _, v := range []reflect.Value{reflect.ValueOf(snapshot), reflect.ValueOf(request)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s is not taken from the document", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	if snapshot.Holds != len(res.Holds) || len(snapshot.Held()) != len(res.Holds)+len(res.Foreign) || !snapshot.Now.Equal(now) || !snapshot.NotBefore.Equal(res.NotBefore) ||
		!snapshot.ObservedAt.Equal(res.ObservedAt) || !reflect.DeepEqual(snapshot.Use, res.Use()) {
		t.Errorf("snapshot %+v", snapshot)
	}

	if s := (&Resource{}).Snapshot(now); s.Known || s.NoRoom {
		t.Errorf("a resource that was never seen: known %v, no room %v", s.Known, s.NoRoom)
	}
	if rec.State = lifecycle.Reserved; rec.Request().Waiting {
		t.Error("a request that holds replicas waits")
	}
}
