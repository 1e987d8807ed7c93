package gcp

import (
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/telemetry"
)

// Each commit is counted by what became of it, those that are lost to others too.
func TestCommitsAreCounted(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]map[string]int64{
		codes.OK: {"committed": 1}, codes.FailedPrecondition: {"conflict": 2, "committed": 1}, codes.Aborted: {"conflict": 2, "committed": 1},
		codes.InvalidArgument: {"refused": 1}, codes.Unavailable: {"unknown": 2, "committed": 1},
	} {
		reader := sdkmetric.NewManualReader()
		recorder, err := telemetry.New("p", nil, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
		if err != nil {
			t.Fatal(err)
		}
		commits := 0
		w := &wire{answer: func(_ int, method string, _ proto.Message) ([]proto.Message, error) {
			if method != "Commit" {
				return []proto.Message{missing(ledger.RecordRef("k"), at(1))}, nil
			}
			if commits++; commits <= 2 && code != codes.OK {
				return nil, status.Error(code, "no")
			}
			return nil, nil
		}}
		l := w.ledger(t)
		l.telemetry = recorder
		runs := 0
		_ = l.Update(t.Context(), justK, increment(&runs))
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, m := range all.ScopeMetrics[0].Metrics {
			if m.Name == "berth.ledger.commits" {
				for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
					result, _ := p.Attributes.Value("result")
					got[result.AsString()] = p.Value
				}
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: counted %v, want %v", code, got, want)
		}
		for result, n := range want {
			if got[result] != n {
				t.Errorf("%s: %d %s, want %d", code, got[result], result, n)
			}
		}
	}
}
