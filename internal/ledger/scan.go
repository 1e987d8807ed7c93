package ledger

import "context"

// Scan returns documents of a kind in an order of their names, those after the given
// one ("" for the first). It is not part of the port: code that serves a request reads
// the documents of that request; only an operator's tools read everything.
func (m *Mem) Scan(ctx context.Context, kind Kind, after string, limit int) ([]Document, error) {
	return m.scan(ctx, "scan", kind, after, limit)
}

func (m *Mem) scan(ctx context.Context, query string, kind Kind, after string, limit int) (found []Document, err error) {
	if err := m.startQuery(ctx, query); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var skipped []*UnreadableError
	for _, ref := range m.sorted() {
		switch s := m.slots[ref]; {
		case ref.Kind != kind || ref.Name <= after || len(found) >= limit:
		case s.bad != nil:
			skipped = append(skipped, s.bad)
		default:
			found = append(found, clone(s.doc))
		}
	}
	return found, SkippedOf(skipped)
}
