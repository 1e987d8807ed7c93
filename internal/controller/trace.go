package controller

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/vertex"
)

// An updater is the part of a ledger that updates go through.
type updater interface {
	Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error
}

// tracedUpdates makes a step of each update that a request waits for: also of the wait
// for updates of others that go with it.
type tracedUpdates struct {
	updater
	telemetry *telemetry.Recorder
}

func (t tracedUpdates) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	ctx, span := t.telemetry.Start(ctx, "commit")
	err := t.updater.Update(ctx, reads, closure, hints...)
	span.End(failure(err))
	return err
}

// tracedVertex makes a step of each call of Vertex AI.
type tracedVertex struct {
	vertex.Client
	telemetry *telemetry.Recorder
}

const vertexService = "aiplatform.googleapis.com"

func (t tracedVertex) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (vertex.Job, error) {
	ctx, span := t.telemetry.Call(ctx, "vertex create", vertexService)
	created, err := t.Client.Create(ctx, parent, job)
	span.End(failure(err))
	return created, err
}

func (t tracedVertex) Get(ctx context.Context, name string) (vertex.Job, error) {
	ctx, span := t.telemetry.Call(ctx, "vertex get", vertexService)
	job, err := t.Client.Get(ctx, name)
	span.End(failure(err))
	return job, err
}

func (t tracedVertex) Find(ctx context.Context, parent, run string) ([]vertex.Job, error) {
	ctx, span := t.telemetry.Call(ctx, "vertex find", vertexService)
	jobs, err := t.Client.Find(ctx, parent, run)
	span.End(failure(err))
	return jobs, err
}

func (t tracedVertex) Live(ctx context.Context, parent string) ([]vertex.Job, error) {
	ctx, span := t.telemetry.Call(ctx, "vertex list", vertexService)
	jobs, err := t.Client.Live(ctx, parent)
	span.End(failure(err))
	return jobs, err
}

func (t tracedVertex) Cancel(ctx context.Context, name string) error {
	ctx, span := t.telemetry.Call(ctx, "vertex cancel", vertexService)
	err := t.Client.Cancel(ctx, name)
	span.End(failure(err))
	return err
}

func (t tracedVertex) Resource(ctx context.Context, name string) (vertex.Resource, error) {
	ctx, span := t.telemetry.Call(ctx, "vertex resource", vertexService)
	res, err := t.Client.Resource(ctx, name)
	span.End(failure(err))
	return res, err
}

// failure is the kind of an error in a word, "" for none. Its text may quote a job.
func failure(err error) string {
	unreadable := (*ledger.UnreadableError)(nil)
	of := (*vertex.Error)(nil)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &of):
		return string(of.Kind)
	case errors.Is(err, ledger.ErrBusy):
		return "BUSY"
	case errors.Is(err, ledger.ErrRefused):
		return "REFUSED"
	case errors.As(err, &unreadable):
		return "UNREADABLE"
	case errors.Is(err, context.DeadlineExceeded):
		return "DEADLINE_EXCEEDED"
	case errors.Is(err, context.Canceled):
		return "CANCELLED"
	}
	return "FAILED"
}

// published counts events that have been published at a moment of the ledger, and the
// holds that they report the end of.
func (c *Controller) published(ctx context.Context, events []ledger.OutboxEvent, now time.Time) {
	for _, e := range events {
		c.env.Telemetry.Published(ctx, now.Sub(e.Time))
		t := e.Outcome.Times
		switch {
		case t.Reserved.IsZero():
		case e.Type == message.Queued && t.Queued.Equal(e.Time), // it waits again
			e.Type != message.Queued && e.Type.Terminal() && !t.Queued.After(t.Reserved):
			c.env.Telemetry.Hold(ctx, e.Time.Sub(t.Reserved), e.Outcome.State)
		}
	}
}
