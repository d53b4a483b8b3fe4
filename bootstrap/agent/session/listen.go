package session

import (
	"context"
	"errors"
	"net/netip"

	"fakessh/router"
)

// Listener listens in another context. Its stream carries items alone:
//
//	asking end                                  agent
//	Listen ── call fakessh.session.listen ────► bound
//	       ◄─ item c: id, origin ─────────────  a connection has come, and waits
//	Take   ── call fakessh.session.attach id ─► carried like one that was dialled
//	Refuse ── item a: id, why ────────────────► or closed
//	Close  ── EOF ────────────────────────────► no longer bound; what waits is closed
//	       ◄─ EOF
//
// The agent opens nothing by itself: what it says is believed only on a stream that was asked for.
type Listener struct {
	stream *router.Stream
	port   int
}

// Listen listens inside c. network is "tcp", and the host in address one of "127.0.0.1", "::1", and "localhost" for both; or it is "unix", and
// address a path at which nothing is yet. The Listener must be reset, after Close too. The error of an address that cannot be had is a *router.CallError
// whose Text reads like "listen: Address already in use".
func Listen(ctx context.Context, c *router.Context, network, address string) (*Listener, error) {
	s, v, err := c.Open(ctx, FuncListen, network, address)
	if err != nil {
		return nil, err
	}
	port, ok := v.(int64)
	if !ok || port < 0 || port > 65535 || (network == "tcp") != (port > 0) {
		err := errors.New("listen: no such port")
		s.Reset(err)
		return nil, err
	}
	return &Listener{stream: s, port: int(port)}, nil
}

// Port is what it listens on, of "tcp".
func (l *Listener) Port() int { return l.port }

// Accept waits for the next connection. io.EOF after Close, else the reason why there will be none.
func (l *Listener) Accept(ctx context.Context) (*Incoming, error) {
	for {
		item, err := l.stream.Control(ctx)
		if err != nil {
			return nil, err
		}
		if item.Kind != ItemAccept {
			continue
		}
		if in, err := newIncoming(l.stream, item.Data); err == nil {
			return in, nil
		}
	}
}

// Close stops listening, and returns when the address is free again. Connections that were taken stay.
func (l *Listener) Close(ctx context.Context) error {
	if err := l.stream.CloseWrite(); err != nil {
		return err
	}
	select {
	case <-l.stream.Done():
	case <-ctx.Done():
		l.Reset(context.Cause(ctx))
	}
	return l.stream.Err()
}

// Reset stops listening at once, where Close has not. Idempotent.
func (l *Listener) Reset(cause error) { l.stream.Reset(cause) }

// Incoming is a connection that has come in another context, and waits there.
type Incoming struct {
	// From is where it came from, of "tcp"; zero if the agent does not say.
	From netip.AddrPort
	on   *router.Stream
	id   uint64
}

func newIncoming(on *router.Stream, item []byte) (*Incoming, error) {
	id, origin, err := ParseAsk(item)
	if err != nil {
		return nil, err
	}
	addr, _ := netip.ParseAddrPort(origin)
	addr = netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port()) // a zone is any text
	return &Incoming{From: addr, on: on, id: id}, nil
}

// Take makes it a stream.
func (i *Incoming) Take(ctx context.Context) (*router.Stream, error) {
	s, _, err := i.on.Peer().Open(ctx, FuncAttach, int64(i.id))
	return s, err
}

// Refuse has it closed.
func (i *Incoming) Refuse(why error) {
	_ = i.on.SendControl(router.Control{Kind: ItemAnswer, Data: AppendAsk(nil, i.id, ErrorLine(why))})
}
