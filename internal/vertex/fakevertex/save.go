package fakevertex

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func emptyStore() store {
	return store{
		jobs:      map[string]*job{},
		index:     map[string]*jobIndex{},
		named:     map[string]int64{},
		logOf:     map[string][]*logEntry{},
		resources: map[string]*resource{},
		ops:       map[string]*longrunningpb.Operation{},
		opsByID:   map[string]*longrunningpb.Operation{},
	}
}

// The saved form. Jobs, resources and operations are in the JSON of their
// messages; beside them stands what only this server knows.
type (
	savedStore struct {
		Now        time.Time         `json:"now"`
		Seq        int64             `json:"seq"`
		Seed       int64             `json:"seed"`
		Jobs       []savedJob        `json:"jobs"` // oldest first
		Resources  []savedResource   `json:"resources"`
		Operations []json.RawMessage `json:"operations"`
		Events     []*event          `json:"events"`
		Log        []*logEntry       `json:"log"` // oldest first
	}
	savedJob struct {
		Job      json.RawMessage `json:"job"`
		Seq      int64           `json:"seq"`
		Parent   string          `json:"parent"`
		Resource string          `json:"resource,omitempty"`
		UID      int64           `json:"uid,omitempty"`
		Places   []place         `json:"places,omitempty"`
		Holding  bool            `json:"holding,omitempty"`
		Delay    time.Duration   `json:"startDelay"` // nanoseconds, as RunFor
		RunFor   time.Duration   `json:"runFor"`
		End      string          `json:"end"`
		Failure  string          `json:"failure,omitempty"`
	}
	savedResource struct {
		Resource json.RawMessage  `json:"resource"`
		UID      int64            `json:"uid"`
		Parent   string           `json:"parent"`
		Jobs     []string         `json:"jobs,omitempty"` // not yet released
		Used     map[string]int64 `json:"used,omitempty"`
		Grows    map[string]bool  `json:"grows,omitempty"`
		Op       string           `json:"op,omitempty"`
		Halted   bool             `json:"halted,omitempty"`
	}
)

// Save writes the store, as of now, as JSON.
func (s *Server) Save(w io.Writer) error {
	var data []byte
	if err := s.touch(func() (err error) {
		data, err = s.encode()
		return err
	}); err != nil {
		return fmt.Errorf("save fake Vertex: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("save fake Vertex: %w", err)
	}
	return nil
}

// Load replaces the store with one that Save wrote. What came due in between is
// played by the next call. On an error the store is as it was.
func (s *Server) Load(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("load fake Vertex: %w", err)
	}
	return s.touch(func() error {
		if err := s.decode(data); err != nil {
			return fmt.Errorf("load fake Vertex: %w", err)
		}
		return nil
	})
}

func (s *Server) encode() ([]byte, error) {
	out := savedStore{Now: s.now, Seq: s.seq, Seed: s.options.Seed, Events: s.events, Log: s.log}
	var errs []error
	message := func(m proto.Message) json.RawMessage {
		b, err := protojson.Marshal(m)
		errs = append(errs, err)
		return b
	}
	for _, j := range s.order {
		out.Jobs = append(out.Jobs, savedJob{message(j.pb), j.seq, j.parent, j.resource, j.uid, j.places, j.holding, j.startDelay, j.runFor, j.end.String(), j.failure})
	}
	for _, r := range s.byAge() {
		saved := savedResource{message(r.pb), r.uid, r.parent, nil, r.used, r.grows, r.op, r.halted}
		for _, j := range r.jobs {
			saved.Jobs = append(saved.Jobs, j.pb.Name)
		}
		out.Resources = append(out.Resources, saved)
	}
	for _, name := range slices.Sorted(maps.Keys(s.ops)) {
		out.Operations = append(out.Operations, message(s.ops[name]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (s *Server) decode(data []byte) error {
	var in savedStore
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	next := emptyStore()
	next.now, next.seq, next.events = in.Now, in.Seq, in.Events
	heap.Init(&next.events)
	ids := map[string]bool{}
	for i, saved := range in.Jobs {
		j := &job{pb: &aiplatformpb.CustomJob{}, seq: saved.Seq, parent: saved.Parent, resource: saved.Resource, uid: saved.UID,
			places: saved.Places, holding: saved.Holding,
			lot: lot{saved.Delay, saved.RunFor, aiplatformpb.JobState(aiplatformpb.JobState_value[saved.End]), saved.Failure}}
		if err := protojson.Unmarshal(saved.Job, j.pb); err != nil {
			return fmt.Errorf("job %d of %d: %w", i+1, len(in.Jobs), err)
		}
		j.asks = asksOf(j.pb.JobSpec)
		next.jobs[j.pb.Name] = j
		next.order = append(next.order, j)
		next.named[j.pb.DisplayName]++
		ids[lastWord(j.pb.Name)] = true
	}
	for i, saved := range in.Resources {
		r := newResource(&aiplatformpb.PersistentResource{}, saved.UID, saved.Parent)
		r.op, r.halted = saved.Op, saved.Halted
		maps.Copy(r.used, saved.Used)
		maps.Copy(r.grows, saved.Grows)
		if err := protojson.Unmarshal(saved.Resource, r.pb); err != nil {
			return fmt.Errorf("resource %d of %d: %w", i+1, len(in.Resources), err)
		}
		for _, name := range saved.Jobs {
			j := next.jobs[name]
			if j == nil {
				return fmt.Errorf("resource %s: its job %s is missing", r.pb.Name, name)
			}
			r.add(j)
		}
		next.resources[r.pb.Name] = r
	}
	for i, raw := range in.Operations {
		op := &longrunningpb.Operation{}
		if err := protojson.Unmarshal(raw, op); err != nil {
			return fmt.Errorf("operation %d of %d: %w", i+1, len(in.Operations), err)
		}
		next.keepOperation(op)
		ids[lastWord(op.Name)] = true
	}
	s.store, s.ids, s.options.Seed = next, ids, in.Seed
	for _, j := range s.order {
		s.indexOf(j.parent).add(j)
	}
	for _, e := range in.Log {
		s.keepEntry(e)
	}
	return nil
}

func (s *Server) readStateFile() error {
	data, err := os.ReadFile(s.options.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.decode(data)
	}
	if err != nil {
		return fmt.Errorf("read state of fake Vertex from %s: %w", s.options.StateFile, err)
	}
	return nil
}

// writeStateFile replaces the state file in one step, so that a reader finds
// either the old store or the new one.
func (s *Server) writeStateFile() error {
	fail := func(err error) error {
		return fmt.Errorf("write state of fake Vertex to %s: %w", s.options.StateFile, err)
	}
	data, err := s.encode()
	if err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.options.StateFile), filepath.Base(s.options.StateFile)+".*")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails once it has been renamed
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(f.Name(), s.options.StateFile); err != nil {
		return fail(err)
	}
	return nil
}
