//go:build unix

package child

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

func terminateGroup(pid int) error { return signalGroup(pid, syscall.SIGTERM) }
func killGroup(pid int) error      { return signalGroup(pid, syscall.SIGKILL) }

func signalGroup(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(-pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process group %d: %w", sig, pid, err)
	}
	return nil
}

// watch starts a shell that kills the process group of pid when this program
// is gone, which it notices by the end of a pipe that only this program holds.
// It stands in for the death signal of Linux. release ends the shell and must
// be called once the group is gone, since its number may be given out again.
// Without a shell there is no watcher: the process then ends by Stop, or with its standard input.
func watch(pid int) (release func()) {
	sh := exec.Command("sh", "-c", `read -r _; kill -KILL "-$0"`, fmt.Sprint(pid))
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for the watcher
	held, err := sh.StdinPipe()
	if err != nil {
		return func() {}
	}
	if err := sh.Start(); err != nil {
		held.Close()
		return func() {}
	}
	return func() {
		sh.Process.Kill()
		sh.Wait() //nolint:errcheck // it was killed
		held.Close()
	}
}
