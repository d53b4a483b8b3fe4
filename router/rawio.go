package router

import (
	"errors"
	"io"
	"syscall"
)

// Bulk goes through system calls of which the runtime does not hear. Descriptors here are in non-blocking mode, so a call lasts no longer than
// copying its bytes does. Announced, each would cost two hand-overs of the processor: the runtime's monitor looks for calls
// that last longer than 20 µs, which copying 128 KiB does, takes the processor away from them, and goes on looking at that pace.

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

// ReadVector is what a VectorReader over a descriptor in non-blocking mode does: it waits for data. No bytes and no error are the end.
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

// writeVector writes all of pieces, which it uses up, to a descriptor in non-blocking mode, and waits for room.
func writeVector(c syscall.RawConn, pieces [][]byte) (total int64, err error) {
	waitErr := c.Write(func(fd uintptr) bool {
		for len(pieces) > 0 && err == nil {
			var n int
			if n, err = writev(int(fd), pieces); errors.Is(err, syscall.EAGAIN) {
				err = nil
				return false
			}
			total += int64(max(n, 0))
			pieces = cutFront(pieces, max(n, 0))
		}
		return true
	})
	if waitErr != nil {
		err = waitErr
	}
	return total, err
}

// cutFront takes the first n bytes off pieces.
func cutFront(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if len(pieces) > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}
