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
func TryWrite(c syscall.RawConn, pieces [][]byte) int { return tryWrite(c, writev, pieces) }

// ReadVector is what a VectorReader over a descriptor in non-blocking mode does: it waits for data. No bytes and no error are the end.
func ReadVector(c syscall.RawConn, bufs [][]byte) (int, error) { return read(c, readv, bufs) }

// Links, and sockets that lead to other machines, carry the bulk, and nobody but their owner can hold up a call on them that has not to wait:
// it lasts no longer than copying does. So the runtime does not hear of these calls. Its monitor looks for those that last longer than 20 µs, as
// copying 128 KiB does, takes the processor away from them, and goes on looking at that pace. What a program of somebody else's has
// a hand in is another matter: a reader of a pipe holds its lock while its own memory is paged in.

// TryWriteOwn is TryWrite for such a descriptor.
func TryWriteOwn(c syscall.RawConn, pieces [][]byte) int { return tryWrite(c, ownWritev, pieces) }

// ReadOwn is ReadVector for such a descriptor.
func ReadOwn(c syscall.RawConn, bufs [][]byte) (int, error) { return read(c, ownReadv, bufs) }

// vectorCall is readv or writev.
type vectorCall func(fd int, bufs [][]byte) (int, error)

func tryWrite(c syscall.RawConn, call vectorCall, pieces [][]byte) (n int) {
	_ = c.Write(func(fd uintptr) bool {
		n, _ = call(int(fd), pieces)
		return true
	})
	return max(n, 0)
}

func read(c syscall.RawConn, call vectorCall, bufs [][]byte) (n int, err error) {
	waitErr := c.Read(func(fd uintptr) bool {
		n, err = call(int(fd), bufs)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}

// writeOwn writes all of pieces, which it uses up, and waits for room.
func writeOwn(c syscall.RawConn, pieces [][]byte) (total int64, err error) {
	waitErr := c.Write(func(fd uintptr) bool {
		for len(pieces) > 0 && err == nil {
			var n int
			if n, err = ownWritev(int(fd), pieces); errors.Is(err, syscall.EAGAIN) {
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
