package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/emulator"
)

// upstream answers every call with its request, twice, and counts.
func upstream(t *testing.T, calls *atomic.Int64) string {
	t.Helper()
	lis, err := emulator.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		f := &frame{}
		if err := stream.RecvMsg(f); err != nil {
			return err
		}
		calls.Add(1)
		if string(f.data) == "no" {
			return status.Error(codes.FailedPrecondition, "own words")
		}
		return errors.Join(stream.SendMsg(f), stream.SendMsg(f))
	}))
	go func() { _ = s.Serve(lis) }()
	t.Cleanup(s.Stop)
	return lis.Addr().String()
}

func ask(t *testing.T, host, text string) (answers int, err error) {
	t.Helper()
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := conn.NewStream(context.WithoutCancel(t.Context()), &grpc.StreamDesc{ServerStreams: true}, "/any.Service/Method", grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&frame{data: []byte(text)}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for {
		f := &frame{}
		if err := stream.RecvMsg(f); errors.Is(err, io.EOF) {
			return answers, nil
		} else if err != nil {
			return answers, err
		}
		if string(f.data) != text {
			t.Errorf("answer %q, want %q", f.data, text)
		}
		answers++
	}
}

func TestProxy(t *testing.T) {
	for _, test := range []struct {
		fault   Fault
		text    string
		answers int
		code    codes.Code
		done    int64 // calls that got through
	}{
		{noFault, "yes", 2, codes.OK, 1},
		{noFault, "no", 0, codes.FailedPrecondition, 1},
		{slow, "yes", 2, codes.OK, 1},
		{abortedBefore, "yes", 0, codes.Aborted, 0},
		{unavailableBefore, "yes", 0, codes.Unavailable, 0},
		{rateLimited, "yes", 0, codes.ResourceExhausted, 0},
		{unavailableAfter, "yes", 0, codes.Unavailable, 1},
		{deadlineAfter, "yes", 0, codes.DeadlineExceeded, 1},
		{brokenOff, "yes", 1, codes.Unavailable, 1},
		{doneLater, "yes", 0, codes.Unavailable, 1},
	} {
		t.Run(fmt.Sprintf("%s/%s", test.fault, test.text), func(t *testing.T) {
			t.Parallel()
			var done atomic.Int64
			var late, before, after int
			p := &proxy{service: "it", dice: newDice(1, 1),
				before: func(_ string, req []byte, since time.Duration) []byte {
					before++
					if since > slowest {
						late++
					}
					return req
				},
				after: func(method string, req, answer []byte) {
					after++
					if method != "Method" || string(req) != "yes" || string(answer) != "yes" {
						t.Errorf("heard of %s(%s) = %s", method, req, answer)
					}
				}}
			if test.fault != noFault {
				p.rules = rules{"Method": {test.fault}}
			}
			if err := p.start(upstream(t, &done)); err != nil {
				t.Fatal(err)
			}
			answers, err := ask(t, p.host, test.text)
			p.late.Wait()
			if err := p.stop(); err != nil {
				t.Error(err)
			}
			if answers != test.answers || status.Code(err) != test.code || done.Load() != test.done {
				t.Errorf("%d answers, %v, %d calls got through; want %d, %s, %d", answers, err, done.Load(), test.answers, test.code, test.done)
			}
			if test.code == codes.FailedPrecondition && status.Convert(err).Message() != "own words" {
				t.Errorf("the service's own error became %v", err)
			}
			if int64(before) != test.done || (late > 0) != (test.fault == doneLater) || (after > 0) != (test.done > 0 && test.text == "yes") {
				t.Errorf("heard of %d calls before, %d of them late, and %d after", before, late, after)
			}
		})
	}
}

// TestDice: a calm set spares every call; no fault is left out for long.
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
	d.calm()
	for range 300 {
		if f, _ := d.roll("Firestore", "Commit", firestoreRules["Commit"]); f != noFault {
			t.Fatalf("%s after calm", f)
		}
	}
}
