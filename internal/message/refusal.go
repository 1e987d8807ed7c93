package message

import (
	"fmt"

	"example.com/berth/internal/reason"
)

// A Refusal is the error of every decoder of this package: the problems of a
// message in document order, at most [strict.MaxProblems]. It is final, because the
// same bytes can never decode.
type Refusal struct {
	// ClaimedID is the request id that the message carries, when it could be
	// read. It is data, never a key: a refused message must not touch the
	// request of that name.
	ClaimedID string
	Problems  []reason.Problem // never empty
}

func (r *Refusal) Error() string {
	s := "message refused: " + r.Problems[0].String()
	if n := len(r.Problems) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}
