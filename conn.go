package fakessh

import (
	"context"

	"fakessh/router"
)

// Conn is a connection made inside a target. Its context stays leased until Close or Reset.
type Conn struct {
	*router.Stream
	lease *Lease
}

// Dial connects to address inside dest, where its name is looked up: network is "tcp" or "unix". Errors are those of Connect and of Lease.Dial: a
// *router.CallError for a connection that is refused there, "connect failed: Connection refused".
func (t *Tree) Dial(ctx context.Context, dest Dest, network, address string) (*Conn, error) {
	lease, err := t.Connect(ctx, dest)
	if err != nil {
		return nil, err
	}
	s, err := lease.Dial(ctx, network, address)
	if err != nil {
		lease.Release()
		return nil, err
	}
	return &Conn{Stream: s, lease: lease}, nil
}

// Close ends the connection: in order when both directions have seen EOF, by a reset otherwise. Idempotent.
func (c *Conn) Close() error {
	defer c.lease.Release()
	return c.Stream.Close()
}

// Reset ends both directions at once. Idempotent.
func (c *Conn) Reset(cause error) {
	defer c.lease.Release()
	c.Stream.Reset(cause)
}
