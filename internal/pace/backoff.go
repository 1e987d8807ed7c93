package pace

import "time"

// A Backoff pauses what was refused. The pauses double as long as each refusal
// comes soon after the pause before it.
type Backoff struct {
	NotBefore time.Time `json:"notBefore,omitzero"` // end of the last pause
	Refusals  int       `json:"refusals,omitempty"` // pauses in a row; 0 after a success
}

// Paused reports whether a pause lasts.
func (b Backoff) Paused(now time.Time) bool { return now.Before(b.NotBefore) }

// Refuse begins a pause, in the place of one that lasts. The first is first long,
// none longer than most. The count begins anew if the last pause ended more than
// memory ago.
func (b *Backoff) Refuse(now time.Time, first, most, memory time.Duration) {
	if now.Sub(b.NotBefore) > memory {
		b.Refusals = 0
	}
	b.NotBefore = now.Add(Double(first, most, b.Refusals))
	b.Refusals++
}

// Double returns first doubled so many times, most if that is more. It does not
// overflow.
func Double(first, most time.Duration, times int) time.Duration {
	for ; times > 0 && first > 0 && first < most; times-- {
		if first > most/2 {
			return most
		}
		first *= 2
	}
	return min(first, most)
}
