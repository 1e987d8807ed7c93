package gcp

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"time"

	firestore "cloud.google.com/go/firestore/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc/metadata"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/telemetry"
)

// Bounds of one update. One that loses every try has waited for about ten times
// the longest pause, or less where tries are fast.
const (
	updateTries    = 12
	readTries      = 3
	readDeadline   = 5 * time.Second
	commitDeadline = 10 * time.Second
	checkDeadline  = 5 * time.Second // of the read that finds out whether a commit landed; it goes on after the caller's context
)

// LedgerOptions say which database.
type LedgerOptions struct {
	Project  string // id
	Database string // id, "" for "(default)"
	// AllowEmulator lets FIRESTORE_EMULATOR_HOST take the place of Firestore.
	// Without it the variable is an error.
	AllowEmulator bool
	ClientOptions []option.ClientOption
	// Telemetry counts commits; nil if nothing does.
	Telemetry *telemetry.Recorder
}

// A Ledger is a [ledger.Ledger] in Firestore. It is safe for concurrent use.
type Ledger struct {
	rpcs
	client     *firestore.Client
	database   string // projects/P/databases/D
	recent     recent
	contention contention
	telemetry  *telemetry.Recorder
}

var _ ledger.Ledger = (*Ledger)(nil)

// OpenLedger makes the client. It looks for credentials, but does not connect:
// the first call does.
func OpenLedger(ctx context.Context, o LedgerOptions) (*Ledger, error) {
	if o.Project == "" {
		return nil, fmt.Errorf("open ledger: no project")
	}
	if o.Database == "" {
		o.Database = "(default)"
	}
	l := &Ledger{database: "projects/" + o.Project + "/databases/" + o.Database, telemetry: o.Telemetry}
	options, err := emulator("FIRESTORE_EMULATOR_HOST", o.AllowEmulator)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", l.database, err)
	}
	options = append(append(l.option(), options...), o.ClientOptions...)
	if l.client, err = firestore.NewClient(ctx, options...); err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", l.database, err)
	}
	// The library's defaults would repeat a commit whose answer was lost.
	l.client.CallOptions = &firestore.CallOptions{}
	return l, nil
}

// Close ends the connections.
func (l *Ledger) Close() error { return l.client.Close() }

// headers names the database to the server's front end, as named databases need.
func (l *Ledger) headers(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "google-cloud-resource-prefix", l.database)
}

// Update implements [ledger.Ledger].
func (l *Ledger) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	hint := ledger.HintsOf(hints)
	named, err := reads.Refs()
	if err != nil {
		return err
	}
	about := named[0].String()
	if len(named) > 1 {
		about = fmt.Sprintf("%s and %d more", about, len(named)-1)
	}
	var unclear error // of a commit that may have landed, or may yet land
	recent := hint.Recent
	lost := 0           // commits
	var began time.Time // of the last try
	var wait time.Duration
	if hint.More != nil {
		wait = l.contention.before(reads.Names(ledger.KindResource), time.Now())
	}
	for try := 0; try < updateTries; try++ {
		if lost > 0 {
			// Updates that collided ran at the same time, each for as long as a try
			// takes: the pause spreads them over that time.
			wait = max(wait, min(max(firstPause, time.Since(began))<<min(lost-1, 6), longestPause))
		}
		if wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return unclearError(about, unclear, fmt.Errorf("update of %s: %w", about, err))
			}
			if hint.More != nil {
				reads = reads.And(hint.More())
				if named, err = reads.Refs(); err != nil {
					return unclearError(about, unclear, err)
				}
			}
		}
		began = time.Now()
		if err := ctx.Err(); err != nil {
			return unclearError(about, unclear, fmt.Errorf("update of %s: %w", about, err))
		}
		snap, remembered, err := l.snapshot(ctx, named, hint.Fresh, recent)
		if err != nil {
			return unclearError(about, unclear, failed(ctx, "read "+about, err))
		}
		recent = false
		docs := newDocuments(snap)
		err = ledger.RunClosure(closure, docs)
		if remembered && (err != nil || len(docs.puts) == 0) {
			try-- // no commit checks it, so the closure has to run on what was read
			continue
		}
		if err != nil {
			return err
		}
		if len(docs.puts) == 0 {
			return nil
		}
		token := rand.Text()
		writes, err := l.writes(docs, token)
		if err != nil {
			return unclearError(about, unclear, fmt.Errorf("commit of %s: %w", about, err))
		}
		answer, err := l.commit(ctx, docs, writes)
		l.telemetry.Commit(ctx, answer.String())
		switch answer {
		case committed:
			l.contention.after(reads.Names(ledger.KindResource), lost, time.Since(began), time.Now())
			return nil
		case refused:
			return unclearError(about, unclear, failed(ctx, "commit of "+about, err))
		case unknown:
			// The documents may bear the commit's token now, later, or never.
			landed, checkErr := l.landed(ctx, docs.puts, token)
			if landed {
				return nil
			}
			unclear = failed(ctx, "commit of "+about, err)
			if checkErr != nil {
				return unclearError(about, unclear, checkErr)
			}
		}
		lost++
	}
	l.contention.after(reads.Names(ledger.KindResource), lost, time.Since(began), time.Now())
	return unclearError(about, unclear, ledger.ErrBusy)
}

// snapshot gets the named documents: with recent, those that this process remembers as
// it wrote them last, but for the fresh ones; it reads the others. Whether all are of
// one moment is checked by the commit.
func (l *Ledger) snapshot(ctx context.Context, named []ledger.Ref, fresh ledger.ReadSet, recent bool) (snap snapshot, remembered bool, err error) {
	if !recent {
		snap, err = l.read(ctx, named)
		return snap, false, err
	}
	known, others := l.recent.take(named, fresh, time.Now())
	if len(others) == 0 {
		return known, true, nil
	}
	if snap, err = l.read(ctx, others); err != nil {
		return snap, false, err
	}
	maps.Copy(snap.docs, known.docs)
	return snap, len(known.docs) > 0, nil
}

// unclearError is the error of an update that ends with err after a commit that may
// have landed; unclear is the commit's error, nil if there was none. A caller must not
// take it for one after which nothing was written.
func unclearError(about string, unclear, err error) error {
	if unclear == nil {
		return err
	}
	return fmt.Errorf("whether an update of %s landed is not known: %w; then: %v", about, unclear, err)
}
