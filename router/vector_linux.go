//go:build linux && !race

package router

import "golang.org/x/sys/unix"

func writev(fd int, pieces [][]byte) (int, error) {
	return unix.Writev(fd, pieces[:min(len(pieces), len(iovecs{}))])
}

func readv(fd int, bufs [][]byte) (int, error) {
	for {
		n, err := unix.Readv(fd, bufs[:min(len(bufs), len(iovecs{}))])
		if err != unix.EINTR {
			return n, err
		}
	}
}
