//go:build unix

package router

import "golang.org/x/sys/unix"

func isNonBlocking(fd uintptr) bool {
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK != 0
}
