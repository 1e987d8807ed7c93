package sim

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	grpc "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/gcp"
)

// deployed are the rules of the deployed client.
func deployed(op, name, account string, code int, text string) error {
	return gcp.VertexError(op, name, account, status.Error(grpc.Code(code), text))
}

// TestOutages plays those outages that stand for the others; cmd/sim plays all.
// BERTH_OUTAGES names others, by the beginning of "call, way, length".
func TestOutages(t *testing.T) {
	only := os.Getenv("BERTH_OUTAGES")
	for _, o := range Matrix(only == "") {
		if !strings.HasPrefix(o.String(), only) {
			continue
		}
		t.Run(strings.ReplaceAll(o.String(), " ", "_"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := o.Play(deployed)
				for _, p := range v.Problems {
					t.Error(p)
				}
				t.Logf("hand-over %v, recovered after %v, %d alarms, %d creates, longest reconcile %v", v.HandOver, v.Recovered, v.Alarms, v.Creates, v.Longest)
			})
		})
	}
}
