// Berth is the command line of users and operators: it checks and submits jobs, shows their
// state, the reason for it and their logs, and shows the pools and the queue.
//
// It reads through the Status function and writes by publishing to the request
// topic and, for operators, to theirs, so it works the same against the local stack and a deployment, and
// access is decided in one place. It stores nothing.
//
// The verb logs reads Cloud Logging, with the caller's rights. The verbs doctor,
// repair and policy open the ledger, Vertex AI and Pub/Sub themselves, and need the rights to do so.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes. They are part of the tool's interface.
const (
	exitError       = 1   // an error; it says nothing about the job
	exitUsage       = 2   // the command line is wrong, or names no target
	exitRefused     = 3   // the job was refused, or can never fit; the policy or an operator's message is refused
	exitWaits       = 4   // explain: it would have to wait; logs: the request has no job yet; wait, verbs of operators: the time is up
	exitEndedBadly  = 5   // submit --follow, logs --follow, wait: failed, cancelled or expired
	exitProblems    = 6   // doctor found a problem, or left a job of its probe; repair or policy did not make a change; policy diff found a difference; evaluate found a difference
	exitInterrupted = 130 // Ctrl-C
)

const description = `Submit training jobs to a Berth deployment and follow them to their end.

Without --project and --status-url the target is the local stack that runs on this machine.

Exit codes: 0 success, 1 error, 2 usage, 3 refused (a job, a policy, or what an operator asks for) or never fits, 4 would have to wait (explain), has no job yet (logs), or the time is up (wait, and verbs of operators that wait for their answer), ` +
	`5 ended badly (submit --follow, logs --follow, wait: failed, cancelled, expired), ` +
	`6 problems (doctor: at least one FAIL, or a job of its probe is left, while 1 means that something could not be checked; repair, policy apply, rollback: something asked for was not done; policy diff: the file differs; evaluate --check-references: a score differs), 130 interrupted.`

type cli struct {
	globals

	Init    initCmd    `cmd:"" group:"Jobs:" help:"Write a first job file for a pool of a persistent resource."`
	Check   checkCmd   `cmd:"" group:"Jobs:" help:"Check job files here, without a deployment."`
	Explain explainCmd `cmd:"" group:"Jobs:" help:"Say what would happen to a job now, without publishing it."`
	Submit  submitCmd  `cmd:"" group:"Jobs:" help:"Check a job and publish it to the request topic."`
	List    listCmd    `cmd:"" group:"Jobs:" help:"List running and recent requests, the latest first."`
	Show    showCmd    `cmd:"" group:"Jobs:" help:"Show one request, by its id or by its job: its state, the reason, its history."`
	Wait    waitCmd    `cmd:"" group:"Jobs:" help:"Wait until requests are submitted, have started, or have ended."`
	Logs    logsCmd    `cmd:"" group:"Jobs:" help:"Print the log of a request's job, and follow it."`
	Tail    tailCmd    `cmd:"" group:"Jobs:" help:"Print the events of requests as they are published."`
	Open    openCmd    `cmd:"" group:"Jobs:" help:"Open a page of the deployment in the browser."`
	Cancel  cancelCmd  `cmd:"" group:"Jobs:" help:"Cancel a request."`

	Pools poolsCmd `cmd:"" group:"Machines:" help:"Show the pools of the persistent resources and what is free."`
	Queue queueCmd `cmd:"" group:"Machines:" help:"Show the waiting requests in order, each with its reason."`
	Usage usageCmd `cmd:"" group:"Machines:" help:"Say what became of the machines: replica-hours used, idle, and idle while requests waited."`

	Pause          pauseCmd          `cmd:"" group:"Operators:" help:"Let nothing start on a persistent resource, or of a tenant."`
	Drain          drainCmd          `cmd:"" group:"Operators:" help:"Let nothing start on a persistent resource, and say when nothing runs any more."`
	Resume         resumeCmd         `cmd:"" group:"Operators:" help:"Undo a pause or a drain."`
	Prioritise     prioritiseCmd     `cmd:"" group:"Operators:" help:"Give a waiting request another place in the order."`
	Requeue        requeueCmd        `cmd:"" group:"Operators:" help:"Have a request give its replicas back and wait again."`
	CancelMatching cancelMatchingCmd `cmd:"" group:"Operators:" help:"Cancel all requests that a filter matches, as an operator. A preview unless --yes is given."`

	Doctor        doctorCmd        `cmd:"" group:"Deployment:" help:"Check a deployment: what is wrong, what it means, what to do."`
	Repair        repairCmd        `cmd:"" group:"Deployment:" help:"Fix what doctor found. A dry run unless --yes is given."`
	Policy        policyCmd        `cmd:"" group:"Deployment:" help:"Check, compare and apply the policy: who may use how much of what, and what may run."`
	CheckSettings checkSettingsCmd `cmd:"" group:"Deployment:" help:"Check settings of the functions (BERTH_NAME=VALUE), without a deployment."`

	Simulate simulateCmd `cmd:"" group:"Planning:" help:"Say how long the jobs of a workload would wait, without a deployment."`
	Size     sizeCmd     `cmd:"" group:"Planning:" help:"Say how many replicas a workload needs for short waits, without a deployment."`
	Export   exportCmd   `cmd:"" group:"Planning:" help:"Write the requests that have run as a workload for simulate and size."`
	Evaluate evaluateCmd `cmd:"" group:"Planning:" help:"Say how good the order is on traces, without a deployment."`

	Completion completionCmd `cmd:"" group:"This tool:" help:"Print a script that completes command lines in bash, zsh or fish."`
	Version    versionCmd    `cmd:"" group:"This tool:" help:"Print the version of this tool, the commit and the Go that it was built from."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Say what may come next in a command line."`
}

