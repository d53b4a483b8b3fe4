package shim

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"fakessh/bootstrap/agent/session"
)

// number is a signal's number.
func number(sig os.Signal) string {
	n, _ := sig.(syscall.Signal)
	return strconv.Itoa(int(n))
}

// forwardings starts to listen for -L and -D. Each connection becomes an invocation of its own, which is
// handed the connected socket. What fails is a warning unless ExitOnForwardFailure is set.
func (r *run) forwardings() error {
	for _, spec := range r.o.remotes {
		if err := r.unforwarded("remote forwarding of " + strconv.Quote(spec) + " is not supported here"); err != nil {
			return err
		}
	}
	for _, f := range r.o.locals {
		if err := r.listen(f, func(c net.Conn) (endpoint, error) { return f.connect, nil }); err != nil {
			return err
		}
	}
	for _, f := range r.o.dynamics {
		if err := r.listen(f, socks); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) unforwarded(text string) error {
	if r.o.strict {
		return errors.New(text)
	}
	r.say("Warning: " + text)
	return nil
}

// listen serves one forwarding until the process ends. where says where a connection is to lead.
func (r *run) listen(f forward, where func(net.Conn) (endpoint, error)) error {
	ln, err := net.Listen(f.listen.network(), f.listen.address())
	if err != nil {
		return r.unforwarded("could not request local forwarding: " + err.Error())
	}
	go func() { // ends with the process
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go r.serveForward(c, where)
		}
	}()
	return nil
}

// serveForward hands c over and waits until it is done with.
func (r *run) serveForward(c net.Conn, where func(net.Conn) (endpoint, error)) {
	defer c.Close()
	to, err := where(c)
	if err != nil {
		r.say("forwarding: " + err.Error())
		return
	}
	conn, err := session.DialInvoke(r.socket)
	if err != nil {
		r.say("forwarding: " + unreachable(err).Error())
		return
	}
	defer conn.Close()
	i := r.o.invocation(session.OpDial)
	i.Network, i.Address = to.network(), to.address()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	askErr := raw.Control(func(fd uintptr) { err = conn.Ask(i, int(fd), int(fd)) })
	if askErr != nil || err != nil {
		return
	}
	c.Close() // the other end has it now
	for {
		m, err := conn.Next()
		if err != nil {
			return
		}
		if m.Kind == session.InvokeError {
			r.say("forwarding to " + to.address() + ": " + m.Err().Error())
		}
	}
}

// socks speaks SOCKS 5 or 4a as far as CONNECT, and says where it is to lead. The answer is given at once: whether
// the far side can be reached shows in the connection.
func socks(c net.Conn) (endpoint, error) {
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return endpoint{}, err
	}
	switch {
	case head[0] == 5:
		return socks5(c, int(head[1]))
	case head[0] == 4 && head[1] == 1:
		return socks4(c)
	}
	return endpoint{}, errSocks
}

var errSocks = errors.New("not a SOCKS request that can be served")

func socks5(c net.Conn, methods int) (endpoint, error) {
	if _, err := io.ReadFull(c, make([]byte, methods)); err != nil {
		return endpoint{}, err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return endpoint{}, err
	}
	var h [4]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return endpoint{}, err
	}
	size := map[byte]int{1: 4, 4: 16}[h[3]]
	if h[3] == 3 {
		var n [1]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return endpoint{}, err
		}
		size = int(n[0])
	}
	if h[0] != 5 || h[1] != 1 || size == 0 {
		_, _ = c.Write([]byte{5, 7, 0, 1, 0, 0, 0, 0, 0, 0})
		return endpoint{}, errSocks
	}
	address := make([]byte, size+2)
	if _, err := io.ReadFull(c, address); err != nil {
		return endpoint{}, err
	}
	e := endpoint{host: string(address[:size]), port: int(binary.BigEndian.Uint16(address[size:]))}
	if h[3] != 3 {
		e.host = net.IP(address[:size]).String()
	}
	_, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return e, err
}

// socks4 speaks SOCKS 4, and 4a where a name follows an address of 0.0.0.x.
func socks4(c net.Conn) (endpoint, error) {
	var h [6]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return endpoint{}, err
	}
	if _, err := socksText(c); err != nil { // the user's name
		return endpoint{}, err
	}
	e := endpoint{host: net.IP(h[2:6]).String(), port: int(binary.BigEndian.Uint16(h[:2]))}
	if h[2] == 0 && h[3] == 0 && h[4] == 0 && h[5] != 0 {
		var err error
		if e.host, err = socksText(c); err != nil {
			return endpoint{}, err
		}
	}
	_, err := c.Write([]byte{0, 90, 0, 0, 0, 0, 0, 0})
	return e, err
}

// socksText reads up to a NUL, at most 255 bytes.
func socksText(c net.Conn) (string, error) {
	var text []byte
	for len(text) < 256 {
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return "", err
		}
		if b[0] == 0 {
			return string(text), nil
		}
		text = append(text, b[0])
	}
	return "", errSocks
}
