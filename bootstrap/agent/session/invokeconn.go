package session

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// InvokeConn is one end of a connection to a control socket. One goroutine may read; any may send.
type InvokeConn struct {
	conn *net.UnixConn
	mu   sync.Mutex // one message at a time
}

// DialInvoke connects to the control socket at path.
func DialInvoke(path string) (*InvokeConn, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return NewInvokeConn(c), nil
}

// NewInvokeConn takes c over.
func NewInvokeConn(c *net.UnixConn) *InvokeConn { return &InvokeConn{conn: c} }

// Accepting goes on after an error that may pass, such as too many open files.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// AcceptInvoke waits for the next connection to ln. An error that may pass is told to trouble, if that is not nil, and waited out. The
// error is net.ErrClosed when ln has been closed, or the cause of ctx's end.
func AcceptInvoke(ctx context.Context, ln *net.UnixListener, trouble func(error)) (*InvokeConn, error) {
	c, err := Accept(ctx, ln, trouble)
	if err != nil {
		return nil, err
	}
	return NewInvokeConn(c.(*net.UnixConn)), nil
}

// Accept is AcceptInvoke for any listener.
func Accept(ctx context.Context, ln net.Listener, trouble func(error)) (net.Conn, error) {
	pause := minAcceptPause
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case trouble != nil && pause == minAcceptPause: // once for each spell
			trouble(err)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxAcceptPause)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Close closes the connection. At the asking end, that abandons what was asked for.
func (c *InvokeConn) Close() error { return c.conn.Close() }

// lastWords is how long the other end may take to hear why it is over.
const lastWords = time.Second

// Interrupt makes reading end, while messages can still be sent, for a moment.
func (c *InvokeConn) Interrupt() {
	_ = c.conn.SetWriteDeadline(time.Now().Add(lastWords))
	_ = c.conn.CloseRead()
}

// Ask sends the request with its descriptors, at most three, which stay the caller's. They are plain numbers
// because *os.File would change the flags that a descriptor shares with other programs.
func (c *InvokeConn) Ask(i *Invocation, fds ...int) error {
	data, err := i.Append(make([]byte, messageHeader))
	if err != nil {
		return err
	}
	if len(data)-messageHeader > maxInvokeRequest {
		return errors.New("control socket: the command is too long")
	}
	appendMessageHeader(data[:0], InvokeRequest, len(data)-messageHeader)
	c.mu.Lock()
	defer c.mu.Unlock()
	var oob []byte
	if len(fds) > 0 {
		oob = syscall.UnixRights(fds...)
	}
	n, _, err := c.conn.WriteMsgUnix(data, oob, nil)
	if err == nil && n < len(data) {
		_, err = c.conn.Write(data[n:])
	}
	if err != nil {
		return c.refusal(err)
	}
	return nil
}

// refusal is why the other end has closed before it has read the request, if it has said so, or else err.
func (c *InvokeConn) refusal(err error) error {
	_ = c.conn.SetReadDeadline(time.Now().Add(lastWords))
	defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	if m, nextErr := c.Next(); nextErr == nil && m.Kind == InvokeError {
		return m.Err()
	}
	return err
}

// Send sends one message.
func (c *InvokeConn) Send(kind byte, data []byte) error {
	if len(data) > limitOf(kind) {
		return errors.New("control socket: message too long")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := appendMessageHeader(make([]byte, 0, messageHeader+len(data)), kind, len(data))
	_, err := c.conn.Write(append(m, data...))
	return err
}

// SendError sends err as one line.
func (c *InvokeConn) SendError(err error) error {
	return c.Send(InvokeError, []byte(ErrorLine(err)))
}

// Next reads the next message. io.EOF when the other end has closed.
func (c *InvokeConn) Next() (Message, error) { return readMessage(c.conn, nil) }

// requestTime bounds how long a peer may take to say what it wants.
const requestTime = 10 * time.Second

// Request reads the first message with its descriptors, which are the caller's to close, also after an error.
func (c *InvokeConn) Request() (*Invocation, []*Descriptor, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(requestTime))
	defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	first, oob := make([]byte, 1), make([]byte, syscall.CmsgSpace(3*4))
	n, oobn, flags, _, err := c.conn.ReadMsgUnix(first, oob)
	if err != nil {
		return nil, nil, err
	}
	files, err := received(oob[:oobn])
	switch {
	case err != nil:
		return nil, files, err
	case flags&syscall.MSG_CTRUNC != 0:
		return nil, files, errors.New("control socket: more than three descriptors")
	case n == 0:
		return nil, files, io.EOF
	case first[0] == mitogenFirst:
		return nil, files, ErrMitogenUnix
	}
	m, err := readMessage(c.conn, first)
	if err == nil && m.Kind != InvokeRequest {
		err = errors.New("control socket: the first message is no request")
	}
	if err != nil {
		return nil, files, err
	}
	i, err := ParseInvocation(m.Data)
	return i, files, err
}

// received takes the descriptors out of a control message. What it returns is open, also with an error.
func received(oob []byte) ([]*Descriptor, error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*Descriptor
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, NewDescriptor(fd))
		}
	}
	return files, nil
}

// NetConn is the connection, to ask who the peer is.
func (c *InvokeConn) NetConn() *net.UnixConn { return c.conn }
