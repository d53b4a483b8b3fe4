//go:build linux && !race

package router

import (
	"syscall"
	"unsafe"
)

func writev(fd int, pieces [][]byte) (int, error) { return vectored(syscall.SYS_WRITEV, fd, pieces) }

func readv(fd int, bufs [][]byte) (int, error) { return vectored(syscall.SYS_READV, fd, bufs) }

// vectored makes a call that must not block.
func vectored(call uintptr, fd int, bufs [][]byte) (int, error) {
	var v iovecs
	count := v.fill(bufs)
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&v)), uintptr(count))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}
