package message

import (
	"encoding/json"
	"fmt"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/encoding/protojson"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// Decode reads what a delivery says. An error is a *Refusal that lists what is
// wrong, each at its path in the message as it was sent.
func Decode(d Delivery) (Message, error) { return decode(d, &report{}) }

// Located is a problem with its line in the data; see [strict.Located].
type Located = strict.Located

// DecodeLocated is Decode for who wrote the data: it returns what is wrong with it, or what
// it warns of, with lines. m is valid if there are no problems.
func DecodeLocated(d Delivery) (m Message, problems, warnings []Located) {
	r := &report{}
	m, _ = decode(d, r) // its error has the problems without their lines
	problems, warnings = r.Located()
	return m, problems, warnings
}

func decode(d Delivery, r *report) (Message, error) {
	r.claimed = d.Attributes[attributeName("request_id")]
	if len(d.Data) > MaxData {
		r.Add(strict.Place{}, reason.TooLarge, fmt.Sprintf("The data is larger than %d bytes.", MaxData), fixLarge)
	}
	if len(d.Attributes) > MaxAttributes {
		r.Add(strict.Place{Path: "attributes"}, reason.TooLarge, fmt.Sprintf("The message has more than %d attributes.", MaxAttributes), "Publish fewer attributes.")
	}
	if !r.OK() {
		return Message{}, r.refusal()
	}
	attrs := berthAttributes(d.Attributes, r)
	var m Message
	var root *strict.Node
	if c := attrs.Member(cancelAttribute); c != nil && c.Kind == strict.Boolean && c.Text == "true" {
		m.Cancel = cancelByAttributes(d.Data, attrs, r)
	} else if root = documents.Data(d.Data, &r.Report); root != nil {
		m = decodeData(root, attrs, r)
	} else {
		readAttributes(attrs, r)
	}
	if err := r.refusal(); err != nil {
		return Message{}, err
	}
	m.Fingerprint = fingerprint(m)
	return m, nil
}

func decodeData(root, attrs *strict.Node, r *report) Message {
	cancel, job := root.Member("cancel"), root.Member("job")
	if o := root.Member("operator"); o != nil && !o.Blank() {
		r.At(o, reason.WrongTopic, "This topic is for requests and cancels of tenants; it carries no message of an operator.",
			"Publish it to the topic of operators, if its IAM policy lets you, or leave it out.")
		return Message{}
	}
	switch { // where one of them is empty, the other is meant
	case cancel == nil || job == nil:
	case cancel.Blank():
		cancel = nil
	case job.Blank():
		job = nil
	}
	switch {
	case cancel != nil && job != nil:
		r.At(cancel, reason.Conflict, "A message has a job or a cancel, not both.", "Send two messages.")
		return Message{}
	case cancel != nil:
		return Message{Cancel: cancelByData(root, cancel, attrs, r)}
	case job != nil:
		job, opts := readEnvelope(root, r)
		opts.add(readAttributes(attrs, r), r)
		if job == nil {
			return Message{}
		}
		return Message{Request: request(job, opts, r)}
	}
	return Message{Request: request(root, readAttributes(attrs, r), r)}
}

// readAttributes reads the options that ride in attributes.
func readAttributes(attrs *strict.Node, r *report) (opts options) {
	for _, m := range attrs.Members {
		switch name := optionNames[m.Key]; {
		case name != "":
			opts.read(name, m, r)
		case cancelNames[m.Key] != "" && !m.Blank():
			r.At(m, reason.Conflict, "This attribute belongs to a cancel.", "Leave it out, or set berth-cancel to true and send no data.")
		}
	}
	return opts
}

func cancelByAttributes(data []byte, attrs *strict.Node, r *report) *Cancel {
	if len(data) > 0 {
		r.Add(strict.Place{}, reason.Conflict, "The message has data, and berth-cancel says that it is a cancel.", "Send a cancel without data.")
	}
	c, rest := readCancel(attrs, r)
	for _, m := range rest {
		if m.Key != cancelAttribute && optionNames[m.Key] != "" && !m.Blank() {
			r.At(m, reason.Conflict, "A cancel takes no option of a job.", "Leave it out.")
		}
	}
	return &c
}

func cancelByData(root, cancel, attrs *strict.Node, r *report) *Cancel {
	c, rest := readCancel(cancel, r)
	for _, m := range rest {
		if !m.Bad {
			r.At(m, reason.UnknownField, "A cancel has no field of this name.", "A cancel has requestId or messageId, and reason.")
		}
	}
	for _, m := range root.Members {
		known := m.Key == "job" || optionNames[m.Key] != ""
		if m != cancel && !m.Bad && !(known && m.Blank()) {
			r.At(m, reason.Conflict, "A cancel takes nothing beside it.", "Leave it out.")
		}
	}
	for _, m := range attrs.Members {
		if !m.Bad && !m.Blank() && m.Key != cancelAttribute {
			r.At(m, reason.Conflict, "The data is a cancel, which takes no attributes.", "Leave it out.")
		}
	}
	return &c
}

// request walks and checks a job, and puts the options to it.
func request(n *strict.Node, opts options, r *report) *Request {
	s := walkJob(n, r)
	req := &Request{
		RequestID:          opts.requestID.value,
		PersistentResource: opts.resource.value,
		Priority:           opts.priority.value,
		OnFull:             opts.onFull.value,
		MaxWait:            opts.maxWait.value,
		DryRun:             opts.dryRun.value,
		Concurrency:        opts.concurrency(r),
	}
	if req.OnFull == "" {
		req.OnFull = Queue
	}
	if opts.maxWait.given && req.OnFull == Reject {
		r.Warn(opts.maxWait.at, "A job that is rejected when it does not fit never waits.", "Leave out one of the two.")
	}
	checkResource(s, opts, req, r)
	displayName := checkName(s, opts, r)
	labels := checkLabels(s, opts, r)
	checkSpec(s, r)
	checkService(s, r)
	checkPools(s, r)
	if !r.OK() {
		return nil
	}
	job, err := build(s)
	if err != nil {
		r.Add(n.Place(), reason.Malformed, "The job cannot be read: "+strict.ExcerptError(err)+".", "Compare the job with the reference of the API.")
		return nil
	}
	job.DisplayName, job.Labels = displayName, labels
	job.JobSpec.PersistentResourceId = ""
	for _, pool := range job.JobSpec.WorkerPoolSpecs {
		if m := pool.GetMachineSpec(); m != nil {
			m.ReservationAffinity = nil // what is left of it says that there is none
		}
	}
	req.Job, req.Ask, req.Paths = job, AskOf(job, ""), pathsOf(n, s, opts)
	req.Warnings = r.Warnings()
	return req
}

func build(s jobShape) (*aiplatformpb.CustomJob, error) {
	data, err := json.Marshal(s.value)
	if err != nil {
		return nil, err
	}
	job := &aiplatformpb.CustomJob{}
	return job, protojson.Unmarshal(data, job)
}
