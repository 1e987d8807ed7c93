package localstack_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"example.com/berth/internal/localstack"
)

// What gcloud does, with its parameters: a round trip over REST alone.
func TestBrokerREST(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	call := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+b.Host()+"/v1/"+path+"?alt=json&%24alt=json%3Benum-encoding%3Dint", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, resp.Status, err)
		}
		return resp.StatusCode, got
	}
	resp, err := http.Get("http://" + b.Host() + "/") // the official emulator's sign of life
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET / = %s", resp.Status)
	}
	topic := localstack.TopicName("some-project", "requests")
	sub := localstack.SubscriptionName("some-project", "to-admit")
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"PUT", topic, `{}`, 200},
		{"PUT", topic, `{}`, 409},
		{"PUT", sub, `{"topic":"` + topic + `","ackDeadlineSeconds":10}`, 200},
		{"PUT", sub + "-2", `{"topic":"` + topic + `-2"}`, 404},
		{"POST", topic + ":publish", `{"messages":[{}]}`, 400},
		{"POST", topic + ":publish", `{"messages":[{"data":"eA==","attributes":{"k":"v"}}]}`, 200},
		{"GET", "projects/some-project/nonsense", ``, 404},
		{"POST", sub + ":seek", `{"time":"2020-01-01T00:00:00Z"}`, 400},
	} {
		got, body := call(c.method, c.path, c.body)
		if got != c.want {
			t.Errorf("%s %s: %d %v, want %d", c.method, c.path, got, body, c.want)
		}
		if e, _ := body["error"].(map[string]any); got >= 400 && (e["status"] == nil || e["code"] != float64(got)) {
			t.Errorf("%s %s: error without an envelope: %v", c.method, c.path, body)
		}
	}
	_, got := call("POST", sub+":pull", `{"maxMessages":1}`)
	received, _ := got["receivedMessages"].([]any)
	if len(received) != 1 {
		t.Fatalf("pulled %v", got)
	}
	message := received[0].(map[string]any)["message"].(map[string]any)
	if message["data"] != base64.StdEncoding.EncodeToString([]byte("x")) {
		t.Errorf("message = %v", message)
	}
}
