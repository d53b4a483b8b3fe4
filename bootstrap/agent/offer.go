package agent

import (
	"errors"
	"io"
	"net"

	"fakessh/bootstrap"
)

// offer is a bootstrap.Offer from the agent's side: a pair of sockets, of which the parent comes to the first for as
// long as it has not chosen.
type offer struct {
	bootstrap.Offer // FD is the first socket, which holds the token

	second *net.UnixConn      // where one end of the parent's link arrives
	taken  chan *net.UnixConn // gets that, or nil
}

// choice waits for the parent's word on l's stdin, and returns the link. The offer is closed then.
func (o *offer) choice(l *link) (io.ReadWriteCloser, error) {
	go o.accept() // ends when the link has come or the offer is closed
	var word [1]byte
	_, err := io.ReadFull(l, word[:])
	o.close()
	conn := <-o.taken
	switch {
	case err == nil && word[0] == bootstrap.ChooseSocket && conn != nil:
		go tether(conn, l) // ends with stdin
		return conn, nil
	case conn != nil:
		conn.Close()
	}
	if err == nil && word[0] != bootstrap.ChooseStdio {
		err = errors.New("the parent chooses what it has not taken")
	}
	return l, err
}

// accept waits for the parent's end of a link and answers there.
func (o *offer) accept() {
	conn := o.receive()
	if conn != nil {
		if _, err := conn.Write([]byte{0}); err != nil {
			conn.Close()
			conn = nil
		}
	}
	o.taken <- conn
}

// tether ends conn with stdin: what the parent has sent before is still read.
func tether(conn *net.UnixConn, stdin io.Reader) {
	_, _ = io.Copy(io.Discard, stdin)
	_ = conn.CloseRead()
}
