package router

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendNow writes to a unix socket what it takes now, whatever mode it is in: one that another program has open as well keeps the mode
// that this has chosen. It is quiet as TryWriteOwn is: who reads at the other end, or here, holds no lock that writing needs.
func SendNow(fd int, pieces [][]byte) (int, error) {
	v, count := pointTo(pieces)
	defer v.release()
	h := unix.Msghdr{Iov: &v[0]}
	h.SetIovlen(count)
	n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// iovecs are the buffers of one call: fewer than the 1024 that the system would take.
type iovecs [64]unix.Iovec

// vectors are used again: what a system call is given lives on the heap.
var vectors = sync.Pool{New: func() any { return new(iovecs) }}

// pointTo returns pointers to bufs, as many as there is room for, and says how many. They have to be released after the call.
func pointTo(bufs [][]byte) (v *iovecs, count int) {
	v = vectors.Get().(*iovecs)
	bufs = bufs[:min(len(bufs), len(v))]
	for i, b := range bufs {
		v[i].Base = unsafe.SliceData(b)
		v[i].SetLen(len(b))
	}
	return v, len(bufs)
}

// release forgets the buffers.
func (v *iovecs) release() {
	clear(v[:])
	vectors.Put(v)
}
