package controller

import (
	"cmp"
	"context"
	"fmt"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// Requests of one concurrency key. The document of the key names the request that took it
// last. The update that decides a request reads that document and that request, and
// writes the document with its own, so of two requests at the same moment one finds the
// other. To forbid is to refuse the new one in that update; to replace is to cancel the
// earlier one in it, so neither can be lost without the other.
//
// A key that is used for the first time has no document, nor has one whose document was
// lost. The live requests of the resource then show whether there is an earlier one.

// mostLive bounds the live requests that are searched for an earlier one of a key, and
// liveRead how many are read at once: each can hold a specification of 256 KiB.
const (
	mostLive = 100
	liveRead = 20
)

// An among is what is known of the earlier request of a key, and what has to be read yet.
type among struct {
	searched bool        // the document of the key is not there, and the live requests have been searched
	found    message.Key // what the search has found
	key      message.Key // the earlier request, which the update reads
	resource string      // and the resource that its cancel writes
	need     need        // what the last run of the update has found missing
}

// A need is one thing more to read. A run of the update sets it and reads nothing by it:
// it may run again on the same documents.
type need struct {
	search   bool
	key      message.Key
	resource string
	rebuild  string // a resource whose document is not there
}

// reads are the documents that the update reads for the key of a request.
func (a *among) reads(draft *ledger.Record) (reads ledger.ReadSet) {
	if !draft.Concurrency.Exclusive() {
		return reads
	}
	reads = ledger.Concurrencies(ledger.ConcurrencyName(draft.Tenant, draft.Concurrency.Key))
	if a.key != "" {
		reads = reads.And(ledger.Records(a.key))
	}
	if a.resource != "" && a.resource != draft.Resource {
		reads = reads.And(ledger.Resources(a.resource))
	}
	return reads
}

// earlier returns the request of the same key that has not ended, nil for none. unread
// says that more has to be read to know it; then a says what.
func (a *among) earlier(tx ledger.Tx, draft *ledger.Record) (rec *ledger.Record, unread bool) {
	a.need = need{}
	if !draft.Concurrency.Exclusive() {
		return nil, false
	}
	last := a.found
	if doc := ledger.Get[*ledger.Concurrency](tx, ledger.ConcurrencyRef(ledger.ConcurrencyName(draft.Tenant, draft.Concurrency.Key))); doc != nil {
		last = doc.Last
	} else if !a.searched {
		a.need.search = true
		return nil, true
	}
	switch {
	case last == "" || last == draft.Key:
		return nil, false
	case last != a.key:
		a.need.key = last
		return nil, true
	}
	if rec = tx.Record(last); rec == nil || rec.State == lifecycle.None || rec.State.Terminal() {
		return nil, false // it has ended, and its document may be gone
	}
	if draft.Concurrency.Policy == message.Replace && needsResource(rec) {
		if a.resource != rec.Resource && rec.Resource != draft.Resource {
			a.need.resource = rec.Resource
			return nil, true
		}
		if tx.Resource(rec.Resource) == nil {
			a.need.rebuild = rec.Resource
			return nil, true
		}
	}
	return rec, false
}

// meet does what the last run of the update has asked for.
func (c *Controller) meet(ctx context.Context, draft *ledger.Record, a *among) (err error) {
	switch {
	case a.need.search:
		if a.found, err = c.searchEarlier(ctx, draft); err != nil {
			return err
		}
		a.searched = true
	case a.need.key != "":
		a.key, a.resource = a.need.key, ""
	case a.need.resource != "":
		a.resource = a.need.resource
	case a.need.rebuild != "":
		if rebuilt, err := c.rebuild(ctx, a.need.rebuild); err != nil || !rebuilt {
			return fmt.Errorf("the document of the resource of an earlier request is missing: %w", cmp.Or(err, ledger.ErrBusy))
		}
	}
	return nil
}

// readAmong reads the documents of a new request and shows them to see, and returns the
// request of the same concurrency key that has not ended, nil for none. It writes nothing.
func (c *Controller) readAmong(ctx context.Context, draft *ledger.Record, see func(ledger.Tx)) (earlier *ledger.Record, err error) {
	asked := *draft
	if asked.Concurrency.Exclusive() {
		asked.Concurrency.Policy = message.Forbid // what a replacement writes is not read
	}
	var a among
	for {
		unread := false
		names := ledger.Resources(asked.Resource).And(ledger.Records(asked.Key)).And(a.reads(&asked))
		if err := ledger.Read(ctx, c.ledger, names, func(tx ledger.Tx) {
			see(tx)
			earlier, unread = a.earlier(tx, &asked)
		}); err != nil || !unread {
			return earlier, err
		}
		if err := c.meet(ctx, &asked, &a); err != nil {
			return nil, err
		}
	}
}

// searchEarlier looks for the latest request of the same key that has not ended.
func (c *Controller) searchEarlier(ctx context.Context, draft *ledger.Record) (message.Key, error) {
	var live []string
	for _, s := range lifecycle.States {
		if !s.Terminal() {
			live = append(live, string(s))
		}
	}
	after := ""
	for read := 0; read < mostLive; read += liveRead {
		recs, err := c.ledger.List(ctx, ledger.Filter{Resource: draft.Resource, Statuses: live}, after, liveRead)
		if _, err = ledger.Skipped(err); err != nil {
			return "", fmt.Errorf("search for an earlier request of a concurrency key: %w", err)
		}
		for _, rec := range recs {
			if rec.Tenant == draft.Tenant && rec.Concurrency.Exclusive() && rec.Concurrency.Key == draft.Concurrency.Key && rec.Key != draft.Key {
				return rec.Key, nil
			}
			after = rec.ListKey()
		}
		if len(recs) < liveRead {
			break
		}
	}
	return "", nil
}

// forbidden is the reason to refuse a request because of an earlier one of its key, nil
// for none. A job that is being cancelled still runs.
func forbidden(draft, earlier *ledger.Record) *reason.Problem {
	if earlier == nil || draft.Concurrency.Policy != message.Forbid {
		return nil
	}
	return &reason.Problem{Code: reason.AlreadyActive, Path: draft.Paths.At("concurrencyPolicy"),
		Detail: fmt.Sprintf("The request %s of the same concurrency key has not ended: it is %s.", earlier.ID, earlier.State),
		Fix:    "Send this one again under a new id when that one has ended; with the policy replace Berth cancels that one and takes this one."}
}

// takeConcurrency gives the key to a request that was taken, and cancels the earlier one
// that it replaces. It returns that one, nil if none was cancelled.
func (c *Controller) takeConcurrency(ctx context.Context, tx ledger.Tx, rec, earlier *ledger.Record) *ledger.Record {
	if !rec.Concurrency.Exclusive() {
		return nil
	}
	name := ledger.ConcurrencyName(rec.Tenant, rec.Concurrency.Key)
	doc := ledger.Get[*ledger.Concurrency](tx, ledger.ConcurrencyRef(name))
	if doc == nil {
		doc = &ledger.Concurrency{Name: name, Tenant: rec.Tenant, Key: rec.Concurrency.Key}
	}
	doc.Last = rec.Key
	tx.Put(doc)
	if earlier == nil || !earlier.Active() || rec.Concurrency.Policy != message.Replace {
		return nil
	}
	var did cancelling
	c.cancelRecord(ctx, tx, earlier, rec.MessageID, &reason.Problem{Code: reason.Replaced,
		Detail: fmt.Sprintf("The request %s of the same concurrency key took its place.", rec.ID)}, &did)
	return did.moved
}

// sendReplaced goes on after the update that cancelled a request for another. After a
// crash before it, the timer of the request does the same.
func (c *Controller) sendReplaced(ctx context.Context, rec *ledger.Record) {
	ctx = withRecord(ctx, rec)
	c.log.InfoContext(ctx, "replaced", "event", "cancel", "state", string(rec.State))
	c.sendCancel(ctx, rec)
	c.publishOrLeave(ctx, rec)
}
