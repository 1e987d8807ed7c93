package repair

import (
	"context"
	"fmt"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A Kit makes fixes. With DryRun a fix only reports the changes that it would
// make.
type Kit struct {
	Ledger   Ledger
	Vertex   vertex.Client
	Settings Settings
	DryRun   bool
}

// A Change is a change that a fix made, or would make, to one document; or one
// that it did not make.
type Change struct {
	Document  string      `json:"document"`
	Request   message.Key `json:"request,omitempty"`
	RequestID string      `json:"requestId,omitempty"`
	What      string      `json:"what"` // the part of the document
	From      string      `json:"from,omitempty"`
	To        string      `json:"to,omitempty"`
	Note      string      `json:"note,omitempty"`
	// Left says why the change is not made.
	Left string `json:"left,omitempty"`
	Done bool   `json:"done"`
}

// onRecord returns a change of a record.
func onRecord(r *ledger.Record, what string) Change {
	return Change{Document: "requests/" + string(r.Key), Request: r.Key, RequestID: r.ID, What: what}
}

// leftUnread is the change that is not made to an unreadable document.
func leftUnread(u *ledger.UnreadableError, what string) Change {
	c := Change{Document: u.Ref.String(), What: what, Left: "it cannot be read: " + u.Why}
	if u.Kind == ledger.KindRecord {
		c.Request = message.Key(u.Name)
	}
	return c
}

// update makes one fix. plan reads the documents from the transaction and puts
// the changed ones; a dry run drops the puts.
func (k Kit) update(ctx context.Context, names ledger.ReadSet, plan func(ledger.Tx) []Change) ([]Change, error) {
	var changes []Change
	err := k.Ledger.Update(ctx, names, func(tx ledger.Tx) error {
		if k.DryRun {
			tx = ledger.Tx{Docs: dry{tx.Docs}}
		}
		changes = plan(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range changes {
		changes[i].Done = !k.DryRun && changes[i].Left == ""
	}
	return changes, nil
}

// dry is a transaction that writes nothing.
type dry struct{ ledger.Documents }

func (dry) Put(ledger.Document) *ledger.UnreadableError { return nil }

// onOne updates one record, which must exist.
func (k Kit) onOne(ctx context.Context, key message.Key, plan func(ledger.Tx, *ledger.Record) Change) ([]Change, error) {
	gone := false
	changes, err := k.update(ctx, ledger.Records(key), func(tx ledger.Tx) []Change {
		rec := tx.Record(key)
		if gone = rec == nil; gone {
			return nil
		}
		return []Change{plan(tx, rec)}
	})
	if err == nil && gone {
		err = fmt.Errorf("record %s: %w", key, ErrNotFound)
	}
	return changes, err
}

// ErrNotFound means that the ledger has no such request.
var ErrNotFound = fmt.Errorf("there is no such request in the ledger")

// Find returns the key of a request by any name that an operator has: its id,
// the id of its message, the id of an answered message, or its key.
func Find(ctx context.Context, l ledger.Ledger, tenant, called string) (message.Key, error) {
	var keys []message.Key
	for _, kind := range []message.Kind{message.KindRequest, message.KindMessage, message.KindAnswer} {
		keys = append(keys, message.KeyOf(tenant, kind, called))
	}
	if key, ok := message.ParseKey(called); ok {
		keys = append(keys, key)
	}
	var found *ledger.Record
	err := ledger.Read(ctx, l, ledger.Records(keys...), func(tx ledger.Tx) {
		var known []*ledger.Record
		unreadable := message.Key("")
		for _, key := range keys {
			if tx.Unreadable(ledger.RecordRef(key)) != nil {
				unreadable = key
			} else {
				known = append(known, tx.Record(key))
			}
		}
		if found = ledger.Preferred(known...); found == nil && unreadable != "" {
			tx.Record(unreadable) // this ends the read with the document's error
		}
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("find %q of tenant %q: %w", called, tenant, err)
	case found == nil:
		return "", fmt.Errorf("find %q of tenant %q: %w", called, tenant, ErrNotFound)
	}
	return found.Key, nil
}
