//go:build unix && !linux

package child

import "syscall"

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func guard(pid int) (release func()) { return watch(pid) }
