//go:build linux && !race

package router

import (
	"syscall"
	"unsafe"
)

func ownWritev(fd int, pieces [][]byte) (int, error) { return quiet(syscall.SYS_WRITEV, fd, pieces) }

func ownReadv(fd int, bufs [][]byte) (int, error) { return quiet(syscall.SYS_READV, fd, bufs) }

// quiet makes a call that must not block.
func quiet(call uintptr, fd int, bufs [][]byte) (int, error) {
	v, count := pointTo(bufs)
	defer v.release()
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(v)), uintptr(count))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}
