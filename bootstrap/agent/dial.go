package agent

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// dial serves FuncDial: network, address → stream.
func (a *Agent) dial(ctx context.Context, c *router.Call) (any, error) {
	network, err := textArg(c, 0)
	if err != nil {
		return nil, callError(err)
	}
	address, err := textArg(c, 1)
	if err != nil {
		return nil, callError(err)
	}
	conn, err := connectTo(ctx, network, address)
	if err != nil {
		return nil, callError(err)
	}
	err = a.serveStream(c, func(s *router.Stream) (func(), error) {
		return func() { relay(s, conn) }, nil
	})
	if err != nil {
		conn.Close()
	}
	return nil, err
}

// halfConn is what TCP and unix stream sockets have in common.
type halfConn interface {
	net.Conn
	CloseWrite() error
}

// eagerConn can be written to without waiting. (router.TryWriter)
type eagerConn struct{ halfConn }

func (c *eagerConn) TryWrite(pieces [][]byte) int {
	conn, ok := c.halfConn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	return router.TryWriteOwn(raw, pieces)
}

// connectTo dials from here. Its errors read like OpenSSH's: "connect failed: Connection refused".
func connectTo(ctx context.Context, network, address string) (halfConn, error) {
	if network != "tcp" && network != "unix" {
		return nil, errors.New("connect failed: unknown network " + network)
	}
	d := net.Dialer{Timeout: session.DialTimeout}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, errors.New("connect failed: " + dialReason(err))
	}
	return conn.(halfConn), nil
}

func dialReason(err error) string {
	var dns *net.DNSError
	var addr *net.AddrError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "Name or service not known"
	case errors.As(err, &dns):
		return "Temporary failure in name resolution"
	case errors.As(err, &addr):
		return "Invalid address: " + addr.Err
	case errors.As(err, &timeout) && timeout.Timeout():
		return "Connection timed out"
	}
	return reason(err)
}

// relay carries bytes between s and conn. Each direction ends by itself, with a half-close; a connection that cannot be
// read resets the stream with the reason, and a lost stream closes the connection. It returns when both are closed.
func relay(s *router.Stream, conn halfConn) {
	var wg sync.WaitGroup
	lost := make(chan struct{})
	wg.Go(func() { // ends with the stream, or when both directions are done
		select {
		case <-s.Done():
			if s.Err() != nil { // after an orderly end there may still be something to be written
				conn.Close()
			}
		case <-lost:
		}
	})
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := s.WriteTo(&eagerConn{conn}); err != nil {
			drain(s) // whoever takes no more may still have something to say
			return
		}
		_ = conn.CloseWrite()
	})
	both.Go(func() {
		if _, err := s.CopyFrom(router.Main, conn); err != nil {
			s.Reset(errors.New(reason(err)))
			return
		}
		_ = s.CloseWrite()
	})
	both.Wait()
	close(lost)
	wg.Wait()
	conn.Close()
	s.Close()
}
