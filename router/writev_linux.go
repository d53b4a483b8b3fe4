package router

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxVector is what one writev takes (IOV_MAX).
const maxVector = 1024

func writev(fd int, pieces [][]byte) (int, error) {
	if len(pieces) == 1 {
		return syscall.Write(fd, pieces[0]) // which tells the race detector what follows it
	}
	return unix.Writev(fd, pieces[:min(len(pieces), maxVector)])
}

func readv(fd int, bufs [][]byte) (int, error) {
	for {
		n, err := unix.Readv(fd, bufs)
		if err != unix.EINTR {
			return n, err
		}
	}
}
