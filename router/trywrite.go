package router

import (
	"io"
	"syscall"
)

// TryWriter is a writer that can also be asked to write only what it can without waiting. It says how much that was; an
// error shows at the next Write.
type TryWriter interface {
	io.Writer
	TryWrite(p []byte) int
}

// TryWrite is what a TryWriter over a descriptor in non-blocking mode does.
func TryWrite(c syscall.RawConn, p []byte) (n int) {
	_ = c.Write(func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), p)
		return true
	})
	return max(n, 0)
}
