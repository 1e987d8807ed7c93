package localstack

import (
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestBackoff(t *testing.T) {
	policy := func(low, high time.Duration) *pb.RetryPolicy {
		return &pb.RetryPolicy{MinimumBackoff: durationpb.New(low), MaximumBackoff: durationpb.New(high)}
	}
	for _, c := range []struct {
		policy  *pb.RetryPolicy
		attempt int
		want    time.Duration
	}{
		{policy(time.Second, 5*time.Second), 1, time.Second},
		{policy(time.Second, 5*time.Second), 3, 4 * time.Second},
		{policy(time.Second, 5*time.Second), 4, 5 * time.Second},
		{policy(time.Second, 5*time.Second), 1 << 30, 5 * time.Second},
		{policy(0, 0), 9, 0},
		{&pb.RetryPolicy{}, 1, 10 * time.Second},
		{&pb.RetryPolicy{}, 100, 10 * time.Minute},
		{nil, 1, 100 * time.Millisecond},
		{nil, 100, time.Minute},
	} {
		if got := backoff(c.policy, c.attempt); got != c.want {
			t.Errorf("backoff(%v, %d) = %v, want %v", c.policy, c.attempt, got, c.want)
		}
	}
}
