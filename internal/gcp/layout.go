package gcp

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// Collections. [ExpireField] of Requests is to have a TTL policy.
const (
	Resources = "resources"
	Requests  = "requests"
	Leases    = "leases"
	Budgets   = "budgets"

	ExpireField = "expireAt"
)

// An Index is one that a query here needs. Fields are in order, all ascending;
// one that is named like "queues[]" indexes the elements of an array.
type Index struct {
	Collection string
	Fields     []string
}

// Indexes are all indexes that the queries need. The default of every collection
// is to index nothing (a single-field exemption for "*").
var Indexes = []Index{
	{Requests, []string{"resource", "queues[]", "order"}}, // Line
	{Requests, []string{"resource", "state", "order"}},    // InState
	{Requests, []string{"state", "timerAt"}},              // Due
	{Requests, []string{"outbox"}},                        // Unsent
	{Resources, []string{"name"}},                         // Resources
	{Requests, []string{"recent"}},                        // List, by its filter
	{Requests, []string{"resource", "recent"}},
	{Requests, []string{"status", "recent"}},
	{Requests, []string{"resource", "status", "recent"}},
	{Requests, []string{"job"}}, // OfJob
}

// layout is the layout of documents described in the package comment.
const layout = 2

// An id is a document's place: its collection and the name or key by which the
// ledger knows it.
type id struct{ collection, name string }

func (i id) String() string { return i.collection + "/" + i.name }

// path is the document's full name under a database. A name that holds the mark
// of a slash could be taken for another; no resource, key or lease of ours does.
func (i id) path(database string) string {
	return database + "/documents/" + i.collection + "/" + strings.ReplaceAll(i.name, "/", "~")
}

// ids returns the distinct documents that are named, and the error of
// [ledger.Names.Check].
func ids(n ledger.ReadSet) ([]id, error) {
	if err := n.Check(); err != nil {
		return nil, err
	}
	var list []id
	add := func(i id) {
		if !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	for _, name := range n.Resources {
		add(id{Resources, name})
	}
	for _, key := range n.Records {
		add(id{Requests, string(key)})
	}
	for _, name := range n.Leases {
		add(id{Leases, name})
	}
	for _, name := range n.Budgets {
		add(id{Budgets, name})
	}
	return list, nil
}

// pack makes the fields of a document in normal form.
func pack(doc any, token string) (map[string]*firestorepb.Value, error) {
	body, err := encode(doc)
	if err != nil {
		return nil, err
	}
	fields := map[string]*firestorepb.Value{
		"doc": body, "token": stringValue(token), "layout": integerValue(layout),
	}
	switch doc := doc.(type) {
	case *ledger.Resource:
		fields["name"] = stringValue(doc.Name)
	case *ledger.Record:
		queryFields(doc, fields)
	}
	return fields, nil
}

// queryFields adds what queries look at.
func queryFields(r *ledger.Record, fields map[string]*firestorepb.Value) {
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
	if lines := r.Indexed(); len(lines) > 0 {
		list, needs := &firestorepb.ArrayValue{}, &firestorepb.ArrayValue{}
		for _, l := range lines {
			list.Values = append(list.Values, stringValue(l))
			needs.Values = append(needs.Values, integerValue(int64(r.HeadIn(l).Need)))
		}
		fields["needs"] = &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: needs}}
		fields["size"] = integerValue(int64(len(r.Spec)))
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
}

// unpack returns the *ledger.Resource, *ledger.Record, *ledger.Lease or
// *ledger.Budget of a stored document, or why it cannot be read. What it says then
// quotes nothing of the document: a user may have written that.
func unpack(collection string, stored *firestorepb.Document) (any, *ledger.UnreadableError) {
	name := strings.ReplaceAll(string(keyOf(stored)), "~", "/")
	unreadable := func(format string, args ...any) *ledger.UnreadableError {
		u := &ledger.UnreadableError{Doc: ledger.Doc{Kind: ledger.Kind(collection), Name: name}, Why: fmt.Sprintf(format, args...)}
		if collection == Requests {
			u.Resource = stored.GetFields()["resource"].GetStringValue()
		}
		return u
	}
	if n := stored.GetFields()["layout"].GetIntegerValue(); n != layout {
		return nil, unreadable("it has layout %d, this release knows %d", n, layout)
	}
	var doc any
	switch collection {
	case Resources:
		doc = &ledger.Resource{}
	case Requests:
		doc = &ledger.Record{}
	case Leases:
		doc = &ledger.Lease{}
	case Budgets:
		doc = &ledger.Budget{}
	}
	err := decode(stored.GetFields()["doc"], doc)
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
	other := errors.New("it is the document of another " + strings.TrimSuffix(collection, "s"))
	switch doc := doc.(type) {
	case *ledger.Record:
		err = doc.Understood(message.Key(name))
	case *ledger.Resource:
		if doc.Name != name {
			err = other
		}
	case *ledger.Lease:
		if doc.Name != name {
			err = other
		}
	case *ledger.Budget:
		if doc.Name != name {
			err = other
		}
	}
	if err != nil {
		return nil, unreadable("%s", err)
	}
	return doc, nil
}

func keyOf(stored *firestorepb.Document) message.Key {
	return message.Key(stored.GetName()[strings.LastIndexByte(stored.GetName(), '/')+1:])
}

func timeValue(t time.Time) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(t)}}
}
