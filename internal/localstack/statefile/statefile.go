// Package statefile is how the command line tool finds a running local stack:
// a small JSON file in the user's cache folder, written by the stack when it is
// up and removed when it stops.
//
// A stack that was killed leaves its file behind. So the file carries the id of
// the stack's process, and counts only while that is alive.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Variable names the environment variable that moves the file.
const Variable = "BERTH_LOCALSTACK_FILE"

// ErrGone means that the file is that of a process that has ended.
var ErrGone = errors.New("its process has ended")

// A State says where a local stack is to be reached.
type State struct {
	PID          int    `json:"pid"`
	Project      string `json:"project"`
	PubSub       string `json:"pubsub"` // host:port
	Topic        string `json:"topic"`  // id of the request topic
	OutcomeTopic string `json:"outcomeTopic"`
	Status       string `json:"status"`              // URL of the Status door
	Vertex       string `json:"vertex"`              // host:port of the fake
	Firestore    string `json:"firestore,omitempty"` // host:port, empty with the embedded ledger
}

// Path is where the file is: at $BERTH_LOCALSTACK_FILE, or at
// berth/localstack.json in the user's cache folder.
func Path() (string, error) {
	if path := os.Getenv(Variable); path != "" {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the local stack's file (%s would name one): %w", Variable, err)
	}
	return filepath.Join(cache, "berth", "localstack.json"), nil
}

// Write writes the file; a zero PID becomes that of this process. A file that
// is there already is replaced: the latest stack wins.
func Write(s State) error {
	path, err := Path()
	if err != nil {
		return err
	}
	if s.PID == 0 {
		s.PID = os.Getpid()
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the local stack's state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make a folder for the local stack's file: %w", err)
	}
	// Whoever reads must never see half a file.
	half := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(half, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the local stack's file: %w", err)
	}
	if err := os.Rename(half, path); err != nil {
		return errors.Join(fmt.Errorf("write the local stack's file: %w", err), os.Remove(half))
	}
	return nil
}

// Read returns the state of the running stack. The error is fs.ErrNotExist when
// there is no file, and [ErrGone] when its process has ended; the state is
// returned beside the latter.
func Read() (State, error) {
	var s State
	path, err := Path()
	if err != nil {
		return s, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read the local stack's file: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read the local stack's file %s: %w", path, err)
	}
	if !alive(s.PID) {
		return s, fmt.Errorf("the local stack of %s (process %d): %w", path, s.PID, ErrGone)
	}
	return s, nil
}

// Remove removes the file if it is this process's.
func Remove() error {
	path, err := Path()
	if err != nil {
		return err
	}
	s, err := Read()
	if errors.Is(err, os.ErrNotExist) || s.PID != os.Getpid() {
		return nil // none, or that of a later stack
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the local stack's file: %w", err)
	}
	return nil
}

// alive reports whether a process exists. One that belongs to somebody else
// does.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid) // on Windows it fails for one that has ended
	if err != nil {
		return false
	}
	defer p.Release() //nolint:errcheck // nothing can be done
	if runtime.GOOS == "windows" {
		return true
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}