// globals are the flags of every verb, and the streams that a verb reads and
// writes.
type globals struct {
	target
	JSON        bool             `name:"json" help:"Write JSON instead of text."`
	Color       string           `name:"color" enum:"auto,always,never" default:"auto" help:"Colours of states: auto for a terminal and without NO_COLOR, always, or never."`
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version of this tool."`

	ctx      context.Context
	in       io.Reader
	out, err io.Writer
	reach    reach // how doctor and repair open the deployment's services
}

// A quit ends the tool with a code. Its text, if any, is an error message.
type quit struct {
	code int
	err  error
}

func (q *quit) Error() string {
	if q.err == nil {
		return ""
	}
	return q.err.Error()
}

func (q *quit) Unwrap() error { return q.err }

func usage(format string, args ...any) error { return &quit{exitUsage, fmt.Errorf(format, args...)} }

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs the tool and returns its exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	return runOn(openSite, args, in, out, errOut)
}

func runOn(behind reach, args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &cli{globals: globals{ctx: ctx, in: in, out: out, err: errOut, reach: behind}}
	c.warn = func(format string, args ...any) { say(errOut, format, args...) }
	parser, err := kong.New(c, kong.Name("berth"), kong.Description(description), kong.Vars{"version": versionText()}, kong.Writers(out, errOut))
	if err == nil {
		if len(args) == 0 {
			args = []string{"--help"}
		}
		var parsed *kong.Context
		if parsed, err = parser.Parse(args); err != nil {
			err = usage("%w; see berth --help", err)
		} else {
			on := newScreen(out, c.Color)
			c.out = on
			if err = parsed.Run(&c.globals); err == nil && on.failed != nil {
				err = fmt.Errorf("write the output: %w", on.failed) // or a script takes half of it for all
			}
		}
	}
	q := (*quit)(nil)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && !errors.As(err, &q):
		q = &quit{exitInterrupted, errors.New("interrupted")}
	case !errors.As(err, &q):
		q = &quit{exitError, err}
	}
	if text := q.Error(); text != "" {
		fmt.Fprintln(errOut, "berth:", line(text)) //nolint:errcheck // an error of the error stream cannot be reported
	}
	return q.code
}
