package router

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendNow writes to a socket what it takes now, in whatever mode it is: a socket that another program has open too keeps the mode which that has
// chosen. EAGAIN when that is nothing.
func SendNow(fd int, pieces [][]byte) (int, error) {
	return message(unix.SYS_SENDMSG, fd, pieces, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// ReceiveNow reads from a socket what is there; see SendNow.
func ReceiveNow(fd int, bufs [][]byte) (int, error) {
	return message(unix.SYS_RECVMSG, fd, bufs, unix.MSG_DONTWAIT)
}

func message(call uintptr, fd int, bufs [][]byte, flags int) (int, error) {
	var v iovecs
	var h unix.Msghdr
	h.Iov = &v[0]
	h.SetIovlen(v.fill(bufs))
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// iovecs are how many buffers one call takes here, of the 1024 that the system would.
type iovecs [64]unix.Iovec

// fill makes v the first of bufs, and says how many.
func (v *iovecs) fill(bufs [][]byte) int {
	bufs = bufs[:min(len(bufs), len(v))]
	for i, b := range bufs {
		v[i].Base = unsafe.SliceData(b)
		v[i].SetLen(len(b))
	}
	return len(bufs)
}
