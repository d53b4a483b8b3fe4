package session

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"fakessh/router"
)

// ErrNoExit is what Wait fails with when the agent ended a session without saying how.
var ErrNoExit = errors.New("session: ended without an exit status")

// Client is the asking end of a session. Its Stream carries stdin, and stdout (Main) with stderr (Extended).
// Whoever started it closes the stream.
type Client struct {
	*router.Stream
	turn chan struct{} // holds one token: the right to read items
	exit *Exit         // guarded by turn
	// Invoke and Accepted take items of Spec.Shim and Spec.Agent, on the goroutine that waits. They are set before Wait.
	Invoke   func(item []byte)
	Accepted func(*Incoming)
}

func newClient(s *router.Stream) *Client {
	c := &Client{Stream: s, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Start starts a session in c and returns when the process exists. The error of a session that
// cannot start is a *router.CallError whose Text is one line for the user.
func Start(ctx context.Context, c *router.Context, spec *Spec) (*Client, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	s, _, err := c.Open(ctx, FuncStart, spec.Encode())
	if err != nil {
		return nil, err
	}
	return newClient(s), nil
}

// Resize tells the terminal's new size.
func (c *Client) Resize(s Size) error {
	return c.SendControl(router.Control{Kind: ItemSize, Data: AppendSize(nil, s)})
}

// Signal sends a signal, named without "SIG", to the foreground process group.
func (c *Client) Signal(name string) error {
	data := []byte(strings.TrimPrefix(name, "SIG"))
	if _, err := ParseSignal(data); err != nil {
		return err
	}
	return c.SendControl(router.Control{Kind: ItemSignal, Data: data})
}

// Break sends a break of ms milliseconds (RFC 4335).
func (c *Client) Break(ms uint32) error {
	return c.SendControl(router.Control{Kind: ItemBreak, Data: binary.BigEndian.AppendUint32(nil, ms)})
}

// Wait waits for the exit item. The output need not have been read. Every call gives the
// same Exit. Errors: ErrNoExit, the cause that ended the stream, ctx's.
func (c *Client) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
	defer func() { c.turn <- struct{}{} }()
	for c.exit == nil {
		if err := c.nextItem(ctx); err != nil {
			return Exit{}, err
		}
	}
	return *c.exit, nil
}

// nextItem reads one item; the caller holds the turn.
func (c *Client) nextItem(ctx context.Context) error {
	item, err := c.Control(ctx)
	switch {
	case errors.Is(err, io.EOF):
		return ErrNoExit
	case err != nil:
		return err
	}
	switch item.Kind {
	case ItemExit:
		x, err := ParseExit(item.Data)
		if err != nil {
			return err
		}
		c.exit = &x
	case ItemInvoke:
		if c.Invoke != nil {
			c.Invoke(item.Data)
		}
	case ItemAccept:
		if in, err := newIncoming(c.Stream, item.Data); err == nil && c.Accepted != nil {
			c.Accepted(in)
		}
	}
	return nil
}

// DialTimeout is how long an agent waits for a connection to come up: a little less than the two minutes of Linux's TCP.
const DialTimeout = 60 * time.Second

// Dial connects to address inside c: network is "tcp" or "unix". The error of a connection that
// is refused, or does not come up in DialTimeout, is a *router.CallError whose Text reads like OpenSSH's: "connect failed: Connection refused".
func Dial(ctx context.Context, c *router.Context, network, address string) (*router.Stream, error) {
	s, _, err := c.Open(ctx, FuncDial, network, address)
	return s, err
}

// GetInfo asks the agent in c about itself.
func GetInfo(ctx context.Context, c *router.Context) (Info, error) {
	v, err := c.Call(ctx, FuncInfo)
	if err != nil {
		return Info{}, err
	}
	return DecodeInfo(v)
}

// Ping measures one round trip to the agent in c.
func Ping(ctx context.Context, c *router.Context) (time.Duration, error) {
	start := time.Now()
	_, err := c.Call(ctx, FuncPing)
	return time.Since(start), err
}
