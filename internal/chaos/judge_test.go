package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	onPool = "projects/p/locations/l/persistentResources/pool"
	oneJob = "projects/1/locations/l/customJobs/1"
)

// A scene is evidence to be spoiled: one request that succeeded, one that was
// cancelled before it came, one message that was refused.
type scene struct {
	evidence
	done, cancelled, refused *ledger.Record
}

func newScene() *scene {
	o := &order{Name: "a", Kind: "one machine"}
	o.may(lifecycle.Succeeded)
	p := &order{Name: "b", Kind: "one machine"}
	p.may(lifecycle.Cancelled)
	s := &scene{
		done:      record(message.KindRequest, "a", "1", lifecycle.Succeeded, "reserved RESERVED", "submitted SUBMITTED", "started RUNNING", "succeeded SUCCEEDED"),
		cancelled: record(message.KindRequest, "b", "3", lifecycle.Cancelled, "cancelled CANCELLED"),
		refused:   record(message.KindAnswer, "5", "5", lifecycle.None, "message.refused "),
	}
	s.done.Fingerprint, s.done.Ask = "f", capacity.Ask{{Shape: capacity.Spec{MachineType: "m"}.Normal(), Replicas: 1}}
	s.done.Reservation.Run, s.done.Reservation.Job = "r1", oneJob
	s.cancelled.Cancels = []string{"3"}
	s.picture = invariant.Picture{Now: t0, Complete: true,
		Records:   []*ledger.Record{s.done, s.cancelled, s.refused},
		Resources: []*ledger.Resource{{Name: onPool, State: vertex.Running, ObservedAt: t0}},
		Jobs: []vertex.Job{
			{Name: oneJob, State: vertex.JobSucceeded, Run: "r1", Request: s.done.Key, Ask: s.done.Ask, CreateTime: t0, EndTime: t0.Add(time.Second)},
			{Name: oneJob + "7", State: vertex.JobSucceeded, CreateTime: t0, EndTime: t0.Add(time.Second)},
		}}
	s.foreign = map[string]bool{oneJob + "7": true}
	s.policy = admission.Policy{MaxAge: time.Minute, MaxHolds: 10}
	s.first = map[*order]string{o: "1", p: "4"}
	s.sent = []sent{{"1", plannedMessage{purpose: forJob, order: o}}, {"2", plannedMessage{purpose: forJob, order: o}},
		{"3", plannedMessage{purpose: forCancel, order: p}}, {"4", plannedMessage{purpose: forJob, order: p}}, {"5", plannedMessage{purpose: forNothing}}}
	s.late = map[string]int{}
	for _, r := range s.picture.Records {
		for _, l := range r.Outbox {
			s.events = append(s.events, publication(r, l))
		}
	}
	return s
}

// record makes one with events, each given by its word and its state.
func record(kind message.Kind, id, by string, state lifecycle.State, events ...string) *ledger.Record {
	r := &ledger.Record{Key: message.KeyOf(tenant, kind, id), Kind: kind, Tenant: tenant, ID: id, MessageID: by, ExpireAt: t0}
	if kind != message.KindAnswer {
		r.Resource, r.Reservation.State = onPool, state
	}
	for _, l := range events {
		var word, in string
		_, _ = fmt.Sscan(l, &word, &in)
		of := message.Type("berth.request." + word + ".v1")
		if kind == message.KindAnswer {
			of = message.Refused
		}
		r.Append(message.Outcome{Type: of, Tenant: tenant, MessageID: by, State: in}, t0)
		r.Outbox[len(r.Outbox)-1].Published = true
	}
	return r
}

func publication(r *ledger.Record, l ledger.OutboxEvent) received {
	data, attributes, err := r.Event(l).PubSub(source)
	if err != nil {
		panic(err)
	}
	return received{id: "m-" + l.ID, data: string(data), attributes: attributes}
}

// orphan job adds a second job of the request that succeeded.
func (s *scene) orphan(state vertex.JobState, lasted time.Duration) {
	s.picture.Jobs = append(s.picture.Jobs, vertex.Job{Name: oneJob + "2", State: state, Run: "r1", Request: s.done.Key, Ask: s.done.Ask,
		CreateTime: t0, EndTime: t0.Add(lasted)})
}

func TestNothingWrong(t *testing.T) {
	if found := judge(newScene().evidence); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	s := newScene()
	s.late[string(s.done.Key)] = 1
	s.orphan(vertex.JobCancelled, time.Hour)
	s.events = append(s.events, s.events[0]) // published twice
	if found := judge(s.evidence); len(found) > 0 {
		t.Errorf("with an orphan job that was cancelled and an event that came twice: found %v", found)
	}
}

