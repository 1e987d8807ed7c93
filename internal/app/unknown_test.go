package app

import (
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
)

func TestSettingsForTheUnknownAreChecked(t *testing.T) {
	for name, value := range map[string]string{
		"BERTH_DISK_TYPE": "ssd", "BERTH_SERVICE_ACCOUNTS": "yes", "BERTH_RAY_CLUSTERS": "true", "BERTH_DECLINE_TIMEOUT": "10s",
	} {
		_, err := LoadConfig(t.Context(), envconfig.MapLookuper(map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", name: value}))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
