package app

import (
	"testing"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
)

// Each record about a request says which message, tenant, request and resource it is
// about, and says so once.
func TestRecordsSayWhatTheyAreAbout(t *testing.T) {
	s := deployed(t)
	s.app.controller = controller.New(s.Config, s.Ledger, s.Vertex, s.Out, s.app.log, controller.RealEnv())
	post(s.app.admit, message.Delivery{ID: "m1", Data: oneCPU.Body()}.Push())
	key := string(s.Record("a").Key)
	for _, event := range []string{"decision", "submitted"} {
		records := s.logged(event)
		if len(records) != 1 {
			t.Fatalf("%d records of %s", len(records), event)
		}
		for field, want := range map[string]string{"message_id": "m1", "tenant": "default", "request_key": key, "resource": sim.Resource} {
			if got := records[0][field]; got != want {
				t.Errorf("%s: %s is %v, want %s", event, field, got, want)
			}
		}
	}
	post(s.app.admit, message.Delivery{ID: "m2", Data: []byte("{")}.Push())
	if records := s.logged("answer"); len(records) != 1 || records[0]["message_id"] != "m2" || records[0]["request_key"] != nil {
		t.Errorf("an answer that belongs to no request: %v", records)
	}
}
