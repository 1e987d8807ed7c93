package chaos

import (
	"fmt"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// work checks the jobs at Vertex AI against the requests.
func (j *verdict) work() {
	for _, job := range j.picture.Jobs {
		if !job.State.Ended() {
			j.say(Leaked, job.Request, "everything is at rest", "job %s is %s", job.Name, job.State)
		}
		if j.foreign[job.Name] {
			if job.State != vertex.JobSucceeded {
				j.say(Overwritten, job.Request, "job "+job.Name+" is foreign and would succeed", "it is %s", job.State)
			}
			continue
		}
		if job.Run == "" || j.records[job.Request] == nil {
			j.say(TwoJobs, job.Request, "every job has a request", "job %s has none", job.Name)
			continue
		}
		j.jobs[job.Request] = append(j.jobs[job.Request], job)
	}
	for key, r := range j.records {
		named := false
		orphans := 0
		for _, job := range j.jobs[key] {
			if job.Name != r.Reservation.Job {
				orphans++
				continue
			}
			named = true
			if end := endOf(job.State); end != r.State {
				j.say(WrongJob, key, fmt.Sprintf("its job %s is %s", job.Name, job.State), "the request is %s", r.State)
			}
		}
		if r.Reservation.Job != "" && !named {
			j.say(WrongJob, key, "it names job "+r.Reservation.Job, "Vertex AI does not know that")
		}
		if r.State == lifecycle.Succeeded && !named {
			j.say(WrongJob, key, "it succeeded", "it names no job")
		}
		if late := j.late[string(key)]; orphans > late {
			j.say(TwoJobs, key, fmt.Sprintf("%d of its creates came too late to be found", late), "it has %d jobs that it does not name", orphans)
		}
		for _, job := range j.jobs[key] {
			// An orphan job may end before a pass observes it, but only a short one.
			if job.Name != r.Reservation.Job && job.State != vertex.JobCancelled && job.EndTime.Sub(job.CreateTime) > unclearTimeout {
				j.say(TwoJobs, key, "job "+job.Name+" is an orphan job", "it ran from %s to %s and was not cancelled", job.CreateTime, job.EndTime)
			}
		}
	}
}

// endOf says what the end of a job means for its request.
func endOf(s vertex.JobState) lifecycle.State {
	switch s {
	case vertex.JobSucceeded:
		return lifecycle.Succeeded
	case vertex.JobFailed:
		return lifecycle.Failed
	case vertex.JobCancelled:
		return lifecycle.Cancelled
	}
	return lifecycle.State(s)
}

// countJobs sums up the jobs of an evidence for the report.
func countJobs(e evidence) (c Jobs) {
	named := map[string]bool{}
	for _, r := range e.picture.Records {
		named[r.Reservation.Job] = true
	}
	for _, job := range e.picture.Jobs {
		switch {
		case e.foreign[job.Name]:
			c.Foreign++
		case named[job.Name]:
			c.Named++
		case job.State == vertex.JobCancelled:
			c.OrphansCancelled++
		default:
			c.OrphansOver++
		}
	}
	for _, n := range e.late {
		c.LateCreates += n
	}
	return c
}

// Jobs counts jobs at the fake Vertex AI.
type Jobs struct {
	Named            int `json:"named"`            // by their request
	LateCreates      int `json:"lateCreates"`      // creates that came too late to be found by the next attempt
	OrphansCancelled int `json:"orphansCancelled"` // not named, found and cancelled
	OrphansOver      int `json:"orphansOver"`      // not named, and ended before a pass observed them
	Foreign          int `json:"foreign"`
}

// readJob converts a job at the fake to the judge's form.
func readJob(j *aiplatformpb.CustomJob) vertex.Job {
	return vertex.Job{
		Name: j.GetName(), State: vertex.JobState(strings.TrimPrefix(j.GetState().String(), "JOB_STATE_")),
		Run: j.GetLabels()[vertex.LabelRun], Request: message.Key(j.GetLabels()[vertex.LabelRequest]),
		Deployment: j.GetLabels()[vertex.LabelDeployment], PersistentResource: j.GetJobSpec().GetPersistentResourceId(),
		Ask: message.AskOf(j, ""), CreateTime: j.GetCreateTime().AsTime(), StartTime: j.GetStartTime().AsTime(), EndTime: j.GetEndTime().AsTime(),
	}
}
