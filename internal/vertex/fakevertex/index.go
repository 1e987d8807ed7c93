package fakevertex

import (
	"cmp"
	"slices"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// A jobList is jobs in the order of their creation.
type jobList []*job

func (l jobList) find(seq int64) (int, bool) {
	return slices.BinarySearchFunc(l, seq, func(j *job, seq int64) int { return cmp.Compare(j.seq, seq) })
}

// put adds a job in its place. A job that was just created comes last.
func (l jobList) put(j *job) jobList {
	i, found := l.find(j.seq)
	if found {
		return l
	}
	return slices.Insert(l, i, j)
}

func (l jobList) drop(j *job) jobList {
	if i, found := l.find(j.seq); found {
		return slices.Delete(l, i, i+1)
	}
	return l
}

// A jobIndex is the jobs of one location, as lists look for them. Most jobs of a server
// that runs for long have ended, and what polls asks for live jobs or for a label.
type jobIndex struct {
	all, live jobList
	labelled  map[string]jobList // by labelPair
}

func (s *Server) indexOf(parent string) *jobIndex {
	x := s.index[parent]
	if x == nil {
		x = &jobIndex{labelled: map[string]jobList{}}
		s.index[parent] = x
	}
	return x
}

func (x *jobIndex) add(j *job) {
	x.all = x.all.put(j)
	if j.live() {
		x.live = x.live.put(j)
	}
	for k, v := range j.pb.Labels {
		x.labelled[labelPair(k, v)] = x.labelled[labelPair(k, v)].put(j)
	}
}

func (x *jobIndex) ended(j *job) { x.live = x.live.drop(j) }

func (x *jobIndex) remove(j *job) {
	x.all, x.live = x.all.drop(j), x.live.drop(j)
	for k, v := range j.pb.Labels {
		pair := labelPair(k, v)
		if x.labelled[pair] = x.labelled[pair].drop(j); len(x.labelled[pair]) == 0 {
			delete(x.labelled, pair)
		}
	}
}

// terminalBits are the terminal states, as a [clause] counts them.
var terminalBits = func() (bits uint32) {
	for n := range aiplatformpb.JobState_name {
		if isTerminal(aiplatformpb.JobState(n)) {
			bits |= 1 << n
		}
	}
	return bits
}()

// candidates is the shortest list that has every job which a clause selects.
func (x *jobIndex) candidates(c clause[*aiplatformpb.CustomJob]) jobList {
	shortest := x.all
	if c.can&terminalBits == 0 {
		shortest = x.live
	}
	for _, pair := range c.needs {
		if l := x.labelled[pair]; len(l) < len(shortest) {
			shortest = l
		}
	}
	return shortest
}
