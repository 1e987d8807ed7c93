package emulatortest_test

import (
	"net/http"
	"testing"

	"example.com/berth/internal/localstack/emulatortest"
)

func TestShared(t *testing.T) {
	for name, host := range map[string]func(testing.TB) string{
		"firestore": emulatortest.Firestore,
		"pubsub":    emulatortest.PubSub,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := host(t), host(t)
			if first != second {
				t.Errorf("two emulators in one process: %s and %s", first, second)
			}
			resp, err := http.Get("http://" + first + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("GET / = %s", resp.Status)
			}
		})
	}
}

func TestProjectsDiffer(t *testing.T) {
	if a, b := emulatortest.Project(t), emulatortest.Project(t); a == b {
		t.Errorf("the same project %s twice", a)
	}
}
