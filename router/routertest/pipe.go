package routertest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// pipeBuffer is what one direction of a Pipe holds, as a Linux pipe does.
const pipeBuffer = 64 << 10

// Pipe returns the two ends of an in-memory byte stream. Closing an end ends both directions: the peer reads
// what was written before, then io.EOF, and its writes give io.ErrClosedPipe. It works inside of testing/synctest.
func Pipe() (a, b io.ReadWriteCloser) {
	ab, ba := newHalf(), newHalf()
	return &pipeEnd{in: ba, out: ab}, &pipeEnd{in: ab, out: ba}
}

type pipeEnd struct{ in, out *half }

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }

func (p *pipeEnd) Close() error {
	p.in.close(true)
	p.out.close(false)
	return nil
}

// half is one direction.
type half struct {
	mu     sync.Mutex
	moved  sync.Cond
	buf    []byte
	closed bool
}

func newHalf() *half {
	h := &half{}
	h.moved.L = &h.mu
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.buf) == 0 && !h.closed && len(b) > 0 {
		h.moved.Wait()
	}
	if len(h.buf) == 0 && h.closed {
		return 0, io.EOF
	}
	n := copy(b, h.buf)
	h.buf = h.buf[:copy(h.buf, h.buf[n:])]
	h.moved.Broadcast()
	return n, nil
}

func (h *half) write(b []byte) (total int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(b) > 0 {
		for len(h.buf) >= pipeBuffer && !h.closed {
			h.moved.Wait()
		}
		if h.closed {
			return total, io.ErrClosedPipe
		}
		n := min(len(b), pipeBuffer-len(h.buf))
		h.buf = append(h.buf, b[:n]...)
		b, total = b[n:], total+n
		h.moved.Broadcast()
	}
	return total, nil
}

// close ends the direction. The reading end's close drops what nobody will read.
func (h *half) close(drop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if drop {
		h.buf = nil
	}
	h.moved.Broadcast()
}

// SocketPair returns a connected pair of unix sockets: what a transport to a child process really is.
func SocketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "socketpair")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}
