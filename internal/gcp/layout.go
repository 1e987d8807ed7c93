package gcp

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// Collections that have fields for queries. [ExpireField] of Requests is to have a TTL
// policy.
const (
	Resources = string(ledger.KindResource)
	Requests  = string(ledger.KindRecord)

	ExpireField = "expireAt"
)

// An Index is one that a query here needs. Fields are in order, all ascending;
// one that is named like "queues[]" indexes the elements of an array.
type Index struct {
	Collection string
	Fields     []string
}

// Indexes are all indexes that the queries need. The default of every collection
// ([ledger.Kinds]) is to index nothing (a single-field exemption for "*").
var Indexes = []Index{
	{Requests, []string{"resource", "queues[]", "order"}}, // Queue
	{Requests, []string{"resource", "state", "order"}},    // InState
	{Requests, []string{"state", "timerAt"}},              // Due
	{Requests, []string{"outbox"}},                        // Unpublished
	{Resources, []string{"name"}},                         // Resources
	{Requests, []string{"recent"}},                        // List, by its filter
	{Requests, []string{"resource", "recent"}},
	{Requests, []string{"status", "recent"}},
	{Requests, []string{"resource", "status", "recent"}},
	{Requests, []string{"job"}}, // OfJob
}

// documentName is the full name of a document under a database. "~" stands for a slash in
// the last part; no name has one ([ledger.ReadSet.Check]).
func documentName(database string, ref ledger.Ref) string {
	return database + "/documents/" + string(ref.Kind) + "/" + strings.ReplaceAll(ref.Name, "/", "~")
}

// pack makes the fields of a document in normal form. The document is its JSON text, in
// one string. Native maps would show better in the console, but Firestore handles
// them value by value: a resource with a thousand holds is some ten thousand
// values, and each commit took ten times as long.
func pack(doc ledger.Document, token string) (map[string]*firestorepb.Value, error) {
	body, err := ledger.Marshal(doc)
	if err != nil {
		return nil, err
	}
	fields := map[string]*firestorepb.Value{
		"doc": stringValue(string(body)), "token": stringValue(token), "layout": integerValue(ledger.Layout), "since": integerValue(ledger.Since),
	}
	if newer := ledger.NewerOf(doc); newer != nil {
		fields["layout"], fields["since"] = integerValue(int64(newer.Layout)), integerValue(int64(newer.Since))
		if others, ok := newer.Stored.(map[string]*firestorepb.Value); ok {
			maps.Copy(fields, others)
		}
	}
	switch doc := doc.(type) {
	case *ledger.Resource:
		fields["name"] = stringValue(doc.Name)
	case *ledger.Record:
		if err := queryFields(doc, fields); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// knownFields are all fields that pack writes.
var knownFields = []string{"doc", "token", "layout", "since", "name", "resource", "state", "order", "recent", "status", "job", "queues", "head", "timerAt", "outbox", ExpireField}

// otherFields are the fields of a stored document that only a newer release knows.
// Without them a query of that release no longer finds the document.
func otherFields(stored *firestorepb.Document) map[string]*firestorepb.Value {
	others := maps.Clone(stored.GetFields())
	maps.DeleteFunc(others, func(name string, _ *firestorepb.Value) bool { return slices.Contains(knownFields, name) })
	return others
}

// queryFields adds the fields that queries use.
func queryFields(r *ledger.Record, fields map[string]*firestorepb.Value) error {
	if r.State != lifecycle.None {
		fields["resource"] = stringValue(r.Resource)
		fields["state"] = stringValue(string(r.State))
		fields["order"] = stringValue(r.Order)
	}
	if recent := r.ListKey(); recent != "" {
		fields["recent"], fields["status"] = stringValue(recent), stringValue(r.Status())
	}
	if r.Reservation.Job != "" {
		fields["job"] = stringValue(ledger.JobNumber(r.Reservation.Job))
	}
	if queues := r.Indexed(); len(queues) > 0 {
		list := &firestorepb.ArrayValue{}
		for _, queue := range queues {
			list.Values = append(list.Values, stringValue(queue))
		}
		head, err := json.Marshal(r.Head())
		if err != nil {
			return err
		}
		fields["head"] = stringValue(string(head))
		fields["queues"] = &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: list}}
	}
	if !r.TimerAt.IsZero() {
		fields["timerAt"] = timeValue(r.TimerAt)
	}
	if unpublished := r.Unpublished(); len(unpublished) > 0 {
		fields["outbox"] = timeValue(unpublished[0].Time)
	}
	if !r.ExpireAt.IsZero() {
		fields[ExpireField] = timeValue(r.ExpireAt)
	}
	return nil
}

// unpack returns a stored document, or why it cannot be read. The reason quotes
// nothing of the document, because a user may have written it.
func unpack(kind ledger.Kind, stored *firestorepb.Document) (ledger.Document, *ledger.UnreadableError) {
	ref := ledger.Ref{Kind: kind, Name: strings.ReplaceAll(string(keyOf(stored)), "~", "/")}
	unreadable := func(format string, args ...any) *ledger.UnreadableError {
		u := &ledger.UnreadableError{Ref: ref, Why: fmt.Sprintf(format, args...)}
		if kind == ledger.KindRecord {
			u.Resource = stored.GetFields()["resource"].GetStringValue()
		}
		return u
	}
	layout, since := int(stored.GetFields()["layout"].GetIntegerValue()), int(stored.GetFields()["since"].GetIntegerValue())
	if !ledger.Readable(layout, since) {
		return nil, unreadable("it has layout %d, this release knows %d", layout, ledger.Layout)
	}
	doc := ledger.New(ledger.Ref{Kind: kind}) // the name comes from the text
	err := ledger.Unmarshal([]byte(stored.GetFields()["doc"].GetStringValue()), layout, since, doc)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &syntax):
		return nil, unreadable("its text is no JSON from byte %d on", syntax.Offset)
	case errors.As(err, &wrong):
		return nil, unreadable("its text has something else where %s is to be", cmp.Or(wrong.Field, "a document"))
	default:
		return nil, unreadable("its text cannot be decoded (%T)", err)
	}
	if doc.Ref() != ref {
		return nil, unreadable("it is the document of another %s", strings.TrimSuffix(string(kind), "s"))
	}
	if err := ledger.Understood(doc); err != nil {
		return nil, unreadable("%s", err)
	}
	if newer := ledger.NewerOf(doc); newer != nil {
		newer.Stored = otherFields(stored)
	}
	return doc, nil
}

func keyOf(stored *firestorepb.Document) message.Key {
	return message.Key(stored.GetName()[strings.LastIndexByte(stored.GetName(), '/')+1:])
}

func timeValue(t time.Time) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(t)}}
}
