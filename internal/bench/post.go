package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/message"
)

// A target is a function process to load.
type target interface {
	URL(url string) string
	PID() int
}

// A delivery is one message that Pub/Sub would push, as the body of its POST.
type delivery struct {
	url  string // Admit, Reconcile or the empty one
	body []byte
}

// delivery makes a delivery of data with attributes.
func (w *world) delivery(url string, data []byte, attributes map[string]string) delivery {
	return delivery{url, message.Delivery{
		ID:           strconv.FormatInt(1_000_000_000+w.sent.Add(1), 10),
		Subscription: localstack.SubscriptionName(w.project, "berth-"+url),
		PublishTime:  time.Now(), Attributes: attributes, Data: data,
	}.Push()}
}

// request is a delivery of a job that asks for some replicas of a resource's
// pool, under an id of its own.
func (w *world) request(resource int, replicas int) delivery {
	return w.named("bench-"+strconv.FormatInt(w.sent.Load(), 10), resource, replicas)
}

// named is request under a given id.
func (w *world) named(id string, resource, replicas int) delivery {
	return w.delivery("Admit", jobOf(machine, replicas), map[string]string{
		"berth-request-id": id, "berth-persistent-resource": resourceID(resource)})
}

// requests makes n of them, for each resource in rotation, one replica each.
func (w *world) requests(n int) []delivery {
	all := make([]delivery, n)
	for i := range all {
		all[i] = w.request(i%w.resources, 1)
	}
	return all
}

// tick is what Cloud Scheduler publishes every minute.
func (w *world) tick() delivery { return w.delivery("Reconcile", []byte("{}"), nil) }

// jobOf is an ordinary job, some 600 bytes long.
func jobOf(machine string, replicas int) []byte {
	job, err := json.Marshal(map[string]any{
		"displayName": "train-resnet-nightly",
		"labels":      map[string]string{"team": "vision", "experiment": "resnet50-imagenet"},
		"jobSpec": map[string]any{
			"workerPoolSpecs": []any{map[string]any{
				"machineSpec":  map[string]any{"machineType": machine},
				"replicaCount": replicas,
				"containerSpec": map[string]any{
					"imageUri": "us-docker.pkg.dev/example/train/model:1",
					"command":  []string{"python", "-m", "trainer.task"},
					"args":     []string{"--epochs=90", "--batch-size=256", "--learning-rate=0.1", "--data=gs://example-data/imagenet/train"},
					"env":      []any{map[string]string{"name": "NCCL_DEBUG", "value": "WARN"}},
				},
			}},
			"baseOutputDirectory": map[string]string{"outputUriPrefix": "gs://example-output/resnet50"},
		},
	})
	if err != nil {
		panic(err) // cannot happen
	}
	return job
}

// post makes one delivery to one function. answer, if not nil, takes the JSON of
// the answer.
func (w *world) post(ctx context.Context, f target, d delivery, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL(d.url), bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	defer w.meter.begin()()
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", d.url, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s: %s", d.url, resp.Status, body)
	case answer != nil && len(body) > 0:
		return json.Unmarshal(body, answer)
	}
	return nil
}

// A report is the part of a reconcile's answer that is read here.
type report struct {
	Passes  int  `json:"passes"`
	Skipped bool `json:"skipped"`
}

// reconcile posts a tick to a function and waits for its end.
func (w *world) reconcile(ctx context.Context, f target) error {
	var r report
	if err := w.post(ctx, f, w.tick(), &r); err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	if r.Passes == 0 {
		return fmt.Errorf("tick: no pass was made (another holds the lease: %t)", r.Skipped)
	}
	return nil
}
