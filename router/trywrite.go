package router

import (
	"errors"
	"io"
	"syscall"
)

// TryWriter is a writer that can also be asked to write only what it can without waiting. It says how much that was; an
// error shows at the next Write.
type TryWriter interface {
	io.Writer
	TryWrite(pieces [][]byte) int
}

// TryWrite is what a TryWriter over a descriptor in non-blocking mode does.
func TryWrite(c syscall.RawConn, pieces [][]byte) (n int) {
	_ = c.Write(func(fd uintptr) bool {
		n, _ = writev(int(fd), pieces)
		return true
	})
	return max(n, 0)
}

// ReadVector is what a VectorReader over a descriptor in non-blocking mode does: it waits for data.
func ReadVector(c syscall.RawConn, bufs [][]byte) (n int, err error) {
	waitErr := c.Read(func(fd uintptr) bool {
		n, err = readv(int(fd), bufs)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}
