package fakevertex

import (
	"cmp"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// Short names of the states that occur.
const (
	queued     = aiplatformpb.JobState_JOB_STATE_QUEUED
	pending    = aiplatformpb.JobState_JOB_STATE_PENDING
	running    = aiplatformpb.JobState_JOB_STATE_RUNNING
	succeeded  = aiplatformpb.JobState_JOB_STATE_SUCCEEDED
	failed     = aiplatformpb.JobState_JOB_STATE_FAILED
	cancelling = aiplatformpb.JobState_JOB_STATE_CANCELLING
	cancelled  = aiplatformpb.JobState_JOB_STATE_CANCELLED
	expired    = aiplatformpb.JobState_JOB_STATE_EXPIRED
	partly     = aiplatformpb.JobState_JOB_STATE_PARTIALLY_SUCCEEDED
)

// defaultTimeout is how long a job may run that sets no scheduling.timeout.
const defaultTimeout = 7 * 24 * time.Hour

// begin queues the early life of a job that was just created.
func (s *Server) begin(j *job) {
	name := j.pb.Name
	s.say(j, "Waiting for job to be provisioned.")
	s.after(s.knobs.StartTimeAfter, event{Kind: evStartTime, Job: name})
	s.after(s.knobs.QueuedAfter, event{Kind: evQueued, Job: name})
	s.after(s.knobs.PendingAfter, event{Kind: evPending, Job: name})
}

// hold gives j its machines: from here on nothing but its preparation is between
// it and RUNNING.
func (s *Server) hold(j *job) {
	j.holding = true
	if r := s.home(j); r != nil {
		r.took(j)
	}
	created := j.pb.CreateTime.AsTime()
	wait := max(created.Add(s.knobs.RunningAfter).Sub(s.now), s.knobs.RunningAfter-s.knobs.PendingAfter)
	s.say(j, "Vertex AI is provisioning job running framework.")
	s.say(j, "Vertex AI is setting up this job.")
	if j.startDelay >= 0 {
		wait = j.startDelay
	}
	if j.pb.State == queued && !s.now.Before(created.Add(s.knobs.PendingAfter)) {
		s.setState(j, pending)
	}
	s.after(wait, event{Kind: evRun, Job: j.pb.Name})
}

func (s *Server) setState(j *job, state aiplatformpb.JobState) {
	j.pb.State = state
	j.pb.UpdateTime = s.stamp()
}

// finish ends a live job.
func (s *Server) finish(j *job, state aiplatformpb.JobState, code codes.Code, message string) {
	s.setState(j, state)
	j.pb.EndTime = s.stamp()
	if code != codes.OK {
		j.pb.Error = &statuspb.Status{Code: int32(code), Message: message}
	}
	s.sayEnd(j)
	s.indexOf(j.parent).ended(j)
	r := s.home(j)
	if r == nil {
		return
	}
	r.ended(j)
	s.recount(r)
	if s.knobs.ReleaseLag > 0 && j.holding {
		s.after(s.knobs.ReleaseLag, event{Kind: evRelease, Job: j.pb.Name})
	} else {
		s.release(r, j)
	}
	s.stopIfIdle(r)
}

// release lets others have the machines of an ended job.
func (s *Server) release(r *resource, j *job) {
	r.leave(j)
	s.pump(r)
	if s.knobs.ScaleDownAfter > 0 {
		for _, p := range j.places {
			s.after(s.knobs.ScaleDownAfter, event{Kind: evShrink, Resource: r.pb.Name, UID: r.uid, Pool: p.Pool})
		}
	}
}

// cancel begins to cancel a live job; a job that is cancelling or has ended stays
// as it is.
func (s *Server) cancel(j *job) {
	if !j.live() || j.pb.State == cancelling {
		return
	}
	s.setState(j, cancelling)
	s.say(j, "Job is being cancelled.")
	s.after(s.knobs.CancelAfter, event{Kind: evCancelled, Job: j.pb.Name})
}

// play carries out one event.
func (s *Server) play(e *event) {
	if e.Resource != "" {
		if r := s.incarnation(e.Resource, e.UID); r != nil {
			s.playResource(r, e)
		}
		return
	}
	j := s.jobs[e.Job]
	if j == nil {
		return // deleted
	}
	if e.Kind == evRelease {
		if r := s.home(j); r != nil {
			s.release(r, j)
		}
		return
	}
	if !j.live() {
		return
	}
	switch state := j.pb.State; e.Kind {
	case evStartTime:
		if j.pb.StartTime == nil {
			j.pb.StartTime, j.pb.UpdateTime = s.stamp(), s.stamp()
		}
	case evQueued:
		if state == pending {
			s.setState(j, queued)
		}
	case evPending:
		waits := j.uid != 0 && !j.holding
		if state == queued && !(waits && s.knobs.QueueState == WaitQueued) {
			s.setState(j, pending)
		}
	case evRun:
		if state == pending || state == queued {
			s.run(j)
		}
	case evEnd:
		switch {
		case j.end == failed:
			s.finish(j, failed, codes.InvalidArgument, cmp.Or(j.failure, "The replica workerpool0-0 exited with a non-zero status of 1."))
		case state == running || j.end == succeeded: // a cancelling job may end so, too
			s.finish(j, j.end, codes.OK, "")
		}
	case evTimeout:
		switch {
		case state != running:
		case s.knobs.TimeoutFails:
			s.finish(j, failed, codes.DeadlineExceeded, "The job ran longer than its scheduling.timeout.")
		default:
			s.finish(j, cancelled, codes.Canceled, "CANCELED")
		}
	case evCancelled:
		if s.knobs.CancelIsIgnored {
			s.finish(j, succeeded, codes.OK, "")
		} else {
			s.finish(j, cancelled, codes.Canceled, "CANCELED")
		}
	case evFail:
		s.finish(j, failed, e.Code, e.Message)
	case evStarve:
		if !j.holding && state != cancelling {
			s.finish(j, failed, e.Code, e.Message)
		}
	}
}

func (s *Server) run(j *job) {
	s.say(j, "Waiting for training program to start.")
	s.setState(j, running)
	s.say(j, "Job is running.")
	s.sayOf(j, "workerpool0-0", "DEFAULT", "This is a fake Vertex AI: the container is not run.")
	if j.pb.StartTime == nil {
		j.pb.StartTime = s.stamp()
	}
	limit := defaultTimeout
	if t := j.pb.JobSpec.GetScheduling().GetTimeout(); t != nil && t.AsDuration() > 0 {
		limit = t.AsDuration()
	}
	if j.runFor >= 0 && j.runFor <= limit {
		s.after(j.runFor, event{Kind: evEnd, Job: j.pb.Name})
	} else {
		s.after(limit, event{Kind: evTimeout, Job: j.pb.Name})
	}
}
