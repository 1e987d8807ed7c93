package controller

import (
	"context"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// drainKey is the key of the answer to the drain of a resource.
func drainKey(res *ledger.Resource) message.Key {
	return message.KeyOf(message.Operators, message.KindAnswer, res.Paused.Message)
}

// drained adds the event that nothing runs any more to the answer to the drain, in the
// update that observes it and has read that answer. It returns the answer, nil if it
// cannot be read: then a later observation says it.
func (c *Controller) drained(ctx context.Context, tx ledger.Tx, res *ledger.Resource, key message.Key) *ledger.Record {
	if !c.readable(ctx, tx, key, nil) {
		return nil
	}
	p := *res.Paused
	answer := tx.Record(key)
	if answer == nil { // it has expired meanwhile
		answer = &ledger.Record{Key: key, Kind: message.KindAnswer, Tenant: message.Operators, ID: p.Message, MessageID: p.Message}
		answer.Times.Received = tx.Now()
	}
	answer.ExpireAt = time.Time{}
	answer.Append(message.Outcome{Type: message.Drained, Tenant: message.Operators, MessageID: p.Message, PersistentResource: res.Name, Times: answer.Times,
		Operator: &message.Operation{Action: message.Drain, Who: p.Who, Reason: p.Reason}}, tx.Now())
	p.EmptyAt = tx.Now()
	res.Paused = &p
	tx.Put(answer)
	return answer
}
