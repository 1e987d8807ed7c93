package fakevertex

import (
	"context"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// Direct makes calls without a connection, so that a test can make ten thousand.
type Direct struct{ s *Server }

// Directly calls the services of s.
func Directly(s *Server) Direct { return Direct{s} }

func (d Direct) Create(parent string, j *aiplatformpb.CustomJob) (*aiplatformpb.CustomJob, error) {
	return jobService{Server: d.s}.CreateCustomJob(context.Background(), &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: j})
}

func (d Direct) List(req *aiplatformpb.ListCustomJobsRequest) (*aiplatformpb.ListCustomJobsResponse, error) {
	return jobService{Server: d.s}.ListCustomJobs(context.Background(), req)
}

// Work is how many jobs were looked at and events were played so far.
func (d Direct) Work() int {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return d.s.work
}
