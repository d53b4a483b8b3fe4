//go:build unix && !linux

package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

func sendBreak(fd int) error {
	if err := unix.IoctlSetInt(fd, unix.TIOCSBRK, 0); err != nil {
		return err
	}
	time.Sleep(400 * time.Millisecond)
	return unix.IoctlSetInt(fd, unix.TIOCCBRK, 0)
}
