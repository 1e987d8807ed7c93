package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

const (
	tickBudget  = 54 * time.Second
	queueLength = 6
	jobTime     = 5 * time.Minute // from RUNNING to the end
	// handOver is the longest time that a freed machine may be idle where nothing fails:
	// the rest of a tick's minute after its last pass, and the next pass.
	handOver = 20 * time.Second
	// recovery is two ticks, and what the second of them takes; and as long again as
	// the next attempt waits after one that began just before the end.
	recovery = 2*time.Minute + 30*time.Second + 10*time.Second
)

// A player plays one outage.
type player struct {
	s      *surroundings
	ai     *vertex.Mem
	c      *controller.Controller
	begin  time.Time
	ids    map[message.Key]string
	stop   chan struct{}
	all    sync.WaitGroup
	frozen bool // no job ends by itself

	mu     sync.Mutex
	v      Verdict
	alarms map[string]int
	seen   map[string]time.Time // when a job was first seen in its state
}

// Play runs the controller through the outage. It has to be called in a bubble of
// testing/synctest.
func (o Outage) Play(rules Rules) Verdict {
	mem, ai := ledger.NewMem(time.Now), vertex.NewMem(time.Now)
	s := &surroundings{Client: ai, mem: mem, out: &Outbox{}, rules: rules, outage: o}
	p := &player{s: s, ai: ai, begin: time.Now(), ids: map[message.Key]string{}, stop: make(chan struct{}), v: Verdict{Outage: o}, alarms: map[string]int{}, seen: map[string]time.Time{}}
	mem.Fault = s.ledgerFaults
	mem.Wrote = func(_ ledger.Ref, before, after ledger.Document) {
		if res, ok := after.(*ledger.Resource); ok {
			was, _ := before.(*ledger.Resource)
			for _, v := range invariant.Commit(was, res) {
				p.bad("%v", v)
			}
		}
	}
	cfg := controller.DefaultConfig()
	cfg.Project, cfg.Regions, cfg.SampleEvery = "test-project", []string{otherRegion, struckRegion}, 0
	if o.Length > time.Hour {
		cfg.Poll = 20 * time.Second // or a night takes minutes
	}
	p.c = controller.New(cfg, struckLedger{mem, s}, s, s, slog.New(slog.NewTextHandler(p, nil)), controller.RealEnv())
	for _, res := range p.resources() {
		ai.SetResource(res, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}})
		p.ask(res, "run", 1)
		p.ask(res, "stop", 1)
		for i := range queueLength {
			p.ask(res, fmt.Sprint("q", i), 2)
		}
	}
	p.all.Go(p.ticks)
	p.all.Go(p.jobs)
	time.Sleep(2*time.Minute + 10*time.Second)
	s.set(true)
	for _, res := range p.resources() {
		p.send("cancel-"+res, []byte(`{"cancel":{"requestId":"`+idIn(res, "stop")+`"}}`))
	}
	time.Sleep(min(o.Length, 6*time.Minute) / 2)
	for _, res := range p.resources() {
		p.ask(res, "new", 2)
	}
	time.Sleep(time.Until(p.begin.Add(2*time.Minute + 10*time.Second + o.Length)))
	p.mu.Lock()
	p.frozen = true
	p.mu.Unlock()
	s.set(false)
	p.recover(cfg)
	p.mu.Lock()
	p.frozen = false
	p.mu.Unlock()
	for end := time.Now().Add(2 * time.Hour); time.Now().Before(end) && !p.done(); {
		time.Sleep(10 * time.Second)
	}
	close(p.stop)
	p.all.Wait()
	p.judge(cfg)
	return p.v
}

func (p *player) resources() []string {
	return []string{in(struckRegion, "a"), in(struckRegion, "b"), in(otherRegion, "c"), in(otherRegion, "d")}
}

func in(region, id string) string {
	return vertex.InRegion("test-project", region).Resource(id).String()
}

func idIn(resource, id string) string {
	return resource[strings.LastIndexByte(resource, '/')+1:] + "-" + id
}

func (p *player) bad(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.v.bad(format, args...)
}

// Write is the controller's log.
func (p *player) Write(line []byte) (int, error) {
	text := string(line)
	if strings.Contains(text, "this is a bug") {
		p.bad("%s", text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(text, "level=ERROR") {
		_, event, _ := strings.Cut(text, " event=")
		event, _, _ = strings.Cut(event, " error=")
		p.alarms[strings.TrimSpace(event)]++
		p.v.Alarms++
	}
	return len(line), nil
}

func (p *player) ask(resource, id string, cpus int) {
	id = idIn(resource, id)
	p.mu.Lock()
	p.ids[message.KeyOf(Tenant, message.KindRequest, id)] = id
	p.mu.Unlock()
	p.send("m-"+id, Job{ID: id, CPU: cpus, Resource: resource}.Body())
}

// send delivers a message until it is accepted.
func (p *player) send(id string, data []byte) {
	p.all.Go(func() {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 114*time.Second)
			err := p.c.Handle(ctx, Tenant, message.Delivery{ID: id, PublishTime: time.Now(), Data: data})
			cancel()
			select {
			case <-p.stop:
				return
			case <-time.After(10 * time.Second):
			}
			if err == nil {
				return
			}
		}
	})
	time.Sleep(10 * time.Millisecond) // so that the order is that of the calls
}

// ticks makes a reconcile every minute.
func (p *player) ticks() {
	for n := 0; ; n++ {
		began := time.Now()
		_, _ = p.c.Reconcile(context.Background(), fmt.Sprint("tick", n), tickBudget)
		took := time.Since(began)
		p.mu.Lock()
		p.v.Longest = max(p.v.Longest, took)
		p.mu.Unlock()
		select {
		case <-p.stop:
			return
		case <-time.After(max(time.Minute-took, time.Second)):
		}
	}
}

// jobs moves the jobs at Vertex AI on.
func (p *player) jobs() {
	for {
		select {
		case <-p.stop:
			return
		case <-time.After(2 * time.Second):
		}
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		for _, j := range p.ai.Jobs() {
			if j.State.Ended() {
				continue
			}
			key := j.Name + string(j.State)
			if p.seen[key].IsZero() {
				p.seen[key] = time.Now()
			}
			age := time.Since(p.seen[key])
			p.mu.Lock()
			id := p.ids[j.Request]
			p.mu.Unlock()
			end := jobTime
			if strings.HasSuffix(id, "-run") {
				end = 4 * jobTime
			}
			switch {
			case j.State == vertex.JobPending && age >= 10*time.Second:
				p.ai.SetJob(j.Name, vertex.JobRunning)
			case j.State == vertex.JobCancelling && age >= 20*time.Second:
				p.ai.SetJob(j.Name, vertex.JobCancelled)
			case j.State == vertex.JobRunning && age >= end && !frozen && !strings.HasSuffix(id, "-stop"):
				p.ai.SetJob(j.Name, vertex.JobSucceeded)
			}
		}
	}
}

func (p *player) picture() invariant.Picture {
	records, resources := stored(p.s.mem)
	pic := invariant.Picture{Now: time.Now(), Jobs: p.ai.Jobs(), Complete: true, Resources: resources}
	for _, r := range records {
		if r.Kind != message.KindAnswer {
			pic.Records = append(pic.Records, r)
		}
	}
	return pic
}

// recover waits until nothing is left of the outage, while no job ends by itself.
func (p *player) recover(cfg controller.Config) {
	ended := time.Now()
	var left []string
	for time.Since(ended) < 40*time.Minute {
		time.Sleep(5 * time.Second)
		if left = p.left(cfg); len(left) == 0 {
			break
		}
		if took := time.Since(ended); took > recovery && took <= recovery+5*time.Second {
			p.bad("two ticks after its end: %s", strings.Join(left, "; "))
		}
	}
	p.v.Recovered = time.Since(ended)
}

