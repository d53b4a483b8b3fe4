package fakessh

import (
	"context"
	"errors"
	"net"
	"os"
	"os/user"
	"strconv"

	"fakessh/bootstrap/agent/session"
)

// Everybody on the machine may connect to a control socket. So who it is comes first; a stranger is turned away whatever it asks for, and what those
// who are known can hold is bounded: connections in total, connections of one uid, and of these the ones whose request is on its way.

// Limits of a ControlServer.
const (
	defaultMaxConns     = 4096
	defaultMaxPeerConns = 1024
	maxPeerRequests     = 32 // requests of one uid that are being read, each of which may be large; the others wait
	maxStrangers        = 64 // strangers whose first byte is waited for
)

var (
	errManyConns = errors.New("too many connections at once")
	errStranger  = errors.New("refused: this socket belongs to another user")
)

// peerConns are the connections of one uid.
type peerConns struct {
	count   int           // guarded by ControlServer.mu
	reading chan struct{} // holds a token for each request being read
}

// admit decides about a connection by its peer, and counts it. leave has to be called then.
func (s *ControlServer) admit(p Peer) error {
	if !s.mayAttach(p) {
		if err := s.known(p); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.peers[p.UID]
	if c == nil {
		c = &peerConns{reading: make(chan struct{}, maxPeerRequests)}
	}
	if c.count >= orMany(s.MaxPeerConns, defaultMaxPeerConns) {
		return errManyConns
	}
	if s.peers == nil {
		s.peers = map[int]*peerConns{}
	}
	c.count++
	s.peers[p.UID] = c
	return nil
}

// mayAttach tells those who may attach, even where they may ask for nothing else: what they want has to be read first.
func (s *ControlServer) mayAttach(p Peer) bool { return s.Attach != nil && isOwner(p) }

// turnAway says why, except in words that a client of mitogen.unix would take for its handshake. So one byte is waited for; where many are, not.
func (s *ControlServer) turnAway(conn *session.InvokeConn, reason error) {
	defer s.strangers.Add(-1)
	if s.strangers.Add(1) > maxStrangers || s.Attach == nil || !conn.SpeaksMitogen() {
		_ = conn.SendError(reason)
	}
}

func (s *ControlServer) known(p Peer) error {
	switch {
	case s.Admit != nil:
		return s.Admit(p)
	case s.Authorize == nil && p.UID != os.Geteuid() && p.UID != 0:
		return errStranger
	}
	return nil
}

// leave undoes admit.
func (s *ControlServer) leave(p Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.peers[p.UID]
	if c.count--; c.count == 0 {
		delete(s.peers, p.UID)
	}
}

// request reads what an admitted peer asks for, when it is its turn.
func (s *ControlServer) request(ctx context.Context, conn *session.InvokeConn, p Peer) (*session.Invocation, []*session.Descriptor, error) {
	s.mu.Lock()
	turn := s.peers[p.UID].reading
	s.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	defer func() { <-turn }()
	inv, files, err := conn.Request()
	if err == nil && s.mayAttach(p) {
		err = s.known(p)
	}
	return inv, files, err
}

// orMany is n, or what stands for 0.
func orMany(n, many int) int {
	if n == 0 {
		return many
	}
	return n
}

// Account is the name of the local account, "" if it has none.
func (p Peer) Account() string {
	account, err := user.LookupId(strconv.Itoa(p.UID))
	if err != nil {
		return ""
	}
	return account.Username
}

// peerOf asks the kernel who is at the other end of c.
func peerOf(c *net.UnixConn) (p Peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	ctlErr := raw.Control(func(fd uintptr) { p, err = socketPeer(int(fd)) })
	return p, errors.Join(ctlErr, err)
}
