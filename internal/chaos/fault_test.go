package chaos

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/proxy"
)

// Each fault does what its name says: whether and when the call is carried out,
// and which error the caller gets.
func TestFaults(t *testing.T) {
	const wait = time.Second
	for fault, want := range map[Fault]struct {
		sort proxy.Sort
		code codes.Code
		wait time.Duration
	}{
		noFault:           {proxy.Through, codes.OK, 0},
		slow:              {proxy.Through, codes.OK, wait},
		abortedBefore:     {proxy.NotDone, codes.Aborted, 0},
		unavailableBefore: {proxy.NotDone, codes.Unavailable, 0},
		rateLimited:       {proxy.NotDone, codes.ResourceExhausted, 0},
		outage:            {proxy.NotDone, codes.Unavailable, 0},
		unavailableAfter:  {proxy.Through, codes.Unavailable, 0},
		deadlineAfter:     {proxy.Through, codes.DeadlineExceeded, 0},
		brokenOff:         {proxy.BrokenOff, codes.Unavailable, 0},
		doneLater:         {proxy.DoneLater, codes.Unavailable, wait},
	} {
		got := fault.does(wait)
		if got.Sort != want.sort || status.Code(got.Err) != want.code || got.Wait != want.wait {
			t.Errorf("%q does %+v, want %+v", fault, got, want)
		}
	}
}

// Dice whose faults are stopped spare every call; until then each fault is drawn before
// long.
func TestDice(t *testing.T) {
	d := newDice(1, 0.1)
	for range 300 {
		d.roll("Firestore", "Commit", firestoreRules["Commit"])
	}
	for _, f := range firestoreRules["Commit"] {
		if d.injected()["Firestore"][f] == 0 {
			t.Errorf("%s never came", f)
		}
	}
	d.breakDown("Firestore", time.Hour)
	if f, _ := d.roll("Firestore", "Other", nil); f != outage {
		t.Errorf("%q in an outage", f)
	}
	if f, _ := d.roll("Pub/Sub", "Other", nil); f != noFault {
		t.Errorf("%q in the outage of another service", f)
	}
	d.stopFaults()
	for range 300 {
		if f, _ := d.roll("Firestore", "Commit", firestoreRules["Commit"]); f != noFault {
			t.Fatalf("%s after the faults were stopped", f)
		}
	}
}
