package gcp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
)

// Spoil implements [ledgertest.Spoiler]: it changes a stored document by hand.
func (l *Ledger) Spoil(d ledger.Ref, how string) {
	var text string
	err := repeat(context.Background(), readTries, readDeadline, func(ctx context.Context) error {
		return l.batchGet(ctx, []ledger.Ref{d}, nil, func(r *firestorepb.BatchGetDocumentsResponse) {
			text = r.GetFound().GetFields()["doc"].GetStringValue()
		})
	})
	if err != nil || text == "" {
		panic(fmt.Sprintf("spoil %s: %v, text %q", d, err, text))
	}
	fields := map[string]*firestorepb.Value{}
	switch how {
	case "layout":
		fields["layout"], fields["since"] = integerValue(ledger.Layout+1), integerValue(ledger.Layout+1)
	case "text":
		fields["doc"] = stringValue(text[:len(text)/2])
	case "name":
		fields["doc"] = stringValue(strings.Replace(text, d.Name, "other", 1))
	case "state":
		fields["doc"] = stringValue(strings.Replace(text, `"state":"`, `"state":"PAUSED`, 1))
	}
	for {
		_, err = l.client.Commit(l.headers(context.Background()), &firestorepb.CommitRequest{Database: l.database, Writes: []*firestorepb.Write{{
			Operation:  &firestorepb.Write_Update{Update: &firestorepb.Document{Name: documentName(l.database, d), Fields: fields}},
			UpdateMask: &firestorepb.DocumentMask{FieldPaths: slices.Sorted(maps.Keys(fields))},
		}}})
		if err == nil {
			break
		} else if !strings.Contains(err.Error(), "injected") {
			panic(err)
		}
	}
	l.recent = recent{}
}

var _ ledgertest.Spoiler = (*Ledger)(nil)

// What is said of an unreadable document quotes nothing that a user wrote.
func TestUnreadableQuotesNothing(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		`{"key":"k","labels":{"a":"` + secret, `{"key":"k","labels":"` + secret + `"}`, `{"key":"k","timerAt":"` + secret + `"}`,
		`{"key":"` + secret + `"}`, `{"key":"k","reservation":{"state":"` + secret + `"}}`, `{"key":"k","kind":"` + secret + `"}`, secret, "",
	} {
		fields := map[string]*firestorepb.Value{"layout": integerValue(ledger.Layout), "doc": stringValue(text), "resource": stringValue("r")}
		doc, bad := unpack(ledger.KindRecord, &firestorepb.Document{Name: "projects/p/databases/d/documents/requests/k", Fields: fields})
		switch {
		case bad == nil:
			t.Errorf("%s was read as %+v", text, doc)
		case strings.Contains(bad.Error(), secret) || bad.Ref != ledger.RecordRef("k") || bad.Resource != "r":
			t.Errorf("%s: %v (%+v)", text, bad, bad)
		}
	}
}
