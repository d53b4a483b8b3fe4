package methods

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"fakessh/bootstrap"
)

// Conn is the link to a started agent: the bytes, and the tool behind them. One goroutine may read and one write at a time;
// Close may be called at any time and more than once.
//
// When the tool ends by itself, Read gives io.EOF only if it ended well, else an *EOFError with its last words.
type Conn struct {
	io.ReadWriteCloser
	Ready *bootstrap.Ready
	Name  string // "ssh.web1", "sudo.root": Mitogen's naming
	// Bypass says that the link is a socket between here and the agent, past the tool (bootstrap.Offer).
	Bypass bool

	link *link
}

// Exited says how the tool ended, "exit status 1", "signal: killed"; it waits until it has. When ctx is done first, it is "".
func (c *Conn) Exited(ctx context.Context) string {
	select {
	case <-c.link.proc.exited:
		return c.link.proc.status
	case <-ctx.Done():
		return ""
	}
}

// CloseWrite closes the tool's stdin, or this half of a link that bypasses it; what the agent sends can still be read. Where everything
// goes through a terminal there is no such half.
func (c *Conn) CloseWrite() error {
	if half, ok := c.link.stream.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is the descriptor below, to write to; who reads there loses what the handshake has left over, see ReadConn. (syscall.Conn)
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if below, ok := c.link.stream.(syscall.Conn); ok {
		return below.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// ReadConn is the descriptor below for reading, as soon as Read would use nothing else; nil until then, or if there is none. Its end is as
// good as an error: Read says what it means. (router.Direct)
func (c *Conn) ReadConn() syscall.RawConn {
	if len(c.link.early) > 0 {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// lastWordsWait is how long Read waits for the reason of an end, and how far back words count as one.
const lastWordsWait = 300 * time.Millisecond

// link is a Conn's stream: reading begins with what the handshake has left over, closing ends the tool.
type link struct {
	early    []byte
	stream   io.ReadWriteCloser // the tool's stdin and stdout, or the socket that bypasses it
	proc     *process
	watch    *watcher
	diagnose func(lines []string, status string) error

	close    sync.Once
	closeErr error
}

func (l *link) Read(p []byte) (int, error) {
	if len(l.early) > 0 {
		n := copy(p, l.early)
		l.early = l.early[n:]
		return n, nil
	}
	n, err := l.stream.Read(p)
	if err != nil && ended(err) {
		err = l.reason()
	}
	return n, err
}

func (l *link) Write(p []byte) (int, error) { return l.stream.Write(p) }

// ended says whether err is how the far end of a link looks when it is gone.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO)
}

// reason says why the link has ended.
func (l *link) reason() error {
	from := time.Now().Add(-lastWordsWait)
	patience := lastWordsWait
	if l.bypass() {
		patience = parting // the end has overtaken the tool
	}
	l.proc.wait(patience)
	l.watch.wait(lastWordsWait)
	status := l.proc.howEnded()
	lines := l.watch.tail.since(from)
	if status == "exit status 0" || status == "" && len(lines) == 0 {
		return io.EOF
	}
	err := l.diagnose(lines, status)
	if eof := (*EOFError)(nil); errors.As(err, &eof) {
		eof.Late = true
	}
	return err
}

func (l *link) bypass() bool { return l.stream != l.proc.link }

// Close ends the tool and returns when it is reaped. Only a tool that outlives SIGKILL makes an error.
func (l *link) Close() error {
	l.close.Do(func() {
		_ = l.stream.Close() // a socket of the agent's before the tool's stdin, whose end is the end
		if !l.proc.end(graceEOF, graceTerm) {
			l.closeErr = errors.New("does not end after SIGKILL")
		}
		l.watch.close(l.proc)
	})
	return l.closeErr
}
