package gcp

import (
	"context"
	"strings"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
)

// Spoil implements [ledgertest.Spoiler]: it changes a stored document by hand.
func (l *Ledger) Spoil(d ledger.Doc, how string) {
	i := id{string(d.Kind), d.Name}
	var text string
	err := l.batchGet(context.Background(), []id{i}, nil, func(r *firestorepb.BatchGetDocumentsResponse) {
		text = r.GetFound().GetFields()["doc"].GetStringValue()
	})
	if err != nil || text == "" {
		panic("spoil " + d.String() + ": it is not there")
	}
	field, value := "doc", stringValue("")
	switch how {
	case "layout":
		field, value = "layout", integerValue(layout+1)
	case "text":
		value = stringValue(text[:len(text)/2])
	case "name":
		value = stringValue(strings.Replace(text, d.Name, "other", 1))
	case "state":
		value = stringValue(strings.Replace(text, `"state":"`, `"state":"PAUSED`, 1))
	}
	for {
		_, err = l.client.Commit(l.headers(context.Background()), &firestorepb.CommitRequest{Database: l.database, Writes: []*firestorepb.Write{{
			Operation:  &firestorepb.Write_Update{Update: &firestorepb.Document{Name: i.path(l.database), Fields: map[string]*firestorepb.Value{field: value}}},
			UpdateMask: &firestorepb.DocumentMask{FieldPaths: []string{field}},
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
		fields := map[string]*firestorepb.Value{"layout": integerValue(layout), "doc": stringValue(text), "resource": stringValue("r")}
		doc, bad := unpack(Requests, &firestorepb.Document{Name: "projects/p/databases/d/documents/requests/k", Fields: fields})
		switch {
		case bad == nil:
			t.Errorf("%s was read as %+v", text, doc)
		case strings.Contains(bad.Error(), secret) || bad.Doc != ledger.RecordDoc("k") || bad.Resource != "r":
			t.Errorf("%s: %v (%+v)", text, bad, bad)
		}
	}
}
