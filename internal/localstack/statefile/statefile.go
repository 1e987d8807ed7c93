// Package statefile is how the command line tool finds a running local stack:
// a small JSON file in the user's cache folder, written by the stack when it is
// up and removed when it stops. Each stack has a file of its own, named by its
// process id, so that several can run side by side.
//
// A stack that was killed leaves its file behind. So the file carries the id of
// the stack's process, and counts only while that is alive.
package statefile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Variable names the environment variable that names one file to use, for
// reading and writing.
const Variable = "BERTH_LOCALSTACK_FILE"

var (
	// ErrGone means that every file found is that of a process that has ended.
	ErrGone = errors.New("its process has ended")
	// ErrTaken means that the file named by [Variable] is that of a running stack.
	ErrTaken = errors.New("it belongs to a local stack that is running")
)

// A State says where a local stack is to be reached.
type State struct {
	PID          int       `json:"pid"`
	Started      time.Time `json:"started,omitzero"`
	Project      string    `json:"project"`
	PubSub       string    `json:"pubsub"` // host:port
	Topic        string    `json:"topic"`  // id of the request topic
	OutcomeTopic string    `json:"outcomeTopic"`
	Status       string    `json:"status"`              // URL of the Status function
	Vertex       string    `json:"vertex"`              // host:port of the fake
	Firestore    string    `json:"firestore,omitempty"` // host:port, empty with the embedded ledger

	File string `json:"-"` // where this was read
}

// folder holds the files of stacks without a named file.
func folder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the local stack's file (%s would name one): %w", Variable, err)
	}
	return filepath.Join(cache, "berth"), nil
}

// own is the file that this process writes.
func own() (string, error) {
	if path := os.Getenv(Variable); path != "" {
		return path, nil
	}
	dir, err := folder()
	return filepath.Join(dir, fmt.Sprintf("localstack-%d.json", os.Getpid())), err
}

// Write writes the file of this process's stack; a zero PID becomes that of this
// process. It fails with [ErrTaken], and changes nothing, if the file is that of
// another stack that is running.
func Write(s State) error {
	path, err := own()
	if err != nil {
		return err
	}
	s.PID = cmp.Or(s.PID, os.Getpid())
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the local stack's state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make a folder for the local stack's file: %w", err)
	}
	// A reader must never get a partial file.
	half := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer os.Remove(half) //nolint:errcheck // it is gone unless something else failed
	if err := os.WriteFile(half, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the local stack's file: %w", err)
	}
	for {
		// A link, unlike a rename, never replaces what another stack wrote meanwhile.
		err := os.Link(half, path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write the local stack's file: %w", err)
		}
		if err := discard(path); err != nil {
			return err
		}
	}
}

// Free returns [ErrTaken] if this process would find its file taken now.
func Free() error {
	path, err := own()
	if err != nil {
		return err
	}
	if _, err := live(path); err == nil {
		return taken(path)
	}
	return nil
}

func taken(path string) error { return fmt.Errorf("local stack's file %s: %w", path, ErrTaken) }

// discard takes the file of a process that has ended, or that is none of ours, away.
func discard(path string) error {
	if _, err := live(path); err == nil {
		return taken(path)
	}
	// What is moved away may be a file that another stack has written since: then
	// it goes back.
	old := fmt.Sprintf("%s.old.%d", path, os.Getpid())
	if err := os.Rename(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the local stack's file: %w", err)
	}
	if _, err := live(old); err == nil {
		return errors.Join(taken(path), os.Rename(old, path))
	}
	if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the local stack's file: %w", err)
	}
	return nil
}

// Running returns the stacks that are running, the latest first; with
// [Variable] set, that of the file that it names. The error is fs.ErrNotExist
// when there is no file, and [ErrGone] when there are only files of processes
// that have ended; the latest of these is returned beside the latter.
func Running() ([]State, error) {
	paths := []string{os.Getenv(Variable)}
	if paths[0] == "" {
		dir, err := folder()
		if err != nil {
			return nil, err
		}
		if paths, err = filepath.Glob(filepath.Join(dir, "localstack*.json")); err != nil {
			return nil, fmt.Errorf("find local stacks' files: %w", err)
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("find local stacks' files in %s: %w", dir, fs.ErrNotExist)
		}
	}
	var running, gone []State
	var failed error
	for _, path := range paths {
		s, err := live(path)
		switch {
		case err == nil:
			running = append(running, s)
		case errors.Is(err, ErrGone):
			gone = append(gone, s)
			failed = cmp.Or(failed, err)
		default:
			failed = cmp.Or(failed, err)
		}
	}
	late := func(a, b State) int { return b.Started.Compare(a.Started) }
	slices.SortFunc(running, late)
	slices.SortFunc(gone, late)
	if len(running) == 0 {
		return gone, failed
	}
	return running, nil
}

// Read returns the latest of [Running].
func Read() (State, error) {
	all, err := Running()
	if len(all) == 0 {
		return State{}, err
	}
	return all[0], err
}

// live reads one file. The error is [ErrGone] when its process has ended; the
// state is returned beside it.
func live(path string) (State, error) {
	s := State{File: path}
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
	path, err := own()
	if err != nil {
		return err
	}
	if s, err := live(path); errors.Is(err, fs.ErrNotExist) || s.PID != os.Getpid() {
		return nil // none, or that of another stack
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the local stack's file: %w", err)
	}
	return nil
}

// Prune removes the files of stacks that were killed, as far as it can.
func Prune() {
	dir, err := folder()
	if err != nil {
		return
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "localstack-*.json"))
	for _, path := range paths {
		if _, err := live(path); errors.Is(err, ErrGone) {
			_ = os.Remove(path) // named by its process id, so no running stack writes it
		}
	}
}

// alive reports whether a process exists. A process of another
// user counts.
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
