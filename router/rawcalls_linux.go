//go:build linux && !race

package router

import (
	"syscall"
	"unsafe"
)

func ownWritev(fd int, pieces [][]byte) (int, error) {
	return vectored(syscall.SYS_WRITEV, fd, pieces)
}

func ownReadv(fd int, bufs [][]byte) (int, error) { return vectored(syscall.SYS_READV, fd, bufs) }

// maxVector is how many buffers one call takes here, of the 1024 that the system would.
const maxVector = 64

// vectored makes a call that must not block.
func vectored(call uintptr, fd int, bufs [][]byte) (int, error) {
	var vector [maxVector]syscall.Iovec
	bufs = bufs[:min(len(bufs), maxVector)]
	for i, b := range bufs {
		vector[i].Base = unsafe.SliceData(b)
		vector[i].SetLen(len(b))
	}
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&vector)), uintptr(len(bufs)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}
