package main

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the transcripts as gcloud says them now")

// TestGcloud repeats sessions of the real gcloud. A transcript has commands, which begin
// with "$ ", and below each what gcloud writes. "$ clock TEXT" moves the virtual clock. A
// number that the server draws is written as {1}, {2}, ... in the order in which the numbers
// appear.
func TestGcloud(t *testing.T) {
	if testing.Short() {
		t.Skip("gcloud takes about a second per command")
	}
	if _, err := exec.LookPath("gcloud"); err != nil {
		t.Skip("gcloud is not installed: ", err)
	}
	files, err := filepath.Glob("testdata/*.transcript")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel() // they mostly wait
			repeat(t, file)
		})
	}
}

// perCommand is how long a command may take: gcloud would follow the log of a job that does
// not end for ever.
const perCommand = 2 * time.Minute

var drawn = regexp.MustCompile(`\b[0-9]{19}\b`)

func repeat(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, "--scenario=testdata/session.yaml", "--clock=virtual", "--start=2026-01-01T00:00:00Z")
	config := t.TempDir()
	var numbers []string
	var got strings.Builder
	for line := range strings.Lines(string(data)) {
		command, is := strings.CutPrefix(strings.TrimRight(line, "\n"), "$ ") // gcloud itself prints commands, indented
		switch {
		case strings.HasPrefix(line, "#"):
			got.WriteString(line)
		case is && strings.HasPrefix(command, "clock "):
			got.WriteString(line)
			move(t, url, strings.TrimPrefix(command, "clock "))
		case is:
			got.WriteString(line)
			real := command
			for i, n := range numbers {
				real = strings.ReplaceAll(real, "{"+strconv.Itoa(i+1)+"}", n)
			}
			ctx, cancel := context.WithTimeout(t.Context(), perCommand)
			cmd := exec.CommandContext(ctx, "bash", "-c", real)
			cmd.Dir, cmd.WaitDelay = "testdata", time.Second // what bash has started may hold its output open
			cmd.Env = append(os.Environ(),
				"CLOUDSDK_CONFIG="+config, "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_PROJECT=fake-project",
				"CLOUDSDK_AI_REGION=us-central1", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true", "TZ=UTC",
				"CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM="+url+"/", "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING="+url+"/")
			out, err := cmd.CombinedOutput()
			cancel()
			text := drawn.ReplaceAllStringFunc(string(out), func(n string) string {
				for i, m := range numbers {
					if m == n {
						return "{" + strconv.Itoa(i+1) + "}"
					}
				}
				numbers = append(numbers, n)
				return "{" + strconv.Itoa(len(numbers)) + "}"
			})
			for said := range strings.Lines(text) {
				if !strings.HasPrefix(said, "Using endpoint [") && strings.TrimSpace(said) != "" {
					got.WriteString(strings.TrimRight(said, " \n") + "\n")
				}
			}
			if err != nil {
				got.WriteString("(" + err.Error() + ")\n")
			}
			got.WriteString("\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(data), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(want) || line != want[i] {
			t.Errorf("%s:%d: gcloud says\n%s\nwant\n%s", file, i+1, line, append(want, "(nothing)")[min(i, len(want))])
			return
		}
	}
}

// move moves the virtual clock.
func move(t *testing.T, url, by string) {
	t.Helper()
	resp, err := http.Post(url+"/admin/clock", "application/yaml", strings.NewReader("advance: "+by))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Fatalf("clock: %s, %v", body, err)
	}
}