// TestEachCheckCanFail spoils one fact at a time.
func TestEachCheckCanFail(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*scene)
		want  invariant.Rule
	}{
		"request lost": {func(s *scene) { s.picture.Records = s.picture.Records[1:] }, Lost},
		"answer lost":  {func(s *scene) { s.picture.Records = s.picture.Records[:2] }, Lost},
		"cancel lost": {func(s *scene) {
			s.sent = append(s.sent, sent{"9", plannedMessage{purpose: forCancel, order: s.sent[0].order}})
		}, Lost},
		"other job not refused": {func(s *scene) {
			s.sent = append(s.sent, sent{"9", plannedMessage{purpose: forOther, order: s.sent[0].order}})
		}, Lost},
		"dry run not answered": {func(s *scene) { s.sent = append(s.sent, sent{"9", plannedMessage{purpose: forQuote}}) }, Lost},
		"copy answered": {func(s *scene) {
			s.picture.Records = append(s.picture.Records, record(message.KindAnswer, "2", "2", lifecycle.None, "message.refused "))
		}, Surprise},
		"request without a message": {func(s *scene) { s.sent = s.sent[2:] }, Surprise},
		"wrong end":                 {func(s *scene) { s.sent[0].order.Ends = map[lifecycle.State]bool{lifecycle.Rejected: true} }, Surprise},

		"event missing": {func(s *scene) { s.events = slices.Delete(s.events, 1, 2) }, NotPublished},
		"no events":     {func(s *scene) { s.events = s.events[4:] }, NotPublished},
		"end missing":   {func(s *scene) { s.events = slices.Delete(s.events, 3, 4) }, NotPublished},
		"two ends": {func(s *scene) {
			l := s.done.Outbox[3]
			l.ID, l.Outcome.Sequence = string(s.done.Key)+"-5", 5
			s.events = append(s.events, publication(s.done, l))
		}, NotPublished},
		"event altered":         {func(s *scene) { s.events[2].data = s.events[3].data }, NotPublished},
		"repeated, but altered": {func(s *scene) { s.events = append(s.events, s.events[2]); s.events[len(s.events)-1].data = "{}" }, NotPublished},
		"event unreadable":      {func(s *scene) { s.events[2].data = "{" }, NotPublished},
		"event without a request": {func(s *scene) {
			x := record(message.KindRequest, "x", "x", lifecycle.Rejected, "rejected REJECTED")
			s.events = append(s.events, publication(x, x.Outbox[0]))
		}, NotPublished},

		"second job":            {func(s *scene) { s.orphan(vertex.JobSucceeded, time.Second) }, TwoJobs},
		"second job, cancelled": {func(s *scene) { s.orphan(vertex.JobCancelled, time.Second) }, TwoJobs},
		"orphan job left alone": {func(s *scene) {
			s.late[string(s.done.Key)] = 1
			s.orphan(vertex.JobSucceeded, time.Minute)
		}, TwoJobs},
		"job without request":   {func(s *scene) { s.picture.Jobs[0].Request = "x" }, TwoJobs},
		"no job":                {func(s *scene) { s.picture.Jobs = s.picture.Jobs[1:] }, WrongJob},
		"no job named":          {func(s *scene) { s.done.Reservation.Job = "" }, WrongJob},
		"job failed":            {func(s *scene) { s.picture.Jobs[0].State = vertex.JobFailed }, WrongJob},
		"foreign job cancelled": {func(s *scene) { s.picture.Jobs[1].State = vertex.JobCancelled }, Overwritten},
		"job live":              {func(s *scene) { s.picture.Jobs[0].State = vertex.JobRunning }, Leaked},

		"hold left": {func(s *scene) {
			s.picture.Resources[0].Holds = map[message.Key]ledger.Hold{s.done.Key: {Ask: s.done.Ask, Run: "r1"}}
		}, Leaked},
		"hold of an ended request": {func(s *scene) {
			s.picture.Resources[0].Holds = map[message.Key]ledger.Hold{s.done.Key: {Ask: s.done.Ask, Run: "r1"}}
		}, invariant.HoldMatches},
		"line left":         {func(s *scene) { s.picture.Resources[0].Queue = admission.Queue{"m": {Count: 1}} }, Leaked},
		"foreign job left":  {func(s *scene) { s.picture.Resources[0].Foreign = []ledger.Foreign{{Job: "x"}} }, Leaked},
		"not at rest":       {func(s *scene) { s.done.State = lifecycle.Running }, Unfinished},
		"unpublished event": {func(s *scene) { s.done.Outbox[3].Published = false }, invariant.NothingLeft},
		"dead letter":       {func(s *scene) { s.dead = []received{{id: "1", data: "x"}} }, DeadLetter},
	} {
		s := newScene()
		test.spoil(s)
		found := judge(s.evidence)
		if !slices.ContainsFunc(found, func(v invariant.Violation) bool { return v.Rule == test.want }) {
			t.Errorf("%s: found %v, want %s", name, found, test.want)
		}
	}
}
