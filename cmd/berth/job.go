package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/message"
)

// A jobFile is the file of submit and explain, with its options.
type jobFile struct {
	File string `arg:"" optional:"" default:"-" help:"CustomJob, CustomJobSpec, worker pool specs or envelope, in JSON or YAML; - for standard input."`
	jobOptions
}

// jobOptions travel as message attributes, so the file is published unchanged.
type jobOptions struct {
	ID                 string            `name:"id" group:"Options:" placeholder:"ID" help:"Request id; a job is admitted once per id."`
	PersistentResource string            `group:"Options:" placeholder:"NAME" help:"Persistent resource: id or full name."`
	DisplayName        string            `group:"Options:" placeholder:"TEXT" help:"Display name of the job."`
	Label              map[string]string `mapsep:"none" group:"Options:" placeholder:"KEY=VALUE" help:"Label of the job; may be repeated."`
	Priority           *int              `group:"Options:" placeholder:"N" help:"-1000 to 1000, higher goes first."`
	OnFull             string            `enum:"queue,reject," default:"" group:"Options:" placeholder:"queue|reject" help:"What to do when the job cannot start at once."`
	MaxWait            time.Duration     `group:"Options:" placeholder:"DURATION" help:"Longest wait in the queue, for example 3600s."`
	ConcurrencyKey     string            `group:"Options:" placeholder:"KEY" help:"What all runs of a recurring job have in common; needs --concurrency-policy."`
	ConcurrencyPolicy  string            `enum:"allow,forbid,replace," default:"" group:"Options:" placeholder:"allow|forbid|replace" help:"What to do while an earlier request of the key is active: take this one too, refuse it, or cancel the earlier one."`
	DryRun             bool              `group:"Options:" help:"Let the deployment decide and answer without starting the job."`
}

// attributes returns the options as message attributes.
func (j *jobOptions) attributes() (map[string]string, error) {
	a := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			a["berth-"+name] = value
		}
	}
	set("request-id", j.ID)
	set("persistent-resource", j.PersistentResource)
	set("display-name", j.DisplayName)
	set("on-full", j.OnFull)
	set("concurrency-key", j.ConcurrencyKey)
	set("concurrency-policy", j.ConcurrencyPolicy)
	if j.Priority != nil {
		set("priority", strconv.Itoa(*j.Priority))
	}
	if j.MaxWait != 0 {
		set("max-wait", strconv.FormatFloat(j.MaxWait.Seconds(), 'f', -1, 64)+"s")
	}
	if j.DryRun {
		set("dry-run", "true")
	}
	var labels []string
	for _, key := range sortedKeys(j.Label) {
		if strings.Contains(key+j.Label[key], ",") {
			return nil, usage("--label %s: a label has no comma", key)
		}
		labels = append(labels, key+"="+j.Label[key])
	}
	set("labels", strings.Join(labels, ","))
	return a, nil
}

// read reads the file, up to one byte more than a message can have, so that a
// file that is too large is found.
func (j *jobFile) read(g *globals) (data []byte, err error) {
	in, name := g.in, "standard input"
	if j.File != "-" {
		f, err := os.Open(j.File)
		if err != nil {
			return nil, usage("read the job: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		in, name = f, j.File
	} else if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintln(g.err, "Reading the job from standard input.") //nolint:errcheck // a hint
		}
	}
	if data, err = io.ReadAll(io.LimitReader(in, message.MaxData+1)); err != nil {
		return nil, usage("read the job from %s: %w", name, err)
	}
	return data, nil
}

// check decodes the message as the deployment does.
func check(d message.Delivery) (*message.Request, *message.Refusal, error) {
	m, err := message.Decode(d)
	if r := (*message.Refusal)(nil); errors.As(err, &r) {
		return nil, r, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("check the job: %w", err)
	}
	if m.Cancel != nil {
		return nil, nil, usage("this is a cancel, not a job; use berth cancel ID")
	}
	return m.Request, nil, nil
}