// left lists the traces of the outage.
func (p *player) left(cfg controller.Config) (left []string) {
	pic := p.picture()
	for _, v := range slices.Concat(invariant.Check(pic), invariant.Settled(pic, cfg.Policy)) {
		left = append(left, v.String())
	}
	ended := map[string]bool{}
	for _, j := range pic.Jobs {
		ended[j.Name] = j.State.Ended()
	}
	for _, r := range pic.Records {
		if ended[r.Reservation.Job] && !r.State.Terminal() {
			left = append(left, fmt.Sprintf("the job of %s has ended and it is %s", r.ID, r.State))
		}
	}
	return left
}

func (p *player) done() bool {
	records := p.picture().Records
	return len(records) == len(p.ids) && !slices.ContainsFunc(records, func(r *ledger.Record) bool { return !r.State.Terminal() || len(r.Unpublished()) > 0 })
}

// judge compares how everything ended with how it ends without an outage.
func (p *player) judge(cfg controller.Config) {
	pic := p.picture()
	byKey := map[message.Key]*ledger.Record{}
	for _, r := range pic.Records {
		byKey[r.Key] = r
	}
	jobs := map[message.Key][]vertex.Job{}
	for _, j := range pic.Jobs {
		jobs[j.Request] = append(jobs[j.Request], j)
	}
	for key, id := range p.ids {
		want := lifecycle.Succeeded
		if strings.HasSuffix(id, "-stop") {
			want = lifecycle.Cancelled
		}
		if r := byKey[key]; r == nil || r.State != want {
			p.bad("%s ended otherwise than without the outage: %+v", id, r)
		}
		if n := len(jobs[key]); n != 1 {
			p.bad("%s has %d jobs", id, n)
		}
	}
	for _, left := range p.left(cfg) {
		p.bad("at the end: %s", left)
	}
	// Where nothing fails, free machines are scheduled at the usual pace.
	healthy := p.resources()[2:]
	switch {
	case slices.Contains(ledgerCalls, p.v.Call):
		healthy = nil // everything rests on the ledger
	case p.v.Call == "publish":
		healthy = p.resources()
	case p.v.Call == "resource":
		healthy = p.resources()[1:]
	}
	for _, res := range healthy {
		var last vertex.Job
		for _, j := range pic.Jobs {
			if id := p.ids[j.Request]; !strings.HasPrefix(id, idIn(res, "q")) {
				continue
			}
			if gap := j.CreateTime.Sub(last.EndTime); last.Name != "" {
				p.v.HandOver = max(p.v.HandOver, gap)
			}
			last = j
		}
	}
	if most := handOver + 2*max(0, cfg.Poll-3*time.Second); p.v.HandOver > most {
		p.bad("where nothing fails a machine was free for %v, want %v at most", p.v.HandOver, most)
	}
	if p.v.Longest > tickBudget {
		p.bad("a reconcile took %v, its lease %v", p.v.Longest, tickBudget)
	}
	most := 1
	if p.v.Way == wayHalf {
		most += int(p.v.Length / (4 * time.Hour)) // it seems over for an hour now and then
	}
	for event, n := range p.alarms {
		if n > most {
			p.bad("%d log events %s, want %d", n, event, most)
		}
	}
	p.v.Creates = p.s.creates
	needs := p.v.Way != wayHalf && p.v.Way != wayLost && p.v.Length >= 10*time.Minute &&
		(p.v.Call == "token" || p.v.Call == "create" && !slices.Contains([]string{"NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}, p.v.Way) || p.v.Call == "live" || slices.Contains(ledgerCalls, p.v.Call) || p.v.Call == "publish")
	if needs && p.v.Alarms == 0 {
		p.bad("no event was logged")
	}
}
