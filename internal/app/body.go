package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"example.com/berth/internal/message"
)

// large is the size in bytes up to which bodies are read at once, whoever sends
// them. The few that are longer are read on one at a time: twenty of the largest
// at once would not fit into memory.
const large = message.MaxData * 2

// bodyWithin is how long a body may take to come in, and once more for what a
// large one has beyond that size. Pub/Sub sends within milliseconds; a sender
// who does not would hold a slot of the instance for as long as the service's
// timeout.
const bodyWithin = 20 * time.Second

// errBusy says that other large bodies were being read for too long.
var errBusy = errors.New("too many large bodies at once")

// A timedBody ends a body that takes too long to come in.
type timedBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

// inTime gives the body of a request a time until which it has to be there.
// Where the connection cannot be given one, as in tests, nothing changes.
func inTime(w http.ResponseWriter, r *http.Request) *timedBody {
	b := &timedBody{r.Body, http.NewResponseController(w)}
	b.extend()
	return b
}

func (b *timedBody) extend() { _ = b.conn.SetReadDeadline(time.Now().Add(bodyWithin)) }

// Read takes the deadline back at the end: it would end the request's context
// when it passes, in the middle of a commit.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// read returns a body of at most most bytes; an error is an *http.MaxBytesError,
// errBusy, or that of the connection. free is to be called when the body is not
// held in memory any more.
func (a *App) read(ctx context.Context, w http.ResponseWriter, r *http.Request, most int64) (body []byte, free func(), err error) {
	free = func() {}
	timed := inTime(w, r)
	in := http.MaxBytesReader(w, timed, most)
	body, err = io.ReadAll(io.LimitReader(in, large))
	if err != nil || len(body) < large {
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
