//go:build !linux

package agent

import "syscall"

// killUnlessNohup kills the whole process group: there is no cheap way to see who ignores a signal.
func killUnlessNohup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }
