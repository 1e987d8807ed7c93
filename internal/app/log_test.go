package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
)

// TestLogShowsHiddenCharacters: an error may quote what a user sent, and a log
// viewer shows it as it is.
func TestLogShowsHiddenCharacters(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, slog.LevelInfo).With("resource", "pool\u200b")
	log.Info("a\u202eb", "error", errors.New("job \u2066x\u2069\x1b[2J of \U000e0041"), slog.Group("job", "name", "n\u2028m"))
	var line struct {
		Message, Resource, Error string
		Job                      struct{ Name string }
	}
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Message != `a\u202eb` || line.Resource != `pool\u200b` || line.Error != `job \u2066x\u2069\x1b[2J of \U000e0041` || line.Job.Name != `n\u2028m` {
		t.Errorf("%+v", line)
	}
}
