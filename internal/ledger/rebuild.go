package ledger

import (
	"time"

	"example.com/berth/internal/lifecycle"
)

// Rebuild makes the document of a resource anew from all its records, after the
// document was lost. It has no observation: State is "" and admits nothing until
// one is saved. latestEnd says when the job of a record ends at the latest. Rebuild
// returns nil if no record needs the document, because none holds or waits.
//
// While the document is missing, no move that takes, gives, queues or unqueues can be
// committed, because each of them writes it. So the records say exactly what belongs
// into the document, however long it takes to read them, if the caller writes it only
// where there still is none.
func Rebuild(name string, records []*Record, now time.Time, latestEnd func(*Record) time.Time) *Resource {
	res := &Resource{Name: name}
	needed := false
	for _, r := range records {
		switch {
		case r.Resource != name:
		case r.State.Holds():
			res.Hold(r, latestEnd(r))
			needed = true
		case r.State == lifecycle.Waiting:
			res.Join(r)
			needed = true
		}
	}
	if !needed {
		return nil
	}
	res.Version = now.UnixMicro() // no query made with the lost document fills the heads of this one
	return res
}

// Holding reports whether a resource has the hold of a record's present run.
func (r *Resource) Holding(rec *Record) bool {
	h, ok := r.Holds[rec.Key]
	return ok && h.Run == rec.Run
}
