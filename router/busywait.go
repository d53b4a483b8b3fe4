package router

import (
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A reader that parks in the runtime's poller costs more than a system call when it is woken: a look at the poller, another
// thread that looks for work, and the runtime's monitor, which wakes as well. So whoever reads a busy descriptor waits for it in
// poll(2), for a moment: the thread is lent to it, and comes back at once.
const (
	linger   = 2 * time.Millisecond
	busyRead = 8 << 10 // a read after which more is expected soon, bytes
)

// ReadWaiter is a reader that can wait until there is something to read, for d at most, without reading it.
type ReadWaiter interface {
	io.Reader
	WaitReadable(d time.Duration) bool
}

// WaitReadable is what a ReadWaiter over a descriptor does, in poll(2). An error counts as something to read.
func WaitReadable(c syscall.RawConn, d time.Duration) (ready bool) {
	_ = c.Control(func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds[:], int(d/time.Millisecond))
		ready = n > 0 || err == unix.EINTR
	})
	return ready
}

// busyReader is what BusyReader returns.
type busyReader struct {
	r    io.Reader
	wait func(d time.Duration) bool
	busy bool
}

// BusyReader returns a reader of r, or r itself if it has no descriptor, that lingers before a read as long as there is much to read.
// One goroutine may use it.
func BusyReader(r io.Reader) io.Reader {
	if w, ok := r.(ReadWaiter); ok {
		return &busyReader{r: r, wait: w.WaitReadable}
	}
	if c, ok := r.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			return &busyReader{r: r, wait: func(d time.Duration) bool { return WaitReadable(raw, d) }}
		}
	}
	return r
}

func (b *busyReader) Read(p []byte) (int, error) {
	if b.busy {
		b.busy = b.wait(linger)
	}
	n, err := b.r.Read(p)
	b.busy = b.busy || n >= busyRead
	return n, err
}
