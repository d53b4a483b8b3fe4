package agent

import "golang.org/x/sys/unix"

func sendBreak(fd int) error { return unix.IoctlSetInt(fd, unix.TCSBRK, 0) }
