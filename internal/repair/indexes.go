package repair

import (
	"context"
	"fmt"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// CheckIndexes is the name of the check of indexes.
const CheckIndexes = "indexes"

// Indexes makes every query that the functions make. A missing index fails its
// query only.
func Indexes(ctx context.Context, l Ledger) Finding {
	statuses := []string{string(lifecycle.Waiting)}
	const unused = "projects/p/locations/l/persistentResources/none"
	queries := []struct {
		name string
		ask  func() error
	}{
		{"resources by name", func() error { _, err := l.Resources(ctx, "", 1); return err }},
		{"requests by queue", func() error { _, err := l.Queue(ctx, unused, "none", "", 1); return err }},
		{"requests by state", func() error { _, err := l.InState(ctx, unused, lifecycle.Waiting, "", 1); return err }},
		{"requests by time", func() error { _, err := l.List(ctx, ledger.Filter{}, "", 1); return err }},
		{"requests by resource and time", func() error { _, err := l.List(ctx, ledger.Filter{Resource: unused}, "", 1); return err }},
		{"requests by status and time", func() error { _, err := l.List(ctx, ledger.Filter{Statuses: statuses}, "", 1); return err }},
		{"requests by resource, status and time", func() error {
			_, err := l.List(ctx, ledger.Filter{Resource: unused, Statuses: statuses}, "", 1)
			return err
		}},
		{"requests by job", func() error { _, err := l.OfJob(ctx, "none", 1); return err }},
		{"requests by state and timerAt", func() error { _, err := l.Due(ctx, lifecycle.States, time.Unix(0, 0), ledger.Timed{}, 1); return err }},
		{"requests by outbox", func() error { _, err := l.Unpublished(ctx, ledger.Timed{}, 1); return err }},
	}
	var failed []string
	for _, q := range queries {
		if _, err := ledger.Skipped(q.ask()); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", q.name, err))
		}
	}
	if len(failed) > 0 {
		return Finding{Check: CheckIndexes, Level: Fail, Text: "queries fail: " + strings.Join(failed, "; "),
			Means: "Work that the functions find by these queries is never done.",
			Do:    "Run deploy/deploy.sh again; it makes the indexes. An index takes minutes to build."}
	}
	return Finding{Check: CheckIndexes, Level: OK, Text: fmt.Sprintf("all %d queries of the functions are answered", len(queries))}
}
