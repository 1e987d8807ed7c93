package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/googleapis/gax-go/v2"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/message"
)

// Chances of the pump, until its faults are stopped.
const (
	chanceLate      = 0.15 // a message is held back, so that others overtake it
	chanceTwice     = 0.20 // it is delivered again, by itself, up to lateCopy later
	chanceAckLost   = 0.05 // the entry point acknowledged, and Pub/Sub does not get the answer
	chanceBinary    = 0.30 // it comes as a CloudEvent, not as a plain push
	heldBack        = 1500 * time.Millisecond
	lateCopy        = 4 * time.Second
	deliveriesAtOne = 8 // messages under way at one time
)

// A pump delivers the messages of a subscription to the functions, as a push
// subscription with many instances behind it does, at its worst.
type pump struct {
	world  *world
	http   *http.Client
	copies sync.WaitGroup

	mu        sync.Mutex
	rng       *rand.Rand
	faultless bool
	acked     map[string]bool // request messages by id
	passes    int             // reconciles that were answered and not skipped
	counts    Deliveries
}

// Deliveries counts what the pump did.
type Deliveries struct {
	Total     int `json:"total"`     // requests to Admit, ticks not counted
	Duplicate int `json:"duplicate"` // of them copies of a message that is delivered anyway, or was acknowledged
	Late      int `json:"late"`      // held back or made later than the message
	Failed    int `json:"failed"`    // not answered by 200
	AckLost   int `json:"ackLost"`   // answered by 200 and delivered again all the same
	Ticks     int `json:"ticks"`
}

func newPump(w *world, seed uint64) *pump {
	return &pump{world: w, rng: rand.New(rand.NewPCG(seed, 0x9c49)), acked: map[string]bool{}, // #nosec G404 -- a game, not a secret
		http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// run delivers until ctx ends, and then returns once nothing is under way.
func (p *pump) run(ctx context.Context) error {
	errs := make(chan error, 2)
	for sub, deliver := range map[string]func(context.Context, *pubsub.Message){admitPull: p.admit, tickPull: p.tick} {
		s := p.world.client.Subscriber(sub)
		s.ReceiveSettings.MaxOutstandingMessages = deliveriesAtOne
		s.ReceiveSettings.NumGoroutines = 1
		go func() { errs <- s.Receive(ctx, deliver) }()
	}
	var first error
	for range 2 {
		if err := <-errs; err != nil && ctx.Err() == nil && first == nil {
			first = fmt.Errorf("receive messages to deliver: %w", err)
		}
	}
	p.copies.Wait()
	return first
}

// stopFaults makes the pump deliver each message once, at once and in order.
func (p *pump) stopFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faultless = true
}

func (p *pump) chance(share float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.faultless && p.rng.Float64() < share
}

func (p *pump) upTo(d time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(p.rng.Int64N(int64(d)))
}

func (p *pump) count(what *int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*what++
}

func (p *pump) admit(ctx context.Context, m *pubsub.Message) {
	first := m.DeliveryAttempt == nil || *m.DeliveryAttempt <= 1
	if first && p.chance(chanceLate) {
		p.count(&p.counts.Late)
		_ = gax.Sleep(ctx, p.upTo(heldBack))
	}
	if p.chance(chanceTwice) {
		wait := p.upTo(lateCopy)
		p.copies.Go(func() {
			_ = gax.Sleep(ctx, wait)
			p.count(&p.counts.Duplicate)
			_ = p.post(ctx, admitPull, "Admit", m, nil) // its result is ignored; the message itself counts
		})
	}
	if !first {
		p.count(&p.counts.Duplicate)
	}
	if err := p.post(ctx, admitPull, "Admit", m, nil); err != nil {
		p.count(&p.counts.Failed)
		_ = gax.Sleep(ctx, 50*time.Millisecond+p.upTo(500*time.Millisecond)) // the back-off of a retry policy
		m.Nack()
		return
	}
	if p.chance(chanceAckLost) {
		p.count(&p.counts.AckLost)
		m.Nack()
		return
	}
	p.mu.Lock()
	p.acked[m.ID] = true
	p.mu.Unlock()
	m.Ack()
}

func (p *pump) tick(ctx context.Context, m *pubsub.Message) {
	p.count(&p.counts.Ticks)
	var report struct {
		Passes  int  `json:"passes"`
		Skipped bool `json:"skipped"`
	}
	if err := p.post(ctx, tickPull, "Reconcile", m, &report); err == nil && report.Passes > 0 {
		p.count(&p.passes)
	}
	m.Ack() // the next one comes anyway
}

// post makes one delivery to any function that takes the connection. A nil
// error is an acknowledgement.
func (p *pump) post(ctx context.Context, sub, entry string, m *pubsub.Message, answer any) error {
	p.mu.Lock()
	order := p.rng.Perm(len(p.world.functions))
	binary := p.rng.Float64() < chanceBinary
	if entry == "Admit" {
		p.counts.Total++
	}
	p.mu.Unlock()
	var err error
	for _, i := range order {
		err = p.postTo(ctx, p.world.functions[i].URL(entry), sub, m, binary, answer)
		if refused := (*net.OpError)(nil); !errors.As(err, &refused) || refused.Op != "dial" {
			break // it may have got there
		}
	}
	return err
}

func (p *pump) postTo(ctx context.Context, url, sub string, m *pubsub.Message, binary bool, answer any) error {
	req, err := envelope(ctx, url, p.world.subscription(sub), m, binary)
	if err != nil {
		return err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	if answer != nil && len(body) > 0 {
		return json.Unmarshal(body, answer)
	}
	return nil
}

// envelope is a push as production sends it, or the CloudEvent that a function
// trigger makes of it.
func envelope(ctx context.Context, url, subscription string, m *pubsub.Message, binary bool) (*http.Request, error) {
	d := message.Delivery{ID: m.ID, Subscription: subscription, PublishTime: m.PublishTime, OrderingKey: m.OrderingKey, Attributes: m.Attributes, Data: m.Data}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.Push()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if binary {
		for key, value := range map[string]string{"id": m.ID, "specversion": "1.0", "time": m.PublishTime.UTC().Format(time.RFC3339Nano),
			"type": "google.cloud.pubsub.topic.v1.messagePublished", "source": "//pubsub.googleapis.com/" + localstack.RequestTopic} {
			req.Header.Set("ce-"+key, value)
		}
	}
	return req, nil
}

// tally returns the counts, and how many messages of ids are acknowledged.
func (p *pump) tally(ids []string) (counts Deliveries, acked, passes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if p.acked[id] {
			acked++
		}
	}
	return p.counts, acked, p.passes
}
