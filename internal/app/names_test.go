package app

import (
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
)

// Names from the configuration become names of documents, so they are refused at
// the start if they are none.
func TestConfiguredNames(t *testing.T) {
	load := func(key, value string) error {
		env := map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1"}
		env[key] = value
		_, err := LoadConfig(t.Context(), envconfig.MapLookuper(env))
		return err
	}
	for key, values := range map[string][]string{
		"BERTH_DEFAULT_RESOURCE": {"__x__", "..", "a~b", "A", "a b", "a/b", "projects/p/locations/l/persistentResources/", "projects/p/locations/l/persistentResources/__x__", strings.Repeat("a", 64)},
		"BERTH_REGIONS":          {"__x__", "us-central1,..", "us/central1", "us-central1,us-east1,us-central1"},
		"BERTH_PROJECT":          {"__proj__", "a/bcdefgh", "12345678"},
	} {
		for _, v := range values {
			if err := load(key, v); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s=%q: error %v, want one that names it", key, v, err)
			}
		}
	}
	for _, v := range []string{"", "pool", "projects/test-project/locations/us-central1/persistentResources/pool"} {
		if err := load("BERTH_DEFAULT_RESOURCE", v); err != nil {
			t.Errorf("BERTH_DEFAULT_RESOURCE=%q: %v", v, err)
		}
	}
}
