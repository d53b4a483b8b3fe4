package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"fakessh/router"
)

// transport is a client's connection as x/crypto sees it. What was peeked at is read again; the version line that was sent
// early is swallowed when x/crypto sends it; acknowledgements are quick while the handshake goes on; deadlines are the server's
// alone (gliderlabs/ssh clears them at every read).
type transport struct {
	net.Conn
	sock     syscall.RawConn // below Conn; nil where that is a channel
	version  []byte          // sent already, with CR LF; swallowed once
	peek     []byte          // to be read again
	pending  chan readResult // a read that peekMore gave up waiting for
	quick    int             // bytes yet to be read with quick acknowledgement
	lastRead atomic.Int64    // unix nanoseconds
	in       batchReader
	out      *batchWriter
}

type readResult struct {
	data []byte
	err  error
}

// quickBytes is how much of a connection counts as its handshake.
const quickBytes = 32 << 10

var (
	errPeekFull = errors.New("peek buffer full")
	errPeekWait = errors.New("nothing to peek at")
)

// newTransport takes over nc. Its handshake has to be over within grace.
func newTransport(nc net.Conn, grace time.Duration) *transport {
	t := &transport{Conn: nc, quick: quickBytes, out: newBatchWriter(nc)}
	if c, ok := nc.(*net.TCPConn); ok {
		t.sock, _ = c.SyscallConn()
	}
	t.in.r = rawReader{t}
	t.lastRead.Store(time.Now().UnixNano())
	_ = t.Conn.SetDeadline(time.Now().Add(grace))
	quickAck(nc)
	return t
}

// sendVersion writes the server's version line now.
func (t *transport) sendVersion(version string) error {
	t.version = []byte(version + "\r\n")
	_, err := t.Conn.Write(t.version)
	return err
}

// awaitVersion reads the client's version line and leaves it to be read again. Whoever says something else is told so in the
// words of OpenSSH's server, at once.
func (t *transport) awaitVersion() error {
	for {
		_, err := skipVersion(t.peek)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errKexShort):
			err = t.peekMore(maxVersionLine+1, 0)
			if err == nil {
				continue
			}
		case errors.Is(err, errNotSSH):
			_, _ = io.WriteString(t.Conn, "Invalid SSH identification string.\r\n")
		case errors.Is(err, errOldSSH):
			_, _ = io.WriteString(t.Conn, "Protocol major versions differ.\r\n")
		}
		return err
	}
}

// admitted ends the handshake's deadline.
func (t *transport) admitted() { _ = t.Conn.SetDeadline(time.Time{}) }

// peekMore reads once more, up to limit bytes in all, waiting for at most wait (0: as long as it takes). A read that comes
// too late is kept for Read; its goroutine ends with the connection at the latest.
func (t *transport) peekMore(limit int, wait time.Duration) error {
	if len(t.peek) >= limit {
		return errPeekFull
	}
	buf := make([]byte, min(4096, limit-len(t.peek)))
	if wait == 0 {
		n, err := t.receive(buf)
		return t.keep(readResult{buf[:n], err})
	}
	done := make(chan readResult, 1)
	go func() {
		n, err := t.receive(buf)
		done <- readResult{buf[:n], err}
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case r := <-done:
		return t.keep(r)
	case <-timer.C:
		t.pending = done
		return errPeekWait
	}
}

// keep stores what was read; an error counts only when nothing was, for it comes again.
func (t *transport) keep(r readResult) error {
	t.peek = append(t.peek, r.data...)
	if len(r.data) > 0 {
		return nil
	}
	return r.err
}

// Read gives back what was peeked at first.
func (t *transport) Read(p []byte) (int, error) {
	if t.pending != nil && len(t.peek) == 0 {
		r := <-t.pending
		t.pending = nil
		if err := t.keep(r); err != nil {
			return 0, err
		}
	}
	if len(t.peek) > 0 {
		n := copy(p, t.peek)
		if t.peek = t.peek[n:]; len(t.peek) == 0 {
			t.peek = nil
		}
		return n, nil
	}
	return t.in.Read(p)
}

// rawReader reads from the connection itself.
type rawReader struct{ *transport }

func (r rawReader) Read(p []byte) (int, error) { return r.receive(p) }

func (t *transport) receive(p []byte) (int, error) {
	n, err := t.readConn(p)
	t.lastRead.Store(time.Now().UnixNano())
	if t.quick > 0 {
		t.quick -= n
		quickAck(t.Conn)
	}
	return n, err
}

// readConn is Conn's Read, on a socket as a link's (package router).
func (t *transport) readConn(p []byte) (int, error) {
	if t.sock == nil {
		return t.Conn.Read(p)
	}
	n, err := router.ReadOwn(t.sock, [][]byte{p})
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write sends p, except for the version line that has been sent.
func (t *transport) Write(p []byte) (int, error) {
	if t.version != nil {
		sent := t.version
		if t.version = nil; bytes.Equal(p, sent) {
			return len(p), nil
		}
	}
	return t.out.Write(p)
}

// Close sends what has been written, if the client takes it, and closes the connection.
func (t *transport) Close() error {
	t.out.drain()
	return t.Conn.Close()
}

// idle is how long nothing has come from the client.
func (t *transport) idle() time.Duration {
	return time.Since(time.Unix(0, t.lastRead.Load()))
}

// Deadlines are not for others to set.
func (*transport) SetDeadline(time.Time) error      { return nil }
func (*transport) SetReadDeadline(time.Time) error  { return nil }
func (*transport) SetWriteDeadline(time.Time) error { return nil }
