package ledger

import (
	"context"
	"fmt"

	"example.com/berth/internal/message"
)

// Scan returns records in order of their keys, those after the given one (""
// for the first). It is not part of the port: code that serves a request reads
// the documents of that request; only an operator's tools read everything.
func (m *Mem) Scan(ctx context.Context, after message.Key, limit int) ([]*Record, error) {
	records, skipped, err := m.query(ctx, "scan", limit, func(r *Record) bool { return r.Key > after },
		func(*Record, *Record) int { return 0 }, true)
	if err != nil {
		return nil, fmt.Errorf("scan records after %q: %w", after, err)
	}
	for i, r := range records {
		records[i] = r.Clone()
	}
	return records, SkippedOf(skipped)
}
