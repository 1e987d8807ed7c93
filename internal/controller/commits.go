package controller

import (
	"context"
	"sync"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// perUpdate bounds the records that one update reads, and so its size: a
// record can have 256 KiB, a commit 10 MiB.
const perUpdate = 20

// Bounds of an update that names many records: a commit has 10 MiB.
const (
	commitRecords = 100
	commitBytes   = 4 << 20
)

// inCommits yields records in parts that go into one commit each.
func inCommits(recs []*ledger.Record) func(yield func([]*ledger.Record) bool) {
	return func(yield func([]*ledger.Record) bool) {
		for len(recs) > 0 {
			n, bytes := 0, 0
			for n < len(recs) && n < commitRecords && (n == 0 || bytes+recs[n].Weight() <= commitBytes) {
				bytes += recs[n].Weight()
				n++
			}
			if !yield(recs[:n]) {
				return
			}
			recs = recs[n:]
		}
	}
}

// read returns a record, nil when there is none.
func (c *Controller) read(ctx context.Context, key message.Key) (rec *ledger.Record, err error) {
	err = ledger.Read(ctx, c.ledger, ledger.Records(key), func(tx ledger.Tx) { rec = tx.Record(key) })
	return rec, err
}

// A resume is where a pass of this instance left off a query that goes by time.
type resume struct {
	mu   sync.Mutex
	from ledger.Timed
}

func (r *resume) get() ledger.Timed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from
}

func (r *resume) set(from ledger.Timed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from = from
}

// oneByOne returns up to most records of a query that goes by time, and whether
// there are more. It leaves out those that could not be read lately. Where it
// ends, the instance's next pass begins: records that stay in the query, because
// what is due for them fails, must not keep the others back.
func (c *Controller) oneByOne(from *resume, most int, query func(after ledger.Timed, limit int) ([]ledger.Timed, error)) (keys []message.Key, more bool, err error) {
	const pages = 20 // of which all but one are about unreadable records
	start := from.get()
	after, now := start, c.env.Monotonic()
	for range pages {
		found, err := query(after, most)
		if err != nil {
			return nil, false, err
		}
		for _, place := range found {
			if len(keys) == most {
				from.set(after)
				return keys, true, nil
			}
			if after = place; !c.unreadable.known(place.Key, now) {
				keys = append(keys, place.Key)
			}
		}
		if len(found) < most {
			from.set(ledger.Timed{}) // the next pass begins with the first again
			return keys, start != ledger.Timed{}, nil
		}
		if len(keys) == most {
			break
		}
	}
	from.set(after)
	return keys, true, nil
}

// firstOf is where a pass begins with n things: at another quarter of them each tick,
// so that those that fail or hang do not keep others back for long.
func (c *Controller) firstOf(n int, now time.Time) int {
	if n == 0 {
		return 0
	}
	return int(now.Unix()/int64(max(time.Second, c.cfg.Tick)/time.Second)) % 4 * ((n + 3) / 4) % n
}

// since keeps the earliest time of those that a query found. Records that are known to
// be unreadable have an alarm of their own.
func (c *Controller) since(at *time.Time, found []ledger.Timed) {
	for _, place := range found {
		if !c.unreadable.known(place.Key, c.env.Monotonic()) {
			earliest(at, place.Time)
			return // they come in order
		}
	}
}
