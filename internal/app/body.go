package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"example.com/berth/internal/message"
)

// large is the size in bytes up to which all bodies are read at once. Longer
// bodies are rare and read one at a time, because twenty of the largest would
// not fit into memory.
const large = message.MaxData * 2

// bodyWithin is how long a body may take to arrive, and again for the part of a
// large one beyond that size. Pub/Sub sends within milliseconds; a slow sender
// would hold a slot of the instance for the whole timeout of the service.
const bodyWithin = 20 * time.Second

// errBusy means that other large bodies were read for too long.
var errBusy = errors.New("too many large bodies at once")

// A timedBody ends a body that arrives too slowly.
type timedBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

// inTime sets the time by which the body of a request must have arrived. It has
// no effect on a connection without deadlines, as in tests.
func inTime(w http.ResponseWriter, r *http.Request) *timedBody {
	b := &timedBody{r.Body, http.NewResponseController(w)}
	b.extend()
	return b
}

func (b *timedBody) extend() { _ = b.conn.SetReadDeadline(time.Now().Add(bodyWithin)) }

// Read removes the deadline at the end of the body: it would otherwise end the
// request's context in the middle of a commit.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// read returns a body of at most most bytes; an error is an
// *http.MaxBytesError, errBusy, or that of the connection. The caller calls
// free when it no longer holds the body in memory.
func (a *App) read(ctx context.Context, w http.ResponseWriter, r *http.Request, most int64) (body []byte, free func(), err error) {
	free = func() {}
	timed := inTime(w, r)
	in := http.MaxBytesReader(w, timed, most)
	body, err = io.ReadAll(io.LimitReader(in, large))
	if len(body) < large {
		return body, free, err
	}
	select {
	case a.large <- struct{}{}:
		free = func() { <-a.large }
	case <-ctx.Done():
		return nil, free, errBusy
	}
	timed.extend()
	rest, err := io.ReadAll(in)
	return append(body, rest...), free, err
}
